"""The course as web pages, opened from the file system without a network, on a laptop and on a phone."""

import subprocess
import sys
from pathlib import Path

import pytest

from .needs import expect

pytest.importorskip("latex2mathml", reason="to build the site: pip install -e '.[site]'")
ROOT = Path(__file__).parents[2]
SIZES = {"laptop": (1280, 800), "phone": (390, 844)}

# The lowest contrast of a piece of text that is not in a picture, and that text.
CONTRAST = """() => {
  const luminance = (color) => {
    const [r, g, b] = color.match(/[\\d.]+/g).slice(0, 3)
      .map((v) => v / 255).map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const background = (element) => {
    const color = getComputedStyle(element).backgroundColor;
    return color.startsWith("rgba") && element.parentElement ? background(element.parentElement) : color;
  };
  let lowest = [21, ""];
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement;
    if (!texts.currentNode.data.trim() || element.closest("script, style, button")) continue;
    const [a, b] = [luminance(getComputedStyle(element).color), luminance(background(element))];
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (contrast < lowest[0]) lowest = [contrast, texts.currentNode.data.slice(0, 60)];
  }
  return lowest;
}"""


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("site") / "out"
    subprocess.run([sys.executable, str(ROOT / "notebooks/build_site.py"), str(out)], cwd=ROOT, check=True)
    return out


@pytest.fixture(scope="module", params=[(size, scheme) for size in SIZES for scheme in ("light", "dark")], ids="-".join)
def context(request, browser):
    size, scheme = request.param
    width, height = SIZES[size]
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme, offline=True)
    yield context
    context.close()


def test_every_page_fits_loads_nothing_and_has_contrast(site, context):
    page, problems = context.new_page(), []
    page.on("console", lambda message: problems.append(message.text))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("request", lambda asked: asked.url.startswith(("file:", "data:")) or problems.append(asked.url))
    for path in sorted(site.rglob("*.html")):
        if path.name == "fables.html":  # has its own tests
            continue
        page.goto(path.as_uri())
        for state in ("closed", "open"):
            width, window = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
            assert width <= window, f"{path.name} is {width} pixels wide, {state}"
            page.evaluate("document.querySelectorAll('details').forEach((details) => { details.open = true; })")
        contrast, text = page.evaluate(CONTRAST)
        assert contrast >= 4.5, f"{path.name}: {contrast:.2f} for {text!r}"
    assert problems == []
    page.close()


def test_a_player_steps_and_an_answer_opens(site, context):
    page = context.new_page()
    page.goto((site / "index.html").as_uri())
    page.get_by_role("link", name="First look").click()
    player = page.locator(".tinysedd-player").first
    expect(player.locator(".caption")).to_contain_text("step 64 / 64")
    player.get_by_role("button", name="Back").click()
    expect(player.locator(".caption")).to_contain_text("step 63 / 64")

    answer = page.locator("details", has=page.get_by_text("Show the output", exact=True)).first
    printed = answer.locator("pre").first
    expect(printed).to_be_hidden()
    answer.locator("summary").click()
    expect(printed).to_be_visible()
    assert printed.evaluate("(pre) => getComputedStyle(pre).whiteSpace") == "pre"  # lines of 64 characters stay whole
    page.locator("nav").first.get_by_role("link", name="01").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("01 · Concrete scores")
    page.close()

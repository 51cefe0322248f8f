"""The live page, opened from the file system without a network: what it computes, and how it is used."""

import re
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from tinysedd import Absorbing, Alphabet, Config, Fables, Transformer, Uniform, load, sample
from tinysedd.costs import best_sizes
from tinysedd.evaluate import valid_share
from tinysedd.fast.model import FastConfig, FastTransformer
from tinysedd.show import page

from .needs import Page, expect, missing

POSTERIOR = "async (asked) => (await tinysedd.ask('posterior', asked)).log"
WRITE = """async ({ seeds, ...asked }) => {
  const texts = [];
  for (const seed of seeds) {
    let steps = [];
    await tinysedd.ask("write", { ...asked, seed }, (item) => steps.push(item));
    texts.push([steps.at(-1).x, steps.slice(1).map((item) => item.drawn.length)]);
  }
  return texts;
}"""
HOSTILE = "</script><img src=x onerror=document.title='hacked'><!--&amp;${title}"
FABLES = Path(__file__).parents[2] / "data" / "fables.html"
ANIMALS = Fables(
    ["a {:size} {A:animal}. the {A}", "the {A:animal}, a {:size} {A}"],
    {"size": "big old sly", "animal": "cat dog gnu emu"},
    20,
)


@pytest.fixture
def opened(browser, tmp_path):
    """opened(html or file) -> Page: the page in a tab of its own, without a network. At the end: there is no error on
    its console, and it has asked for nothing but itself."""
    problems, contexts = [], []

    def open_page(html: str | Path, width: int = 1280, **options) -> Page:
        path = tmp_path / "page.html"
        if isinstance(html, Path):
            path = html
        else:
            path.write_text(html, "utf-8")
        viewport = {"width": width, "height": 844}
        context = browser.new_context(viewport=viewport, offline=True, reduced_motion="reduce", **options)
        contexts.append(context)
        tab = context.new_page()
        tab.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
        tab.on("pageerror", lambda error: problems.append(str(error)))
        own = (path.as_uri(), "blob:")
        tab.on("request", lambda asked: None if asked.url.startswith(own) else problems.append(asked.url))
        tab.goto(path.as_uri())
        return tab

    yield open_page
    for context in contexts:
        context.close()
    assert problems == []


def tiny(process=Absorbing, world: Fables = ANIMALS) -> FastTransformer:
    """An untrained model, to which all characters are equally likely. It is fast."""
    alphabet = world.alphabet
    return FastTransformer(process(len(alphabet)), FastConfig(1, 2, 16), alphabet, world.length)


def texts(tab: Page, count: int, **asked) -> tuple[torch.Tensor, list[list[int]]]:
    """Texts (count, L) drawn in the page, and for each how many characters each step has drawn."""
    expect(tab.locator("#caption")).not_to_be_empty()  # the text that the page writes by itself is under way
    drawn = tab.evaluate(WRITE, {"seeds": list(range(count)), "exact": False, **asked})
    return torch.tensor([x for x, _ in drawn]), [sizes for _, sizes in drawn]


# What it computes


@pytest.mark.parametrize("name", ["fables", "fables-uniform", "shakespeare", "plain"])
def test_the_posteriors_are_those_of_python(opened, name):
    """The authority is the network with 64 bits, but with the constants that it was trained with: those of 32 bits."""
    if name == "plain":
        alphabet = Alphabet("abcdé 漢")
        torch.manual_seed(0)
        model = Transformer(Uniform(len(alphabet)), Config(layers=1, width=32), alphabet, 20)
        torch.nn.init.normal_(model.head.weight, std=0.1)  # a new network knows nothing: make it say something
        model.load_state_dict({key: w.half().float() for key, w in model.state_dict().items()})
    else:
        model = load(name)
    world = Fables() if name.startswith("fables") else None
    tab = opened(page(model, world), bypass_csp=True)  # `evaluate` needs the bypass
    network, process = model.double(), model.process
    for module in network.modules():
        if isinstance(module, torch.nn.RMSNorm):
            module.eps = torch.finfo(torch.float32).eps
    generator = torch.Generator().manual_seed(1)
    for k in range(100):
        random = torch.randint(process.num_tokens, (1, model.length), generator=generator)
        x0 = random if world is None else world.sample(1, generator)
        sigma = torch.tensor([(0.1, 0.5, 1.0, 3.0)[k % 4]], dtype=torch.float64)
        x = process.perturb(x0, sigma, generator)
        asked = {"x": x[0].tolist(), "sigma": sigma.item(), "exact": False}
        got = torch.tensor(tab.evaluate(POSTERIOR, asked), dtype=torch.float64).view(model.length, -1)
        with torch.no_grad():
            torch.testing.assert_close(got, network.log_posterior(x, sigma)[0].double(), atol=1e-3, rtol=0)
        if world is not None:
            exact = torch.tensor(tab.evaluate(POSTERIOR, asked | {"exact": True}), dtype=torch.float64)
            joint = world.marginals(process.log_likelihood(x, sigma).exp())[0]
            want = joint / joint.sum(-1, keepdim=True)
            torch.testing.assert_close(exact.view(64, -1).exp(), want, atol=1e-6, rtol=0)


def test_300_texts_of_the_model_are_fables_as_often_as_pythons(opened):
    """Of 300 texts in 6 steps, about 3 in 10 are fables. A difference of 3 standard errors fails: if there is none,
    that happens to 3 of 1,000 seeds, and the seeds are fixed; a difference of 15 percentage points is found 9 times of
    10. The sizes of the groups are those of Python, exactly."""
    model, world = load("fables"), Fables()
    tab = opened(page(model, world), bypass_csp=True)
    x, sizes = texts(tab, 300, given=[None] * 64, sampler="corrected", steps=6)
    assert sizes == 300 * [[*best_sizes(model.costs, 5), 4]]
    own = sample(model, model.process, count=300, steps=6, generator=torch.Generator().manual_seed(1))
    assert_same_share(valid_share(world, x), valid_share(world, own.states[-1]), 300)


@pytest.mark.parametrize(
    ("process", "sampler", "own", "steps", "count"),
    [
        (Absorbing, "corrected", "corrected", 8, 1000),
        (Absorbing, "planned", "spread", 6, 1000),
        (Absorbing, "one at a time", "spread", 20, 100),  # all are valid, so a few are enough
        (Uniform, "tweedie", "tweedie", 4, 1000),
    ],
)
@pytest.mark.parametrize("prompt", ["", "a"])
def test_each_sampler_writes_as_well_as_pythons(opened, process, sampler, own, steps, count, prompt):
    """With the exact posterior. Size as above; of 1,000 texts, a difference of 8 points is found 9 times of 10."""
    world, generator = ANIMALS, torch.Generator().manual_seed(1)
    noise = process(len(world.alphabet))
    x = sample(
        world.score(noise), noise, prompt=prompt, count=count, sampler=own, steps=steps, generator=generator
    ).states[-1]
    tab = opened(page(tiny(process), world), bypass_csp=True)
    given = [None if c == "_" else world.alphabet.characters.index(c) for c in prompt.ljust(20, "_")]
    drawn, _ = texts(tab, count, given=given, sampler=sampler, steps=steps, exact=True)
    for i, state in enumerate(given):
        assert state is None or (drawn[:, i] == state).all()
    assert_same_share(valid_share(world, drawn), valid_share(world, x), count)


def assert_same_share(a: float, b: float, n: int) -> None:
    mean = (a + b) / 2
    assert abs(a - b) <= 3 * (2 * mean * (1 - mean) / n) ** 0.5, (a, b)


# How it is used


def test_the_committed_page_writes_at_once_and_can_be_stepped_through(opened):
    tab = opened(FABLES)
    caption, slider, text = tab.locator("#caption"), tab.get_by_label("Step", exact=True), tab.locator("#text")
    expect(caption).to_have_text("step 32 of 32, correcting", timeout=120_000)
    expect(tab.locator("#verdict")).to_have_text(re.compile("^(✓ Valid|✗ Not valid)"))
    expect(text).not_to_have_text(re.compile("·"))
    slider.press("Home")
    expect(caption).to_have_text("step 0 of 32, 64 gaps")
    expect(text).to_have_text("·" * 64)
    tab.get_by_role("button", name="Forward").click()
    expect(caption).to_have_text(re.compile("^step 1 of 32, 6[0-3] gaps$"))
    expect(text.locator(".new").first).to_be_visible()
    tab.get_by_role("button", name="Back").click()
    expect(caption).to_have_text("step 0 of 32, 64 gaps")


def test_the_bars_are_the_ten_best_of_the_model_beside_the_exact_posterior(opened):
    model, world, prompt, i = load("fables"), Fables(), "the ____ wolf met a ___ at", 4
    tab = opened(FABLES)
    tab.get_by_label("Your words").fill(prompt)
    tab.locator("#text button").nth(i).click()
    rows = tab.locator("#bars button")
    expect(rows).to_have_count(10)
    x = torch.tensor([[world.alphabet.characters.find(c) for c in prompt.ljust(64, "_")]])
    x[x < 0] = model.process.mask
    sigma = model.process.schedule.total(torch.ones(1, dtype=torch.float64))
    p, exact = (score.log_posterior(x, sigma)[0, i].exp() for score in (model, world.score(model.process)))
    for n, state in enumerate(p.topk(10).indices.tolist()):
        label = rows.nth(n).get_attribute("aria-label")
        found = re.fullmatch(r"(.): model <?([\d.]+)%, exact <?([\d.]+)%", label.replace("space", " "))
        assert found and found[1] == world.alphabet.characters[state], label
        assert 100 * p[state] == pytest.approx(float(found[2]), abs=0.5), label
        assert 100 * exact[state] == pytest.approx(float(found[3]), abs=0.5), label
    rows.first.click()
    expect(tab.locator("#text button").nth(i)).to_have_class("given")


def test_the_truth_writes_valid_texts_around_what_is_given(opened):
    tab = opened(page(tiny(), ANIMALS))
    verdict = tab.locator("#verdict")
    tab.get_by_label("Sampler").select_option("one at a time")
    tab.get_by_label("Your words").fill("the emu")
    tab.get_by_role("button", name="Write").click()
    expect(verdict).to_have_text(re.compile("^✗ Not valid. Position [89]: “,"))  # the model is untrained
    tab.get_by_label("Let the truth write").check()
    tab.get_by_role("button", name="Write").click()
    expect(verdict).to_have_text(re.compile("^✓ Valid"))
    expect(tab.locator("#text")).to_have_text(re.compile("^the emu, a (big|old|sly) emu *$"))
    tab.get_by_label("Your words").fill("the emu.")
    tab.get_by_role("button", name="Write").click()
    expect(tab.locator("#message")).to_have_text(re.compile("^No valid text fits what is given"))


def test_what_the_model_cannot_read_is_explained_and_not_written(opened):
    tab = opened(page(tiny(), ANIMALS))
    prompt, write, alert = (
        tab.get_by_label("Your words"),
        tab.get_by_role("button", name="Write"),
        tab.locator("#message"),
    )
    prompt.fill("the emu")
    for typed, message in (
        ("the é", "The model has never seen “é”"),
        ("e" * 21, "writes 20 characters; your text has 21"),
    ):
        prompt.fill(typed)
        expect(alert).to_contain_text(message)
        write.click()
        expect(alert).to_contain_text(message)
        prompt.press("Enter")
        expect(alert).to_contain_text(message)
        expect(tab.locator("#text")).to_have_text(re.compile("^the emu·+$"))
    prompt.fill("the gnu")
    expect(alert).to_be_empty()
    write.click()
    expect(tab.locator("#text")).to_have_text(re.compile("^the gnu[^·]+$"))
    tab.get_by_role("button", name="a ___ ___.").click()
    expect(alert).to_be_empty()
    expect(tab.locator("#text")).to_have_text(re.compile("^a [^·]*$"))


def test_by_keyboard_alone(opened):
    tab = opened(page(tiny(), ANIMALS))
    press, caption, cells = tab.keyboard.press, tab.locator("#caption"), tab.locator("#text button")
    press("Tab"), press("Tab")  # past the words that fit
    tab.keyboard.type("a ___ ")
    press("Enter")
    expect(caption).to_have_text(re.compile(r"^step (\d+) of \1, correcting$"))
    for _ in ("_", "Write", "noise alone", "example", "example", "text"):
        press("Tab")
    expect(cells.first).to_be_focused()
    press("ArrowRight"), press("ArrowRight")
    expect(cells.nth(2)).to_be_focused()
    press("b")
    expect(cells.nth(2)).to_have_attribute("aria-label", "Position 3: b, given")
    expect(cells.nth(3)).to_be_focused()
    press("Delete")
    expect(cells.nth(3)).to_have_attribute("aria-label", "Position 4: gap")
    for _ in ("example", "example", "noise alone", "Write"):
        press("Shift+Tab")
    press("Enter")
    expect(cells.nth(3)).to_have_attribute("aria-label", re.compile("just written$"))
    for _ in ("noise alone", "example", "example", "text", "Play"):
        press("Tab")
    play = tab.get_by_role("button", name="Play")
    expect(play).to_be_focused()
    press("Space")
    expect(tab.get_by_role("button", name="Pause")).to_be_focused()
    press("Space")
    expect(play).to_be_focused()
    press("Tab"), press("Tab"), press("Tab")
    expect(tab.get_by_label("Step", exact=True)).to_be_focused()
    press("Home")
    expect(caption).to_have_text(re.compile("^step 0 of"))
    press("ArrowRight")
    expect(caption).to_have_text(re.compile("^step 1 of"))


@pytest.mark.parametrize(("process", "left"), [(Absorbing, "gap"), (Uniform, "new")])
def test_noise_grows_until_nothing_is_left(opened, process, left):
    tab = opened(page(tiny(process), ANIMALS))
    time, hit = tab.get_by_label("Noise", exact=True), tab.locator(f"#noisy .{left}")
    expect(tab.locator("#noisy span")).to_have_count(20)
    expect(hit).to_have_count(0)
    time.fill("0.5")
    expect(tab.locator("#noise-caption")).to_have_text(
        re.compile("^time 0.50, ([3-9]|1[0-7]) of 20 characters changed")
    )
    half = hit.all()
    time.fill("1")
    expect(tab.locator("#noise-caption")).to_have_text(re.compile("^time 1.00, (1[5-9]|20) of 20"))
    for cell in half:
        expect(cell).to_have_class(left)


def test_on_a_phone_the_text_comes_first_and_nothing_overflows(opened):
    world = Fables()
    tab = opened(page(tiny(world=world), world), width=390, has_touch=True)
    expect(tab.locator("#caption")).to_have_text(re.compile(r"^step (\d+) of \1,"))
    box = tab.locator("#text").bounding_box()
    assert box["y"] + box["height"] < 844
    assert not tab.get_by_label("Steps").is_visible()
    tab.get_by_text("Settings", exact=True).tap()
    tab.locator("#text button").first.tap()
    expect(tab.locator("#bars button")).to_have_count(10)
    tab.get_by_label("Type a character").press("x")
    expect(tab.locator("#text button").first).to_have_attribute("aria-label", "Position 1: x, given")
    tab.get_by_label("Type a character").press("w")
    expect(tab.locator("#text button").nth(1)).to_have_attribute("aria-label", "Position 2: w, given")
    tab.get_by_label("Your words").fill("W" * 80)
    assert width(tab) == 390


@pytest.mark.parametrize("font", [16, 32])
def test_a_finished_text_fits_a_narrow_screen_and_a_large_font(opened, font):
    world = Fables()
    tab = opened(page(tiny(world=world), world), width=320)
    tab.evaluate(f"document.documentElement.style.fontSize = '{font}px'")
    tab.get_by_text("Settings", exact=True).click()
    tab.locator("#text button").first.click()
    expect(tab.locator("#caption")).to_have_text(re.compile(r"^step (\d+) of \1,"))
    expect(tab.locator("#noise-caption")).to_have_text("time 0.00, 0 of 64 characters changed")
    assert width(tab) == 320


def width(tab: Page) -> int:
    return tab.locator("html").evaluate("(html) => html.scrollWidth")


def test_a_tap_on_a_phone_shows_the_text_and_what_is_inside_together(opened):
    tab = opened(page(tiny(world=Fables()), Fables()), width=390, has_touch=True)
    expect(tab.locator("#caption")).to_have_text(re.compile(r"^step (\d+) of \1,"))
    tab.locator("#text button").first.tap()
    for part in ("#text button >> nth=0", "#letter", "#bars button >> nth=0"):
        expect(tab.locator(part)).to_be_in_viewport(ratio=1)


def test_what_is_typed_at_a_position_is_refused_beside_it_and_can_be_undone(opened):
    tab = opened(page(tiny(), ANIMALS))
    caption, letter, first = (
        tab.locator("#caption"),
        tab.get_by_label("Type a character"),
        tab.locator("#text button").first,
    )
    expect(caption).to_have_text(re.compile(r"^step (\d+) of \1,"))
    tab.get_by_label("Step", exact=True).press("Home")
    first.click()
    before, text = caption.inner_text(), tab.locator("#text").inner_text()
    letter.fill("é")
    expect(tab.locator("#letter-message")).to_have_text("The model has never seen “é”.")
    letter.press("t")
    expect(tab.locator("#letter-message")).to_be_empty()
    expect(tab.get_by_role("button", name="Forward")).to_be_disabled()
    letter.press("h")
    tab.get_by_role("button", name="Undo").click()
    assert (caption.inner_text(), tab.locator("#text").inner_text()) == (before, text)
    expect(tab.get_by_role("button", name="Forward")).to_be_enabled()


def test_words_that_fit_no_valid_text_are_shown_before_it_writes(opened):
    tab = opened(page(tiny(), ANIMALS))
    tab.get_by_label("Your words").fill("the__cat")
    expect(tab.locator("#verdict")).to_have_text(re.compile("^✗ No valid text fits from position 6 on"))
    tab.get_by_label("Your words").fill("the gn")
    tab.get_by_role("button", name="Insert _").click()
    expect(tab.get_by_label("Your words")).to_have_value("the gn_")
    expect(tab.locator("#verdict")).to_be_empty()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("process", [Absorbing, Uniform])
def test_axe_finds_nothing_serious(opened, process, scheme):
    if find_spec("axe_playwright_python") is None:
        missing("axe-playwright-python")
    tab = opened(page(tiny(process), ANIMALS), bypass_csp=True, color_scheme=scheme)
    tab.get_by_label("Your words").fill("a big ")
    tab.get_by_role("button", name="Write").click()
    expect(tab.locator("#verdict")).not_to_be_empty()
    tab.get_by_label("Step", exact=True).press("ArrowLeft")
    tab.locator("#text button").first.click()
    expect(tab.locator("#bars button").first).to_be_visible()
    tab.evaluate((files("axe_playwright_python") / "axe.min.js").read_text("utf-8"))
    found = tab.evaluate("async () => (await axe.run()).violations")
    assert [(rule["id"], rule["nodes"][0]["html"]) for rule in found if rule["impact"] in ("serious", "critical")] == []


def test_hostile_text_stays_text(opened):
    words = "</script><script>throw(1)</script> <img/src=x/onerror=throw(1)>"
    world = Fables(["<!--{:tag}&lt;$"], {"tag": words}, 60)
    tab = opened(page(tiny(world=world), world, title=HOSTILE))
    expect(tab).to_have_title(f"{HOSTILE}: watch a text appear out of noise")
    tab.get_by_label("Sampler").select_option("one at a time")
    tab.get_by_label("Let the truth write").check()
    tab.get_by_role("button", name="Write").click()
    expect(tab.locator("#verdict")).to_have_text(re.compile("^✓ Valid"))
    expect(tab.locator("#text")).to_have_text(re.compile(r"^<!--(</script>|<img/).*&lt;\$ *$"))
    tab.get_by_label("Let the truth write").uncheck()
    tab.get_by_label("Your words").fill("<!--<<")
    tab.get_by_role("button", name="Write").click()
    expect(tab.locator("#verdict")).to_contain_text(f"one of these words belongs here: {words.replace(' ', ', ')}")
    tab.get_by_label("Your words").fill("<b>é</b>")
    expect(tab.locator("#message")).to_contain_text("The model has never seen “b”. It knows: ")
    expect(tab.locator("main :is(img, script)")).to_have_count(0)

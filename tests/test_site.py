"""The course as web pages: complete, self-contained, and written all or nothing."""

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urldefrag

import pytest

pytest.importorskip("latex2mathml", reason="to build the site: pip install -e '.[site]'")
NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
sys.path.insert(0, str(NOTEBOOKS))

import build_site  # noqa: E402

pytestmark = pytest.mark.slow
LIVE = "<!doctype html><title>Write</title>"
VOID = {"br", "wbr", "meta", "img", "hr", "input", "source", "mspace"}


class Parsed(HTMLParser):
    """The elements of a page with the ones around them, and its text outside code, scripts and styles."""

    def __init__(self, html: str):
        super().__init__()
        self.elements, self.around, self.prose = [], [], ""
        self.feed(html)
        assert not self.around, f"not closed: {self.around}"

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs), tuple(self.around)))
        if tag not in VOID:
            self.around.append(tag)

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.around.pop() == tag, f"</{tag}> closes another element, at {self.getpos()}"

    def handle_data(self, data):
        if not {"pre", "code", "script", "style"} & set(self.around):
            self.prose += data

    def named(self, *tags: str) -> list[dict]:
        return [attrs for tag, attrs, _ in self.elements if tag in tags]


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """The site with a live page."""
    folder = tmp_path_factory.mktemp("site")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build_site, "LIVE", folder / "fables.html")
        build_site.LIVE.write_text(LIVE)
        build_site.main([str(folder / "out")])
    return folder / "out"


@pytest.fixture(scope="module")
def pages(site) -> dict[Path, Parsed]:
    return {
        path: Parsed(path.read_text("utf-8")) for path in sorted(site.rglob("*.html")) if path.name != "fables.html"
    }


def test_there_is_a_page_for_everything(site):
    sources = [*NOTEBOOKS.glob("*.ipynb"), *NOTEBOOKS.glob("exercises/*.ipynb"), NOTEBOOKS / "glossary.md"]
    wanted = {path.relative_to(NOTEBOOKS).with_suffix(".html") for path in sources} | {
        Path("index.html"),
        Path("fables.html"),
    }
    assert {path.relative_to(site) for path in site.rglob("*.*")} == wanted
    assert (site / "fables.html").read_text() == LIVE


def test_every_link_leads_somewhere(site, pages):
    ids = {path: [attrs["id"] for _, attrs, _ in page.elements if "id" in attrs] for path, page in pages.items()}
    for path, page in pages.items():
        assert len(ids[path]) == len(set(ids[path])), path
        for url in (attrs["href"] for attrs in page.named("a")):
            if not url.startswith("https://"):
                target, anchor = urldefrag(url)
                target = (path.parent / target).resolve() if target else path
                assert target.is_file() and target.is_relative_to(site), f"{path}: {url}"
                assert not anchor or anchor in ids[target], f"{path}: {url}"


def test_the_index_leads_to_every_page_and_to_the_live_page_first(site, pages):
    links = [attrs["href"] for attrs in pages[site / "index.html"].named("a")]
    assert links[0] == "fables.html"
    assert {site / link for link in links} == {*pages, site / "fables.html"} - {site / "index.html"}


def test_the_index_has_the_minutes_and_points_that_teachers_read(site):
    index = re.sub(r"<[^>]*>|&nbsp;", " ", (site / "index.html").read_text("utf-8"))
    units = re.findall(
        r"^\| \[(\d\d) [^|]*\| (\d+) \| (\S+) \| (\S+) \|", (NOTEBOOKS / "README.md").read_text("utf-8"), re.M
    )
    assert len(units) == 10
    for unit in units:
        practice = r".*{} minutes, {} points".format(*unit[2:]) if unit[2] != "–" else ""
        assert re.search(rf"{unit[0]} .*\s{unit[1]} minutes{practice}", index), unit


def test_nothing_is_loaded(pages):
    for path, page in pages.items():
        for tag, attrs, _ in page.elements:
            assert tag not in ("link", "iframe", "object", "base"), path
            for name in ("src", "srcset", "poster", "data", "action"):
                assert attrs.get(name, "data:").startswith("data:"), f"{path}: {tag} {name}"
        assert not re.search(r"@import|url\(|fetch\(|XMLHttpRequest", path.read_text("utf-8")), path


def test_every_formula_is_mathml(pages):
    for page in pages.values():
        assert "$" not in page.prose and "\\" not in page.prose, re.findall(r".*[$\\].*", page.prose)[:3]
    source = (NOTEBOOKS / "glossary.md").read_text("utf-8")
    glossary = next(page for path, page in pages.items() if path.name == "glossary.html")
    assert (
        len(glossary.named("math")) - len(glossary.named("wbr")) == source.count("$") // 2
    )  # one per part of a formula


@pytest.mark.parametrize(
    ("formula", "wanted"),
    [
        ("x_0", "<math><mrow><msub><mi>x</mi><mn>0</mn></msub></mrow></math>"),
        ("a < b", "<math><mrow><mi>a</mi><mo>&lt;</mo><mi>b</mi></mrow></math>"),
        ("\\log s", '<math><mrow><mo lspace=".17em" rspace=".17em">log</mo><mi>s</mi></mrow></math>'),
    ],
)
def test_a_formula(formula, wanted):
    assert build_site.mathml(formula) == wanted


def test_every_picture_has_an_alt_text(pages):
    for path, page in pages.items():
        for attrs in page.named("img"):
            assert attrs["alt"].strip() and int(attrs["width"]) > 0 and int(attrs["height"]) > 0, path
    assert sum(len(page.named("img")) for page in pages.values()) > 60


def test_an_animation_has_a_still_for_reduced_motion(site):
    html = (site / "00_first_look.html").read_text("utf-8")
    stills = re.findall(r'media="\(prefers-reduced-motion: reduce\)" srcset="data:image/png;base64,([^"]*)"', html)
    assert stills
    for still in stills:
        png = build_site.base64.b64decode(still)
        assert b"acTL" not in png and b"fdAT" not in png and png.endswith(b"IEND\xaeB`\x82")


def test_answers_and_folded_code_are_closed(site, pages):
    for path in NOTEBOOKS.glob("[0-9]*.ipynb"):
        cells = [cell for cell in build_site.nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
        hidden = [cell.metadata.get("jupyter", {}) for cell in cells]
        html, page = (site / path.name).with_suffix(".html"), pages[(site / path.name).with_suffix(".html")]
        text = html.read_text("utf-8")
        answers = sum(bool(cell.outputs) and meta.get("outputs_hidden", False) for cell, meta in zip(cells, hidden))
        assert text.count("<summary>Show the output</summary>") == answers
        folded = sum(meta.get("source_hidden", False) for meta in hidden)
        assert len(re.findall("<summary>(Code of this figure|Folded code)</summary>", text)) == folded
        in_player = text.count("Final text</summary>")  # a player is open until its script closes it
        assert sum("open" in attrs for attrs in page.named("details")) == in_player


def test_exercises_come_without_solutions(site):
    for path in site.glob("exercises/*.html"):
        text = path.read_text("utf-8")
        assert "# YOUR CODE HERE" in text and "BEGIN SOLUTION" not in text


def test_without_a_live_page_the_index_has_no_link_to_it():
    sheets = build_site.course()
    assert 'href="fables.html"' in build_site.index(sheets, live=True)
    assert "fables.html" not in build_site.index(sheets, live=False)


def test_a_site_is_replaced_and_other_files_stay(tmp_path, monkeypatch):
    monkeypatch.setattr(build_site, "course", lambda: [build_site.Sheet(NOTEBOOKS / "glossary.md")])  # enough
    out = tmp_path / "out"
    build_site.build(out)
    (out / "syllabus.txt").write_text("mine")
    (out / "glossary.html").write_text("old")
    build_site.build(out)
    assert (out / "syllabus.txt").read_text() == "mine"
    assert "Glossary" in (out / "glossary.html").read_text("utf-8")
    assert list(tmp_path.iterdir()) == [out]


def test_an_error_leaves_everything_as_it_was(tmp_path, monkeypatch, capsys):
    def message(out: Path) -> str:
        before = sorted(tmp_path.rglob("*"))
        with pytest.raises(SystemExit) as stopped:
            build_site.main([str(out)])
        assert sorted(tmp_path.rglob("*")) == before
        assert isinstance(stopped.value.code, str) and "\n" not in stopped.value.code
        return stopped.value.code

    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "index.html").write_text("my own page")
    assert "give the name of a folder" in message(mine / "index.html")
    assert "not a site built by this program" in message(mine)
    assert "create it first" in message(tmp_path / "no" / "out")

    course = tmp_path / "course"
    course.mkdir()
    monkeypatch.setattr(build_site, "NOTEBOOKS", course)
    monkeypatch.setattr(build_site, "EXERCISES", course / "exercises")
    assert "glossary.md" in message(tmp_path / "out")
    (course / "glossary.md").write_text("# Glossary\n\n[03](03_gone.ipynb)\n")
    assert "links to 03_gone.ipynb" in message(tmp_path / "out")
    (course / "glossary.md").write_text("# Glossary\n\n$\\nocommand$\n")
    assert "\\nocommand" in message(tmp_path / "out")
    (course / "glossary.md").write_text("# Glossary\n")
    (course / "03_gone.ipynb").write_text("no JSON")
    assert "is not a notebook" in message(tmp_path / "out")


def test_a_missing_package_is_named(tmp_path):
    (tmp_path / "latex2mathml.py").write_text("raise ImportError(name='latex2mathml')")
    run = subprocess.run(
        [sys.executable, str(NOTEBOOKS / "build_site.py"), str(tmp_path / "out")],
        capture_output=True,
        text=True,
        env=build_site.os.environ | {"PYTHONPATH": str(tmp_path)},
    )
    assert run.returncode == 1
    assert run.stderr == "latex2mathml is missing: install what the site needs with  pip install -e '.[site]'\n"

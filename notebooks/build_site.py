"""The course as web pages: python notebooks/build_site.py OUT

OUT gets a page for each notebook with its stored outputs (no cell is run), for each exercise sheet without solutions
and for the glossary, a copy of the live page, and an index. Each page is one file that needs no network: pictures and
styles are inside, and formulas are MathML. Each can be opened from a USB stick or put on a course page.
"""

import argparse
import base64
import os
import re
import shutil
import sys
import xml.etree.ElementTree as ET
from html import escape, unescape
from pathlib import Path

try:
    import mistune
    import nbformat
    from latex2mathml.converter import convert_to_element
    from pygments.lexers.python import PythonLexer
    from pygments.token import Comment, Keyword, Number, String
except ImportError as error:
    sys.exit(f"{error.name} is missing: install what the site needs with  pip install -e '.[site]'")

NOTEBOOKS = Path(__file__).parent
EXERCISES = NOTEBOOKS / "exercises"  # the index lists them
LIVE = NOTEBOOKS.parent / "data" / "fables.html"
MADE_BY = '<meta name="generator" content="tinysedd build_site.py">'
WORDS_PER_MINUTE = 100  # which leaves time for the predictions and the outputs

STYLE = """
:root { color-scheme: light dark; --paper: #fdfcfa; --ink: #23262b; --soft: #5a6068; --line: #dedbd4; --box: #f4f2ed;
  --link: #0b5c94; --keyword: #8a2c6d; --string: #2f6b32; --number: #9a4a00; --comment: #686055; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #17191d; --ink: #dfdedb; --soft: #a3a8af; --line: #383c43; --box: #20232a; --link: #83bfee;
    --keyword: #e39bcb; --string: #9ccb98; --number: #e6ad75; --comment: #a59e92; }
}
* { box-sizing: border-box; }
html { text-size-adjust: 100%; -webkit-text-size-adjust: 100%; }
body { max-width: 56rem; margin: 0 auto; padding: 0 1rem 2rem; background: var(--paper); color: var(--ink);
  font: 1.0625rem/1.65 Charter, "Bitstream Charter", "Sitka Text", Cambria, Georgia, "DejaVu Serif", serif;
  overflow-wrap: break-word; }
nav, h1, h2, h3, th, summary, .note, .caption, .tinysedd-player, .wide::before {
  font-family: system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
nav { display: flex; flex-wrap: wrap; justify-content: space-between; gap: 0.2rem 1.5rem; padding: 0.9rem 0;
  border-bottom: 1px solid var(--line); font-size: 0.9rem; }
nav:last-child { border: solid var(--line); border-width: 1px 0 0; margin-top: 3rem; }
a { color: var(--link); text-underline-offset: 0.15em; }
h1, h2, h3 { line-height: 1.25; margin: 2.2em 0 0.7em; text-wrap: balance; }
h1 { font-size: 1.9rem; margin-top: 1.2em; }
h2 { font-size: 1.35rem; }
h3 { font-size: 1.1rem; }
p, ul, ol, blockquote, h1, h2, h3 { max-width: 44rem; }
li + li { margin-top: 0.25em; }
.note, .caption { font-size: 0.85rem; color: var(--soft); }
pre, code { font-family: ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; font-size: 0.84rem; }
code { font-size: 0.85em; }
pre code { font-size: inherit; }
pre { margin: 0.9rem 0; padding: 0.7rem 0.9rem; line-height: 1.5; white-space: pre; overflow-x: auto; tab-size: 4; }
.source, p + pre, pre:has(> code) { background: var(--box); border-radius: 6px; }
.printed { border-left: 3px solid var(--line); padding-block: 0.2rem; }
.source .k { color: var(--keyword); } .source .s { color: var(--string); } .source .n { color: var(--number); }
.source .c { color: var(--comment); font-style: italic; }
.box { overflow-x: auto; margin: 0.9rem 0; }
.picture { background: #fff; color: #1a1a1a; padding: 0.5rem; border-radius: 6px; width: fit-content; max-width: 100%; }
img { display: block; max-width: 100%; height: auto; }
.wide img { max-width: none; }
@media (max-width: 40rem) {
  nav span { display: none; }
  body { padding-inline: 0.75rem; }
  details { padding-inline: 0.5rem; }
  .picture { padding: 0.2rem; }
  .wide::before { content: "Swipe sideways to see all of it."; position: sticky; left: 0; font-size: 0.85rem; }
}
table { border-collapse: collapse; font-size: 0.95rem; line-height: 1.45; }
th, td { padding: 0.45rem 0.9rem 0.45rem 0; text-align: left; vertical-align: top;
  border-bottom: 1px solid var(--line); }
th { font-size: 0.85rem; color: var(--soft); }
td[style*="right"] { white-space: nowrap; }
details { margin: 0.9rem 0; padding: 0.1rem 0.9rem; border: 1px solid var(--line); border-radius: 6px; }
summary { cursor: pointer; padding: 0.35rem 0; font-size: 0.9rem; color: var(--link); }
details > :last-child:not(summary) { margin-bottom: 0.9rem; }
details .source { padding: 0; background: none; }
.tinysedd-player details { border: 0; padding: 0; }
math { font-family: "STIX Two Math", "Cambria Math", "Latin Modern Math", "DejaVu Math TeX Gyre", math; }
.formula { display: block; max-width: 44rem; overflow: auto hidden; padding: 0.3rem 0; text-align: center; }
.live { display: inline-block; padding: 0.6rem 1.2rem; border-radius: 6px; background: var(--link); color: var(--paper);
  text-decoration: none; font-weight: bold; }
"""


class Renderer(mistune.HTMLRenderer):
    """Markdown as HTML, with links between the pages and MathML formulas. Collects the headings and the links."""

    def __init__(self):
        super().__init__(escape=False)  # the notebooks contain <details>
        self.headings: list[tuple[str, str]] = []  # (id, HTML) at the second level
        self.links: list[str] = []  # to other files of the course, as written

    def link(self, text: str, url: str, title: str | None = None) -> str:
        if not re.match(r"[a-z]+:|#", url):
            self.links.append(url)
            url = "index.html" if url == EXERCISES.name else re.sub(r"\.(ipynb|md)(?=#|$)", ".html", url)
        return super().link(text, url, title)

    def heading(self, text: str, level: int, **attrs) -> str:
        anchor = re.sub(r"\W+", "-", unescape(re.sub("<[^>]*>", "", text))).strip("-").lower()
        if level == 2:
            self.headings.append((anchor, text))
        return f'<h{level} id="{anchor}">{text}</h{level}>\n'

    def table(self, text: str) -> str:
        return f'<div class="box"><table>\n{text}</table></div>\n'

    def formula(self, text: str, display: bool) -> str:
        return f'<span class="formula">{mathml(text, True)}</span>' if display else mathml(text)


def mathml(formula: str, display: bool = False) -> str:
    """A formula in LaTeX as MathML. ValueError if a command is unknown.

    A line cannot break inside <math>, so a long formula within a line becomes one <math> up to each relation sign.
    """
    parts = [[]]
    for element in convert_to_element(formula, display="block" if display else "inline")[0]:
        parts[-1].append(ET.tostring(element, encoding="unicode").replace("&amp;#", "&#"))  # it escapes twice
        if len(formula) > 30 and not display and element.tag == "mo" and unescape(element.text or "") in "=∝≤≥≈":
            parts.append([])
    start = '<math display="block"><mrow>' if display else "<math><mrow>"
    found = unescape("<wbr>".join(f"{start}{''.join(part)}</mrow></math>" for part in parts if part))
    found = re.sub(r"(?<=>)[^<>]*[<>][^<>]*(?=</m)", lambda m: escape(m[0]), found).replace(" />", "/>")
    if "\\" in found:
        raise ValueError(f"latex2mathml cannot read the formula {formula}: write it with other commands")
    found = found.replace("<mi>:</mi><mo>=</mo>", "<mo>:=</mo>")
    # TeX puts a thin space on both sides of "log", but not before a parenthesis; MathML would put none.
    operator = r"<mi>(log|exp|max|min)</mi>(?=(<mo[^>]*>\()?)"
    return re.sub(operator, lambda m: f'<mo lspace=".17em" rspace="{0 if m[2] else ".17em"}">{m[1]}</mo>', found)


def formulas(markdown: mistune.Markdown) -> None:
    """A plugin for $…$ and $$…$$. Unlike mistune's own, it allows a line break in a formula."""

    def parse(inline, match, state):
        text = match["block_tex"] or match["inline_tex"]
        state.append_token({"type": "formula", "raw": text, "attrs": {"display": bool(match["block_tex"])}})
        return match.end()

    pattern = r"\$\$(?P<block_tex>[^$]+)\$\$|\$(?P<inline_tex>[^$]+)\$"
    markdown.inline.register("formula", pattern, parse, before="codespan")


def highlight(source: str) -> str:
    """Python code as HTML: keywords, strings, numbers and comments have a class."""
    kinds = {Keyword: "k", String: "s", Number: "n", Comment: "c"}
    html = []
    for token, text in PythonLexer(stripnl=False, ensurenl=False).get_tokens(source):
        kind = next((name for family, name in kinds.items() if token in family), None)
        html.append(f'<span class="{kind}">{escape(text, quote=False)}</span>' if kind else escape(text, quote=False))
    return f'<pre class="source">{"".join(html)}</pre>\n'


def picture(png: str, metadata: dict) -> str:
    """A PNG in base64 with its alt text. A reader who prefers reduced motion sees the still of an animated one."""
    data = base64.b64decode(png)
    width, height = int.from_bytes(data[16:20]), int.from_bytes(data[20:24])
    shown = metadata.get("width", width)
    size = f'width="{shown}" height="{round(height * shown / width)}"'
    image = f'<img alt="{escape(metadata["alt"])}" {size} src="{_uri(data)}">'
    if (still := without_animation(data)) != data:
        image = f'<picture><source media="(prefers-reduced-motion: reduce)" srcset="{_uri(still)}">{image}</picture>'
    return f'<div class="box picture{" wide" if metadata.get("unconfined") else ""}">{image}</div>\n'


def _uri(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def without_animation(png: bytes) -> bytes:
    """An animated PNG without the chunks that animate it: what a viewer shows that cannot animate."""
    kept, start = [png[:8]], 8
    while start < len(png):
        end = start + 12 + int.from_bytes(png[start : start + 4])  # length, type, data, checksum
        if png[start + 4 : start + 8] not in (b"acTL", b"fcTL", b"fdAT"):
            kept.append(png[start:end])
        start = end
    return b"".join(kept)


def output(stored: nbformat.NotebookNode) -> str:
    """A stored output as HTML: a picture before HTML before text."""
    data = stored.get("data", {})
    if "image/png" in data:
        return picture(data["image/png"], stored.metadata.get("image/png", {}))
    if "text/html" in data:
        return f'<div class="box">{data["text/html"]}</div>\n'
    text = stored.get("text") or data.get("text/plain") or "\n".join(stored.get("traceback", []))
    return f'<pre class="printed">{escape(text.rstrip(), quote=False)}</pre>\n'


def code_cell(cell: nbformat.NotebookNode) -> str:
    """The source and the outputs of a cell. What JupyterLab would show collapsed is in a closed <details>."""
    source, outputs = highlight(cell.source), "".join(map(output, cell.outputs))
    if re.search(r"\bexplore_\w+\(", cell.source) and outputs:
        outputs += '<p class="caption">In Jupyter this picture has controls and is drawn again as you move them.</p>\n'
    jupyter = cell.metadata.get("jupyter", {})
    if jupyter.get("source_hidden"):
        source = details("Code of this figure" if "<img" in outputs else "Folded code", source)
    return source + (details("Show the output", outputs) if outputs and jupyter.get("outputs_hidden") else outputs)


def details(summary: str, html: str) -> str:
    """HTML that is closed until the reader opens it."""
    return f"<details><summary>{summary}</summary>\n{html}</details>\n"


class Sheet:
    """A notebook or a Markdown file of the course, as a page without its frame. ValueError says what is wrong with it.

    name       its path in the course without the suffix: "exercises/04_score_entropy"
    title, question, label    what its first heading says, the bold line below it, the title as HTML for a link
    html, text, headings, links    its content as HTML, its Markdown, its sections, what it links to
    """

    def __init__(self, path: Path):
        self.path, self.name = path, path.relative_to(NOTEBOOKS).with_suffix("").as_posix()
        if path.suffix == ".md":
            cells = [nbformat.v4.new_markdown_cell(path.read_text(encoding="utf-8"))]
        else:
            try:
                cells = nbformat.read(path, as_version=4).cells
            except Exception as error:  # nbformat raises its own kinds for bad JSON and for bad notebooks
                raise ValueError(f"{path} is not a notebook: {str(error).splitlines()[0]}") from None
        renderer = Renderer()
        markdown = mistune.create_markdown(renderer=renderer, plugins=["table", formulas])
        try:
            self.html = "".join(str(markdown(c.source)) if c.cell_type == "markdown" else code_cell(c) for c in cells)
        except KeyError as error:
            raise ValueError(
                f"a picture of {path} has no {error.args[0]} text: end its cell with describe(fig, alt)"
            ) from None
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None
        self.title, self.question = re.search(r"# (.*)(?:\s+\*\*(.*)\*\*)?", cells[0].source).groups()
        self.label = re.sub(r"(?<=^\d\d)( · .*)", r"<span>\1</span>", self.title)  # on a phone just its number
        self.text = "\n".join(c.source for c in cells if c.cell_type == "markdown")
        self.headings, self.links = renderer.headings, renderer.links


def course() -> list[Sheet]:
    """The notebooks, the glossary and the exercises. ValueError if one of them links to a file that is missing."""
    paths = [*sorted(NOTEBOOKS.glob("[0-9]*.ipynb")), NOTEBOOKS / "glossary.md"]
    sheets = [Sheet(path) for path in [*paths, *sorted(EXERCISES.glob("*.ipynb"))]]
    there = {EXERCISES, *(sheet.path for sheet in sheets)}
    for sheet in sheets:
        for link in sheet.links:
            if Path(os.path.normpath(sheet.path.parent / link.split("#")[0])) not in there:
                raise ValueError(f"{sheet.path} links to {link}, which is no page of the course: restore it")
    return sheets


def page(title: str, links: list[str], body: str) -> str:
    """A complete page. links: the HTML of its navigation."""
    nav = f"<nav>{' '.join(links)}</nav>\n" if links else ""
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n{MADE_BY}\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>{escape(title)}</title>\n'
        f"<style>{STYLE}</style>\n</head>\n<body>\n{nav}<main>\n{body}</main>\n{nav}</body>\n</html>\n"
    )


def sheet_page(sheet: Sheet, before: Sheet | None, after: Sheet | None, live: bool) -> str:
    """The page of a sheet, with links to the sheets before and after it, and to the live page if there is one."""
    up = "../" * sheet.name.count("/")
    links = [
        f'<a href="{up}{before.name}.html" rel="prev">← {before.label}</a>' if before else "<i></i>",
        f'<a href="{up}index.html">The course</a>',
        f'<a href="{up}{after.name}.html" rel="next">{after.label} →</a>' if after else "<i></i>",
    ]
    items = "".join(
        f'<li><a href="#{anchor}">{re.sub("<[^>]*>", "", text)}</a></li>' for anchor, text in sheet.headings
    )
    contents = details("On this page", f"<ul>{items}</ul>")
    use = "have your code checked" if up else "run its cells"
    note = f'This page is for reading. To {use}, open <code>notebooks/{sheet.name}.ipynb</code> in Jupyter.'
    if live:
        note += f' To write without installing anything, open <a href="{up}{LIVE.name}">the live page</a>.'
    note = f'<p class="note">{note}</p>\n'
    is_notebook = sheet.path.suffix == ".ipynb"
    body = sheet.html.replace("</h1>\n", f"</h1>\n{note if is_notebook else ''}{contents}", 1)
    return page(f"{sheet.title} · tinysedd", links, body)


def index(sheets: list[Sheet], live: bool) -> str:
    """The first page: the live page, if there is one, then the course as a table."""
    exercises = {sheet.path.name: sheet for sheet in sheets if "/" in sheet.name}
    rows = ""
    for sheet in sheets:
        if sheet.path.suffix == ".md" or "/" in sheet.name:
            continue
        minutes = -(-len(sheet.text.split()) // (5 * WORDS_PER_MINUTE)) * 5  # rounded up to 5
        practice = ""
        if given := exercises.pop(sheet.path.name, None):
            effort = [map(int, pair) for pair in re.findall(r"· (\d+) minutes · (\d+) point", given.text)]
            time, points = map(sum, zip(*effort))
            practice = f'<a href="{given.name}.html">{len(effort)}&nbsp;exercises</a>, '
            practice += f"{time}&nbsp;minutes, {points}&nbsp;points"
        title = sheet.title.replace(" · ", "&nbsp;")
        rows += (
            f'<tr><td><a href="{sheet.name}.html">{title}</a><br>{sheet.question}</td>'
            f"<td>{minutes} minutes</td><td>{practice}</td></tr>\n"
        )
    more = "".join(
        f'<p><a href="{sheet.name}.html">{sheet.title}</a>: {sheet.question}</p>\n'
        for sheet in exercises.values()  # those that belong to no single notebook
    )
    try_it = (
        '<p><a class="live" href="fables.html">Write with the model now</a></p>\n'
        '<p class="note">A trained model runs in that page: nothing to install, no network.</p>\n'
    )
    return page(
        "tinysedd: text diffusion from scratch",
        [],
        "<h1>tinysedd: text diffusion from scratch</h1>\n"
        "<p>A small transformer learns to turn noise into text, all characters at once and in any order, by <em>score "
        "entropy</em> (SEDD). It learns from small worlds in which every probability is known, so each number that it "
        "learned stands next to the true one.</p>\n"
        f"{try_it if live else ''}<h2>The course</h2>\n"
        '<div class="box"><table>\n<tr><th>notebook, and the question it answers</th><th>to read</th>'
        f"<th>practice</th></tr>\n{rows}</table></div>\n{more}"
        '<p>The <a href="glossary.html">glossary</a> has every term and symbol.</p>\n'
        '<p class="note">These pages show the notebooks with their stored outputs. To change a cell and run it, and to '
        "have your exercises checked, open the notebooks in Jupyter.</p>\n",
    )


def build(out: Path) -> int:
    """Write the site to a folder, all or nothing. Returns the number of pages.

    A site built earlier is replaced page by page; other files in the folder stay. ValueError if the folder has files
    but no such site, or says what is wrong with the course. OSError if the folder cannot be written.
    """
    if out.exists() and not out.is_dir():
        raise ValueError(f"{out} is a file: give the name of a folder")
    first = out / "index.html"
    if out.is_dir() and any(out.iterdir()) and not (first.is_file() and MADE_BY in first.read_text("utf-8", "replace")):
        raise ValueError(f"{out} has files that are not a site built by this program: give a new or an empty folder")
    if not out.absolute().parent.is_dir():
        raise ValueError(f"there is no folder {out.parent} to write {out.name} to: create it first")

    sheets = course()
    lessons = [sheet for sheet in sheets if "/" not in sheet.name]
    pages = {"index.html": index(sheets, LIVE.exists()).encode()}
    for row in (lessons, [sheet for sheet in sheets if sheet not in lessons]):
        for before, sheet, after in zip([None, *row], row, [*row[1:], None]):
            pages[f"{sheet.name}.html"] = sheet_page(sheet, before, after, LIVE.exists()).encode()
    if LIVE.exists():
        pages[LIVE.name] = LIVE.read_bytes()

    partial = out.absolute().with_name(f".{out.absolute().name}.{os.getpid()}.partial")
    try:
        for name, content in pages.items():
            (partial / name).parent.mkdir(parents=True, exist_ok=True)
            (partial / name).write_bytes(content)
        if not out.exists():
            partial.rename(out)
        else:
            for name in [*list(pages)[1:], "index.html"]:  # the index last: a folder without one is not a site
                (out / name).parent.mkdir(exist_ok=True)
                (partial / name).replace(out / name)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return len(pages)


def main(arguments: list[str] | None = None) -> None:
    """Build the site, or end with a sentence that says why not."""
    parser = argparse.ArgumentParser(description="Build the course as web pages that need no network and no Jupyter.")
    parser.add_argument("out", type=Path, metavar="OUT", help="the folder to write: new, empty, or a site built before")
    out = parser.parse_args(arguments).out
    try:
        print(f"{build(out)} pages: open {out / 'index.html'}")
    except (ValueError, OSError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()

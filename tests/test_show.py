"""Pictures of a trajectory: the state of each character, and that every medium shows all of it, safely."""

import dataclasses
import io
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image, ImageDraw

from tinysedd import show
from tinysedd.corpus import Alphabet
from tinysedd.sampling import Trajectory
from tinysedd.show.frames import CHANGED, GIVEN, MASKED, SETTLED, UNSETTLED, frames, legend
from tinysedd.show.pictures import PAPER, Pen
from tinysedd.show.player import html

PROMPT = [True, False, False, False]


def by_hand(*steps: list[str], mask: bool = True, given: list[bool] | None = None) -> Trajectory:
    """A trajectory from the texts at each step, with # for a mask."""
    letters = "".join(sorted(set("".join("".join(texts) for texts in steps)) - ({"#"} if mask else set())))
    ids = {c: i for i, c in enumerate(letters + "#" * mask)}
    states = torch.tensor([[[ids[c] for c in text] for text in texts] for texts in steps])
    times = torch.linspace(1, 0, len(steps))
    given, mask_id = torch.tensor(given or [False] * states.shape[-1]), len(letters) if mask else None
    return Trajectory(states, times, given, len(steps) - 1, mask=mask_id, alphabet=Alphabet(letters))


def unmasked(*texts: str, steps: int = 64) -> Trajectory:
    """A trajectory that unmasks texts at an even pace, in a fixed scrambled order."""
    length = len(texts[0])
    order = [i * 7919 % length for i in range(length)]  # a permutation, since 7919 is prime

    def after(step: int, text: str) -> str:
        return "".join(c if i * steps < step * length else "#" for c, i in zip(text, order))

    return by_hand(*([after(step, text) for text in texts] for step in range(steps + 1)))


LINE = "the sly fox met a hen at noon. the fox bowed; the hen ran away. "


# The state of each character


def test_marks_of_an_absorbing_trajectory():
    shown = frames(by_hand(["a###"], ["a#c#"], ["abcd"], given=PROMPT))
    assert [frame.texts for frame in shown] == [["a···"], ["a·c·"], ["abcd"]]
    assert [frame.marks for frame in shown] == [
        [GIVEN + MASKED * 3],
        [GIVEN + MASKED + CHANGED + MASKED],
        [GIVEN + CHANGED + SETTLED + CHANGED],
    ]
    assert [frame.fraction for frame in shown] == [0.75, 0.5, 0]
    assert [frame.time for frame in shown] == [1, 0.5, 0]
    filled = [0, 33, 100]
    assert [f.caption for f in shown] == [f"step {k} / 2   {filled[k]}% of the gaps filled" for k in range(3)]
    all_given = frames(by_hand(["ab"], ["ab"], given=[True, True]))
    assert all_given[0].caption == "step 0 / 1   100% of the gaps filled"
    assert frames(by_hand(["a###"], ["a#c#"], ["abcd"]))[1].caption == "step 1 / 2   t = 0.50   50% masked"


def test_marks_of_a_uniform_trajectory():
    shown = frames(by_hand(["xyz"], ["ayz"], ["ayb"], ["cyb"], mask=False))
    assert [frame.marks[0] for frame in shown] == [
        UNSETTLED + SETTLED + UNSETTLED,
        CHANGED + SETTLED + UNSETTLED,
        UNSETTLED + SETTLED + CHANGED,
        CHANGED + SETTLED + SETTLED,
    ]
    assert shown[2].caption.endswith("33% unsettled")


def test_a_character_that_changes_and_changes_back_was_not_settled():
    assert frames(by_hand(["a"], ["b"], ["a"], mask=False))[0].marks == [UNSETTLED]


def test_in_forward_noising_a_character_is_unchanged_until_noise_hits_it():
    backward = by_hand(["abba"], ["#bba"], ["#bab"], ["#bbb"])
    shown = frames(dataclasses.replace(backward, times=torch.linspace(0, 1, 4)))
    assert [frame.marks for frame in shown] == [["ssss"], ["msss"], ["mscc"], ["mscp"]]
    assert [frame.fraction for frame in shown] == [0, 0.25, 0.75, 0.5]
    assert dict(legend(shown))["unchanged"] == SETTLED * 9


def test_a_real_underscore_or_dot_is_not_a_mask():
    assert frames(by_hand(["#·_"], ["_·_"]))[0].marks == [MASKED + SETTLED + SETTLED]


def test_legend_names_only_the_marks_that_occur():
    names = [name for name, marks in legend(frames(by_hand(["a###"], ["abcd"], given=PROMPT)))]
    assert names == ["given", "· masked", "just changed"]
    assert all(len(name) == len(marks) for name, marks in legend(frames(unmasked(LINE))))


@pytest.mark.parametrize("steps", [1, 2, 63, 64, 65, 100, 1000])
def test_frames_are_few_and_include_both_ends(steps):
    shown = [frame.step for frame in frames(unmasked("ab", steps=steps))]
    assert shown == sorted(set(shown)) and shown[0] == 0 and shown[-1] == steps
    assert len(shown) == min(steps + 1, 65)


def test_just_changed_compares_with_the_previous_frame_even_if_steps_are_skipped():
    shown = frames(by_hand(["##"], ["a#"], ["a#"], ["ab"], ["ab"]), max_frames=3)
    assert [frame.step for frame in shown] == [0, 2, 4]
    assert [frame.marks[0] for frame in shown] == [MASKED + MASKED, CHANGED + MASKED, SETTLED + CHANGED]


def test_rows_can_be_chosen_and_the_fraction_counts_only_them():
    trajectory = by_hand(["a#", "##", "##"], ["ab", "cd", "ef"])
    assert frames(trajectory, [2, 0])[-1].texts == ["ef", "ab"]
    assert frames(trajectory, [0])[0].fraction == 0.5
    assert len(frames(by_hand(["#"] * 20, ["a"] * 20))[0].texts) == 8


def test_a_trajectory_without_steps():
    assert frames(by_hand(["ab"]))[0].marks == [SETTLED * 2]


def test_a_missing_alphabet_is_reported():
    with pytest.raises(ValueError, match="alphabet"):
        frames(Trajectory(torch.zeros(2, 1, 3, dtype=torch.int64), torch.tensor([1.0, 0.0]), torch.zeros(3).bool(), 1))


# Terminal


class Tty(io.StringIO):
    """A file that claims to be a terminal."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


class Screen:
    """A terminal that knows the few commands `play` may use. Any other command fails the test."""

    COMMAND = re.compile(r"\033\[(\??[\d;]*)([A-Za-z])|[^\033]")

    def __init__(self, text: str, width: int = 80, height: int = 24):
        self.lines, self.styles, self.row, self.column, self.cursor, self.style = [""], set(), 0, 0, True, ""
        self.height, i = height, 0
        while i < len(text):
            found = self.COMMAND.match(text, i)
            assert found, f"not a command: {text[i : i + 8]!r}"
            i = found.end()
            self.do(found[0], found[1], found[2], width)

    def do(self, c: str, number: str | None, command: str | None, width: int):
        if command == "A":
            assert self.row - int(number) >= max(len(self.lines) - self.height, 0), "the cursor left the screen"
            self.row -= int(number)
        elif command == "K":
            self.lines[self.row] = self.lines[self.row][: self.column]
        elif command == "J":
            self.lines[self.row :] = [self.lines[self.row][: self.column]]
        elif command == "m":
            self.style = "" if number == "0" else number
            self.styles.add(self.style)
        elif command in ("l", "h") and number == "?25":
            self.cursor = command == "h"
        elif command:
            raise AssertionError(f"unknown command {c!r}")
        elif c == "\n":
            self.row, self.column = self.row + 1, 0
            self.lines += [""] * (self.row + 1 - len(self.lines))
        elif c == "\r":
            self.column = 0
        else:
            assert c.isprintable(), f"unprintable character {c!r}"
            line = self.lines[self.row].ljust(self.column)
            self.lines[self.row] = line[: self.column] + c + line[self.column + 1 :]
            self.column += 1
            assert self.column < width, "line too long"

    @property
    def text(self) -> str:
        return "\n".join(self.lines).rstrip("\n")


@pytest.fixture(autouse=True)
def terminal_size(monkeypatch):
    for name, value in {"COLUMNS": "80", "LINES": "24", "TERM": "xterm"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("NO_COLOR", raising=False)


def played(trajectory: Trajectory, file: io.StringIO | None = None, **options) -> str:
    file = file or Tty()
    show.play(trajectory, file=file, **{"seconds": 0, **options})
    return file.getvalue()


def until_step(out: str, step: int) -> str:
    """The output up to the end of a step's frame."""
    return out[: out.index("\033[J", out.index(f"step {step} /")) + 3]


def test_each_frame_is_drawn_over_the_previous_one():
    out = played(by_hand(["a###", "a###"], ["a#c#", "ab##"], ["abcd", "abce"], given=PROMPT))
    assert Screen(until_step(out, 0)).text == "a···\na···\nstep 0 / 2   0% of the gaps filled"
    assert Screen(until_step(out, 1)).text == "a·c·\nab··\nstep 1 / 2   33% of the gaps filled"
    screen = Screen(out)
    assert screen.text == "abcd\nabce" and screen.cursor and screen.style == ""


def test_nothing_of_the_previous_frame_is_left():
    assert Screen(until_step(played(unmasked(LINE)), 64)).text.endswith("   0% masked")
    shrinks = played(by_hand(["日" * 40], ["a" * 40], mask=False))
    assert Screen(until_step(shrinks, 0)).text.startswith("日" * 32 + "\n" + "日" * 8 + "\n\nstep")
    assert Screen(until_step(shrinks, 1)).text == "a" * 40 + "\nstep 1 / 1   t = 0.00   0% unsettled"


def test_the_cursor_is_hidden_during_playback():
    assert not Screen(until_step(played(unmasked(LINE)), 3)).cursor


def test_line_breaks_are_symbols_during_playback_and_real_at_the_end():
    out = played(by_hand(["###", "###"], ["a\nb", "c\n#"], ["a\nb", "c\nd"]))
    assert Screen(until_step(out, 1)).text.startswith("a⏎b\nc⏎·\n")
    assert Screen(out).text == "a\nb\n\nc\nd"


@pytest.mark.parametrize(("columns", "lines"), [(80, 24), (20, 24), (70, 5), (2, 3)])
def test_long_texts_are_wrapped_and_stay_in_the_window(monkeypatch, columns, lines):
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("LINES", str(lines))
    out = played(unmasked(*[LINE * 2] * 3))
    playback = out[: out.rindex("\033[?25h")]  # the terminal itself wraps the final texts after this
    Screen(playback, columns, lines)
    assert Screen(out, width=1000).text == "\n".join([LINE * 2] * 3)
    assert ("more texts" in out) == (columns == 70)  # if there is room to say so


@pytest.mark.parametrize(
    ("text", "columns", "lines"), [("日本語", 4, "日本\n語\n"), ("e\u0301e\u0301", 2, "e\u0301e\u0301\n")]
)
def test_wide_characters_take_two_columns_and_accents_none(monkeypatch, text, columns, lines):
    monkeypatch.setenv("COLUMNS", str(columns + 1))  # the last column stays empty
    out = played(by_hand([text], mask=False))
    assert Screen(out[: out.index("\033[J")]).text.startswith(lines)


def test_the_cursor_comes_back_after_an_interrupt(monkeypatch):
    def interrupt(_):
        raise KeyboardInterrupt

    monkeypatch.setattr("time.sleep", interrupt)
    file = Tty()
    with pytest.raises(KeyboardInterrupt):
        show.play(unmasked(LINE), file=file)
    screen = Screen(file.getvalue())
    assert screen.cursor and screen.style == "" and "step 0 / 64" in screen.text


def test_every_mark_has_its_own_style_even_without_color(monkeypatch):
    absorbing = by_hand(["a###"], ["a#c#"], ["abcd"], given=PROMPT)
    assert {"4;36", "1;7;33"} <= Screen(played(absorbing)).styles
    monkeypatch.setenv("NO_COLOR", "1")
    assert Screen(played(absorbing)).styles == {"", "1;7", "2", "4"}  # settled, just changed, masked, given
    assert Screen(played(by_hand(["ab"], ["bb"], mask=False))).styles == {"", "1;7", "2", "2;3"}  # also unsettled


def test_no_control_character_reaches_the_terminal():
    evil = "\033[2J\x07\r\x9b\x7f\u202e\u2028\ud800"
    for out in (played(unmasked(evil)), played(unmasked(evil), plain=True), played(unmasked(evil), io.StringIO())):
        assert Screen(out).text == "\ufffd[2J" + "\ufffd" * 7


def test_characters_outside_the_encoding_are_replaced():
    file = Tty()
    file.encoding = "ascii"
    out = played(by_hand(["###"], ["a\n#"], ["a\né"]), file)
    out.encode("ascii")
    assert Screen(until_step(out, 1)).text.startswith("a/_\n") and Screen(out).text == "a\n?"


@pytest.mark.parametrize("options", [{"file": io.StringIO()}, {"plain": True}])
def test_without_a_terminal_only_the_final_texts_are_printed(options):
    assert played(by_hand(["##", "##"], ["ab", "cd"]), **options) == "ab\ncd\n"


def test_a_dumb_terminal_gets_only_the_final_texts(monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    assert played(by_hand(["##"], ["ab"])) == "ab\n"


def test_one_row_and_standard_output(capsys):
    show.play(by_hand(["##", "##"], ["ab", "cd"]), row=-1)
    assert capsys.readouterr().out == "cd\n"


@pytest.mark.slow  # torch is imported in a new process
def test_picture_libraries_are_imported_only_when_needed():
    code = "import sys, tinysedd.show; print({'matplotlib', 'PIL', 'IPython', 'ipywidgets'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "set()"


def test_every_public_name_can_be_imported():
    assert all(callable(getattr(show, name)) or name.isupper() for name in show.__all__)
    with pytest.raises(AttributeError, match="pie"):
        show.pie  # noqa: B018


# Files


def opened(path: Path) -> Image.Image:
    return Image.open(io.BytesIO(path.read_bytes()))


@pytest.mark.parametrize("extension", [".gif", ".png"])
def test_pictures_have_all_frames_and_hold_the_last(tmp_path, extension):
    path = show.save(unmasked(LINE), tmp_path / f"x{extension}")
    assert list(tmp_path.iterdir()) == [path] and path.stat().st_size < 1_000_000
    image = opened(path)
    stills = int(extension == ".png")  # a PNG has an extra picture for viewers that cannot animate it
    assert image.n_frames == 65 + stills and image.is_animated and image.info["loop"] == 0
    durations = []
    for i in range(stills, image.n_frames):
        image.seek(i)
        durations.append(image.info["duration"])
    assert durations == [60] * 64 + [2000]


def test_printing_many_texts_decodes_each_once(monkeypatch):
    """2,000 texts once took half a minute: each was decoded 2,000 times."""
    texts, decoded = [f"{i:04}" for i in range(2000)], []
    trajectory, decode = by_hand(texts), Alphabet.decode
    monkeypatch.setattr(Alphabet, "decode", lambda self, ids: decoded.append(1) or decode(self, ids))
    show.play(trajectory, file=(out := io.StringIO()))
    assert out.getvalue().split() == texts and len(decoded) == 2000


def test_png_and_gif_show_the_same_frames_and_the_still_picture_is_the_last(tmp_path):
    trajectory = by_hand(["ab##"], ["abc#"], ["abcd"], given=PROMPT)
    paths = [show.save(trajectory, tmp_path / name) for name in ("x.gif", "x.png")]
    gif, png = map(opened, paths)
    pictures = []
    for i in range(3):
        gif.seek(i), png.seek(i + 1)
        pictures.append(gif.convert("RGB").tobytes())
        same = png.convert("RGB").tobytes() == pictures[-1]
        assert same, f"frame {i}"  # not the bytes themselves, which pytest would compare for minutes
    still_is_last = opened(paths[1]).convert("RGB").tobytes() == pictures[-1]
    assert still_is_last and len(set(pictures)) == 3


def test_marks_can_be_told_apart_without_color():
    shapes = set()
    for mark in (GIVEN, MASKED, CHANGED, UNSETTLED, SETTLED):
        image = Image.new("RGB", (20, 48), PAPER)
        Pen(28).write(ImageDraw.Draw(image), 0, 0, "a", mark)
        shapes.add(image.convert("L").point(lambda level: 255 * (level == 255)).tobytes())  # white or not
    assert len(shapes) == 5


def test_long_texts_short_texts_and_a_trajectory_without_steps_can_be_drawn(tmp_path):
    for trajectory in (by_hand(["ab"]), unmasked(LINE * 3, steps=4), unmasked(*["cat"] * 20, steps=4)):
        for name in ("x.gif", "x.png"):
            opened(show.save(trajectory, tmp_path / name)).load()


def test_strip_shows_several_moments_in_one_still_picture():
    picture, single = show.strip(unmasked(LINE)), show.strip(unmasked(LINE), moments=1)
    image = Image.open(io.BytesIO(picture.png))
    data, metadata = picture._repr_png_()
    assert not getattr(image, "is_animated", False) and data == picture.png
    assert image.height == 3 * Image.open(io.BytesIO(single.png)).height
    assert metadata == {"width": image.width // 2, "alt": LINE} and repr(picture) == LINE


def test_animation_is_an_animated_picture():
    assert Image.open(io.BytesIO(show.animation(unmasked(LINE, steps=3)).png)).n_frames == 5


def test_txt_contains_all_final_texts(tmp_path):
    assert show.save(by_hand(["#"] * 9, ["é"] * 9), tmp_path / "x.txt").read_text("utf-8") == "é\n" * 9
    assert show.save(by_hand(["a\n", "\nb"]), tmp_path / "x.TXT").read_text("utf-8") == "a\n\n\n\nb\n"


def test_a_bad_path_is_reported(tmp_path):
    with pytest.raises(ValueError, match=r"'x.jpg': .* \.gif, \.png, \.html, \.txt"):
        show.save(by_hand(["ab"]), tmp_path / "x.jpg")
    with pytest.raises(ValueError, match=r"no folder .*nowhere.*create it first"):
        show.save(by_hand(["ab"]), tmp_path / "nowhere" / "x.gif")


def test_a_failed_save_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    path = tmp_path / "x.txt"
    path.write_text("old")

    def disk_full(*_):
        raise OSError("disk full")

    monkeypatch.setattr("os.replace", disk_full)
    with pytest.raises(OSError, match="disk full"):
        show.save(by_hand(["ab"]), path)
    assert list(tmp_path.iterdir()) == [path] and path.read_text() == "old"


# Player

EVIL = "</script><b>&'\"$key<!--\\u003c\n"


def content(page: str) -> dict:
    """The JSON in a player's script."""
    return json.loads(re.search(r"const data = (.*);\n", page)[1])


def test_text_cannot_become_html():
    page = html(unmasked(EVIL))
    assert page.count("<script") == page.count("</script>") == 1
    assert "<b>" not in page and "<!--" not in page and "innerHTML" not in page
    assert "<pre>&lt;/script&gt;&lt;b&gt;&amp;&#x27;&quot;$key&lt;!--\\u003c\n</pre>" in page
    assert content(page)["frames"][-1]["texts"] == [EVIL.replace("\n", "⏎")]


def test_player_contains_the_frames_and_the_legend():
    trajectory = by_hand(["a###"], ["a#c#"], ["abcd"], given=PROMPT)
    data = content(html(trajectory))
    assert [frame["texts"] for frame in data["frames"]] == [["a···"], ["a·c·"], ["abcd"]]
    assert [frame["marks"] for frame in data["frames"]] == [frame.marks for frame in frames(trajectory)]
    assert [name for name, marks in data["legend"]] == ["given", "· masked", "just changed", "settled"]
    assert 'max="2"' in html(trajectory)


def test_player_is_self_contained_and_small(tmp_path):
    trajectory = unmasked(*[LINE] * 20)
    page = show.save(trajectory, tmp_path / "x.html").read_text("utf-8")
    assert page.startswith("<!doctype html>") and "http" not in page and "src=" not in page and "@import" not in page
    assert len(page) < 200_000 and page.count(LINE) == 20 + 8  # all final texts, and eight in the last frame


def test_without_scripts_there_is_the_final_text_and_no_control():
    page = html(by_hand(["##", "##"], ["ab", "cd"]))
    page = re.sub("<script>.*</script>|<style>.*</style>", "", page, flags=re.DOTALL)
    assert "<details open><summary>Final text</summary><pre>ab\ncd</pre></details>" in page
    assert "<button" not in page and "<input" not in page


def test_jupyterlab_leaves_the_arrow_keys_to_the_slider():
    assert "lmSuppressShortcuts" in html(by_hand(["ab"]))  # it must be on the focused element itself


def test_players_on_one_page_do_not_clash_and_html_is_reproducible():
    one, other = unmasked("abc"), unmasked("abd")
    key = re.compile('data-trajectory="(.*?)"')
    assert html(one) == html(one) and key.search(html(one))[1] != key.search(html(other))[1]
    assert " id=" not in html(one)  # ids would repeat if a page has several players


def test_player_shows_itself_in_a_notebook():
    player = show.player(by_hand(["##", "##"], ["ab", "cd"]), rows=[1])
    assert content(player._repr_html_())["frames"][-1]["texts"] == ["cd"]
    assert repr(player) == "ab\ncd"

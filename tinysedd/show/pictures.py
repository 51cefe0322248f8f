"""Trajectories as pictures: drawn character by character on a grid, at twice the size, so that they stay crisp.

White paper whatever is around it, since a picture cannot know. Colors are Okabe and Ito's; each mark has a shape too.
"""

import io
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

import matplotlib
from PIL import Image, ImageChops, ImageDraw, ImageFont

from tinysedd.sampling import Trajectory
from tinysedd.show.frames import (
    CHANGED,
    COLUMNS,
    GIVEN,
    MASKED,
    PROVISIONAL,
    SETTLED,
    Frame,
    final_text,
    frames,
    legend,
    paragraphs,
)

PAPER, INK, GREY, RULE = (255, 255, 255), (26, 26, 26), (96, 96, 96), (214, 214, 214)
BLUE, ORANGE = (0, 114, 178), (230, 159, 0)
NOTHING = (255, 0, 255)  # the palette's place for what is not drawn at all
GRADES = 7  # of each pair of colors, for smooth letters
MARGIN, GAP = 32, 4  # pixels around everything, characters between texts side by side


@dataclass(frozen=True)
class Picture:
    """A PNG, in a notebook shown at half its size."""

    png: bytes
    text: str

    def _repr_png_(self):
        return self.png, {"width": Image.open(io.BytesIO(self.png)).width // 2, "alt": self.text}

    def __repr__(self) -> str:
        return self.text


def animation(trajectory: Trajectory, seconds: float = 4.0) -> Picture:
    """An animated picture for a notebook."""
    return Picture(png(trajectory, seconds), _alt(trajectory))


def strip(trajectory: Trajectory, moments: int = 3, rows: Iterable[int] | None = None) -> Picture:
    """Some moments below each other: with 3, the noise, half-way and the text."""
    shown = frames(trajectory, rows)
    chosen = [shown[round(i * (len(shown) - 1) / max(moments - 1, 1))] for i in range(moments)]
    whole = _below(_draw(chosen, legend(shown), only_last=True))
    return Picture(_bytes(_quantize(whole), "PNG"), _alt(trajectory))


def still_png(frames: list[Frame], legend: list[tuple[str, str]], *plots) -> bytes:
    """Some frames, and matplotlib figures below them, as one PNG."""
    images = [image.reduce(2) for frame in frames for image in _draw([frame], legend)]
    for plot in plots:
        plot.savefig(file := io.BytesIO(), format="png", dpi=100)
        images.append(Image.open(file).convert("RGB"))
    return _bytes(_below(images), "PNG")


def gif(trajectory: Trajectory, seconds: float = 4.0, hold: float = 2.0) -> bytes:
    """An animated GIF; the last frame is held."""
    first, *rest = _images(trajectory)
    return _bytes(first, "GIF", append_images=rest, duration=_durations(1 + len(rest), seconds, hold))


def png(trajectory: Trajectory, seconds: float = 4.0, hold: float = 2.0) -> bytes:
    """An animated PNG; the last frame is held. Where it cannot move, the last frame is what one sees."""
    images = _images(trajectory)
    nothing = len(_palette().getpalette()) // 3 - 1
    changes = images[:1]
    for before, now in zip(images, images[1:]):  # what stays the same is left out: a third of the size
        difference = ImageChops.difference(before.convert("RGB"), now.convert("RGB")).convert("L")
        changes.append(now.copy())
        changes[-1].paste(nothing, mask=difference.point(lambda d: 255 if d == 0 else 0))
    options = dict(append_images=changes, default_image=True, blend=1, transparency=nothing)
    return _bytes(images[-1], "PNG", duration=_durations(len(images), seconds, hold), **options)


def _images(trajectory: Trajectory) -> list[Image.Image]:
    shown = frames(trajectory)
    return [_quantize(image) for image in _draw(shown, legend(shown))]


def _below(images: list[Image.Image]) -> Image.Image:
    whole = Image.new("RGB", (max(image.width for image in images), sum(image.height for image in images)), PAPER)
    top = 0
    for image in images:
        whole.paste(image, (0, top))
        top += image.height
    return whole


def _bytes(image: Image.Image, format: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **({"save_all": True, "loop": 0} if options else {}), **options)
    return file.getvalue()


def _durations(count: int, seconds: float, hold: float) -> list[int]:
    """Milliseconds; a GIF counts in hundredths of a second, and browsers slow down below two of them."""
    each = max(round(100 * seconds / count), 2) * 10
    return [each] * (count - 1) + [round(1000 * hold)]


def _alt(trajectory: Trajectory) -> str:
    return paragraphs([final_text(text) for text in trajectory.texts])


@cache
def _font(size: int, style: str = "") -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(f"{matplotlib.get_data_path()}/fonts/ttf/DejaVuSansMono{style}.ttf", size)


def _draw(shown: list[Frame], legend: list[tuple[str, str]], only_last: bool = False) -> list[Image.Image]:
    """One image a frame, all of a size: the texts, a thin bar, and a line with step, time and (only_last?) the marks.

    Long texts are wrapped, short ones stand side by side.
    """
    big, small = Pen(28), Pen(22)
    count, length = len(shown[0].texts), len(shown[0].texts[0])
    across = max((COLUMNS + GAP) // (length + GAP), 1)
    lines = -(-length // COLUMNS)
    pitch = lines * big.height + (big.height // 3 if lines > 1 else 0)  # from one text down to the next
    key, key_marks = ((3 * gap).join(pieces) for gap, pieces in zip((" ", SETTLED), zip(*legend)))
    texts_width = min((length + GAP) * min(across, count) - GAP, COLUMNS) * big.width
    captions = max(len(frame.caption) for frame in shown)
    width = max(texts_width, (captions + 3 + len(key)) * small.width)
    bar = MARGIN + -(-count // across) * pitch + 12

    def image(frame: Frame, with_key: bool) -> Image.Image:
        image = Image.new("RGB", (width + 2 * MARGIN, bar + 12 + small.height + MARGIN), PAPER)
        draw = ImageDraw.Draw(image)
        for row, (text, marks) in enumerate(zip(frame.texts, frame.marks)):
            left, top = MARGIN + row % across * (length + GAP) * big.width, MARGIN + row // across * pitch
            for line in range(lines):
                part = slice(line * COLUMNS, (line + 1) * COLUMNS)
                big.write(draw, left, top + line * big.height, text[part], marks[part])
        draw.rectangle((MARGIN, bar, MARGIN + width - 1, bar + 3), RULE)
        if frame.step:
            draw.rectangle((MARGIN, bar, MARGIN + width * frame.step // frame.steps - 1, bar + 3), BLUE)
        small.write(draw, MARGIN, bar + 12, frame.caption, SETTLED * len(frame.caption))
        if with_key:
            small.write(draw, MARGIN + width - len(key) * small.width, bar + 12, key, key_marks)
        return image

    return [image(frame, not only_last or frame is shown[-1]) for frame in shown]


class Pen:
    """Writes characters of one size into the cells of a grid."""

    def __init__(self, size: int):
        self.size = size
        self.width, self.height = round(_font(size).getlength("x")), round(1.5 * size)

    def write(self, draw: ImageDraw.ImageDraw, left: int, top: int, text: str, marks: str):
        base, middle, bottom = top + round(1.1 * self.size), top + self.height // 2, top + self.height - 3
        for x, c, mark in zip(range(left, left + len(text) * self.width, self.width), text, marks):
            right = x + self.width - 1
            if mark == MASKED:
                draw.rectangle((x + self.width // 2 - 3, middle - 3, x + self.width // 2 + 3, middle + 3), GREY)
                continue
            if mark == CHANGED:
                draw.rectangle((x, top + 2, right, bottom), ORANGE)
                draw.line((x, bottom, right, bottom), INK, 3)
            if mark == GIVEN:
                draw.line((x, base + 6, right, base + 6), BLUE, 3)
            style = {CHANGED: "-Bold", PROVISIONAL: "-Oblique"}.get(mark, "")
            draw.text((x, base), c, GREY if mark == PROVISIONAL else INK, _font(self.size, style), anchor="ls")


@cache
def _palette() -> Image.Image:
    pairs = [(INK, PAPER), (GREY, PAPER), (INK, ORANGE), (INK, BLUE), (BLUE, PAPER), (RULE, RULE)]
    mix = [a + (b - a) * i // (GRADES - 1) for ink, paper in pairs for i in range(GRADES) for a, b in zip(ink, paper)]
    palette = Image.new("P", (1, 1))
    palette.putpalette([*mix, *NOTHING])
    return palette


def _quantize(image: Image.Image) -> Image.Image:
    """One palette for all frames: smaller, and nothing flickers."""
    return image.quantize(palette=_palette(), dither=Image.Dither.NONE)

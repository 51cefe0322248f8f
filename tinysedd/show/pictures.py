"""Trajectories as pictures, drawn character by character on a grid, at double resolution so that they stay crisp.

The background is always white, because a picture does not know whether the page around it is light or dark. The colors
are Okabe and Ito's. Each mark also differs in shape, so no state is shown by color alone.
"""

import io
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from PIL import Image, ImageChops, ImageDraw, ImageFont

from tinysedd.sampling import Trajectory
from tinysedd.show import fonts
from tinysedd.show.frames import (
    CHANGED,
    COLUMNS,
    GIVEN,
    MASKED,
    SETTLED,
    UNSETTLED,
    Frame,
    frames,
    is_forward,
    join_texts,
    legend,
    readable,
)

if TYPE_CHECKING:  # an import of half a second, not needed to draw a trajectory
    from matplotlib.figure import Figure

PAPER, INK, GRAY, TRACK = (255, 255, 255), (26, 26, 26), (96, 96, 96), (214, 214, 214)
BLUE, ORANGE = (0, 114, 178), (230, 159, 0)
UNCHANGED = (255, 0, 255)  # palette entry for pixels that stay as they were in the previous frame
SHADES = 7  # palette entries per pair of colors, for antialiased letters
MARGIN, GAP = 32, 4  # margin in pixels; gap between texts side by side, in characters


@dataclass(frozen=True)
class Picture:
    """A PNG with alt text. A notebook displays it at half its size in pixels, since it has double resolution."""

    png: bytes
    text: str

    def _repr_png_(self):
        return self.png, {"width": Image.open(io.BytesIO(self.png)).width // 2, "alt": self.text}

    def __repr__(self) -> str:
        return self.text


def animation(trajectory: Trajectory, seconds: float = 4.0) -> Picture:
    """An animated picture of the first 8 texts, for a notebook. It plays for `seconds`, then holds the last frame."""
    return Picture(png(trajectory, seconds), _alt(trajectory))


def strip(trajectory: Trajectory, moments: int = 3, rows: Iterable[int] | None = None) -> Picture:
    """Evenly spaced moments one below the other, as a still picture. With 3: noise, halfway and final text.

    rows: the indices of the texts to show; by default the first 8.
    """
    shown = frames(trajectory, rows)
    chosen = [shown[round(i * (len(shown) - 1) / max(moments - 1, 1))] for i in range(moments)]
    image = _stack(_draw(chosen, legend(shown), legend_on_all=False))
    return Picture(_encode(_quantize(image), "PNG"), _alt(trajectory))


def still_png(frames: list[Frame], legend: list[tuple[str, str]], *figures: "Figure") -> bytes:
    """Frames, one below the other, with matplotlib figures below them, as one PNG at normal resolution."""
    images = [image.reduce(2) for image in _draw(frames, legend, legend_on_all=False)] if frames else []
    for figure in figures:
        figure.savefig(file := io.BytesIO(), format="png", dpi=100)
        images.append(Image.open(file).convert("RGB"))
    return _encode(_stack(images).quantize(256, dither=Image.Dither.NONE), "PNG")


def gif(trajectory: Trajectory, seconds: float = 4.0, hold: float = 2.0) -> bytes:
    """An animated GIF of the first 8 texts. It plays for `seconds`, then holds the last frame for `hold` seconds."""
    first, *rest = _images(trajectory)
    return _encode(first, "GIF", append_images=rest, duration=_durations(1 + len(rest), seconds, hold))


def png(trajectory: Trajectory, seconds: float = 4.0, hold: float = 2.0) -> bytes:
    """An animated PNG of the first 8 texts, timed as in `gif`. A viewer that cannot animate it shows the last
    frame, or of forward noising the middle one."""
    images = _images(trajectory)
    unchanged = len(_colors()) // 3 - 1  # index in the palette
    changes = images[:1]
    for previous, now in zip(images, images[1:]):  # leave out unchanged pixels: a third of the file size
        difference = ImageChops.difference(previous.convert("RGB"), now.convert("RGB")).convert("L")
        changes.append(now.copy())
        changes[-1].paste(unchanged, mask=difference.point(lambda d: 255 if d == 0 else 0))
    options = dict(append_images=changes, default_image=True, blend=1, transparency=unchanged)
    still = images[len(images) // 2 if is_forward(trajectory) else -1]
    return _encode(still, "PNG", duration=_durations(len(images), seconds, hold), **options)


def _images(trajectory: Trajectory) -> list[Image.Image]:
    shown = frames(trajectory)
    return [_quantize(image) for image in _draw(shown, legend(shown))]


def _stack(images: list[Image.Image]) -> Image.Image:
    """The images one below the other."""
    stacked = Image.new("RGB", (max(image.width for image in images), sum(image.height for image in images)), PAPER)
    top = 0
    for image in images:
        stacked.paste(image, (0, top))
        top += image.height
    return stacked


def _encode(image: Image.Image, format: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **({"save_all": True, "loop": 0} if options else {}), **options)
    return file.getvalue()


def _durations(count: int, seconds: float, hold: float) -> list[int]:
    """Frame durations in ms: multiples of 10, as a GIF needs, and at least 20, as browsers slow down shorter ones."""
    each = max(round(100 * seconds / count), 2) * 10
    return [each] * (count - 1) + [round(1000 * hold)]


def _alt(trajectory: Trajectory) -> str:
    if is_forward(trajectory):
        return "Noise is added to: " + join_texts([readable(text) for text in trajectory.texts_at(0)])
    return join_texts([readable(text) for text in trajectory.texts])


@cache
def _font(size: int, style: str = "") -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(f"{fonts.MONO}{style}.ttf", size)


@cache
def _font_of(c: str, size: int, style: str, width: int) -> tuple[ImageFont.FreeTypeFont, int]:
    """A font that has this character, and how far to move it to center it in a cell of this width, in pixels."""
    if ord(c) < 127:
        return _font(size, style), 0
    path, _ = fonts.find(c) or (f"{fonts.MONO}.ttf", "")
    if path == f"{fonts.MONO}.ttf":
        return _font(size, style), 0
    font = ImageFont.truetype(path, size)
    if font.getlength(c) > width:  # a wide one, such as a Chinese character
        font = ImageFont.truetype(path, max(int(size * width / font.getlength(c)), 1))
    return font, round((width - font.getlength(c)) / 2)


def _draw(shown: list[Frame], legend: list[tuple[str, str]], legend_on_all: bool = True) -> list[Image.Image]:
    """One image per frame, all of the same size: the texts, a thin progress bar, then the caption and the legend.

    Long texts are wrapped; short ones are set side by side. Without `legend_on_all` only the last image has a legend.
    """
    big, small = Pen(28), Pen(22)
    fonts.drawable("".join(text for frame in shown for text in frame.texts))  # one warning for all frames
    count, length = len(shown[0].texts), len(shown[0].texts[0])
    across = max((COLUMNS + GAP) // (length + GAP), 1)
    lines = -(-length // COLUMNS)
    pitch = lines * big.height + (big.height // 3 if lines > 1 else 0)  # pixels from one row of texts to the next
    names = "   ".join(name for name, _ in legend)
    name_marks = (3 * SETTLED).join(marks for _, marks in legend)
    texts_width = min((length + GAP) * min(across, count) - GAP, COLUMNS) * big.width
    caption = max(len(frame.caption) for frame in shown)
    width = max(texts_width, (caption + 3 + len(names)) * small.width)
    bar = MARGIN + -(-count // across) * pitch + 12

    def image(frame: Frame, with_legend: bool) -> Image.Image:
        image = Image.new("RGB", (width + 2 * MARGIN, bar + 12 + small.height + MARGIN), PAPER)
        draw = ImageDraw.Draw(image)
        for row, (text, marks) in enumerate(zip(frame.texts, frame.marks)):
            left, top = MARGIN + row % across * (length + GAP) * big.width, MARGIN + row // across * pitch
            for line in range(lines):
                part = slice(line * COLUMNS, (line + 1) * COLUMNS)
                big.write(draw, left, top + line * big.height, text[part], marks[part])
        draw.rectangle((MARGIN, bar, MARGIN + width - 1, bar + 3), TRACK)
        if frame.step:
            draw.rectangle((MARGIN, bar, MARGIN + width * frame.step // frame.steps - 1, bar + 3), BLUE)
        small.write(draw, MARGIN, bar + 12, frame.caption, SETTLED * len(frame.caption))
        if with_legend:
            small.write(draw, MARGIN + width - len(names) * small.width, bar + 12, names, name_marks)
        return image

    return [image(frame, legend_on_all or frame is shown[-1]) for frame in shown]


class Pen:
    """Writes characters of one font size into the cells of a grid, styled by their marks."""

    def __init__(self, size: int):
        self.size = size
        self.width, self.height = round(_font(size).getlength("x")), round(1.5 * size)

    def write(self, draw: ImageDraw.ImageDraw, left: int, top: int, text: str, marks: str) -> None:
        """Write a text with its marks on one line. left, top: the corner of its first cell, in pixels."""
        base, middle, bottom = top + round(1.1 * self.size), top + self.height // 2, top + self.height - 3
        text = fonts.drawable(text)
        for x, c, mark in zip(range(left, left + len(text) * self.width, self.width), text, marks):
            right = x + self.width - 1
            if mark == MASKED:
                draw.rectangle((x + self.width // 2 - 3, middle - 3, x + self.width // 2 + 3, middle + 3), GRAY)
                continue
            if mark == CHANGED:
                draw.rectangle((x, top + 2, right, bottom), ORANGE)
                draw.line((x, bottom, right, bottom), INK, 3)
            if mark == GIVEN:
                draw.line((x, base + 6, right, base + 6), BLUE, 3)
            style = {CHANGED: "-Bold", UNSETTLED: "-Oblique"}.get(mark, "")
            font, shift = _font_of(c, self.size, style, self.width)
            draw.text((x + shift, base), c, GRAY if mark == UNSETTLED else INK, font, anchor="ls")


def _colors() -> list[int]:
    """The palette as a flat list of RGB values, UNCHANGED last."""
    pairs = [(INK, PAPER), (GRAY, PAPER), (INK, ORANGE), (INK, BLUE), (BLUE, PAPER), (TRACK, TRACK)]
    mix = [a + (b - a) * i // (SHADES - 1) for ink, paper in pairs for i in range(SHADES) for a, b in zip(ink, paper)]
    return [*mix, *UNCHANGED]


@cache
def _palette() -> Image.Image:
    palette = Image.new("P", (1, 1))
    palette.putpalette(_colors())
    return palette


def _quantize(image: Image.Image) -> Image.Image:
    """The image in one palette that all frames share, which makes files smaller and avoids flicker."""
    return image.quantize(palette=_palette(), dither=Image.Dither.NONE)

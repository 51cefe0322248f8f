"""Fonts for characters that DejaVu Sans Mono, the font of all pictures, does not have: Chinese, Hebrew, emoji, ...

matplotlib comes with DejaVu fonts and finds the ones installed. Each character is drawn by itself, so writing that
joins or reorders its characters (Arabic, Devanagari) is legible, but not beautiful.
"""

import unicodedata
import warnings
from collections.abc import Iterable
from functools import cache

import matplotlib
from matplotlib.ft2font import FT2Font

from tinysedd.show.frames import UNKNOWN

MONO = f"{matplotlib.get_data_path()}/fonts/ttf/DejaVuSansMono"
# Fonts with a picture of a box for every character, in other encodings, or with bitmaps.
UNFIT = ("Last Resort", "cm", "STIXNonUnicode", "STIXSize", "Noto Color", "Apple Color", "Adobe Blank")
_warned: set[str] = set()


@cache
def find(c: str) -> tuple[str, str] | None:
    """The file and the family name of a font that has this character, preferably monospaced; None if none has it."""
    if _has(f"{MONO}.ttf", c):
        return f"{MONO}.ttf", "DejaVu Sans Mono"
    from matplotlib.font_manager import fontManager  # may look for fonts on the disk, which takes seconds once

    def rank(font) -> tuple:
        return "Mono" not in font.name, font.style != "normal", str(font.weight) not in ("400", "normal"), font.name

    for font in sorted(fontManager.ttflist, key=rank):
        if not font.name.startswith(UNFIT) and _has(font.fname, c):
            return font.fname, font.name
    return None


def families(texts: Iterable[str]) -> list[str]:
    """The families of all fonts needed for these texts, DejaVu Sans Mono first."""
    found = (find(c) for c in sorted(set("".join(texts))) if ord(c) > 126)
    return list(dict.fromkeys(["DejaVu Sans Mono", *(font[1] for font in found if font)]))


def drawable(text: str) -> str:
    """The text with a stand-in for each character that no font has. Warns once about each of them, by name."""
    missing = {c for c in set(text) if ord(c) > 126 and find(c) is None}
    new = sorted(missing - _warned)
    if new:
        _warned.update(new)
        names = ", ".join(f"{c!r} ({unicodedata.name(c, 'no name')})" for c in new[:5])
        rest = f" and {len(new) - 5} more" if len(new) > 5 else ""
        warnings.warn(f"no installed font has {names}{rest}: a picture shows {UNKNOWN} in place of each", stacklevel=3)
    return "".join(UNKNOWN if c in missing else c for c in text)


@cache
def _font(path: str) -> FT2Font | None:
    try:
        font = FT2Font(path)
    except (RuntimeError, OSError):  # a format that matplotlib cannot draw
        return None
    return font if font.scalable else None


def _has(path: str, c: str) -> bool:
    font = _font(path)
    return font is not None and font.get_char_index(ord(c)) != 0

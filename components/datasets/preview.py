"""Draws a contact sheet: a few images of every class, for a person to look at."""

from __future__ import annotations

import contextlib
import functools
import unicodedata
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from headstart.components.atomic_files import whole_file
from headstart.components.datasets.packed import PackedDataset, release

_SIDE = 52
_GAP = 4
_TITLE = 150
_ROW_LIMIT = 150
"""Classes that are shown at most; a sheet of a thousand rows is no use."""
# Pillow's own font has ASCII alone. These are looked for by Pillow where each system keeps its fonts.
_FONTS = ("DejaVuSans.ttf", "NotoSans-Regular.ttf", "NotoSansCJK-Regular.ttc", "Arial Unicode.ttf", "arial.ttf")

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@functools.cache
def _fonts() -> list[Font]:
    found: list[Font] = [ImageFont.load_default(13)]
    for name in _FONTS:
        with contextlib.suppress(OSError):
            found.append(ImageFont.truetype(name, 13))
    return found


def _draws(font: Font, text: str) -> bool:
    missing = bytes(font.getmask("\uffff"))
    return all(mark.isspace() or bytes(font.getmask(mark)) != missing for mark in text)


def font_for(text: str) -> tuple[Font, str]:
    """Return a font with every letter of a class name, and the name; without accents where there is no such font."""
    if text.isascii():
        return ImageFont.load_default(13), text
    for font in _fonts():
        if _draws(font, text):
            return font, text
    plain = "".join(mark for mark in unicodedata.normalize("NFKD", text) if not unicodedata.combining(mark))
    return _fonts()[0], plain


def write_preview(packed: Path, path: Path, per_class: int = 6) -> None:
    """Write a PNG with a row per class: its name, and `per_class` training images spread evenly over the class.

    From 25 classes on the rows are in two columns.
    """
    dataset = PackedDataset(packed, checked=False)
    images, labels = dataset.split("train")
    classes = dataset.classes[:_ROW_LIMIT]
    columns = 1 if len(classes) < 25 else 2
    rows = -(-len(classes) // columns)
    width = _TITLE + per_class * (_SIDE + _GAP) + _GAP
    sheet = Image.new("RGB", (columns * width, rows * (_SIDE + _GAP) + _GAP), "white")
    draw = ImageDraw.Draw(sheet)
    for index, name in enumerate(classes):
        left, top = index // rows * width, index % rows * (_SIDE + _GAP) + _GAP
        font, title = font_for(name if len(name) <= 20 else f"{name[:19]}…")
        draw.text((left + _GAP, top + _SIDE // 2), title, fill="black", font=font, anchor="lm")
        members = np.flatnonzero(labels == index)
        shown = members[np.linspace(0, len(members) - 1, min(per_class, len(members))).astype(int)]
        for place, row in enumerate(shown):
            image = Image.fromarray(np.asarray(images[row])).resize((_SIDE, _SIDE), Image.Resampling.BILINEAR)
            sheet.paste(image, (left + _TITLE + place * (_SIDE + _GAP), top))
        release(images)
    with whole_file(path) as partial:
        sheet.save(partial, format="PNG")

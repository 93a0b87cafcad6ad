"""Draws the demonstration data: textures at 32×32 as source set, fruit at 100×100 on white as intermediate set.

Nothing is downloaded and every machine draws the same pixels: random numbers are uniform draws of PCG64, waves come
from a table of rounded values, and the rest is addition, multiplication, division and square root, which IEEE 754
rounds alike everywhere. Sine and exponential of arrays, sums and matrix products are not used, since their last bit
depends on the processor.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from headstart.components.datasets.collection import TEST, TRAIN, Collection
from headstart.components.datasets.packed import Pixels
from headstart.components.datasets.splitting import generator
from headstart.components.errors import SettingError

Plane = npt.NDArray[np.floating[Any]]
Colour = tuple[int, int, int]

SOURCE_SIDE = 32
FRUIT_SIDE = 100
SOURCE_IMAGES = {TRAIN: 90, TEST: 20}
FRUIT_IMAGES = {TRAIN: 66, TEST: 30}

_TURN = 4096
_WAVE = np.array([round(math.sin(2 * math.pi * step / _TURN), 6) for step in range(_TURN)], np.float32)


def wave(turns: Plane) -> Plane:
    """Return the sine of `turns` whole turns, to six places."""
    turned: Plane = _WAVE[np.floor(turns * _TURN).astype(np.int32) & (_TURN - 1)]
    return turned


def _grid(side: int) -> tuple[Plane, Plane]:
    """Coordinates of pixel centres from -1 to 1: x to the right, y downwards, each 1 × side × side."""
    line = ((np.arange(side) * 2 + 1) / side - 1).astype(np.float32)
    return np.broadcast_to(line[None, None, :], (1, side, side)), np.broadcast_to(line[None, :, None], (1, side, side))


def _column(values: npt.ArrayLike) -> Plane:
    return np.asarray(values, np.float32).reshape(-1, 1, 1)


def _soft(distance: Plane, width: float) -> Plane:
    """Return 0 to 1 as `distance` goes from -width to width: an edge without steps."""
    share: Plane = np.clip(distance / (2 * width) + 0.5, 0, 1)
    return share


def _noise(rng: np.random.Generator, count: int, side: int, cells: int) -> Plane:
    """Return count × side × side of smooth noise from 0 to 1, bilinear between `cells` × `cells` random values."""
    values = rng.random((count, cells + 1, cells + 1), np.float32)
    place = (np.arange(side) + 0.5) / side * cells
    low = place.astype(np.int64)
    part = (place - low).astype(np.float32)
    rows = values[:, low] * (1 - part)[None, :, None] + values[:, low + 1] * part[None, :, None]
    return rows[:, :, low] * (1 - part) + rows[:, :, low + 1] * part


# --- textures -------------------------------------------------------------------------------------------------------

Pattern = Callable[[Plane, Plane, Plane], Plane]


def _cells(x: Plane, y: Plane, frequency: float) -> tuple[Plane, Plane]:
    u, v = x * frequency, y * frequency
    return u - np.floor(u) - 0.5, v - np.floor(v) - 0.5


def _dots(x: Plane, y: Plane, frequency: float) -> Plane:
    u, v = _cells(x, y, frequency)
    return _soft(0.32 - np.sqrt(u * u + v * v), 0.12)


def _crosses(x: Plane, y: Plane, frequency: float) -> Plane:
    u, v = _cells(x, y, frequency)
    near = np.minimum(np.abs(u), np.abs(v))
    return _soft(0.13 - near, 0.06) * _soft(0.4 - np.maximum(np.abs(u), np.abs(v)), 0.06)


# Each takes coordinates that are already shifted, turned and scaled for the image, and smooth noise.
PATTERNS: dict[str, Pattern] = {
    "stripes": lambda x, y, n: wave(x * 1.6) * 0.5 + 0.5,
    "fine stripes": lambda x, y, n: wave(x * 3.4) * 0.5 + 0.5,
    "checks": lambda x, y, n: _soft(wave(x * 1.5) * wave(y * 1.5), 0.2),
    "plaid": lambda x, y, n: (wave(x * 2.2) + wave(y * 2.2)) * 0.25 + 0.5,
    "dots": lambda x, y, n: _dots(x, y, 1.6),
    "fine dots": lambda x, y, n: _dots(x, y, 2.8),
    "crosses": lambda x, y, n: _crosses(x, y, 1.5),
    "rings": lambda x, y, n: wave(np.sqrt(x * x + y * y) * 2.4) * 0.5 + 0.5,
    "waves": lambda x, y, n: wave(x * 2.0 + wave(y * 1.2) * 0.35) * 0.5 + 0.5,
    "disc": lambda x, y, n: _soft(0.7 - np.sqrt(x * x + y * y), 0.08),
    "oval": lambda x, y, n: _soft(0.75 - np.sqrt(x * x * 3.2 + y * y), 0.1),
    "box": lambda x, y, n: _soft(0.6 - np.maximum(np.abs(x), np.abs(y)), 0.08),
    "drop": lambda x, y, n: _soft(0.72 - np.sqrt(x * x * (2.3 + 1.5 * y) + y * y), 0.08),
    "clouds": lambda x, y, n: n,
}
PALETTES: dict[str, tuple[Colour, Colour]] = {
    "red": ((190, 50, 45), (235, 200, 150)),
    "green": ((90, 140, 50), (215, 220, 140)),
    "blue": ((60, 70, 150), (190, 170, 210)),
}


def _textures(rng: np.random.Generator, count: int, pattern: Pattern, palette: tuple[Colour, Colour]) -> Pixels:
    x, y = _grid(SOURCE_SIDE)
    turn = rng.random(count, np.float32) * 0.25 - 0.125
    scale = _column(0.85 + 0.3 * rng.random(count, np.float32))
    cos, sin = _column(wave(turn + 0.25)), _column(wave(turn))
    dx, dy = _column(rng.random(count, np.float32) * 0.6 - 0.3), _column(rng.random(count, np.float32) * 0.6 - 0.3)
    u, v = ((x - dx) * cos + (y - dy) * sin) * scale, ((y - dy) * cos - (x - dx) * sin) * scale
    amount = pattern(u, v, _noise(rng, count, SOURCE_SIDE, 5))[..., None]
    jitter = rng.random((2, count, 1, 1, 3), np.float32) * 70 - 35
    dark, light = (np.array(colour, np.float32) + shift for colour, shift in zip(palette, jitter, strict=True))
    image = dark * amount + light * (1 - amount)
    image *= (0.75 + 0.5 * _noise(rng, count, SOURCE_SIDE, 2))[..., None]
    image += rng.random(image.shape, np.float32) * 50 - 25
    pixels: Pixels = np.clip(image, 0, 255).astype(np.uint8)
    return pixels


# --- fruit ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Variety:
    """How one fruit looks; lengths are shares of half the picture's width."""

    name: str
    length: float
    """Half of the length along the axis."""
    width: float
    """Half of the largest width across the axis."""
    neck: float
    """How much narrower the stem's end is: 0 round, 0.6 a pear."""
    skin: Colour
    blush: Colour
    blushed: float = 0.5
    """Share of the skin that the blush covers."""
    speckle: float = 0.06
    """Strength of fine spots."""
    ridges: float = 0.0
    """Strength of a diamond pattern, as a pineapple's."""
    bend: float = 0.0
    """Curvature of the axis, as a banana's."""
    stem: bool = True


VARIETIES = (
    Variety("Apple Braeburn", 0.72, 0.76, 0.06, (188, 62, 48), (206, 160, 76), 0.45),
    Variety("Apple Golden 1", 0.70, 0.74, 0.08, (206, 190, 92), (188, 182, 80), 0.4, 0.1),
    Variety("Apple Granny Smith", 0.72, 0.76, 0.05, (132, 170, 66), (150, 184, 84), 0.4, 0.08),
    Variety("Apple Pink Lady", 0.76, 0.74, 0.1, (204, 88, 84), (212, 176, 98), 0.5),
    Variety("Apple Red 1", 0.70, 0.76, 0.07, (164, 34, 38), (186, 74, 50), 0.4, 0.08),
    Variety("Apple Red Yellow 1", 0.72, 0.74, 0.08, (196, 84, 52), (220, 188, 88), 0.6),
    Variety("Pear", 0.84, 0.66, 0.42, (188, 186, 88), (168, 168, 72), 0.4, 0.12),
    Variety("Pear Abate", 0.92, 0.54, 0.48, (184, 172, 86), (150, 128, 66), 0.5, 0.16),
    Variety("Pear Forelle", 0.82, 0.64, 0.40, (200, 178, 76), (190, 72, 48), 0.55, 0.12),
    Variety("Pear Red", 0.84, 0.64, 0.42, (150, 48, 46), (172, 86, 60), 0.4, 0.08),
    Variety("Pear Williams", 0.84, 0.68, 0.38, (206, 194, 96), (196, 158, 78), 0.4, 0.1),
    Variety("Avocado", 0.84, 0.60, 0.34, (58, 72, 40), (78, 92, 50), 0.4, 0.2),
    Variety("Banana", 0.92, 0.28, 0.1, (222, 192, 74), (190, 180, 84), 0.3, 0.04, bend=0.5),
    Variety("Cherry Rainier", 0.62, 0.64, 0.04, (200, 76, 58), (226, 184, 96), 0.5, 0.04),
    Variety("Eggplant", 0.92, 0.50, 0.36, (62, 40, 66), (84, 56, 84), 0.3, 0.04),
    Variety("Guava", 0.78, 0.66, 0.28, (164, 178, 88), (186, 188, 104), 0.5, 0.12, stem=False),
    Variety("Kiwi", 0.78, 0.62, 0.02, (132, 108, 66), (150, 124, 78), 0.4, 0.24, stem=False),
    Variety("Lemon", 0.80, 0.60, 0.1, (226, 202, 64), (214, 196, 84), 0.4, 0.1, stem=False),
    Variety("Limes", 0.72, 0.66, 0.06, (122, 164, 58), (148, 178, 76), 0.4, 0.12, stem=False),
    Variety("Nectarine", 0.70, 0.74, 0.04, (186, 62, 46), (222, 164, 72), 0.5, 0.08, stem=False),
    Variety("Orange", 0.74, 0.75, 0.0, (226, 140, 48), (218, 150, 62), 0.4, 0.14, stem=False),
    Variety("Pepper Red", 0.80, 0.66, -0.18, (182, 36, 34), (164, 44, 36), 0.4, 0.02),
    Variety("Pineapple", 0.92, 0.60, 0.02, (168, 118, 52), (128, 128, 62), 0.5, 0.12, ridges=0.5),
    Variety("Pineapple Mini", 0.82, 0.56, 0.06, (182, 130, 58), (140, 124, 56), 0.5, 0.12, ridges=0.4),
    Variety("Plum", 0.74, 0.64, 0.04, (94, 48, 76), (134, 66, 76), 0.5, 0.06, stem=False),
    Variety("Quince", 0.76, 0.72, 0.2, (212, 190, 74), (184, 176, 84), 0.4, 0.14),
    Variety("Tomato 1", 0.66, 0.76, 0.0, (190, 46, 36), (204, 82, 44), 0.4, 0.02),
)


def _draw_fruit(rng: np.random.Generator, variety: Variety, angle: Plane, tumbling: npt.NDArray[np.bool_]) -> Pixels:
    """Draw one fruit from each of N angles (turns): it turns about its axis, or tumbles across it as well."""
    count = len(angle)
    x, y = _grid(FRUIT_SIDE)
    roll = np.where(tumbling, angle, np.float32(0)) + rng.random(count, np.float32) * 0.12 - 0.06
    # Tumbling tips the axis out of the picture too, so that the fruit looks shorter.
    seen = 1 - np.where(tumbling, np.float32(0.3), np.float32(0.06)) * (0.5 + 0.5 * wave(angle * 2 + 0.1))
    size = 0.82 + 0.2 * rng.random(count, np.float32)
    cos, sin = _column(wave(roll + 0.25)), _column(wave(roll))
    dx, dy = _column(rng.random(count, np.float32) * 0.1 - 0.05), _column(rng.random(count, np.float32) * 0.1 - 0.05)
    px, py = (x - dx) / _column(size), (y - dy) / _column(size)
    along, across = py * cos - px * sin, px * cos + py * sin  # along the axis: -1 at the stem
    t = along / _column(variety.length * seen)
    across = across - variety.bend * (t * t - 0.5)
    taper = np.clip(1 + variety.neck * (np.clip(t, -1, 1) * 1.1 - 0.35), 0.2, 2)
    s = across / (variety.width * taper)
    reach = t * t + s * s
    body = _soft(1 - reach, 0.06)
    depth = np.sqrt(np.clip(1 - reach, 0, 1))
    # Where on the skin a pixel lies: height along the axis and turns around it, which the film moves.
    around = s * (0.25 + 0.05 * s * s) + _column(angle)
    skin, blush = np.array(variety.skin, np.float32), np.array(variety.blush, np.float32)
    covered = _soft(wave(around + 0.15 * t) * 0.6 + 0.4 * t + (variety.blushed - 0.5) * 2, 0.5)[..., None]
    image = blush * covered + skin * (1 - covered)
    spots = wave(around * 9 + wave(t * 2.3) * 0.4) * wave(t * 5.1 + wave(around * 3) * 0.3)
    grain = _noise(rng, count, FRUIT_SIDE, 25) - 0.5
    tone = 1 + variety.speckle * (spots + 2 * grain)
    if variety.ridges:
        tone = tone - variety.ridges * _soft(
            np.abs(wave(around * 5 + t * 2) * wave(around * 5 - t * 2)) * -1 + 0.25, 0.2
        )
    light = 0.5 + 0.45 * depth - 0.16 * (px + py) * (0.5 + 0.5 * _column(rng.random(count, np.float32)))
    gloss = np.clip(1 - 9 * ((px + 0.28) * (px + 0.28) + (py + 0.3) * (py + 0.3)), 0, 1) * 46
    image = image * (tone * light)[..., None] + (gloss * _column(rng.random(count, np.float32)))[..., None]
    # The lamp's colour and strength differ a little from picture to picture.
    image = (
        image
        * (0.8 + 0.36 * rng.random((count, 1, 1, 1), np.float32))
        * (0.94 + 0.12 * rng.random((count, 1, 1, 3), np.float32))
    )
    image = image * body[..., None] + 255 * (1 - body)[..., None]
    if variety.stem:
        stem = _soft(0.035 - np.abs(across - 0.1 * (t + 1)), 0.015) * _soft(-0.9 - t, 0.03) * _soft(t + 1.22, 0.03)
        image = image * (1 - stem)[..., None] + np.array((92, 70, 48), np.float32) * stem[..., None]
    pixels: Pixels = np.clip(image + rng.random(image.shape, np.float32) * 8 - 4, 0, 255).astype(np.uint8)
    return pixels


def _gather(name: str, classes: list[str], parts: list[tuple[int, int, Pixels, list[str]]]) -> Collection:
    parts.sort(key=lambda part: (part[0], part[1]))
    return Collection(
        name=name,
        classes=classes,
        labels=np.concatenate([np.full(len(pixels), label, np.int32) for _, label, pixels, _ in parts]),
        splits=np.concatenate([np.full(len(pixels), split, np.int8) for split, _, pixels, _ in parts]),
        pixels=np.concatenate([pixels for _, _, pixels, _ in parts]),
        groups=[group for *_, groups in parts for group in groups],
        grouped=True,
        notes=["Drawn by the program for demonstration; no photograph is in it."],
    )


def draw_source(seed: int = 0) -> Collection:
    """Draw the source set: uint8 32 × 32 textures, a class for each pattern in each palette."""
    classes = sorted(f"{pattern} {palette}" for pattern in PATTERNS for palette in PALETTES)
    parts: list[tuple[int, int, Pixels, list[str]]] = []
    for label, name in enumerate(classes):
        pattern, _, palette = name.rpartition(" ")
        for split, count in SOURCE_IMAGES.items():
            rng = generator(seed, "demonstration", name, str(split))
            drawn = _textures(rng, count, PATTERNS[pattern], PALETTES[palette])
            parts.append((split, label, drawn, [f"{name}/{split}/{row}" for row in range(count)]))
    return _gather("demonstration textures", classes, parts)


def draw_fruits(seed: int = 0) -> Collection:
    """Draw the fruit set: uint8 100 × 100, every variety filmed twice while it turns, once about its axis.

    As in Fruits-360, training and test are frames of the same films.
    """
    classes = sorted(variety.name for variety in VARIETIES)
    parts: list[tuple[int, int, Pixels, list[str]]] = []
    for variety in VARIETIES:
        label = classes.index(variety.name)
        rng = generator(seed, "demonstration", variety.name)
        total = sum(FRUIT_IMAGES.values())
        angle = (rng.permutation(total) / total).astype(np.float32)
        tumbling = rng.random(total, np.float32) < 0.5
        start = 0
        for split, count in FRUIT_IMAGES.items():
            part = slice(start, start + count)
            # A few at a time, so that the planes stay in the processor's cache.
            drawn = np.concatenate(
                [
                    _draw_fruit(
                        rng, variety, angle[low : min(low + 6, part.stop)], tumbling[low : min(low + 6, part.stop)]
                    )
                    for low in range(part.start, part.stop, 6)
                ]
            )
            films = [f"{variety.name}/{'r' if tumbles else ''}" for tumbles in tumbling[part]]
            parts.append((split, label, drawn, films))
            start += count
    return _gather("demonstration fruit", classes, parts)


def draw(uri: str, seed: int = 0) -> Collection:
    """Draw what `demo:source` or `demo:fruits` names; SettingError for any other name."""
    drawn = {"demo:source": draw_source, "demo:fruits": draw_fruits}
    if uri not in drawn:
        raise SettingError(f"{uri}: there is no such demonstration data.", f"There is {' and '.join(drawn)}.")
    return drawn[uri](seed)

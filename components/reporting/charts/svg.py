"""A drawing that becomes an inline SVG element, and a figure: drawing, caption and text alternative."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from markupsafe import Markup, escape

from headstart.components.foreign_text import printable
from headstart.components.stages import ARMS, STAGES

Point = tuple[float, float]

# Width of every picture in user units; on a phone this many units share about 340 pixels.
WIDTH = 440.0


def look(name: str) -> str:
    """The class that gives an arm its colour and dashes: `control`, `treatment`, `treatment-2`; or the name itself."""
    if name in STAGES and name not in ARMS:
        return "depth"
    if name not in ARMS:
        return name
    role = STAGES[name].role
    place = [arm for arm in ARMS if STAGES[arm].role == role].index(name)
    return f"{role}-{place + 1}" if place else role


@dataclass(frozen=True)
class Figure:
    """A finished picture with the line below it."""

    title: str
    svg: Markup
    caption: str
    tall: bool = False
    wide: bool = False


@dataclass
class Drawing:
    """Shapes in user units, y downwards; classes name what a shape is, the style sheet says how it looks."""

    height: float
    parts: list[str] = field(default_factory=list)

    def _add(self, tag: str, inside: Markup | None = None, **attributes: object) -> None:
        said = "".join(
            f' {name.rstrip("_").replace("_", "-")}="{escape(_number(value))}"'
            for name, value in attributes.items()
            if value is not None
        )
        self.parts.append(f"<{tag}{said}/>" if inside is None else f"<{tag}{said}>{inside}</{tag}>")

    def line(self, start: Point, end: Point, kind: str) -> None:
        """A straight line."""
        self._add("line", x1=start[0], y1=start[1], x2=end[0], y2=end[1], class_=kind)

    def path(self, points: Sequence[Point], kind: str) -> None:
        """A line through points."""
        places = [f"{_number(x)} {_number(y)}" for x, y in points]
        self._add("path", d="M" + "L".join(places), class_=kind)

    def rect(self, corner: Point, width: float, height: float, kind: str, *, hint: str = "", fill: str = "") -> None:
        """A rectangle from its upper left corner; `hint` shows under a pointer, `fill` names a hatch."""
        inside = Markup("<title>{}</title>").format(printable(hint)) if hint else None
        size = {"width": max(width, 0), "height": max(height, 0)}
        hatch = f"url(#{fill})" if fill else None
        self._add("rect", inside, x=corner[0], y=corner[1], **size, class_=kind, fill=hatch)

    def hatch(self, identity: str, kind: str, *, crossed: bool = False) -> None:
        """Define a hatched fill, lines over the colour of `kind`, for rectangles of `fill=identity`."""
        lines = '<line x1="0" y1="0" x2="0" y2="5" class="hatch"/>'
        lines += '<line x1="0" y1="0" x2="5" y2="0" class="hatch"/>' if crossed else ""
        self.parts.append(
            f'<defs><pattern id="{escape(identity)}" width="5" height="5" patternUnits="userSpaceOnUse" '
            f'patternTransform="rotate(45)"><rect width="5" height="5" class="{escape(kind)}"/>{lines}</pattern></defs>'
        )

    def mark(self, at: Point, arm: str, size: float = 4.0, kind: str = "mark") -> None:
        """A run of an arm (or a named mark) as a dot: a square for a treatment, else a circle."""
        if arm in STAGES and STAGES[arm].role == "treatment":
            side = size * 1.75
            self.rect((at[0] - side / 2, at[1] - side / 2), side, side, f"{kind} {look(arm)}")
        else:
            self._add("circle", cx=at[0], cy=at[1], r=size, class_=f"{kind} {look(arm)}")

    def text(self, at: Point, said: str, kind: str = "label", anchor: str = "start") -> None:
        """A line of text; `anchor` is start, middle or end."""
        place = None if anchor == "start" else anchor
        self._add("text", escape(printable(said)), x=at[0], y=at[1], class_=kind, text_anchor=place)

    def legend(self, arms: Sequence[str]) -> float:
        """Line and mark of each arm with its name, in rows from the left; returns where the rows end."""
        x, y = 4.0, 14.0
        for arm in arms:
            width = 50 + 7.2 * len(arm)
            if x + width > WIDTH and x > 4:
                x, y = 4.0, y + 18
            self.line((x, y - 4), (x + 28, y - 4), f"thick {look(arm)}")
            self.mark((x + 14, y - 4), arm, 4)
            self.text((x + 36, y), arm, "label")
            x += width
        return y + 8

    def render(self, identity: str, title: str, description: str) -> Markup:
        """The SVG element; `title` and `description` are what a screen reader says in its place."""
        return Markup(
            f'<svg role="img" viewBox="0 0 {_number(WIDTH)} {_number(self.height)}" '
            f'aria-labelledby="{escape(identity)}-title {escape(identity)}-text">'
            f'<title id="{escape(identity)}-title">{escape(printable(title))}</title>'
            f'<desc id="{escape(identity)}-text">{escape(printable(description))}</desc>'
            f"{''.join(self.parts)}</svg>"
        )


def _number(value: object) -> str:
    return f"{value:.1f}".removesuffix(".0") if isinstance(value, float) else str(value)

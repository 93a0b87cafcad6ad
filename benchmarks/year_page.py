"""What is shown of the year that `benchmarks.year` plays: the table and the picture in docs/retraining.md."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

# Nights on which something happens.
MISLABELLED, DARK, IMPROVED = range(90, 95), range(180, 185), 240
Nights = list[dict[str, Any]]
"""What came of each night, and what a gate of rules alone would have served."""


def replaced(nights: Nights, name: str) -> list[float]:
    """Return by how much the reserved accuracy changed whenever the served model (`served`, `lax`) did."""
    values = [row[name] for row in nights if row[name] is not None]
    return [new - old for old, new in itertools.pairwise(values) if new != old]


def times(count: int) -> str:
    """`never`, `once`, `2 times`."""
    return {0: "never", 1: "once"}.get(count, f"{count} times")


def table(nights: Nights, reserved: int) -> str:
    """Return what happened as Markdown."""
    proven = [row for row in nights if row["status"] == "promoted"][1:]
    waiting = [row for row in nights if row["status"] == "candidate"]
    bad = [row for row in nights if row["night"] in MISLABELLED or row["night"] in DARK]
    first = next((row["night"] for row in proven if row["night"] >= IMPROVED), None)
    gate, lax = replaced(nights, "served"), replaced(nights, "lax")

    def changes(values: list[float]) -> str:
        fell = [value for value in values if value < 0]
        worst = f"; the worst by {-100 * min(fell):.2f} points" if fell else ""
        return f"{times(len(values))}, to a less accurate one {times(len(fell))}{worst}"

    def span(name: str) -> str:
        values = [row[name] for row in nights if row[name] is not None]
        return f"{values[0]:.2%} → {values[-1]:.2%}, at worst {min(values):.2%}"

    bad_counts = {status: sum(row["status"] == status for row in bad) for status in sorted({r["status"] for r in bad})}
    lax_first = next((row["night"] for row in nights if row["night"] >= IMPROVED and row.get("lax_promoted")), None)
    promoted = [f"promoted on night {night}" if night else "not promoted" for night in (first, lax_first)]
    rows = (
        ("the model served was replaced", changes(gate), changes(lax)),
        ("accuracy on the reserved images", span("served"), span("lax")),
        (
            f"the {len(bad)} bad deliveries",
            ", ".join(f"{count} {status}" for status, count in bad_counts.items()),
            f"{sum(bool(row.get('lax_promoted')) for row in bad)} promoted",
        ),
        (f"twice as many images, from night {IMPROVED}", *promoted),
        ("better on paper, left to a person", times(len(waiting)), ""),
        ("asked for new test images", times(sum(row["asked"] for row in nights)), ""),
    )
    lines = [
        f"{len(nights)} nights; reserved, and never shown to the gate: {reserved:,} images.",
        "",
        "| | with the evidence | by the rules alone |",
        "|---|---|---|",
        *(f"| {' | '.join(row)} |" for row in rows),
    ]
    return "\n".join(lines) + "\n"


def picture(nights: Nights) -> str:
    """Return the year as SVG: each night's candidate, what was served, and what the rules alone would have served."""
    known = [row[name] for row in nights for name in ("candidate", "served", "lax") if row.get(name) is not None]
    low, high = max(min(known), min(row["served"] for row in nights if row["served"]) - 0.06), max(known) + 0.005
    width, height, left, top = 900, 360, 60, 30
    last = max(row["night"] for row in nights)

    def x(night: float) -> float:
        return float(left + (width - left - 20) * (night - 1) / max(1, last - 1))

    def y(value: float) -> float:
        return float(top + (height - top - 50) * (high - max(low, value)) / (high - low))

    def line(name: str, style: str) -> str:
        points = [f"{x(row['night']):.1f},{y(row[name]):.1f}" for row in nights if row[name] is not None]
        steps = [points[0]]
        for before, after in itertools.pairwise(points):
            steps += [f"{after.split(',')[0]},{before.split(',')[1]}", after]
        return f'<polyline fill="none" {style} points="{" ".join(steps)}"/>'

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" '
        'font-size="12">',
        "<title>A year of nightly retrainings: accuracy on reserved images</title>",
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
    ]
    for span, text in ((MISLABELLED, "mislabelled"), (DARK, "dark")):
        if span[0] <= last:
            parts.append(
                f'<rect x="{x(span[0] - 0.5):.1f}" y="{top}" width="{x(span[-1] + 0.5) - x(span[0] - 0.5):.1f}" '
                f'height="{height - top - 50}" fill="#f6d5d5"/><text x="{x(span[0]):.1f}" y="{top - 8}">{text}</text>'
            )
    if last >= IMPROVED:
        parts.append(
            f'<line x1="{x(IMPROVED):.1f}" x2="{x(IMPROVED):.1f}" y1="{top}" y2="{height - 50}" stroke="#2a7" '
            f'stroke-dasharray="4 3"/><text x="{x(IMPROVED) + 4:.1f}" y="{top - 8}">twice as many images</text>'
        )
    for value in np.arange(np.ceil(low * 50) / 50, high, 0.02):
        parts.append(
            f'<line x1="{left}" x2="{width - 20}" y1="{y(value):.1f}" y2="{y(value):.1f}" stroke="#ddd"/>'
            f'<text x="{left - 6}" y="{y(value) + 4:.1f}" text-anchor="end">{100 * value:.0f} %</text>'
        )
    for night in range(1, last + 1, 60):
        parts.append(f'<text x="{x(night):.1f}" y="{height - 34}" text-anchor="middle">{night}</text>')
    parts += [
        f'<circle cx="{x(row["night"]):.1f}" cy="{y(row["candidate"]):.1f}" r="1.6" fill="#999"/>'
        for row in nights
        if row.get("candidate") is not None
    ]
    parts += [line("lax", 'stroke="#c63" stroke-width="1.5"'), line("served", 'stroke="#136" stroke-width="2.5"')]
    parts += [
        f'<circle cx="{x(row["night"]):.1f}" cy="{y(row["served"]):.1f}" r="5" fill="#136"/>'
        for row in nights
        if row["status"] == "promoted"
    ]
    parts += [
        f'<path d="M{x(row["night"]):.1f},{height - 50} l4,-7 l-8,0 z" fill="#136"/>' for row in nights if row["asked"]
    ]
    legend = (
        ("#999", "candidate of the night"),
        ("#136", "served (● promoted, ▾ asked for new test images)"),
        ("#c63", "served by the rules alone"),
    )
    at = float(left)
    for colour, text in legend:
        parts.append(f'<rect x="{at}" y="{height - 20}" width="12" height="4" fill="{colour}"/>')
        parts.append(f'<text x="{at + 18}" y="{height - 14}">{text}</text>')
        at += 40 + 6.6 * len(text)
    return "\n".join([*parts, "</svg>"]) + "\n"

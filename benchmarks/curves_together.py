"""Learning curves from several preparations in one picture, with a table of the labels that each saves.

`python -m benchmarks.curves_together --output curves.svg "all classes=outputs/a" "without=outputs/b"` reads the
summaries of finished `headstart curve` runs on the same target images; the control is drawn once, from the first.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from headstart.components.reporting.summary import CurvePoint, LabelsSaved, Summary, read_summary


def main() -> None:
    """Write the picture and print the table as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", metavar="NAME=FOLDER")
    parser.add_argument("--output", type=Path, required=True, help="the picture, .svg or .png")
    given = parser.parse_args()
    found = {name: read_summary(Path(folder)) for name, _, folder in (run.partition("=") for run in given.runs)}
    print(table(found))
    picture(found, given.output)


def table(found: dict[str, Summary]) -> str:
    """Return a row per run: accuracies at the smallest and the largest size, and the labels saved."""
    first = next(iter(found.values()))
    names = _names(first)
    rows = ["| prepared on | smallest size | largest size | labels saved at the largest | at a smaller one |"]
    rows.append("|---|---|---|---|---|")
    points = [_points(first, names[0])[end] for end in (0, -1)]
    rows.append(f"| not prepared | {_accuracy(points[0])} | {_accuracy(points[1])} | | |")
    for name, summary in found.items():
        points = [_points(summary, _names(summary)[1])[end] for end in (0, -1)]
        smaller = summary.learning_curve.labels_saved_measured if summary.learning_curve else None
        cells = [name, *map(_accuracy, points), _saved(summary.labels_saved), _saved(smaller) if smaller else ""]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def picture(found: dict[str, Summary], output: Path) -> None:
    """Draw accuracy over the number of training images, with 95 % intervals."""
    mpl.rcParams["svg.hashsalt"] = "headstart"  # the same picture for the same figures
    figure, axes = plt.subplots(figsize=(8, 4.5), layout="constrained")
    first = next(iter(found.values()))
    _line(axes, _points(first, _names(first)[0]), "not prepared (baseline)", "0.45", "s")
    for number, (name, summary) in enumerate(found.items()):
        _line(axes, _points(summary, _names(summary)[1]), f"prepared on {name}", f"C{number}", "o^Dv"[number % 4])
    sizes = [point.size for point in _points(first, _names(first)[0])]
    axes.set_xscale("log")
    axes.set_xticks(sizes, [f"{size:,}" for size in sizes], minor=False)
    axes.minorticks_off()
    axes.set_xlabel("training images of the target (logarithmic)")
    axes.set_ylabel("test accuracy, %")
    axes.grid(color="0.9")
    axes.legend(frameon=False, loc="lower right")
    figure.savefig(output, metadata={"Date": None} if output.suffix == ".svg" else None)


def _names(summary: Summary) -> tuple[str, str]:
    curve = summary.learning_curve
    if curve is None:
        raise SystemExit("a run without a learning curve: give output folders of headstart curve")
    return curve.control, curve.treatment


def _points(summary: Summary, arm: str) -> list[CurvePoint]:
    return sorted((point for point in summary.curve if point.arm == arm), key=lambda point: point.size)


def _line(axes: Axes, points: list[CurvePoint], label: str, colour: str, marker: str) -> None:
    sizes = [point.size for point in points]
    axes.plot(sizes, [100 * (p.accuracy.estimate or 0) for p in points], marker + "-", color=colour, label=label)
    known = [p for p in points if p.accuracy.low is not None and p.accuracy.high is not None]
    low, high = ([100 * (getattr(p.accuracy, end) or 0) for p in known] for end in ("low", "high"))
    axes.fill_between([p.size for p in known], low, high, color=colour, alpha=0.15, linewidth=0)


def _accuracy(point: CurvePoint) -> str:
    interval = point.accuracy
    ends = "" if interval.low is None else f" ({100 * interval.low:.1f} to {100 * (interval.high or 1):.1f})"
    return f"{point.size:,}: {100 * (interval.estimate or 0):.1f} %{ends}"


def _saved(saved: LabelsSaved | None) -> str:
    if saved is None or saved.estimate is None:
        return "not determined" if saved is None else f"not determined: {saved.note}"
    low = "below what was measured" if saved.low is None else f"{saved.low:,.0f}"
    high = "more than was measured" if saved.high is None else f"{saved.high:,.0f}"
    return f"{saved.estimate:,.0f} at {saved.size:,} ({low} to {high}){', extrapolated' if saved.extrapolated else ''}"


if __name__ == "__main__":
    main()

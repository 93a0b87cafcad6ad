"""The short report of one retraining: what changed, and why. One self-contained HTML file, and Markdown."""

from __future__ import annotations

import math
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from headstart.components.promotion.versions import Outcome


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.2%}"


def _points(new: float | None, old: float | None) -> str:
    return "" if new is None or old is None else f"{100 * (new - old):+.2f}"


def _environment(autoescape: bool) -> Environment:
    made = Environment(
        loader=PackageLoader("headstart.components.promotion"),
        autoescape=autoescape,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["percent"] = _percent
    made.filters["cell"] = lambda text: str(text).replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ")
    made.globals["points"] = _points
    return made


def _context(outcome: Outcome) -> dict[str, Any]:
    rows = []
    if outcome.comparison:
        comparison = outcome.comparison
        rows.append(("all", comparison["candidate_accuracy"], comparison["current_accuracy"], comparison["images"]))
        rows += [
            (name, figures["candidate"], figures["current"], figures["images"])
            for name, figures in comparison["recalls"].items()
        ]
    data_rows = [
        (name, [counts[row] for counts in outcome.data["class_counts"].values()])
        for row, name in enumerate(outcome.data.get("classes", []))
    ]
    return {
        "outcome": outcome,
        "rows": rows,
        "data_rows": data_rows,
        "compared": outcome.comparison or None,
        "evidence": _evidence(outcome),
        "runs": outcome.candidate.get("runs", []),
        "chosen": outcome.candidate.get("seed"),
        "data": outcome.data,
    }


def _evidence(outcome: Outcome) -> list[tuple[str, str]]:
    """Return the figures of the evidence, and of latency and size, as they are shown."""
    rows = []
    if evidence := outcome.evidence:
        rows = [
            ("test images that count, and films or objects", f"{evidence['images']}, {evidence['clusters']}"),
            ("mean gain over the seeds, points", f"{100 * evidence['gain']:+.2f}"),
            ("chance between two equally good models", f"{evidence['chance']:.2g}"),
            ("chance that this comparison may take", f"{evidence['level']:.2g}"),
            ("times these images were compared on", str(evidence["uses"])),
            (
                "gain that right and wrong alone would prove in 80 % of cases, points",
                f"{100 * evidence['detectable']:.2f}",
            ),
            ("evidence of fresh images over retrainings, factor", f"{math.exp(min(evidence['accumulated'], 700)):.3g}"),
        ]
    measured = outcome.measured
    if "current_size" in measured:
        rows += [
            (
                "time for one image, 95th percentile, ms: candidate, in use",
                f"{1e3 * measured['latency_p95']:.1f}, {1e3 * measured['current_latency_p95']:.1f}",
            ),
            (
                "size, MiB: candidate, in use",
                f"{measured['size'] / 2**20:.1f}, {measured['current_size'] / 2**20:.1f}",
            ),
        ]
    return rows


def html(outcome: Outcome) -> str:
    """Return the report as HTML; every text is escaped."""
    return _environment(autoescape=True).get_template("retraining.html.jinja").render(_context(outcome))


def markdown(outcome: Outcome) -> str:
    """Return the report as Markdown."""
    return _environment(autoescape=False).get_template("retraining.md.jinja").render(_context(outcome))


def files(outcome: Outcome) -> dict[str, bytes]:
    """Return both under their file names."""
    return {"report.html": html(outcome).encode(), "report.md": markdown(outcome).encode()}

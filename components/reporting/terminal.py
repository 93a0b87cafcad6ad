"""The summary as a terminal shows it."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table as RichTable
from rich.text import Text

from headstart.components.console import Console
from headstart.components.records import RunRecord
from headstart.components.reporting import first_screen, units
from headstart.components.reporting.answer import verdict
from headstart.components.reporting.regression import Comparison
from headstart.components.reporting.summary import Description, Summary


def print_summaries(
    named: Sequence[tuple[str, Summary]], console: Console | None = None, once: Sequence[RunRecord] = ()
) -> None:
    """Print each experiment's answer, verdict, findings and arms, and the stages of `once`, which ran once."""
    console = console or Console()
    for name, summary in named:
        if len(named) > 1:
            console.print(Text(name, style="bold"))
        console.print(Text(summary.answer, style="bold" if len(named) == 1 else ""))
        style = "red" if not summary.sound else "yellow" if summary.findings else "green"
        console.print(Text(verdict(summary).capitalize() + ".", style=style))
        if advice := first_screen.advice(summary):
            console.print(Text(advice))
        if summary.negative_transfer:
            console.print(Text(summary.negative_transfer))
        for finding in first_screen.ordered(summary.findings):
            line = Text(f"  {finding.severity} ", style="red" if finding.severity == "error" else "yellow")
            console.print(line.append(f"{finding.rule}: {finding.message}", style="default"))
        console.print(arms_table(summary))
    if once:
        console.print(stages_table(once))


def stages_table(records: Sequence[RunRecord]) -> RichTable:
    """Preparation and the final model: training time, epochs and accuracy."""
    table = RichTable(box=None, pad_edge=False, header_style="dim")
    for column in ("stage", "training", "epochs", "test accuracy"):
        table.add_column(column, justify="left" if column == "stage" else "right")
    for record in records:
        table.add_row(
            record.name,
            units.duration(record.phases.train) if record.status == "succeeded" else record.status,
            str(len(record.epochs)),
            units.percent(record.result.test_accuracy),
        )
    return table


def arms_table(summary: Summary) -> RichTable:
    """Every arm: runs, training time, epochs and accuracy."""
    table = RichTable(box=None, pad_edge=False, header_style="dim")
    for column in ("arm", "succeeded", "training", "mean ± std", "epochs", "test accuracy", "to target"):
        table.add_column(column, justify="left" if column == "arm" else "right")
    for arm, found in summary.arms.items():
        time = found.train_seconds
        spread = f"{units.seconds(time.mean)} ± {units.seconds(time.std)} s" if time.n else units.MISSING
        table.add_row(
            arm,
            f"{found.succeeded} of {found.runs}",
            units.duration(time.median),
            spread,
            units.number(found.epochs.median, 0),
            _accuracy(found.accuracy),
            units.duration(found.time_to_accuracy_median) if found.time_to_accuracy_median is not None else "never",
        )
    return table


def _accuracy(found: Description) -> str:
    if found.mean is None or found.std is None:
        return units.percent(found.mean)
    return f"{100 * found.mean:.1f} ± {100 * found.std:.1f} %"


def comparison_table(found: Comparison) -> RichTable:
    """One row per quantity, with the verdict in words and colour."""
    styles = {"worse": "bold red", "better": "green", "same": "", "not judged": "dim"}
    table = RichTable(box=None, pad_edge=False, header_style="dim")
    for column in ("quantity", "A", "B", "change", "verdict"):
        table.add_column(column, justify="left" if column in ("quantity", "verdict") else "right")
    for judgement in found.judgements:
        words: str = (
            "none shown" if judgement.verdict == "same" and judgement.p_worse is not None else judgement.verdict
        )
        words += f" ({judgement.note})" if judgement.note else ""
        cells = [judgement.quantity, judgement.a, judgement.b, judgement.change]
        table.add_row(*(Text(cell) for cell in cells), Text(words, style=styles[judgement.verdict]))
    return table

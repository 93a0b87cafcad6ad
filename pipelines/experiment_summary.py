"""What a finished experiment says on the terminal: the answer, the two arms side by side, and what weakens it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from headstart.components.console import Console
from headstart.components.records import RunRecord, read_record
from headstart.pipelines.live_display import duration

PREPARATION = {"pretrain": "Pretrain", "finetune": "Fine-tune", "final": "Final model"}


def print_summary(console: Console, summary: dict[str, Any], records: Path) -> None:
    """Print the answer, the stages' times, the arms' runs and the findings of `summary.json`."""
    console.print()
    console.print(_verdict(summary))
    console.print(Text(summary.get("answer", ""), style="bold"))
    console.print()
    console.print(_arms_table(summary))
    stages = [read_record(path) for name in PREPARATION if (path := records / f"{name}.json").exists()]
    if stages:
        console.print()
        console.print(_stages_table(stages))
    for finding in summary.get("findings", []):
        style = "red" if finding["severity"] == "error" else "yellow"
        line = Text(f"{finding['severity']:>7}  ", style=style)
        line.append(f"{finding['rule']}: {finding['message']}", style="default")
        console.print(line)


def _verdict(summary: dict[str, Any]) -> Text:
    if summary.get("sound"):
        return Text("Sound measurement", style="green bold")
    return Text("Not a sound measurement: see the errors below", style="red bold")


def _arms_table(summary: dict[str, Any]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0))
    table.add_column("Arm")
    for title in ("succeeded", "training, median", "epochs, median", "accuracy, mean", "spread"):
        table.add_column(title, justify="right")
    for name in ("baseline", "transfer"):
        arm = summary["arms"][name]
        seconds, epochs, accuracy = arm["train_seconds"], arm["epochs"], arm["accuracy"]
        table.add_row(
            name,
            f"{arm['succeeded']} of {arm['runs']}",
            _optional(seconds["median"], duration),
            _optional(epochs["median"], lambda value: f"{value:g}"),
            _optional(accuracy["mean"], lambda value: f"{value:.4f}"),
            _optional(accuracy["std"], lambda value: f"± {value:.4f}"),
        )
    return table


def _stages_table(records: list[RunRecord]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0))
    table.add_column("Stage")
    for title in ("training", "epochs", "accuracy"):
        table.add_column(title, justify="right")
    for record in records:
        table.add_row(
            PREPARATION[record.arm],
            duration(record.phases.train) if record.status == "succeeded" else record.status,
            str(len(record.epochs)),
            _optional(record.result.test_accuracy, lambda value: f"{value:.4f}"),
        )
    return table


def _optional(value: float | None, write: Any) -> str:
    return "–" if value is None else str(write(value))

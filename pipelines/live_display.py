"""What a person sees while a pipeline runs on this machine: a row per stage, with progress and the time left.

On a terminal the rows are redrawn in place; elsewhere (a pipe, CI) each stage and each run prints a line at its end,
and one every half minute while it runs.
"""

from __future__ import annotations

import math
import statistics
import threading
import time
from dataclasses import dataclass, field

from rich.console import Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from headstart.components.console import Console

LINE_SECONDS = 30.0


@dataclass
class Row:
    """One stage of the display: the task it shows, how people call it, how often it runs."""

    task: str
    title: str
    repeats: int = 1
    begun: float | None = None
    seconds: list[float] = field(default_factory=list)
    failed: int = 0
    detail: str = ""
    share: float = 0.0
    remaining: float | None = None
    ended: float | None = None
    first_begun: float | None = None

    @property
    def done(self) -> int:
        """Return how many of its runs have ended."""
        return len(self.seconds)


def run_row(task: str, arm: str) -> str:
    """Return the key of the row for one arm's runs in a task that runs several arms."""
    return f"{task}/{arm}"


def duration(seconds: float) -> str:
    """Write seconds as a person says them: `8.4 s`, `1 min 20 s`, `2 h 05 min`."""
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


class LiveDisplay:
    """Listens to a local run (`headstart.pipelines.local.Listener`) and shows it; use it as a context manager."""

    def __init__(
        self, console: Console, rows: list[Row], *, verbose: bool = False, line_seconds: float = LINE_SECONDS
    ) -> None:
        """Show `rows` on `console`; with `verbose` the runner's log is printed as well and nothing is redrawn.

        Away from a terminal, a stage that runs prints a line at most every `line_seconds`.
        """
        self.console = console
        self.rows = rows
        self.verbose = verbose
        self._by_task = {row.task: row for row in rows}
        self._line_seconds, self._last_line = line_seconds, time.monotonic()
        self._live: Live | None = None
        self._ended = threading.Event()
        self._spinner = Spinner("dots")

    def __enter__(self) -> LiveDisplay:
        if self.console.is_terminal and not self.verbose:
            self._live = Live(console=self.console, get_renderable=self._render, refresh_per_second=5, transient=True)
            self._live.start()
        elif not self.verbose:
            threading.Thread(target=self._tick, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        if self._live:
            self._live.stop()
            self._live = None
            self.console.print(self._table(running=False))

    # What the run tells.

    def task_started(self, task: str) -> None:
        """Open the task's row."""
        row = self._by_task.get(task)
        if row is None:
            return
        row.begun = time.monotonic()
        row.first_begun = row.first_begun or row.begun
        row.detail, row.share, row.remaining = "", 0.0, None

    def task_ended(self, task: str, succeeded: bool) -> None:
        """Close the task's row, or one of its runs."""
        row = self._by_task.get(task)
        if row is None or row.begun is None:
            return
        row.seconds.append(time.monotonic() - row.begun)
        row.failed += 0 if succeeded else 1
        row.begun, row.share, row.remaining = None, 0.0, None
        if row.done >= row.repeats:
            row.ended = time.monotonic()
        if not self._live:
            number = f" {row.done} of {row.repeats}" if row.repeats > 1 else ""
            state = "" if succeeded else "FAILED  "
            self._line(f"{row.title}{number}: {state}{duration(row.seconds[-1])}  {row.detail}")

    def task_retried(self, task: str) -> None:
        """Take back the task's last end: it is tried again."""
        row = self._by_task.get(task)
        if row is None or not row.seconds:
            return
        row.seconds.pop()
        row.failed, row.ended = max(row.failed - 1, 0), None
        row.detail = "failed, and is tried again"
        if not self._live:
            self._line(f"{row.title}: is tried again")

    def event(self, task: str, fields: dict[str, str]) -> None:
        """Take in what the running task says of itself; a task that runs several arms has a row for each."""
        kind = fields.get("event", "")
        if kind == "plan":
            # How many sizes a curve has, and so how often each arm runs, is known once there are images.
            runs = _number(fields.get("runs"))
            for each in self.rows:
                if runs and "/" in each.task:
                    each.repeats = int(runs)
            return
        name = task if task in self._by_task else run_row(task, fields.get("arm", ""))
        row = self._by_task.get(name)
        if row is None:
            return
        if kind == "begin" and name != task:
            self.task_started(name)
        if kind == "epoch":
            row.detail = _epoch_text(fields)
            row.share = _fraction(fields.get("epoch"), fields.get("epochs"))
            row.remaining = _number(fields.get("remaining"))
        elif kind == "import":
            row.detail = f"{fields.get('done', '')} of {fields.get('total', '?')} {fields.get('what', 'images')}"
            row.share = _fraction(fields.get("done"), fields.get("total"))
        elif kind == "run":
            row.detail = _run_text(fields)
            if name != task:
                self.task_ended(name, fields.get("status") == "succeeded")
        elif fields.get("text"):
            row.detail = fields["text"]
        if kind != "run" and row.detail and row.begun is not None and not self._live:
            self._say_how_far(row)

    def _tick(self) -> None:
        """Say how far it is where the running stage itself says nothing for long: an epoch can take minutes."""
        while not self._ended.wait(min(self._line_seconds, 1.0)):
            running = [row for row in self.rows if row.begun is not None]
            if running:
                self._say_how_far(running[-1])

    def _say_how_far(self, row: Row) -> None:
        begun = row.begun
        if self.verbose or begun is None or time.monotonic() - self._last_line < self._line_seconds:
            return
        left = self._seconds_left(row)
        number = f" {row.done + 1} of {row.repeats}" if row.repeats > 1 else ""
        timing = f"{duration(time.monotonic() - begun)} so far" if left is None else f"{duration(left)} left"
        self._line(f"{row.title}{number}: {', '.join(filter(None, (row.detail, timing)))}")

    def _line(self, text: str) -> None:
        self._last_line = time.monotonic()
        self.console.print(text.rstrip(), soft_wrap=True)

    def log_line(self, line: str) -> None:
        """Print the runner's own log where that was asked for."""
        if self.verbose:
            self.console.print(line, soft_wrap=True)

    def interrupted(self) -> None:
        """Say why it does not end at once."""
        self.console.print("Ending; the running task writes its checkpoint. Once more ends it at once.")

    # What is drawn.

    def _render(self) -> RenderableType:
        return Group(self._table(running=True), Text(self._summary_line(), style="dim"))

    def _summary_line(self) -> str:
        begun = [row.first_begun for row in self.rows if row.first_begun]
        if not begun:
            return "Starting"
        expected = [self._seconds_left(row) for row in self.rows]
        left = sum(filter(None, expected))
        spent = f"{duration(time.monotonic() - min(begun))} so far"
        if left <= 0:
            return spent
        return f"{spent}, {'more than ' if None in expected else 'about '}{duration(left)} left"

    def _seconds_left(self, row: Row) -> float | None:
        if row.ended or row.done >= row.repeats:
            return 0.0
        one = statistics.median(row.seconds) if row.seconds else None
        begun = row.begun  # once: another thread may close the row
        if begun is None:
            return None if one is None else one * (row.repeats - row.done)
        spent = time.monotonic() - begun
        current = row.remaining if row.remaining is not None else (max(one - spent, 0.0) if one else None)
        if current is None:
            return None
        return current + (row.repeats - row.done - 1) * (one if one is not None else spent + current)

    def _table(self, *, running: bool) -> Table:
        table = Table.grid(padding=(0, 2, 0, 0), expand=False)
        widths = (1, 26, 12, 16)
        table.add_column(width=widths[0])
        table.add_column(width=widths[1], no_wrap=True)
        table.add_column(width=widths[2])
        table.add_column(width=widths[3], justify="right", no_wrap=True)
        rest = self.console.width - sum(widths) - 2 * len(widths)
        table.add_column(max_width=max(rest, 10), no_wrap=True, overflow="ellipsis")
        # In the order in which they ran: the runner chooses it, and only data flow binds it.
        for row in sorted(self.rows, key=lambda row: row.first_begun or math.inf):
            table.add_row(*self._cells(row, running))
        return table

    def _cells(self, row: Row, running: bool) -> tuple[RenderableType, ...]:
        title = row.title
        if row.repeats > 1 and row.first_begun:
            number = min(row.done + (1 if row.begun else 0), row.repeats)
            title = f"{row.title}  {number} of {row.repeats}"
        if row.begun is not None:
            spent = time.monotonic() - row.begun
            share = (row.done + row.share) / row.repeats
            left = self._seconds_left(row)
            timing = f"{duration(left)} left" if left is not None else duration(spent)
            mark: RenderableType = self._spinner if running else Text("–", style="yellow")
            return mark, Text(title, style="bold"), ProgressBar(total=1.0, completed=share), timing, Text(row.detail)
        if row.done:
            mark = Text("✗", style="red") if row.failed else Text("✓", style="green")
            return mark, title, "", duration(sum(row.seconds)), Text(row.detail, style="dim")
        return Text("·", style="dim"), Text(title, style="dim"), "", "", ""


def _epoch_text(fields: dict[str, str]) -> str:
    text = f"epoch {fields.get('epoch', '?')}/{fields.get('epochs', '?')}"
    accuracy = _number(fields.get("validation_accuracy"))
    return text if accuracy is None else f"{text}  accuracy {accuracy:.3f}"


def _run_text(fields: dict[str, str]) -> str:
    if fields.get("status", "succeeded") != "succeeded":
        return f"{fields['status']}: {fields.get('reason', '')}"
    accuracy = _number(fields.get("accuracy"))
    seconds = _number(fields.get("train_seconds"))
    parts = [f"{fields['epochs']} epochs" if "epochs" in fields else ""]
    parts.append(f"trained {duration(seconds)}" if seconds is not None else "")
    parts.append(f"test accuracy {accuracy:.3f}" if accuracy is not None else "")
    return ", ".join(part for part in parts if part)


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        return None


def _fraction(done: str | None, total: str | None) -> float:
    of, all_ = _number(done), _number(total)
    return min(of / all_, 1.0) if of is not None and all_ else 0.0

"""The log of the local runner as it is read back: which task runs, what it says, why it failed."""

import subprocess
import sys
from pathlib import Path

from headstart.pipelines.local import LocalResult, _follow, _last_words

LOG = """\
02:54:00.871 - INFO - Executing task \x1b[96m'pretrain'\x1b[0m
    headstart event=epoch arm=pretrain seed=0 epoch=1
    [KFP Executor 2026-11-25 02:54:04,400 INFO]: Wrote executor output file to /x/executor_output.json.
02:54:04.446 - INFO - Task \x1b[96m'pretrain'\x1b[0m finished with status \x1b[92mSUCCESS\x1b[0m
02:54:04.871 - INFO - Executing task \x1b[96m'verify'\x1b[0m
    Traceback (most recent call last):
      File "x.py", line 3, in verify
    headstart.components.errors.HeadstartError: The measurement is not sound: enough_runs.
02:54:05.446 - ERROR - Task \x1b[96m'verify'\x1b[0m finished with status \x1b[91mFAILURE\x1b[0m
RuntimeError: Pipeline 'headstart-experiment' finished with status FAILURE.
"""


class Listener:
    def __init__(self) -> None:
        self.heard: list[object] = []

    def task_started(self, task: str) -> None:
        self.heard.append(("started", task))

    def task_ended(self, task: str, succeeded: bool) -> None:
        self.heard.append(("ended", task, succeeded))

    def event(self, task: str, fields: dict[str, str]) -> None:
        self.heard.append((task, fields["event"]))

    def log_line(self, line: str) -> None:
        pass

    def interrupted(self) -> None:
        self.heard.append("interrupted")


def follow(tmp_path: Path, text: str, status: int) -> tuple[LocalResult, Listener, str]:
    source, log, listener = tmp_path / "source", tmp_path / "run.log", Listener()
    source.write_text(text)
    code = f"import sys; sys.stdout.write(open({str(source)!r}).read()); sys.exit({status})"
    with (
        log.open("w") as written,
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process,
    ):
        result = _follow(process, written, listener)
    return result, listener, log.read_text()


def test_tasks_and_events_are_told_in_order(tmp_path: Path) -> None:
    result, listener, log = follow(tmp_path, LOG, 1)
    assert listener.heard == [
        ("started", "pretrain"),
        ("pretrain", "epoch"),
        ("ended", "pretrain", True),
        ("started", "verify"),
        ("ended", "verify", False),
    ]
    assert log == LOG
    assert result.failed_task == "verify"
    assert result.message.startswith("The measurement is not sound: enough_runs.")


def test_a_runner_that_dies_is_no_success(tmp_path: Path) -> None:
    result, _, _ = follow(tmp_path, LOG.split("Executing task \x1b[96m'verify'", maxsplit=1)[0], 1)
    assert not result.succeeded


def test_a_log_without_an_error_gives_its_last_line() -> None:
    assert _last_words(["one", "  two "]) == "two"
    assert _last_words([]) == ""


def test_a_success_that_never_ran_is_a_failure(tmp_path: Path) -> None:
    silent = "".join(line for line in LOG.splitlines(keepends=True) if "Wrote" not in line and "verify" not in line)
    result, listener, _ = follow(tmp_path, silent, 0)
    assert ("ended", "pretrain", False) in listener.heard
    assert result.failed_task == "pretrain"
    assert "without having run" in result.message

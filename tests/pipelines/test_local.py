"""The log of the local runner as it is read back: which task runs, what it says, why it failed."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from headstart.pipelines.local import LocalResult, LocalRun, _environment, _error, _follow, _Log, run_locally
from headstart.pipelines.local_retraining import _clear
from headstart.pipelines.placement import Placement

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

    def task_retried(self, task: str) -> None:
        self.heard.append(("retried", task))

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
    assert log == re.sub(r"\x1b\[[0-9;]*m", "", LOG)
    assert result.failed_task == "verify"
    assert result.message.startswith("The measurement is not sound: enough_runs.")


def test_a_runner_that_dies_is_no_success(tmp_path: Path) -> None:
    result, _, _ = follow(tmp_path, LOG.split("Executing task \x1b[96m'verify'", maxsplit=1)[0], 1)
    assert not result.succeeded


def test_a_log_without_an_error_gives_none() -> None:
    assert _error(["one", "  two "]) == ""
    assert _error([]) == ""


@pytest.mark.parametrize("name", ["HeadstartError", "SettingError", "TemporaryError"])
def test_an_error_of_ours_is_shown_by_its_message(name: str) -> None:
    assert _error([f"    headstart.components.errors.{name}: seed: -1 is negative."]) == "seed: -1 is negative."


def test_what_follows_an_error_is_no_part_of_it() -> None:
    lines = ["    ValueError: first", "    second line", "    [KFP Executor 2026 INFO]: {", "    }"]
    assert _error(lines) == "ValueError: first second line"


RETRIED = """\
10:00:00.000 - INFO - Executing task \x1b[96m'import-dataset'\x1b[0m
    [KFP Executor 2026-11-25 02:54:04,400 INFO]: Got executor_input:
    }
10:00:01.000 - ERROR - Task \x1b[96m'import-dataset'\x1b[0m finished with status \x1b[91mFAILURE\x1b[0m
10:00:01.000 - INFO - Task import-dataset failed (attempt 1/3). Retrying in 0.0s...
"""


def test_a_task_that_succeeds_on_its_retry_has_not_failed(tmp_path: Path) -> None:
    again = LOG.replace("'pretrain'", "'import-dataset'").split("02:54:04.871")[0]
    result, listener, _ = follow(tmp_path, RETRIED + again, 0)
    assert result == LocalResult(succeeded=True)
    assert ("retried", "import-dataset") in listener.heard
    assert listener.heard[-1] == ("ended", "import-dataset", True)


def test_the_last_attempt_names_the_error_and_no_tail_of_a_log(tmp_path: Path) -> None:
    last = RETRIED.splitlines(keepends=True)[:-1]
    result, _, _ = follow(tmp_path, RETRIED + "".join(last), 1)
    assert result.failed_task == "import-dataset"
    assert "killed" in result.message
    assert "}" not in result.message


def test_a_loop_in_which_one_run_fails_for_good_is_a_failure(tmp_path: Path) -> None:
    good = LOG.replace("'pretrain'", "'import-dataset'").split("02:54:04.871")[0]
    for_good = "".join(RETRIED.splitlines(keepends=True)[:-1])
    result, _, _ = follow(tmp_path, for_good + good, 1)
    assert result.failed_task == "import-dataset"


def test_a_runner_that_is_killed_is_named(tmp_path: Path) -> None:
    source = "import os; print(\"Executing task 'x'\", flush=True); os.kill(os.getpid(), 9)"
    with subprocess.Popen([sys.executable, "-c", source], stdout=subprocess.PIPE, text=True) as process:
        result = _follow(process, _Log(tmp_path / "log"), Listener())
    assert (result.succeeded, result.failed_task) == (False, "")
    assert result.message == "it was killed by signal 9 while x ran"


def test_a_success_that_never_ran_is_a_failure(tmp_path: Path) -> None:
    silent = "".join(line for line in LOG.splitlines(keepends=True) if "Wrote" not in line and "verify" not in line)
    result, listener, _ = follow(tmp_path, silent, 0)
    assert ("ended", "pretrain", False) in listener.heard
    assert result.failed_task == "pretrain"
    assert "without having run" in result.message


UNSAFE = "from pathlib import Path; Path(__file__).with_name('it-ran').touch(); raise SystemExit(9)"


def test_a_task_that_dies_once_is_tried_again_by_the_real_runner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The task kills itself at its first attempt. The folder it runs in holds files that are called as its imports."""
    monkeypatch.setenv("PYTHONPATH", f":{Path(__file__).parent}:.")
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    for name in ("numpy", "kfp", "queue", "headstart", "click"):
        Path(f"{name}.py").write_text(UNSAFE)
    run = LocalRun(
        builder="dies_once:dies_once",
        arguments={"marker": str(tmp_path / "marker")},
        pipeline_root=tmp_path / "work",
        log=tmp_path / "run.log",
        placement=Placement.here().model_dump(),
    )
    listener = Listener()
    result = run_locally(run, listener)
    assert result == LocalResult(succeeded=True), (tmp_path / "run.log").read_text()
    assert listener.heard == [
        ("started", "die-once"),
        ("ended", "die-once", False),
        ("retried", "die-once"),
        ("started", "die-once"),
        ("ended", "die-once", True),
    ]
    assert not (tmp_path / "here" / "it-ran").exists()
    assert list((tmp_path / "tmp").iterdir()) == []


def test_only_what_may_pass_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    (tmp_path / "attempts").mkdir()
    errors = ["SettingError", "TemporaryError", "HeadstartError"]
    run = LocalRun(
        builder="dies_once:fails",
        arguments={"errors": errors, "attempts": str(tmp_path / "attempts")},
        pipeline_root=tmp_path / "work",
        log=tmp_path / "run.log",
        placement=Placement.here().model_dump(),
    )
    result = run_locally(run, Listener())
    assert (result.succeeded, result.failed_task) == (False, "fail"), (tmp_path / "run.log").read_text()
    attempts = [len((tmp_path / "attempts" / error).read_text()) for error in errors]
    assert attempts == [1, 3, 1], (tmp_path / "run.log").read_text()


def test_a_task_knows_whether_it_runs_in_a_container(tmp_path: Path) -> None:
    run = LocalRun("m:f", {}, tmp_path / "work", tmp_path / "run.log")
    assert _environment(run)["HEADSTART_NO_CONTAINER"] == "1"
    run.docker = {"user": "1:0", "network": "host", "mounts": []}
    assert "HEADSTART_NO_CONTAINER" not in _environment(run)


def test_a_retraining_leaves_the_log_that_it_names_and_nothing_else(tmp_path: Path) -> None:
    for keep in (True, False):
        work = tmp_path / "work"
        (work / "headstart-retraining-1" / "import-dataset").mkdir(parents=True)
        (work / "headstart-retraining-1" / "import-dataset" / "images.npy").touch()
        for name in ("run.json", "retrain.log"):
            (work / name).touch()
        _clear(work, work / "retrain.log" if keep else None)
        assert sorted(tmp_path.rglob("*")) == ([work, work / "retrain.log"] if keep else [])

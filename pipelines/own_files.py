"""What already lies where a command is to write: nothing that Headstart did not write is overwritten or removed."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headstart.components.errors import HeadstartError, SettingError
from headstart.components.records import read_record
from headstart.components.regular_files import LARGEST_TEXT, read_regular

REQUEST_FILE = "run.json"
WORK_FOLDER = ".work"
LOG_FILE = "run.log"
LOG_HEADER = "# Log of Headstart.\n"
CONFIGURATION_FILE = "run.yaml"
CONFIGURATION_HEADER = "# Options of a run by Headstart."
STATES = ("running", "incomplete", "finished")
_READ = 100_000  # bytes of a file that are looked at


def _is_summary(text: str) -> bool:
    try:
        found = json.loads(text)
    except ValueError:
        return False
    return isinstance(found, dict) and {"schema_version", "arms"} <= found.keys()


# What marks each file of a report as written by us.
_REPORT: dict[str, Callable[[str], bool]] = {
    "report.html": lambda text: "default-src 'none'; style-src 'sha256-" in text,
    "report.md": lambda text: "\nVerdict: **" in text or text.startswith("# Several runs side by side"),
    "runs.csv": lambda text: text.startswith("arm,seed,run_id,"),
    "reproduce.py": lambda text: text.startswith('"""Works out the figures of this report from the run records'),
    "summary.json": _is_summary,
}
REPORT_FILES = tuple(_REPORT)


def _text(file: Path) -> str:
    if not file.is_file():
        return ""  # a folder, a pipe or a device is none of ours
    if file.suffix == ".json":
        try:
            return read_regular(file, LARGEST_TEXT).decode(errors="replace")
        except OSError:
            return ""  # no right to read it, or larger than any of ours
    with file.open("rb") as opened:
        return opened.read(_READ).decode(errors="replace")


def check_report_folder(folder: Path, option: str) -> None:
    """Raise SettingError where writing a report into `folder` would overwrite a file that is not a report's."""
    for name, is_ours in _REPORT.items():
        file = folder / name
        if file.exists() and not is_ours(_text(file)):
            raise SettingError(
                f"{option} {folder}: {name} is there and was not written by Headstart.", "Name another folder."
            )


def check_package_file(file: Path, option: str) -> None:
    """Raise SettingError where `file` exists and is no compiled pipeline."""
    if file.exists() and "PIPELINE DEFINITION" not in _text(file) and "\npipelineInfo:" not in _text(file):
        raise _foreign(file, option, "not a compiled pipeline")


def _foreign(file: Path, option: str, what: str) -> SettingError:
    return SettingError(f"{option} {file}: is there and is {what}.", "Name another file, or move that one away.")


def begin_log(file: Path, option: str) -> None:
    """Make `file` a log to append to; SettingError where it is there and is no earlier log of ours."""
    text = _text(file)
    if file.is_fifo() or file.is_dir() or (text and not text.startswith(LOG_HEADER)):
        raise _foreign(file, option, "no log of Headstart")
    if not file.exists() or file.stat().st_size == 0:
        with contextlib.suppress(OSError):  # whoever writes the log says so
            file.write_text(LOG_HEADER, encoding="utf-8")


def check_manifest_file(file: Path, option: str) -> None:
    """Raise SettingError where `file` exists and holds no object of Kubeflow Pipelines."""
    if file.exists() and not _text(file).startswith("apiVersion: pipelines.kubeflow.org/"):
        raise _foreign(file, option, "no manifest of a pipeline")


@dataclass(frozen=True)
class EarlierRun:
    """What `run.json` in an output folder says of the run that wrote it."""

    state: str
    run_id: str
    request: dict[str, Any]

    @property
    def parameters(self) -> dict[str, Any]:
        """Return the pipeline's parameters."""
        found: dict[str, Any] = self.request["parameters"]
        return found


def earlier_run(output: Path) -> EarlierRun | None:
    """Return the run that wrote into `output`; None where the folder is absent, or empty but for our lock.

    SettingError where the folder holds anything else.
    """
    if not output.is_dir():
        return None
    file = output / REQUEST_FILE
    if not file.exists():
        found = sorted(path.name for path in output.iterdir() if not _left_by_a_start(path.name))
        if not found:
            return None
        shown = ", ".join(found[:3]) + (" …" if len(found) > 3 else "")
        raise SettingError(
            f"--output {output}: is not empty ({shown}) and has no {REQUEST_FILE} of a run; nothing in it is touched.",
            "Name a new or an empty folder.",
        )
    try:
        found_json = json.loads(_text(file))
        state, run_id, request = found_json["state"], found_json["run_id"], found_json["request"]
        valid = state in STATES and isinstance(run_id, str) and run_id.replace("-", "").isalnum()
        if not valid or not isinstance(request.get("parameters", {}), dict):
            raise ValueError("of another shape")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise SettingError(
            f"{file}: does not describe a run of this version of Headstart; nothing in its folder is touched.",
            "Name another --output.",
        ) from error
    return EarlierRun(state, run_id, {"parameters": {}, **request})


def nothing_trained(output: Path) -> bool:
    """Say whether a run ended before any training, such as at data that it could not read: nothing would be lost."""
    kept = (output / WORK_FOLDER / "checkpoints", output / "records", output / "model")
    return not any(file.is_file() for folder in kept for file in folder.rglob("*"))


def _left_by_a_start(name: str) -> bool:
    # A start that was killed before it had written its request.
    return name == ".lock" or (name.startswith(f".{REQUEST_FILE}.") and name.endswith(".partial"))


def remove_results(output: Path) -> None:
    """Remove what a run wrote into `output`, its own folder; what else lies there stays."""
    for name in (WORK_FOLDER, "model/saved_model"):
        shutil.rmtree(output / name, ignore_errors=True)
    for record in (output / "records").glob("*.json"):
        with contextlib.suppress(HeadstartError, OSError):
            if read_record(record).name == record.stem:
                record.unlink()
    for file in list((output / "model").glob("*")):
        # Those of preparation 0 have no number.
        if re.fullmatch(r"(pretrained|finetuned|final)(-p\d+)?\.(keras|json|trained_on\.npz)", file.name):
            file.unlink()
    for name in (LOG_FILE, CONFIGURATION_FILE, *REPORT_FILES):
        (output / name).unlink(missing_ok=True)
    for name in ("records", "model"):
        with contextlib.suppress(OSError):
            (output / name).rmdir()  # stays where it holds anything else
    # Last: a removal that is interrupted can be repeated.
    (output / REQUEST_FILE).unlink(missing_ok=True)

"""The retraining on this machine: its parameters, what is shown while it runs, and how it ended."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.padding import Padding
from rich.text import Text

from headstart.components.atomic_files import remove
from headstart.components.console import Console
from headstart.components.errors import HeadstartError, SettingError
from headstart.components.promotion.commit import in_use, keep_failure
from headstart.components.promotion.store import ModelStore, open_store
from headstart.components.promotion.versions import Outcome
from headstart.components.reporting.units import counted
from headstart.components.training import precision
from headstart.components.training.networks import NAMES
from headstart.pipelines.interruption import INTERRUPTED, terminated_like_interrupted
from headstart.pipelines.lasting_output import lasting_console
from headstart.pipelines.live_display import LiveDisplay, Row, duration
from headstart.pipelines.local import LocalRun, new_run_id, run_locally
from headstart.pipelines.own_files import begin_log
from headstart.pipelines.placement import Placement

_STYLES = {"promoted": "bold green", "candidate": "bold yellow", "unusable": "bold red", "failed": "bold red"}


@dataclass
class RetrainingRequest:
    """What `headstart retrain` was asked for; `parameters` are those of the pipeline, see `retraining.py`."""

    parameters: dict[str, Any]
    accelerators: int = 0
    log: Path | None = None
    verbose: bool = False
    notify: str = ""
    registry: str = ""
    registry_name: str = "headstart"
    run_id: str = field(default_factory=new_run_id)


def run_retraining(request: RetrainingRequest) -> int:
    """Run the retraining, say how it ended, and return the exit status: 0, or 1 where somebody must look at it."""
    run_id = request.run_id
    with refusal_kept(request.parameters["store"], run_id):
        check_request(request)
    if request.log:
        begin_log(request.log, "--log")
    console = lasting_console()
    work = Path(tempfile.mkdtemp(prefix="headstart-retrain-"))
    log = request.log or work / "retrain.log"
    status = 1
    try:
        status = _retrain(request, console, run_id, work, log)
    finally:
        _clear(work, log if status == 1 else None)
    return status


@contextlib.contextmanager
def refusal_kept(store_uri: str, run_id: str) -> Iterator[None]:
    """Keep a setting that is refused in the history of a store with a model: on a schedule nobody reads the screen."""
    try:
        yield
    except SettingError as error:
        with contextlib.suppress(HeadstartError, OSError):
            store = open_store(store_uri)
            if store.pointer()[0] is not None:
                keep_failure(store, run_id, str(error))
        raise


def _clear(work: Path, log: Path | None) -> None:
    """Remove `work` and all in it, but for the log that somebody has just been told to read."""
    for entry in work.iterdir():
        if entry != log:
            remove(entry)
    with contextlib.suppress(OSError):
        work.rmdir()  # the log is still in it


def _retrain(request: RetrainingRequest, console: Console, run_id: str, work: Path, log: Path) -> int:
    display = LiveDisplay(console, _rows(request), verbose=request.verbose)
    run = LocalRun(
        builder="headstart.pipelines.retraining:retraining",
        arguments=request.parameters,
        pipeline_root=work,
        log=log,
        build={"run_id": run_id},
        placement=Placement.here(accelerators=request.accelerators).model_dump(),
    )
    try:
        with terminated_like_interrupted(), display:
            result = run_locally(run, display)
    except KeyboardInterrupt:
        console.print(f"Interrupted. {in_use(open_store(request.parameters['store']), run_id)}")
        return INTERRUPTED
    store = open_store(request.parameters["store"])
    outcome = find_outcome(store, run_id)
    if outcome is None:
        _tell(request, console, store, keep_failure(store, run_id, result.message))
        raise HeadstartError(
            f"{result.failed_task or 'the local runner'} failed: {result.message}",
            f"The whole log is {log}. {in_use(store, run_id)}",
        )
    _print(console, store, outcome)
    _tell(request, console, store, outcome)
    if result.succeeded:
        return 0
    console.print(f"The whole log is {log}.")
    return 1


def check_request(request: RetrainingRequest) -> None:
    """Raise SettingError for any setting that a task would refuse, before anything is started."""
    from headstart.components.datasets.settings import check_data_settings
    from headstart.components.promotion import signing
    from headstart.components.promotion.gate import Rules
    from headstart.components.promotion.notify import check_address
    from headstart.components.training.settings import resolve

    resolve(request.parameters["preset"], "final", request.parameters["settings"])
    check_data_settings(request.parameters["data_settings"])
    Rules.of(request.parameters["promotion"])
    for option, url in (("--notify", request.notify), ("--registry", request.registry)):
        if url:
            check_address(url, option)
    signing.check_keys()
    open_store(request.parameters["store"]).pointer()


def find_outcome(store: ModelStore, run_id: str) -> Outcome | None:
    """Return how the retraining `run_id` ended, or None where it ended before it could say."""
    return next((outcome for outcome in reversed(store.outcomes(50)) if outcome.run_id == run_id), None)


def _tell(request: RetrainingRequest, console: Console, store: ModelStore, outcome: Outcome) -> None:
    """Send the message and register what was promoted; what goes wrong is shown, and changes nothing."""
    from headstart.components.promotion.notify import notify, register

    problems = []
    if request.registry and outcome.status == "promoted" and outcome.version is not None:
        problems.append(register(request.registry, store, outcome.version, request.registry_name))
    if request.notify:
        problems.append(notify(request.notify, outcome, store.uri))
    for problem in filter(None, problems):
        console.print(_indented(problem))


def starting_point(store: ModelStore, uri: str) -> tuple[int, dict[str, str], str]:
    """Return what a retraining's images and network should be like where nothing else is asked for.

    That is the image size of the prepared model that it would start from (52 where it does not say), how the model in
    use reads images, or else the prepared one (empty where neither says), and the network of the prepared model (empty
    where it does not say). SettingError where no prepared model is named and the store keeps none.
    """
    from headstart.components.promotion.prepared import read_prepared

    with tempfile.TemporaryDirectory(prefix="headstart-prepared-") as scratch:
        description = read_prepared(store, uri, Path(scratch))
    current = store.current()
    reading = asdict(current.reading) if current and current.reading else description.get("reading") or {}
    return int(description.get("image_size") or 52), reading, str(description.get("network") or "")


def with_network(settings: dict[str, Any], network: str) -> dict[str, Any]:
    """Return `settings` with the prepared model's `network` where they name none.

    A function of one's own is code, and a model's description is no reason to run it: SettingError asks for its name.
    """
    if not network or network == "paper" or any(name.rpartition(".")[2] == "network" for name in settings):
        return settings
    if network not in NAMES:
        raise SettingError(
            f"The prepared model is of the network {network}, a function that is not part of Headstart.",
            "Name it, or where it lies here, with --set network=FILE.py:FUNCTION, if you trust its code.",
        )
    return {**settings, "network": network}


def _rows(request: RetrainingRequest) -> list[Row]:
    automatic = precision.automatic(("final",), request.parameters["preset"], request.parameters["settings"])
    return [
        Row("preflight", "Check this machine"),
        Row("import-dataset", "Import the data"),
        Row("select-classes", "Select the classes"),
        Row("check-for-retraining", "Anything to learn?"),
        *([Row("choose-precision", "Choose the precision")] if automatic else []),
        Row("final", "Train the last stage", len(request.parameters["seeds"])),
        Row("promote", "Promote what is better"),
    ]


def _print(console: Console, store: ModelStore, outcome: Outcome) -> None:
    console.print()
    console.print(Text(outcome.title, style=_STYLES.get(outcome.status, "bold")))
    for reason in outcome.reasons:
        console.print(_indented(reason))
    if len(outcome.comparison.get("recalls", {})) > 1:
        console.print(_indented(_recalls(outcome.comparison["recalls"])))
    if outcome.candidate.get("runs"):
        runs = outcome.candidate["runs"]
        seconds = duration(sum(run["train_seconds"] for run in runs))
        best = outcome.candidate.get("seed", "–")
        trained = f"{counted(len(runs), 'run')}, {seconds} of training"
        console.print(_indented(f"{trained}; best by validation: seed {best}."))
    if outcome.removed:
        console.print(_indented(f"Retention removed version {', '.join(map(str, outcome.removed))}."))
    pointer, _ = store.pointer()
    if pointer:
        console.print(Text(f"In use: version {pointer.version}, {store.serving_uri(pointer.version)}"))


def _recalls(recalls: dict[str, Any], most: int = 12) -> str:
    """Say what each class came to; of many classes those whose recall fell most, then those that gained least."""

    def change(name: str) -> float:
        new, old = recalls[name]["candidate"], recalls[name]["current"]
        return (new or 0.0) - old if old is not None else 0.0

    said = []
    for name in sorted(recalls, key=change)[:most]:
        new, old = recalls[name]["candidate"], recalls[name]["current"]
        if new is not None:
            said.append(f"{name} {new:.1%}" + (f" ({100 * (new - old):+.1f})" if old is not None else ""))
    rest = len(recalls) - most
    return f"Recall per class: {', '.join(said)}{f', and {rest} more in the report' if rest > 0 else ''}."


def _indented(text: str) -> Padding:
    return Padding(Text(text), (0, 0, 0, 2))

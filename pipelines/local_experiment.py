"""The experiment on this machine: its output folder, its resumption, what is shown while it runs and at the end."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shlex
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from headstart.components.atomic_files import remove, write_json, write_text
from headstart.components.console import Console
from headstart.components.credentials import reveal
from headstart.components.datasets.left_out import NONE
from headstart.components.design import check_sizes, on_prepared_models, plan
from headstart.components.errors import HeadstartError, SettingError
from headstart.components.records import RunRecord
from headstart.components.regular_files import read_json
from headstart.components.stages import PREPARATION, PRODUCT, STAGES
from headstart.components.training import environment, precision
from headstart.components.training.checkpoint import FINISHED
from headstart.components.training.networks import own_network
from headstart.components.training.prepared_models import find_models
from headstart.pipelines.experiment_outputs import collect, collect_records, read_summary
from headstart.pipelines.interruption import INTERRUPTED, terminated_like_interrupted
from headstart.pipelines.lasting_output import lasting_console
from headstart.pipelines.live_display import LiveDisplay, Row, duration, run_row
from headstart.pipelines.local import LocalResult, LocalRun, new_run_id, run_locally
from headstart.pipelines.own_files import (
    CONFIGURATION_FILE,
    CONFIGURATION_HEADER,
    LOG_FILE,
    REQUEST_FILE,
    WORK_FOLDER,
    check_report_folder,
    earlier_run,
    nothing_trained,
    remove_results,
)
from headstart.pipelines.placement import DEFAULT_IMAGE, IMAGE_USER, Placement, image_problem

UNSOUND = 3
# Longer than the tasks of a killed run get to end.
LOCK_SECONDS = 30.0


@dataclass
class ExperimentRequest:
    """What `headstart run` or `headstart curve` was asked for.

    `parameters` are those of the pipeline: of `curve.py` where they name prepared models, else of `experiment.py`.
    """

    parameters: dict[str, Any]
    output: Path
    report_settings: dict[str, Any] = field(default_factory=dict)
    restart: bool = False
    docker_image: str = ""
    accelerators: int = 0
    keep_work: bool = False
    verbose: bool = False
    # What a file for `--config` would say; written beside the results, so that it repeats the run.
    configuration: dict[str, Any] = field(default_factory=dict)

    def identity(self) -> dict[str, Any]:
        """Return what must be equal for an interrupted run to go on."""
        on = {"accelerators": self.accelerators} if self.accelerators else {}
        return {"parameters": self.parameters, "docker_image": self.docker_image, **on}


def run_experiment(request: ExperimentRequest) -> int:
    """Run the experiment, print its summary and return the command's exit status."""
    check_request(request)
    console = lasting_console()
    output = request.output.resolve()
    _make_folder(output)
    with _locked(output) as lock:
        run_id = _begin(output, request)
        _write_configuration(output / CONFIGURATION_FILE, request)
        work = output / WORK_FOLDER
        begun = time.monotonic()
        console.print(f"Headstart writes to {_short(output)}")
        display = LiveDisplay(console, _rows(request), verbose=request.verbose)
        try:
            with terminated_like_interrupted(), display:
                result = run_locally(_local_run(request, run_id, output, lock), display)
        except KeyboardInterrupt:
            kept = collect_records(work, output)
            console.print(_interrupted(output, len(kept)))
            return INTERRUPTED
        records = collect(work, output)
        return _end(console, request, output, result, records, time.monotonic() - begun)


def check_request(request: ExperimentRequest) -> None:
    """Raise SettingError for any setting that a task would refuse, before anything is started."""
    from headstart.components.preflight.parameters import check_parameters

    if request.docker_image and (problem := image_problem(request.docker_image)):
        raise SettingError(f"--docker {request.docker_image!r}: {problem}.", "Name one such as headstart:0.1.0.")
    report, accelerators = request.report_settings, request.accelerators
    check_parameters({**request.parameters, "report_settings": report, "accelerators": accelerators})
    if not request.docker_image:
        environment.check_accelerators(accelerators)


def _rows(request: ExperimentRequest) -> list[Row]:
    parameters, planned = request.parameters, plan(request.parameters)
    given = on_prepared_models(parameters)
    source = not given and parameters.get("source_data") != NONE
    intermediate = parameters.get("intermediate_data") != NONE
    stages = ("baseline",) if given else precision.EXPERIMENT
    automatic = precision.automatic(stages, planned.preset, parameters["settings"])
    sizes = len(check_sizes(parameters.get("sizes", []), planned.images_per_class)) or 1
    repeats = {name: len(planned.preparations) for name in PREPARATION}
    titles = {} if given else {name: STAGES[name].title for name in (*PREPARATION, PRODUCT)}
    if not given and not source:
        titles["pretrain"] = "Take over the prepared model"
        if not parameters.get("prepared"):
            del titles["pretrain"]
    if not intermediate:
        titles.pop("finetune", None)
    return [
        Row("preflight", "Check this machine"),
        *([Row("import-dataset", "Import source set")] if source else []),
        *([Row("import-dataset" if given else "import-dataset-2", "Import intermediate set")] if intermediate else []),
        Row("select-classes", "Select target classes"),
        *([Row("hold-out", "Hold out test images")] if intermediate and not given else []),
        *([Row("fetch-prepared", "Fetch prepared models")] if given else []),
        *([Row("choose-precision", "Choose the precision")] if automatic else []),
        *(Row(name, title, repeats.get(name, 1)) for name, title in titles.items()),
        *(
            Row(run_row("train-runs", arm), f"{STAGES[arm].title} runs", sizes * len(planned.cells))
            for arm in planned.arms
        ),
        Row("report-curve" if given else "report", "Report"),
        Row("verify", "Verify"),
    ]


def _local_run(request: ExperimentRequest, run_id: str, output: Path, lock: int) -> LocalRun:
    work = output / WORK_FOLDER
    docker = None
    if request.docker_image:
        docker = _docker_options(request, work)
    return LocalRun(
        builder="headstart.pipelines.curve:curve"
        if on_prepared_models(request.parameters)
        else "headstart.pipelines.experiment:experiment",
        arguments={
            **request.parameters,
            "report_settings": request.report_settings,
            "checkpoints": str(work / "checkpoints"),
        },
        pipeline_root=work,
        log=output / LOG_FILE,
        build={"run_id": run_id, "parallelism": 1},
        placement=Placement.here(request.docker_image or DEFAULT_IMAGE, request.accelerators).model_dump(),
        docker=docker,
        keep_open=(lock,),
    )


def _docker_options(request: ExperimentRequest, work: Path) -> dict[str, Any]:
    # Containers run as the caller, or, where that is root, as the image's own user, who then needs the right to write.
    user = os.getuid()
    if user == 0:
        user = IMAGE_USER
        (work / "checkpoints").mkdir(parents=True, exist_ok=True)
        for folder in (work, work / "checkpoints"):
            folder.chmod(0o777)
    names = ("source_data", "intermediate_data", "target_data")
    prepared = request.parameters.get("prepared") or []
    sources = [str(request.parameters.get(name, "")) for name in names]
    for uri in [prepared] if isinstance(prepared, str) else prepared:
        # A model's description lies beside it.
        sources.append(str(Path(uri).parent) if uri.startswith("/") and Path(uri).is_file() else uri)
    network = own_network(str(request.parameters["settings"].get("network", "paper")))
    if network is not None and network.file is not None:
        sources.append(str(network.file))
    for source in sources:
        if reveal(source) != source:
            raise SettingError(
                f"--docker: {source} was given with a password or a query, which containers are not told.",
                "Fetch it with `headstart data fetch` and name the file.",
            )
    return {
        "user": f"{user}:0",
        "network": "host",
        "accelerators": request.accelerators,
        "mounts": sorted({source for source in sources if source.startswith("/")}),
    }


def _make_folder(output: Path) -> None:
    earlier_run(output)  # refuses a folder that is not ours before a lock is put into it
    try:
        output.mkdir(parents=True, exist_ok=True)
        with (output / ".lock").open("a"):
            pass
    except OSError as error:
        raise SettingError(
            f"--output {output}: cannot be written ({error.strerror}).", "Name a folder that you may write to."
        ) from error


@contextlib.contextmanager
def _locked(output: Path) -> Iterator[int]:
    """Hold the lock of `output` and yield its file descriptor; HeadstartError where another run holds it.

    The process that runs the tasks holds it too. Where a run was killed outright, its tasks still take a moment to
    write their checkpoints and end; that is waited for.
    """
    with (output / ".lock").open("a+", encoding="ascii") as lock:
        deadline = time.monotonic() + LOCK_SECONDS
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if _owner_lives(lock) or time.monotonic() > deadline:
                    raise HeadstartError(
                        f"--output {output}: another run is writing there.",
                        "Wait for it or name another folder.",
                    ) from None
                time.sleep(0.2)
        with contextlib.suppress(OSError):  # a full disk stops what needs room, not this
            lock.truncate(0)
            lock.write(str(os.getpid()))
            lock.flush()
        yield lock.fileno()


def _owner_lives(lock: IO[str]) -> bool:
    lock.seek(0)
    try:
        os.kill(int(lock.read()), 0)
    except (ValueError, ProcessLookupError):
        return False
    except PermissionError:
        pass
    return True


def _begin(output: Path, request: ExperimentRequest) -> str:
    """Return the run id: the earlier one where this goes on with an interrupted run, else a new one."""
    file = output / REQUEST_FILE
    earlier = earlier_run(output)
    corrected = earlier is not None and earlier.state != "finished" and earlier.request != request.identity()
    if earlier is not None and (request.restart or (corrected and nothing_trained(output))):
        remove_results(output)
        earlier = None
    if earlier is None:
        check_report_folder(output, "--output")
        run_id = new_run_id()
    else:
        run_id = earlier.run_id
        extended = _extends(earlier.request, request.identity())
        if earlier.state == "finished" and not extended:
            raise SettingError(
                f"--output {output}: holds a finished run.",
                "Ask for more runs with the same settings to extend it, name another folder, or begin again with "
                "--restart.",
            )
        if earlier.request != request.identity() and not extended:
            before, now = ({**each, **each.get("parameters", {})} for each in (earlier.request, request.identity()))
            changed = sorted(key for key in {*before, *now} - {"parameters"} if before.get(key) != now.get(key))
            raise SettingError(
                f"--output {output}: holds an {'incomplete' if earlier.state == 'incomplete' else 'interrupted'} run "
                "with other settings"
                f"{' (' + ', '.join(changed) + ')' if changed else ''}.",
                "Repeat its command, name another folder, or begin again with --restart.",
            )
    write_json(file, {"state": "running", "run_id": run_id, "request": request.identity()})
    # What earlier starts computed lies in the checkpoints; their task folders would be taken for this one's.
    for folder in (output / WORK_FOLDER).glob("headstart-*-*"):
        shutil.rmtree(folder, ignore_errors=True)
    return run_id


def _extends(before: dict[str, Any], now: dict[str, Any]) -> bool:
    """Say whether the request `now` asks for every run of `before`, further ones, and nothing else."""
    old, new = before.get("parameters", {}), now["parameters"]
    if {**before, "parameters": {**old, "seeds": []}} != {**now, "parameters": {**new, "seeds": []}}:
        return False
    shorter, longer = (plan({**each, **_models(each)}).cells for each in (old, new))
    return len(longer) > len(shorter) and longer[: len(shorter)] == shorter


def _models(parameters: dict[str, Any]) -> dict[str, int]:
    """The number of preparations of a curve on prepared models: as many as there are models."""
    if not on_prepared_models(parameters):
        return {}
    return {"preparations": sum(len(find_models(uri)) for uri in parameters["prepared"])}


def _keep_finished(work: Path) -> None:
    """Remove what tasks left, except for finished runs and their precision, from which a longer run goes on."""
    for child in work.iterdir():
        if child.name != "checkpoints":
            remove(child)
    for file in (work / "checkpoints").rglob("*"):
        if file.is_file() and file.name not in (FINISHED, precision.FILE):
            file.unlink()


def _write_configuration(file: Path, request: ExperimentRequest) -> None:
    """Write the options that were given, apart from where to write, in the form that `--config` reads."""
    import yaml

    options = {
        name: value for name, value in request.configuration.items() if name not in ("output", "restart", "json")
    }
    command = "curve" if request.parameters.get("sizes") else "run"
    lines = f"{CONFIGURATION_HEADER}\n# headstart {command} --config {file.name} --output FOLDER\n"
    write_text(file, lines + yaml.safe_dump(options, sort_keys=False, allow_unicode=True))


def _end(
    console: Console,
    request: ExperimentRequest,
    output: Path,
    result: LocalResult,
    records: Sequence[RunRecord],
    seconds: float,
) -> int:
    """Say how it ended and return the exit status; what failed of `records` is tried again by the same command."""
    from headstart.components.reporting.summary import Summary
    from headstart.components.reporting.terminal import print_summaries

    failed = [record.name for record in records if record.status == "failed"]
    summary = read_summary(output)
    if not result.succeeded and (summary is None or result.failed_task != "verify"):
        raise HeadstartError(
            f"{result.failed_task or 'the local runner'} failed: {result.message}",
            f"The whole log is {_short(output / LOG_FILE)}; "
            + (
                "nothing was trained yet, so a corrected command may have the same --output."
                if nothing_trained(output)
                else f"finished runs are kept, and the same command goes on with {_same(output)}."
            ),
        )
    assert summary is not None
    earlier = read_json(output / REQUEST_FILE)
    write_json(output / REQUEST_FILE, {**earlier, "state": "incomplete" if failed else "finished"})
    if not request.keep_work and not failed:
        _keep_finished(output / WORK_FOLDER)
    once = [record for record in records if not STAGES[record.arm].is_arm]
    console.print()
    print_summaries([("", Summary.model_validate(summary))], console, once)
    if failed:
        console.print(
            f"\nFailed: {', '.join(failed)}. The same command tries {'it' if len(failed) == 1 else 'them'} again with "
            f"{_same(output)} and keeps the rest.",
        )
    console.print(f"\nReport: {_short(output / 'report.html')}   ({duration(seconds)} in all)")
    return 0 if result.succeeded else UNSOUND


def _interrupted(output: Path, records: int) -> str:
    runs = f"{records} finished {'run is' if records == 1 else 'runs are'} kept in {_short(output / 'records')}"
    kept = runs if records else "No run had finished; what was trained of the first is kept as a checkpoint"
    again = f"The same command with {_same(output)} goes on where this stopped."
    return f"Interrupted. {kept}. {again}"


def _same(output: Path) -> str:
    """The option that names the folder of this run, which is another one each time where none was given."""
    return f"--output {shlex.quote(_short(output))}"


def _short(path: Path) -> str:
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)

"""Training on the GPUs of this machine, as far as a machine without one shows it."""

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from headstart.components.errors import SettingError
from headstart.components.training import environment
from headstart.pipelines import dry_run, local_experiment, local_retraining, local_worker
from headstart.pipelines.cli import headstart
from headstart.pipelines.local import LocalRun
from headstart.pipelines.local_experiment import ExperimentRequest, run_experiment
from headstart.pipelines.request import experiment_request


def test_more_gpus_than_there_are_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    pytest.importorskip("tensorflow")
    there = len(environment.gpus())
    output = tmp_path / "out"
    for words in (["run"], ["curve", "--sizes", "3,6", "--dry-run"]):
        asked = [*words, "--accelerators", str(there + 1), "-o", str(output)]
        with pytest.raises(SettingError, match=f"--accelerators {there + 1}: TensorFlow sees {there} on this machine"):
            CliRunner().invoke(headstart, asked, obj={"verbose": False}, catch_exceptions=False)
    assert not output.exists()


def kept_in(runs: list[LocalRun]) -> Callable[..., None]:
    """In the place of what runs a pipeline: put it into `runs` and take it for interrupted."""

    def interrupted(run: LocalRun, _listener: object) -> None:
        runs.append(run)
        raise KeyboardInterrupt

    return interrupted


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> list[LocalRun]:
    """Let there be two; the pipelines that would run are in the list."""
    runs: list[LocalRun] = []
    monkeypatch.setattr(environment, "gpus", lambda: ["A", "B"])
    monkeypatch.setattr(local_experiment, "run_locally", kept_in(runs))
    return runs


def request(output: Path, **options: object) -> ExperimentRequest:
    return experiment_request(output=output, runs=3, **options)  # type: ignore[arg-type]


def test_every_run_is_given_them(two_gpus: list[LocalRun], tmp_path: Path) -> None:
    run_experiment(request(tmp_path / "processes", accelerators=2))
    run_experiment(request(tmp_path / "containers", accelerators=1, docker="headstart:0.1.0-gpu"))
    run_experiment(request(tmp_path / "processor"))
    assert [run.placement["accelerators"] for run in two_gpus] == [2, 1, 0]
    containers = two_gpus[1].docker
    assert containers is not None
    pytest.importorskip("docker")
    runner = local_worker._runner({"docker": containers}, None)
    (asked,) = runner.container_run_args["device_requests"]
    assert (asked.count, asked.capabilities) == (1, [["gpu"]])
    plain = local_worker._runner({"docker": {**containers, "accelerators": 0}}, None)
    assert plain.container_run_args["device_requests"] is None


def test_an_interrupted_run_goes_on_only_on_as_many(two_gpus: list[LocalRun], tmp_path: Path) -> None:
    checkpoint = tmp_path / ".work/checkpoints/a/checkpoint.npz"
    run_experiment(request(tmp_path, accelerators=1))
    checkpoint.parent.mkdir(parents=True)
    checkpoint.write_bytes(b"weights")
    with pytest.raises(SettingError, match=r"holds an interrupted run with other settings \(accelerators\)"):
        run_experiment(request(tmp_path))
    run_experiment(request(tmp_path, accelerators=1))
    assert len(two_gpus) == 2


@pytest.mark.parametrize("asked", [-1, 17, 1.5, "1", True])
def test_a_number_of_gpus_that_is_none_is_refused(asked: object, two_gpus: list[LocalRun], tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"accelerators: found .*, expected a whole number from 0 to 16"):
        run_experiment(request(tmp_path / "out", accelerators=asked))
    assert not (tmp_path / "out").exists()


def test_batches_that_gpus_cannot_share_are_refused_before_the_import(two_gpus: list[LocalRun], tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"accelerators: 2 cannot share batches of 33 images \(\w+\)"):
        run_experiment(request(tmp_path / "out", accelerators=2, settings={"target.batch_size": 33}))
    assert not (tmp_path / "out").exists()


def test_what_gpus_in_containers_take_is_not_measured_here(
    monkeypatch: pytest.MonkeyPatch, two_gpus: list[LocalRun], tmp_path: Path
) -> None:
    asked: list[object] = []

    def measured(*given: object) -> dict[str, object]:
        asked.append(given)
        return {}

    monkeypatch.setattr(dry_run, "paces", measured)
    for options in (
        {"accelerators": 2},
        {"accelerators": 1, "docker": "headstart:0.1.0-gpu"},
        {"docker": "headstart:0.1.0"},
    ):
        dry_run.forecast(request(tmp_path, **options))
    stages, *_, accelerators = zip(*asked, strict=True)
    assert [bool(names) for names in stages] == [True, False, True]
    assert list(accelerators) == [2, 1, 0]


def test_a_retraining_trains_on_them(two_gpus: list[LocalRun], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[local_retraining.RetrainingRequest] = []
    monkeypatch.setattr(local_retraining, "run_retraining", lambda request: asked.append(request) or 0)
    monkeypatch.setattr(local_retraining, "starting_point", lambda *_: (52, {}, ""))
    words = ["retrain", "--data", "demo:fruits", "--store", str(tmp_path / "store"), "--accelerators", "2"]
    done = CliRunner().invoke(headstart, words, obj={"verbose": False}, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    monkeypatch.undo()
    monkeypatch.setattr(local_retraining, "check_request", lambda _: None)
    monkeypatch.setattr(local_retraining, "run_locally", kept_in(two_gpus))
    local_retraining.run_retraining(asked[0])
    assert two_gpus[-1].placement["accelerators"] == 2

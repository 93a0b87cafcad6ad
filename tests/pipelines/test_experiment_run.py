"""The whole experiment as a user runs it: `headstart run`, real processes, on a small share of the drawn data."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from headstart.components.records import read_record
from tests.processes import trains

SMALL = [
    "--data-setting",
    "images_per_class=12",
    "--images-per-class",
    "12",
    "--preparations",
    "1",
    "--draws",
    "1",
    "--set",
    "epochs=2",
    "--set",
    "patience=0",
]
# Runs that last long enough to be caught in the middle.
LONGER = ["--set", "target.epochs=60"]
DESIGN_KEYS = {
    "speedup": {"train", "time_to_accuracy"},
    "arms": {"baseline", "transfer"},
    "accuracy_gain": {"estimate", "low", "high"},
}


def headstart(*arguments: str, folder: Path) -> list[str]:
    return [sys.executable, "-m", "headstart", "run", *SMALL, "--output", str(folder), *arguments]


def finish(process: "subprocess.Popen[str]") -> tuple[int, str]:
    out, _ = process.communicate(timeout=600)
    return process.returncode, out


def start(*arguments: str, folder: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        headstart(*arguments, folder=folder), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def wait_for(log: Path, pattern: str, seconds: float = 300) -> "re.Match[str]":
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if log.exists() and (found := re.search(pattern, log.read_text(encoding="utf-8"))):
            return found
        time.sleep(0.05)
    raise AssertionError(f"{log} never said {pattern!r}")


def training_process(folder: Path) -> int:
    """Return the id of the process that trains for the run in `folder`, which holds its temporary files."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and trains(int(entry.name)):
            with contextlib.suppress(OSError):
                if os.fsencode(folder) in (entry / "environ").read_bytes():
                    return int(entry.name)
    raise AssertionError("no training process runs")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, int, str]]:
    folder = tmp_path_factory.mktemp("finished") / "output"
    status, out = finish(start("--runs", "2", folder=folder))
    yield folder, status, out


@pytest.mark.slow
def test_it_ends_well_and_says_what_it_found(finished: tuple[Path, int, str]) -> None:
    folder, status, out = finished
    summary = json.loads((folder / "summary.json").read_text())
    assert status == (0 if summary["sound"] else 3), out
    assert "Error" not in out
    assert summary["answer"] in re.sub(r"\s+", " ", out)
    assert str(folder / "report.html") in re.sub(r"\s+", "", out)


@pytest.mark.slow
def test_every_output_of_the_design_is_there(finished: tuple[Path, int, str]) -> None:
    folder = finished[0]
    records = sorted(path.stem for path in (folder / "records").iterdir())
    assert records == ["baseline-01", "baseline-02", "final", "finetune", "pretrain", "transfer-01", "transfer-02"]
    for name in ("report.html", "report.md", "runs.csv", "summary.json", "run.log"):
        assert (folder / name).stat().st_size > 0
    for name in ("pretrained.keras", "finetuned.keras", "final.keras", "saved_model/saved_model.pb"):
        assert (folder / "model" / name).stat().st_size > 0
    left = {path.name for path in (folder / ".work").rglob("*") if path.is_file()}
    assert left == {"finished.tar"}  # a longer run goes on from these
    summary = json.loads((folder / "summary.json").read_text())
    for key, parts in DESIGN_KEYS.items():
        assert parts <= set(summary[key])
    for key in ("break_even_models", "preparation_seconds", "target_accuracy", "sound", "findings"):
        assert key in summary
    for arm in ("baseline", "transfer"):
        assert summary["arms"][arm]["runs"] == summary["arms"][arm]["succeeded"] == 2
        for quantity in ("train_seconds", "epochs", "accuracy"):
            assert {"mean", "median", "std"} <= set(summary["arms"][arm][quantity])


@pytest.mark.slow
def test_summary_is_worked_out_from_the_records(finished: tuple[Path, int, str]) -> None:
    folder = finished[0]
    summary = json.loads((folder / "summary.json").read_text())
    for arm in ("baseline", "transfer"):
        runs = [read_record(folder / "records" / f"{arm}-0{seed}.json") for seed in (1, 2)]
        assert summary["arms"][arm]["train_seconds"]["mean"] == pytest.approx(sum(r.phases.train for r in runs) / 2)
    preparation = sum(
        read_record(folder / "records" / f"{name}.json").phases.train for name in ("pretrain", "finetune")
    )
    assert summary["preparation_seconds"] == pytest.approx(preparation)


@pytest.mark.slow
def test_frozen_layers_are_bit_equal_and_the_arms_share_data_and_recipe(finished: tuple[Path, int, str]) -> None:
    records = {path.stem: read_record(path) for path in (finished[0] / "records").iterdir()}
    assert {"conv2d_1", "conv2d_2", "conv2d_3"} <= {layer.layer for layer in records["finetune"].frozen}
    assert "conv2d_4" in {layer.layer for layer in records["transfer-01"].frozen}
    for record in records.values():
        assert all(layer.before == layer.after for layer in record.frozen)
    baseline, transfer = records["baseline-01"], records["transfer-01"]
    assert baseline.data == transfer.data
    assert baseline.recipe == transfer.recipe
    assert baseline.frozen == []
    assert transfer.initial_model == records["finetune"].final_weights
    assert len({record.run_id for record in records.values()}) == 1
    assert {record.environment.image for record in records.values()} == {""}, "no container ran"


@pytest.mark.slow
def test_a_finished_folder_is_not_written_over(finished: tuple[Path, int, str]) -> None:
    folder = finished[0]
    before = (folder / "summary.json").read_bytes()
    status, out = finish(start("--runs", "2", folder=folder))
    assert status == 2
    assert "holds a finished run" in re.sub(r"\s+", " ", out)
    assert (folder / "summary.json").read_bytes() == before


@pytest.mark.slow
def test_a_finished_run_is_extended_and_nothing_is_trained_twice(
    finished: tuple[Path, int, str], tmp_path: Path
) -> None:
    folder = tmp_path / "longer"
    shutil.copytree(finished[0], folder)
    before = {path.name: path.read_bytes() for path in (folder / "records").iterdir()}
    status, out = finish(start("--runs", "3", "--draws", "2", folder=folder))
    assert status == 2 and "holds a finished run" in re.sub(r"\s+", " ", out)
    status, out = finish(start("--runs", "3", folder=folder))
    assert status in (0, 3), out
    after = {path.name: path.read_bytes() for path in (folder / "records").iterdir()}
    assert set(after) - set(before) == {"baseline-03.json", "transfer-03.json"}
    assert {name: after[name] for name in before} == before
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["arms"]["baseline"]["runs"] == summary["arms"]["transfer"]["runs"] == 3


@pytest.mark.slow
def test_every_arm_on_several_preparations_and_draws(tmp_path: Path) -> None:
    folder = tmp_path / "output"
    arms = "transfer,baseline,finetuned,frozen-random,head"
    design = ["--preparations", "2", "--draws", "2", "--seeds", "7,3,5", "--arms", arms, "--hold-out-target"]
    status, out = finish(start(*design, folder=folder))
    assert status in (0, 3), out
    records = {path.stem: read_record(path) for path in (folder / "records").iterdir()}
    cells = ["07", "p1-d1-03", "p0-d1-05"]
    runs = [f"{arm}-{cell}" for arm in arms.split(",") for cell in cells]
    assert sorted(records) == sorted([*runs, "pretrain", "pretrain-p1", "finetune", "finetune-p1", "final"])
    assert all(record.status == "succeeded" for record in records.values())
    assert [records[name].seed for name in ("pretrain", "pretrain-p1", "finetune-p1")] == [0, 1, 1]
    assert records["finetune-p1"].initial_model == records["pretrain-p1"].final_weights
    assert len({records[f"baseline-{cell}"].data.digest for cell in cells}) == 2  # type: ignore[union-attr]
    for arm, cell in ((arm, cell) for arm in arms.split(",") for cell in cells):
        record = records[f"{arm}-{cell}"]
        assert record.data == records[f"baseline-{cell}"].data
        prepared = records["finetune-p1" if "p1" in cell else "finetune"]
        random = arm in ("baseline", "frozen-random")
        assert record.initial_model == (None if random else prepared.final_weights)
        assert [ancestor.stage for ancestor in record.started_from] == ([] if random else ["pretrain", "finetune"])
        seen = record.seen_before
        assert (seen is None) is random
        assert seen is None or (seen.test_images, seen.training_images) == (0, 0)
        # The same answers, counted independently.
        assert record.data and record.result.confusion
        answers = record.result.answers(record.data.counts["test"])
        assert answers is not None
        assert answers.sum() == sum(row[label] for label, row in enumerate(record.result.confusion))
    frozen = {arm: [layer.layer for layer in records[f"{arm}-07"].frozen] for arm in arms.split(",")}
    assert frozen["baseline"] == frozen["finetuned"] == []
    assert frozen["frozen-random"] == frozen["transfer"]
    assert frozen["head"] == [*frozen["transfer"], "dense_2"]
    rate = records["transfer-07"].recipe["learning_rate"]
    assert records["finetuned-07"].recipe["learning_rate"] == pytest.approx(rate / 10)
    begun = re.findall(r"event=begin arm=(\S+) seed=(\d+)", (folder / "run.log").read_text())
    order = [(arm, int(seed)) for arm, seed in begun if arm in arms.split(",")]
    table = ["baseline", "transfer", "finetuned", "frozen-random", "head"]
    assert order[:5] == [(arm, 7) for arm in table]
    assert order[5:10] == [(arm, 3) for arm in reversed(table)]
    for name in ("finetuned.keras", "finetuned-p1.keras", "pretrained-p1.json", "final.keras"):
        assert (folder / "model" / name).is_file()


@pytest.mark.slow
def test_a_run_that_fails_costs_one_run_the_report_says_why_and_the_same_command_tries_it_again(tmp_path: Path) -> None:
    folder = tmp_path / "output"
    given = ["--runs", "2", *LONGER, "--set", "kill_retries=0"]
    process = start(*given, folder=folder)
    wait_for(folder / "run.log", r"event=epoch arm=baseline seed=2 ")
    os.kill(training_process(folder), signal.SIGKILL)
    status, out = finish(process)
    assert status in (0, 3), out
    assert "Failed: baseline-02. The same command tries it again with --output" in re.sub(r"\s+", " ", out)
    summary = json.loads((folder / "summary.json").read_text())
    assert (summary["arms"]["baseline"]["succeeded"], summary["arms"]["baseline"]["runs"]) == (1, 2)
    assert summary["arms"]["transfer"]["succeeded"] == 2
    killed = read_record(folder / "records" / "baseline-02.json")
    assert killed.status == "failed"
    assert "SIGKILL" in killed.reason
    assert "SIGKILL" in (folder / "report.html").read_text()
    others = {path.name: path.read_text() for path in (folder / "records").iterdir() if path.stem != killed.name}

    status, out = finish(start(*given, folder=folder))
    assert status in (0, 3), out
    assert read_record(folder / "records" / "baseline-02.json").status == "succeeded"
    assert {name: (folder / "records" / name).read_text() for name in others} == others
    left = {path.name for path in (folder / ".work").rglob("*") if path.is_file()}
    assert left == {"finished.tar"}  # a longer run goes on from these


@pytest.mark.slow
def test_a_preparation_that_is_killed_is_retried_or_stops_what_depends_on_it(tmp_path: Path) -> None:
    folder = tmp_path / "output"
    given = ["--runs", "1", "--set", "pretrain.epochs=40", "--set", "checkpoint_seconds=0", "--set", "kill_retries=0"]
    process = start(*given, folder=folder)
    # Once for each of the task's attempts: after that the runner gives it up.
    for attempt in (1, 2, 3):
        wait_for(
            folder / "run.log",
            rf"(?s)(event=epoch arm=pretrain .*?event=run arm=pretrain .*?){{{attempt - 1}}}event=epoch arm=pretrain ",
        )
        os.kill(training_process(folder), signal.SIGKILL)
        wait_for(folder / "run.log", rf"(?s)(event=run arm=pretrain .*?){{{attempt}}}")
    status, out = finish(process)
    assert status == 1, out
    said = re.sub(r"\s+", " ", out)
    assert "pretrain failed: " in said
    assert "SIGKILL" in said
    assert "the same command goes on with --output" in said
    assert read_record(folder / "records" / "pretrain.json").status == "failed"
    assert not (folder / "records" / "transfer-01.json").exists()

    status, out = finish(start(*given, folder=folder))
    assert status in (0, 3), out
    record = read_record(folder / "records" / "pretrain.json")
    assert (record.status, len(record.epochs)) == ("succeeded", 40)
    assert len(record.attempts) == 4
    assert read_record(folder / "records" / "transfer-01.json").status == "succeeded"


@pytest.mark.slow
def test_an_interrupted_run_goes_on_and_trains_nothing_twice(tmp_path: Path) -> None:
    folder = tmp_path / "output"
    given = ["--runs", "2", *LONGER, "--set", "precision=auto"]
    process = start(*given, folder=folder)
    wait_for(folder / "run.log", r"event=epoch arm=baseline seed=2 ")
    process.send_signal(signal.SIGINT)
    status, out = finish(process)
    assert status == 130, out
    assert "kept" in out
    kept = {path.stem: path.read_text() for path in (folder / "records").iterdir()}
    # Whether the stages came first is the runner's choice: nothing binds the baseline to them.
    assert "baseline-01" in kept
    assert "baseline-02" not in kept

    status, out = finish(start(*given, folder=folder))
    assert status in (0, 3), out
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["arms"]["baseline"]["succeeded"] == summary["arms"]["transfer"]["succeeded"] == 2
    for name, text in kept.items():
        earlier, now = json.loads(text), read_record(folder / "records" / f"{name}.json")
        assert now.final_weights == earlier["final_weights"]
        assert now.started_at == earlier["started_at"]
        assert now.phases.train == earlier["phases"]["train"]
    # Both precisions were timed once, by the first start, and every stage and arm has what was chosen.
    chosen = {str(read_record(path).precision) for path in (folder / "records").iterdir()}
    assert len(chosen) == 1 and "ms in bfloat16" in chosen.pop()


@pytest.mark.slow
def test_two_runs_into_one_folder_are_kept_apart(tmp_path: Path) -> None:
    folder = tmp_path / "output"
    first = start("--runs", "1", folder=folder)
    wait_for(folder / "run.log", "Executing task")
    status, out = finish(start("--runs", "1", folder=folder))
    assert status == 1
    assert "another run is writing there" in re.sub(r"\s+", " ", out)
    first.send_signal(signal.SIGTERM)
    finish(first)


def _error_of(*arguments: str, folder: Path) -> tuple[int, str]:
    done = subprocess.run(
        headstart(*arguments, folder=folder), check=False, capture_output=True, text=True, timeout=120
    )
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--source", "/no/such/folder"], "/no/such/folder: there is no such file or folder"),
        (["--cifar100", "/tmp", "--source", "/tmp"], "name the same set twice"),
        (["--set", "dropout"], "expected NAME=VALUE"),
        (["--set", "dropout=NaN"], "--set dropout: NaN is not a usable value"),
        (["--set", "no_such_setting=1"], "no_such_setting"),
        (["--set", "batch_size=0"], "batch_size"),
        (["--classes", "apple"], "expected NAME=WORD"),
        (["--runs", "0"], "--runs"),
        (["--target", "/usr"], "the source and the intermediate set would be drawn"),
        (["--target", "/usr", "--source", "demo:source"], "ask for the drawings: --intermediate demo:fruits"),
        (["--preset", "fast", "--image-size", "96", "--set", "pretrain.crop=48"], "no smaller size does"),
    ],
)
def test_wrong_use_is_refused_before_anything_starts(arguments: list[str], message: str, tmp_path: Path) -> None:
    status, err = _error_of(*arguments, folder=tmp_path / "output")
    assert status == 2, err
    assert message in re.sub(r"\s+", " ", err)
    assert "Traceback" not in err
    assert not (tmp_path / "output" / "run.log").exists()

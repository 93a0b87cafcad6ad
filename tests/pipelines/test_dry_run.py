"""`run --dry-run`: it counts what an import would import, writes nothing, and its plan is the run's."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from headstart.components.datasets.draws import images_per_class
from headstart.components.datasets.importing import import_dataset, survey
from headstart.components.datasets.selection import select_classes
from headstart.components.design import default_sizes
from headstart.components.training.recipes import Recipe
from headstart.pipelines.dry_run import forecast, show
from headstart.pipelines.json_output import plain
from headstart.pipelines.pace import Images, Pace
from headstart.pipelines.request import experiment_request
from tests.json_results import read_result


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photographs")
    random = np.random.default_rng(7)
    for split, count in (("train", 20), ("test", 6)):
        for name in ("one", "two", "three"):
            (folder / split / name).mkdir(parents=True)
            for number in range(count):
                pixels = random.integers(0, 255, (48, 48, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / split / name / f"{number}.png")
    return folder


def test_a_survey_counts_what_an_import_imports(photographs: Path, tmp_path: Path) -> None:
    seen = survey(str(photographs), validation_share=0.25)
    description = import_dataset(str(photographs), tmp_path / "packed", validation_share=0.25)
    assert seen.counts == description.counts
    assert seen.classes == description.classes
    for split, counts in description.class_counts.items():
        assert [seen.per_class[name][split] for name in seen.classes] == counts


def test_the_forecast_is_of_the_run_that_is_asked_for(
    photographs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    request = experiment_request(
        source=photographs, intermediate=photographs, target=photographs, preset="fast", runs=4, preparations=2,
        draws=1,
        settings={"epochs": 5, "target.batch_size": 16}, output=tmp_path / "out",
    )  # fmt: skip
    found = forecast(request, measure=False)
    rows = {row.stage: row for row in found.stages}
    assert list(rows) == ["pretrain", "finetune", "final", "baseline", "transfer"]
    assert (rows["pretrain"].runs, rows["final"].runs, rows["baseline"].runs) == (2, 1, 4)
    assert rows["baseline"].batch_size == 16
    assert rows["baseline"].epochs == 5
    assert rows["baseline"].images == 54
    assert rows["baseline"].steps == 3
    assert rows["transfer"].frozen and not rows["baseline"].frozen
    assert found.seconds is None
    assert not (tmp_path / "out").exists()
    show(found)
    assert "There is not enough" not in capsys.readouterr().out
    show(replace(found, disk_free_bytes=0, memory_usable_bytes=2**20))
    shown = capsys.readouterr().out
    assert "There is not enough disk for it." in shown and "There is not enough memory for it." in shown


def test_the_forecast_of_a_curve_counts_the_runs_of_all_sizes(
    photographs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sets = {"source": photographs, "intermediate": photographs, "target": photographs}
    request = experiment_request(**sets, preset="fast", runs=3, draws=1, sizes=[3, 6, 12], output=tmp_path / "out")
    found = forecast(request, measure=False)
    read_result("curve --dry-run", json.dumps(plain(found)))
    rows = {row.stage: row for row in found.stages}
    assert list(rows) == ["pretrain", "finetune", "final", "baseline", "transfer"]
    assert (rows["pretrain"].runs, rows["baseline"].runs, rows["transfer"].runs) == (1, 9, 9)
    assert rows["baseline"].steps == 1  # 36 images in whole batches of 32
    model = tmp_path / "model"
    model.mkdir()
    (model / "model.keras").write_bytes(b"")
    given = experiment_request(
        intermediate=photographs, classes={"a": "one", "b": "*"}, runs=2, sizes=[3, 6], prepared=[model],
        output=tmp_path / "o",
    )  # fmt: skip
    found = forecast(given, measure=False)
    assert [(row.stage, row.runs) for row in found.stages] == [("baseline", 4), ("transfer", 4)]
    show(found)
    assert "nothing to prepare" in capsys.readouterr().out


def test_a_curve_may_be_as_large_as_the_run_takes_the_set_to_be(photographs: Path, tmp_path: Path) -> None:
    random = np.random.default_rng(8)
    for split, counts in (("train", (8, 8, 7)), ("val", (2, 2, 2)), ("test", (2, 2, 2))):
        for name, count in zip(("one", "two", "three"), counts, strict=True):
            (tmp_path / "set" / split / name).mkdir(parents=True)
            for number in range(count):
                pixels = random.integers(0, 255, (48, 48, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(tmp_path / "set" / split / name / f"{number}.png")
    # 23 images in 3 classes are 8 per class, as `images_per_class` has it.
    assert images_per_class(import_dataset(str(tmp_path / "set"), tmp_path / "packed")) == 8
    for sizes, runs in (([2, 8], 4), (["auto"], 2 * len(default_sizes(8)))):
        request = experiment_request(
            source=photographs, intermediate=photographs, target=tmp_path / "set", runs=2, draws=1, sizes=sizes,
            output=tmp_path / "out",
        )  # fmt: skip
        rows = {row.stage: row for row in forecast(request, measure=False).stages}
        assert rows["baseline"].runs == runs


def test_a_selection_is_counted_as_it_is_made(photographs: Path, tmp_path: Path) -> None:
    rule = {"a": "one", "b": "*"}
    request = experiment_request(
        source=photographs, intermediate=photographs, classes=rule, images_per_class=10,
        data_settings={"validation_share": 0.3}, output=tmp_path / "out",
    )  # fmt: skip
    row = next(row for row in forecast(request, measure=False).stages if row.stage == "baseline")
    import_dataset(str(photographs), tmp_path / "packed", validation_share=0.3)
    made = select_classes(
        tmp_path / "packed", tmp_path / "target", classes=rule, images_per_class=10, validation_share=0.3
    )
    assert (row.images, row.classes) == (made.counts["train"], len(made.classes)) == (20, 2)


def test_the_time_of_a_run_follows_from_the_pace_of_each_of_its_parts() -> None:
    pace = Pace(once=0.01, step=0.1, processor=(0.03, 0.2), statistics=0.05, answer=0.02, frozen=[])
    train, evaluation, processor = pace.seconds(Images(100, 10, 30, 2), Recipe(epochs=3, batch_size=32))
    # Three epochs of three whole batches; after each the statistics of 100 images and 10 answers; then 30 answers.
    assert train == pytest.approx(0.01 * 100 + 0.1 * 96 * 3)
    assert processor == pytest.approx(0.03 * 100 + 0.2 * 96 * 3)
    assert evaluation == pytest.approx(0.01 * 40 + 3 * (0.05 * 100 + 0.02 * 10) + 0.02 * 30)
    recipe = Recipe(epochs=1, batch_size=32)
    assert pace.seconds(Images(20, 10, 30, 2), recipe)[0] == pytest.approx(0.01 * 20 + 0.1 * 20)
    # Two steps per epoch: five steps take three epochs.
    few = pace.seconds(Images(64, 0, 0, 2), recipe.model_copy(update={"least_steps": 5}))
    assert few[0] == pytest.approx(0.01 * 64 + 0.1 * 64 * 3)


@pytest.mark.slow
def test_the_command_measures_and_writes_nothing(photographs: Path, tmp_path: Path) -> None:
    sets = [f"--{role}={photographs}" for role in ("source", "intermediate", "target")]
    done = subprocess.run(
        [sys.executable, "-m", "headstart", "run", "--dry-run", "--json", *sets, "--runs", "2", "--set", "epochs=1",
         "--set", "tensorboard=curves"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = read_result("run --dry-run", done.stdout)
    assert found["seconds"] > 0
    parts = ("seconds", "processor_seconds", "evaluation_seconds")
    assert all(stage[part] > 0 for stage in found["stages"] for part in parts)
    rows = {stage["stage"]: stage for stage in found["stages"]}
    assert rows["transfer"]["seconds"] == pytest.approx(2 * rows["final"]["seconds"])  # measured once
    assert rows["transfer"]["frozen"] and rows["finetune"]["frozen"] and not rows["baseline"]["frozen"]
    assert list(tmp_path.iterdir()) == []

"""`run --dry-run`: it counts what an import would import, writes nothing, and its plan is the run's."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from headstart.components.datasets.importing import import_dataset, survey
from headstart.pipelines.dry_run import forecast
from headstart.pipelines.json_output import plain
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


def test_the_forecast_is_of_the_run_that_is_asked_for(photographs: Path, tmp_path: Path) -> None:
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
    assert rows["baseline"].steps == 4
    assert rows["transfer"].frozen and not rows["baseline"].frozen
    assert found.seconds is None
    assert not (tmp_path / "out").exists()


def test_the_forecast_of_a_curve_counts_the_runs_of_all_sizes(photographs: Path, tmp_path: Path) -> None:
    sets = {"source": photographs, "intermediate": photographs, "target": photographs}
    request = experiment_request(**sets, preset="fast", runs=3, draws=1, sizes=[3, 6, 12], output=tmp_path / "out")
    found = forecast(request, measure=False)
    read_result("curve --dry-run", json.dumps(plain(found)))
    rows = {row.stage: row for row in found.stages}
    assert list(rows) == ["pretrain", "finetune", "final", "baseline", "transfer"]
    assert (rows["pretrain"].runs, rows["baseline"].runs, rows["transfer"].runs) == (3, 9, 9)
    assert rows["baseline"].steps == 2  # 36 images in batches of 32
    model = tmp_path / "model"
    model.mkdir()
    (model / "model.keras").write_bytes(b"")
    given = experiment_request(intermediate=photographs, runs=2, sizes=[3, 6], prepared=[model], output=tmp_path / "o")
    assert [(row.stage, row.runs) for row in forecast(given, measure=False).stages] == [
        ("baseline", 4),
        ("transfer", 4),
    ]


@pytest.mark.slow
def test_the_command_measures_and_writes_nothing(photographs: Path, tmp_path: Path) -> None:
    sets = [f"--{role}={photographs}" for role in ("source", "intermediate", "target")]
    done = subprocess.run(
        [sys.executable, "-m", "headstart", "run", "--dry-run", "--json", *sets, "--runs", "2", "--set", "epochs=1"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = read_result("run --dry-run", done.stdout)
    assert found["seconds"] > 0
    assert all(stage["seconds"] > 0 for stage in found["stages"])
    assert list(tmp_path.iterdir()) == []

"""Prepared models from earlier runs: where they are found, and what is refused."""

import json
from pathlib import Path

import keras
import pytest
import yaml

from headstart.components.errors import HeadstartError, SettingError
from headstart.components.preflight.component import preflight
from headstart.components.training.prepared_models import fetch_prepared, find_models
from headstart.pipelines.local_experiment import _extends
from headstart.pipelines.request import experiment_request


def model(stem: Path, weights: str, size: int = 52) -> None:
    stem.parent.mkdir(parents=True, exist_ok=True)
    Path(f"{stem}.keras").write_bytes(b"model " + weights.encode())
    description = {"arm": "finetune", "seed": 0, "weights": weights, "image_size": size, "preparation": 7}
    Path(f"{stem}.json").write_text(json.dumps(description))


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """The output folder of an experiment with two preparations."""
    folder = tmp_path / "output"
    model(folder / "model" / "finetuned-p1", "second")
    model(folder / "model" / "finetuned", "first")
    model(folder / "model" / "pretrained", "other")
    (folder / "model" / "finetuned.trained_on.npz").write_bytes(b"seen")
    return folder


def fetched(prepared: Path) -> list[tuple[str, int]]:
    descriptions = [json.loads((prepared / str(number) / "model.json").read_text()) for number in range(2)]
    return [(found["weights"], found["preparation"]) for found in descriptions]


def test_an_output_folder_gives_all_its_preparations_in_order(output: Path, tmp_path: Path) -> None:
    assert fetch_prepared([str(output)], tmp_path / "new", 52) == 2
    assert fetched(tmp_path / "new") == [("first", 0), ("second", 1)]
    assert (tmp_path / "new" / "0" / "model.keras").read_bytes() == b"model first"
    assert (tmp_path / "new" / "0" / "trained_on.npz").read_bytes() == b"seen"
    assert not (tmp_path / "new" / "1" / "trained_on.npz").exists()


def test_what_preparing_took_is_known_where_the_run_says_so(output: Path, tmp_path: Path) -> None:
    def given(folder: str) -> dict[str, object]:
        fetch_prepared([str(output)], tmp_path / folder, 52)
        found: dict[str, object] = json.loads((tmp_path / folder / "1" / "model.json").read_text())["given"]
        return found

    source = str(output / "model" / "finetuned-p1.keras")
    assert given("first") == {"left_out": ["pretrain", "finetune"], "source": source, "hours": None}
    for seconds, hours in ((1800.0, 0.5), (None, None), ("soon", None), (-1, None)):
        (output / "summary.json").write_text(json.dumps({"preparation_seconds": seconds}))
        assert given(f"with {seconds}")["hours"] == hours


def test_a_task_output_a_model_folder_and_a_file_are_found_too(output: Path, tmp_path: Path) -> None:
    for number, weights in enumerate(("first", "second")):
        model(tmp_path / "task" / str(number) / "model", weights)
    assert [Path(uri).parent.name for uri in find_models(str(tmp_path / "task"))] == ["0", "1"]
    assert find_models(f"{output / 'model'}/") == [
        f"{output / 'model' / name}" for name in ("finetuned.keras", "finetuned-p1.keras")
    ]
    one = [f"{tmp_path / 'task' / '0'}", f"{output / 'model' / 'finetuned-p1.keras'}"]
    assert fetch_prepared(one, tmp_path / "new", 52) == 2
    assert fetched(tmp_path / "new") == [("first", 0), ("second", 1)]


def test_what_cannot_be_used_is_refused_by_name_and_nothing_is_left(output: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    cases = [
        ([str(tmp_path / "empty")], 52, "holds no prepared model"),
        ([f"{output}/model/absent.keras"], 52, "is not there"),
        ([str(output)], 64, "takes images of 52 pixels; the target images have 64"),
        ([str(output), str(output)], 52, "are the same model"),
        ([], 52, "no model is named"),
    ]
    for uris, size, message in cases:
        with pytest.raises(SettingError, match=message):
            fetch_prepared(uris, tmp_path / "new", size)
        assert not (tmp_path / "new").exists()
    (output / "model" / "finetuned.json").write_text("{}")
    with pytest.raises(SettingError, match="does not describe a prepared model"):
        fetch_prepared([str(output)], tmp_path / "new", 52)


def test_a_model_of_somebody_else_is_described_and_one_that_is_none_is_refused(tmp_path: Path) -> None:
    theirs = tmp_path / "imagenet.keras"
    network = keras.Sequential([keras.Input((40, 40, 3)), keras.layers.Flatten(), keras.layers.Dense(2)])
    network.save(theirs)
    assert fetch_prepared([str(theirs)], tmp_path / "new", 52) == 1
    place = tmp_path / "new" / "0"
    assert (place / "model.keras").read_bytes() == theirs.read_bytes()
    found = json.loads((place / "model.json").read_text())
    assert found["given"] == {"left_out": ["pretrain", "finetune"], "source": str(theirs), "hours": None}
    assert found["preparation"] == 0
    # A run that starts from it and leaves out both stages has it in its output, with this description.
    handed_on = tmp_path / "run" / "model"
    handed_on.mkdir(parents=True)
    for suffix in ("keras", "json"):
        (handed_on / f"finetuned.{suffix}").write_bytes((place / f"model.{suffix}").read_bytes())
    assert fetch_prepared([str(tmp_path / "run")], tmp_path / "curve", 52) == 1
    again = json.loads((tmp_path / "curve" / "0" / "model.json").read_text())
    assert again["weights"] == found["weights"]
    assert again["given"]["source"] == str(handed_on / "finetuned.keras")
    (tmp_path / "not.keras").write_bytes(b"not a model")
    with pytest.raises(HeadstartError, match="not\\.keras"):
        fetch_prepared([str(tmp_path / "not.keras")], tmp_path / "second", 52)
    assert not (tmp_path / "second").exists()


def test_a_curve_on_one_model_is_extended(output: Path) -> None:
    def request(*seeds: int) -> dict[str, dict[str, object]]:
        prepared = [str(output / "model" / "finetuned.keras")]
        return {
            "parameters": {"prepared": prepared, "preset": "fast", "seeds": list(seeds), "intermediate_data": "none"}
        }

    # The preset alone would have three preparations, two for two runs.
    assert _extends(request(1, 2), request(1, 2, 3, 4))
    assert not _extends(request(1, 2), request(2, 1, 3))


def test_on_a_cluster_a_curve_imports_what_it_imports_here(output: Path, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.png").write_bytes(b"x")
    for target in ("", str(tmp_path / "photos")):
        here = experiment_request(prepared=[str(output)], sizes=["auto"], target=target).parameters
        plan = {
            name: str(tmp_path / name) for name in ("plan_images_per_class", "plan_draws", "plan_intermediate_data")
        }
        preflight.python_func(run_id="1", intermediate_data="auto", target_data=target, sizes=["auto"], **plan)
        assert Path(plan["plan_intermediate_data"]).read_text() == here["intermediate_data"]
    golden = Path(__file__).parents[1] / "pipelines" / "golden" / "curve-cpu.yaml"
    tasks = next(yaml.safe_load_all(golden.read_text()))["root"]["dag"]["tasks"]
    imported = tasks["import-dataset"]["inputs"]["parameters"]["uri"]
    assert imported["taskOutputParameter"]["outputParameterKey"] == "plan_intermediate_data"


def test_with_a_target_of_its_own_a_curve_reads_no_other_set(output: Path) -> None:
    def intermediate(**options: str) -> object:
        return experiment_request(prepared=[str(output)], sizes=["auto"], **options).parameters["intermediate_data"]  # type: ignore[arg-type]

    assert intermediate(target="s3://bucket/photos") == "none"
    assert intermediate(target="s3://bucket/photos", fruits360="s3://bucket/fruits") == "s3://bucket/fruits"
    assert intermediate() == "demo:fruits"

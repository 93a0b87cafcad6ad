"""The experiment's design: every arm in every cell, an order that cancels drift, and no loop that is too long."""

import json
from collections import Counter
from pathlib import Path

import pytest

from headstart.components.design import (
    LARGEST_LOOPS,
    MOST_RUNS,
    Cell,
    check_sizes,
    curve_tasks,
    default_sizes,
    plan,
    read_cells,
)
from headstart.components.errors import SettingError
from headstart.components.stages import ARMS
from headstart.pipelines.long_arguments import LIMIT


def test_the_first_cells_alternate_the_arms() -> None:
    found = plan({"preset": "paper", "seeds": [5, 6, 7, 8]})
    forward, backward = ("baseline", "transfer"), ("transfer", "baseline")
    assert found.cells == [
        Cell(5, 0, 0, forward), Cell(6, 0, 0, backward), Cell(7, 0, 0, forward), Cell(8, 0, 0, backward),
    ]  # fmt: skip


@pytest.mark.parametrize(("preparations", "draws"), [(1, 1), (2, 1), (1, 2), (2, 2), (2, 3), (3, 3), (4, 6)])
def test_order_is_balanced_within_every_preparation_and_draw(preparations: int, draws: int) -> None:
    seeds = list(range(1, 2 * preparations * draws + 1))
    cells = plan({"seeds": seeds, "preparations": preparations, "draws": draws, "arms": ["baseline", "transfer"]}).cells
    counts = Counter((cell.preparation, cell.draw, cell.arms[0]) for cell in cells)
    assert len(counts) == 2 * preparations * draws
    assert set(counts.values()) == {1}


@pytest.mark.parametrize(("preparations", "draws"), [(1, 4), (2, 3), (3, 3), (5, 5), (4, 6), (6, 4), (7, 2), (20, 9)])
def test_few_runs_already_vary_both_and_all_pairs_come_up(preparations: int, draws: int) -> None:
    seeds = list(range(preparations * draws))
    cells = plan({"seeds": seeds, "preparations": preparations, "draws": draws}).cells
    assert len({(cell.preparation, cell.draw) for cell in cells}) == preparations * draws
    few = cells[: max(preparations, draws)]
    assert {cell.preparation for cell in few} == set(range(preparations))
    assert {cell.draw for cell in few} == set(range(draws))
    for name in ("preparation", "draw"):
        for runs in range(1, len(cells) + 1):
            counts = Counter(getattr(cell, name) for cell in cells[:runs])
            assert max(counts.values()) - min(counts.values()) <= 2
            first = Counter(getattr(cell, name) for cell in cells[:runs] if cell.arms[0] == "baseline")
            assert all(abs(2 * first[value] - counts[value]) <= 3 for value in counts)


def test_a_linear_drift_of_the_machine_moves_no_arm_more_than_another() -> None:
    cells = plan({"preset": "demo", "seeds": list(range(12)), "arms": list(ARMS)}).cells
    places: dict[str, list[int]] = {arm: [] for arm in ARMS}
    for place, arm in enumerate(arm for cell in cells for arm in cell.arms):
        places[arm].append(place)
    assert len({sum(found) for found in places.values()}) == 1


def test_a_longer_list_of_seeds_keeps_the_cells_of_a_shorter_one() -> None:
    short, long = (plan({"preset": "demo", "seeds": list(range(1, runs + 1))}).cells for runs in (3, 10))
    assert long[:3] == short


@pytest.mark.parametrize(("runs", "preparations"), [(1, 1), (10, 3), (100, 20), (1000, 1), (1000, 20), (2000, 5)])
def test_the_loops_stay_short_and_every_cell_is_in_one_task(runs: int, preparations: int) -> None:
    found = plan({"seeds": list(range(runs)), "preparations": preparations, "draws": 7})
    assert len(found.tasks) + 2 * preparations <= LARGEST_LOOPS
    assert [cell for task in found.tasks for cell in read_cells(task)] == found.cells
    assert sum(map(len, found.tasks)) < 100_000
    assert len({(cell.seed, arm) for cell in found.cells for arm in cell.arms}) == 2 * runs


# What Kubeflow Pipelines 2.17 tells a task of an artifact in an object store (backend/src/v2/metadata/converter.go).
STORE = {"accessKeyKey": "accesskey", "disableSSL": "true", "endpoint": "minio-service.kubeflow:9000",
         "forcePathStyle": "true", "fromEnv": "false", "maxRetries": "5", "region": "minio",
         "secretKeyKey": "secretkey", "secretName": "mlpipeline-minio-artifact"}  # fmt: skip


def artifact(number: int, task: str) -> dict[str, object]:
    ids = "0" * 36
    metadata = {"display_name": "records", "runs": "60", "failed": "none"}
    return {
        "name": str(100_000 + number),
        "type": {"schemaTitle": "system.Artifact", "schemaVersion": "0.0.1"},
        # Sixty characters more than the root that Kubeflow Pipelines has by default.
        "uri": f"minio://mlpipeline/v2/artifacts/{'r' * 60}/headstart-experiment/{ids}/{task}/{ids}/records",
        "metadata": metadata | {"store_session_info": json.dumps({"Provider": "minio", "Params": STORE})},
    }


@pytest.mark.parametrize(("seeds", "preparations"), [(1000, 1), (1000, 20), (MOST_RUNS // 2, 1), (MOST_RUNS // 2, 20)])
def test_what_the_report_is_given_fits_into_one_argument_on_a_cluster(seeds: int, preparations: int) -> None:
    """The driver hands a task its whole input as one argument; Linux takes none longer than `LIMIT`."""
    found = plan({"preset": "fast", "seeds": list(range(1, seeds + 1)), "preparations": preparations})
    runs = [artifact(number, "train-runs") for number in range(len(found.tasks))]
    before = [artifact(number, "pretrain") for number in range(2 * preparations + 1)]
    parameters = {"cells": found.tasks, "run_id": "0" * 36, "settings": {}}
    given = {"inputs": {"parameterValues": parameters, "artifacts": {"runs": runs, "before": before}}}
    assert len(json.dumps(given)) + 3_000 < LIMIT  # what it writes is named in it too


def test_defaults_follow_the_preset_and_the_preset_the_data() -> None:
    drawn = plan({"source_data": "demo:source", "intermediate_data": "demo:fruits", "target_data": ""})
    assert (drawn.preset, len(drawn.preparations), drawn.draws, drawn.images_per_class) == ("demo", 2, 3, 250)
    own = plan({"source_data": "demo:source", "intermediate_data": "/mine"})
    assert (own.preset, own.preparations, own.draws, own.images_per_class) == ("paper", [0], 1, 400)
    assert len(plan({"preset": "fast"}).preparations) == 3
    assert plan({"preset": "fast", "seeds": [1, 2]}).preparations == [0, 1]
    asked = plan({"preset": "paper", "preparations": 4.0, "draws": 2.0, "images_per_class": 10.0})
    assert (asked.preparations, asked.draws, asked.images_per_class) == ([0, 1, 2, 3], 2, 10)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"seeds": [1, 2], "preparations": 3}, "3 preparations for 2 runs"),
        ({"preparations": 21}, "preparations: found 21, expected a whole number from 1 to 20"),
        ({"draws": -1}, "draws: found -1"),
        ({"draws": 1.5}, r"draws: found 1\.5"),
        ({"draws": True}, "draws: found True"),
        ({"arms": ["baseline"]}, "nothing to compare"),
        (
            {"seeds": list(range(MOST_RUNS // 2 + 1))},
            "2001 seeds of 2 arms are 4,002 runs; one experiment holds at most",
        ),
    ],
)
def test_what_cannot_be_is_refused(parameters: dict, message: str) -> None:  # type: ignore[type-arg]
    with pytest.raises(SettingError, match=message):
        plan(parameters)


@pytest.mark.parametrize("text", ["1/0:baseline", "a/0/0:baseline", "1/0/0", "1/0/0:middle"])
def test_a_text_that_is_no_cell_is_refused(text: str) -> None:
    with pytest.raises(SettingError, match="cells: "):
        read_cells(text)


def test_prepared_models_are_gathered_by_their_number(tmp_path: Path) -> None:
    from headstart.components.errors import HeadstartError
    from headstart.components.training.cells import gather_prepared

    folders = []
    for number in (1, 0):
        folder = tmp_path / f"model-{number}"
        folder.mkdir()
        (folder / "model.json").write_text(f'{{"preparation": {number}}}')
        (folder / "model.keras").write_bytes(bytes([number]))
        folders.append(folder)
    assert gather_prepared(folders, tmp_path / "prepared", tmp_path / "first") == [0, 1]
    assert (tmp_path / "prepared/1/model.keras").read_bytes() == b"\1"
    assert (tmp_path / "first/model.keras").read_bytes() == b"\0"
    # A task that is tried again finds what it wrote.
    assert gather_prepared(folders, tmp_path / "prepared", tmp_path / "first") == [0, 1]
    with pytest.raises(HeadstartError, match="are both the model of preparation 1"):
        gather_prepared([folders[0], folders[0]], tmp_path / "twice", tmp_path / "first")
    with pytest.raises(HeadstartError, match="no model of preparation 0"):
        gather_prepared([folders[0]], tmp_path / "none", tmp_path / "first")


def test_a_curve_runs_every_cell_at_every_size_in_one_task_with_the_arms_in_turn() -> None:
    cells = plan({"preset": "paper", "seeds": [5, 6], "draws": 2}).cells
    tasks = curve_tasks(cells, [3, 6, 12])
    assert [len(read_cells(task)) for task in tasks] == [3, 3]
    found = read_cells(tasks[0])
    assert [cell.size for cell in found] == [3, 6, 12]
    assert [cell.arms[0] for cell in found] == ["baseline", "transfer", "baseline"]
    assert {(cell.seed, cell.preparation, cell.draw) for cell in found} == {(5, 0, 0)}
    assert len(curve_tasks([cells[0]] * 250, [1, 2], loops=100)) <= 100


def test_sizes_of_a_curve() -> None:
    assert default_sizes(400) == [12, 25, 50, 100, 200, 400]
    assert default_sizes(3) == [1, 2, 3]
    assert check_sizes(["auto"], 64) == [2, 4, 8, 16, 32, 64]
    assert check_sizes([50.0, 12]) == [12, 50]
    assert check_sizes([]) == []
    assert plan({"sizes": [600, 12]}).images_per_class == 600
    assert plan({"sizes": [12, 25], "images_per_class": 300}).images_per_class == 300


@pytest.mark.parametrize(
    ("sizes", "there", "message"),
    [
        ([5], 0, "alone is no curve"),
        ([5, 5], 0, "given twice"),
        ([0, 5], 0, "whole number from 1"),
        ("12,25", 0, "expected a list"),
        ([12, 500], 400, "the target set has 400"),
        (["a", "b"], 0, "whole number"),
    ],
)
def test_sizes_that_make_no_curve_are_refused(sizes: object, there: int, message: str) -> None:
    with pytest.raises(SettingError, match=message):
        check_sizes(sizes, there)


@pytest.mark.parametrize("sizes", [5, True, 0.5])
def test_sizes_that_are_no_list_are_refused_with_the_plan(sizes: object) -> None:
    with pytest.raises(SettingError, match=r"sizes: found .*, expected a list"):
        plan({"sizes": sizes})


def test_a_curve_of_too_many_runs_is_refused() -> None:
    cells = plan({"seeds": list(range(1000))}).cells
    with pytest.raises(SettingError, match="6,000 runs"):
        curve_tasks(cells, [1, 2, 3])

"""The runs of the loop: which each of its tasks trains, one after the other, and the folder of their records."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from headstart.components.atomic_files import whole_folder
from headstart.components.datasets.draws import draw_folder, draw_folders, images_per_class, subset
from headstart.components.datasets.packed import PackedDataset
from headstart.components.design import LARGEST_LOOPS, check_sizes, curve_tasks, plan, read_cells
from headstart.components.errors import HeadstartError
from headstart.components.progress import emit
from headstart.components.records import RunRecord
from headstart.components.regular_files import read_json
from headstart.components.stages import STAGES
from headstart.components.training.checkpoint import is_model
from headstart.components.training.prepared_models import is_prepared
from headstart.components.training.stages import run_stage


def loop_tasks(dataset: Path, preparations: int, *, sizes: list[Any], **parameters: Any) -> list[str]:
    """Return what each task trains, see `headstart.components.design.read_cells`.

    `dataset` is the target set with its draws, `parameters` are seeds, arms and draws. SettingError where a size of
    the learning curve is larger than the set.
    """
    planned = plan({**parameters, "preparations": preparations})
    if not sizes:
        return planned.tasks
    there = min(images_per_class(PackedDataset(draw, checked=False).description) for draw in draw_folders(dataset))
    chosen = check_sizes(sizes, there)
    tasks = curve_tasks(planned.cells, chosen, LARGEST_LOOPS - 2 * preparations)
    emit("plan", runs=len(planned.cells) * len(chosen))  # of each arm: the images decide how many sizes auto means
    return tasks


def run_cells(cells: str, *, dataset: Path, prepared: Path, records: Path, **how: Any) -> list[RunRecord]:
    """Train every arm of every cell in `cells` and write the record of each into the folder `records`.

    `dataset` is the target set with its draws, `prepared` the folder that `gather_prepared` wrote; `how` holds the
    further arguments of `run_stage`. A run that fails leaves a record that says so and the next one begins.
    """
    records.mkdir(parents=True, exist_ok=True)
    written = records / "run.part"  # its name is known once there is a record
    done = []
    for cell in read_cells(cells):
        with subset(draw_folder(dataset, cell.draw), cell.size) as (images, part):
            for arm in cell.arms:
                record = run_stage(
                    arm=arm,
                    dataset=images,
                    subset=part,
                    initial_model=prepared / str(cell.preparation) if STAGES[arm].starts_from else None,
                    seed=cell.seed,
                    preparation=cell.preparation,
                    draw=cell.draw,
                    record=written,
                    model=None,
                    saved_model=None,
                    **how,
                )
                written.replace(records / f"{record.name}.json")
                done.append(record)
    return done


def gather_prepared(models: Sequence[Path], prepared: Path, first: Path) -> list[int]:
    """Copy the model folders of all preparations into `prepared`, each as its number, and that of 0 to `first`.

    Returns the numbers, ascending. HeadstartError where two folders are of one preparation or 0 is missing.
    """
    numbered: dict[int, Path] = {}
    for folder in models:
        number = int(read_json(folder / "model.json").get("preparation", 0))
        if number in numbered:
            raise HeadstartError(f"{folder} and {numbered[number]} are both the model of preparation {number}.")
        numbered[number] = folder
    if 0 not in numbered:
        raise HeadstartError(f"There is no model of preparation 0 among {', '.join(map(str, models)) or 'none'}.")
    with whole_folder(prepared, is_prepared) as new:
        for number, folder in numbered.items():
            shutil.copytree(folder, new / str(number))
    with whole_folder(first, is_model) as new:
        shutil.copytree(numbered[0], new, dirs_exist_ok=True)
    return sorted(numbered)

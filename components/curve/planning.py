"""What the tasks of the loop train, once the target images and the prepared models are there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from headstart.components.datasets.draws import draw_folders, images_per_class
from headstart.components.datasets.packed import PackedDataset
from headstart.components.design import LARGEST_LOOPS, check_sizes, curve_tasks, plan


def tasks(dataset: Path, preparations: int, *, sizes: list[Any], **parameters: Any) -> list[str]:
    """Return what each task trains, see `headstart.components.design.read_cells`.

    `dataset` is the target set with its draws, `parameters` are seeds, arms and draws. SettingError where a size of
    the learning curve is larger than the set.
    """
    planned = plan({**parameters, "preparations": preparations})
    if not sizes:
        return planned.tasks
    there = min(images_per_class(PackedDataset(draw, checked=False).description) for draw in draw_folders(dataset))
    return curve_tasks(planned.cells, check_sizes(sizes, there), LARGEST_LOOPS - 2 * preparations)

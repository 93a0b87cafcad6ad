"""What the pipelines have in common: how a task is placed, how images come in, and what training tasks are given."""

from collections.abc import Callable
from typing import Any

from kfp import dsl

from headstart.components.datasets.component import import_dataset, select_classes
from headstart.pipelines.placement import Kind, Placement, place

Placed = Callable[[dsl.PipelineTask, Kind, str], dsl.PipelineTask]


def placing(where: Placement, *, caching: bool = True) -> Placed:
    """Return a function that gives a task its kind's place and its title.

    `place` decides which kinds may be taken from the cache; with `caching=False` none may.
    """

    def placed(task: dsl.PipelineTask, kind: Kind, title: str) -> dsl.PipelineTask:
        place(task.set_display_name(title), where, kind)
        return task if caching else task.set_caching_options(False)

    return placed


def import_and_select(
    placed: Placed,
    ready: dsl.PipelineTask,
    titles: tuple[str, str],
    importing: dict[str, Any],
    selection: dict[str, Any],
) -> tuple[dsl.PipelineTask, dsl.PipelineTask]:
    """Import a set once the task `ready` has passed, select the target classes from it, and return both tasks.

    `importing` are the inputs of `import_dataset`, `selection` those of `select_classes`, apart from the imported set
    and the seed, which is the import's.
    """
    imported = placed(import_dataset(**importing), "data", titles[0]).after(ready)
    selected = select_classes(intermediate=imported.outputs["dataset"], seed=importing["seed"], **selection)
    return imported, placed(selected, "data", titles[1])


def training_inputs(where: Placement, **parameters: Any) -> dict[str, Any]:
    """Return what every training task takes: the pipeline's run_id, preset, settings and checkpoints, and its place."""
    return {**parameters, "accelerators": where.accelerators_used, "image": where.image_for("training")}

"""What the pipelines share: what their parameters mean, where tasks run, how images come in, what training takes."""

import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from kfp import dsl

from headstart.components.datasets.component import import_dataset, select_classes
from headstart.components.training.component import choose_precision
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


def training_inputs(
    placed: Placed,
    where: Placement,
    selected: dsl.PipelineTask,
    stages: list[str],
    after: tuple[dsl.PipelineTask, ...] = (),
    **parameters: Any,
) -> dict[str, Any]:
    """Return what every training task takes: the pipeline's run_id, preset, settings and checkpoints, its place, and
    the precision that a task chooses for all of them, on the images of the task `selected` and once `after` are done.

    It is an artifact: in a loop, kfp.local takes a parameter that is a task's output for the loop's item. `stages` are
    those of the pipeline, see `choose_precision`.
    """
    how = {**parameters, "accelerators": where.accelerators_used, "image": where.image_for("training")}
    chosen = choose_precision(dataset=selected.outputs["dataset"], stages=stages, **how)
    # Placed where training runs: other nodes may be faster in the other precision.
    placed(chosen, "training", "Choose the precision").after(*after)
    return {**how, "precision": chosen.outputs["precision"]}


Function = TypeVar("Function", bound=Callable[..., Any])

_LAYOUT = "How that set is laid out; auto: found out."
DESCRIPTIONS = {
    "source_data": "Source set to pretrain on: URI, demo:source for drawn images, or none.",
    "intermediate_data": "Intermediate set to fine-tune on: URI, demo:fruits for drawn images, or none; "
    "of a curve also auto: drawn images, or none beside target_data.",
    "target_data": "Target set that the arms are trained on: URI; empty: classes selected from the intermediate set.",
    "source_layout": _LAYOUT,
    "intermediate_layout": _LAYOUT,
    "target_layout": _LAYOUT,
    "seeds": "One run of each arm for each seed; of a retraining, one candidate for each, and the best is taken.",
    "arms": "A control and treatments to compare: baseline, transfer, finetuned, frozen-random, head, transfer@N.",
    "preparations": "Chains of pretraining and fine-tuning; 0: as the preset has it.",
    "draws": "Draws of the target's training images, over which the runs are spread; 0: as the preset has it.",
    "sizes": 'Sizes of a learning curve in training images per class, ["auto"] for 1/32 to all; empty: none.',
    "hold_out_target": "Fine-tune without the target's classes: transfer, not memory.",
    "prepared": "URI of a model to start from in place of stages that are left out; of a curve, a list of them; of a "
    "retraining, the fine-tuned model, empty: the one that the store keeps.",
    "preparation_hours": "What preparing that model took, in hours; below 0: not known.",
    "preset": "Recipe: paper, fast or demo; empty: demo on drawn images, else paper.",
    "settings": "Training settings that differ from the preset, by name.",
    "classes": "Target classes: new name to words of the names it takes in; *: the rest; empty: as they are.",
    "images_per_class": "Training images of each target class; 0: as the preset has it.",
    "test_images_per_class": "Test images of each target class; 0: as many as every class has.",
    "image_size": "Height and width of images in pixels.",
    "preparation_seed": "Seed of the first preparation.",
    "data_settings": "Settings of imports and selection that differ from their defaults, by name.",
    "report_settings": "Report settings that differ from their defaults, by name, such as price_per_hour.",
    "checkpoints": "Folder, or gs:// or s3:// prefix, for checkpoints; empty: below the pipeline root in gs:// or minio://.",
    "store": "Model store: gs:// or s3:// prefix, or a folder of the placement's volume_claim.",
    "data": "New data: URI.",
    "layout": _LAYOUT,
    "selection_seed": "Seed of the import and the selection of images.",
    "promotion": "Rules of the promotion that differ from their defaults, by name, such as margin.",
    "force": "Train although these data were trained on before.",
}


def described(function: Function) -> Function:
    """Give a pipeline's function the descriptions of its parameters, where kfp reads them: in its docstring."""
    lines = [f"    {name}: {DESCRIPTIONS[name]}" for name in inspect.signature(function).parameters]
    function.__doc__ = "\n".join(["A pipeline.", "", "Args:", *lines])
    return function

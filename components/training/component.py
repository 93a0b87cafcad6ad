"""The training stages as pipeline components: thin shells around `headstart.components.training`."""

# KFP reads the interface of a component off bare annotations, which strict typing does not accept.
# mypy: disable-error-code="untyped-decorator, no-untyped-def, type-arg"

from typing import List  # noqa: UP035  kfp's type checker knows typing.List of artifacts only

from kfp import dsl
from kfp.dsl import Artifact, ClassificationMetrics, Dataset, Input, Metrics, Model, Output

# Replaced for each task by the image that the pipeline is compiled for.
IMAGE = "headstart:0.1.0"


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def choose_precision(
    dataset: Input[Dataset],
    stages: list,
    run_id: str,
    preset: str,
    settings: dict,
    checkpoints: str,
    accelerators: int,
    image: str,
    precision: Output[Artifact],
):
    """Where the recipe's precision is auto, time a few training steps in float32 and bfloat16 and choose for all runs.

    Args:
        dataset: The packed target images, of which size and classes count here.
        stages: Stages of the run; the first whose precision is auto is timed.
        run_id: The pipeline run this belongs to.
        preset: Recipe: paper, fast or demo; empty: demo for demonstration data, else paper.
        settings: Settings to override, by name.
        checkpoints: Folder, or gs:// or s3:// prefix, for checkpoints, and for the choice; empty: see checkpoint_place.
        accelerators: Accelerators that the runs are given.
        image: Container image, for the record.
        precision: What was chosen, and the times.
    """
    from headstart.components.training.shells import choose_precision

    how: dict = {
        "run_id": run_id,
        "preset": preset,
        "settings": settings,
        "checkpoints": checkpoints,
        "accelerators": accelerators,
        "image": image,
    }
    choose_precision(dataset, stages, precision, **how)


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def pretrain(
    dataset: Input[Dataset],
    preparation: int,
    seed: int,
    run_id: str,
    preset: str,
    settings: dict,
    checkpoints: str,
    accelerators: int,
    image: str,
    precision: Input[Artifact],
    record: Output[Artifact],
    model: Output[Model],
    metrics: Output[Metrics],
    prepared: str = "",
    preparation_hours: float = -1.0,
):
    """Train the whole network on the source images from random weights, or take over a prepared model in their place.

    Args:
        dataset: The packed source images.
        seed: Seed of preparation 0; that of preparation k is k more. Decides weights, order and augmentation.
        preparation: Which chain of pretraining and fine-tuning this belongs to, from 0.
        run_id: The pipeline run this belongs to; reports refuse records of another.
        preset: Recipe: paper, fast or demo; empty: demo for demonstration data, else paper.
        settings: Settings to override, by name.
        checkpoints: Folder, or gs:// or s3:// prefix, for checkpoints; empty: see checkpoint_place.
        accelerators: Accelerators the run was given; it fails where it sees fewer.
        image: Container image, for the record.
        precision: What was chosen where the recipe's precision is auto.
        record: The run record.
        model: The trained model.
        metrics: Accuracies and times, for the KFP UI and what compares its runs.
        prepared: URI of the model to take over where the source set is left out; empty: none.
        preparation_hours: What preparing that model took; below 0: not known.
    """
    from headstart.components.training.shells import begin, log_scalars

    how: dict = {
        "run_id": run_id,
        "preset": preset,
        "settings": settings,
        "checkpoints": checkpoints,
        "accelerators": accelerators,
        "image": image,
        "precision": precision,
    }
    result = begin(dataset, seed, preparation, prepared, preparation_hours, record, model, **how)
    log_scalars([result], metrics)


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def finetune(
    dataset: Input[Dataset],
    initial_model: Input[Model],
    preparation: int,
    seed: int,
    run_id: str,
    preset: str,
    settings: dict,
    checkpoints: str,
    accelerators: int,
    image: str,
    precision: Input[Artifact],
    record: Output[Artifact],
    model: Output[Model],
    metrics: Output[Metrics],
):
    """Train the pretrained network on the intermediate images, its early layers frozen.

    Args:
        dataset: The packed intermediate images.
        initial_model: The pretrained model.
        seed: Seed of preparation 0; that of preparation k is k more. Decides weights, order and augmentation.
        preparation: Which chain of pretraining and fine-tuning this belongs to, from 0.
        run_id: The pipeline run this belongs to; reports refuse records of another.
        preset: Recipe: paper, fast or demo; empty: demo for demonstration data, else paper.
        settings: Settings to override, by name.
        checkpoints: Folder, or gs:// or s3:// prefix, for checkpoints; empty: see checkpoint_place.
        accelerators: Accelerators the run was given; it fails where it sees fewer.
        image: Container image, for the record.
        precision: What was chosen where the recipe's precision is auto.
        record: The run record.
        model: The trained model.
        metrics: Accuracies and times, for the KFP UI and what compares its runs.
    """
    from headstart.components.training.shells import log_scalars, prepare

    how: dict = {
        "run_id": run_id,
        "preset": preset,
        "settings": settings,
        "checkpoints": checkpoints,
        "accelerators": accelerators,
        "image": image,
        "precision": precision,
    }
    result = prepare("finetune", dataset, initial_model, seed, preparation, record, model, **how)
    log_scalars([result], metrics)


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def gather_prepared(
    models: Input[List[Model]],  # noqa: UP006
    dataset: Input[Dataset],
    seeds: list,
    arms: list,
    draws: int,
    sizes: list,
    prepared: Output[Model],
    first: Output[Model],
) -> List[str]:  # noqa: UP006
    """Put the models of all preparations into one folder, and spread the runs over them and over the draws.

    Args:
        models: The fine-tuned model of every preparation.
        dataset: The packed target images.
        seeds: One for every run of each arm.
        arms: What to run.
        draws: How often the target's training images were drawn.
        sizes: Training images per class at which every run is repeated: a learning curve; empty: none.
        prepared: A folder for each preparation, named by its number.
        first: The model of preparation 0, from which the model that is shipped is made.

    Returns:
        What each task of the loop trains.
    """
    from pathlib import Path

    from headstart.components.training.cells import gather_prepared, loop_tasks

    found = gather_prepared([Path(model.path) for model in models], Path(prepared.path), Path(first.path))
    return loop_tasks(Path(dataset.path), len(found), seeds=seeds, arms=arms, draws=draws, sizes=sizes)


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def fetch_prepared(
    uris: list,
    dataset: Input[Dataset],
    seeds: list,
    arms: list,
    draws: int,
    sizes: list,
    settings: dict,
    prepared: Output[Model],
) -> List[str]:  # noqa: UP006
    """Fetch the prepared models of an earlier run, and spread the runs over them, over draws and over sizes.

    Args:
        uris: Output folders of experiments, model folders, or models NAME.keras; here or on gs://, s3://, minio://.
        dataset: The packed target images.
        seeds: One for every run of each arm at each size.
        arms: What to run.
        draws: How often the target's training images were drawn.
        sizes: Training images per class at which every run is repeated.
        settings: Training settings, of which the network may be one.
        prepared: A folder for each model, named by its number.

    Returns:
        What each task of the loop trains.
    """
    from pathlib import Path

    from headstart.components.datasets.packed import PackedDataset
    from headstart.components.training.cells import loop_tasks
    from headstart.components.training.prepared_models import fetch_prepared

    size = PackedDataset(dataset.path, checked=False).description.image_size
    found = fetch_prepared(uris, Path(prepared.path), size, str(settings.get("network", "paper")))
    return loop_tasks(Path(dataset.path), found, seeds=seeds, arms=arms, draws=draws, sizes=sizes)


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def final(
    dataset: Input[Dataset],
    initial_model: Input[Model],
    seed: int,
    run_id: str,
    preset: str,
    settings: dict,
    checkpoints: str,
    accelerators: int,
    image: str,
    precision: Input[Artifact],
    record: Output[Artifact],
    model: Output[Model],
    saved_model: Output[Model],
    metrics: Output[Metrics],
    classification: Output[ClassificationMetrics],
):
    """Train the last layers on the target images: the model that is shipped, with its served form and its metrics.

    Args:
        dataset: The packed target images.
        initial_model: The finetuned model.
        seed: Decides initial weights, order and augmentation.
        run_id: The pipeline run this belongs to; reports refuse records of another.
        preset: Recipe: paper, fast or demo; empty: demo for demonstration data, else paper.
        settings: Settings to override, by name.
        checkpoints: Folder, or gs:// or s3:// prefix, for checkpoints; empty: see checkpoint_place.
        accelerators: Accelerators the run was given; it fails where it sees fewer.
        image: Container image, for the record.
        precision: What was chosen where the recipe's precision is auto.
        record: The run record.
        model: The trained model.
        saved_model: The same as a SavedModel that takes raw images.
        metrics: Accuracies and times, for the KFP UI.
        classification: Confusion matrix, for the KFP UI.
    """
    from headstart.components.training.shells import log_metrics, stage

    how: dict = {
        "run_id": run_id,
        "preset": preset,
        "settings": settings,
        "checkpoints": checkpoints,
        "accelerators": accelerators,
        "image": image,
        "precision": precision,
    }
    result = stage("final", dataset, initial_model, seed, record=record, model=model, saved_model=saved_model, **how)
    log_metrics(result, metrics, classification)


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def train_runs(
    dataset: Input[Dataset],
    prepared: Input[Model],
    cells: str,
    run_id: str,
    preset: str,
    settings: dict,
    checkpoints: str,
    accelerators: int,
    image: str,
    precision: Input[Artifact],
    records: Output[Artifact],
    metrics: Output[Metrics],
):
    """Train the arms that are compared, one run after the other: each cell is a seed, a preparation and a draw.

    Args:
        dataset: The packed target images with their draws.
        prepared: The fine-tuned models of all preparations.
        cells: What to train: SEED/PREPARATION/DRAW:ARM,ARM …, arms in the order in which they are run.
        run_id: The pipeline run this belongs to; reports refuse records of another.
        preset: Recipe: paper, fast or demo; empty: demo for demonstration data, else paper.
        settings: Settings to override, by name.
        checkpoints: Folder, or gs:// or s3:// prefix, for checkpoints; empty: see checkpoint_place.
        accelerators: Accelerators the run was given; it fails where it sees fewer.
        image: Container image, for the record.
        precision: What was chosen where the recipe's precision is auto.
        records: A folder with the run record of each.
        metrics: Means of each arm, for the KFP UI and what compares its runs.
    """
    from headstart.components.training.shells import log_scalars, runs

    how: dict = {
        "run_id": run_id,
        "preset": preset,
        "settings": settings,
        "checkpoints": checkpoints,
        "accelerators": accelerators,
        "image": image,
        "precision": precision,
    }
    log_scalars(runs(cells, dataset, prepared, records, **how), metrics)

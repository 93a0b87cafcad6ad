"""The training stages as pipeline components: thin shells around `headstart.components.training.stages.run_stage`."""

# KFP reads the interface of a component off bare annotations, which strict typing does not accept.
# mypy: disable-error-code="untyped-decorator, no-untyped-def, type-arg"

from kfp import dsl
from kfp.dsl import Artifact, ClassificationMetrics, Dataset, Input, Metrics, Model, Output

# Replaced for each task by the image that the pipeline is compiled for.
IMAGE = "headstart:0.1.0"


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def pretrain(
    dataset: Input[Dataset],
    seed: int,
    run_id: str,
    preset: str,
    settings: dict,
    checkpoints: str,
    accelerators: int,
    image: str,
    record: Output[Artifact],
    model: Output[Model],
):
    """Train the whole network on the source images from random weights.

    Args:
        dataset: The packed source images.
        seed: Decides initial weights, order and augmentation.
        run_id: The pipeline run this belongs to; reports refuse records of another.
        preset: Recipe: paper, fast or demo.
        settings: Settings to override, by name.
        checkpoints: Folder or gs:// prefix for checkpoints; empty for none.
        accelerators: Accelerators the run was given; it fails where it sees fewer.
        image: Container image, for the record.
        record: The run record.
        model: The trained model.
    """
    from headstart.components.training.shells import stage

    stage("pretrain", dataset, None, seed, run_id, preset, settings, checkpoints, accelerators, image, record, model)


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def finetune(
    dataset: Input[Dataset],
    initial_model: Input[Model],
    seed: int,
    run_id: str,
    preset: str,
    settings: dict,
    checkpoints: str,
    accelerators: int,
    image: str,
    record: Output[Artifact],
    model: Output[Model],
):
    """Train the pretrained network on the intermediate images, its first convolutions frozen.

    Args:
        dataset: The packed intermediate images.
        initial_model: The pretrained model.
        seed: Decides initial weights, order and augmentation.
        run_id: The pipeline run this belongs to; reports refuse records of another.
        preset: Recipe: paper, fast or demo.
        settings: Settings to override, by name.
        checkpoints: Folder or gs:// prefix for checkpoints; empty for none.
        accelerators: Accelerators the run was given; it fails where it sees fewer.
        image: Container image, for the record.
        record: The run record.
        model: The trained model.
    """
    from headstart.components.training.shells import stage

    stage(
        "finetune",
        dataset,
        initial_model,
        seed,
        run_id,
        preset,
        settings,
        checkpoints,
        accelerators,
        image,
        record,
        model,
    )


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
        preset: Recipe: paper, fast or demo.
        settings: Settings to override, by name.
        checkpoints: Folder or gs:// prefix for checkpoints; empty for none.
        accelerators: Accelerators the run was given; it fails where it sees fewer.
        image: Container image, for the record.
        record: The run record.
        model: The trained model.
        saved_model: The same as a SavedModel that takes raw images.
        metrics: Accuracies and times, for the KFP UI.
        classification: Confusion matrix, for the KFP UI.
    """
    from headstart.components.training.shells import log_metrics, stage

    result = stage(
        "final",
        dataset,
        initial_model,
        seed,
        run_id,
        preset,
        settings,
        checkpoints,
        accelerators,
        image,
        record,
        model,
        saved_model,
    )
    log_metrics(result, metrics, classification)


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def train_baseline(
    dataset: Input[Dataset],
    seed: int,
    run_id: str,
    preset: str,
    settings: dict,
    checkpoints: str,
    accelerators: int,
    image: str,
    record: Output[Artifact],
):
    """Train the whole network on the target images from random weights: one run of the baseline.

    Args:
        dataset: The packed target images.
        seed: Decides initial weights, order and augmentation.
        run_id: The pipeline run this belongs to; reports refuse records of another.
        preset: Recipe: paper, fast or demo.
        settings: Settings to override, by name.
        checkpoints: Folder or gs:// prefix for checkpoints; empty for none.
        accelerators: Accelerators the run was given; it fails where it sees fewer.
        image: Container image, for the record.
        record: The run record.
    """
    from headstart.components.training.shells import stage

    stage("baseline", dataset, None, seed, run_id, preset, settings, checkpoints, accelerators, image, record)


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def train_transfer(
    dataset: Input[Dataset],
    initial_model: Input[Model],
    seed: int,
    run_id: str,
    preset: str,
    settings: dict,
    checkpoints: str,
    accelerators: int,
    image: str,
    record: Output[Artifact],
):
    """Train the last layers of the finetuned network on the target images: one run of the transfer arm.

    Args:
        dataset: The packed target images.
        initial_model: The finetuned model.
        seed: Decides initial weights, order and augmentation.
        run_id: The pipeline run this belongs to; reports refuse records of another.
        preset: Recipe: paper, fast or demo.
        settings: Settings to override, by name.
        checkpoints: Folder or gs:// prefix for checkpoints; empty for none.
        accelerators: Accelerators the run was given; it fails where it sees fewer.
        image: Container image, for the record.
        record: The run record.
    """
    from headstart.components.training.shells import stage

    stage("transfer", dataset, initial_model, seed, run_id, preset, settings, checkpoints, accelerators, image, record)

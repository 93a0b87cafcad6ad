"""The components of a learning curve on prepared models: thin shells around `headstart.components.curve`."""

# KFP reads the interface of a component off bare annotations, which strict typing does not accept.
# mypy: disable-error-code="untyped-decorator, no-untyped-def, type-arg"

from typing import List  # noqa: UP035  kfp's type checker knows typing.List of artifacts only

from kfp import dsl
from kfp.dsl import HTML, Artifact, Dataset, Input, Markdown, Metrics, Model, Output

# Replaced for each task by the image that the pipeline is compiled for.
IMAGE = "headstart:0.1.0"


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def fetch_prepared(
    uris: list,
    dataset: Input[Dataset],
    seeds: list,
    arms: list,
    draws: int,
    sizes: list,
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
        prepared: A folder for each model, named by its number.

    Returns:
        What each task of the loop trains.
    """
    from pathlib import Path

    from headstart.components.curve.planning import tasks
    from headstart.components.curve.prepared import fetch_prepared
    from headstart.components.datasets.packed import PackedDataset

    size = PackedDataset(dataset.path, checked=False).description.image_size
    found = fetch_prepared(uris, Path(prepared.path), size)
    return tasks(Path(dataset.path), found, seeds=seeds, arms=arms, draws=draws, sizes=sizes)


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def report_curve(
    runs: Input[List[Artifact]],  # noqa: UP006
    run_id: str,
    settings: dict,
    html: Output[HTML],
    markdown: Output[Markdown],
    summary: Output[Artifact],
    metrics: Output[Metrics],
):
    """Make the report from the records of a learning curve on models that an earlier run prepared.

    Args:
        runs: Folders with the records of the arms' runs.
        run_id: The pipeline run that the records must belong to.
        settings: Settings of the report, by name.
        html: The report.
        markdown: The report as Markdown.
        summary: A folder with all forms of the report and summary.json.
        metrics: The main results, for the KFP UI.
    """
    from headstart.components.reporting.report import report_stage

    # Preparation and the model that is shipped belong to the earlier run.
    rules = {"preparation": "off", "final_model": "off", **settings.get("rules", {})}
    found = report_stage(
        records=[artifact.path for artifact in runs],
        run_id=run_id,
        settings={**settings, "rules": rules},
        html=html.path,
        markdown=markdown.path,
        summary=summary.path,
    )
    for name, value in found.items():
        metrics.log_metric(name, value)

"""Kubeflow Pipelines components of this package: `report` always renders, `verify` then fails an unsound run."""

# No `from __future__ import annotations` here: kfp reads the annotations as objects.
from typing import List  # noqa: UP035  kfp's type checker knows typing.List of artifacts only

from kfp import dsl
from kfp.dsl import HTML, Artifact, Input, Markdown, Metrics, Output

IMAGE = "headstart:0.1.0"


@dsl.component(base_image=IMAGE, install_kfp_package=False)  # type: ignore[untyped-decorator]
def report(
    pretrain: Input[List[Artifact]],  # noqa: UP006
    finetune: Input[List[Artifact]],  # noqa: UP006
    final: Input[Artifact],
    runs: Input[List[Artifact]],  # noqa: UP006
    run_id: str,
    settings: dict,  # type: ignore[type-arg]
    html: Output[HTML],
    markdown: Output[Markdown],
    summary: Output[Artifact],
    metrics: Output[Metrics],
    cells: list = [],  # type: ignore[type-arg]  # noqa: B006
) -> None:
    """Make the report from the run records of all stages and arms; it renders whatever failed before it.

    Args:
        pretrain: The record of every preparation's pretraining.
        finetune: The record of every preparation's fine-tuning.
        final: The record of the model that is shipped.
        runs: Folders with the records of the arms' runs.
        run_id: The pipeline run that the records must belong to.
        settings: Settings of the report, by name.
        html: The report.
        markdown: The report as Markdown.
        summary: A folder with all forms of the report and summary.json.
        metrics: The main results, for the KFP UI.
        cells: What each task of the loop was asked to train.
    """
    from headstart.components.reporting.report import report_stage

    found = report_stage(
        records=[artifact.path for artifact in [*pretrain, *finetune, final, *runs]],
        run_id=run_id,
        settings=settings,
        html=html.path,
        markdown=markdown.path,
        summary=summary.path,
        cells=cells,
    )
    for name, value in found.items():
        metrics.log_metric(name, value)


@dsl.component(base_image=IMAGE, install_kfp_package=False)  # type: ignore[untyped-decorator]
def report_curve(
    runs: Input[List[Artifact]],  # noqa: UP006
    run_id: str,
    settings: dict,  # type: ignore[type-arg]
    html: Output[HTML],
    markdown: Output[Markdown],
    summary: Output[Artifact],
    metrics: Output[Metrics],
) -> None:
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

    # Preparation belongs to the earlier run.
    rules = {"preparation": "off", **settings.get("rules", {})}
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


@dsl.component(base_image=IMAGE, install_kfp_package=False)  # type: ignore[untyped-decorator]
def verify(summary: Input[Artifact]) -> None:
    """Fail, naming every broken rule, if the measurement is not sound."""
    from headstart.components.reporting.report import verify_stage

    verify_stage(summary.path)

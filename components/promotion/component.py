"""Pipeline components of a retraining; the data and the training are those of the experiment."""

# No `from __future__ import annotations` here: kfp reads the annotations as objects.
from typing import List  # noqa: UP035  kfp's type checker knows typing.List of artifacts only

from kfp import dsl
from kfp.dsl import HTML, Artifact, Dataset, Input, Markdown, Metrics, Model, Output

# Replaced for each task by the image that the pipeline is compiled for.
IMAGE = "headstart:0.1.0"


@dsl.component(base_image=IMAGE, install_kfp_package=False)  # type: ignore[untyped-decorator]
def check_for_retraining(
    dataset: Input[Dataset],
    store: str,
    prepared: str,
    promotion: dict,  # type: ignore[type-arg]
    force: bool,
    run_id: str,
    initial_model: Output[Model],
    plan: Output[Artifact],
    html: Output[HTML],
    markdown: Output[Markdown],
) -> str:
    """Say whether these data call for a retraining: train, unchanged or unusable.

    Args:
        dataset: The packed target images.
        store: Model store, a folder, or a gs:// or s3:// URI.
        prepared: URI of the fine-tuned model to start from; empty: the one the store keeps.
        promotion: Promotion settings, by name.
        force: Train although these data were trained on before.
        run_id: Names this retraining in the store.
        initial_model: The prepared model.
        plan: Remarks for the report.
        html: What was decided, where nothing is trained.
        markdown: The same as Markdown.
    """
    from headstart.components.promotion.stage import check_stage

    return check_stage(
        dataset.path, store, prepared, promotion, force, run_id, initial_model.path, plan.path, html.path, markdown.path
    )


@dsl.component(base_image=IMAGE, install_kfp_package=False)  # type: ignore[untyped-decorator]
def promote(
    dataset: Input[Dataset],
    models: Input[List[Model]],  # noqa: UP006
    records: Input[List[Artifact]],  # noqa: UP006
    plan: Input[Artifact],
    store: str,
    promotion: dict,  # type: ignore[type-arg]
    run_id: str,
    outcome: Output[Artifact],
    html: Output[HTML],
    markdown: Output[Markdown],
    metrics: Output[Metrics],
) -> str:
    """Compare the best of the trained models with the one in use and promote it if it is better.

    Args:
        dataset: The packed target images.
        models: The models of all seeds.
        records: The run records of all seeds.
        plan: Remarks of the check.
        store: Model store, a folder, or a gs:// or s3:// URI.
        promotion: Promotion settings, by name.
        run_id: Names this retraining in the store.
        outcome: How it ended, as JSON.
        html: The report.
        markdown: The report as Markdown.
        metrics: Accuracies of candidate and model in use, for the KFP UI.
    """
    from headstart.components.promotion.stage import promote_stage

    status, figures = promote_stage(
        dataset.path,
        [model.path for model in models],
        [record.path for record in records],
        plan.path,
        store,
        promotion,
        run_id,
        outcome.path,
        html.path,
        markdown.path,
    )
    for name, value in figures.items():
        metrics.log_metric(name, value)
    return status


@dsl.component(base_image=IMAGE, install_kfp_package=False)  # type: ignore[untyped-decorator]
def require_end(status: str, store: str) -> None:
    """Fail the run where somebody must look at it, after the report was written.

    Args:
        status: What the check decided, or how the promotion ended.
        store: Model store, which keeps the report.
    """
    from headstart.components.promotion.stage import require_end

    require_end(status, store)

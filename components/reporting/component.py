"""Kubeflow Pipelines components of this package: `report` always renders, `verify` then fails an unsound run."""

# No `from __future__ import annotations` here: kfp reads the annotations as objects.
from typing import List  # noqa: UP035  kfp's type checker knows typing.List of artifacts only

from kfp import dsl
from kfp.dsl import HTML, Artifact, Input, Markdown, Metrics, Output

IMAGE = "headstart:0.1.0"


@dsl.component(base_image=IMAGE, install_kfp_package=False)  # type: ignore[untyped-decorator]
def report(
    pretrain: Input[Artifact],
    finetune: Input[Artifact],
    final: Input[Artifact],
    baseline: Input[List[Artifact]],  # noqa: UP006
    transfer: Input[List[Artifact]],  # noqa: UP006
    run_id: str,
    settings: dict,  # type: ignore[type-arg]
    html: Output[HTML],
    markdown: Output[Markdown],
    summary: Output[Artifact],
    metrics: Output[Metrics],
) -> None:
    """Make the report from the run records of all stages and arms; it renders whatever failed before it."""
    from headstart.components.reporting.stage import report_stage

    found = report_stage(
        records=[pretrain.path, finetune.path, final.path, *(run.path for run in [*baseline, *transfer])],
        run_id=run_id,
        settings=settings,
        html=html.path,
        markdown=markdown.path,
        summary=summary.path,
    )
    for name, value in found.items():
        metrics.log_metric(name, value)


@dsl.component(base_image=IMAGE, install_kfp_package=False)  # type: ignore[untyped-decorator]
def verify(summary: Input[Artifact]) -> None:
    """Fail, naming every broken rule, if the measurement is not sound."""
    from headstart.components.reporting.stage import verify_stage

    verify_stage(summary.path)

"""A pipeline whose training is replaced by a no-op that leaves the same record: what is left is the cost of running it.

The wiring is that of the experiment where it grows with the number of runs: two loops over the same seeds, then the
report over what they left.
"""

# No `from __future__ import annotations` here: kfp reads the annotations as objects.
from kfp import dsl
from kfp.dsl import Artifact, Output
from kfp.dsl.base_component import BaseComponent

from headstart.components.reporting.component import IMAGE, report
from headstart.pipelines.placement import Placement, place


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def no_op_run(arm: str, seed: int, template: str, record: Output[Artifact]) -> None:
    """Write the record of a run that was made before as this run's."""
    import json
    from pathlib import Path

    content = json.loads(Path(template, f"{arm}.json").read_text(encoding="utf-8"))
    Path(record.path).write_text(json.dumps({**content, "seed": seed}), encoding="utf-8")


def runs(placement: Placement) -> BaseComponent:
    """Preparation, one loop an arm and the report, as in `headstart.pipelines.experiment`."""

    @dsl.pipeline(name="headstart-benchmark-runs")
    def benchmark_runs(template: str, seeds: list[int]) -> None:
        prepared = {}
        for arm in ("pretrain", "finetune", "final"):
            task = no_op_run(arm=arm, seed=0, template=template)
            prepared[arm] = place(task, placement, "training").set_caching_options(False).outputs["record"]
        with dsl.ParallelFor(items=seeds, parallelism=1) as seed:
            baseline = no_op_run(arm="baseline", seed=seed, template=template)
            place(baseline, placement, "training").set_caching_options(False)
        with dsl.ParallelFor(items=seeds, parallelism=1) as seed:
            transfer = no_op_run(arm="transfer", seed=seed, template=template)
            place(transfer, placement, "training").set_caching_options(False)
        rendered = report(
            **prepared,
            baseline=dsl.Collected(baseline.outputs["record"]),
            transfer=dsl.Collected(transfer.outputs["record"]),
            run_id="benchmark",
            settings={},
        )
        place(rendered, placement, "report")

    return benchmark_runs

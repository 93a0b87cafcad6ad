"""A pipeline whose training is replaced by a no-op that leaves the same record: what is left is the cost of running it.

The wiring is that of the experiment where it grows with the number of runs: the loop over its tasks, then the report
over what they left.
"""

# No `from __future__ import annotations` here: kfp reads the annotations as objects.
from kfp import dsl
from kfp.dsl import Artifact, Output
from kfp.dsl.base_component import BaseComponent

from headstart.components.design import plan
from headstart.components.reporting.component import IMAGE, report
from headstart.pipelines.placement import Placement, place


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def no_op_stage(arm: str, template: str, record: Output[Artifact]) -> None:
    """Write the record of a run that was made before as this run's."""
    from pathlib import Path

    Path(record.path).write_bytes(Path(template, f"{arm}.json").read_bytes())


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def no_op_runs(cells: str, template: str, records: Output[Artifact]) -> None:
    """Write for every run of the cells the record of one that was made before."""
    import json
    from pathlib import Path

    from headstart.components.design import read_cells

    folder = Path(records.path)
    folder.mkdir(parents=True, exist_ok=True)
    for cell in read_cells(cells):
        for arm in cell.arms:
            content = json.loads(Path(template, f"{arm}.json").read_text(encoding="utf-8"))
            own = {**content, "seed": cell.seed, "preparation": cell.preparation, "draw": cell.draw}
            (folder / f"{arm}-{cell.seed}.json").write_text(json.dumps(own), encoding="utf-8")


def tasks(runs: int) -> list[str]:
    """Return what the tasks of an experiment with this many runs of each arm are told to train."""
    return plan({"preset": "paper", "seeds": list(range(1, runs + 1))}).tasks


def runs(placement: Placement) -> BaseComponent:
    """Preparation, the loop and the report, as in `headstart.pipelines.experiment`."""

    @dsl.pipeline(name="headstart-benchmark-runs")
    def benchmark_runs(template: str, tasks: list[str]) -> None:
        with dsl.ParallelFor(items=[0], parallelism=1):
            prepared = {}
            for arm in ("pretrain", "finetune"):
                task = no_op_stage(arm=arm, template=template)
                prepared[arm] = place(task, placement, "training").outputs["record"]
        shipped = place(no_op_stage(arm="final", template=template), placement, "training")
        with dsl.ParallelFor(items=tasks, parallelism=1) as cells:
            trained = place(no_op_runs(cells=cells, template=template), placement, "training")
        rendered = report(
            pretrain=dsl.Collected(prepared["pretrain"]),
            finetune=dsl.Collected(prepared["finetune"]),
            final=shipped.outputs["record"],
            runs=dsl.Collected(trained.outputs["records"]),
            run_id="benchmark",
            settings={},
        )
        place(rendered, placement, "report")

    return benchmark_runs

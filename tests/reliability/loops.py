"""A pipeline with the experiment's loops, report and verdict, and with a trainer that only writes records."""

# No `from __future__ import annotations` here: kfp reads the annotations as objects.
from kfp import dsl
from kfp.dsl import Artifact, Output
from kfp.dsl.base_component import BaseComponent

from headstart.components.reporting.component import report, verify
from headstart.pipelines.placement import Placement, place

IMAGE = "headstart:0.1.0"


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def record_runs(cells: str, run_id: str, records: Output[Artifact]) -> None:
    """Write the records of runs of which a baseline took its seed in seconds and any other half of that."""
    from pathlib import Path

    from headstart.components.design import read_cells
    from headstart.components.records import Data, Epoch, Phases, Result, RunRecord

    for cell in read_cells(cells):
        for arm in cell.arms:
            seconds = cell.seed if arm == "baseline" else cell.seed / 2
            record = RunRecord(
                arm=arm,
                seed=cell.seed,
                preparation=cell.preparation,
                draw=cell.draw,
                run_id=run_id,
                status="succeeded",
                stop_reason="early_stopping",
                data=Data(digest="d", source="here", image_size=52, classes=["a"], counts={"train": 1}),
                phases=Phases(train=seconds),
                epochs=[Epoch(epoch=1, train_seconds=seconds, elapsed=seconds, validation_accuracy=0.9)],
                result=Result(best_validation_accuracy=0.9, best_epoch=1, test_accuracy=0.9),
            )
            record.write(Path(records.path, f"{record.name}.json"))


def loops(placement: Placement, *, run_id: str) -> BaseComponent:
    """Build it; `tasks` is its parameter."""

    def written(cells: str) -> dsl.PipelineTask:
        return place(record_runs(cells=cells, run_id=run_id), placement, "training")

    @dsl.pipeline(name="loops")
    def pipeline(tasks: list[str]) -> None:
        with dsl.ParallelFor(items=[0], parallelism=1):
            pretrained, finetuned = written("0/0/0:pretrain"), written("0/0/0:finetune")
        shipped = written("0/0/0:final")
        with dsl.ParallelFor(items=tasks, parallelism=1) as cells:
            trained = written(cells)
        rendered = report(
            pretrain=dsl.Collected(pretrained.outputs["records"]),
            finetune=dsl.Collected(finetuned.outputs["records"]),
            final=shipped.outputs["records"],
            runs=dsl.Collected(trained.outputs["records"]),
            run_id=run_id,
            settings={"minimum_succeeded": 1},
        )
        verify(summary=place(rendered, placement, "report").outputs["summary"])

    built: BaseComponent = pipeline
    return built

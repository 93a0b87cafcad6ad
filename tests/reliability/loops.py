"""A pipeline with the experiment's two loops, report and verdict, and with a trainer that only writes a record."""

# No `from __future__ import annotations` here: kfp reads the annotations as objects.
from kfp import dsl
from kfp.dsl import Artifact, Output
from kfp.dsl.base_component import BaseComponent

from headstart.components.reporting.component import report, verify
from headstart.pipelines.placement import Placement, place

IMAGE = "headstart:0.1.0"


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def record_run(arm: str, seed: int, run_id: str, record: Output[Artifact]) -> None:
    """Write the record of a run that took `seed` seconds."""
    from headstart.components.records import Data, Epoch, Phases, Result, RunRecord

    seconds = float(int(seed)) if arm == "baseline" else float(int(seed)) / 2
    RunRecord(
        arm=arm,  # type: ignore[arg-type]
        seed=int(seed),
        run_id=run_id,
        status="succeeded",
        stop_reason="early_stopping",
        data=Data(digest="d", source="here", image_size=52, classes=["a"], counts={"train": 1}),
        phases=Phases(train=seconds),
        epochs=[Epoch(epoch=1, train_seconds=seconds, elapsed=seconds, validation_accuracy=0.9)],
        result=Result(best_validation_accuracy=0.9, best_epoch=1, test_accuracy=0.9),
    ).write(record.path)


def loops(placement: Placement, *, run_id: str) -> BaseComponent:
    """Build it; `baseline_seeds` and `transfer_seeds` are its parameters."""

    @dsl.pipeline(name="loops")
    def pipeline(baseline_seeds: list[int], transfer_seeds: list[int]) -> None:
        single = [
            place(record_run(arm=arm, seed=0, run_id=run_id), placement, "training")
            for arm in ("pretrain", "finetune", "final")
        ]
        with dsl.ParallelFor(items=baseline_seeds, parallelism=1) as seed:
            baseline = place(record_run(arm="baseline", seed=seed, run_id=run_id), placement, "training")
        with dsl.ParallelFor(items=transfer_seeds, parallelism=1) as seed:
            transfer = place(record_run(arm="transfer", seed=seed, run_id=run_id), placement, "training")
        rendered = report(
            pretrain=single[0].outputs["record"],
            finetune=single[1].outputs["record"],
            final=single[2].outputs["record"],
            baseline=dsl.Collected(baseline.outputs["record"]),
            transfer=dsl.Collected(transfer.outputs["record"]),
            run_id=run_id,
            settings={"minimum_succeeded": 1},
        )
        verify(summary=place(rendered, placement, "report").outputs["summary"])

    built: BaseComponent = pipeline
    return built

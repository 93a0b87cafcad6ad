"""The experiment: pretrain, fine-tune, train the final model, then run the arms against each other, seed by seed.

Wiring and placement only; what a stage does is in `components`. A pipeline is built by a function, since the image, the
accelerators and how many loop iterations run at once must be fixed when compiling.
"""

from kfp import dsl
from kfp.dsl.base_component import BaseComponent

from headstart.components.datasets.component import hold_out, import_dataset
from headstart.components.datasets.settings import PAPER_CLASSES
from headstart.components.preflight.component import preflight
from headstart.components.reporting.component import report, verify
from headstart.components.stages import DEFAULT_ARMS
from headstart.components.training.component import final, finetune, gather_prepared, pretrain, train_runs
from headstart.components.training.precision import EXPERIMENT
from headstart.pipelines.placement import Placement, pipeline_config
from headstart.pipelines.tasks import described, import_and_select, placing, training_inputs

DEFAULT_SEEDS = list(range(1, 11))


def experiment(
    placement: Placement | None = None,
    *,
    parallelism: int = 1,
    run_id: str = dsl.PIPELINE_JOB_ID_PLACEHOLDER,
) -> BaseComponent:
    """Build the experiment pipeline.

    One timed task runs after the other: the preparations, the final model, then the loop, in which each task trains
    every arm for one seed (or for several where there are many, see `headstart.components.design`).

    Args:
        placement: image, resources and pod settings of every task; None: the defaults.
        parallelism: timed tasks of the loop that run at once, and so in all: nothing else runs beside the loop. 1 keeps
            runs from sharing a processor or an accelerator; more needs as many equal nodes.
        run_id: names this run in every record; every timed task takes it as an input, so that no other run's result
            can be taken from the cache. On this machine `headstart run` gives its own, which outlives a restart.
    """
    where = placement or Placement()

    @dsl.pipeline(
        name="headstart-experiment",
        display_name="Headstart: transfer learning against training from scratch",
        description="How much faster does a CNN train from transferred weights, what does preparing them cost, "
        "and from which model on does it pay?",
        pipeline_config=pipeline_config(where),
    )
    @described
    def headstart_experiment(
        source_data: str = "demo:source",
        intermediate_data: str = "demo:fruits",
        target_data: str = "",
        source_layout: str = "auto",
        intermediate_layout: str = "auto",
        target_layout: str = "auto",
        seeds: list[int] = DEFAULT_SEEDS,
        arms: list[str] = list(DEFAULT_ARMS),  # noqa: B006 - kfp reads the default once, when compiling
        preparations: int = 0,
        draws: int = 0,
        sizes: list = [],  # noqa: B006
        hold_out_target: bool = False,
        prepared: str = "",
        preparation_hours: float = -1.0,
        preset: str = "",
        settings: dict = {},  # noqa: B006
        classes: dict = PAPER_CLASSES,
        images_per_class: int = 0,
        test_images_per_class: int = 0,
        image_size: int = 52,
        preparation_seed: int = 0,
        data_settings: dict = {},  # noqa: B006
        report_settings: dict = {},  # noqa: B006
        checkpoints: str = "",
    ) -> None:
        placed = placing(where)
        ready = placed(
            preflight(
                run_id=run_id,
                source_data=source_data,
                intermediate_data=intermediate_data,
                target_data=target_data,
                prepared=prepared,
                preparation_hours=preparation_hours,
                hold_out_target=hold_out_target,
                write_to=checkpoints,
                seeds=seeds,
                arms=arms,
                preparations=preparations,
                draws=draws,
                sizes=sizes,
                preset=preset,
                settings=settings,
                classes=classes,
                images_per_class=images_per_class,
                test_images_per_class=test_images_per_class,
                image_size=image_size,
                preparation_seed=preparation_seed,
                data_settings=data_settings,
                report_settings=report_settings,
            ),
            "preflight",
            "Check what the run needs, and plan it",
        )
        imports = {"image_size": image_size, "seed": preparation_seed, "settings": data_settings}
        source = placed(
            import_dataset(uri=source_data, layout=source_layout, **imports),
            "data",
            "Import the source set (CIFAR-100)",
        ).after(ready)
        intermediate, selected = import_and_select(
            placed,
            ready,
            ("Import the intermediate set (Fruits-360)", "Select the target classes"),
            {"uri": intermediate_data, "layout": intermediate_layout, **imports},
            {
                "classes": classes,
                "images_per_class": ready.outputs["plan_images_per_class"],
                "test_images_per_class": test_images_per_class,
                "target_uri": target_data,
                "target_layout": target_layout,
                "settings": data_settings,
                "draws": ready.outputs["plan_draws"],
            },
        )
        unseen = placed(
            hold_out(
                intermediate=intermediate.outputs["dataset"],
                target=selected.outputs["dataset"],
                target_classes=hold_out_target,
            ),
            "data",
            "Hold out what the target tests on",
        )

        # Nothing timed runs beside anything else of ours: all data are ready first, and one timed task follows another.
        # A cached time would be a lie: `place` turns caching off for what trains, and the run id is among the inputs in
        # case someone submits with caching forced on.
        how = training_inputs(
            placed,
            where,
            selected,
            list(EXPERIMENT),
            (source, unseen),
            run_id=run_id,
            preset=preset,
            settings=settings,
            checkpoints=checkpoints,
        )
        # kfp.local 2.17 loops only over an output that is called Output, and in a loop takes every other parameter that
        # is a task's output for the loop's item: so no task in a loop is given one.
        with dsl.ParallelFor(items=ready.outputs["Output"], parallelism=1, name="preparations") as preparation:
            pretrained = placed(
                pretrain(
                    dataset=source.outputs["dataset"],
                    seed=preparation_seed,
                    preparation=preparation,
                    prepared=prepared,
                    preparation_hours=preparation_hours,
                    **how,
                ),
                "training",
                "Pretrain on the source set",
            )
            finetuned = placed(
                finetune(
                    dataset=unseen.outputs["dataset"],
                    initial_model=pretrained.outputs["model"],
                    seed=preparation_seed,
                    preparation=preparation,
                    **how,
                ),
                "training",
                "Fine-tune, early layers frozen",
            )
        gathered = placed(
            gather_prepared(
                models=dsl.Collected(finetuned.outputs["model"]),
                dataset=selected.outputs["dataset"],
                seeds=seeds,
                arms=arms,
                draws=ready.outputs["plan_draws"],
                sizes=sizes,
            ),
            "data",
            "Gather the prepared models",
        )
        shipped = placed(
            final(
                dataset=selected.outputs["dataset"],
                initial_model=gathered.outputs["first"],
                seed=preparation_seed,
                **how,
            ),
            "training",
            "Final model, backbone frozen",
        )
        with dsl.ParallelFor(items=gathered.outputs["Output"], parallelism=parallelism, name="runs") as cells:
            trained = placed(
                train_runs(
                    dataset=selected.outputs["dataset"], prepared=gathered.outputs["prepared"], cells=cells, **how
                ),
                "training",
                "Run every arm",
            ).after(shipped)

        rendered = placed(
            report(
                pretrain=dsl.Collected(pretrained.outputs["record"]),
                finetune=dsl.Collected(finetuned.outputs["record"]),
                final=shipped.outputs["record"],
                runs=dsl.Collected(trained.outputs["records"]),
                run_id=run_id,
                settings=report_settings,
                cells=gathered.outputs["Output"],
            ),
            "report",
            "Report",
        )
        placed(verify(summary=rendered.outputs["summary"]), "report", "Verify the measurement")

    pipeline: BaseComponent = headstart_experiment
    return pipeline

"""The learning curve on prepared models: every arm at several sizes of the target's training images.

Where nothing is prepared yet, the experiment's pipeline makes the curve too: see its parameter `sizes`.
"""

from kfp import dsl
from kfp.dsl.base_component import BaseComponent

from headstart.components.datasets.left_out import AUTO
from headstart.components.datasets.settings import PAPER_CLASSES
from headstart.components.design import CURVE_DRAWS, CURVE_RUNS
from headstart.components.preflight.component import preflight
from headstart.components.reporting.component import report_curve, verify
from headstart.components.stages import DEFAULT_ARMS
from headstart.components.training.component import fetch_prepared, train_runs
from headstart.pipelines.placement import Placement, pipeline_config
from headstart.pipelines.tasks import described, import_and_select, placing, training_inputs

DEFAULT_SEEDS = list(range(1, CURVE_RUNS + 1))


def curve(
    placement: Placement | None = None,
    *,
    parallelism: int = 1,
    run_id: str = dsl.PIPELINE_JOB_ID_PLACEHOLDER,
) -> BaseComponent:
    """Build the pipeline of a learning curve; the arguments are those of `headstart.pipelines.experiment.experiment`.

    The target images are selected from the intermediate set, or imported at its image size. With the settings, seed and
    data of the experiment that prepared the models, the test images are those that it held out.
    """
    where = placement or Placement()

    @dsl.pipeline(
        name="headstart-curve",
        display_name="Headstart: how many labels transfer learning saves",
        description="With how many labelled images would training from scratch have been as accurate?",
        pipeline_config=pipeline_config(where),
    )
    @described
    def headstart_curve(
        prepared: list[str],
        sizes: list = ["auto"],  # noqa: B006 - kfp reads the default once, when compiling
        intermediate_data: str = AUTO,
        target_data: str = "",
        intermediate_layout: str = "auto",
        target_layout: str = "auto",
        seeds: list[int] = DEFAULT_SEEDS,
        arms: list[str] = list(DEFAULT_ARMS),  # noqa: B006
        draws: int = CURVE_DRAWS,
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
                intermediate_data=intermediate_data,
                target_data=target_data,
                write_to=checkpoints,
                seeds=seeds,
                arms=arms,
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
        _, selected = import_and_select(
            placed,
            ready,
            ("Import the intermediate set (Fruits-360)", "Select the target classes"),
            {
                "uri": ready.outputs["plan_intermediate_data"],
                "layout": intermediate_layout,
                "image_size": image_size,
                "seed": preparation_seed,
                "settings": data_settings,
            },
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
        fetched = placed(
            fetch_prepared(
                uris=prepared,
                dataset=selected.outputs["dataset"],
                seeds=seeds,
                arms=arms,
                draws=ready.outputs["plan_draws"],
                sizes=sizes,
                settings=settings,
            ),
            "data",
            "Fetch the prepared models",
        )
        how = training_inputs(
            placed,
            where,
            selected,
            ["baseline"],
            (fetched,),
            run_id=run_id,
            preset=preset,
            settings=settings,
            checkpoints=checkpoints,
        )
        with dsl.ParallelFor(items=fetched.outputs["Output"], parallelism=parallelism, name="runs") as cells:
            trained = placed(
                train_runs(
                    dataset=selected.outputs["dataset"],
                    prepared=fetched.outputs["prepared"],
                    cells=cells,
                    **how,
                ),
                "training",
                "Run every arm at every size",
            )
        rendered = placed(
            report_curve(runs=dsl.Collected(trained.outputs["records"]), run_id=run_id, settings=report_settings),
            "report",
            "Report",
        )
        placed(verify(summary=rendered.outputs["summary"]), "report", "Verify the measurement")

    pipeline: BaseComponent = headstart_curve
    return pipeline

"""Retraining: only the last stage, on new data; the result is promoted if it is better than the model in use.

Wiring and placement only; what a stage does is in `components`. Data and training are those of the experiment.
"""

from kfp import dsl
from kfp.dsl.base_component import BaseComponent

from headstart.components.datasets.settings import PAPER_CLASSES
from headstart.components.preflight.component import preflight
from headstart.components.promotion.component import check_for_retraining, promote, require_end
from headstart.components.training.component import final
from headstart.pipelines.placement import Placement, pipeline_config
from headstart.pipelines.tasks import described, import_and_select, placing, training_inputs

DEFAULT_SEEDS = [1, 2, 3]


def retraining(
    placement: Placement | None = None,
    *,
    parallelism: int = 1,
    run_id: str = dsl.PIPELINE_JOB_ID_PLACEHOLDER,
) -> BaseComponent:
    """Build the retraining pipeline.

    Args:
        placement: image, resources and pod settings of every task; None: the defaults.
        parallelism: seeds that are trained at once.
        run_id: names this retraining in the store; on this machine `headstart retrain` gives its own.
    """
    where = placement or Placement()

    @dsl.pipeline(
        name="headstart-retraining",
        display_name="Headstart: retrain the last stage",
        description="Trains the last stage on new data and promotes the model if it is better than the one in use.",
        pipeline_config=pipeline_config(where),
    )
    @described
    def headstart_retraining(
        store: str,
        data: str,
        prepared: str = "",
        layout: str = "auto",
        classes: dict = PAPER_CLASSES,
        images_per_class: int = 400,
        test_images_per_class: int = 0,
        image_size: int = 52,
        seeds: list[int] = DEFAULT_SEEDS,
        selection_seed: int = 0,
        preset: str = "fast",
        settings: dict = {},  # noqa: B006 - kfp reads the default once, when compiling
        data_settings: dict = {},  # noqa: B006
        promotion: dict = {},  # noqa: B006
        force: bool = False,
        checkpoints: str = "",
    ) -> None:
        placed = placing(where, caching=False)  # the same URI may hold other data tomorrow
        ready = placed(
            preflight(
                run_id=run_id,
                source_data=data,
                target_data=prepared,
                write_to=store,
                seeds=seeds,
                preset=preset,
                settings=settings,
                classes=classes,
                images_per_class=images_per_class,
                test_images_per_class=test_images_per_class,
                image_size=image_size,
                data_settings=data_settings,
                promotion=promotion,
            ),
            "preflight",
            "Check what the run needs",
        )
        _, selected = import_and_select(
            placed,
            ready,
            ("Import the data", "Select the classes"),
            {
                "uri": data,
                "layout": layout,
                "image_size": image_size,
                "seed": selection_seed,
                "settings": data_settings,
            },
            {
                "classes": classes,
                "images_per_class": ready.outputs["plan_images_per_class"],
                "test_images_per_class": test_images_per_class,
                "target_uri": "",
                "target_layout": "auto",
                "settings": data_settings,
            },
        )
        checked = placed(
            check_for_retraining(
                dataset=selected.outputs["dataset"],
                store=store,
                prepared=prepared,
                promotion=promotion,
                force=force,
                run_id=run_id,
            ),
            "report",
            "Check: is there anything to learn?",
        )
        placed(require_end(status=checked.outputs["Output"], store=store), "report", "Are the data usable?")
        # What takes from a loop inside a condition must be inside the condition too.
        with dsl.If(checked.outputs["Output"] == "train", name="train-and-promote"):
            how = training_inputs(
                placed,
                where,
                selected,
                ["final"],
                run_id=run_id,
                preset=preset,
                settings=settings,
                checkpoints=checkpoints,
            )
            with dsl.ParallelFor(items=seeds, parallelism=parallelism, name="seeds") as seed:
                trained = placed(
                    final(
                        dataset=selected.outputs["dataset"],
                        initial_model=checked.outputs["initial_model"],
                        seed=seed,
                        **how,
                    ),
                    "training",
                    "Train the last stage",
                )
            promoted = placed(
                promote(
                    dataset=selected.outputs["dataset"],
                    models=dsl.Collected(trained.outputs["model"]),
                    records=dsl.Collected(trained.outputs["record"]),
                    plan=checked.outputs["plan"],
                    store=store,
                    promotion=promotion,
                    run_id=run_id,
                ),
                "data",
                "Promote what is better",
            )
            placed(require_end(status=promoted.outputs["Output"], store=store), "report", "Did a run succeed?")

    pipeline: BaseComponent = headstart_retraining
    return pipeline

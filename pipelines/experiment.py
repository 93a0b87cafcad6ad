"""The experiment: pretrain, fine-tune, train the final model, then ten runs from scratch against ten by transfer.

Wiring and placement only; what a stage does stands in `components`. A pipeline is built by a function, since the
image, the accelerators and how many loop iterations run at once must be fixed when compiling.
"""

from kfp import dsl
from kfp.dsl.base_component import BaseComponent

from headstart.components.datasets.component import import_dataset, select_classes
from headstart.components.datasets.settings import PAPER_CLASSES
from headstart.components.preflight.component import preflight
from headstart.components.reporting.component import report, verify
from headstart.components.training.component import final, finetune, pretrain, train_baseline, train_transfer
from headstart.pipelines.placement import Placement, pipeline_config, place

DEFAULT_SEEDS = list(range(1, 11))


def experiment(
    placement: Placement | None = None,
    *,
    parallelism: int = 1,
    run_id: str = dsl.PIPELINE_JOB_ID_PLACEHOLDER,
    baseline_data: str = "selected",
) -> BaseComponent:
    """Build the experiment pipeline.

    Args:
        placement: image, resources and pod settings of every task; None: the defaults.
        parallelism: loop iterations that run at once. 1 keeps runs from sharing a processor or an accelerator; more
            needs as many equal nodes.
        run_id: names this run in every record; every timed task takes it as an input, so that no other run's result
            can be taken from the cache. On this machine `headstart run` gives its own, which outlives a restart.
        baseline_data: what the baseline trains on: `selected` (the same three classes as transfer) or `intermediate`
            (the whole fine-tuning set; the paper's text allows both readings).
    """
    where = placement or Placement()

    @dsl.pipeline(
        name="headstart-experiment",
        display_name="Headstart: transfer learning against training from scratch",
        description="How much faster does a CNN train from transferred weights, what does preparing them cost, "
        "and from which model on does it pay?",
        pipeline_config=pipeline_config(where),
    )
    def headstart_experiment(
        source_data: str = "demo:source",
        intermediate_data: str = "demo:fruits",
        target_data: str = "",
        source_layout: str = "auto",
        intermediate_layout: str = "auto",
        target_layout: str = "auto",
        seeds: list[int] = DEFAULT_SEEDS,
        preset: str = "paper",
        settings: dict = {},  # noqa: B006 - kfp reads the default once, when compiling
        classes: dict = PAPER_CLASSES,
        images_per_class: int = 400,
        test_images_per_class: int = 0,
        image_size: int = 52,
        preparation_seed: int = 0,
        data_settings: dict = {},  # noqa: B006
        report_settings: dict = {},  # noqa: B006
        checkpoints: str = "",
    ) -> None:
        def training(task: dsl.PipelineTask, title: str) -> dsl.PipelineTask:
            # A cached timing is a lie: `place` turns caching off for it, and the run id is among the inputs in case
            # someone submits with caching forced on.
            return place(task.set_display_name(title), where, "training")

        how = {
            "run_id": run_id,
            "preset": preset,
            "settings": settings,
            "checkpoints": checkpoints,
            "accelerators": where.accelerators_used,
            "image": where.image_for("training"),
        }

        ready = preflight(
            run_id=run_id,
            source_data=source_data,
            intermediate_data=intermediate_data,
            target_data=target_data,
            write_to=checkpoints,
            seeds=seeds,
            preset=preset,
            settings=settings,
            classes=classes,
            images_per_class=images_per_class,
            test_images_per_class=test_images_per_class,
            image_size=image_size,
            data_settings=data_settings,
            report_settings=report_settings,
        )
        place(ready.set_display_name("Check what the run needs"), where, "preflight")

        source = import_dataset(
            uri=source_data, layout=source_layout, image_size=image_size, seed=preparation_seed, settings=data_settings
        )
        place(source.set_display_name("Import the source set (CIFAR-100)"), where, "data").after(ready)
        pretrained = training(
            pretrain(dataset=source.outputs["dataset"], seed=preparation_seed, **how), "Pretrain on the source set"
        )

        intermediate = import_dataset(
            uri=intermediate_data,
            layout=intermediate_layout,
            image_size=image_size,
            seed=preparation_seed,
            settings=data_settings,
        )
        place(intermediate.set_display_name("Import the intermediate set (Fruits-360)"), where, "data").after(ready)
        finetuned = training(
            finetune(
                dataset=intermediate.outputs["dataset"],
                initial_model=pretrained.outputs["model"],
                seed=preparation_seed,
                **how,
            ),
            "Fine-tune, conv 1–3 frozen",
        )

        selected = select_classes(
            intermediate=intermediate.outputs["dataset"],
            classes=classes,
            images_per_class=images_per_class,
            test_images_per_class=test_images_per_class,
            seed=preparation_seed,
            target_uri=target_data,
            target_layout=target_layout,
            settings=data_settings,
        )
        place(selected.set_display_name("Select the target classes"), where, "data")

        shipped = training(
            final(
                dataset=selected.outputs["dataset"],
                initial_model=finetuned.outputs["model"],
                seed=preparation_seed,
                **how,
            ),
            "Final model, conv 1–4 frozen",
        )

        baseline_set = intermediate if baseline_data == "intermediate" else selected
        with dsl.ParallelFor(items=seeds, parallelism=parallelism, name="baseline-runs") as seed:
            baseline = training(
                train_baseline(dataset=baseline_set.outputs["dataset"], seed=seed, **how), "Baseline: from scratch"
            )
        with dsl.ParallelFor(items=seeds, parallelism=parallelism, name="transfer-runs") as seed:
            transfer = training(
                train_transfer(
                    dataset=selected.outputs["dataset"],
                    initial_model=finetuned.outputs["model"],
                    seed=seed,
                    **how,
                ),
                "Transfer: from the fine-tuned model",
            )

        rendered = report(
            pretrain=pretrained.outputs["record"],
            finetune=finetuned.outputs["record"],
            final=shipped.outputs["record"],
            baseline=dsl.Collected(baseline.outputs["record"]),
            transfer=dsl.Collected(transfer.outputs["record"]),
            run_id=run_id,
            settings=report_settings,
        )
        place(rendered.set_display_name("Report"), where, "report")
        verdict = verify(summary=rendered.outputs["summary"])
        place(verdict.set_display_name("Verify the measurement"), where, "report")

    pipeline: BaseComponent = headstart_experiment
    return pipeline

"""The first task of every pipeline: a thin shell around `headstart.components.preflight.checks`."""

# No `from __future__ import annotations` here: kfp reads the annotations as objects.
from typing import List  # noqa: UP035  kfp's type checker knows typing.List only

from kfp import dsl

# Replaced for each task by the image that the pipeline is compiled for.
IMAGE = "headstart:0.1.0"


@dsl.component(base_image=IMAGE, install_kfp_package=False)  # type: ignore[untyped-decorator]
def preflight(
    run_id: str,
    plan_images_per_class: dsl.OutputPath(int),  # type: ignore[valid-type]
    plan_draws: dsl.OutputPath(int),  # type: ignore[valid-type]
    plan_intermediate_data: dsl.OutputPath(str),  # type: ignore[valid-type]
    source_data: str = "",
    intermediate_data: str = "",
    target_data: str = "",
    prepared: str = "",
    preparation_hours: float = -1.0,
    hold_out_target: bool = False,
    write_to: str = "",
    seeds: list = [1],  # type: ignore[type-arg]  # noqa: B006
    arms: list = [],  # type: ignore[type-arg]  # noqa: B006
    preparations: int = 0,
    draws: int = 0,
    sizes: list = [],  # type: ignore[type-arg]  # noqa: B006
    preset: str = "",
    settings: dict = {},  # type: ignore[type-arg]  # noqa: B006 - kfp reads a default once, when compiling
    classes: dict = {},  # type: ignore[type-arg]  # noqa: B006
    images_per_class: int = 0,
    test_images_per_class: int = 0,
    image_size: int = 52,
    preparation_seed: int = 0,
    data_settings: dict = {},  # type: ignore[type-arg]  # noqa: B006
    report_settings: dict = {},  # type: ignore[type-arg]  # noqa: B006
    promotion: dict = {},  # type: ignore[type-arg]  # noqa: B006
) -> List[int]:  # noqa: UP006
    """Check what a run needs: its parameters; and from inside a pod, image, user, folders, data and where to write.

    Fails, with all that is wrong in one message, before anything costly starts. What it returns and writes fills in
    the defaults of an experiment (see `headstart.components.design`); a retraining uses `plan_images_per_class` alone.

    Args:
        run_id: This run; it keeps the answer from being taken from the cache.
        plan_images_per_class: Training images of each class, where 0 was given those of the preset.
        plan_draws: How often the target's training images are drawn.
        plan_intermediate_data: The intermediate set that is imported.
        source_data: URI that the run will read; none or empty: none. The next two likewise.
        intermediate_data: URI that the run will read; auto: demo:fruits, or none where target_data is given.
        target_data: URI that the run will read.
        prepared: URI of a model that takes the place of stages left out; empty: none.
        preparation_hours: What preparing it took; below 0: not known.
        hold_out_target: Whether the intermediate set goes without the target's classes.
        write_to: Folder, or gs:// or s3:// prefix, for checkpoints or a model store; empty: none.
        seeds: As all below: the pipeline's parameter of that name, to be refused here if a later task would.
        arms: Arms to run; empty: baseline and transfer.
        preparations: Chains of pretraining and fine-tuning; 0: as the preset has it.
        draws: Draws of the target's training images; 0: as the preset has it.
        sizes: Sizes of a learning curve in training images per class; empty: none.
        preset: Recipe; empty: demo for a stage on demonstration data, else paper.
        settings: Training settings.
        classes: Rule for the target classes.
        images_per_class: Training images of each class; 0: as the preset has it.
        test_images_per_class: Test images of each class.
        image_size: Height and width of images in pixels.
        preparation_seed: Seed of preparation 0.
        data_settings: Settings of the import.
        report_settings: Settings of the report.
        promotion: Rules of a promotion.

    Returns:
        The numbers of the preparations.
    """
    from pathlib import Path

    from headstart.components.datasets.left_out import AUTO, NONE, needed_beside
    from headstart.components.design import plan
    from headstart.components.preflight.checks import require
    from headstart.components.preflight.parameters import check_parameters

    parameters = {
        "seeds": seeds,
        "arms": arms,
        "preparations": preparations,
        "draws": draws,
        "sizes": sizes,
        "preset": preset,
        "settings": settings,
        "classes": classes,
        "images_per_class": images_per_class,
        "test_images_per_class": test_images_per_class,
        "image_size": image_size,
        "preparation_seed": preparation_seed,
        "data_settings": data_settings,
        "report_settings": report_settings,
        "promotion": promotion,
    }
    if intermediate_data == AUTO and not source_data:  # a curve on prepared models
        intermediate_data = needed_beside(target_data)
    sets = {"source_data": source_data, "intermediate_data": intermediate_data, "target_data": target_data}
    start = {"prepared": prepared, "preparation_hours": preparation_hours, "hold_out_target": hold_out_target}
    check_parameters({**parameters, **sets, **start})
    read = [uri for uri in (source_data, intermediate_data, target_data, prepared) if uri != NONE]
    require(read_from=read, write_to=write_to, run_id=run_id)
    found = plan({**parameters, **sets})
    Path(plan_images_per_class).write_text(str(found.images_per_class))
    Path(plan_draws).write_text(str(found.draws))
    Path(plan_intermediate_data).write_text(intermediate_data)
    return found.preparations

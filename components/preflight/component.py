"""The first task of every pipeline: a thin shell around `headstart.components.preflight.checks`."""

# No `from __future__ import annotations` here: kfp reads the annotations as objects.
from kfp import dsl

# Replaced for each task by the image that the pipeline is compiled for.
IMAGE = "headstart:0.1.0"


@dsl.component(base_image=IMAGE, install_kfp_package=False)  # type: ignore[untyped-decorator]
def preflight(
    run_id: str,
    source_data: str = "",
    intermediate_data: str = "",
    target_data: str = "",
    write_to: str = "",
    seeds: list = [1],  # type: ignore[type-arg]  # noqa: B006
    preset: str = "paper",
    settings: dict = {},  # type: ignore[type-arg]  # noqa: B006 - kfp reads a default once, when compiling
    classes: dict = {},  # type: ignore[type-arg]  # noqa: B006
    images_per_class: int = 1,
    test_images_per_class: int = 0,
    image_size: int = 52,
    data_settings: dict = {},  # type: ignore[type-arg]  # noqa: B006
    report_settings: dict = {},  # type: ignore[type-arg]  # noqa: B006
    promotion: dict = {},  # type: ignore[type-arg]  # noqa: B006
) -> str:
    """Check what a run needs: its parameters; and from inside a pod, image, user, folders, data and where to write.

    Fails, with all that is wrong in one message, before anything costly starts.

    Args:
        run_id: This run; it keeps the answer from being taken from the cache.
        source_data: URI that the run will read; empty: none. The next two likewise.
        intermediate_data: URI that the run will read.
        target_data: URI that the run will read.
        write_to: Folder or gs:// prefix for checkpoints or a model store; empty: none.
        seeds: As all below: the pipeline's parameter of that name, to be refused here if a later task would.
        preset: Recipe.
        settings: Training settings.
        classes: Rule for the target classes.
        images_per_class: Training images a class.
        test_images_per_class: Test images a class.
        image_size: Pixels a side.
        data_settings: Settings of the import.
        report_settings: Settings of the report.
        promotion: Rules of a promotion.

    Returns:
        One line a check.
    """
    from headstart.components.preflight.checks import require
    from headstart.components.preflight.parameters import check_parameters

    check_parameters(
        {
            "seeds": seeds,
            "preset": preset,
            "settings": settings,
            "classes": classes,
            "images_per_class": images_per_class,
            "test_images_per_class": test_images_per_class,
            "image_size": image_size,
            "data_settings": data_settings,
            "report_settings": report_settings,
            "promotion": promotion,
        }
    )
    return require(read_from=[source_data, intermediate_data, target_data], write_to=write_to, run_id=run_id)

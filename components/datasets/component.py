"""Pipeline components of the data sets: thin shells around `importing` and `selection`."""

# No `from __future__ import annotations` here: kfp reads the annotations as objects.
from kfp import dsl
from kfp.dsl import Dataset, Input, Output

# Replaced for each task by the image that the pipeline is compiled for.
IMAGE = "headstart:0.1.0"


@dsl.component(base_image=IMAGE, install_kfp_package=False)  # type: ignore[untyped-decorator]
def import_dataset(
    uri: str,
    layout: str,
    image_size: int,
    seed: int,
    settings: dict,  # type: ignore[type-arg]
    dataset: Output[Dataset],
) -> None:
    """Import a data set: find out its layout, check it, decode and resize every image once, and pack it.

    Args:
        uri: Local path, file://, gs://, s3:// or https:// of a folder or an archive, demo:source, demo:fruits, or none.
        layout: auto, cifar100, fruits360, image_folder, class_folders or csv.
        image_size: Height and width in pixels that images are resized to.
        seed: Decides which training images become validation images.
        settings: Further settings of the import, by name.
        dataset: The packed data set.
    """
    from headstart.components.datasets.importing import import_dataset
    from headstart.components.datasets.left_out import NONE, leave_out

    if uri == NONE:
        leave_out(dataset.path, image_size)
        return
    description = import_dataset(
        uri, dataset.path, **{"layout": layout, "image_size": image_size, "seed": seed, **settings}
    )
    dataset.metadata.update(description.artifact_metadata())


@dsl.component(base_image=IMAGE, install_kfp_package=False)  # type: ignore[untyped-decorator]
def select_classes(
    intermediate: Input[Dataset],
    classes: dict,  # type: ignore[type-arg]
    images_per_class: int,
    test_images_per_class: int,
    seed: int,
    target_uri: str,
    target_layout: str,
    settings: dict,  # type: ignore[type-arg]
    dataset: Output[Dataset],
    draws: int = 1,
) -> None:
    """Derive the target set of a few merged classes from the intermediate set, or import it from its own place.

    Args:
        intermediate: The packed set to select from.
        classes: New class name to the words of the class names that it takes in; * takes in the rest.
        images_per_class: Training images per class.
        test_images_per_class: Test images per class; 0 takes as many as every class has.
        seed: Decides which images are drawn.
        target_uri: Where the target images are, if they are not to be selected; empty otherwise.
        target_layout: Layout of the images at target_uri.
        settings: Further settings of the selection, or of the import from target_uri, by name.
        dataset: The packed target set, with a folder for each further draw.
        draws: How often the training images are drawn; the test images are the same in all draws.
    """
    from headstart.components.datasets.draws import select_draws

    description = select_draws(
        intermediate.path,
        dataset.path,
        draws=draws,
        classes=classes,
        images_per_class=images_per_class,
        test_images_per_class=test_images_per_class,
        seed=seed,
        target_uri=target_uri,
        target_layout=target_layout,
        settings=settings,
    )
    dataset.metadata.update(description.artifact_metadata())


@dsl.component(base_image=IMAGE, install_kfp_package=False)  # type: ignore[untyped-decorator]
def hold_out(
    intermediate: Input[Dataset],
    target: Input[Dataset],
    target_classes: bool,
    dataset: Output[Dataset],
) -> None:
    """Leave out of the intermediate set what the target tests on, and on request all of the target's classes.

    The stage that trains on the intermediate set takes this output in its place. If nothing has to go, it is the
    intermediate set as it is, with the same digest.

    Args:
        intermediate: The packed set that a preparing stage trains on.
        target: The packed target set, selected from it or imported.
        target_classes: Whether every class that the target was made from is left out, not just what it tests on.
        dataset: The packed set without them.
    """
    from headstart.components.datasets.holding_out import hold_out
    from headstart.components.datasets.left_out import leave_out, left_out

    size = left_out(intermediate.path)
    if size is not None:
        leave_out(dataset.path, size)
        return
    description = hold_out(intermediate.path, target.path, dataset.path, target_classes=target_classes)
    seen = description.settings["seen_before"]
    dataset.metadata.update(
        {
            **description.artifact_metadata(),
            "seen_training_images": float(seen["training_images"]),
            "seen_images": float(sum(seen["images"].values())),
        }
    )

"""Settings of an import, checked before anything is read."""

from __future__ import annotations

from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from headstart.components.datasets.reading import Decoding, Fit, Orientation
from headstart.components.errors import SettingError, suggestion

REST = "*"
PAPER_CLASSES = {"apple": "apple", "pears": "pear", "noise": REST}

Layout = Literal["auto", "cifar100", "fruits360", "image_folder", "class_folders", "csv"]
Model = TypeVar("Model", bound=BaseModel)


class ImportSettings(BaseModel):
    """What can be said about an import beyond where the images are."""

    model_config = ConfigDict(extra="forbid")

    layout: Layout = "auto"
    image_size: int = Field(52, ge=8, le=1024, description="height and width in pixels that images are resized to")
    orientation: Orientation = Field(
        "apply", description="turn images as a camera's orientation mark says, or ignore it"
    )
    fit: Fit = Field(
        "stretch",
        description="how an image becomes a square: stretched, cropped to its middle, or padded with white",
    )
    decoding: Decoding = Field(
        "exact",
        description="decode a JPEG in full, or scaled to 1/2, 1/4 or 1/8 where that is large enough: faster, and a "
        "little different",
    )
    seed: int = Field(0, ge=0, le=2**32 - 1, description="seed of every random choice of the import")
    validation_share: float = Field(
        0.1, gt=0, lt=1, description="share of the training images kept for validation where the set has no such split"
    )
    validation_by: Literal["image", "film"] = Field(
        "image", description="what validation is cut from training by: single images, or whole films of a class"
    )
    test_share: float = Field(
        0.2,
        gt=0,
        lt=1,
        description="share of the images kept for test where the set has no split or split_by draws it",
    )
    split_by: Literal["official", "image", "film", "variety"] = Field(
        "official", description="keep the split of the source, or draw another by image, by film or by variety"
    )
    missing_test: Literal["validation", "train"] = Field(
        "validation",
        description="where test images come from if the source has training and validation but no test split: "
        "validation is used for test, or test is cut from train",
    )
    class_level: Literal["first", "second", "third", "last"] = Field(
        "first", description="which folder level below the split names the class: Apple/Apple 11 is Apple or Apple 11"
    )
    class_below: str = Field(
        "",
        description="names of folders, with commas between, that only group classes: class_level counts from below "
        "them, so that classes may lie at mixed depths",
    )
    skip_share: float = Field(0.01, ge=0, le=1, description="largest share of unreadable images that is accepted")
    incomplete_classes: Literal["error", "drop"] = Field(
        "error", description="what to do with classes that have no training or no test images"
    )
    images_per_class: int = Field(0, ge=0, description="training images per class at most, of every set; 0: all")
    path_column: str = Field("path", min_length=1, description="column of a table that names the image file")
    label_column: str = Field("label", min_length=1, description="column of a table that names the class")
    split_column: str = Field("split", min_length=1, description="column of a table that names the split, if any")
    group_column: str = Field(
        "group",
        min_length=1,
        description="column of a table, if any, that names what is kept in one split: a film, a person, a part",
    )
    workers: int = Field(0, ge=0, le=256, description="decoders that work at the same time; 0: one per usable core")
    near_duplicates: bool = Field(True, description="look for near-twins of test images in training")


class SelectionSettings(BaseModel):
    """What can be said about a selection."""

    model_config = ConfigDict(extra="forbid")

    classes: dict[str, str] = Field(
        PAPER_CLASSES, description="new class → words of the names it takes in; *: the rest"
    )
    images_per_class: int = Field(400, ge=1, description="training images per class at most")
    test_images_per_class: int = Field(
        0, ge=0, description="test images per class at most; 0: as many as every class has"
    )
    seed: int = Field(0, ge=0, le=2**32 - 1, description="seed of what is drawn")
    draw: int = Field(0, ge=0, description="number of the draw of training and validation images")
    split_by: Literal["official", "image", "film", "variety"] = Field(
        "official",
        description="variety: test on classes of the source that training never saw; else as it was imported",
    )
    test_share: float = Field(0.2, gt=0, lt=1, description="share of the images for test where split_by is variety")
    validation_share: float = Field(0.1, gt=0, lt=1, description="validation images per class, as a share of training")
    near_duplicates: bool = Field(True, description="look for near-twins of test images in training")


# What the imports and the selection of a pipeline take from parameters of their own:
# as a data setting, one of the two would do nothing.
OPTIONS = {
    "layout": "the option that names the layout",
    "image_size": "--image-size",
    "classes": "--classes",
    "test_images_per_class": "--test-images-per-class",
    "draw": "--draws",
}


def check_data_settings(values: dict[str, Any]) -> None:
    """Raise SettingError for the first of a pipeline's data settings that its imports or its selection would refuse."""
    for name in values:
        if name in OPTIONS:
            raise SettingError(f"Data setting {name}: it has an option of its own.", f"Use {OPTIONS[name]}.")
    parse_settings(ImportSettings, values)
    parse_settings(SelectionSettings, {name: value for name, value in values.items() if name != "images_per_class"})


def parse_settings(model: type[Model], values: dict[str, Any]) -> Model:
    """Check `values` against `model`; SettingError names the setting, what was given and what is known or expected.

    A pipeline hands one set of settings to imports and selections alike, so what only the other knows is left out.
    """
    own, known = set(model.model_fields), set(ImportSettings.model_fields) | set(SelectionSettings.model_fields)
    unknown = sorted(set(values) - known)
    if unknown:
        raise SettingError(
            f"Unknown setting {', '.join(map(repr, unknown))}.{suggestion(unknown[0], known)}",
            f"Known: {', '.join(sorted(known))}.",
        )
    try:
        return model.model_validate({name: value for name, value in values.items() if name in own})
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        raise SettingError(f"Setting {name}: {first['msg']}; found {first['input']!r}.") from error

"""Settings of an import, checked before anything is read."""

from __future__ import annotations

from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from components.errors import SettingError

Layout = Literal["auto", "cifar100", "fruits360", "image_folder", "csv"]
Model = TypeVar("Model", bound=BaseModel)


class ImportSettings(BaseModel):
    """What can be said about an import beyond where the images are."""

    model_config = ConfigDict(extra="forbid")

    layout: Layout = "auto"
    image_size: int = Field(52, ge=8, le=1024, description="height and width in pixels that images are resized to")
    seed: int = Field(0, ge=0, le=2**32 - 1, description="seed of every random choice of the import")
    validation_share: float = Field(0.1, gt=0, lt=1, description="share of the training images kept for validation")
    validation_by: Literal["image", "film"] = Field(
        "image", description="what validation is cut from training by: single images, or whole films of one fruit"
    )
    test_share: float = Field(0.2, gt=0, lt=1, description="share of the images kept for test where no split is named")
    split_by: Literal["official", "image", "film", "variety"] = Field(
        "official", description="keep the split of the source, or draw another by image, by film or by variety"
    )
    class_level: Literal["first", "last"] = Field(
        "first", description="which folder level below the split names the class: Apple/Apple 11 is Apple or Apple 11"
    )
    skip_share: float = Field(0.01, ge=0, le=1, description="share of unreadable images that is put up with")
    incomplete_classes: Literal["error", "drop"] = Field(
        "error", description="what to do with classes that have no training or no test images"
    )
    images_per_class: int = Field(0, ge=0, description="training images a class that are kept at most; 0: all")
    path_column: str = Field("path", min_length=1, description="column of a CSV that names the image file")
    label_column: str = Field("label", min_length=1, description="column of a CSV that names the class")
    split_column: str = Field("split", min_length=1, description="column of a CSV that names the split; may be absent")
    sha256: str = Field("", pattern="^([0-9a-f]{64})?$", description="SHA-256 that a downloaded file must have")
    workers: int = Field(0, ge=0, le=256, description="decoders at work at once; 0: one a usable core")
    near_duplicates: bool = Field(True, description="look for near-twins of test images in training")


def parse_settings(model: type[Model], values: dict[str, Any]) -> Model:
    """Check `values` against `model`; SettingError names the setting, what was given and what is known or expected."""
    unknown = sorted(set(values) - set(model.model_fields))
    if unknown:
        raise SettingError(
            f"Unknown setting {', '.join(map(repr, unknown))}.", f"Known: {', '.join(sorted(model.model_fields))}."
        )
    try:
        return model.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        raise SettingError(f"Setting {name}: {first['msg']}; found {first['input']!r}.") from error

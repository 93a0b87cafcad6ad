"""Every setting of an import and of a selection does something: another value gives another set, or a refusal."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import drawn_files
import pytest
from PIL import Image

from headstart.components.datasets import packing
from headstart.components.datasets.importing import import_dataset
from headstart.components.datasets.selection import select_classes
from headstart.components.datasets.settings import ImportSettings, SelectionSettings
from headstart.components.errors import HeadstartError

Draw = Callable[[Path], Path]


def split_folders(root: Path) -> Path:
    return drawn_files.fruits(root, train=12, test=4)


def class_folders(root: Path) -> Path:
    return drawn_files.write_tree(root, dict.fromkeys(("apple", "pear", "plum"), 20))


def varieties(root: Path) -> Path:
    folders = [f"{name}/{name} {number}" for name in ("apple", "pear") for number in range(4)]
    return drawn_files.write_tree(root, dict.fromkeys(folders, 8))


def without_test(root: Path) -> Path:
    folders = {f"train/{name}": 12 for name in ("apple", "pear")} | {f"val/{name}": 4 for name in ("apple", "pear")}
    return drawn_files.write_tree(root, folders)


def one_broken(root: Path) -> Path:
    class_folders(root)
    next((root / "apple").iterdir()).write_bytes(b"no image")
    return root


def one_class_without_test(root: Path) -> Path:
    folders = {f"train/{name}": 10 for name in ("apple", "pear", "plum")} | {"test/apple": 4, "test/pear": 4}
    return drawn_files.write_tree(root, folders)


def twins(root: Path) -> Path:
    split_folders(root)
    for folder in sorted((root / "Training").iterdir()):
        image = drawn_files.image(1000)
        image.putpixel((0, 0), (image.getpixel((0, 0))[0] ^ 1, 0, 0))
        image.save(root / "Test" / folder.name / "twin.png")
        drawn_files.image(1000).save(folder / "twin.png")
    return root


def wide_and_turned(root: Path) -> Path:
    for number in range(40):
        exif = Image.Exif()
        exif[0x0112] = 6  # shown turned by a quarter
        path = root / ("apple", "pear")[number % 2] / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        drawn_files.image(number, (120, 64)).save(path, quality=92, exif=exif)
    return root


def mixed_depths(root: Path) -> Path:
    folders = {"photos/apple": 12, "photos/pear/ripe": 12, "photos/pear/green": 12}
    return drawn_files.write_tree(root, folders)


def table(root: Path) -> Path:
    class_folders(root)
    lines = ["path,file,label,kind,split,part,person,film"]
    for number, file in enumerate(sorted(root.rglob("*.jpg"))):
        name = file.parent.name
        at = file.relative_to(root)
        other = (at.parent / sorted(file.parent.iterdir())[0].name) if number % 20 else at
        splits = [("train", "validation", "test")[(number // step) % 3] for step in (1, 2)]
        lines.append(f"{at},{other},{name},{name[0]},{splits[0]},{splits[1]},{number // 4},{number // 2}")
    (root / "table.csv").write_text("\n".join(lines) + "\n")
    return root / "table.csv"


class Case(NamedTuple):
    """Another value of a setting, the images that show what it does, and what must be set beside it."""

    value: Any
    images: Draw = class_folders
    beside: Mapping[str, Any] = MappingProxyType({})


IMPORT: dict[str, Case] = {
    "layout": Case("csv"),
    "image_size": Case(16),
    "orientation": Case("ignore", wide_and_turned),
    "fit": Case("crop", wide_and_turned),
    "decoding": Case("scaled", wide_and_turned),
    "class_below": Case("photos", mixed_depths),
    "seed": Case(7),
    "validation_share": Case(0.4),
    "validation_by": Case("film", split_folders, {"validation_share": 0.4}),
    "test_share": Case(0.5),
    "split_by": Case("film", split_folders),
    "missing_test": Case("train", without_test),
    "class_level": Case("second", varieties),
    "skip_share": Case(0.5, one_broken, {"skip_share": 0}),
    "incomplete_classes": Case("drop", one_class_without_test),
    "images_per_class": Case(5),
    "path_column": Case("file", table),
    "label_column": Case("kind", table),
    "split_column": Case("part", table),
    "group_column": Case("film", table, {"split_by": "film", "group_column": "person"}),
    "near_duplicates": Case(False, twins),
}
SELECTION: dict[str, Case] = {
    "classes": Case({"pears": "pear", "rest": "*"}),
    "images_per_class": Case(3),
    "test_images_per_class": Case(1),
    "seed": Case(7, beside={"images_per_class": 6}),
    "draw": Case(1, beside={"images_per_class": 6}),
    "split_by": Case("variety", varieties),
    "test_share": Case(0.6, varieties, {"split_by": "variety"}),
    "validation_share": Case(0.4),
    "near_duplicates": Case(False, twins),
}


def seen(folder: Path, make: Callable[[Path], Any]) -> Any:
    """Return what the set in `folder` holds, or why `make` refused to write it."""
    try:
        made = make(folder)
    except HeadstartError as error:
        assert not str(error).startswith("Setting "), error  # a value that cannot be has no effect to show
        return str(error)
    return made.classes, made.counts, made.digest, made.image_size, made.notes


def test_every_setting_has_a_case() -> None:
    assert {*ImportSettings.model_fields} == {*IMPORT, "workers"}
    assert {*SelectionSettings.model_fields} == {*SELECTION}


@pytest.mark.parametrize("name", IMPORT)
def test_a_setting_of_an_import_changes_the_set(name: str, tmp_path: Path) -> None:
    case = IMPORT[name]
    source = str(case.images(tmp_path / "images"))
    base = {"image_size": 12, **case.beside}

    def imported(folder: str, **more: Any) -> Any:
        return seen(tmp_path / folder, lambda place: import_dataset(source, place, **{**base, **more}))

    before = imported("before")
    assert before == imported("again"), "differs by chance"
    assert before != imported("after", **{name: case.value})


@pytest.mark.parametrize("name", SELECTION)
def test_a_setting_of_a_selection_changes_the_set(name: str, tmp_path: Path) -> None:
    case = SELECTION[name]
    level = {"class_level": "second"} if case.images is varieties else {}
    import_dataset(str(case.images(tmp_path / "images")), tmp_path / "set", image_size=12, **level)
    base = {"classes": {"apples": "apple", "rest": "*"}, **case.beside}

    def selected(folder: str, **more: Any) -> Any:
        return seen(tmp_path / folder, lambda place: select_classes(tmp_path / "set", place, **{**base, **more}))

    before = selected("before")
    assert before == selected("again"), "differs by chance"
    assert before != selected("after", **{name: case.value})


def test_workers_is_the_number_of_decoders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    numbers: list[int] = []
    decoding = packing._decoding

    def noted(*arguments: Any) -> Any:
        numbers.append(arguments[-1])
        return decoding(*arguments)

    monkeypatch.setattr(packing, "_decoding", noted)
    source = str(class_folders(tmp_path / "images"))
    for number in (1, 3):
        import_dataset(source, tmp_path / str(number), image_size=12, workers=number)
    assert numbers == [1, 3]

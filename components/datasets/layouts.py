"""Finds out in which layout a data set lies at a path, or says in the user's terms what lies there instead."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from headstart.components.datasets import cifar100, trees
from headstart.components.datasets.archives import is_archive
from headstart.components.datasets.collection import Collection, counted
from headstart.components.datasets.folders import find_files, is_image, kinds, may_be_image, suffix, to_convert
from headstart.components.datasets.settings import ImportSettings
from headstart.components.errors import HeadstartError
from headstart.components.regular_files import is_litter

TABLES = frozenset({".csv", ".tsv", ".tab", ".parquet"})
"""Suffixes of files that are read as tables of labels."""
_CIFAR10 = frozenset({"data_batch_1", "data_batch_1.bin", "batches.meta", "batches.meta.txt"})
_FORMATS = {
    ".rar": "a RAR archive",
    ".7z": "a 7z archive",
    ".gz": "a single compressed file",
    ".xlsx": "an Excel workbook",
    ".xls": "an Excel workbook",
    ".h5": "an HDF5 file",
    ".npz": "arrays of numpy",
    ".npy": "an array of numpy",
    ".mat": "a MATLAB file",
    ".tfrecord": "a TFRecord file",
    ".pt": "a PyTorch file",
    ".json": "a JSON file",
}
_REMEDIES = {
    ".rar": "Unpack it and name the folder.",
    ".7z": "Unpack it and name the folder.",
    ".gz": "Unpack it and name the result.",
    ".xlsx": "Save it as CSV and name that.",
    ".xls": "Save it as CSV and name that.",
}


@contextmanager
def called(path: Path, title: str) -> Iterator[None]:
    """Call `path` by `title` in errors: what was fetched or unpacked lies in a folder that the user never named."""
    try:
        yield
    except HeadstartError as error:
        real, shown = str(path), title.rstrip("/")
        if real == shown or not path.is_absolute():
            raise
        texts = [text.replace(real, shown) for text in (error.message, error.remedy)]
        raise type(error)(*texts) from error


def recognise(path: Path, options: ImportSettings) -> Collection:
    """Find out which layout lies at `path` and collect its images; HeadstartError says what was found otherwise."""
    layout = options.layout
    if path.is_file():
        if layout == "csv" or (layout == "auto" and suffix(path.name) in TABLES):
            return _read_table(path, options)
        raise _no_data_set(path)
    if layout in ("auto", "cifar100") and (own := cifar100.find_in_folder(path)) is not None:
        return cifar100.read_folder(own)
    if layout == "csv":
        tables = _tables_in(path)
        if len(tables) != 1:
            raise HeadstartError(
                f"{path}: {len(tables)} tables in it ({', '.join(sorted(TABLES))}); one was expected.",
                "Name the file itself.",
            )
        return _read_table(tables[0], options)
    if layout != "class_folders":
        root = trees.find_split_root(path)
        if root is not None:
            return trees.read_split_tree(root, _name(layout, root), options, path)
    if layout in ("auto", "image_folder", "class_folders"):
        _refuse_what_is_no_class_tree(path)
        return trees.read_class_tree(trees.find_class_root(path), _name(layout, path), options)
    found = ", ".join(sorted(child.name for child in path.iterdir())[:10]) or "nothing"
    expected = {
        "cifar100": "CIFAR-100's files (meta, train, test, or train.bin, test.bin, fine_label_names.txt), "
        "or train/<class>/* and test/<class>/*",
        "fruits360": "folders Training and Test, each with one folder per class",
    }
    raise HeadstartError(f"{path}: found {found}; expected {expected[layout]}.")


def _read_table(path: Path, options: ImportSettings) -> Collection:
    from headstart.components.datasets.tables import read_table  # pandas takes half a second to import

    return read_table(path, options)


def _name(layout: str, root: Path) -> str:
    if layout in ("cifar100", "fruits360"):
        return layout
    return "images" if root.name.startswith("headstart-") else root.name


def _tables_in(folder: Path) -> list[Path]:
    return sorted(file for file in folder.iterdir() if suffix(file.name) in TABLES and not is_litter(file.name))


def _no_data_set(path: Path) -> HeadstartError:
    with path.open("rb") as file:
        beginning = file.read(1024).lstrip().lower()
    if beginning.startswith((b"<!doctype html", b"<html", b"<?xml")) or b"<html" in beginning:
        return HeadstartError(
            f"{path}: a web page, not an archive: a download that needs a login or a click ends with one.",
            "Download it with a browser and name the file, or take the address that the browser takes in the end.",
        )
    if not beginning:
        return HeadstartError(f"{path}: the file is empty.", "Get it again.")
    if is_image(path.name):
        return HeadstartError(f"{path}: a single image.", "Name a folder of class folders, an archive or a table.")
    kind = suffix(path.name)
    tables = ", ".join(sorted(TABLES))
    what = (
        f"{_FORMATS[kind]}, which is not read"
        if kind in _FORMATS
        else f"neither a zip nor a tar archive, nor a table ({tables})"
    )
    return HeadstartError(
        f"{path.name}: {what}.", _REMEDIES.get(kind, f"Name a folder, an archive (zip, tar) or a table ({tables}).")
    )


def _refuse_what_is_no_class_tree(path: Path) -> None:
    """Say what a folder without class folders holds: another archive, CIFAR-10, images of no class, one class."""
    files = find_files(path)
    images = [file for file in files if is_image(file.path)]
    if not images:
        if any(Path(file.path).name in _CIFAR10 for file in files):
            raise HeadstartError(
                f"{path}: CIFAR-10 in its published form; of the two, CIFAR-100 is read.",
                "Fetch that (`headstart data fetch cifar100`), or export CIFAR-10 to one folder per class.",
            )
        inner = [file.path for file in files if is_archive(path / file.path)]
        if inner:
            raise HeadstartError(
                f"{path}: no images, but another archive in it: {', '.join(inner[:3])}.",
                "Unpack the outer archive and name the inner one.",
            )
        if not any(may_be_image(file.path) for file in files):
            found = kinds([file.path for file in files])
            raise HeadstartError(f"{path}: no images in it; found {found}.", to_convert([file.path for file in files]))
        return
    if any(file.parts for file in images):
        return
    tables = _tables_in(path)
    raise HeadstartError(
        f"{path}: {counted(len(images), 'image', 'images')} directly in it, such as {images[0].path}, but no "
        "class folders.",
        f"If {tables[0].name} lists their labels, name it: {path / tables[0].name}."
        if tables
        else "Put the images of each class in a folder of its own, or list them in a table (.csv) of path and label.",
    )

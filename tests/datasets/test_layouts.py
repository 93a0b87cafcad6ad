"""Every layout that people have comes in through the real readers; what should be the same is the same."""

import shutil
import unicodedata
from pathlib import Path

import numpy as np
import pytest

from headstart.components.datasets.importing import import_dataset
from headstart.components.datasets.packed import PackedDataset
from tests.datasets import drawn_files


def test_every_form_of_cifar100_gives_the_same_data(tmp_path: Path) -> None:
    python = drawn_files.write_cifar_python(tmp_path / "cifar-100-python")
    binary = drawn_files.write_cifar_binary(tmp_path / "binary" / "cifar-100-binary")
    forms = {
        "directory": python,
        "above": tmp_path / "binary",
        "tar.gz": drawn_files.tar_of(python, tmp_path / "cifar-100-python.tar.gz"),
        # Keras caches the archive under a name without an ending.
        "keras": drawn_files.tar_of(python, tmp_path / "cifar-100-python-target"),
        "binary tar.gz": drawn_files.tar_of(binary, tmp_path / "cifar-100-binary.tar.gz"),
        "png": drawn_files.write_cifar_png(tmp_path / "png"),
    }
    found = {
        name: import_dataset(str(form), tmp_path / "out" / name, layout="cifar100", image_size=32, validation_share=0.2)
        for name, form in forms.items()
    }
    assert {description.digest for description in found.values()} == {found["directory"].digest}
    description = found["directory"]
    assert description.classes == drawn_files.CIFAR_CLASSES
    assert description.class_counts == {"train": [4, 4, 4], "validation": [1, 1, 1], "test": [2, 2, 2]}
    # At 32 pixels nothing is resized: the packed test pixels are the source's, planes turned to pixels.
    pixels, labels = drawn_files.cifar_batches()["test"]
    images, packed_labels = PackedDataset(tmp_path / "out" / "directory").split("test")
    assert np.array_equal(images, pixels.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))
    assert packed_labels.tolist() == labels


def test_fruits_come_from_folders_and_archives_at_any_depth(tmp_path: Path) -> None:
    source = drawn_files.fruits(tmp_path / "fruits-360_dataset" / "fruits-360")
    (source / "test-multiple_fruits").mkdir()
    (source / "test-multiple_fruits" / "apple_pear.jpg").write_bytes(drawn_files.encoded(77))
    (source / "Training" / "Pear" / ".DS_Store").write_bytes(b"litter")
    above = tmp_path / "fruits-360_dataset"
    shutil.make_archive(str(tmp_path / "archive"), "zip", above)
    drawn_files.tar_of(above, tmp_path / "fruits.tar.gz")
    forms = [source, above, tmp_path / "archive.zip", tmp_path / "fruits.tar.gz"]
    found = [import_dataset(str(form), tmp_path / f"out{index}", image_size=16) for index, form in enumerate(forms)]
    assert len({description.digest for description in found}) == 1
    assert found[0].classes == ["Apple Red 1", "Kiwi", "Pear"]
    assert found[0].class_counts == {"train": [5, 5, 5], "validation": [1, 1, 1], "test": [2, 2, 2]}
    assert found[0].skipped == 0


def test_a_validation_folder_is_used_and_other_split_names_are_known(tmp_path: Path) -> None:
    root = drawn_files.write_tree(
        tmp_path / "original-size",
        {
            f"{split}/{name}": count
            for split, count in (("Training", 4), ("Validation", 3), ("Testing", 2))
            for name in "ab"
        },
        size=(31, 23),
    )
    description = import_dataset(str(root), tmp_path / "out", image_size=16)
    assert description.counts == {"train": 8, "validation": 6, "test": 4}


@pytest.mark.parametrize(
    ("level", "classes"), [("first", ["Apple", "Pear"]), ("last", ["Apple 10", "Apple 11", "Pear 1"])]
)
def test_a_setting_says_which_of_two_levels_names_the_class(tmp_path: Path, level: str, classes: list[str]) -> None:
    kinds = ("Apple/Apple 10", "Apple/Apple 11", "Pear/Pear 1")
    root = drawn_files.write_tree(
        tmp_path / "in", {f"{split}/{kind}": 3 for split in ("Training", "Test") for kind in kinds}
    )
    assert import_dataset(str(root), tmp_path / "out", image_size=16, class_level=level).classes == classes


def test_accents_are_the_same_however_a_file_system_stores_them(tmp_path: Path) -> None:
    found = []
    for form in ("NFC", "NFD"):
        name = unicodedata.normalize(form, "Açaí-Purée 2")
        root = drawn_files.fruits(tmp_path / form, (name, "Pear"))
        found.append(import_dataset(str(root), tmp_path / f"out-{form}", image_size=16))
    assert found[0].classes == [unicodedata.normalize("NFC", "Açaí-Purée 2"), "Pear"]
    assert found[0].digest == found[1].digest


def test_a_tree_of_classes_alone_is_split_by_a_seeded_stratified_rule(tmp_path: Path) -> None:
    root = drawn_files.write_tree(tmp_path / "in", {"bolt": 20, "nut": 10})
    first = import_dataset(str(root), tmp_path / "a", image_size=16, seed=3)
    again = import_dataset(str(root), tmp_path / "b", image_size=16, seed=3)
    other = import_dataset(str(root), tmp_path / "c", image_size=16, seed=4)
    # A fifth of each class for test, a tenth of the rest for validation.
    assert first.class_counts == {"train": [14, 7], "validation": [2, 1], "test": [4, 2]}
    assert first.digest == again.digest != other.digest


def test_a_table_of_paths_and_labels(tmp_path: Path) -> None:
    drawn_files.write_tree(tmp_path / "in" / "pictures", {"x": 15})
    names = sorted(path.name for path in (tmp_path / "in" / "pictures" / "x").iterdir())
    rows = [
        f"pictures/x/{name},{'good' if index % 3 else 'bad'},{'test' if index < 4 else 'Train'}"
        for index, name in enumerate(names)
    ]
    table = tmp_path / "in" / "labels.csv"
    table.write_text("path,label,split\n" + "\n".join(rows) + "\n", encoding="utf-8-sig")
    description = import_dataset(str(table), tmp_path / "out", image_size=16)
    assert description.classes == ["bad", "good"]
    assert description.class_counts == {"train": [2, 7], "validation": [1, 1], "test": [2, 2]}
    by_folder = import_dataset(f"file://{tmp_path}/in", tmp_path / "out2", layout="csv", image_size=16)
    assert by_folder.digest == description.digest


def test_the_order_in_which_files_were_made_does_not_matter(tmp_path: Path) -> None:
    source = drawn_files.fruits(tmp_path / "in")
    files = sorted(path for path in source.rglob("*.jpg"))
    for path in reversed(files):
        copy = tmp_path / "copy" / path.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
    assert (
        import_dataset(str(source), tmp_path / "a", image_size=16, workers=1).digest
        == import_dataset(str(tmp_path / "copy"), tmp_path / "b", image_size=16, workers=4).digest
    )


def test_the_digest_is_that_of_the_content(tmp_path: Path) -> None:
    import_dataset(str(drawn_files.fruits(tmp_path / "in")), tmp_path / "out", image_size=16)
    dataset = PackedDataset(tmp_path / "out")
    dataset.verify()
    file = tmp_path / "out" / "test" / "images.npy"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(Exception, match="its content has digest"):
        PackedDataset(tmp_path / "out").verify()

"""The film or object of every image follows it through whatever is made of a data set."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from headstart.components.datasets.draws import divide_anew, write_subset
from headstart.components.datasets.holding_out import hold_out
from headstart.components.datasets.importing import import_dataset
from headstart.components.datasets.packed import SPLITS, PackedDataset
from headstart.components.datasets.selection import select_classes
from headstart.components.errors import HeadstartError
from headstart.components.promotion.comparison import clusters

CLASSES = ("apple", "pear", "plum")
FILMS = 4


def level(label: int, film: int) -> int:
    """Return the gray level of all images of a film, so that an image says which film it is of."""
    return 20 * (label * FILMS + film) + 5


def table(folder: Path, grouped: bool = True) -> Path:
    """Draw six frames of four films of each class; one file in the middle is no image. Listed film after film."""
    lines = ["path,label,group" if grouped else "path,label"]
    for label, name in enumerate(CLASSES):
        for frame in range(6):
            for film in range(FILMS):
                path = folder / f"{name}-{frame}-{film}.png"
                Image.new("RGB", (8, 8), (level(label, film),) * 3).save(path)
                lines.append(f"{path.name},{name}" + (f",{name} film {film}" if grouped else ""))
    (folder / "pear-2-1.png").write_bytes(b"no image")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    return folder / "labels.csv"


def check(folder: Path) -> PackedDataset:
    """Assert that images are of one group exactly where they are of one gray level, in all splits together."""
    packed = PackedDataset(folder)
    groups = packed.all_groups()
    assert groups is not None
    pairs = {
        (int(image[0, 0, 0]), int(group))
        for split in SPLITS
        for image, group in zip(packed.split(split)[0], groups[split], strict=True)
    }
    assert len(pairs) == len({gray for gray, _ in pairs}) == len({group for _, group in pairs}) > 3
    test = [int(image[0, 0, 0]) for image in packed.split("test")[0]]
    told = packed.record().test_groups
    assert told is not None
    assert [[a == b for b in test] for a in test] == [[a == b for b in told] for a in told]
    numbers = clusters(packed)
    assert len(set(numbers.tolist())) == len(set(test))
    return packed


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    import_dataset(
        str(table(tmp_path)), tmp_path / "packed", image_size=8, split_by="image", test_share=0.4, skip_share=0.1
    )
    return tmp_path / "packed"


def test_groups_of_a_table_follow_their_images(packed: Path, tmp_path: Path) -> None:
    assert check(packed).description.skipped == 1
    select_classes(packed, tmp_path / "chosen", classes={"a": "apple", "rest": "*"}, images_per_class=9)
    check(tmp_path / "chosen")
    divide_anew(packed, tmp_path / "drawn", seed=3, draw=1)
    check(tmp_path / "drawn")
    (tmp_path / "few").mkdir()
    write_subset(packed, tmp_path / "few", 5)
    check(tmp_path / "few")
    hold_out(packed, tmp_path / "chosen", tmp_path / "held")
    check(tmp_path / "held")


def test_groups_that_were_changed_are_refused(packed: Path) -> None:
    file = packed / "test" / "groups.npy"
    whole = file.read_bytes()
    for damaged in (whole[:-4] + b"\1\0\0\0", whole[:-1], b""):
        file.write_bytes(damaged)
        with pytest.raises(HeadstartError, match=r"groups\.npy"):
            PackedDataset(packed)
    file.unlink()
    with pytest.raises(HeadstartError, match=r"groups\.npy"):
        PackedDataset(packed)


@pytest.mark.parametrize(
    ("frames", "settings", "known"),
    [
        ("{}_100.jpg", {}, True),
        ("r2_{}.png", {}, True),
        ("apple_{}.jpg", {}, False),
        ("{}.jpg", {}, False),
        ("{}.jpg", {"layout": "fruits360"}, True),
        ("{}.jpg", {"validation_by": "film"}, True),
        ("clip {}.jpg", {"split_by": "film"}, True),
    ],
)
def test_films_are_only_known_where_names_or_settings_say_so(
    tmp_path: Path, frames: str, settings: dict[str, str], known: bool
) -> None:
    for split in ("Training", "Test"):
        for label, name in enumerate(("Apple 1", "Apple 2", "Pear 1")):
            (tmp_path / "in" / split / name).mkdir(parents=True)
            for frame in range(6):
                path = tmp_path / "in" / split / name / frames.format(frame + 10 * (split == "Test"))
                Image.new("RGB", (8, 8), (level(label, 0), frame, 0)).save(path)
    import_dataset(str(tmp_path / "in"), tmp_path / "out", image_size=8, near_duplicates=False, **settings)
    groups = PackedDataset(tmp_path / "out").groups("test")
    assert (groups is not None) == known
    if groups is not None:
        assert len(np.unique(groups)) == 3


def test_images_that_are_all_of_their_own_have_no_groups(tmp_path: Path) -> None:
    place = table(tmp_path, grouped=False)
    import_dataset(str(place), tmp_path / "packed", image_size=8, split_by="image", skip_share=0.1)
    found = PackedDataset(tmp_path / "packed")
    assert found.groups("test") is None
    assert found.record().test_groups is None
    assert len(set(clusters(found).tolist())) == found.description.counts["test"]

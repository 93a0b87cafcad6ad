"""Data sets as people have them, each with what comes of it. docs/data.md holds the same table.

A tree maps a path to a number of images (a folder, or a name pattern with {}), to the text of a file, to the bytes of
one, or, as a Path, to what a link leads to. Images of a folder have camera names (IMG_0001.jpg) and are all different.
"""

from __future__ import annotations

import io
import tarfile
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.datasets import drawn_files

Content = int | str | bytes | Path
Tree = dict[str, Content]


@dataclass
class Case:
    """One layout: `about` is what the document says of it."""

    about: str
    tree: Tree
    classes: str = ""
    """Names with commas between them, where it is imported."""
    counts: str = ""
    """Images in train / validation / test, where it is imported."""
    refusal: str = ""
    """A part of the message, where it is refused."""
    says: str = ""
    """A part of a note, where it is imported."""
    settings: dict[str, Any] = field(default_factory=dict)
    uri: str = ""
    """What is named below the folder that holds the tree."""

    @property
    def outcome(self) -> str:
        if self.refusal:
            return f"refused: {self.refusal}"
        return f"{self.classes}; {self.counts}" + (f"; says “{self.says}”" if self.says else "")

    def draw(self, root: Path) -> Path:
        """Write the tree below `root` and return what is to be imported."""
        seed = 0
        for place, content in self.tree.items():
            path = root / place
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, int):
                if "{" not in place:
                    path.mkdir(exist_ok=True)
                for number in range(content):
                    seed += 1
                    target = root / place.format(number) if "{" in place else path / f"IMG_{seed:04}.jpg"
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_bytes(drawn_files.encoded(seed))
            elif isinstance(content, Path):
                path.symlink_to(content)
            else:
                path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return root / self.uri


def two(*splits: str, images: int = 6, classes: tuple[str, ...] = ("apple", "pear")) -> Tree:
    """Trees <split>/<class> of two classes."""
    return {f"{split}/{name}": images for split in splits for name in classes}


def zip_of(tree: Tree) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        seed = 500
        for place, content in tree.items():
            if isinstance(content, int):
                for number in range(content):
                    seed += 1
                    archive.writestr(f"{place}/{number}.jpg", drawn_files.encoded(seed))
            else:
                archive.writestr(place, content if isinstance(content, bytes) else str(content))
    return buffer.getvalue()


def tar_of(tree: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in tree.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def table(header: str, *rows: str, separator: str = ",", folder: str = "photos") -> str:
    """Rows of ten images, good and bad in turns; further columns are `rows`."""
    lines = [header]
    for number in range(20):
        values = [f"{folder}/{number}.jpg", ("good", "bad")[number % 2], *(row.format(number // 4) for row in rows)]
        lines.append(separator.join(values))
    return "\n".join(lines) + "\n"


PHOTOS: Tree = {"photos/{}.jpg": 20}
WHOLE = {"classes": "apple, pear", "counts": "10 / 2 / 12"}
PLAIN = {"classes": "apple, pear", "counts": "14 / 2 / 4"}
TABLE = {"classes": "bad, good", "counts": "14 / 2 / 4", "uri": "labels.csv"}
ACCENTS = ("caf\u00e9", "cafe\u0301", "tea")
BY_VALIDATION = "the validation split is used for test"

CASES = [
    # Splits that hold classes.
    Case("`train/`, `test/`", two("train", "test"), **WHOLE),
    Case("`Training/`, `Test/`, as in Fruits-360", two("Training", "Test"), **WHOLE),
    Case("`TRAIN/`, `TESTING/`", two("TRAIN", "TESTING"), **WHOLE),
    Case("`training_set/`, `test_set/`", two("training_set", "test_set"), **WHOLE),
    Case("`Train_Data/`, `Test_Data/`", two("Train_Data", "Test_Data"), **WHOLE),
    Case("`trainset/`, `testset/`", two("trainset", "testset"), **WHOLE),
    Case("`train-images/`, `test-images/`", two("train-images", "test-images"), **WHOLE),
    Case("`TrainingData/`, `TestData/`", two("TrainingData", "TestData"), **WHOLE),
    Case("`01_train/`, `02_test/`", two("01_train", "02_test"), **WHOLE),
    Case("`flowers_train/`, `flowers_test/`", two("flowers_train", "flowers_test"), **WHOLE),
    Case(
        "`seg_train/seg_train/`, `seg_test/seg_test/`, `seg_pred/`",
        {**two("seg_train/seg_train", "seg_test/seg_test"), "seg_pred/seg_pred": 3},
        **WHOLE,
        says="3 images lie beside the split folders",
    ),
    Case("`trainval/`, `holdout/`", two("trainval", "holdout"), **WHOLE),
    Case(
        "`train/`, `valid/`, `test/`",
        two("train", "valid", "test"),
        classes="apple, pear",
        counts="12 / 12 / 12",
    ),
    Case(
        "`train2017/`, `val2017/`, `test2017/`",
        two("train2017", "val2017", "test2017"),
        classes="apple, pear",
        counts="12 / 12 / 12",
    ),
    Case("`train/`, `dev/`, `test/`", two("train", "dev", "test"), classes="apple, pear", counts="12 / 12 / 12"),
    Case("splits some folders down: `release/data/train/`", two("release/data/train", "release/data/test"), **WHOLE),
    Case(
        "a zip with one folder that holds the splits",
        {"set.zip": zip_of(two("set/train", "set/test"))},
        **WHOLE,
        uri="set.zip",
    ),
    Case(
        "`train/` beside `train_images/`",
        {**two("train", "test"), "train_images/x": 2},
        **WHOLE,
        says="2 images lie beside",
    ),
    Case(
        "`train/` and `training/`", two("train", "training", "test"), refusal="train and training name the same split"
    ),
    # Splits that are not all there.
    Case("`train/`, `validation/`", two("train", "validation"), **WHOLE, says=BY_VALIDATION),
    Case("`train/`, `val/`, as imagenette", two("train", "val"), **WHOLE, says=BY_VALIDATION),
    Case(
        "`train/`, `validation/`, `missing_test=train`",
        two("train", "validation"),
        classes="apple, pear",
        counts="10 / 12 / 2",
        says="were cut off for test",
        settings={"missing_test": "train"},
    ),
    Case(
        "`train/`, `validation/`, `split_by=image`",
        two("train", "validation"),
        classes="apple, pear",
        counts="18 / 2 / 4",
        says="The split was drawn by image",
        settings={"split_by": "image"},
    ),
    Case("`train/` alone", two("dataset/train", images=10), **PLAIN),
    Case(
        "`train/` and a file beside it",
        {**two("train", images=10), "README.md": "x"},
        **PLAIN,
        says="There is no test split",
    ),
    Case(
        "`Training/`, `Tset/`",
        two("Training", "Tset"),
        refusal="no split folder Test (or Testing, test); found Training, Tset",
    ),
    Case("`test/`, `val/` without training", two("test", "val"), refusal="test, val are named like splits"),
    Case(
        "unlabelled `test/` and labelled `train/`",
        {**two("train"), "test": 5},
        refusal="5 images lie in no class folder",
    ),
    Case(
        "the same with `split_by=image`",
        {**two("train", images=10), "test": 5},
        **PLAIN,
        says="left out, having no label",
        settings={"split_by": "image"},
    ),
    Case(
        "unlabelled `test/`, labelled `train/` and `val/`",
        {**two("train", "val"), "test": 5},
        **WHOLE,
        says=BY_VALIDATION,
    ),
    Case(
        "Tiny ImageNet: `train/<class>/images`, `val/images`, `test/images`",
        {"train/n01/images": 6, "train/n02/images": 6, "val/images": 4, "test/images": 4},
        refusal="4 images lie in no class folder",
    ),
    Case(
        "a few images beside the class folders of a split",
        {**two("train", "test"), "train/stray.jpg": drawn_files.encoded(900)},
        **WHOLE,
        says="1 image in train lies in no class folder",
    ),
    Case("images beside the splits", {**two("train", "test"), "more/apple": 3}, **WHOLE, says="more/apple (3)"),
    Case(
        "a class that training lacks",
        {**two("train", "test"), "test/plum": 2},
        refusal="1 of 3 classes have test images but no training images: plum",
    ),
    Case(
        "the same with `incomplete_classes=drop`",
        {**two("train", "test"), "test/plum": 2},
        **WHOLE,
        settings={"incomplete_classes": "drop"},
    ),
    # Splits and classes that could be mistaken for each other.
    Case(
        "`<class>/train`, `<class>/test`",
        {f"{name}/{split}": 6 for name in ("apple", "pear") for split in ("train", "test")},
        **WHOLE,
        says="The splits lie inside the class folders",
    ),
    Case(
        "`train/*.jpg`, `test/*.jpg` without classes",
        {"train": 5, "test": 5},
        refusal="test, train are named like splits",
    ),
    Case(
        "the same with `layout=class_folders`",
        {"train": 10, "test": 10},
        classes="test, train",
        counts="14 / 2 / 4",
        settings={"layout": "class_folders"},
    ),
    Case(
        "classes Bus, Car, Train, Truck",
        dict.fromkeys(("Bus", "Car", "Train", "Truck"), 10),
        classes="Bus, Car, Train, Truck",
        counts="28 / 4 / 8",
    ),
    Case(
        "the same with varieties below them",
        {"Bus/city": 5, "Bus/coach": 5, "Train/steam": 5, "Train/tram": 5},
        classes="Bus, Train",
        counts="14 / 2 / 4",
        says="class_level=last gives 4",
    ),
    Case("`treino/`, `teste/`", two("treino", "teste"), refusal="teste and treino hold the same folders (apple, pear)"),
    Case(
        "the same with `class_level=second`",
        two("treino", "teste", images=5),
        **PLAIN,
        settings={"class_level": "second"},
    ),
    Case(
        "classes with the same varieties, `layout=class_folders`",
        {f"{fruit}/{state}": 5 for fruit in ("apple", "pear") for state in ("fresh", "rotten")},
        **PLAIN,
        settings={"layout": "class_folders"},
    ),
    Case(
        "YOLO: `train/images`, `train/labels`",
        {"train/images": 3, "train/labels/1.txt": "0", "test/images": 3, "test/labels/1.txt": "0"},
        refusal="it holds images, labels: a data set of boxes or masks",
    ),
    Case(
        "MVTec: `<object>/train/good`, `<object>/test/…`",
        {f"{name}/{place}": 3 for name in ("bottle", "cable") for place in ("train/good", "test/good", "test/broken")},
        refusal="2 data sets lie below it: bottle, cable",
    ),
    # Levels.
    Case(
        "`train/Fruit/Apple/Golden`, mixed depths",
        {
            f"{split}/{kind}": 6
            for split in ("train", "test")
            for kind in ("Fruit/Apple/Golden", "Fruit/Apple/Royal", "Fruit/Banana", "Vegetables/Leek")
        },
        classes="Fruit, Vegetables",
        counts="21 / 3 / 24",
        says="class_level=second gives 3, class_level=last gives 4",
    ),
    Case(
        "the same with `class_level=second`",
        {
            f"{split}/{kind}": 6
            for split in ("train", "test")
            for kind in ("Fruit/Apple/Golden", "Fruit/Apple/Royal", "Fruit/Banana", "Vegetables/Leek")
        },
        classes="Apple, Banana, Leek",
        counts="21 / 3 / 24",
        settings={"class_level": "second"},
    ),
    Case(
        "the same with `class_level=last`",
        {
            f"{split}/{kind}": 6
            for split in ("train", "test")
            for kind in ("Fruit/Apple/Golden", "Fruit/Apple/Royal", "Fruit/Banana", "Vegetables/Leek")
        },
        classes="Banana, Golden, Leek, Royal",
        counts="20 / 4 / 24",
        settings={"class_level": "last"},
    ),
    Case(
        "`bolt/M4`, `fasteners/nut/M5`, `class_below=fasteners`",
        dict.fromkeys(("bolt/M4", "bolt/M6", "fasteners/nut/M5", "fasteners/washer"), 10),
        classes="bolt, nut, washer",
        counts="28 / 4 / 8",
        says="class_level=last gives 4",
        settings={"class_below": "fasteners"},
    ),
    Case(
        "the same with `class_below=Fasteners`",
        dict.fromkeys(("bolt/M4", "bolt/M6", "fasteners/nut/M5", "fasteners/washer"), 10),
        refusal="no folder is called Fasteners, which class_below names",
        settings={"class_below": "Fasteners"},
    ),
    Case(
        "folders of one name in two classes, `class_level=last`",
        {"apple/red": 5, "apple/green": 10, "pepper/red": 5},
        classes="green, red",
        counts="14 / 2 / 4",
        says="such as red: apple/red, pepper/red",
        settings={"class_level": "last"},
    ),
    Case(
        "two sets at one depth",
        {**two("a/train", "a/test"), **two("b/train", "b/test")},
        refusal="2 data sets lie below it: a, b",
    ),
    Case(
        "two sets at different depths",
        {**two("a/train", "a/test"), **two("b/c/train", "b/c/test")},
        refusal="2 data sets lie below it: a, b/c",
    ),
    # Classes alone.
    Case("`<class>/*`", {"apple": 10, "pear": 10}, **PLAIN),
    Case("a zip of class folders", {"set.zip": zip_of({"set/apple": 10, "set/pear": 10})}, **PLAIN, uri="set.zip"),
    Case("one class folder only", {"bolt": 5}, refusal="one class folder only (bolt, 5 images)"),
    Case(
        "images and no folders", {"{}.jpg": 5}, refusal="5 images directly in it, such as 0.jpg, but no class folders"
    ),
    Case(
        "images beside a table",
        {"{}.jpg": 5, "labels.csv": "path,label\n0.jpg,a\n"},
        refusal="If labels.csv lists their labels, name it",
    ),
    Case(
        "images beside the class folders",
        {"apple": 10, "pear": 10, "x.jpg": drawn_files.encoded(900)},
        **PLAIN,
        says="1 image lies beside the class folders, such as x.jpg",
    ),
    Case("an empty class folder", {"apple": 10, "pear": 0}, refusal="pear: the class has no files"),
    Case("an empty folder", {}, refusal="no images in it; found no files"),
    Case(
        "`.json` and `.xml` beside the images",
        {"apple": 10, "pear": 10, "apple/a.json": "{}", "pear/b.xml": "<a/>"},
        **PLAIN,
        says="Left out, being no images: 2 files (1 .json, 1 .xml)",
    ),
    Case(
        "hidden files, Thumbs.db, `__MACOSX`",
        {"apple": 10, "pear": 10, "apple/.DS_Store": "x", "apple/Thumbs.db": "x", "__MACOSX/apple/._1.jpg": "x"},
        **PLAIN,
    ),
    Case(
        "class folders that are links to one folder",
        {"pool": 0, "in/apple": 10, "in/red": Path("../pool1"), "in/crimson": Path("../pool1"), "pool1": 10},
        classes="apple, crimson, red",
        counts="21 / 3 / 6",
        says="The classes crimson and red are links to one folder",
        uri="in",
    ),
    Case("a link to the folder that it lies in", {"apple": 10, "pear": 10, "pear/again": Path("..")}, **PLAIN),
    Case("a line separator in a class name", {"one\u2028two": 10, "pear": 10}, refusal="has a line separator in it"),
    Case("a line break in a class name", {"one\ntwo": 10, "pear": 10}, refusal="has a control character u+000a in it"),
    Case(
        "`Apple` in training, `apple` in test",
        {"train/Apple": 6, "test/apple": 6, "train/pear": 6, "test/pear": 6},
        refusal="Apple and apple differ in case only",
    ),
    Case(
        "a split within a split",
        {**two("train", "test"), **two("train/val")},
        refusal="val lies beside classes and holds folders of the same names (apple, pear)",
    ),
    Case(
        "YOLO: `images/train`, `labels/train`",
        {"images/train": 3, "images/val": 3, "labels/train/1.txt": "0"},
        refusal="it holds images, labels: a data set of boxes or masks",
    ),
    Case(
        "folds: `fold1/<class>`, `fold2/<class>`",
        two("fold1", "fold2", "fold3"),
        refusal="fold1 and fold2 hold the same folders (apple, pear)",
    ),
    # Films.
    Case(
        "`frame0001.jpg` in folders, `split_by=film`",
        {"a/x/frame{:04}.jpg": 5, "a/y/frame{:04}.jpg": 5, "b/z/frame{:04}.jpg": 5, "b/w/frame{:04}.jpg": 5},
        classes="a, b",
        counts="8 / 2 / 10",
        says="4 films in 20 images",
        settings={"split_by": "film"},
    ),
    Case(
        "`clip0-frame001.jpg`, `split_by=film`",
        {f"{name}/clip{clip}-frame{{:03}}.jpg": 4 for name in "ab" for clip in range(3)},
        classes="a, b",
        counts="8 / 8 / 8",
        says="6 films in 24 images",
        settings={"split_by": "film"},
    ),
    Case(
        "names without numbers, `split_by=film`",
        {
            f"{name}/{word}.jpg": drawn_files.encoded(number)
            for number, (name, word) in enumerate(
                (n, w) for n in "ab" for w in ("red", "blue", "green", "grey", "pink")
            )
        },
        classes="a, b",
        counts="6 / 2 / 2",
        says="Every image is a film of its own",
        settings={"split_by": "film"},
    ),
    # Tables.
    Case("a table with commas", {**PHOTOS, "labels.csv": table("path,label")}, **TABLE),
    Case(
        "semicolons, as Excel writes in much of Europe",
        {**PHOTOS, "labels.csv": table("path;label", separator=";")},
        **TABLE,
    ),
    Case("Excel's `sep=;` line", {**PHOTOS, "labels.csv": "sep=;\n" + table("path;label", separator=";")}, **TABLE),
    Case(
        "tabs, `.tsv`", {**PHOTOS, "labels.tsv": table("path\tlabel", separator="\t")}, **{**TABLE, "uri": "labels.tsv"}
    ),
    Case("spaces after the commas", {**PHOTOS, "labels.csv": table("path, label", separator=", ")}, **TABLE),
    Case(
        "a byte order mark and line ends of Windows",
        {**PHOTOS, "labels.csv": ("\ufeff" + table("path,label")).replace("\n", "\r\n").encode()},
        **TABLE,
    ),
    Case(
        "UTF-16, as Excel writes Unicode text",
        {**PHOTOS, "labels.csv": table("path\tlabel", separator="\t").encode("utf-16")},
        **TABLE,
    ),
    Case(
        "a split column that says training_set, test_set",
        {
            **PHOTOS,
            "labels.csv": "path,label,split\n"
            + "".join(f"photos/{n}.jpg,{'ab'[n % 2]},{('training_set', 'test_set')[n >= 12]}\n" for n in range(20)),
        },
        classes="a, b",
        counts="10 / 2 / 8",
        uri="labels.csv",
    ),
    Case(
        "a split column without test",
        {
            **PHOTOS,
            "labels.csv": "path,label,split\n"
            + "".join(f"photos/{n}.jpg,{'ab'[n % 2]},{('train', 'val')[n >= 12]}\n" for n in range(20)),
        },
        classes="a, b",
        counts="10 / 2 / 8",
        says=BY_VALIDATION,
        uri="labels.csv",
    ),
    Case(
        "a group column",
        {**PHOTOS, "labels.csv": table("path,label,group", "person {}")},
        classes="bad, good",
        counts="12 / 4 / 4",
        uri="labels.csv",
    ),
    Case(
        "a group in training and in test",
        {
            **PHOTOS,
            "labels.csv": "path,label,split,group\n"
            + "".join(f"photos/{n}.jpg,{'ab'[n % 2]},{('train', 'test')[n % 7 == 0]},{n // 3}\n" for n in range(20)),
        },
        refusal="3 of 7 groups have images in several splits, such as 0, 2, 4",
        uri="labels.csv",
    ),
    Case(
        "the same with `split_by=image`",
        {
            **PHOTOS,
            "labels.csv": "path,label,split,group\n"
            + "".join(f"photos/{n}.jpg,{'ab'[n % 2]},{('train', 'test')[n % 7 == 0]},{n // 3}\n" for n in range(20)),
        },
        classes="a, b",
        counts="14 / 2 / 4",
        says="The split was drawn by image",
        uri="labels.csv",
        settings={"split_by": "image"},
    ),
    Case(
        "a group column, `split_by=film`",
        {**PHOTOS, "labels.csv": table("path,label,group", "person {}")},
        classes="bad, good",
        counts="12 / 4 / 4",
        says="5 films in 20 images",
        uri="labels.csv",
        settings={"split_by": "film"},
    ),
    Case(
        "an image with two labels",
        {**PHOTOS, "labels.csv": table("path,label") + "photos/0.jpg,bad\n"},
        classes="bad, good",
        counts="15 / 2 / 4",
        says="photos/0.jpg: bad and good",
        uri="labels.csv",
    ),
    Case(
        "accents that are stored in two ways",
        {
            **PHOTOS,
            "labels.csv": "path,label\n" + "".join(f"photos/{n}.jpg,{ACCENTS[n % 3]}\n" for n in range(20)),
        },
        classes="caf\u00e9, tea",
        counts="14 / 2 / 4",
        uri="labels.csv",
    ),
    Case(
        "another column name",
        {**PHOTOS, "labels.csv": table("file;label", separator=";")},
        refusal="no column 'path'; found 'file', 'label' (separated by a semicolon)",
        uri="labels.csv",
    ),
    Case(
        "the same with `path_column=file`",
        {**PHOTOS, "labels.csv": table("file;label", separator=";")},
        **TABLE,
        settings={"path_column": "file"},
    ),
    Case(
        "a row with too many values",
        {**PHOTOS, "labels.csv": table("path,label") + "photos/1.jpg,a,b\n"},
        refusal="Expected 2 fields in line 22, saw 3",
        uri="labels.csv",
    ),
    Case(
        "an empty label",
        {**PHOTOS, "labels.csv": "path,label\nphotos/1.jpg,a\nphotos/2.jpg,\n"},
        refusal="line 3: path or label is empty",
        uri="labels.csv",
    ),
    Case(
        "Windows' own encoding",
        {**PHOTOS, "labels.csv": "path,label\nphotos/1.jpg,a\nphotos/2.jpg,caf\u00e9\n".encode("cp1252")},
        refusal="line 3: cannot be read as a table in UTF-8",
        uri="labels.csv",
    ),
    Case(
        "paths without their ending",
        {**PHOTOS, "labels.csv": "path,label\nphotos/1,a\nphotos/2,b\n"},
        refusal="write photos/1.jpg",
        uri="labels.csv",
    ),
    Case(
        "Parquet where pyarrow is missing", {"labels.parquet": b"PAR1"}, refusal="labels.parquet", uri="labels.parquet"
    ),
    Case(
        "a table without a header",
        {**PHOTOS, "labels.csv": table("path,label").partition("\n")[2]},
        refusal="The first line has to name the columns",
        uri="labels.csv",
    ),
    Case(
        "a column that is there twice",
        {**PHOTOS, "labels.csv": table("path,label,label", "x")},
        refusal="column 'label' is there twice",
        uri="labels.csv",
    ),
    Case(
        "an open quote",
        {**PHOTOS, "labels.csv": table("path,label") + 'photos/1.jpg,"a\n'},
        refusal="EOF inside string starting at line 22",
        uri="labels.csv",
    ),
    Case(
        "a label with a line separator",
        {**PHOTOS, "labels.csv": table("path,label") + "photos/1.jpg,a\u2028b\n"},
        refusal="line 22: class name 'a\\u2028b' has a line separator in it",
        uri="labels.csv",
    ),
    Case(
        "one person in all images, `split_by=film`",
        {**PHOTOS, "labels.csv": table("path,label,group", "ann")},
        refusal="groups in all: 1",
        uri="labels.csv",
        settings={"split_by": "film"},
    ),
    Case(
        "a table in a folder, `layout=csv`",
        {**PHOTOS, "labels.csv": table("path,label")},
        classes="bad, good",
        counts="14 / 2 / 4",
        settings={"layout": "csv"},
    ),
    # What is none.
    Case(
        "a zip in a zip",
        {"set.zip": zip_of({"inner.zip": zip_of({"a": 3, "b": 3})})},
        refusal="set.zip: no images, but another archive in it: inner.zip",
        uri="set.zip",
    ),
    Case(
        "CIFAR-10 as published",
        {
            "cifar-10-python.tar.gz": tar_of(
                {"cifar-10-batches-py/data_batch_1": b"x", "cifar-10-batches-py/batches.meta": b"x"}
            )
        },
        refusal="cifar-10-python.tar.gz: CIFAR-10 in its published form",
        uri="cifar-10-python.tar.gz",
    ),
    Case(
        "a login page that was saved as a zip",
        {"set.zip": "<!DOCTYPE html><html><body>Sign in</body></html>"},
        refusal="a web page, not an archive",
        uri="set.zip",
    ),
    Case("a RAR archive", {"set.rar": b"Rar!\x1a\x07\x00"}, refusal="a RAR archive, which is not read", uri="set.rar"),
    Case("a single image", {"a.jpg": drawn_files.encoded(1)}, refusal="a single image", uri="a.jpg"),
    Case("an Excel workbook", {"labels.xlsx": b"x"}, refusal="an Excel workbook, which is not read", uri="labels.xlsx"),
    Case(
        "a zip of texts",
        {"set.zip": zip_of({"a/x.txt": "x", "b/y.txt": "y"})},
        refusal="set.zip: no images in it; found 2 .txt",
        uri="set.zip",
    ),
]

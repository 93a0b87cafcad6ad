"""What is wrong with a data set is said, and nothing half-written is left behind."""

import gzip
import io
import pickle
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from headstart.components.datasets import archives
from headstart.components.datasets.importing import import_dataset
from headstart.components.datasets.packed import PackedDataset
from headstart.components.errors import HeadstartError, SettingError
from tests.datasets import drawn_files


def refused(uri: object, tmp_path: Path, **settings: object) -> str:
    """Import and return the message of the refusal; nothing may be left behind."""
    before = sorted(path for path in tmp_path.iterdir())
    with pytest.raises(HeadstartError) as error:
        import_dataset(str(uri), tmp_path / "out", **{"image_size": 16, **settings})
    assert sorted(path for path in tmp_path.iterdir()) == before
    return str(error.value)


def test_unreadable_images_are_skipped_counted_and_named(tmp_path: Path) -> None:
    root = drawn_files.fruits(tmp_path / "in", train=40, test=10)
    pear = root / "Training" / "Pear"
    whole = (pear / "0_100.jpg").read_bytes()
    (pear / "0_100.jpg").write_bytes(whole[: len(whole) // 2])
    (pear / "2_100.jpg").write_bytes(b"")
    (pear / "4_100.jpg").write_bytes(b"<html>not found</html>")
    description = import_dataset(str(root), tmp_path / "out", image_size=16, skip_share=0.05)
    assert description.skipped == 3
    assert sum(description.counts.values()) == 150 - 3
    text = "\n".join(description.skipped_examples)
    assert "Training/Pear/0_100.jpg: damaged" in text
    assert "Left out: 3 images that cannot be read, such as Training/Pear/0_100.jpg" in description.record().notes[-1]
    assert "Training/Pear/2_100.jpg: the file is empty" in text
    assert "Training/Pear/4_100.jpg: not an image" in text
    images, labels = PackedDataset(tmp_path / "out").split("train")
    assert len(images) == len(labels) == description.counts["train"]


def test_too_many_unreadable_images_end_the_import(tmp_path: Path) -> None:
    root = drawn_files.fruits(tmp_path / "in")
    (root / "Test" / "Kiwi" / "0_100.jpg").write_bytes(b"\xff\xd8 broken")
    message = refused(root, tmp_path)
    assert "1 of 24 images cannot be read" in message
    assert "Test/Kiwi/0_100.jpg" in message


def test_what_a_tree_lacks_is_said(tmp_path: Path) -> None:
    root = drawn_files.fruits(tmp_path / "in")
    (root / "Training" / "Quince").mkdir()
    assert "Quince: the class has no files" in refused(root, tmp_path)
    (root / "Training" / "Quince").rmdir()
    drawn_files.write_tree(root, {"Test/Walnut": 2})
    assert "1 of 4 classes have test images but no training images: Walnut" in refused(root, tmp_path)
    dropped = import_dataset(str(root), tmp_path / "ok", image_size=16, incomplete_classes="drop")
    assert dropped.classes == ["Apple Red 1", "Kiwi", "Pear"]
    assert any("Walnut" in note for note in dropped.notes)
    (root / "Test").rename(root / "Tset")
    assert "no split folder Test" in refused(root, tmp_path)
    assert "Tset" in refused(root, tmp_path)
    (root / "Training").rename(root / "Trainnig")
    assert "found Trainnig, Tset; expected folders Training and Test" in refused(root, tmp_path, layout="fruits360")


def test_settings_are_checked_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="Unknown setting 'imagesize'"):
        import_dataset("/nowhere", tmp_path / "out", imagesize=3)
    with pytest.raises(SettingError, match=r"validation_share.*found 2"):
        import_dataset("/nowhere", tmp_path / "out", validation_share=2)
    with pytest.raises(SettingError, match="no such file or folder"):
        import_dataset("/nowhere", tmp_path / "out")
    with pytest.raises(SettingError, match="no such demonstration data"):
        import_dataset("demo:nuts", tmp_path / "out")


def _bytes(image: Image.Image, kind: str, **how: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **how)
    return buffer.getvalue()


def test_other_kinds_of_images_are_converted_to_rgb(tmp_path: Path) -> None:
    red = Image.new("RGB", (20, 20), (200, 40, 40))
    clear = Image.new("RGBA", (20, 20), (0, 0, 0, 0))
    kinds = {
        "gray.png": (_bytes(Image.new("L", (20, 20), 90), "PNG"), (90, 90, 90)),
        "gray.jpg": (_bytes(Image.new("L", (20, 20), 90), "JPEG"), (90, 90, 90)),
        "palette.gif": (_bytes(red.quantize(4), "GIF"), (200, 40, 40)),
        "cmyk.jpg": (_bytes(Image.new("CMYK", (20, 20), (0, 255, 255, 0)), "JPEG", quality=100), (255, 0, 0)),
        "deep.png": (_bytes(Image.fromarray(np.full((20, 20), 0x5A33, np.uint16)), "PNG"), (0x5A, 0x5A, 0x5A)),
        "alpha.png": (_bytes(clear, "PNG"), (255, 255, 255)),
        "plain.webp": (_bytes(red, "WEBP", lossless=True), (200, 40, 40)),
        "plain.bmp": (_bytes(red, "BMP"), (200, 40, 40)),
    }
    root = drawn_files.fruits(tmp_path / "in", ("a", "b"))
    for name, (content, _) in kinds.items():
        (root / "Test" / "a" / f"z{name}").write_bytes(content)
    description = import_dataset(str(root), tmp_path / "out", image_size=16, near_duplicates=False)
    assert description.converted == {"16-bit": 1, "CMYK": 1, "alpha": 1, "grayscale": 2, "palette": 1}
    images, labels = PackedDataset(tmp_path / "out").split("test")
    own = images[labels == 0][2:]
    for image, (name, (_, colour)) in zip(own, sorted(kinds.items()), strict=True):
        assert np.abs(image.astype(int) - colour).max() <= 3, name


def test_an_image_that_unpacks_to_fill_the_memory_is_skipped(tmp_path: Path) -> None:
    root = drawn_files.fruits(tmp_path / "in", train=60)
    (root / "Training" / "Pear" / "big.png").write_bytes(_bytes(Image.new("1", (20_000, 20_000)), "PNG"))
    description = import_dataset(str(root), tmp_path / "out", image_size=16)
    assert description.skipped == 1
    assert "more than 100 million" in description.skipped_examples[0]


class _Hostile:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        import os

        return os.system, ("touch /tmp/headstart-was-here",)


@pytest.mark.parametrize("form", ["directory", "tar.gz"])
def test_a_hostile_pickle_is_refused_by_the_name_it_asks_for(tmp_path: Path, form: str) -> None:
    folder = drawn_files.write_cifar_python(tmp_path / "cifar-100-python")
    (folder / "train").write_bytes(pickle.dumps({b"data": _Hostile()}, protocol=2))
    source = folder if form == "directory" else drawn_files.tar_of(folder, tmp_path / "c.tar.gz")
    assert "train: refused as a CIFAR-100 file: it asks for posix.system" in refused(source, tmp_path)
    assert not Path("/tmp/headstart-was-here").exists()


@pytest.mark.parametrize("name", [("builtins", "eval"), ("numpy", "load"), ("numpy.lib.npyio", "load")])
def test_only_what_rebuilds_an_array_is_admitted(tmp_path: Path, name: tuple[str, str]) -> None:
    folder = drawn_files.write_cifar_python(tmp_path / "cifar-100-python")
    (folder / "meta").write_bytes(f"c{name[0]}\n{name[1]}\n.".encode())
    assert f"asks for {name[0]}.{name[1]}" in refused(folder, tmp_path)


def test_damaged_cifar_files_are_said_to_be_damaged(tmp_path: Path) -> None:
    folder = drawn_files.write_cifar_python(tmp_path / "python")
    whole = (folder / "test").read_bytes()
    (folder / "test").write_bytes(whole[:-100])
    assert "test: damaged" in refused(folder, tmp_path)
    binary = drawn_files.write_cifar_binary(tmp_path / "binary")
    (binary / "test.bin").write_bytes((binary / "test.bin").read_bytes()[:-1])
    assert "it is cut short" in refused(binary, tmp_path)
    archive = drawn_files.tar_of(drawn_files.write_cifar_python(tmp_path / "cifar-100-python"), tmp_path / "cut.tar.gz")
    archive.write_bytes(archive.read_bytes()[:-2000])
    assert "damaged or cut short" in refused(archive, tmp_path)


def _tar_with(path: Path, member: tarfile.TarInfo, content: bytes = b"") -> Path:
    with tarfile.open(path, "w") as archive:
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    return path


@pytest.mark.parametrize("name", ["../escaped.txt", "/tmp/escaped.txt", "a/../../escaped.txt", "..\\escaped.txt"])
@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_archive_entries_cannot_leave_the_folder(tmp_path: Path, name: str, kind: str) -> None:
    path = tmp_path / f"bad.{kind}"
    if kind == "tar":
        _tar_with(path, tarfile.TarInfo(name), b"bad")
    else:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(name, b"bad")
    assert "leads out of the folder" in refused(path, tmp_path)
    assert not list(tmp_path.parent.rglob("escaped.txt"))


def test_archives_with_links_are_refused(tmp_path: Path) -> None:
    link = tarfile.TarInfo("Training")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc"
    assert "is a link or a device" in refused(_tar_with(tmp_path / "bad.tar", link), tmp_path)
    info = zipfile.ZipInfo("Training")
    info.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as archive:
        archive.writestr(info, "/etc")
    assert "is a link" in refused(tmp_path / "bad.zip", tmp_path)


def test_archives_cannot_grow_without_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "SIZE_LIMIT", 1 << 20)
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for index in range(4):
            archive.writestr(f"{index}.jpg", bytes(400_000))
    assert "unpacks to more than" in refused(tmp_path / "bomb.zip", tmp_path)
    # One entry that claims less than it has; the reader stops at what was claimed, or we at the limit.
    whole = bytearray((tmp_path / "bomb.zip").read_bytes())
    monkeypatch.setattr(archives, "COUNT_LIMIT", 3)
    monkeypatch.setattr(archives, "SIZE_LIMIT", 1 << 30)
    assert "more than 3 entries" in refused(tmp_path / "bomb.zip", tmp_path)
    # The count that the archive itself names is not believed.
    end = whole.rindex(b"PK\x05\x06")
    whole[end + 8 : end + 12] = b"\x01\x00\x01\x00"
    (tmp_path / "bomb.zip").write_bytes(whole)
    assert "more than 3 entries" in refused(tmp_path / "bomb.zip", tmp_path)


def _peak_of(code: str, *arguments: str) -> tuple[str, int]:
    """Run `code` in a process of its own; return what it printed and the most memory it had, in MiB."""
    # Not getrusage's figure, which a process takes over from the one that starts it.
    ending = "\nprint(open('/proc/self/status').read().split('VmHWM:')[1].split()[0])"
    command = [sys.executable, "-c", code + ending, *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=300)
    *printed, peak = done.stdout.splitlines()
    return "\n".join(printed), int(peak) >> 10


_UNPACK = """
import sys
from pathlib import Path
from headstart.components.datasets.archives import is_archive, unpack
from headstart.components.errors import HeadstartError
print(is_archive(Path(sys.argv[1])))
try:
    unpack(Path(sys.argv[1]), Path(sys.argv[2]))
except HeadstartError as error:
    print(error)
"""


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK])
def test_a_header_of_gibibytes_is_refused_unread(tmp_path: Path, kind: bytes) -> None:
    member = tarfile.TarInfo("header")
    member.type, member.size = kind, 3 << 30
    with gzip.open(tmp_path / "bomb.tar.gz", "wb", 1) as archive:
        archive.write(member.tobuf())
        for _ in range(64):  # more than is read of it, and little to write
            archive.write(bytes(1 << 20))
    (tmp_path / "out").mkdir()
    printed, peak = _peak_of(_UNPACK, str(tmp_path / "bomb.tar.gz"), str(tmp_path / "out"))
    assert "refused: a header of 3221225472 bytes precedes an entry; 1048576 are allowed" in printed
    assert peak < 300


def test_folders_count_as_entries_and_are_not_kept_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tarfile.TarInfo("d/")
    folder.type = tarfile.DIRTYPE
    path = tmp_path / "many.tar.gz"
    with gzip.open(path, "wb", 1) as archive:
        archive.write(folder.tobuf() * 3000 + bytes(10240))
    with archives.open_tar(path) as tar:
        assert max(len(tar.members) for _ in archives.members(tar)) <= 1
    monkeypatch.setattr(archives, "COUNT_LIMIT", 2000)
    assert "refused: more than 2000 entries" in refused(path, tmp_path)


@pytest.mark.parametrize("kind", ["tar", "tar.gz", "zip"])
def test_depth_bytes_and_time_are_limited(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def written(name: str, content: bytes) -> Path:
        path = tmp_path / f"archive.{kind}"
        if kind == "zip":
            with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
                archive.writestr(name, content)
        else:
            with tarfile.open(path, "w:gz" if kind == "tar.gz" else "w") as archive:
                member = tarfile.TarInfo(name)
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
        return path

    (tmp_path / "allowed").mkdir()
    archives.unpack(written("a/" * 40 + "x.jpg", b"x"), tmp_path / "allowed")
    deep = written("a/" * 41 + "x.jpg", b"x")
    assert "more than 40 folders within each other" in refused(deep, tmp_path)
    large = written("x.jpg", bytes(9 << 20))
    monkeypatch.setattr(archives, "SIZE_LIMIT", 4 << 20)
    assert "unpacks to more than" in refused(large, tmp_path)
    monkeypatch.setattr(archives, "SIZE_LIMIT", 64 << 30)
    monkeypatch.setattr(archives, "TIME_LIMIT", -1.0)
    assert "takes more than -1 seconds" in refused(large, tmp_path)


def test_sparse_files_are_refused(tmp_path: Path) -> None:
    member = tarfile.TarInfo("holes")
    member.type = tarfile.GNUTYPE_SPARSE
    (tmp_path / "sparse.tar").write_bytes(member.tobuf() + bytes(10240))
    assert "'holes' is a sparse file" in refused(tmp_path / "sparse.tar", tmp_path)
    with tarfile.open(tmp_path / "pax.tar", "w", format=tarfile.PAX_FORMAT) as archive:
        again = tarfile.TarInfo("holes")
        again.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "x"}
        archive.addfile(again)
    assert "is a sparse file" in refused(tmp_path / "pax.tar", tmp_path)


def test_headers_before_headers_without_end_are_refused(tmp_path: Path) -> None:
    member = tarfile.TarInfo("header")
    member.type, member.size = tarfile.XHDTYPE, 0
    (tmp_path / "chain.tar").write_bytes(member.tobuf() * 100_000 + bytes(10240))
    assert "chain.tar" in refused(tmp_path / "chain.tar", tmp_path)


def test_two_data_sets_in_one_archive_are_told_apart_by_the_user(tmp_path: Path) -> None:
    for release in ("fruits-360_100x100", "fruits-360_original-size"):
        drawn_files.fruits(tmp_path / "in" / release)
    assert "2 data sets lie below it: fruits-360_100x100, fruits-360_original-size" in refused(
        tmp_path / "in", tmp_path
    )


def test_a_table_names_the_line_that_is_wrong(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("file,label\na.jpg,x\n")
    assert "no column 'path'; found 'file', 'label'" in refused(table, tmp_path)
    table.write_text("path,label\na.jpg,x\n../b.jpg,y\n")
    assert "line 3: ../b.jpg leads out" in refused(table, tmp_path)
    table.write_text("path,label,split\na.jpg,x,trian\n")
    assert "line 2: split 'trian'" in refused(table, tmp_path)


def test_a_failed_import_leaves_the_earlier_one_as_it_was(tmp_path: Path) -> None:
    root = drawn_files.fruits(tmp_path / "in")
    first = import_dataset(str(root), tmp_path / "out", image_size=16)
    (root / "Test" / "Kiwi" / "0_100.jpg").write_bytes(b"")
    with pytest.raises(HeadstartError):
        import_dataset(str(root), tmp_path / "out", image_size=16)
    assert PackedDataset(tmp_path / "out").description.digest == first.digest
    PackedDataset(tmp_path / "out").verify()

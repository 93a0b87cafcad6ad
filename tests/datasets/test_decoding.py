"""Files decoded by several processes come out as by one, and what goes wrong there is said here."""

import contextlib
import errno
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from headstart.components.datasets import images, packing, resizing
from headstart.components.datasets.decoding import Decoders
from headstart.components.datasets.folders import composed
from headstart.components.datasets.importing import import_dataset
from headstart.components.datasets.reading import Reading
from headstart.components.errors import HeadstartError
from tests.datasets import drawn_files
from tests.datasets.hostile_images import ENDS_EARLY, hostile
from tests.processes import alive


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """600 images of two classes in several formats, modes and sizes; every 40th is damaged."""
    root = tmp_path / "tree"
    for number in range(600):
        kind = ("PNG", "JPEG", "BMP")[number % 3]
        content = drawn_files.encoded(number, kind, ((20, 20), (31, 17))[number % 2], "L" if number % 7 == 0 else "RGB")
        folder = root / ("test" if number % 5 == 0 else "train") / f"class {number % 2}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number:03d}.{kind.lower()}").write_bytes(content[: 30 if number % 40 == 7 else None])
    return root


def test_processes_give_the_same_as_one(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    descriptions, pixels = [], []
    for name, least in (("here", 10**9), ("there", 0)):
        monkeypatch.setattr(packing, "_WORTH_PROCESSES", least)
        folder = tmp_path / name
        descriptions.append(import_dataset(str(tree), folder, image_size=16, workers=3, skip_share=0.1))
        pixels.append({split: np.load(folder / split / "images.npy") for split in ("train", "validation", "test")})
    assert descriptions[0] == descriptions[1]
    assert descriptions[0].skipped == 15
    assert descriptions[0].converted == {"grayscale": 86 - 3}
    assert sum(descriptions[0].counts.values()) == 585
    for split, here in pixels[0].items():
        assert len(here) == descriptions[0].counts[split]
        np.testing.assert_array_equal(here, pixels[1][split])


@pytest.mark.parametrize(
    ("count", "reading"),
    [(1999, Reading("apply")), (2000, Reading("apply", "crop", "scaled")), (2001, Reading("ignore", "pad"))],
)
def test_hostile_images_come_out_alike_on_every_path(count: int, reading: Reading, tmp_path: Path) -> None:
    """From 2,000 files on processes decode; below, and with one worker, this process does, image by image."""
    root, files = tmp_path / os.fsdecode(b"caf\xe9"), hostile()
    for number in range(count):
        name, content = (
            list(files.items())[number // 20 % len(files)]
            if number % 20 == 3
            else ("plain.jpg", drawn_files.encoded(number, size=(9, 9), mode="L" if number % 3 else "RGB"))
        )
        folder = root / ("test" if number % 5 == 0 else "train") / os.fsdecode(b"class \xe9%d" % (number % 2))
        folder.mkdir(parents=True, exist_ok=True)
        (folder / os.fsdecode(b"%04d-\xff-" % number + name.encode())).write_bytes(content)
    outcomes = []
    for workers in (1, 3):
        out = tmp_path / str(workers)
        description = import_dataset(str(root), out, image_size=16, workers=workers, skip_share=0.1, **asdict(reading))
        arrays = {
            name: np.load(out / name) for name in ("train/images.npy", "validation/labels.npy", "test/images.npy")
        }
        outcomes.append((description.model_dump(exclude={"settings", "checksum"}), arrays))
    assert outcomes[0][0] == outcomes[1][0]
    for name, array in outcomes[0][1].items():
        np.testing.assert_array_equal(array, outcomes[1][1][name])
    about = outcomes[0][0]
    assert about["classes"] == ["class \\xe90", "class \\xe91"]
    # What Pillow alone makes of the test images, resized one by one.
    expected = []
    for path in sorted(root.glob("test/*/*"), key=lambda path: (path.parent.name, composed(path.name))):
        if not any(path.name.endswith(name) for name in ENDS_EARLY):
            with contextlib.suppress(images.UnreadableImageError):
                found = images._decode_any(path.read_bytes(), 16, reading)
                whole = resizing.fit_alike([found.pixels], 16, reading.fit)[0]
                expected.append(resizing.turned(whole, found.mark))
    np.testing.assert_array_equal(outcomes[0][1]["test/images.npy"], np.stack(expected))
    assert about["skipped"] == count - sum(about["counts"].values()) > 10
    marked = {"orientation mark"} if reading.orientation == "apply" else set()
    assert {"16-bit", "CMYK", "LAB", "alpha", "grayscale", "palette"} | marked == set(about["converted"])
    assert about["reading"] == asdict(reading)


def everything(decoders: Decoders, file: Path, paths: list[str]) -> None:
    """Have every decoder work once, so that the one in another process does too."""
    for _ in range(2):
        decoders.decode(file, 128, paths)


def test_a_process_that_is_killed_is_named(tree: Path, tmp_path: Path) -> None:
    target = tmp_path / "images.npy"
    target.write_bytes(b"")
    with pytest.raises(HeadstartError, match=r"status -9"), Decoders(2, tree, 16, Reading()) as decoders:
        os.kill(decoders._processes[0].pid, signal.SIGKILL)
        everything(decoders, target, ["train/class 0/002.bmp"])


def test_a_full_disk_in_another_process_is_the_same_error_here(tree: Path) -> None:
    with Decoders(2, tree, 16, Reading()) as decoders:
        decoders._idle.get()  # so that the other process has to do it
        with pytest.raises(OSError, match="No space left") as raised:
            decoders.decode(Path("/dev/full"), 0, ["train/class 0/002.bmp"])
    assert raised.value.errno == errno.ENOSPC
    assert raised.value.filename == "/dev/full"


def test_processes_end_with_their_decoders(tree: Path) -> None:
    with Decoders(3, tree, 16, Reading()) as decoders:
        processes = decoders._processes
        assert [process.poll() for process in processes] == [None, None]
    assert [process.returncode for process in processes] == [0, 0]


def test_decoders_do_not_outlive_a_killed_import(tree: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from headstart.components.datasets.decoding import Decoders; "
        "from headstart.components.datasets.reading import Reading; "
        "started = Decoders(3, Path(sys.argv[1]), 16, Reading())._processes; "
        "print(*(each.pid for each in started), flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(tree)], stdout=subprocess.PIPE, text=True) as started:
        assert started.stdout is not None
        decoders = [int(pid) for pid in started.stdout.readline().split()]
        started.kill()
    assert len(decoders) == 2
    deadline = time.monotonic() + 30
    while alive(decoders):
        assert time.monotonic() < deadline, "a decoder is still there"
        time.sleep(0.05)

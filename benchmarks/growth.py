"""How cost grows: with images, with runs, with classes. The exponent of a log-log fit: 1 is linear, 0 is constant."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from benchmarks import orchestration, report_rendering
from benchmarks.results import Entry, number
from benchmarks.timing import python, run_measured
from headstart.components.atomic_files import write_json

SECTION = "growth"
IMAGES = (1_000, 4_000, 16_000, 60_000)
RUNS = (1, 10, 100, 1_000)
CLASSES = (3, 30, 300, 1_000)
# Above linear by more than what the fit of a few noisy points can be off.
LIMIT = "<= 1.1"


def exponent(sizes: Sequence[float], values: Sequence[float]) -> float:
    """Slope of the least-squares line through log(size), log(value), over the upper half of the sizes' decades.

    Small sizes measure what is paid once; where growth is to be seen is at the large ones.
    """
    floor = np.sqrt(min(sizes) * max(sizes))
    chosen = [(size, value) for size, value in zip(sizes, values, strict=True) if size >= floor]
    x, y = np.log([size for size, _ in chosen]), np.log([max(value, 1e-9) for _, value in chosen])
    return float(np.polyfit(x, y, 1)[0])


def draw_folders(folder: Path, images: int, classes: int) -> None:
    """Write random images as PNG into train/<class> and test/<class>: a fifth is test, at least one a class."""
    from PIL import Image

    rng = np.random.default_rng(classes)
    for number_of in range(images):
        label = number_of % classes
        split = "test" if (number_of // classes) % 5 == 0 else "train"
        target = folder / split / f"class {label:04d}"
        target.mkdir(parents=True, exist_ok=True)
        # Few distinct values, so that drawing does not take longer than what is measured.
        pixels = rng.integers(0, 256, (8, 8, 3), np.uint8).repeat(4, 0).repeat(4, 1)
        Image.fromarray(pixels).save(target / f"{number_of:06d}.png", compress_level=1)


def import_cost(work: Path, images: int, classes: int) -> tuple[float, float]:
    """Processor seconds and peak MiB of importing `images` drawn images of `classes` classes."""
    with tempfile.TemporaryDirectory(dir=work) as scratch:
        folders = Path(scratch, "drawn")
        draw_folders(folders, images, classes)
        specification = Path(scratch, "specification.json")
        arguments = {"uri": str(folders), "folder": str(Path(scratch, "packed")), "layout": "image_folder"}
        write_json(specification, {"part": "import", "arguments": arguments})
        found = run_measured(python("benchmarks.ours", specification), work / "growth.log")
    return found.cpu, found.peak_bytes / 2**20


def package_bytes(runs: int) -> float:
    """Bytes of the compiled experiment whose default is `runs` runs, without that list of seeds itself."""
    import yaml
    from kfp import compiler

    from headstart.pipelines.experiment import experiment

    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch, "experiment.yaml")
        seeds = list(range(1, runs + 1))
        compiler.Compiler().compile(experiment(), str(file), pipeline_parameters={"seeds": seeds})
        package = next(yaml.safe_load_all(file.read_text(encoding="utf-8")))
    assert len(package["root"]["inputDefinitions"]["parameters"]["seeds"].pop("defaultValue")) == runs
    return len(yaml.safe_dump(package))


def _row(key: str, what: str, sizes: Sequence[int], values: Sequence[float], unit: str, limit: str = LIMIT) -> Entry:
    points = ", ".join(f"{size:,}: {number(value)}" for size, value in zip(sizes, values, strict=True))
    found = exponent(sizes, values)
    note = f"{points} {unit}"
    return Entry(f"{SECTION}/{key}", SECTION, f"{what}, exponent", "", [found], target=limit, note=note)


def _series(key: str, what: str, sizes: Sequence[int], cost: Callable[[int], tuple[float, float]]) -> list[Entry]:
    found = [cost(size) for size in sizes]
    seconds, memory = [one[0] for one in found], [one[1] for one in found]
    return [
        _row(key, f"{what}, processor time", sizes, seconds, "s"),
        _row(f"{key}-memory", f"{what}, peak memory", sizes, memory, "MiB"),
    ]


def measure(work: Path, keep: Callable[[list[Entry]], object]) -> list[Entry]:
    """Measure all, in processor seconds, which neighbours disturb least; `keep` gets each series when it is there."""
    work.mkdir(parents=True, exist_ok=True)

    def rendered(runs: int, classes: int = 3) -> tuple[float, float]:
        found = report_rendering.render(work, runs, classes=classes)
        return found.cpu, found.peak_bytes / 2**20

    def orchestrated(runs: int) -> tuple[float, float]:
        measured, _ = orchestration.run_no_op(work, runs)
        shutil.rmtree(work / "no-op", ignore_errors=True)
        return measured.cpu, measured.peak_bytes / 2**20

    sizes = [package_bytes(runs) for runs in RUNS]
    rows = [_row("package", "compiled package by runs", RUNS, sizes, "bytes", "<= 0.05")]
    keep(rows)
    for key, what, counts, cost in (
        ("report-runs", "report by runs", RUNS, rendered),
        ("report-classes", "report of 23 records by classes", CLASSES, lambda size: rendered(10, size)),
        ("import-images", "import by images", IMAGES, lambda size: import_cost(work, size, 100)),
        ("import-classes", "import of 10,000 images by classes", CLASSES, lambda size: import_cost(work, 10_000, size)),
        ("runner-runs", "local runner by no-op runs", RUNS, orchestrated),
    ):
        found = _series(key, what, counts, cost)
        keep(found)
        rows += found
    return rows

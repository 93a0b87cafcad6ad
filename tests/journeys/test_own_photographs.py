"""A newcomer with photographs: every command of docs/own-images.md in its order, then the report in a browser."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.datasets.drawn_files import tar_of, write_cifar_python
from tests.journeys.documented import NO_TRAINING, commands, run

pytestmark = pytest.mark.slow
DOCUMENT = "docs/own-images.md"
# What makes a command small; its words stay those of the document.
TINY = ["--set", "epochs=2", "--set", "patience=0", "--set", "precision=float32"]
SMALLER = {
    "run": ["--preset", "demo", "--runs", "2", "--preparations", "1", "--draws", "1", *TINY],
    # Latency differs by chance on a machine that does other things too.
    "retrain": ["--runs", "1", *TINY[2:], "--set", "epochs=12", "--rule", "latency_ratio=0"],
}
KINDS = ("jpg", "png", "webp", "avif", "gif", "bmp")


def photograph(path: Path, seed: int, colour: tuple[int, int, int]) -> None:
    """One picture of a colour, as files turn up: in several formats, gray borders, turned, with a palette."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(0, 25, (24 + seed % 5, 40, 1)) + np.array(colour)
    image = Image.fromarray(noise.clip(0, 255).astype(np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 1 + seed % 8
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **({"exif": exif} if path.suffix in (".jpg", ".png", ".webp", ".avif") else {}))


RED, GREEN = (190, 60, 50), (60, 160, 70)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("newcomer")
    tar_of(write_cifar_python(folder / "cifar-100-python"), folder / "cifar-100-python.tar.gz")
    for number in range(96):
        name = f"burst{number // 6}_{number:04d}.{KINDS[number % len(KINDS)]}"
        for kind, label in (("bolt", RED), ("nut", GREEN)):
            seed = number * 2 + (kind == "nut")
            # In the first set more are in the wrong folder than in the right one.
            wrong = number % 5 < 3
            colour = (GREEN if label == RED else RED) if wrong else label
            photograph(folder / "parts" / kind / name, seed, colour)
            photograph(folder / "parts-corrected" / kind / name, seed + 1000, label)
    for number in range(24):
        for index, kind in enumerate(("bolt", "screw", "washer")):
            colour = (80 * index, 200 - 60 * index, 128)
            photograph(folder / "catalogue" / kind / f"{kind}{number}.jpg", 5000 + number * 3 + index, colour)
    for number in range(20):
        photograph(folder / "photos" / f"{number}.png", 9000 + number, RED if number % 2 else GREEN)
    rows = [f"photos/{number}.png,{'ab'[number % 2]},part {number // 4}" for number in range(20)]
    (folder / "labels.csv").write_text("\n".join(["path,label,group", *rows]) + "\n")
    photograph(folder / "new-photographs" / "new.jpg", 1, RED)
    photograph(folder / "new-photographs" / "new.avif", 2, GREEN)
    return folder


@pytest.fixture(scope="module")
def printed(place: Path) -> dict[str, str]:
    """What each command of the document printed, by its words."""
    found = {}
    for words in commands(DOCUMENT):
        more, variables = SMALLER.get(words[0], []), {}
        if words[0] == "run" and "--target" not in words:
            more, variables = [*more, "--dry-run"], NO_TRAINING
        # A run of two epochs may well be unsound, which is status 3.
        found[" ".join(words)] = run(words, place, *more, statuses=(0, 3) if words[0] == "run" else (0,), **variables)
    return found


def only(printed: dict[str, str], *begins: str) -> str:
    (found,) = [text for words, text in printed.items() if words.startswith(" ".join(begins))]
    return found


def test_what_came_in_is_counted(printed: dict[str, str], place: Path) -> None:
    about = json.loads((place / "packed/parts/dataset.json").read_text())
    assert about["classes"] == ["bolt", "nut"]
    assert sum(about["counts"].values()) == 192
    assert about["settings"]["split_by"] == "film"
    assert about["converted"]["orientation mark"] > 80
    table = json.loads((place / "packed/labels/dataset.json").read_text())
    assert table["group_digests"]  # the groups go with the images


def test_the_run_leaves_a_report_and_models(printed: dict[str, str], place: Path) -> None:
    summary = json.loads((place / "outputs/parts/summary.json").read_text())
    assert summary["arms"]["baseline"]["runs"] == summary["arms"]["transfer"]["runs"] == 2
    assert (place / "report-again/report.html").is_file()
    described = json.loads((place / "outputs/parts/model/final.json").read_text())
    assert described["reading"] == {"orientation": "apply", "fit": "stretch", "decoding": "exact"}


def test_new_photographs_are_classified(printed: dict[str, str]) -> None:
    text = only(printed, "predict")
    assert "new-photographs/new.jpg" in text
    assert "new-photographs/new.avif" in text
    assert "%" in text


def test_the_corrected_data_are_promoted_and_rolled_back(printed: dict[str, str], place: Path) -> None:
    assert "version 2" in only(printed, "retrain --data parts-corrected").lower()
    assert "2" in only(printed, "models list")
    pointer = json.loads((place / "models/current.json").read_text())
    assert pointer["version"] == 1


@pytest.mark.browser
def test_a_browser_shows_the_report(printed: dict[str, str], place: Path) -> None:
    from playwright.sync_api import sync_playwright

    path = os.environ.get("HEADSTART_CHROMIUM") or shutil.which("chromium")
    if path is None:
        pytest.skip("no Chromium: HEADSTART_CHROMIUM names none and none is on the PATH")
    said: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto((place / "outputs/parts/report.html").as_uri())
        text = page.inner_text("body")
        browser.close()
    assert said == []
    assert "bolt" in text

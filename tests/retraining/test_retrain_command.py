"""`headstart retrain` as a person or cron calls it: the whole pipeline on kfp.local, with real training."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small_data import COLOURS

from headstart.components.promotion.store import ModelStore, open_store
from tests.json_results import read_result

pytestmark = pytest.mark.slow

COMMAND = [str(Path(sys.executable).parent / "headstart"), "retrain", "--as-is"]
SHORT = ["--runs", "1", "--set", "epochs=3", "--set", "patience=0"]


def draw(folder: Path, classes: tuple[str, ...], seed: int, train: int = 30, test: int = 12) -> Path:
    """An image folder of noisy plain colours, as people keep their own images."""
    rng = np.random.default_rng(seed)
    for split, count in (("train", train), ("test", test)):
        for name in classes:
            (folder / split / name).mkdir(parents=True)
            for number in range(count):
                pixels = np.clip(COLOURS[name] + rng.normal(0, 30, (52, 52, 3)), 0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(folder / split / name / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The network with random weights: what a fine-tuned model looks like, though it has learnt nothing."""
    from headstart.components.training.export import save_model
    from headstart.components.training.networks.paper import build_network

    folder = tmp_path_factory.mktemp("prepared") / "model"
    save_model(build_network(52, 5), folder, {"classes": list("abcde"), "image_size": 52, "first_stride": 1})
    return folder


def retrain(store: ModelStore, data: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, "--data", str(data), "--store", store.uri, *SHORT, *arguments],
        capture_output=True, text=True, timeout=600, check=False, env={**os.environ, "COLUMNS": "200"},
    )  # fmt: skip


def test_from_the_first_model_to_data_that_cannot_be_used(store: ModelStore, prepared: Path, tmp_path: Path) -> None:
    data = draw(tmp_path / "data", ("apple", "pears", "noise"), seed=0)
    nothing_prepared = retrain(store, data)
    assert nothing_prepared.returncode == 2
    assert "keeps no prepared model yet" in nothing_prepared.stderr

    first = retrain(store, data, "--model", str(prepared))
    assert first.returncode == 0, first.stdout + first.stderr
    assert "Promoted: version 1 is the first in use." in first.stdout
    assert f"In use: version 1, {store.uri}/versions/1/serving" in first.stdout
    manifest = store.manifest(1)
    assert (manifest.classes, manifest.seed, manifest.data_counts["test"]) == (["apple", "noise", "pears"], 1, 36)
    assert {"serving/1/saved_model.pb", "model/model.keras", "record.json", "report.html"} <= set(manifest.files)

    unchanged = retrain(store, data, "--json")
    assert unchanged.returncode == 0
    assert read_result("retrain", unchanged.stdout)["status"] == "unchanged"
    assert "Nothing to do: version 1 was trained on exactly these data." in unchanged.stderr
    assert "Train the last stage" not in unchanged.stderr

    shutil.rmtree(data / "train" / "noise")
    shutil.rmtree(data / "test" / "noise")
    missing = retrain(store, data)
    assert missing.returncode == 1
    assert "The data lack the class noise, which version 1 knows." in missing.stdout
    assert "The whole log is" in missing.stdout

    assert [outcome.status for outcome in store.outcomes()] == ["promoted", "unchanged", "unusable"]
    assert [one.manifest.version for one in store.versions() if one.current] == [1]


def test_corrupt_images(prepared: Path, tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))
    data = draw(tmp_path / "data", ("apple", "pears"), seed=1)
    (data / "train" / "apple" / "3.png").write_bytes(b"not an image")
    refused = retrain(store, data, "--model", str(prepared))
    assert refused.returncode == 1
    assert "3.png" in refused.stderr
    assert "skip_share" in refused.stderr
    assert store.pointer() == (None, "")
    few = retrain(
        store,
        data,
        "--model",
        str(prepared),
        "--data-setting",
        "skip_share=0.1",
        "--rule",
        "minimum_training_images=50",
    )
    assert few.returncode == 1
    unread, outcome = store.outcomes()
    assert unread.status == "failed"
    assert "3.png" in unread.reasons[0], "what an import refuses is in the history"
    few_images, left_out = outcome.reasons
    assert re.fullmatch(
        r"Too few train images: apple 2[67], pears 27; minimum_training_images asks for 50 in each class\.", few_images
    )
    assert left_out.startswith("1 of 84 images could not be read and were left out (1.2%), the first: ")
    assert "3.png" in left_out
    assert few_images in " ".join(few.stdout.split())


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGKILL])
def test_a_retraining_that_is_ended_leaves_the_model_in_use(
    sent: signal.Signals, prepared: Path, tmp_path: Path
) -> None:
    store = open_store(str(tmp_path / "store"))
    data = draw(tmp_path / "data", ("apple", "pears"), seed=2)
    log = tmp_path / "log"
    with subprocess.Popen(
        [*COMMAND, "--data", str(data), "--store", store.uri, "--model", str(prepared), *SHORT, "--log", str(log)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},  # so that its processes can be told by their arguments
    ) as process:  # fmt: skip
        assert process.stdout is not None
        told = ""
        while "Anything to learn?" not in told:  # what follows is training
            line = process.stdout.readline()
            assert line, f"it never came to training: {told}"
            told += line
        time.sleep(1)
        assert process.poll() is None
        process.send_signal(sent)
        output = process.communicate(timeout=120)[0]
    if sent == signal.SIGTERM:
        assert process.returncode == 130
        assert "Interrupted. No model is in use." in output
    assert store.pointer() == (None, "")
    assert store.outcomes() == []
    assert _children_of(log) == []


def _children_of(log: Path) -> list[str]:
    """Command lines of processes that still work for a run; they get a moment to see that nobody waits for them."""
    for _ in range(300):
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdecimal():
                try:
                    line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                except OSError:
                    continue
                if str(log.parent) in line:
                    found.append(line)
        if not found:
            break
        time.sleep(0.1)
    return found

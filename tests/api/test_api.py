"""The Python API: a real experiment through it, its frames beside its summary, what the docs say of it."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import headstart

ROOT = Path(__file__).parents[2]
NOTEBOOK = ROOT / "docs/examples/experiment.ipynb"


def test_importing_it_imports_nothing_heavy() -> None:
    code = "import sys, headstart; print([m for m in ('kfp', 'tensorflow', 'pandas', 'numpy') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_public_name_is_there_and_documented() -> None:
    text = (ROOT / "docs/python-api.md").read_text(encoding="utf-8")
    for name in headstart.__all__:
        value = getattr(headstart, name)
        assert value.__doc__, name
        assert f"`{name}" in text or f"headstart.{name}" in text or name == "ModelStore", name
    with pytest.raises(AttributeError):
        _ = headstart.nothing_of_this_name


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The notebook, run from a folder of its own; its figures are drawn without a display."""
    folder = tmp_path_factory.mktemp("notebook")
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    (folder / "cells.py").write_text(code + "\nprint(len(axes.lines), list(curves.columns))\n", encoding="utf-8")
    environ = {**os.environ, "MPLBACKEND": "agg"}
    done = subprocess.run(
        [sys.executable, "cells.py"], cwd=folder, env=environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.rstrip().endswith("2 ['baseline', 'transfer']")
    return folder / "outputs" / "notebook"


@pytest.mark.slow
def test_the_notebook_runs_and_its_frames_agree_with_the_summary(ran: Path) -> None:
    summary, runs, epochs = headstart.load_summary(ran), headstart.load_runs(ran), headstart.load_epochs(ran)
    assert sorted(runs.arm) == ["baseline", "baseline", "final", "finetune", "pretrain", "transfer", "transfer"]
    phases = ["startup", "data", "compile", "train", "evaluate", "checkpoint", "repeated"]
    assert np.allclose(runs[phases].sum(axis=1), runs.total)
    assert runs.dataset.str.len().eq(64).all()
    for arm in ("baseline", "transfer"):
        rows = runs[runs.arm == arm]
        assert np.isclose(rows.train.median(), summary.arms[arm].train_seconds.median)
        assert np.isclose(rows.test_accuracy.mean(), summary.arms[arm].accuracy.mean)
        assert len(epochs[epochs.arm == arm]) == rows.epochs.sum()


@pytest.mark.slow
def test_report_compare_and_predict(ran: Path, tmp_path: Path) -> None:
    again = headstart.report(ran, tmp_path / "report", confidence=0.9)
    assert again.confidence == 0.9
    assert (tmp_path / "report/report.html").is_file()
    assert not any(judged.verdict == "worse" for judged in headstart.compare(ran, ran).judgements)
    from PIL import Image

    Image.new("RGB", (60, 60), (200, 30, 30)).save(tmp_path / "red.png")
    (tmp_path / "broken.png").write_bytes(b"\x89PNG")
    found = headstart.predict(ran / "model/final.keras", [tmp_path / "red.png", tmp_path / "broken.png"], top=3)
    good = found[found.image.str.endswith("red.png")]
    assert list(good["rank"]) == [1, 2, 3]
    assert np.isclose(good.probability.sum(), 1, atol=1e-5)
    assert (found[found.image.str.endswith("broken.png")].error != "").all()


@pytest.mark.slow
def test_a_run_writes_the_file_that_repeats_it(ran: Path) -> None:
    text = (ran / "run.yaml").read_text(encoding="utf-8")
    assert re.match(r"# Options of a run by Headstart", text)

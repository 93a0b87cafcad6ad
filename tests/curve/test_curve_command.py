"""`headstart curve` as a user runs it: real processes on a small share of the drawn data, and what it refuses."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from headstart.components.records import read_record

SMALL = ["--data-setting", "images_per_class=12", "--images-per-class", "12", "--image-size", "40"]
SMALL += ["--set", "epochs=2", "--set", "patience=0"]
CURVE = ["--sizes", "4,12", "--runs", "2", "--draws", "2"]


def curve(*arguments: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "headstart", "curve", *arguments],
        capture_output=True,
        text=True,
        timeout=1200,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.slow
def test_a_whole_curve_with_its_models_and_another_on_the_models_that_it_made(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    status, out = curve(*SMALL, *CURVE, "--price-per-label", "0.5", "--output", str(first))
    assert status in (0, 3), out  # two runs of an arm are too few to be sound
    names = {
        f"{arm}-n{size}-{rest}" for arm in ("baseline", "transfer") for size in (4, 12) for rest in ("01", "p0-d1-02")
    }
    records = {path.stem: read_record(path) for path in (first / "records").glob("*.json")}
    assert records.keys() == names | {"pretrain", "finetune", "final"}
    assert all(record.status == "succeeded" for record in records.values())
    small, large = records["baseline-n4-01"], records["baseline-n12-01"]
    assert small.subset is not None and (small.subset.size_per_class, small.subset.images) == (4, 12)
    assert small.data is not None and large.data is not None
    assert (small.data.counts["train"], large.data.counts["train"]) == (12, 36)
    assert small.data.counts["test"] == large.data.counts["test"]
    assert small.data.digest == records["transfer-n4-01"].data.digest  # type: ignore[union-attr]
    assert small.data.digest != records["baseline-n4-p0-d1-02"].data.digest  # type: ignore[union-attr]
    summary = json.loads((first / "summary.json").read_text())
    assert [(row["arm"], row["size"], row["runs"]) for row in summary["curve"]] == [
        (arm, size, 2) for arm in ("baseline", "transfer") for size in (12, 36)
    ]
    assert summary["labels_saved"]["size"] == 36
    assert summary["answer"].startswith("For 36 images ")

    status, out = curve(*SMALL, *CURVE, "--prepared", str(first), "--output", str(second))
    assert status in (0, 3), out
    again = {path.stem: read_record(path) for path in (second / "records").glob("*.json")}
    assert again.keys() == names
    for name, record in again.items():
        before = records[name]
        assert record.data is not None and before.data is not None
        assert (record.data.digest, record.initial_model) == (before.data.digest, before.initial_model)
    seen = again["transfer-n4-01"].seen_before
    assert seen == records["transfer-n4-01"].seen_before and seen is not None
    assert "no record of" not in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--sizes", "12"], "alone is no curve"),
        (["--sizes", "a,b"], "expected whole numbers such as 12,25,50, or auto"),
        (["--sizes", "4,12", "--images-per-class", "8"], "the target set has 8"),
        (["--prepared", "absent"], "no such file or folder"),
        (["--prepared", "."], "holds no prepared model"),
        (["--prepared", ".", "--preparations", "2"], "--preparations: the prepared models are given"),
        (["--prepared", ".", "--hold-out-target"], "--hold-out-target: the prepared models are given"),
    ],
)
def test_what_makes_no_curve_is_refused_before_anything_starts(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    status, out = curve(*arguments, "--output", str(tmp_path / "output"))
    assert status == 2, out
    assert message in " ".join(out.split())
    assert not (tmp_path / "output").exists()

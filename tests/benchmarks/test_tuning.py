"""Tuning of both arms: the same trials, chosen on validation, test images looked at only when asked for."""

import json
from pathlib import Path

import pytest

from benchmarks import tuning
from headstart.components.training.settings import resolve


def test_trials_are_the_presets_and_others_of_no_more_epochs() -> None:
    trials = tuning.drawn(12, 20)
    assert trials[0] == {}
    assert len({json.dumps(trial) for trial in trials}) == 12
    assert trials == tuning.drawn(12, 20)
    assert {trial["epochs"] for trial in trials[1:]} <= {10, 15, 20}
    for trial in [*trials, *tuning.momenta()]:
        given = resolve("fast", "baseline", {f"target.{name}": value for name, value in trial.items()}).recipe
        usual = resolve("fast", "baseline").recipe
        assert {name: value for name, value in given if value != getattr(usual, name)}.items() <= trial.items()


def test_the_best_has_the_highest_accuracy_and_of_equals_the_lowest_loss() -> None:
    good = [{"validation": 0.9, "loss": 0.5}, {"validation": 1.0, "loss": 0.3}]
    sure = [{"validation": 1.0, "loss": 0.2}, {"validation": 0.9, "loss": 0.2}]
    worse = [{"validation": 0.9, "loss": 0.0}] * 2
    assert min([good, worse, sure], key=tuning.rank) is sure


def test_the_test_images_are_looked_at_once_for_what_was_chosen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    trained = []

    def train(self, arm: str, trial: tuning.Trial, seed: int, test: bool) -> dict[str, float | None]:
        trained.append((arm, trial, seed, test))
        good = trial.get("dropout", 0.2) == 0.5
        return {"validation": 0.9 if good else 0.8, "loss": 0.1, "seconds": 2.0, "test": 0.7 if test else None}

    monkeypatch.setattr(tuning.Trainer, "_train", train)
    (tmp_path / "dataset.json").write_text('{"digest": "1"}')
    command = ["--target", str(tmp_path), "--output", str(tmp_path / "out.json"), "--arms", "baseline", "--seeds", "2"]
    assert tuning.main(command) == 0
    looked = [(arm, trial, seed) for arm, trial, seed, test in trained if test]
    (chosen,) = {json.dumps(trial) for _, trial, _ in looked if trial}
    assert json.loads(chosen)["dropout"] == 0.5
    assert sorted(seed for _, _, seed in looked) == [1001, 1001, 1002, 1002]
    assert len(trained) == 12 * 2 + 4
    table = capsys.readouterr().out
    assert (
        table.splitlines()[-1]
        == "| baseline | the preset's | 80.00 ± 0.00 | 0.10 ± 0.00 | 2.00 ± 0.00 | 70.00 ± 0.00 |"
    )
    # Again: nothing is trained, and the table is the same.
    assert tuning.main(command) == 0
    assert (len(trained), capsys.readouterr().out) == (28, table)
    (tmp_path / "dataset.json").write_text('{"digest": "2"}')
    with pytest.raises(SystemExit, match="of other images"):
        tuning.main(command)
    with pytest.raises(SystemExit):
        tuning.main([*command, "--arms", "transfer"])
    assert "transfer start from a model" in capsys.readouterr().err

"""Negative transfer is said where an interval shows it, with what was tried, or what is cheapest to try."""

import re
from pathlib import Path

import builders
import pytest

from headstart.components.records import RunRecord
from headstart.components.reporting.negative_transfer import negative_transfer
from headstart.components.reporting.report import measure, write_report
from headstart.components.reporting.terminal import print_summaries

SETTINGS = {"rules": {"few_runs": "off"}}


def runs(accuracies: dict[str, float], network: str = "", **stage: str) -> list[RunRecord]:
    """Six runs of each arm around an accuracy, with the preparation."""
    made = builders.preparation()
    for arm, accuracy in accuracies.items():
        made += [
            builders.record(arm, seed, accuracy=accuracy + 0.002 * (seed - 2.5) / 6, jitter=0.01) for seed in range(6)
        ]
    for record in made:
        record.network = network
        record.stage.update(stage)
    return made


def said(records: list[RunRecord]) -> str:
    report = measure(records, settings=SETTINGS)
    return negative_transfer(report.experiment, report.summary.model_copy(update={"sound": True}))


@pytest.mark.parametrize(
    ("accuracies", "words"),
    [
        ({"transfer": 0.97}, r"^$"),
        ({"transfer": 0.95}, r"^$"),
        ({"transfer": 0.9},
         r"^Negative transfer, less accurate than training from scratch: transfer by 5\.\d points \(\d\.\d to "
         r"\d\.\d\)\. To try, the cheapest first: one block fewer frozen \(--frozen 4\); everything fine-tuned"),
        ({"transfer": 0.9, "finetuned": 0.98},
         r"Freezing less was tried and helps: fine-tuned is more accurate, by 3\.\d points \(\d\.\d to \d\.\d\)\.$"),
        ({"transfer": 0.9, "finetuned": 0.95}, r"Freezing less was tried: fine-tuned is not shown to be worse\.$"),
        ({"transfer": 0.9, "finetuned": 0.9},
         r"transfer by .*; fine-tuned by .*Freezing less was tried and does not help: fine-tuned\. To try, the "
         r"cheapest first: one block fewer frozen \(--frozen 4\)\.$"),
        ({"transfer": 0.9, "transfer@4": 0.9, "transfer@2": 0.98},
         r"Freezing less was tried and helps: transfer at depth 2 is more accurate"),
        ({"transfer": 0.9, "transfer@4": 0.9, "finetuned": 0.9}, r"does not help: transfer at depth 4 and "
         r"fine-tuned\. To try, the cheapest first: a lower learning rate"),
        ({"transfer": 0.97, "finetuned": 0.9}, r"scratch: fine-tuned by .*the cheapest first: a lower learning rate"),
        ({"head": 0.9}, r"scratch: head only by .*--frozen 5\); everything fine-tuned"),
    ],
)  # fmt: skip
def test_what_is_said(accuracies: dict[str, float], words: str) -> None:
    assert re.search(words, said(runs({"baseline": 0.95, **accuracies})))


def test_the_remedy_fits_the_network() -> None:
    accuracies = {"baseline": 0.95, "transfer": 0.9}
    assert "--frozen 12)" in said(runs(accuracies, "mobilenet-v3-small"))
    assert "--set backbone_layers=all_but_last_1_blocks" in said(runs(accuracies, "own.py:network"))
    assert "--set backbone_layers" in said(runs(accuracies, "resnet50", backbone_layers="stem*"))


def test_one_run_is_no_finding_and_neither_are_random_features_alone() -> None:
    assert (
        said(
            [
                *builders.preparation(),
                builders.record("baseline", accuracy=0.95),
                builders.record("transfer", accuracy=0.8),
            ]
        )
        == ""
    )
    assert said(runs({"frozen-random": 0.95, "transfer": 0.9})) == ""


def test_every_form_of_the_report_says_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = write_report(runs({"baseline": 0.95, "transfer": 0.9}), tmp_path, settings=SETTINGS)
    assert "Negative transfer, less" in (tmp_path / "report.html").read_text()
    assert "Negative transfer, less" in (tmp_path / "report.md").read_text()
    print_summaries([("", found)])
    assert "Negative transfer, less" in capsys.readouterr().out
    unsound = found.model_copy(update={"sound": False})
    assert negative_transfer(measure(runs({"baseline": 0.95, "transfer": 0.9})).experiment, unsound) == ""

"""Rules about the images: none of the test in training, none missing."""

from __future__ import annotations

from collections.abc import Iterable

from headstart.components.records import RunRecord
from headstart.components.reporting.experiment import Experiment
from headstart.components.reporting.rules.registry import Broken, rule
from headstart.components.reporting.settings import ReportSettings
from headstart.components.reporting.units import counted
from headstart.components.stages import STAGES


@rule("error")
def test_not_in_training(experiment: Experiment, settings: ReportSettings) -> Iterable[Broken]:
    """Images of the test that stand in training are remembered, not recognised."""
    yield from _duplicates("the compared runs", _records(experiment, preparing=False))


@rule("warning")
def preparation_test_not_in_training(experiment: Experiment, settings: ReportSettings) -> Iterable[Broken]:
    """Such images flatter the accuracy of a preparing stage; the comparison of the arms does not rest on it."""
    yield from _duplicates("preparation", _records(experiment, preparing=True))


def _records(experiment: Experiment, *, preparing: bool) -> list[RunRecord]:
    return [record for record in experiment.records if (STAGES[record.arm].role == "preparation") == preparing]


def _duplicates(stages: str, records: Iterable[RunRecord]) -> Iterable[Broken]:
    found = {
        record.data.digest: record.data.duplicates_across_splits
        for record in records
        if record.data and record.data.duplicates_across_splits
    }
    if found:
        yield f"{counted(max(found.values()), 'test image')} of {stages} found in the training data too.", []


@rule("warning")
def near_duplicates(experiment: Experiment, settings: ReportSettings) -> Iterable[Broken]:
    """Near-twins of test images in training make the accuracy look better than it is."""
    for record in [record for records in experiment.arms.values() for record in records[:1]]:
        if record.data and record.data.near_duplicates_across_splits:
            tested = record.data.counts.get("test", 0)
            of = f" of {tested}" if tested else ""
            yield (
                f"{record.data.near_duplicates_across_splits}{of} test images have a near-twin in training; "
                "both arms gain from it alike.",
                [],
            )
            return


@rule("warning")
def nothing_skipped(experiment: Experiment, settings: ReportSettings) -> Iterable[Broken]:
    """Images that could not be read are missing from what was measured."""
    skipped: dict[str, int] = {}
    for record in experiment.records:
        if record.data:
            skipped[record.data.digest] = max(record.data.skipped, skipped.get(record.data.digest, 0))
    if sum(skipped.values()):
        yield f"{counted(sum(skipped.values()), 'image')} could not be read and left out of the data.", []

"""Rules about the images: none of the test in training, nor in the stages before; none missing."""

from __future__ import annotations

from collections.abc import Iterable

from headstart.components.records import RunRecord
from headstart.components.reporting.experiment import Experiment, draws_shared, succeeded
from headstart.components.reporting.rules.registry import Broken, Problem, grouped, names, rule
from headstart.components.reporting.settings import ReportSettings
from headstart.components.reporting.units import counted, percent
from headstart.components.stages import STAGES, chain

# Share of test images with a near-twin in training from which on the accuracy is worth a warning.
NEAR_SHARE = 0.01
NEAR_GAIN = 0.05


@rule("error")
def test_not_in_training(experiment: Experiment, settings: ReportSettings) -> Iterable[Broken]:
    """Images of the test that are in training are remembered, not recognised."""
    yield from _duplicates("the compared runs", _records(experiment, preparing=False))


@rule("error")
def test_not_in_preparation(experiment: Experiment, settings: ReportSettings) -> Iterable[Broken]:
    """Test images that an earlier stage was trained on are remembered by the transferred model alone."""
    seen = [
        record
        for record in succeeded(experiment.records)
        if record.seen_before and record.seen_before.test_images and STAGES[record.arm].role != "preparation"
    ]
    if seen:
        worst = max(seen, key=lambda record: record.seen_before.test_images if record.seen_before else 0)
        most, tested = (worst.seen_before.test_images if worst.seen_before else 0), _tested(worst)
        yield (
            f"{most:,} of {counted(tested, 'test image')} were among the images that {' and '.join(chain(worst.arm))} "
            "trained on, pixel for pixel; the runs that start from random weights never saw them. Import the data "
            "again, so that they are held out.",
            names(seen),
        )


@rule("warning")
def test_not_nearly_in_preparation(experiment: Experiment, settings: ReportSettings) -> Iterable[Broken]:
    """Near-twins of test images that an earlier stage was trained on help the transferred model alone."""
    near = [record for record in succeeded(experiment.records) if _gained(record) >= NEAR_GAIN]
    if near:
        worst = max(near, key=_gained)
        assert worst.seen_before is not None
        yield (
            f"{percent(worst.seen_before.near_test_share or 0)} of the test images have a near-twin among the images "
            f"that {' and '.join(chain(worst.arm))} trained on, {percent(_near(worst) / _tested(worst))} in the "
            "target's own training images; the runs that start from random weights have only the latter.",
            names(near),
        )


def _gained(record: RunRecord) -> float:
    """Share of the test images that are nearly known from an earlier stage, beyond those nearly known to every arm."""
    if record.seen_before is None or STAGES[record.arm].role == "preparation" or not _tested(record):
        return 0.0
    return (record.seen_before.near_test_share or 0.0) - _near(record) / _tested(record)


@rule("warning")
def preparation_test_not_in_preparation(experiment: Experiment, settings: ReportSettings) -> Iterable[Broken]:
    """Test images of a preparing stage that one before it was trained on flatter the accuracy of that stage."""
    yield from grouped(
        Problem(
            record.arm,
            record,
            f"{record.seen_before.test_images:,} of {counted(_tested(record), 'test image')} of {record.name} were "
            f"among the images that {' and '.join(chain(record.arm))} trained on.",
        )
        for record in succeeded(experiment.records)
        if record.seen_before and record.seen_before.test_images and STAGES[record.arm].role == "preparation"
    )


@rule("warning")
def preparation_images_known(experiment: Experiment, settings: ReportSettings) -> Iterable[Broken]:
    """Unless it is known what an earlier stage was trained on, nobody can say that the test images were new to it."""
    unknown = [
        record
        for record in succeeded(experiment.records)
        # Records of version 1 have no place for it.
        if record.seen_before is None and record.initial_model and record.schema_version >= 2
    ]
    if unknown:
        yield (
            f"It is not known which images the model was trained on that {counted(len(unknown), 'run')} started from.",
            names(unknown),
        )


@rule("error")
def consistent_images(experiment: Experiment, settings: ReportSettings) -> Iterable[Broken]:
    """Runs on the same images from equally prepared models must agree on what those models had seen of them."""
    yield from grouped(_seen(experiment))
    yield from grouped(
        Problem(
            "part",
            record,
            f"{record.name} is called a run on {record.subset.images:,} training images; it had "
            f"{record.data.counts.get('train', 0):,}.",
        )
        for record in succeeded(experiment.records)
        if record.subset and record.data and record.subset.images != record.data.counts.get("train", 0)
    )


def _seen(experiment: Experiment) -> Iterable[Problem]:
    first: dict[tuple[str, str | None], RunRecord] = {}
    for record in succeeded(experiment.records):
        seen, data = record.seen_before, record.data
        if seen is None or data is None:
            continue
        if not chain(record.arm):
            yield Problem(
                "nothing", record, f"{record.name} builds on no stage, but says what one had been trained on."
            )
        train = data.counts.get("train", 0)
        if seen.training_images > train or seen.test_images > _tested(record):
            yield Problem(
                "more",
                record,
                f"{record.name}: more images had been seen before than there are "
                f"({seen.training_images:,} of {train:,} training, {seen.test_images:,} of {_tested(record):,} test "
                "images).",
            )
        # All preparations train on the same images.
        sibling = first.setdefault((data.digest, STAGES[record.arm].starts_from), record)
        if sibling.seen_before is not None and _counts(sibling) != _counts(record):
            yield Problem(
                "other",
                record,
                f"{record.name}: the model that it started from had seen {_counts(record)}; that of {sibling.name}, "
                f"which has the same images, {_counts(sibling)}.",
            )


def _counts(record: RunRecord) -> str:
    seen = record.seen_before
    if seen is None:
        return "nothing that is known"
    return (
        f"{seen.class_images:,} images of these classes, {seen.training_images:,} of the training and "
        f"{seen.test_images:,} of the test images"
    )


def _tested(record: RunRecord) -> int:
    return record.data.counts.get("test", 0) if record.data else 0


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
def draws_differ(experiment: Experiment, settings: ReportSettings) -> Iterable[Broken]:
    """Draws of the same training images are one: what other images would have changed is in no interval."""
    for records in experiment.arms.values():
        good = succeeded(records)
        if draws_shared(good) == 1:
            drawn = sorted({record.draw for record in good})
            yield (
                f"Draws {', '.join(map(str, drawn))} have the same training images: there are no others to draw. The "
                "intervals hold for these images only. Ask for fewer images per class.",
                [],
            )
            return


@rule("warning")
def near_duplicates(experiment: Experiment, settings: ReportSettings) -> Iterable[Broken]:
    """Where one test image in a hundred has a near-twin in training, the accuracy looks better than it is."""
    worst: RunRecord | None = None
    for record in (record for records in experiment.arms.values() for record in records):
        if record.data and (worst is None or _near(record) > _near(worst)):
            worst = record
    # Fewer cannot move the accuracy of an arm by a point; the table of images has their number all the same.
    if worst is not None and _near(worst) > NEAR_SHARE * _tested(worst):
        tested = _tested(worst)
        share = f" of {tested:,} test images ({percent(_near(worst) / tested)})" if tested else " test images"
        yield f"{_near(worst):,}{share} have a near-twin in training; all arms gain from it alike.", []


def _near(record: RunRecord) -> int:
    return (record.data.near_duplicates_across_splits or 0) if record.data else 0


@rule("warning")
def nothing_skipped(experiment: Experiment, settings: ReportSettings) -> Iterable[Broken]:
    """Images that could not be read are missing from what was measured."""
    skipped: dict[str, int] = {}
    for record in experiment.records:
        if record.data:
            # Draws of one set lack the same images.
            source = record.data.source or record.data.digest
            skipped[source] = max(record.data.skipped, skipped.get(source, 0))
    if sum(skipped.values()):
        yield f"{counted(sum(skipped.values()), 'image')} could not be read and left out of the data.", []

"""Rules about results: what a record says of a run in several places must agree."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator

from headstart.components.errors import HeadstartError
from headstart.components.records import Epoch, RunRecord
from headstart.components.reporting.experiment import Experiment, by_key, succeeded
from headstart.components.reporting.rules.registry import Broken, Flaw, Problem, grouped, of_runs, rule
from headstart.components.reporting.settings import ReportSettings
from headstart.components.reporting.units import percent
from headstart.components.stages import STAGES
from headstart.components.stop_rule import StopRule, recorded_schedule

# Where the answer is wrong, the true class got at most half of the probability, so each wrong answer adds at least
# this much to the sum of the cross-entropies.
LOSS_OF_AN_ERROR = math.log(2)
ENDED = ("early_stopping", "max_epochs", "target_reached")


@rule("error")
def consistent_result(experiment: Experiment, settings: ReportSettings) -> Iterable[Broken]:
    """Accuracy, loss, confusion matrix and single answers describe one test; where they disagree, one is not true."""
    good = succeeded(experiment.records)
    yield from of_runs(good, _result)
    yield from grouped(_unlike_siblings(good))


def _result(record: RunRecord) -> Iterator[Flaw]:
    result, data = record.result, record.data
    if data is None:
        yield "data", f"{record.name} succeeded, but its record does not say on which images."
        return
    count = data.counts.get("test", 0)
    if not count:
        if result.test_accuracy is not None:
            yield "untested", f"{record.name} has a test accuracy but no test images."
        return
    if data.test_groups is not None and len(data.test_groups) != count:
        yield (
            "groups",
            f"{record.name}: what test images were taken together is said of {len(data.test_groups):,} images; there "
            f"are {count:,}.",
        )
    if len(set(data.classes)) < len(data.classes):
        yield "twice", f"{record.name}: two of its classes have one name."
    if result.test_accuracy is None or result.test_loss is None:
        yield "null", f"{record.name} succeeded, but has no accuracy or no loss on the test images."
        return
    accuracy = result.test_accuracy
    if not _whole(accuracy * count):
        yield (
            "share",
            f"{record.name}: a test accuracy of {accuracy!r} is not a whole number of {count:,} test images.",
        )
    if result.test_loss < (1 - accuracy) * LOSS_OF_AN_ERROR - 1e-6:
        yield (
            "loss",
            f"{record.name}: a mean loss of {result.test_loss:.3g} on the test images is impossible at an accuracy of "
            f"{percent(accuracy)}; each wrong answer adds at least ln 2.",
        )
    yield from _confusion(record, count, accuracy, len(data.classes))
    try:
        answers = result.answers(count)
    except HeadstartError as error:
        yield "answers", f"{record.name}: {error.message}"
        return
    if answers is not None and int(answers.sum()) != round(accuracy * count):
        yield (
            "answers",
            f"{record.name}: {int(answers.sum()):,} of {count:,} test images were answered correctly one by one, the "
            f"test accuracy of {percent(accuracy)} says {round(accuracy * count):,}.",
        )
    known = set(data.classes)
    if any(
        sample.truth not in known or sample.predicted not in known for sample in [*record.samples, *record.mistakes]
    ):
        yield "samples", f"{record.name} shows test images of classes that its data do not have."
    wrong = [sample for sample in record.mistakes if sample.truth != sample.predicted]
    if len(wrong) < len(record.mistakes) or len(wrong) > count - round(accuracy * count):
        yield "mistakes", f"{record.name} shows wrong answers that it did not give."


def _confusion(record: RunRecord, count: int, accuracy: float, classes: int) -> Iterator[Flaw]:
    matrix = record.result.confusion
    if matrix is None:
        return
    if len(matrix) != classes or any(len(row) != classes or min(row) < 0 for row in matrix):
        yield "shape", f"{record.name}: the confusion matrix is not one of {classes} classes."
        return
    total, right = sum(map(sum, matrix)), sum(matrix[i][i] for i in range(classes))
    if total != count:
        yield "total", f"{record.name}: the confusion matrix counts {total:,} of {count:,} test images."
    elif right != round(accuracy * count):
        yield (
            "diagonal",
            f"{record.name}: the confusion matrix has {right:,} right answers, the test accuracy of "
            f"{percent(accuracy)} of {count:,} images says {round(accuracy * count):,}.",
        )


def _unlike_siblings(records: list[RunRecord]) -> Iterator[Problem]:
    """Runs tested on one data set have equally many test images of each class, and the same things recorded."""
    for group in by_key(records, lambda record: STAGES[record.arm].data).values():
        sums = [
            tuple(map(sum, record.result.confusion)) if record.result.confusion is not None else None
            for record in group
        ]
        known = Counter(found for found in sums if found is not None)
        answered = any(record.result.correct is not None for record in group)
        usual = known.most_common(1)[0][0] if known else None
        for record, found in zip(group, sums, strict=True):
            if usual is not None and found is None:
                yield Problem("no confusion", record, f"{record.name} has no confusion matrix, as its siblings have.")
            elif found is not None and found != usual and len(found) == len(usual or ()):
                yield Problem(
                    "classes",
                    record,
                    f"{record.name}: by the confusion matrix the test images of the classes are {list(found)}, in its "
                    f"siblings {list(usual or ())}.",
                )
            if answered and record.result.correct is None:
                yield Problem("no answers", record, f"{record.name} lacks the answers to single images.")


@rule("error")
def consistent_rows(experiment: Experiment, settings: ReportSettings) -> Iterable[Broken]:
    """The rows of the epochs must be accuracies of these images, in order, and hold the best one that is claimed."""
    yield from of_runs(succeeded(experiment.records), _rows)


def _rows(record: RunRecord) -> Iterator[Flaw]:
    rows = record.epochs
    if [row.epoch for row in rows] != list(range(1, len(rows) + 1)):
        listed = [row.epoch for row in rows]
        yield "numbers", f"{record.name}: its {len(rows)} rows are not epochs 1 to {len(rows)}."
        if sorted(set(listed)) != listed:
            return
    if any(None in (row.loss, row.accuracy, row.validation_loss, row.validation_accuracy) for row in rows):
        yield "null", f"{record.name} succeeded, but an epoch has no loss or no accuracy."
        return
    counts = record.data.counts if record.data else {}
    validation = counts.get("validation", 0)
    batch = min(int(record.recipe.get("batch_size") or 0), counts.get("train", 0))
    # Images that do not fill the last batch are left out of an epoch.
    trained = counts.get("train", 0) // batch * batch if batch else 0
    for row in rows:
        for kind, wrong in _row(row, validation, trained if record.environment.device_count <= 1 else 0):
            yield kind, f"{record.name}, epoch {row.epoch}: {wrong}"
    yield from _best(record)


def _row(row: Epoch, validation: int, trained: int) -> Iterator[Flaw]:
    """What cannot be of an epoch with this number of images; 0: not known."""
    accuracy, training, loss = row.validation_accuracy or 0.0, row.accuracy or 0.0, row.validation_loss or 0.0
    if row.loss is not None and row.loss < 0:
        yield "negative", f"a training loss of {row.loss:.3g}; a cross-entropy is never negative."
    elif validation and not _whole(accuracy * validation):
        yield "share", f"a validation accuracy of {accuracy!r} is not a whole number of {validation:,} images."
    elif trained and not _whole(training * trained):
        yield "training share", f"a training accuracy of {training!r} is not a whole number of {trained:,} images."
    elif loss < (1 - accuracy) * LOSS_OF_AN_ERROR - 1e-6:
        impossible = f"a validation loss of {loss:.3g} is impossible at an accuracy of {percent(accuracy)}"
        yield "loss", f"{impossible}; each wrong answer adds at least ln 2."


def _best(record: RunRecord) -> Iterator[Flaw]:
    rule = _stop_rule(record)
    for row in record.epochs:
        rule.better(row.epoch, row.validation_accuracy or 0.0)
    result = record.result
    if not record.epochs or (result.best_epoch == rule.best_epoch and _equal(result, rule)):
        return
    claimed = "none" if result.best_epoch is None else f"epoch {result.best_epoch}"
    yield (
        "best",
        f"{record.name}: its best epoch by the rows is {rule.best_epoch} with a validation accuracy of "
        f"{percent(rule.best_accuracy)}, its record says {claimed} with {percent(result.best_validation_accuracy)}.",
    )


def _equal(result: object, rule: StopRule) -> bool:
    best = getattr(result, "best_validation_accuracy", None)
    return best is not None and abs(best - rule.best_accuracy) < 1e-9


def _stop_rule(record: RunRecord) -> StopRule:
    recipe, counts = record.recipe, record.data.counts if record.data else {}
    return StopRule(
        recorded_schedule(recipe, counts.get("train", 0))[0],
        int(recipe.get("patience") or 0),
        # The older name is that of records before the setting was renamed.
        float(recipe.get("min_delta", recipe.get("minimum_improvement")) or 0.0),
        float(recipe.get("stop_at_accuracy") or 0.0),
    )


@rule("error")
def stop_follows_rule(experiment: Experiment, settings: ReportSettings) -> Iterable[Broken]:
    """Replaying the stop rule over the epochs must end training where and why the record says that it ended."""
    yield from of_runs(succeeded(experiment.records), _stop)


def _stop(record: RunRecord) -> Iterator[Flaw]:
    if record.stop_reason not in ENDED:
        given = record.stop_reason or "nothing"
        yield "reason", f"{record.name} is called succeeded, but training ended by {given!r}."
        return
    if not record.recipe.get("epochs") or "patience" not in record.recipe:
        return
    rule, reason, last = _stop_rule(record), "", len(record.epochs)
    for row in record.epochs:
        rule.better(row.epoch, math.nan if row.validation_accuracy is None else row.validation_accuracy)
        reason = rule.reason(row.epoch)
        if reason:
            last = row.epoch
            break
    if last < len(record.epochs):
        yield (
            "late",
            f"{record.name}: by its rows and recipe training ends after epoch {last} ({reason}), but it has "
            f"{len(record.epochs)} epochs.",
        )
    elif reason != record.stop_reason:
        yield (
            "other",
            f"{record.name} says that training ended by {record.stop_reason}; by its {len(record.epochs)} rows and its "
            f"recipe it {'ended by ' + reason if reason else 'had not ended'}.",
        )


@rule("error")
def status_as_recorded(experiment: Experiment, settings: ReportSettings) -> Iterable[Broken]:
    """A run that has a result did not fail; calling it failed leaves an unwelcome result out."""
    yield from grouped(
        Problem("reason", record, f"{record.name} is called succeeded, and says why it failed: {record.reason or '–'}.")
        for record in succeeded(experiment.records)
        if record.reason or record.temporary
    )
    yield from grouped(
        Problem(
            "result",
            record,
            f"{record.name} is called {record.status}, but it trained to its end and was tested.",
        )
        for record in experiment.records
        if record.status != "succeeded"
        and (record.result.test_accuracy is not None or record.stop_reason in ENDED or record.result.correct)
    )


def _whole(value: float) -> bool:
    return abs(value - round(value)) < 1e-6

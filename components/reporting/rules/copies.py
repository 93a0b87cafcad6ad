"""Rules about copies: each record is a measurement of its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from headstart.components.records import RunRecord
from headstart.components.reporting.experiment import Experiment
from headstart.components.reporting.rules.registry import Broken, Problem, grouped, rule
from headstart.components.reporting.settings import ReportSettings
from headstart.components.stages import STAGES


@rule("error")
def not_cached(experiment: Experiment, settings: ReportSettings) -> Iterable[Broken]:
    """Two runs with the same times to the last digit are one measurement, used again."""
    seen: dict[tuple[float, ...], RunRecord] = {}
    for record in experiment.every:
        times = (record.phases.train, *(row.train_seconds for row in record.epochs))
        # Times on a coarse clock may coincide; a whole run measured in nanoseconds does not.
        if record.status != "succeeded" or all(abs(value * 1000 - round(value * 1000)) < 1e-9 for value in times):
            continue
        twin = seen.setdefault(times, record)
        if twin is not record:
            yield f"{record.name} and {twin.name} have the same times to the last digit.", [twin.name, record.name]


@rule("error")
def not_copied(experiment: Experiment, settings: ReportSettings) -> Iterable[Broken]:
    """Two runs that learned the same to the last bit are one run, whatever their times say."""
    yield from grouped([*_same_weights(experiment.every), *_same_losses(experiment.every)])


def _same_weights(records: Iterable[RunRecord]) -> Iterator[Problem]:
    first: dict[str, RunRecord] = {}
    for record in records:
        if record.status == "succeeded" and record.final_weights:
            twin = first.setdefault(record.final_weights, record)
            if twin is not record and not _may_agree(twin, record):
                yield Problem("weights", record, f"{record.name} ended with exactly the weights of {twin.name}.")


def _same_losses(records: Iterable[RunRecord]) -> Iterator[Problem]:
    """Runs of which at least half of the epochs, and two, have exactly the losses of another run's epochs."""
    # The training loss alone or that of validation alone may be 0 more than once.
    first: dict[tuple[float | None, float | None], RunRecord] = {}
    for record in records:
        # A network that has ceased to learn has the same losses in all its epochs, and so may another.
        counts = Counter((row.loss, row.validation_loss) for row in record.epochs if row.loss and row.validation_loss)
        pairs = [pair for pair, count in counts.items() if count == 1]
        shared: dict[int, tuple[RunRecord, int]] = {}
        for pair in pairs:
            twin = first.setdefault(pair, record)
            if twin is not record:
                shared[id(twin)] = twin, shared.get(id(twin), (twin, 0))[1] + 1
        for twin, count in shared.values():
            least = min(len(pairs), len(twin.epochs))
            if count >= max(2, least / 2) and not _may_agree(twin, record):
                yield Problem(
                    "losses", record, f"{count} epochs of {record.name} have exactly the losses of {twin.name}."
                )


def _may_agree(one: RunRecord, other: RunRecord) -> bool:
    """Whether runs of two stages did the same computation, such as the final model and a transfer run of its seed."""
    if one.arm == other.arm:
        return False

    def computation(record: RunRecord) -> tuple[object, ...]:
        stage = STAGES[record.arm]
        digest = record.data.digest if record.data else ""
        frozen = [layer.layer for layer in record.frozen]
        return stage.data, stage.recipe, digest, record.seed, record.initial_model, frozen, record.recipe

    return computation(one) == computation(other)

"""The runs of one experiment, sorted by the table of stages, and with what was measured of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import TypeVar

from headstart.components.design import Cell
from headstart.components.errors import HeadstartError
from headstart.components.records import Given, Phases, RunRecord
from headstart.components.reporting.sampling import Bits
from headstart.components.reporting.settings import ReportSettings
from headstart.components.reporting.summary import Summary
from headstart.components.stages import (
    DEFAULT_ARMS,
    PREPARATION,
    PRODUCT,
    STAGES,
    Comparison,
    chain,
    comparisons,
    order,
)

PHASES: tuple[str, ...] = tuple(Phases.model_fields)
Item = TypeVar("Item")
Key = TypeVar("Key")
Quantity = Callable[[RunRecord], float | None]


@dataclass(frozen=True)
class Experiment:
    """Runs by stage, each list sorted by preparation, draw and seed; what was `planned`, where that is known.

    Of a learning curve, `records` and all that follows from it hold the largest size; `smaller` holds the runs on less.
    """

    records: tuple[RunRecord, ...]
    run_id: str = ""
    name: str = ""
    unreadable: tuple[str, ...] = ()
    by_stage: dict[str, list[RunRecord]] = field(default_factory=dict)
    planned: tuple[Cell, ...] = ()
    smaller: tuple[RunRecord, ...] = ()

    def of(self, stage: str) -> list[RunRecord]:
        """The runs of a stage or arm; empty where there is none."""
        return self.by_stage.get(stage, [])

    @cached_property
    def comparisons(self) -> list[Comparison]:
        """What is compared, the experiment's question first: of the arms that have runs, or of the paper's two."""
        return comparisons(self.by_stage) or comparisons(DEFAULT_ARMS)

    @cached_property
    def arms(self) -> dict[str, list[RunRecord]]:
        """Every arm that has runs or is compared, in the order of the table."""
        wanted = {*self.by_stage, *self.comparisons[0]}
        return {arm: self.of(arm) for arm in sorted(wanted, key=order) if STAGES[arm].is_arm}

    @property
    def control(self) -> list[RunRecord]:
        """The runs of the control in the first comparison."""
        return self.of(self.comparisons[0].control)

    @property
    def preparation(self) -> dict[str, list[RunRecord]]:
        """The stages that the compared arms start from, in order, with their runs."""
        needed = {stage for arm in self.arms for stage in chain(arm)} - self.left_out
        return {stage: self.of(stage) for stage in PREPARATION if stage in needed or stage in self.by_stage}

    @cached_property
    def given(self) -> Given | None:
        """What the runs build on in place of stages that were left out; None where none was.

        Of several models, one for each preparation: the first one's place and how many more there are, and the mean of
        what preparing them took, where it is known of all.
        """
        by_preparation = {record.preparation: record.given for record in succeeded(self.records) if record.given}
        if not by_preparation:
            return None
        models = [by_preparation[number] for number in sorted(by_preparation)]
        known = [model.hours for model in models if model.hours is not None]
        sources = list(dict.fromkeys(model.source for model in models))
        more = f" and {len(sources) - 1} more" if len(sources) > 1 else ""
        hours = sum(known) / len(known) if len(known) == len(models) else None
        return models[0].model_copy(update={"source": sources[0] + more, "hours": hours})

    @cached_property
    def left_out(self) -> set[str]:
        """The stages that were not run because the experiment does without them."""
        return {stage for record in succeeded(self.records) if record.given for stage in record.given.left_out}

    @property
    def final(self) -> list[RunRecord]:
        """The runs that made the model that is shipped."""
        return self.of(PRODUCT)

    @property
    def every(self) -> tuple[RunRecord, ...]:
        """All runs, of every size of a learning curve, the largest size first."""
        return (*self.records, *self.smaller)

    def at_sizes(self) -> dict[int, Experiment]:
        """The experiment as it was at each smaller size (training images per class), ascending; empty: no curve."""
        return {
            size: experiment(
                [*self.once, *runs],
                self.run_id,
                self.name,
                planned=[cell for cell in self.planned if cell.size in (0, size)],
            )
            for size, runs in by_key(self.smaller, size_per_class).items()
        }

    @property
    def once(self) -> list[RunRecord]:
        """The runs that are no arm's: preparation and the final model."""
        return [record for record in self.records if not STAGES[record.arm].is_arm]


def experiment(
    records: Sequence[RunRecord],
    run_id: str = "",
    name: str = "",
    unreadable: Sequence[str] = (),
    planned: Sequence[Cell] = (),
) -> Experiment:
    """Sort records; the order in which they come does not matter. Without `run_id` it is the most frequent one."""
    if not run_id and records:
        run_id = Counter(record.run_id for record in records).most_common(1)[0][0]
    ordered, largest = sorted(records, key=_place), max(map(size_per_class, records), default=0)
    smaller = tuple(record for record in ordered if 0 < size_per_class(record) < largest)
    whole = tuple(record for record in ordered if size_per_class(record) in (0, largest))
    by_stage = by_key(whole, lambda record: record.arm)
    return Experiment(whole, run_id, name, tuple(unreadable), by_stage, tuple(planned), smaller)


def by_key(items: Iterable[Item], key: Callable[[Item], Key]) -> dict[Key, list[Item]]:
    """The items of equal key together; keys and items in the order in which they come."""
    found: dict[Key, list[Item]] = {}
    for item in items:
        found.setdefault(key(item), []).append(item)
    return found


def size_per_class(record: RunRecord) -> int:
    """Training images per class on a learning curve; 0: all there are."""
    return record.subset.size_per_class if record.subset else 0


def _place(record: RunRecord) -> tuple[int, int, int, int, int, str, str]:
    at = order(record.arm), record.preparation, record.draw, record.seed
    return size_per_class(record), *at, record.run_id, record.started_at


def stages_before(record: RunRecord) -> tuple[str, ...]:
    """Return the stages of its experiment that a run builds on, the earliest first."""
    left_out = record.given.left_out if record.given else []
    return tuple(stage for stage in chain(record.arm) if stage not in left_out)


def succeeded(records: Sequence[RunRecord]) -> list[RunRecord]:
    """The runs that trained to their end."""
    return [record for record in records if record.status == "succeeded"]


def moment(text: str) -> datetime | None:
    """A time of a record, in UTC where it names no zone; None where it is none."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def draws_shared(records: Sequence[RunRecord]) -> float:
    """Share of a draw's training images that another draw has too, about: 1 where draws do not differ, 0: not known.

    Images drawn at random from a pool are in two draws as often as they are in one.
    """
    known = {record.draw: record.data for record in records if record.data}
    if len(known) < 2:
        return 0.0
    if len({data.digest for data in known.values()}) == 1:
        return 1.0
    data = next(iter(known.values()))
    pool, train = data.training_pool, data.counts.get("train", 0)
    if not pool or not all(pool) or not train:
        return 0.0
    even = train / len(pool)
    # The same number of each class or, where a class has fewer, in proportion to the pool.
    share = sum(even / count for count in pool) / len(pool) if min(pool) >= even else train / sum(pool)
    return min(1.0, share)


def total_seconds(record: RunRecord) -> float:
    """All phases of a run, start-up and repeated work too."""
    return float(sum(getattr(record.phases, phase) for phase in PHASES))


@dataclass(frozen=True)
class Report:
    """The runs, their summary, and the settings it was made with."""

    experiment: Experiment
    summary: Summary
    settings: ReportSettings


def train_seconds(record: RunRecord) -> float | None:
    """Training time; None where nothing was timed."""
    return record.phases.train if record.phases.train > 0 else None


def epochs(record: RunRecord) -> float | None:
    """Epochs trained; None where the record holds none."""
    return float(len(record.epochs)) or None


def seconds_per_epoch(record: RunRecord) -> float | None:
    """Training time over epochs; a frozen prefix computed once is spread over them."""
    return record.phases.train / len(record.epochs) if record.epochs and record.phases.train > 0 else None


def cpu_seconds(record: RunRecord) -> float | None:
    """Processor time of training; None where it was not measured."""
    return record.train_cpu_seconds or None


def test_accuracy(record: RunRecord) -> float | None:
    """Accuracy on the test split."""
    return record.result.test_accuracy


def answers(record: RunRecord) -> Bits | None:
    """Whether each test image was answered correctly; None where the record does not tell."""
    try:
        found = record.result.answers(record.data.counts.get("test", 0)) if record.data else None
    except HeadstartError:
        return None
    return found if found is not None and found.size else None


def films(record: RunRecord, images: int) -> list[str] | None:
    """A label for each of `images` test images, equal where they are of one film or object; None: none is known."""
    groups = record.data.test_groups if record.data else None
    if groups is None or len(groups) != images:
        return None
    return [f"group {group}" if group is not None else f"image {index}" for index, group in enumerate(groups)]


def values(records: Sequence[RunRecord], quantity: Quantity) -> list[float]:
    """A quantity of the runs that succeeded and have it, in the order of the records."""
    return [value for record in succeeded(records) if (value := quantity(record)) is not None]

"""The runs of one experiment, sorted by the table of stages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

from headstart.components.design import Cell
from headstart.components.records import Phases, RunRecord
from headstart.components.stages import (
    ARMS,
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


@dataclass(frozen=True)
class Experiment:
    """Runs by stage, each list sorted by preparation, draw and seed; what was `planned`, where that is known."""

    records: tuple[RunRecord, ...]
    run_id: str = ""
    name: str = ""
    unreadable: tuple[str, ...] = ()
    by_stage: dict[str, list[RunRecord]] = field(default_factory=dict)
    planned: tuple[Cell, ...] = ()

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
        return {arm: self.of(arm) for arm in ARMS if arm in wanted}

    @property
    def control(self) -> list[RunRecord]:
        """The runs of the control in the first comparison."""
        return self.of(self.comparisons[0].control)

    @property
    def preparation(self) -> dict[str, list[RunRecord]]:
        """The stages that the compared arms start from, in order, with their runs."""
        needed = {stage for arm in self.arms for stage in chain(arm)}
        return {stage: self.of(stage) for stage in PREPARATION if stage in needed or stage in self.by_stage}

    @property
    def final(self) -> list[RunRecord]:
        """The runs that made the model that is shipped."""
        return self.of(PRODUCT)

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

    def place(record: RunRecord) -> tuple[int, int, int, int, str, str]:
        at = order(record.arm), record.preparation, record.draw, record.seed
        return *at, record.run_id, record.started_at

    ordered = sorted(records, key=place)
    by_stage: dict[str, list[RunRecord]] = {}
    for record in ordered:
        by_stage.setdefault(record.arm, []).append(record)
    return Experiment(tuple(ordered), run_id, name, tuple(unreadable), by_stage, tuple(planned))


def succeeded(records: Sequence[RunRecord]) -> list[RunRecord]:
    """The runs that trained to their end."""
    return [record for record in records if record.status == "succeeded"]


def total_seconds(record: RunRecord) -> float:
    """All phases of a run, start-up and repeated work too."""
    return float(sum(getattr(record.phases, phase) for phase in PHASES))

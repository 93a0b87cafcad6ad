"""The runs of one experiment, sorted into its stages and arms."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from headstart.components.records import Phases, RunRecord
from headstart.components.reporting.summary import ArmName

# In the order in which data passes through them.
STAGES: tuple[str, ...] = ("pretrain", "finetune", "final", "baseline", "transfer")
PHASES: tuple[str, ...] = tuple(Phases.model_fields)


@dataclass(frozen=True)
class Experiment:
    """Runs by stage and arm, each list sorted by seed; the single stages are lists too, since one may be missing."""

    records: tuple[RunRecord, ...]
    run_id: str = ""
    name: str = ""
    unreadable: tuple[str, ...] = ()
    pretrain: list[RunRecord] = field(default_factory=list)
    finetune: list[RunRecord] = field(default_factory=list)
    final: list[RunRecord] = field(default_factory=list)
    baseline: list[RunRecord] = field(default_factory=list)
    transfer: list[RunRecord] = field(default_factory=list)

    @property
    def arms(self) -> dict[ArmName, list[RunRecord]]:
        """The two arms that are compared."""
        return {"baseline": self.baseline, "transfer": self.transfer}


def experiment(
    records: Sequence[RunRecord], run_id: str = "", name: str = "", unreadable: Sequence[str] = ()
) -> Experiment:
    """Sort records; the order in which they come does not matter. Without `run_id` it is the most frequent one."""
    if not run_id and records:
        run_id = Counter(record.run_id for record in records).most_common(1)[0][0]
    ordered = sorted(
        records, key=lambda record: (STAGES.index(record.arm), record.seed, record.run_id, record.started_at)
    )
    by_arm: dict[str, list[RunRecord]] = {}
    for record in ordered:
        by_arm.setdefault(record.arm, []).append(record)
    return Experiment(records=tuple(ordered), run_id=run_id, name=name, unreadable=tuple(unreadable), **by_arm)


def succeeded(records: Sequence[RunRecord]) -> list[RunRecord]:
    """The runs that trained to their end."""
    return [record for record in records if record.status == "succeeded"]


def total_seconds(record: RunRecord) -> float:
    """All phases of a run, start-up and repeated work too."""
    return float(sum(getattr(record.phases, phase) for phase in PHASES))

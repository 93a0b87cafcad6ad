"""Rules about the clock: whether the times measure what they are taken for."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

from headstart.components.records import Attempt, RunRecord
from headstart.components.reporting.experiment import Experiment, moment, succeeded
from headstart.components.reporting.rules.registry import Broken, Flaw, Problem, grouped, names, of_runs, rule
from headstart.components.reporting.settings import ReportSettings
from headstart.components.reporting.units import counted, duration, number, percent
from headstart.components.stages import STAGES

# Share of processor time taken by other work above which a run's clock is not trusted.
DISTURBED_SHARE = 0.05
# The kernel counts processor time in hundredths of a second; every stretch that is timed can be wrong by one.
TICK = 0.01
# A run whose epochs take this many times longer or shorter than the arm's median did not do the same work.
SUSPICIOUS_FACTOR = 3.0
# One epoch this many times longer than the median of its run, and by at least a second: the machine slept.
STALLED_FACTOR = 10.0
# Runs start and end in whole seconds.
OVERLAP_SECONDS = 2.0


@rule("warning")
def undisturbed(experiment: Experiment, settings: ReportSettings) -> Iterable[Broken]:
    """On a machine shared with other work the clock measures the others too."""
    at_once = {id(record) for pair in _overlaps(experiment.every) for record in pair}
    for arm, records in experiment.arms.items():
        good = succeeded(records)
        disturbed = [record for record in good if _taken(record) > DISTURBED_SHARE]
        if disturbed:
            worst = max(record.stolen_share or 0 for record in disturbed)
            own = sum(id(record) in at_once for record in disturbed)
            whose = "" if not own else f" During {own} of them another run of this experiment was under way."
            yield (
                f"Other work took more than {percent(DISTURBED_SHARE, 0)} of the processor time during "
                f"{len(disturbed)} of {counted(len(good), f'{arm} run')} (up to {percent(worst, 0)}).{whose}",
                names(disturbed),
            )


def _taken(record: RunRecord) -> float:
    """The share of processor time that others took at the least."""
    if record.stolen_share is None or record.phases.train <= 0:
        return 0.0
    stretches = len(record.epochs) + record.prefix_cached
    return record.stolen_share - TICK * stretches / record.phases.train


@rule("warning")
def disturbance_known(experiment: Experiment, settings: ReportSettings) -> Iterable[Broken]:
    """Where the share of other work is known for some runs alone, the rest may be disturbed unnoticed."""
    good = [record for records in experiment.arms.values() for record in succeeded(records)]
    unknown = [record for record in good if record.stolen_share is None]
    if unknown and len(unknown) < len(good):
        yield (
            f"What other work took is not known for {len(unknown)} of {counted(len(good), 'run')}, and known for the "
            "others.",
            names(unknown),
        )


@rule("warning")
def uninterrupted(experiment: Experiment, settings: ReportSettings) -> Iterable[Broken]:
    """An interrupted run trained on, on perhaps another machine, with caches cold."""
    again = [record for record in succeeded(experiment.records) if len(record.attempts) > 1]
    if again:
        yield f"{counted(len(again), 'run')} went on from a checkpoint after an interruption.", names(again)


@rule("warning")
def one_at_a_time(experiment: Experiment, settings: ReportSettings) -> Iterable[Broken]:
    """Runs that share a machine at the same time slow each other down."""
    pairs = list(_overlaps(experiment.every))
    if pairs:
        first, second = pairs[0]
        runs = list({id(record): record for pair in pairs for record in pair}.values())
        more = f" There are {counted(len(pairs) - 1, 'more such pair')}." if len(pairs) > 1 else ""
        yield f"{second.name} began while {first.name} was still under way on the same machine.{more}", names(runs)
    early = list(_early(experiment.every))
    if early:
        first, second = early[0]
        more = f" The same holds for {counted(len(early) - 1, 'more run')}." if len(early) > 1 else ""
        yield (
            f"Start-up and what else came before the attempt at {second.name} took longer than the time since "
            f"{first.name} had ended on the same machine.{more}",
            names(second for _, second in early),
        )


def _early(records: Iterable[RunRecord]) -> Iterator[tuple[RunRecord, RunRecord]]:
    """Pairs of runs on one machine between whose attempts there is not the time that the second says came before its.

    What is timed and not within the attempt came before it: start-up, images, building the network.
    """
    for spans in _spans(records).values():
        for (_, ended, before), (began, _, after) in itertools.pairwise(spans):
            wall = sum(attempt.wall_seconds for attempt in after.attempts)
            lead = after.phases.startup + max(0.0, _after_startup(after) - wall)
            gap = (began - ended).total_seconds()
            if before is not after and len(after.attempts) == 1 and -OVERLAP_SECONDS <= gap < lead - OVERLAP_SECONDS:
                yield before, after


def _overlaps(records: Iterable[RunRecord]) -> Iterator[tuple[RunRecord, RunRecord]]:
    """Pairs of runs on one machine of which the second began before the first had ended."""
    for spans in _spans(records).values():
        for (_, ended, before), (began, _, after) in itertools.pairwise(spans):
            if before is not after and (ended - began).total_seconds() > OVERLAP_SECONDS:
                yield before, after


def _spans(records: Iterable[RunRecord]) -> dict[str, list[tuple[datetime, datetime, RunRecord]]]:
    """Begin and end of every attempt with its run, in order, by machine."""
    machines: dict[str, list[tuple[datetime, datetime, RunRecord]]] = {}
    for record in records:
        for attempt in record.attempts:
            began, host = moment(attempt.started_at), attempt.host or record.environment.hostname
            if began and host and attempt.wall_seconds:
                ended = began + timedelta(seconds=min(attempt.wall_seconds, 1e8))
                machines.setdefault(host, []).append((began, ended, record))
    for spans in machines.values():
        spans.sort(key=lambda span: span[0])
    return machines


def _overlap(before: Attempt, after: Attempt) -> float:
    """Seconds from the start of one attempt to the end of the one before it; below zero where that was earlier."""
    began, next_began = moment(before.started_at), moment(after.started_at)
    return before.wall_seconds - (next_began - began).total_seconds() if began and next_began else 0.0


@rule("error")
def consistent_clock(experiment: Experiment, settings: ReportSettings) -> Iterable[Broken]:
    """The same time is recorded per epoch, per phase, per attempt and as processor time; the four must add up."""
    good = succeeded(experiment.records)
    yield from of_runs(good, _phases, _elapsed, _processor, _attempts)
    yield from grouped(_known_for_some(good))


def _known_for_some(records: list[RunRecord]) -> Iterator[Problem]:
    """What every run writes down is missing in all records, of an older version, or in none."""
    facts: dict[str, list[bool]] = {
        "how long the attempts took": [any(attempt.wall_seconds for attempt in each.attempts) for each in records],
        "when it began": [bool(each.started_at) for each in records],
        "on which machine it ran": [bool(each.environment.hostname) for each in records],
        "its processor time": [each.train_cpu_seconds > 0 for each in records],
        "the processor time of its epochs": [any(row.cpu_seconds for row in each.epochs) for each in records],
        "its parameters": [each.total_parameters > 0 for each in records],
    }
    for what, known in facts.items():
        for record, is_known in zip(records, known, strict=True):
            if not is_known and any(known):
                yield Problem(what, record, f"{record.name} does not say {what}, as other runs do.")


def _phases(record: RunRecord) -> Iterator[Flaw]:
    train, rows = record.phases.train, record.epochs
    if not rows or train <= 0:
        yield "empty", f"{record.name} is called succeeded but has no training time or no epochs."
        return
    total = sum(row.train_seconds for row in rows) + record.prefix_seconds
    parts = "epochs and the pass through the frozen layers" if record.prefix_seconds else "epochs"
    if not _equal(total, train):
        yield (
            "more" if total > train else "less",
            f"The {parts} of {record.name} add up to {total:.2f} s, {'more' if total > train else 'less'} than its "
            f"training time of {train:.2f} s.",
        )
    evaluated = sum(row.evaluate_seconds for row in rows)
    if evaluated > record.phases.evaluate * 1.001 + 0.002:
        yield (
            "evaluate",
            f"The epochs of {record.name} were evaluated for {evaluated:.2f} s, more than its whole evaluation of "
            f"{record.phases.evaluate:.2f} s.",
        )
    if record.prefix_cached != (record.prefix_seconds > 0):
        has = "has" if record.prefix_cached else "has not"
        yield (
            "prefix",
            f"{record.name} {has} computed the outputs of its frozen layers once, and took {record.prefix_seconds:g} s "
            "for it.",
        )
    if record.kept_features and not record.prefix_cached:
        yield "kept", f"{record.name} used kept outputs of frozen layers, but computed none for its own training."


def _elapsed(record: RunRecord) -> Iterator[Flaw]:
    elapsed = record.prefix_seconds
    for row in record.epochs:
        elapsed += row.train_seconds
        if row.train_seconds <= 0:
            yield "instant", f"{record.name}: epoch {row.epoch} took no time."
            return
        if not _equal(elapsed, row.elapsed):
            yield (
                "elapsed",
                f"{record.name}: {row.elapsed:.2f} s had elapsed after epoch {row.epoch}, but the epochs until then "
                f"add up to {elapsed:.2f} s.",
            )
            return


def _processor(record: RunRecord) -> Iterator[Flaw]:
    cores, rows, cpu = record.environment.cores, record.epochs, record.train_cpu_seconds
    timed = sum(row.cpu_seconds for row in rows)
    # A container's quota is for stretches of a tenth of a second, of which all may be used at once.
    slack = 0.1 * max(cores, record.environment.threads)
    spans = [
        ("training", cpu, record.phases.train),
        *((f"epoch {row.epoch}", row.cpu_seconds, row.train_seconds) for row in rows),
    ]
    for what, processor, wall in spans:
        if cores and processor > wall * max(cores, 1) * 1.05 + slack:
            yield (
                "processors",
                f"{record.name}: {what} took {processor:.2f} s of processor time in {wall:.2f} s on {cores:g} cores.",
            )
            return
    # Beside the epochs there is the pass through the frozen layers alone.
    rest = cpu - timed
    most = record.prefix_seconds * max(cores, 1) * 1.05 + slack if record.prefix_cached else 0.0
    if timed and not -0.002 - 0.001 * cpu <= rest <= most + 0.002 + 0.001 * cpu:
        yield (
            "sum",
            f"{record.name}: its epochs took {timed:.2f} s of processor time, the whole training {cpu:.2f} s.",
        )


def _attempts(record: RunRecord) -> Iterator[Flaw]:
    attempts = record.attempts
    if not attempts:
        yield "no attempt", f"{record.name} is called succeeded, but nothing is known of an attempt."
        return
    done = sum(attempt.epochs for attempt in attempts)
    if done != len(record.epochs):
        yield (
            "attempts",
            f"The {counted(len(attempts), 'attempt')} at {record.name} finished {counted(done, 'epoch')}, its record "
            f"has {len(record.epochs)}.",
        )
    if len(attempts) == 1 and record.phases.repeated:
        yield (
            "repeated",
            f"{record.name} did {record.phases.repeated:.2f} s of work again, and there was one attempt at it.",
        )
    host = record.environment.hostname
    if host and attempts[-1].host not in ("", host):
        yield "host", f"{record.name} ran on {host}; its last attempt says that it was on {attempts[-1].host}."
    if [attempt.number for attempt in attempts] != list(range(1, len(attempts) + 1)):
        yield "attempt numbers", f"Attempts at {record.name} are missing or out of order."
    if attempts[-1].ended not in ("", "completed"):
        ended = attempts[-1].ended
        yield "ended", f"{record.name} succeeded, but the last attempt at it ended otherwise: {ended}."
    if any(_overlap(before, after) > OVERLAP_SECONDS for before, after in itertools.pairwise(attempts)):
        yield "two at once", f"An attempt at {record.name} began before the one before it had ended."
    if record.started_at != attempts[0].started_at:
        yield "started", f"{record.name} started at another time than the first attempt at it."
    wall = sum(attempt.wall_seconds for attempt in attempts)
    if not wall:
        return
    inside = record.phases.train + (record.phases.evaluate if len(attempts) == 1 else 0.0)
    if wall < inside * 0.999 - 0.01:
        yield (
            "wall",
            f"{record.name} trained and evaluated for {inside:.2f} s within {counted(len(attempts), 'attempt')} of "
            f"{wall:.2f} s.",
        )
    timed = _after_startup(record)
    if len(attempts) == 1 and wall > 1.25 * timed + 2:
        yield (
            "untimed",
            f"The attempt at {record.name} took {duration(wall)}, but only {duration(timed)} of it belong to a phase.",
        )


def _after_startup(record: RunRecord) -> float:
    """Seconds of the phases that belong to the work of the attempts."""
    phases = record.phases
    return phases.data + phases.compile + phases.train + phases.evaluate + phases.checkpoint


def _equal(one: float, other: float) -> bool:
    return abs(one - other) <= 0.001 * max(one, other) + 0.001


@rule("warning")
def plausible_speed(experiment: Experiment, settings: ReportSettings) -> Iterable[Broken]:
    """A run much faster or slower per epoch than its siblings may not have done the same work."""
    for arm, records in {**experiment.preparation, **experiment.arms}.items():
        timed = [record for record in succeeded(records) if record.epochs and record.phases.train > 0]
        # Of preparations there are few: two that differ so much are enough to say so.
        fewest = 3 if STAGES[arm].is_arm else 2
        quantities = {
            "time": [(record.phases.train - record.prefix_seconds) / len(record.epochs) for record in timed],
            "processor time": [sum(row.cpu_seconds for row in record.epochs) / len(record.epochs) for record in timed],
        }
        odd: set[int] = set()
        for what, values in quantities.items():
            if len(timed) < fewest or min(values) <= 0:
                continue
            middle = statistics.median(values)
            for word, far in (
                ("less than a third of", [value * SUSPICIOUS_FACTOR < middle for value in values]),
                (
                    f"more than {number(SUSPICIOUS_FACTOR, 0)} times",
                    [value > SUSPICIOUS_FACTOR * middle for value in values],
                ),
            ):
                runs = [record for record, is_far in zip(timed, far, strict=True) if is_far and id(record) not in odd]
                odd |= {id(record) for record in runs}
                if runs:
                    yield (
                        f"{counted(len(runs), f'{arm} run')} took {word} the arm's median {what} per epoch.",
                        names(runs),
                    )


@rule("warning")
def no_stalled_epoch(experiment: Experiment, settings: ReportSettings) -> Iterable[Broken]:
    """An epoch that takes many times as long as the rest of its run was held up by something else."""
    yield from of_runs(succeeded(experiment.records), _stalled)


def _stalled(record: RunRecord) -> Iterator[Flaw]:
    if len(record.epochs) < 3:
        return
    middle = statistics.median(row.train_seconds for row in record.epochs)
    worst = max(record.epochs, key=lambda row: row.train_seconds)
    if worst.train_seconds > max(STALLED_FACTOR * middle, middle + 1):
        took, usual = duration(worst.train_seconds), duration(middle)
        yield "stalled", f"{record.name}: epoch {worst.epoch} took {took}, the median epoch {usual}."

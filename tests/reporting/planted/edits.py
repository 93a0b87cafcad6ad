"""Changes to records, as somebody makes them who edits the JSON files of a run."""

from __future__ import annotations

import base64
import copy
import fnmatch
import random
from collections.abc import Callable
from typing import Any, NamedTuple

Records = dict[str, dict[str, Any]]
Change = Callable[[Records], None]


class Plant(NamedTuple):
    """One inconsistency.

    Attributes:
        what: what was done, for the table.
        rule: the rule that finds it; None: nothing can, for the reason in `why`.
        change: does it, in place, to the records of one experiment by name.
        why: why it cannot be found.
        planned: whether `verify` knows which runs were asked for, as in the pipeline.
    """

    what: str
    rule: str | None
    change: Change
    why: str = ""
    planned: bool = True


def named(records: Records, patterns: str) -> list[str]:
    """Names of records that match one of the patterns, such as `transfer-* final`."""
    found = [name for name in records if any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns.split())]
    assert found, patterns
    return found


def put(names: str, path: str, value: Any) -> Change:
    """Set `path`, such as `epochs.0.loss`, in the records that `names` matches; a function gets the old value."""

    def change(records: Records) -> None:
        for name in named(records, names):
            *parts, last = path.split(".")
            place: Any = records[name]
            for part in parts:
                place = place[int(part) if part.lstrip("-").isdigit() else part]
            key = int(last) if isinstance(place, list) else last
            place[key] = value(place.get(key) if isinstance(place, dict) else place[key]) if callable(value) else value

    return change


def both(*changes: Change) -> Change:
    """Do several changes, one after the other."""

    def change(records: Records) -> None:
        for each in changes:
            each(records)

    return change


def times(factor: float) -> Callable[[float], float]:
    return lambda value: value * factor


def plus(amount: float) -> Callable[[float], float]:
    return lambda value: value + amount


def remove(names: str) -> Change:
    def change(records: Records) -> None:
        for name in named(records, names):
            del records[name]

    return change


def add_copy(of: str, name: str, **values: Any) -> Change:
    """Add a record that is `of` with other `values`, under the key `name`."""

    def change(records: Records) -> None:
        records[name] = {**copy.deepcopy(records[of]), **values}

    return change


def swap(one: str, other: str, *paths: str) -> Change:
    """Exchange parts of two records."""

    def change(records: Records) -> None:
        for path in paths:
            *parts, last = path.split(".")
            first, second = records[one], records[other]
            for part in parts:
                first, second = first[part], second[part]
            first[last], second[last] = second[last], first[last]

    return change


def take(target: str, source: str, *keys: str) -> Change:
    """Overwrite parts of `target` with those of `source`."""

    def change(records: Records) -> None:
        for key in keys:
            records[target][key] = copy.deepcopy(records[source][key])

    return change


def clock(names: str, factor: float, *, processor: bool = True, attempts: bool = False) -> Change:
    """Multiply every time of training, so that epochs, sums and phases still agree."""

    def change(records: Records) -> None:
        for name in named(records, names):
            record = records[name]
            record["phases"]["train"] *= factor
            record["prefix_seconds"] *= factor
            record["train_cpu_seconds"] *= factor if processor else 1
            for row in record["epochs"]:
                row["train_seconds"] *= factor
                row["elapsed"] *= factor
                row["cpu_seconds"] *= factor if processor else 1
            for attempt in record["attempts"] if attempts else []:
                attempt["wall_seconds"] *= factor

    return change


def everything(names: str, factor: float) -> Change:
    """Multiply every duration of a run: training, phases, attempts."""

    def change(records: Records) -> None:
        clock(names, factor, attempts=True)(records)
        for name in named(records, names):
            phases = records[name]["phases"]
            for phase in set(phases) - {"train"}:
                phases[phase] *= factor
            for row in records[name]["epochs"]:
                row["evaluate_seconds"] *= factor

    return change


def noise(name: str, *, losses: float = 0.0, times: float = 0.0) -> Change:
    """Disguise a copy: change losses and times a little, each time so that sums agree."""

    def change(records: Records) -> None:
        drawn, record = random.Random(name), records[name]
        elapsed = record["prefix_seconds"]
        for row in record["epochs"]:
            row["train_seconds"] *= 1 + times * drawn.random()
            elapsed += row["train_seconds"]
            row["elapsed"] = elapsed
            for loss in ("loss", "validation_loss"):
                row[loss] *= 1 + losses * drawn.random()
        record["phases"]["train"] = elapsed

    return change


def without_epoch(name: str, index: int, *, disguised: bool = False) -> Change:
    """Take an epoch out; disguised: number the rest again and make the sums agree."""

    def change(records: Records) -> None:
        record = records[name]
        gone = record["epochs"].pop(index)
        if not disguised:
            return
        record["phases"]["train"] -= gone["train_seconds"]
        record["train_cpu_seconds"] -= gone["cpu_seconds"]
        elapsed = record["prefix_seconds"]
        for number, row in enumerate(record["epochs"], 1):
            elapsed += row["train_seconds"]
            row.update(epoch=number, elapsed=elapsed)

    return change


def long_epoch(name: str, index: int, seconds: float) -> Change:
    """Let one epoch take `seconds` longer, in every place where its time is counted."""

    def change(records: Records) -> None:
        record = records[name]
        record["epochs"][index]["train_seconds"] += seconds
        for row in record["epochs"][index:]:
            row["elapsed"] += seconds
        record["phases"]["train"] += seconds
        record["attempts"][-1]["wall_seconds"] += seconds

    return change


def answers(name: str, alter: Callable[[bytearray], object]) -> Change:
    """Change the stored answers to single images."""

    def change(records: Records) -> None:
        bits = bytearray(base64.b64decode(records[name]["result"]["correct"]))
        alter(bits)
        records[name]["result"]["correct"] = base64.b64encode(bits).decode()

    return change


def cell(names: str, row: int, column: int, amount: int) -> Change:
    """Add `amount` to a cell of the confusion matrix."""
    return put(names, f"result.confusion.{row}.{column}", lambda value: value + amount)


def rewritten(name: str, amount: int) -> Change:
    """Answer `amount` more images correctly, in every place that says so, the loss included."""

    def change(records: Records) -> None:
        record = records[name]
        result, count = record["result"], record["data"]["counts"]["test"]
        bits = bytearray(base64.b64decode(result["correct"]))
        wanted = amount
        for index in range(count):
            mask = 0x80 >> index % 8
            if wanted and not bits[index // 8] & mask:
                bits[index // 8] |= mask
                wanted -= 1
        assert not wanted
        result["correct"] = base64.b64encode(bits).decode()
        left = amount
        for row, column in ((row, column) for row in range(3) for column in range(3) if row != column):
            moved = min(left, result["confusion"][row][column])
            result["confusion"][row][column] -= moved
            result["confusion"][row][row] += moved
            left -= moved
        right = round(result["test_accuracy"] * count) + amount
        result["test_accuracy"] = right / count

    return change

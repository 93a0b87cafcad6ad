"""When schedules start: cron expressions as Kubeflow Pipelines reads them, and intervals such as `6h`.

Both are checked and converted; cron expressions are explained in words, with their next times.

Its scheduler (robfig/cron 1.2) takes six fields, seconds first. Given the usual five it does not complain: it takes
the first for seconds and the last for the month, so `30 2 * * 1` would run every hour of January. Here five fields
are the usual five (minute, hour, day of month, month, day of week) and are converted; six are taken as they are.

Where day of month and day of week are both restricted, either of them is enough; but a field that begins with `*`
does not count as restricted, also not `*/2`. `N/step` means from N to the end.
"""

from __future__ import annotations

import datetime
import re
import zoneinfo
from dataclasses import dataclass
from typing import Any

from headstart.components.errors import SettingError

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_SHORTHANDS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
EXAMPLE = "For example '30 2 * * 1' for every Monday at 02:30."


@dataclass(frozen=True)
class _Field:
    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()
    first_name: int = 0


_FIELDS = (
    _Field("second", 0, 59),
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day of month", 1, 31),
    _Field("month", 1, 12, _MONTHS, 1),
    _Field("day of week", 0, 7, _DAYS, 0),  # 7 is Sunday, as in most crontabs; the scheduler knows only 0
)


@dataclass(frozen=True)
class Cron:
    """A checked expression.

    Attributes:
        given: as it was written.
        fields: six fields, seconds first, for Kubeflow Pipelines.
        values: the values that each field stands for.
        either_day: day of month or day of week is enough.
    """

    given: str
    fields: tuple[str, ...]
    values: tuple[tuple[int, ...], ...]
    either_day: bool

    @property
    def expression(self) -> str:
        """The six fields as Kubeflow Pipelines wants them."""
        return " ".join(self.fields)

    @property
    def trigger(self) -> dict[str, Any]:
        """What the API of Kubeflow Pipelines takes."""
        return {"cron_schedule": {"cron": self.expression}}

    def describe(self) -> str:
        """Return what it means in English words."""
        from cron_descriptor import Options, get_description

        options = Options()
        options.use_24hour_time_format = True
        fields = list(self.fields)
        expression = " ".join(fields[1:] if fields[0] == "0" else fields).replace("?", "*")
        text = str(get_description(expression, options))
        # The library always says "or" of two restricted day fields.
        return text if self.either_day else text.replace(", or on ", ", and only on ")

    def next_times(
        self, count: int, zone: datetime.tzinfo, after: datetime.datetime | None = None
    ) -> list[datetime.datetime]:
        """Return the next `count` times after `after` (default: now) in the time zone `zone`.

        SettingError where there is none, as on 30 February.
        """
        from croniter import CroniterBadDateError, croniter

        start = (after or datetime.datetime.now(datetime.UTC)).astimezone(zone)
        days_of_month, days_of_week = self.values[3], self.values[5]
        any_day = self.either_day and (len(days_of_month) == 31 or len(days_of_week) == 7)
        plain = " ".join("*" if any_day and index in (3, 5) else _listed(v) for index, v in enumerate(self.values))
        times = croniter(
            plain, start, ret_type=datetime.datetime, day_or=self.either_day, second_at_beginning=True,
            max_years_between_matches=5,
        )  # fmt: skip
        try:
            return [times.get_next() for _ in range(count)]
        except CroniterBadDateError as error:
            raise SettingError(f"--cron {self.given!r} never comes: no such day exists.", EXAMPLE) from error


def _listed(values: tuple[int, ...]) -> str:
    return ",".join(map(str, values))


def parse_cron(text: str) -> Cron:
    """Check an expression of five or six fields, or a shorthand such as @daily; SettingError names the wrong field."""
    given = text.strip()
    expression = _SHORTHANDS.get(given.lower(), given)
    if expression.startswith("@"):
        raise SettingError(
            f"--cron {given!r}: no such shorthand; there are {', '.join(_SHORTHANDS)}.",
            EXAMPLE,
        )
    fields = expression.lower().split()
    if len(fields) not in (5, 6):
        raise SettingError(
            f"--cron {given!r}: {len(fields)} {'field' if len(fields) == 1 else 'fields'}; expected five "
            "(minute, hour, day of month, month, day of week) or six (second first).",
            EXAMPLE,
        )
    if len(fields) == 5:
        fields = ["0", *fields]
    values = tuple(_expand(field, text, given) for field, text in zip(_FIELDS, fields, strict=True))
    if "7" in re.findall(r"\d+", fields[5].split("/", maxsplit=1)[0]) or 7 in values[5]:
        days = tuple(sorted({value % 7 for value in values[5]}))
        values = (*values[:5], days)
        fields[5] = _listed(days)
    starred = any(part.startswith(("*", "?")) for field in (fields[3], fields[5]) for part in field.split(","))
    return Cron(given, tuple(fields), values, either_day=not starred)


def _expand(field: _Field, text: str, given: str) -> tuple[int, ...]:
    values: set[int] = set()
    for part in text.split(","):
        found = re.fullmatch(r"(?P<low>\*|\?|[a-z]+|\d+)(-(?P<high>[a-z]+|\d+))?(/(?P<step>\d+))?", part)
        if found is None or (found["low"] in ("*", "?") and found["high"]):
            raise SettingError(
                f"--cron {given!r}: {field.name} {part!r} cannot be read; expected *, a number, a range such as 1-5, "
                "a step such as */10, or several of them with commas.",
                EXAMPLE,
            )
        step = int(found["step"] or 1)
        if found["low"] in ("*", "?"):
            low, high = field.low, 6 if field.name == "day of week" else field.high
        else:
            low = _value(field, found["low"], given)
            high = _value(field, found["high"], given) if found["high"] else low
            if found["step"] and not found["high"]:
                high = 6 if field.name == "day of week" else field.high
        if step == 0 or low > high:
            what = "a step of 0" if step == 0 else "a range that begins after its end"
            raise SettingError(f"--cron {given!r}: {field.name} {part!r} has {what}.", EXAMPLE)
        values.update(range(low, high + 1, step))
    return tuple(sorted(values))


def _value(field: _Field, text: str, given: str) -> int:
    if text.isdecimal():
        value = int(text)
        if field.low <= value <= field.high:
            return value
    elif text in field.names:
        return field.names.index(text) + field.first_name
    names = f" or {field.names[0]}–{field.names[-1]}" if field.names else ""
    raise SettingError(
        f"--cron {given!r}: {field.name} {text!r} is out of range; expected {field.low}–{field.high}{names}.", EXAMPLE
    )


def read_zone(name: str) -> datetime.tzinfo:
    """Return the time zone called `name`, such as Europe/Riga; SettingError where there is none."""
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise SettingError(
            f"--timezone {name!r}: no such time zone.", "Expected a name such as UTC or Europe/Riga."
        ) from error


_SECONDS = {"m": 60, "h": 3600, "d": 86400}
_NAMES = {"m": "minute", "h": "hour", "d": "day"}
_LONGEST = 366 * 86400


@dataclass(frozen=True)
class Interval:
    """A run every N seconds, the first one interval after the schedule was made."""

    seconds: int

    @property
    def expression(self) -> str:
        """The interval as it is written for --every, in its largest whole unit; other seconds as such."""
        for unit in reversed(_SECONDS):
            if self.seconds % _SECONDS[unit] == 0:
                return f"every {self.seconds // _SECONDS[unit]}{unit}"
        return f"every {self.seconds} s"

    @property
    def trigger(self) -> dict[str, Any]:
        """What the API of Kubeflow Pipelines takes; int64 is text in its JSON."""
        return {"periodic_schedule": {"interval_second": str(self.seconds)}}

    def describe(self) -> str:
        """Return what it means in English words."""
        for unit in reversed(_SECONDS):
            count, rest = divmod(self.seconds, _SECONDS[unit])
            if rest == 0:
                return f"Every {_NAMES[unit]}" if count == 1 else f"Every {count} {_NAMES[unit]}s"
        return f"Every {self.seconds} seconds"

    def next_times(
        self, count: int, zone: datetime.tzinfo, after: datetime.datetime | None = None
    ) -> list[datetime.datetime]:
        """Return the next `count` times for a schedule that is made at `after` (default: now)."""
        start = after or datetime.datetime.now(datetime.UTC)
        return [
            (start + datetime.timedelta(seconds=self.seconds * index)).astimezone(zone) for index in range(1, count + 1)
        ]


def parse_interval(text: str) -> Interval:
    """Read `90m`, `6h` or `2d`; SettingError for anything else, and for more than a year."""
    found = re.fullmatch(r"\s*(\d{1,6})\s*([mhd])\s*", text.lower())
    seconds = int(found[1]) * _SECONDS[found[2]] if found else 0
    if not 0 < seconds <= _LONGEST:
        raise SettingError(
            f"--every {text!r}: expected a number of minutes, hours or days, from 1m to 366d.",
            "For example --every 6h.",
        )
    return Interval(seconds)

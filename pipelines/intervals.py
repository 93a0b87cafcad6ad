"""Intervals for schedules: `6h`, `90m`, `2d`; the other form, times of day, is in `headstart.pipelines.cron`."""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass
from typing import Any

from headstart.components.errors import SettingError

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

"""Cron expressions, with times that were worked out on a calendar and checked against robfig/cron 1.2.0."""

import datetime
import zoneinfo

import pytest

from headstart.components.errors import SettingError
from headstart.pipelines.cron import parse_cron, read_zone

# A Wednesday.
START = datetime.datetime(2026, 11, 25, 0, 0, tzinfo=datetime.UTC)


def times(expression: str, count: int = 3, zone: str = "UTC") -> list[str]:
    found = parse_cron(expression).next_times(count, zoneinfo.ZoneInfo(zone), START)
    return [moment.astimezone(datetime.UTC).strftime("%m-%d %H:%M:%S") for moment in found]


@pytest.mark.parametrize(
    ("given", "converted"),
    [
        ("30 2 * * 1", "0 30 2 * * 1"),
        ("15 30 2 * * 1", "15 30 2 * * 1"),
        ("0 3 * * 7", "0 0 3 * * 0"),
        ("0 3 * * 5-7", "0 0 3 * * 0,5,6"),
        ("0 3 * * MON-FRI", "0 0 3 * * mon-fri"),
        ("0 3 1 jan ?", "0 0 3 1 jan ?"),
        ("@daily", "0 0 0 * * *"),
        ("@Weekly", "0 0 0 * * 0"),
        ("  */15   *  * * *  ", "0 */15 * * * *"),
    ],
)
def test_five_fields_get_a_second(given: str, converted: str) -> None:
    assert parse_cron(given).expression == converted


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("30 2 * * 1", ["11-30 02:30:00", "12-07 02:30:00", "12-14 02:30:00"]),
        ("5 30 2 * * 1", ["11-30 02:30:05", "12-07 02:30:05", "12-14 02:30:05"]),
        ("0 3 * * 7", ["11-29 03:00:00", "12-06 03:00:00", "12-13 03:00:00"]),
        # Both day fields restricted: either is enough. The 1st is a Tuesday, Mondays are 30 November and 7 December.
        ("0 12 1 * 1", ["11-30 12:00:00", "12-01 12:00:00", "12-07 12:00:00"]),
        # A field that begins with * is not a restriction, so both must fit: Mondays with an odd number.
        ("0 12 */2 * 1", ["12-07 12:00:00", "12-21 12:00:00", "01-11 12:00:00"]),
        # Every day of the month, written out, is a restriction that is always met.
        ("0 12 1-31 * 1", ["11-25 12:00:00", "11-26 12:00:00", "11-27 12:00:00"]),
        ("10/25 * * * *", ["11-25 00:10:00", "11-25 00:35:00", "11-25 01:10:00"]),
        ("0 0 29 2 *", ["02-29 00:00:00", None, None]),
    ],
)  # fmt: skip
def test_next_times(expression: str, expected: list[str]) -> None:
    wanted = [time for time in expected if time]
    assert times(expression, len(wanted)) == wanted


def test_times_are_those_of_the_zone() -> None:
    # Riga is two hours ahead in winter; on 28 March 2027 clocks go from 03:00 to 04:00.
    assert times("30 2 * * *", 1, "Europe/Riga") == ["11-25 00:30:00"]
    spring = datetime.datetime(2027, 3, 27, 12, tzinfo=datetime.UTC)
    found = parse_cron("0 6 * * *").next_times(2, zoneinfo.ZoneInfo("Europe/Riga"), spring)
    assert [moment.utcoffset() for moment in found] == [datetime.timedelta(hours=3)] * 2
    assert found[0].strftime("%d %H:%M %Z") == "28 06:00 EEST"


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("30 2 * * 1", "At 02:30, only on Monday"),
        ("*/15 * * * *", "Every 15 minutes"),
        ("0 12 1 * 1", "At 12:00, on day 1 of the month, or on Monday"),
        ("0 12 */2 * 1", "At 12:00, every 2 days, and only on Monday"),
        ("0 3 * * 7", "At 03:00, only on Sunday"),
    ],
)
def test_in_words(expression: str, words: str) -> None:
    assert parse_cron(expression).describe() == words


@pytest.mark.parametrize(
    ("expression", "told"),
    [
        ("", "0 fields; expected five"),
        ("1 2 3 4", "4 fields; expected five"),
        ("1 2 3 4 5 6 7", "7 fields; expected five"),
        ("60 * * * *", "minute '60' is out of range; expected 0–59"),
        ("* 24 * * *", "hour '24'"),
        ("* * 0 * *", "day of month '0' is out of range; expected 1–31"),
        ("* * * 13 *", "month '13' is out of range; expected 1–12 or jan–dec"),
        ("* * * * 8", "day of week '8' is out of range; expected 0–7 or sun–sat"),
        ("* * * * fry", "day of week 'fry'"),
        ("5-1 * * * *", "minute '5-1' has a range that begins after its end"),
        ("*/0 * * * *", "has a step of 0"),
        ("* * L * *", "day of month 'l'"),
        ("* * * * 1#2", "day of week '1#2' cannot be read"),
        ("1-2-3 * * * *", "cannot be read"),
        ("*-5 * * * *", "cannot be read"),
        (", * * * *", "cannot be read"),
        ("@fortnightly", "no such shorthand"),
        ("@every 1h", "no such shorthand"),
    ],
)
def test_what_is_wrong_is_named(expression: str, told: str) -> None:
    with pytest.raises(SettingError, match=told.replace("(", "\\(")):
        parse_cron(expression)


def test_a_day_that_never_comes() -> None:
    with pytest.raises(SettingError, match="never comes"):
        parse_cron("0 0 30 2 *").next_times(1, datetime.UTC)


@pytest.mark.parametrize("name", ["", "Atlantis", "../etc/passwd", "/etc/localtime"])
def test_a_zone_that_is_none(name: str) -> None:
    with pytest.raises(SettingError, match="no such time zone"):
        read_zone(name)

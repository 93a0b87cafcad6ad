"""Every field of a placement and every cron expression: usable, or refused by name."""

import datetime
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import assume, example, given
from hypothesis import strategies as st
from junk import check_message, values, words

from headstart.components.errors import SettingError
from headstart.pipelines.cron import parse_cron, read_zone
from headstart.pipelines.placement import Placement, Resources
from headstart.pipelines.placement_options import read_placement


@pytest.mark.parametrize("name", sorted(Placement.model_fields))
@given(value=values)
def test_field(name: str, value: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    file = tmp_path_factory.getbasetemp() / "field.yaml"
    file.write_text(yaml.safe_dump({name: value}, allow_unicode=True), encoding="utf-8")
    try:
        placement = read_placement(file)
    except SettingError as error:
        check_message(error, name, str(file))
    else:
        assert Placement.model_validate(placement.model_dump()) == placement


@pytest.mark.parametrize("kind", ["training", "data", "report", "preflight"])
@given(name=st.sampled_from(sorted(Resources.model_fields)), value=values)
def test_resource(kind: str, name: str, value: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    file = tmp_path_factory.getbasetemp() / "resource.yaml"
    file.write_text(yaml.safe_dump({kind: {name: value}}, allow_unicode=True), encoding="utf-8")
    try:
        read_placement(file)
    except SettingError as error:
        check_message(error, name, f"{kind}.{name}")


@given(content=st.one_of(st.binary(max_size=80), words.map(str.encode)))
@example(content=b"")
@example(content=b"- 1\n")
@example(content=b"a: &a [*a]\n")
@example(content=b"image: !!python/object/apply:os.system ['true']\n")
def test_file_of_anything(content: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    file = tmp_path_factory.getbasetemp() / "anything.yaml"
    file.write_bytes(content)
    try:
        read_placement(file)
    except SettingError as error:
        check_message(error, str(file))


OPTIONS = ["image", "training_image", "accelerator_type", "cpu", "memory", "google_credentials_secret", "volume_claim"]


@given(name=st.sampled_from(OPTIONS), value=words)
def test_option(name: str, value: str) -> None:
    options: dict[str, Any] = {name: value}
    try:
        read_placement(None, **options)
    except SettingError as error:
        check_message(error, name)


@given(selectors=st.lists(words, max_size=2), tolerations=st.lists(words, max_size=2))
def test_selectors_and_tolerations(selectors: list[str], tolerations: list[str]) -> None:
    try:
        read_placement(None, node_selectors=selectors, tolerations=tolerations)
    except SettingError as error:
        check_message(error, "selector", "toleration")


field = st.one_of(
    st.sampled_from(["*", "?", "*/5", "0", "59", "60", "1-5", "5-1", "1,2", "mon", "jan", "7", "*/0", "-", "1/2", "L"]),
    st.from_regex(r"[0-9*,/?a-z-]{1,8}", fullmatch=True),
)


@given(text=st.one_of(words, st.lists(field, min_size=4, max_size=7).map(" ".join)))
@example(text="30 2 30 2 *")
@example(text="@daily")
def test_cron(text: str) -> None:
    try:
        cron = parse_cron(text)
        times = cron.next_times(3, datetime.UTC, datetime.datetime(2026, 11, 25, tzinfo=datetime.UTC))
    except SettingError as error:
        check_message(error, "--cron")
        assert re.search(r"expected|there are|range|step|never comes", str(error)), "says what would be right"
    else:
        assert times == sorted(set(times))
        assert all(moment.second in cron.values[0] and moment.hour in cron.values[2] for moment in times)
        assert cron.describe()


@given(name=words)
def test_time_zone(name: str) -> None:
    assume(name not in ("UTC",))
    try:
        zone = read_zone(name)
    except SettingError as error:
        check_message(error, "--timezone")
    else:
        assert datetime.datetime.now(zone).tzinfo is zone


def test_a_cron_of_every_day_agrees_with_a_count_by_hand() -> None:
    times = parse_cron("30 2 * * 1").next_times(3, datetime.UTC, datetime.datetime(2026, 11, 25, tzinfo=datetime.UTC))
    assert [moment.isoformat() for moment in times] == [
        "2026-11-30T02:30:00+00:00",
        "2026-12-07T02:30:00+00:00",
        "2026-12-14T02:30:00+00:00",
    ]


def test_a_placement_file_with_a_path_with_spaces_and_quotes(tmp_path: Path) -> None:
    file = tmp_path / 'it\'s "a" file.yaml'
    file.write_text("accelerators: 99\n")
    with pytest.raises(SettingError, match="accelerators") as caught:
        read_placement(file)
    assert str(file) in str(caught.value)

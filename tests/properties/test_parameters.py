"""Every parameter of both pipelines, whatever it is given, is refused by its name or can be used."""

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from junk import check_message, values

from headstart.components.errors import SettingError
from headstart.components.preflight.parameters import LARGEST_SEED, check_parameters, check_seeds

# What a parameter's own name does not stand in: its part that is wrong has a name of its own.
NAMED_OTHERWISE = {
    "settings": "",
    "data_settings": "",
    "report_settings": "Report setting",
    "promotion": "promotion",
    "source_layout": "layout",
    "target_layout": "layout",
}
NAMES = [
    "seeds",
    "arms",
    "preparations",
    "draws",
    "sizes",
    "preset",
    "settings",
    "classes",
    "images_per_class",
    "test_images_per_class",
    "image_size",
    "preparation_seed",
    "selection_seed",
    "data_settings",
    "report_settings",
    "promotion",
    "source_layout",
    "target_layout",
]


@pytest.mark.parametrize("name", NAMES)
@given(value=values)
@example(value=float("nan"))
@example(value=[])
@example(value={})
@example(value=None)
def test_parameter(name: str, value: Any) -> None:
    try:
        check_parameters({name: value})
    except SettingError as error:
        check_message(error, name, NAMED_OTHERWISE.get(name, name))


@given(seeds=st.lists(st.integers(0, LARGEST_SEED), min_size=1, max_size=12, unique=True))
def test_distinct_seeds_are_taken(seeds: list[int]) -> None:
    check_seeds(seeds)
    check_seeds(json.loads(json.dumps([float(seed) for seed in seeds])))


@given(seeds=st.lists(st.integers(0, LARGEST_SEED), min_size=1, max_size=12), data=st.data())
def test_a_seed_that_is_there_twice_is_refused(seeds: list[int], data: st.DataObject) -> None:
    twice = data.draw(st.sampled_from(seeds))
    again = data.draw(st.sampled_from([twice, float(twice)]))
    with pytest.raises(SettingError, match="more than once"):
        check_seeds([*seeds, again])


@pytest.mark.parametrize("seeds", [[], [1.5], [True], ["1"], [-1], [2**32], [None], {"1": 1}, "123", 5, [float("nan")]])
def test_seeds_that_are_none(seeds: Any) -> None:
    with pytest.raises(SettingError, match=r"^seeds: "):
        check_seeds(seeds)

"""The table of stages: what follows from its rows."""

import pytest

from headstart.components.errors import SettingError
from headstart.components.stages import (
    ARMS,
    DEFAULT_ARMS,
    NAMES,
    PREPARATION,
    PRODUCT,
    STAGES,
    Comparison,
    chain,
    chosen_arms,
    comparisons,
)


def test_what_a_stage_starts_from_comes_before_it_in_the_table() -> None:
    for name, stage in STAGES.items():
        assert stage.starts_from is None or NAMES.index(stage.starts_from) < NAMES.index(name)


def test_roles() -> None:
    assert PREPARATION == ("pretrain", "finetune")
    assert PRODUCT == "final"
    assert {*PREPARATION, PRODUCT, *ARMS} == set(NAMES)


def test_chains() -> None:
    assert chain("pretrain") == chain("baseline") == chain("frozen-random") == ()
    assert chain("transfer") == chain("final") == ("pretrain", "finetune")


def test_the_papers_two_arms_are_one_comparison() -> None:
    assert comparisons(DEFAULT_ARMS) == [Comparison("baseline", "transfer")]
    assert comparisons(["transfer", "baseline"]) == [("baseline", "transfer")]


def test_frozen_random_weights_are_compared_with_what_freezes_the_same_layers() -> None:
    assert comparisons(ARMS) == [
        ("baseline", "transfer"),
        ("baseline", "finetuned"),
        ("baseline", "head"),
        ("frozen-random", "transfer"),
    ]
    assert comparisons(["frozen-random", "head"]) == []


def test_arms_come_in_the_order_of_the_table() -> None:
    assert chosen_arms(["head", " transfer", "baseline"]) == ("baseline", "transfer", "head")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["transfer", "middle"], "'middle' is not an arm"),
        (["pretrain", "baseline"], "'pretrain' is not an arm"),
        (["baseline", "baseline", "transfer"], "baseline is given twice"),
        (["baseline"], "baseline: nothing to compare"),
        (["transfer", "head"], "transfer, head: nothing to compare"),
        ([], "none: nothing to compare"),
    ],
)
def test_arms_that_cannot_be_compared_are_refused(names: list[str], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        chosen_arms(names)

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
    arms_by_depth,
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


def test_transfer_by_depth_is_an_arm_that_follows_transfer_and_differs_from_it_only_in_what_is_frozen() -> None:
    names = ["transfer@10", "head", "transfer@2", "frozen-random", "transfer@0", "transfer", "baseline"]
    assert chosen_arms(names) == (
        "baseline", "transfer", "transfer@0", "transfer@2", "transfer@10", "frozen-random", "head"
    )  # fmt: skip
    assert comparisons(["baseline", "transfer@2", "frozen-random", "transfer@0", "pretrain"]) == [
        ("baseline", "transfer@0"),
        ("baseline", "transfer@2"),
    ]
    assert [STAGES[name].frozen for name in ("transfer@0", "transfer@2")] == ["nothing", "first_2_blocks"]
    assert STAGES["transfer@2"].learning_rate == STAGES["transfer"].learning_rate
    assert chain("transfer@2") == chain("transfer")
    assert "transfer@2" in STAGES
    for other in ("transfer@", "transfer@-1", "transfer@02", "finetuned@2", "transfer@1000"):
        assert other not in STAGES


def test_numbers_of_frozen_blocks_are_read_as_ranges_and_lists() -> None:
    assert arms_by_depth("0..2,5") == ("transfer@0", "transfer@1", "transfer@2", "transfer@5")
    for wrong in ("", "a", "3..1", "1..", "-1", "1.5"):
        with pytest.raises(SettingError, match="not a number of blocks"):
            arms_by_depth(wrong)


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

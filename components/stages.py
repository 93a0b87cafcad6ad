"""The table of stages: every stage and arm, what it starts from, what it freezes, and what it is compared with.

Nothing outside this module decides anything by the name of a stage. To add an arm, add a row here: the pipeline, the
schema of the run record, settings, captions and the order of the report follow from it.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Annotated, Literal, NamedTuple

from pydantic import AfterValidator, WithJsonSchema

from headstart.components.errors import SettingError, suggestion

# preparation: makes the weights that are transferred; product: the model that is shipped; control and treatment: arms,
# which are repeated with several seeds and compared.
Role = Literal["preparation", "product", "control", "treatment"]
DataSet = Literal["source", "intermediate", "target"]
# Whose settings of training a stage takes; see headstart.components.training.recipes.
RecipeName = Literal["pretrain", "finetune", "target"]
# nothing, early, backbone, all_but_head or first_N_blocks: which layers keep their weights;
# headstart.components.training.stage_settings says which these are.
Frozen = str
# The arm that is also run with its first N blocks frozen, under names such as transfer@3.
DEEPENED = "transfer"
_BY_DEPTH = re.compile(rf"{DEEPENED}@(0|[1-9][0-9]{{0,2}})")
MOST_BLOCKS = 999


@dataclass(frozen=True)
class Stage:
    """One row of the table.

    Attributes:
        name: as records, files, settings and commands write it.
        title: as people read it, such as a heading or a row of the display.
        caption: what it does, as half a sentence for tables and legends.
        role: what it is for.
        data: the data set that it trains on.
        recipe: the recipe that it trains with.
        starts_from: the stage whose weights it takes over; None: random weights.
        frozen: the rule for layers whose weights do not change.
        learning_rate: factor on the recipe's learning rate; 1 for arms that share the whole recipe.
    """

    name: str
    title: str
    caption: str
    role: Role
    data: DataSet
    recipe: RecipeName
    starts_from: str | None = None
    frozen: Frozen = "nothing"
    learning_rate: float = 1.0

    @property
    def is_arm(self) -> bool:
        """Whether it is repeated with several seeds and compared."""
        return self.role in ("control", "treatment")


def frozen_blocks(name: str) -> int | None:
    """Return N of an arm `transfer@N`; None for every other name."""
    matched = _BY_DEPTH.fullmatch(name)
    return int(matched[1]) if matched else None


class _Table(dict[str, Stage]):
    """The rows by name; that of an arm `transfer@N` is made when it is asked for and is in no listing."""

    def __contains__(self, name: object) -> bool:
        return super().__contains__(name) or (isinstance(name, str) and frozen_blocks(name) is not None)

    def __missing__(self, name: str) -> Stage:
        depth = frozen_blocks(name)
        if depth is None:
            raise KeyError(name)
        blocks = "no block" if not depth else "the first block" if depth == 1 else f"the first {depth} blocks"
        return replace(
            self[DEEPENED],
            name=name,
            title=f"Transfer at depth {depth}",
            caption=f"from transferred weights, {blocks} frozen",
            frozen=f"first_{depth}_blocks" if depth else "nothing",
        )


# In the order in which displays, tables and the report show them.
STAGES: dict[str, Stage] = _Table(
    (stage.name, stage)
    for stage in (
        Stage("pretrain", "Pretrain", "trained on the source set from random weights",
              "preparation", "source", "pretrain"),
        Stage("finetune", "Fine-tune", "trained on the intermediate set, the early layers frozen",
              "preparation", "intermediate", "finetune", "pretrain", "early"),
        Stage("final", "Final model", "the model that is shipped",
              "product", "target", "target", "finetune", "backbone"),
        Stage("baseline", "Baseline", "from random weights",
              "control", "target", "target"),
        Stage(DEEPENED, "Transfer", "from transferred weights, the backbone frozen",
              "treatment", "target", "target", "finetune", "backbone"),
        Stage("finetuned", "Fine-tuned", "from transferred weights, nothing frozen, at its own learning rate",
              "treatment", "target", "target", "finetune", "nothing", learning_rate=0.1),
        Stage("frozen-random", "Frozen random", "from random weights, the same layers frozen as in transfer",
              "control", "target", "target", None, "backbone"),
        Stage("head", "Head only", "from transferred weights, everything but the last layer frozen",
              "treatment", "target", "target", "finetune", "all_but_head"),
    )
)  # fmt: skip

NAMES: tuple[str, ...] = tuple(STAGES)
PREPARATION: tuple[str, ...] = tuple(name for name, stage in STAGES.items() if stage.role == "preparation")
PRODUCT: str = next(name for name, stage in STAGES.items() if stage.role == "product")
ARMS: tuple[str, ...] = tuple(name for name, stage in STAGES.items() if stage.is_arm)
# The paper's two.
DEFAULT_ARMS: tuple[str, ...] = ("baseline", "transfer")


def order(name: str) -> int:
    """Return the place of a stage in the table, to sort by: transfer by depth after transfer, unknown names last."""
    depth = frozen_blocks(name)
    known = DEEPENED if depth is not None else name
    place = NAMES.index(known) if known in NAMES else len(NAMES)
    return place * (MOST_BLOCKS + 2) + (0 if depth is None else depth + 1)


class Comparison(NamedTuple):
    """Two arms, by name: what the treatment changes is measured against the control."""

    control: str
    treatment: str


def comparisons(arms: Iterable[str] = ARMS) -> list[Comparison]:
    """Return what is compared where `arms` (names, in any order) were run; the first is the experiment's question.

    The first control is compared with every treatment; a further control only with those treatments that freeze the
    same layers, so that the weights they start from are all that differs.
    """
    present = sorted(set(arms), key=order)
    controls = [name for name in present if STAGES[name].role == "control"]
    treatments = [name for name in present if STAGES[name].role == "treatment"]
    first = next(name for name in ARMS if STAGES[name].role == "control")
    return [
        Comparison(control, treatment)
        for control, treatment in itertools.product(controls, treatments)
        if control == first or STAGES[control].frozen == STAGES[treatment].frozen
    ]


def chain(name: str) -> tuple[str, ...]:
    """Return the stages whose weights `name` builds on, the earliest first, without itself."""
    start = STAGES[name].starts_from
    return () if start is None else (*chain(start), start)


def chosen_arms(names: Iterable[str]) -> tuple[str, ...]:
    """Return `names` in the order of the table; SettingError unless they are arms that can be compared, each once."""
    given = [name.strip() for name in names]
    unknown = [name for name in given if name not in ARMS and frozen_blocks(name) is None]
    if unknown:
        raise SettingError(
            f"arms: {unknown[0]!r} is not an arm.{suggestion(unknown[0], ARMS)}",
            f"There are {', '.join(ARMS)}, and transfer@N: the first N blocks frozen.",
        )
    twice = [name for name in given if given.count(name) > 1]
    if twice:
        raise SettingError(f"arms: {twice[0]} is given twice.", "Name every arm once.")
    if not comparisons(given):
        raise SettingError(
            f"arms: {', '.join(given) or 'none'}: nothing to compare.",
            f"Name a control and a treatment, for example {','.join(DEFAULT_ARMS)}.",
        )
    return tuple(sorted(given, key=order))


def arms_by_depth(text: str) -> tuple[str, ...]:
    """Read numbers of frozen blocks, such as `0..4` or `0,2,5`, and return their arms; SettingError for other texts."""
    depths: list[int] = []
    for part in text.split(","):
        matched = re.fullmatch(r"\s*([0-9]{1,3})(?:\.\.([0-9]{1,3}))?\s*", part)
        if matched is None or int(matched[2] or matched[1]) < int(matched[1]):
            raise SettingError(f"--frozen {text}: {part!r} is not a number of blocks.", "For example 0..4 or 0,2,5.")
        depths += range(int(matched[1]), int(matched[2] or matched[1]) + 1)
    return tuple(f"transfer@{depth}" for depth in depths)


def _known(name: str) -> str:
    if name not in STAGES:
        raise ValueError(f"Input should be one of {', '.join(NAMES)} or transfer@N")
    return name


# The name of a stage, in pydantic models.
StageName = Annotated[
    str,
    AfterValidator(_known),
    WithJsonSchema({"type": "string", "pattern": f"^({'|'.join(NAMES)}|{_BY_DEPTH.pattern})$"}),
]

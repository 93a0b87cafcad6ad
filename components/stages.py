"""The table of stages: every stage and arm, what it starts from, what it freezes, and what it is compared with.

Nothing outside this module decides anything by the name of a stage. To add an arm, add a row here: the pipeline, the
schema of the run record, settings, captions and the order of the report follow from it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Literal, NamedTuple

from pydantic import AfterValidator, WithJsonSchema

from headstart.components.errors import SettingError

# preparation: makes the weights that are transferred; product: the model that is shipped; control and treatment: arms,
# which are repeated with several seeds and compared.
Role = Literal["preparation", "product", "control", "treatment"]
DataSet = Literal["source", "intermediate", "target"]
# Whose settings of training a stage takes; see headstart.components.training.recipes.
RecipeName = Literal["pretrain", "finetune", "target"]
# Which layers keep their weights; headstart.components.training.stage_settings says which these are.
Frozen = Literal["nothing", "early", "backbone", "all_but_head"]


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


# In the order in which displays, tables and the report show them.
STAGES: dict[str, Stage] = {
    stage.name: stage
    for stage in (
        Stage("pretrain", "Pretrain", "trained on the source set from random weights",
              "preparation", "source", "pretrain"),
        Stage("finetune", "Fine-tune", "trained on the intermediate set, the early layers frozen",
              "preparation", "intermediate", "finetune", "pretrain", "early"),
        Stage("final", "Final model", "the model that is shipped",
              "product", "target", "target", "finetune", "backbone"),
        Stage("baseline", "Baseline", "from random weights",
              "control", "target", "target"),
        Stage("transfer", "Transfer", "from transferred weights, the backbone frozen",
              "treatment", "target", "target", "finetune", "backbone"),
        Stage("finetuned", "Fine-tuned", "from transferred weights, nothing frozen, at a tenth of the learning rate",
              "treatment", "target", "target", "finetune", "nothing", learning_rate=0.1),
        Stage("frozen-random", "Frozen random", "from random weights, the same layers frozen as in transfer",
              "control", "target", "target", None, "backbone"),
        Stage("head", "Head only", "from transferred weights, everything but the last layer frozen",
              "treatment", "target", "target", "finetune", "all_but_head"),
    )
}  # fmt: skip

NAMES: tuple[str, ...] = tuple(STAGES)
PREPARATION: tuple[str, ...] = tuple(name for name, stage in STAGES.items() if stage.role == "preparation")
PRODUCT: str = next(name for name, stage in STAGES.items() if stage.role == "product")
ARMS: tuple[str, ...] = tuple(name for name, stage in STAGES.items() if stage.is_arm)
# The paper's two.
DEFAULT_ARMS: tuple[str, ...] = ("baseline", "transfer")


class Comparison(NamedTuple):
    """Two arms, by name: what the treatment changes is measured against the control."""

    control: str
    treatment: str


def comparisons(arms: Iterable[str] = ARMS) -> list[Comparison]:
    """Return what is compared where `arms` (names, in any order) were run; the first is the experiment's question.

    The first control is compared with every treatment; a further control only with those treatments that freeze the
    same layers, so that the weights they start from are all that differs.
    """
    present = set(arms)
    controls = [name for name in ARMS if STAGES[name].role == "control"]
    treatments = [name for name in ARMS if STAGES[name].role == "treatment"]
    return [
        Comparison(control, treatment)
        for control, treatment in itertools.product(controls, treatments)
        if {control, treatment} <= present
        and (control == controls[0] or STAGES[control].frozen == STAGES[treatment].frozen)
    ]


COMPARISONS: list[Comparison] = comparisons()


def chain(name: str) -> tuple[str, ...]:
    """Return the stages whose weights `name` builds on, the earliest first, without itself."""
    start = STAGES[name].starts_from
    return () if start is None else (*chain(start), start)


def order(name: str) -> int:
    """Return the place of a stage in the table, to sort by."""
    return NAMES.index(name)


def chosen_arms(names: Iterable[str]) -> tuple[str, ...]:
    """Return `names` in the order of the table; SettingError unless they are arms that can be compared, each once."""
    given = [name.strip() for name in names]
    unknown = [name for name in given if name not in ARMS]
    if unknown:
        raise SettingError(f"arms: {unknown[0]!r} is not an arm.", f"There are {', '.join(ARMS)}.")
    twice = [name for name in given if given.count(name) > 1]
    if twice:
        raise SettingError(f"arms: {twice[0]} is given twice.", "Name every arm once.")
    if not comparisons(given):
        raise SettingError(
            f"arms: {', '.join(given) or 'none'}: nothing to compare.",
            f"Name a control and a treatment, for example {','.join(DEFAULT_ARMS)}.",
        )
    return tuple(sorted(given, key=order))


def _known(name: str) -> str:
    if name not in STAGES:
        raise ValueError(f"Input should be one of {', '.join(NAMES)}")
    return name


# The name of a stage, in pydantic models.
StageName = Annotated[str, AfterValidator(_known), WithJsonSchema({"type": "string", "enum": list(NAMES)})]

"""The experiment's design: which runs there are, in what order, and which of them one task trains.

A *cell* is one seed on one preparation and one draw of the target's training images; every arm is run in it, one right
after the other, so that a machine that gets slower or faster meets all arms alike. The order of the arms is evened out
within every cell, preparation and draw. On a learning curve a cell is also of one size: how many of
the training images are used.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from headstart.components.datasets.left_out import AUTO, NONE
from headstart.components.errors import SettingError
from headstart.components.stages import DEFAULT_ARMS, STAGES, chosen_arms, order

# A workflow is one object of at most 1 MiB in Kubernetes, and an iteration of a loop takes about 6 kB of it, so the
# loops together have at most this many iterations; with more cells a task trains several.
LARGEST_LOOPS = 100
MOST_PREPARATIONS = 20
MOST_DRAWS = 100
# The report's container gets the plan and the address of every task's records as one argument, which Linux limits to
# 128 KiB: up to 27 bytes per run of two arms, and about 700 bytes per iteration.
MOST_RUNS = 4000

# How many preparations and draws the runs are spread over where nothing else is asked for. `paper` repeats the paper:
# one chain of pretraining and fine-tuning, one set of target images.
DESIGNS = {"paper": (1, 1), "fast": (3, 3), "demo": (2, 3)}
# What `headstart curve` runs where nothing else is asked for.
CURVE_RUNS, CURVE_DRAWS = 6, 3
# The drawn demonstration set has about 350 training images in the smallest class: draws of fewer differ.
IMAGES_PER_CLASS = {"paper": 400, "fast": 400, "demo": 250}


class Cell(NamedTuple):
    """One seed on one preparation and draw, and the arms in the order in which they are run.

    `size` is the number of training images per class on a learning curve; 0: all there are, without a curve.
    """

    seed: int
    preparation: int
    draw: int
    arms: tuple[str, ...]
    size: int = 0

    def __str__(self) -> str:
        numbers = [self.seed, self.preparation, self.draw, *([self.size] if self.size else [])]
        return f"{'/'.join(map(str, numbers))}:{','.join(self.arms)}"


class Plan(NamedTuple):
    """What an experiment does, its defaults filled in.

    Attributes:
        preset: the recipe; the one after which the defaults below are chosen, where none was asked for.
        images_per_class: training images of each target class; of a learning curve, those of its largest size.
        preparations: numbers of the chains of pretraining and fine-tuning, from 0.
        draws: how many draws of the target's training images there are.
        arms: in the order of the table of stages.
        cells: in the order in which they are run.
        tasks: the cells that each training task works through, as texts for `read_cells`.
    """

    preset: str
    images_per_class: int
    preparations: list[int]
    draws: int
    arms: tuple[str, ...]
    cells: list[Cell]
    tasks: list[str]


def on_prepared_models(parameters: Mapping[str, Any]) -> bool:
    """Say whether these are the parameters of a curve on prepared models, which has a pipeline of its own."""
    return isinstance(parameters.get("prepared"), list)


def plan(parameters: Mapping[str, Any]) -> Plan:
    """Return the plan for a pipeline's `parameters`; SettingError names what cannot be.

    What is absent, empty or 0 takes its default: the preset `demo` where both data sets are drawn, else `paper`; the
    number of preparations and draws as the preset has it, as far as there are runs for them. Run number i is on
    preparation i mod K and draw (i + i div lcm(K, D)) mod D: few runs already vary both, all pairs come up equally
    often, and a longer list of seeds keeps the cells of a shorter one that it begins with.
    """
    sets = [str(parameters.get(name) or AUTO) for name in ("source_data", "intermediate_data")]
    drawn = all(uri == AUTO or uri.startswith("demo:") for uri in sets) and not parameters.get("target_data")
    preset = str(parameters.get("preset") or ("demo" if drawn else "paper"))
    named = parameters.get("arms") or DEFAULT_ARMS
    if not isinstance(named, list | tuple) or not all(isinstance(arm, str) for arm in named):
        raise SettingError(f"arms: found {named!r}, expected a list of names such as {list(DEFAULT_ARMS)}.")
    arms = chosen_arms(named)
    seeds = [int(seed) for seed in parameters.get("seeds") or range(1, 11)]
    usual = DESIGNS.get(preset, (1, 1))
    trained = {*sets} != {NONE}
    several = min(usual[0], len(seeds)) if trained else 1
    preparations = _count("preparations", parameters.get("preparations") or several, MOST_PREPARATIONS)
    if preparations > 1 and not trained:
        raise SettingError(
            f"preparations: found {preparations}, but no stage is trained before the arms, so that none would differ.",
            "Leave it out, or give source_data or intermediate_data.",
        )
    draws = _count("draws", parameters.get("draws") or usual[1], MOST_DRAWS)
    if len(seeds) * len(arms) > MOST_RUNS:
        raise SettingError(
            f"seeds: {len(seeds)} seeds of {len(arms)} arms are {len(seeds) * len(arms):,} runs; "
            f"one experiment holds at most {MOST_RUNS:,}.",
            "Use fewer seeds, or several experiments.",
        )
    if preparations > len(seeds):
        raise SettingError(
            f"preparations: {preparations} preparations for {len(seeds)} runs of each arm; some would never be used.",
            f"Ask for at least {preparations} runs, or for at most {len(seeds)} preparations.",
        )
    cells = list(_cells(seeds, preparations, draws, arms))
    # A preparation is an iteration of two tasks.
    size = -(-len(cells) // (LARGEST_LOOPS - 2 * preparations))
    tasks = [" ".join(map(str, cells[start : start + size])) for start in range(0, len(cells), size)]
    sizes = parameters.get("sizes") or []
    follow = not sizes or sizes in ([AUTO_SIZES], (AUTO_SIZES,))
    usual_images = IMAGES_PER_CLASS.get(preset, 400) if follow else max(check_sizes(sizes))
    images = _count("images_per_class", parameters.get("images_per_class") or usual_images, 10**9)
    return Plan(preset, images, list(range(preparations)), draws, arms, cells, tasks)


def cells_asked_for(parameters: Mapping[str, Any], preparations: Iterable[int]) -> list[Cell]:
    """Return the cells of a pipeline that ran with `parameters`; SettingError as `plan`.

    Of a curve on prepared models, how many there were is in the records alone: `preparations` are those of the records,
    read only then.
    """
    if on_prepared_models(parameters):
        parameters = {**parameters, "preparations": 1 + max(preparations)}
    return plan(parameters).cells


def read_cells(text: str) -> list[Cell]:
    """Read what a task is told to train, such as `3/0/1:baseline,transfer 4/1/1:transfer,baseline`."""
    cells = []
    for word in text.split():
        try:
            numbers, _, arms = word.partition(":")
            seed, preparation, draw, *size = map(int, numbers.split("/"))
            if len(size) > 1:
                raise ValueError(word)
            cells.append(Cell(seed, preparation, draw, tuple(arms.split(",")), *size))
        except ValueError:
            raise SettingError(f"cells: {word!r} is not SEED/PREPARATION/DRAW:ARM,ARM or …/DRAW/SIZE:….") from None
        unknown = [arm for arm in cells[-1].arms if arm not in STAGES]
        if unknown:
            raise SettingError(f"cells: {word!r} names {unknown[0]!r}, which is not an arm.")
    return cells


# The sizes of a learning curve that follow from how many images there are.
AUTO_SIZES = "auto"


def check_sizes(sizes: Any, images_per_class: int = 0) -> list[int]:
    """Return the sizes of a learning curve in training images per class, ascending; empty: there is no curve.

    `["auto"]` are `default_sizes(images_per_class)`. SettingError unless they are two or more whole numbers, each
    once, and none larger than `images_per_class` where that is known (not 0).
    """
    if not isinstance(sizes, list | tuple):
        raise SettingError(f"sizes: found {sizes!r}, expected a list of whole numbers such as [12, 25, 50].")
    if list(sizes) == [AUTO_SIZES]:
        sizes = default_sizes(images_per_class or 32)
    found = sorted(_count("sizes", size, 10**9) for size in sizes)
    if len(set(found)) < len(found):
        raise SettingError("sizes: one of them is given twice.", "Name every size once.")
    if len(found) == 1:
        raise SettingError(f"sizes: {found[0]} alone is no curve.", "Give two sizes or more, six for a good curve.")
    if images_per_class and found and found[-1] > images_per_class:
        raise SettingError(
            f"sizes: {found[-1]} training images per class; the target set has {images_per_class}.",
            f"Give sizes up to {images_per_class}; images_per_class selects more, where the target is selected.",
        )
    return found


def default_sizes(images_per_class: int) -> list[int]:
    """Return 1/32, 1/16 … 1 of `images_per_class`, rounded; of one and more, each once."""
    return sorted({max(1, round(images_per_class / 2**halvings)) for halvings in range(6)})


def mean_per_class(images: int, classes: int) -> int:
    """Return the mean number of images per class, rounded; at least 1."""
    return max(1, round(images / max(1, classes)))


def curve_tasks(cells: Sequence[Cell], sizes: Sequence[int], loops: int = LARGEST_LOOPS) -> list[str]:
    """Return what each training task works through so that every cell is run at every size: texts for `read_cells`.

    A task has all sizes of one cell, the smallest first, the order of the arms alternating from size to size; where
    there are more cells than `loops`, those of several. SettingError where they are too many runs for one curve.
    """
    runs = len(sizes) * sum(len(cell.arms) for cell in cells)
    if runs > MOST_RUNS:
        raise SettingError(
            f"sizes: {len(sizes)} sizes make {runs:,} runs; one curve holds at most {MOST_RUNS:,}.",
            "Use fewer sizes or fewer runs.",
        )
    per_cell = [
        " ".join(
            str(cell._replace(size=size, arms=cell.arms[:: -1 if place % 2 else 1])) for place, size in enumerate(sizes)
        )
        for cell in cells
    ]
    several = -(-len(cells) // loops)
    return [" ".join(per_cell[start : start + several]) for start in range(0, len(cells), several)]


def _cells(seeds: Sequence[int], preparations: int, draws: int, arms: Sequence[str]) -> Iterator[Cell]:
    # How often the arms came in their own order less how often in the reverse: in the cell, in its preparation, in its
    # draw and in all. The next order is the one that evens them out.
    lean: Counter[tuple[str, int, int]] = Counter()
    for index, seed in enumerate(seeds):
        preparation, draw = index % preparations, (index + index // math.lcm(preparations, draws)) % draws
        keys = [("cell", preparation, draw), ("preparation", preparation, 0), ("draw", 0, draw), ("all", 0, 0)]
        cell, *rest = (lean[key] for key in keys)
        forward = (cell or sum(rest)) <= 0
        lean.update(dict.fromkeys(keys, 1 if forward else -1))
        yield Cell(seed, preparation, draw, tuple(sorted(arms, key=order, reverse=not forward)))


def _count(name: str, value: Any, most: int) -> int:
    whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    if isinstance(value, bool) or not whole or not 1 <= value <= most:
        raise SettingError(f"{name}: found {value!r}, expected a whole number from 1 to {most}.")
    return int(value)

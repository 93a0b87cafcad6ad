"""The committed table of the promotion gate's errors: what it must hold, and that a small simulation agrees."""

import math
import re
from pathlib import Path

import pytest

from benchmarks import gate

PAGE = Path(__file__).parents[2] / "docs" / "retraining.md"


def rows(title: str) -> list[list[str]]:
    """The rows of the committed table that follows the line which begins with `title`."""
    text = PAGE.read_text(encoding="utf-8")
    text = text[text.index(gate.BEGIN) : text.index(gate.END)]
    table = text[text.index(title) :].split("\n\n")[1].splitlines()[2:]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in table]


def shares(cell: str) -> list[float]:
    return [float(number) / 100 for number in re.findall(r"([\d.]+) %", cell)]


def test_the_committed_table_holds_what_the_project_claims() -> None:
    for row in rows("No better"):
        for cell in row[2:]:
            assert shares(cell)[1] <= 0.05
    for row in rows("No better, 1,000 retrainings per row, where"):
        assert shares(row[4])[0] <= 0.05
    for row in rows("No better, test images in films"):
        assert shares(row[5])[0] <= 0.05 < shares(row[4])[0], "films matter, and are counted"
    for row in rows("50 nightly"):
        assert shares(row[3])[0] <= 0.05
    power = {(row[0], row[1]): shares(row[6])[0] for row in rows("Truly better") if shares(row[2])[0] < 0.05}
    assert power["900", "+2 points"] >= 0.95
    assert power["300", "+2 points"] >= 0.75


@pytest.mark.parametrize(("images", "apart", "column"), [(90, 0.03, 3), (300, 0.06, 4), (900, 0.03, 3)])
def test_the_committed_table_is_what_a_reduced_simulation_gives(images: int, apart: float, column: int) -> None:
    trials = 150
    world = gate.World(images, 0.0, apart, gate.few_images)
    measured = gate.share_promoted(world, trials, seed=11, better=False)
    (row,) = [row for row in rows("No better") if row[:2] == [f"{images:,}", "few images"]]
    for name, expected in zip(("rules", "evidence"), shares(row[column]), strict=True):
        # Four standard errors of both simulations, and one trial.
        error = 4 * math.sqrt(max(expected * (1 - expected), 0.002) * (1 / trials + 1 / gate.TRIALS)) + 1 / trials
        assert abs(measured[name] - expected) <= error


def test_films_are_what_a_reduced_simulation_gives() -> None:
    trials = 150
    found = gate.share_promoted(gate.World(300, 0.0, 0.06, gate.few_images, 10), trials, seed=13, better=False)
    (row,) = [row for row in rows("No better, test images in films") if row[0] == "300"]
    for name, cell in zip(("rules", "blind", "evidence"), row[3:], strict=True):
        expected = shares(cell)[0]
        error = 4 * math.sqrt(max(expected * (1 - expected), 0.002) * (1 / trials + 1e-3)) + 1 / trials
        assert abs(found[name] - expected) <= error


def test_the_power_is_what_a_reduced_simulation_gives() -> None:
    trials = 150
    (row,) = [row for row in rows("Truly better") if row[:3] == ["300", "+2 points", "4.0 %"]]
    for column, draw in ((5, gate.few_images), (6, gate.all_images)):
        measured = gate.share_promoted(gate.World(300, 0.02, 0.04, draw), trials, seed=12, better=True)["evidence"]
        expected = shares(row[column])[0]
        error = 4 * math.sqrt(expected * (1 - expected) * (1 / trials + 1 / gate.TRIALS))
        assert abs(measured - expected) <= error

"""The simulation of the intervals: what it counts, and that the page holds its tables."""

from benchmarks import coverage
from headstart.components.reporting.summary import Interval


def test_a_cell_counts_open_ends_and_missing_intervals() -> None:
    cell = coverage.Cell()
    for low, high, method in (
        (1.0, 3.0, "t"),
        (2.5, 3.0, "t"),
        (None, 3.0, "t"),
        (1.0, None, "t"),
        (None, None, "none"),
    ):
        cell.add(Interval(low=low, high=high, method=method), 2.0)
    assert (cell.held, cell.given, cell.asked) == (3, 4, 5)
    assert cell.text() == "**75.0** (20 % none)"
    assert coverage.Cell().text() == "–"


def test_laws_have_the_truths_that_follow_from_their_formulas() -> None:
    true = coverage.truths(coverage.TIMES["lognormal, 0.3"])
    assert all(abs(true[name] - 8) < 0.02 for name in ("pairs", "geometric mean", "mean"))


def test_intervals_of_a_normal_law_hold_as_often_as_they_say() -> None:
    (block,) = coverage.gains(300)
    cells = block.rows["normal, 0.9 and 0.4 points"]
    # Of 1,200 intervals of 95 % fewer than 1,110 hold with a chance of two in ten thousand.
    assert sum(cell.held for cell in cells) >= 1110


def test_the_page_holds_every_table() -> None:
    page = coverage.PAGE.read_text(encoding="utf-8")
    between = page.partition(coverage.BEGIN)[2].partition(coverage.END)[0]
    rows = [*coverage.TIMES, *coverage.ACCURACIES, *coverage.TEST_SETS, *(design.name for design in coverage.DESIGNS)]
    assert [name for name in rows if f"| {name} |" not in between] == []

"""The measured numbers with their intervals and tests, as tables."""

from __future__ import annotations

from collections.abc import Callable

from headstart.components.reporting import units
from headstart.components.reporting.summary import Interval, Summary, Tests
from headstart.components.reporting.tables import Table


def _interval(found: Interval, render: Callable[[float | None], str], open_end: str = "") -> str:
    if found.low is None and found.high is None:
        return units.MISSING
    return f"{render(found.low)} to {render(found.high) if found.high is not None else open_end or units.MISSING}"


def estimates_table(summary: Summary) -> Table:
    """Every comparison of the arms: estimate, interval, how the interval was made, what to know."""
    speedup = summary.speedup
    rows = []
    for label, found in (
        ("training time", speedup.train),
        ("training time, means", speedup.train_of_means),
        ("processor time of training", speedup.cpu),
        ("all phases", speedup.all_phases),
        (f"time to {units.percent(summary.target_accuracy)}", speedup.time_to_accuracy),
        ("epochs", speedup.epochs),
        ("seconds per epoch", speedup.seconds_per_epoch),
    ):
        rows.append(
            [
                f"{label}, baseline / transfer",
                units.factor(found.estimate),
                _interval(found, units.factor, "no upper end"),
                found.method,
                found.note,
            ]
        )
    gain = summary.accuracy_gain
    rows.append(
        [
            "test accuracy, means, transfer − baseline, points",
            units.signed_points(gain.estimate),
            _interval(gain, units.signed_points),
            gain.method,
            gain.note,
        ]
    )
    pays = summary.break_even
    models = Interval(estimate=pays.models, low=pays.low, high=pays.high)
    rows.append(
        [
            "models until preparation breaks even",
            units.number(pays.models) if pays.models is not None else "never" if pays.never else units.MISSING,
            _interval(models, units.number, "perhaps never"),
            pays.method,
            f"{units.number(pays.all_phases_models)} with start-up and evaluation counted in"
            if pays.all_phases_models is not None
            else pays.text,
        ]
    )
    return Table(
        caption="Estimates and intervals",
        columns=["quantity", "estimate", f"{100 * summary.confidence:.0f} % interval", "method", "note"],
        rows=rows,
        numeric=frozenset({1, 2}),
        note="Mann–Whitney: the median ratio of all pairs of runs. A t interval on logarithms: the ratio of geometric "
        "means. Runs that never reached the target "
        "accuracy count as longer than every time observed. Target: "
        f"{units.percent(summary.target_accuracy, 2)}, {summary.target_accuracy_origin}.",
    )


def tests_table(summary: Summary) -> Table:
    """Tests and effect sizes for time and accuracy."""

    def row(label: str, found: Tests) -> list[str]:
        return [
            label,
            units.probability(found.welch_p),
            units.probability(found.mann_whitney_p),
            units.probability(found.wilcoxon_p),
            str(found.pairs),
            units.percent(found.probability_transfer_above, 0),
        ]

    return Table(
        caption="Tests, two-sided",
        columns=[
            "transfer against baseline",
            "Welch p",
            "Mann–Whitney p",
            "Wilcoxon p",
            "pairs",
            "P(transfer higher)",
        ],
        rows=[row("training time", summary.speedup.train_tests), row("test accuracy", summary.accuracy_tests)],
        numeric=frozenset(range(1, 6)),
        note="Wilcoxon is of the runs that share a seed. P(transfer higher): probability that a transfer run has the "
        "higher value, ties counted half.",
    )

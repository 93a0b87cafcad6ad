"""The measured numbers of a comparison with their intervals and tests, as tables."""

from __future__ import annotations

from collections.abc import Callable

from headstart.components.reporting import units
from headstart.components.reporting.summary import Compared, Interval, Summary, Tests
from headstart.components.reporting.tables import Table


def tables(summary: Summary) -> list[Table]:
    """Every table of every comparison."""
    return [
        table
        for compared in summary.comparisons
        for table in (
            estimates_table(summary, compared),
            *([class_table(summary, compared)] if compared.gain_by_class else []),
            tests_table(compared),
        )
    ]


def estimates_table(summary: Summary, compared: Compared) -> Table:
    """Every quantity of a comparison: estimate, interval, what it could have seen, how it was made, what to know."""
    speedup, gain, pays = compared.speedup, compared.accuracy_gain, compared.break_even
    versus, less = f"{compared.control} / {compared.treatment}", f"{compared.treatment} − {compared.control}"
    target = units.percent(summary.target_accuracy)
    ratios = [
        ("training time", speedup.train),
        ("training time, means", speedup.train_of_means),
        ("processor time of training", speedup.cpu),
        ("all phases", speedup.all_phases),
        (f"time to {target}", speedup.time_to_accuracy),
        ("epochs", speedup.epochs),
        ("seconds per epoch", speedup.seconds_per_epoch),
    ]
    rows = [_row(f"{label}, {versus}", content, units.factor) for label, content in ratios]
    rows += [
        _row(f"{label}, {less}, points", content, units.signed_points)
        for label, content in (
            ("test accuracy, these images", gain.these_images),
            ("test accuracy, new images", gain.new_images),
        )
    ]
    every = f"{units.number(pays.all_phases_models)} with every phase counted" if pays.all_phases_models else pays.text
    models = Interval(estimate=pays.models, low=pays.low, high=pays.high, method=pays.method, note=every)
    rows.append(_row("models until preparation has paid for itself", models, units.number))
    return Table(
        caption=f"Estimates and intervals: {compared.treatment} against {compared.control}",
        columns=[
            "quantity",
            "estimate",
            f"{units.confidence(summary.confidence)} interval",
            "could have seen",
            "method",
            "note",
        ],
        rows=rows,
        numeric=frozenset({1, 2, 3}),
        note="Mann–Whitney: the median ratio of all pairs of runs. A t interval on logarithms: the ratio of geometric "
        "means. Could have seen: the smallest true ratio or difference that this design shows in four of five "
        "experiments. Runs that never reached the target accuracy count as longer than every time observed. Target: "
        f"{units.percent(summary.target_accuracy, 2)}, {summary.target_accuracy_origin}. Times are those of this "
        "hardware and recipe.",
    )


def _row(label: str, content: Interval, render: Callable[[float | None], str]) -> list[str]:
    seen = content.could_have_seen
    return [
        label,
        render(content.estimate),
        _ends(content, render),
        units.MISSING if seen is None else render(seen).lstrip("+"),
        content.method,
        content.note,
    ]


def _ends(content: Interval, render: Callable[[float | None], str]) -> str:
    return units.ends(content.low, content.high, render) or units.MISSING


def by_chance(confidence: float) -> str:
    """What to expect of many intervals of `confidence`."""
    return f"Of 100 classes that do not differ about {100 * (1 - confidence):.3g} show a difference."


def class_table(summary: Summary, compared: Compared) -> Table:
    """Gain in the share of each class's test images that is found."""
    return Table(
        caption=f"Gain by class, points: {compared.treatment} against {compared.control}",
        columns=["class", "gain", f"{units.confidence(summary.confidence)} interval"],
        rows=[
            [
                name,
                units.signed_points(gain.estimate),
                units.ends(gain.low, gain.high, units.signed_points) or units.MISSING,
            ]
            for name, gain in compared.gain_by_class.items()
        ],
        numeric=frozenset({1, 2}),
        note=f"On these test images, each class by itself. {by_chance(summary.confidence)}",
    )


def tests_table(compared: Compared) -> Table:
    """Tests and effect size for time and accuracy."""

    def row(label: str, content: Tests) -> list[str]:
        return [
            label,
            units.probability(content.welch_p),
            units.probability(content.mann_whitney_p),
            units.probability(content.wilcoxon_p),
            str(content.pairs),
            units.percent(content.probability_transfer_above, 0),
        ]

    return Table(
        caption=f"Tests, two-sided: {compared.treatment} against {compared.control}",
        columns=["quantity", "Welch p", "Mann–Whitney p", "Wilcoxon p", "pairs", f"P({compared.treatment} higher)"],
        rows=[row("training time", compared.speedup.train_tests), row("test accuracy", compared.accuracy_tests)],
        numeric=frozenset(range(1, 6)),
        note="Welch and Mann–Whitney take all runs as independent: what runs share by their preparation or draw is in "
        "the intervals above, not in these. Wilcoxon is of the runs that share a seed. "
        f"P({compared.treatment} higher): share of all pairs of runs in which its run has the higher value, ties "
        "counted half.",
    )

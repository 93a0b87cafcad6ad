"""Whether one experiment is slower or less accurate than another, beyond what noise explains.

Each quantity is judged by Welch's one-sided t test on the means that the summaries hold, all of them together with
Holm's correction (1979), so that judging many quantities does not find a difference by chance more often. A difference
must besides be larger than a tolerance: two sessions on one machine differ by more than the runs within each show.
Where none is shown, a note says which one would have been, in four of five cases.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from headstart.components.errors import HeadstartError, SettingError
from headstart.components.reporting import units
from headstart.components.reporting.statistics import could_have_seen
from headstart.components.reporting.summary import Arm, Description, Summary, read_summary
from headstart.components.stages import order

Verdict = Literal["worse", "better", "same", "not judged"]


@dataclass(frozen=True)
class Judgement:
    """One quantity of both experiments: `p_worse` is the chance of so much worse a B if both were alike.

    `seen` returns, as text, the smallest true difference that a test at a level finds; None: not computable.
    """

    quantity: str
    a: str
    b: str
    change: str
    verdict: Verdict
    p_worse: float | None = None
    p_better: float | None = None
    beyond_tolerance: bool = True
    note: str = ""
    seen: Callable[[float], str] | None = None


@dataclass(frozen=True)
class Comparison:
    """All judgements, what could not be compared, and the conclusion."""

    judgements: list[Judgement]
    notices: list[str]

    @property
    def worse(self) -> bool:
        """B is worse in something."""
        return any(judgement.verdict == "worse" for judgement in self.judgements)


def load(path: Path) -> Summary:
    """The summary in a file or an output folder, or made from the run records of a folder; SettingError if neither."""
    from headstart.components.reporting.collecting import find_records, group
    from headstart.components.reporting.report import measure

    try:
        if path.is_file() or (path / "summary.json").is_file():
            return read_summary(path)
        groups = group(find_records([path]))
    except HeadstartError as error:
        raise SettingError(error.message, error.remedy) from error
    if len(groups) != 1:
        raise SettingError(f"{path}: holds {len(groups)} experiments.", "Name one of them.")
    return measure(next(iter(groups.values()))).summary


def compare(
    a: Summary,
    b: Summary,
    *,
    confidence: float = 0.95,
    time_tolerance: float = 0.05,
    accuracy_tolerance: float = 0.005,
    anyway: bool = False,
) -> Comparison:
    """Judge B against A.

    `time_tolerance` is a share of A's time, `accuracy_tolerance` a fraction. With other images nothing is judged, with
    other hardware no time, unless `anyway`. SettingError if nothing can be judged.
    """
    notices = []
    same_data = not (a.data_digest and b.data_digest and a.data_digest != b.data_digest)
    same_hardware = not (a.hardware and b.hardware and a.hardware != b.hardware)
    if not same_data:
        notices.append("A and B used other images.")
    sizes = [max((point.size for point in each.curve), default=0) for each in (a, b)]
    if all(sizes) and sizes[0] != sizes[1]:
        same_data = False
        notices.append(f"A's learning curve ends at {sizes[0]:,} training images, B's at {sizes[1]:,}.")
    elif any(sizes):
        notices.append(f"Of a learning curve its largest size is compared, {max(sizes):,} training images.")
    if not same_hardware:
        notices.append(f"A ran on {a.hardware}, B on {b.hardware}.")
    if a.preset != b.preset:
        notices.append(f"A used preset {a.preset or '(none)'}, B {b.preset or '(none)'}.")
    judge_data, judge_time = same_data or anyway, (same_data and same_hardware) or anyway
    results: list[Judgement] = []
    for arm in sorted({*a.arms, *b.arms}, key=order):
        one, two = a.arms.get(arm, Arm()), b.arms.get(arm, Arm())
        results.append(_time(f"{arm} training time", one.train_seconds, two.train_seconds, time_tolerance, judge_time))
        results.append(_accuracy(f"{arm} test accuracy", one.accuracy, two.accuracy, accuracy_tolerance, judge_data))
        results.append(_success(f"{arm} runs that succeeded", one, two, judge_data))
    prepared = max(each.holds_over.preparations for each in (a, b))
    why = "one run" if prepared < 2 else "a mean whose spread a summary does not hold"
    results.append(_single("preparation", a.preparation_seconds, b.preparation_seconds, units.duration, note=why))
    results.append(_single("final test accuracy", a.final_accuracy, b.final_accuracy, units.percent, points=True))
    results = decide(results, 1 - confidence)
    # That no run failed in either says nothing of times and accuracies.
    if not any(judgement.seen or judgement.verdict in ("worse", "better") for judgement in results):
        unlike = not anyway and not (same_data and same_hardware)
        raise SettingError(
            "A and B cannot be compared: "
            + (" ".join(notices) if unlike else "no arm has two runs that succeeded in both."),
            "Use --anyway to compare in spite of other images or hardware."
            if unlike
            else "Compare experiments that have an arm in common, with two runs or more of it in each.",
        )
    results.append(_soundness(a, b))
    if max(max(each.holds_over.preparations, each.holds_over.draws) for each in (a, b)) > 1:
        notices.append("Runs count as independent, also those that share a preparation or a draw.")
    return Comparison(results, notices)


def decide(judgements: Sequence[Judgement], alpha: float) -> list[Judgement]:
    """Apply Holm's step-down to the one-sided p-values, worse and better apart; what is left is `same`."""
    count = sum(judgement.p_worse is not None for judgement in judgements)
    decided = [
        # A single difference among many has to pass the strictest of Holm's levels.
        replace(each, note=f"would have shown from {each.seen(alpha / count)}") if each.seen else each
        for each in judgements
    ]
    for verdict, name in (("worse", "p_worse"), ("better", "p_better")):
        ranked = sorted(
            (p, index) for index, judgement in enumerate(judgements) if (p := getattr(judgement, name)) is not None
        )
        for rank, (p, index) in enumerate(ranked):
            if p > alpha / (len(ranked) - rank):
                break
            if judgements[index].beyond_tolerance:
                decided[index] = replace(decided[index], verdict="worse" if verdict == "worse" else "better", note="")
            else:
                decided[index] = replace(decided[index], note="beyond noise, within the tolerance")
    return decided


def _welch(a: Description, b: Description) -> tuple[float, float] | None:
    """One-sided p-values for b's mean above and below a's; None where spread is not known."""
    if a.n < 2 or b.n < 2 or a.mean is None or b.mean is None or a.std is None or b.std is None:
        return None
    if a.std == 0 and b.std == 0:
        # No spread at all: any difference is beyond it.
        return (0.0 if b.mean > a.mean else 1.0), (0.0 if b.mean < a.mean else 1.0)
    from scipy import stats

    above = stats.ttest_ind_from_stats(
        b.mean, b.std, b.n, a.mean, a.std, a.n, equal_var=False, alternative="greater"
    ).pvalue
    return float(above), 1.0 - float(above)


def _detectable(a: Description, b: Description, alpha: float) -> float:
    """The smallest true difference of the means that the one-sided test finds with a power of 80 %."""
    parts = [((each.std or 0.0) ** 2 / each.n, each.n - 1) for each in (a, b)]
    variance = sum(part for part, _ in parts)
    if variance == 0:
        return 0.0
    freedom = variance**2 / sum(part**2 / n for part, n in parts)
    return could_have_seen(math.sqrt(variance), freedom, alpha, one_sided=True)


def _time(quantity: str, a: Description, b: Description, tolerance: float, judged: bool) -> Judgement:
    change = (b.mean - a.mean) / a.mean if a.mean and b.mean is not None else None
    return _judgement(
        quantity,
        _spread(a, units.seconds, " s"),
        _spread(b, units.seconds, " s"),
        f"{100 * change:+.1f} %".replace("-", "−") if change is not None else units.MISSING,
        _welch(a, b) if judged else None,
        abs(change or 0) > tolerance,
        "" if judged else "other images or hardware",
        lambda alpha: f"{_hundred_times(max(tolerance, _detectable(a, b, alpha) / (a.mean or 1)))} %",
    )


def _accuracy(quantity: str, a: Description, b: Description, tolerance: float, judged: bool) -> Judgement:
    change = b.mean - a.mean if a.mean is not None and b.mean is not None else None
    p = _welch(a, b) if judged else None
    return _judgement(
        quantity,
        _spread(a, units.hundredths, " %"),
        _spread(b, units.hundredths, " %"),
        f"{units.signed_points(change)} points" if change is not None else units.MISSING,
        (p[1], p[0]) if p else None,
        abs(change or 0) > tolerance,
        "" if judged else "other images",
        lambda alpha: f"{_hundred_times(max(tolerance, _detectable(a, b, alpha)))} points",
    )


def _hundred_times(fraction: float) -> str:
    """Two significant digits, never as a power of ten."""
    return units.short(float(f"{100 * fraction:.2g}"))


def _judgement(
    quantity: str,
    a: str,
    b: str,
    change: str,
    p: tuple[float, float] | None,
    beyond: bool,
    note: str,
    seen: Callable[[float], str],
) -> Judgement:
    if p is None:
        return Judgement(quantity, a, b, change, "not judged", note=note or "needs two runs that succeeded in each")
    return Judgement(quantity, a, b, change, "same", p_worse=p[0], p_better=p[1], beyond_tolerance=beyond, seen=seen)


def _success(quantity: str, a: Arm, b: Arm, judged: bool) -> Judgement:
    """Fisher's exact test, one-sided, of the runs that succeeded."""
    texts = f"{a.succeeded} of {a.runs}", f"{b.succeeded} of {b.runs}"
    if not a.runs or not b.runs or not judged:
        return Judgement(quantity, *texts, units.MISSING, "not judged", note="no runs" if judged else "other images")
    from scipy import stats

    table = np.array([[b.succeeded, b.runs - b.succeeded], [a.succeeded, a.runs - a.succeeded]])
    worse = float(stats.fisher_exact(table, alternative="less").pvalue)
    better = float(stats.fisher_exact(table, alternative="greater").pvalue)
    change = b.succeeded / b.runs - a.succeeded / a.runs
    return Judgement(quantity, *texts, f"{units.signed_points(change)} points", "same", p_worse=worse, p_better=better)


def _single(
    quantity: str,
    a: float | None,
    b: float | None,
    render: Callable[[float | None], str],
    points: bool = False,
    note: str = "one run",
) -> Judgement:
    change = ""
    if a and b is not None and math.isfinite(b):
        change = f"{units.signed_points(b - a)} points" if points else f"{100 * (b - a) / a:+.1f} %".replace("-", "−")
    return Judgement(quantity, render(a), render(b), change or units.MISSING, "not judged", note=note)


def _soundness(a: Summary, b: Summary) -> Judgement:
    words = ["sound" if summary.sound else "not sound" for summary in (a, b)]
    verdict: Verdict = "worse" if a.sound and not b.sound else "better" if b.sound and not a.sound else "same"
    broken = ", ".join(dict.fromkeys(finding.rule for finding in b.findings if finding.severity == "error"))
    return Judgement("measurement", words[0], words[1], "", verdict, note=broken)


def _spread(content: Description, render: Callable[[float | None], str], unit: str) -> str:
    if content.mean is None:
        return units.MISSING
    spread = "" if content.std is None else f" ± {render(content.std)}"
    return f"{render(content.mean)}{spread}{unit}"

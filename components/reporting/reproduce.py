"""Works out the figures of this report from the run records alone, with NumPy, pandas and SciPy, and compares them.

    python reproduce.py [RECORDS]     RECORDS: folder of run records; default: records beside this file
    python reproduce.py --rerun DIR   runs the experiment again into the new folder DIR and shows both answers

The exit status is 1 if a figure of summary.json does not follow from the records.
"""

import base64
import json
import math
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

Values = npt.NDArray[np.float64]
# Name, from the records, in the summary.
Figure = tuple[str, float | None, float | None]

HERE = Path(__file__).resolve().parent
KNOWN = ("Mann–Whitney", "Welch t", "mixed t", "crossed t", "Fieller", "Welch t on logarithms", "mixed t on logarithms")
PHASES = ("startup", "data", "compile", "train", "evaluate", "checkpoint", "repeated")


def read_runs(folder: str | Path) -> pd.DataFrame:
    """One row per run that succeeded: what it trained, on how much, how long, and how well."""
    rows = []
    records = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(Path(folder).glob("*.json"))]
    sizes = [(record.get("subset") or {}).get("size_per_class", 0) for record in records]
    for record, size in zip(records, sizes, strict=True):
        if record["status"] != "succeeded":
            continue
        result, data = record["result"], record.get("data") or {}
        matrix = result.get("confusion") or []
        rows.append(
            {
                "arm": record["arm"],
                "preparation": record.get("preparation", 0),
                "draw": record.get("draw", 0),
                "seed": record["seed"],
                "size": size,
                "smaller": 0 < size < max(sizes),
                "prepared": bool(record.get("started_from") or record.get("given")),
                "answers": answers(result.get("correct"), data.get("counts", {}).get("test", 0)),
                "films": data.get("test_groups"),
                "train": record["phases"]["train"] or math.nan,
                "all phases": sum(record["phases"].get(phase, 0) for phase in PHASES),
                "accuracy": math.nan if result["test_accuracy"] is None else result["test_accuracy"],
                "by class": {
                    name: row[index] / sum(row)
                    for index, (name, row) in enumerate(zip(data.get("classes", []), matrix, strict=False))
                    if sum(row)
                },
            }
        )
    return pd.DataFrame(rows)


def answers(text: str | None, count: int) -> Values | None:
    """For each test image 1 if it was answered correctly, else 0; None where that is not in the record."""
    if not text or not count:
        return None
    bits = np.unpackbits(np.frombuffer(base64.b64decode(text), np.uint8))
    return bits[:count].astype(float) if len(bits) >= count else None


class Error(NamedTuple):
    """An estimate's variance and degrees of freedom, and how many standard errors an interval reaches."""

    variance: float
    freedom: float
    reach: float
    several: bool = False


def shared(arm: pd.DataFrame) -> dict[str, Any]:
    """What runs of an arm share, as labels: preparation and draw, each of several; of two that are nested one."""
    found = {name: arm[name].to_numpy() for name in ("preparation", "draw") if arm[name].nunique() > 1}
    if "preparation" in found and not arm["prepared"].iloc[0]:
        del found["preparation"]
    if len(found) == 2:
        cells = len(arm[["preparation", "draw"]].drop_duplicates())
        if cells == arm["draw"].nunique():
            del found["draw"]
        elif cells == arm["preparation"].nunique():
            del found["preparation"]
    return found


def mixed(arms: list[pd.DataFrame], values: list[Values], confidence: float) -> Error:
    """Error of the first arm's mean less that of the second, if there is one: docs/statistics.md, mixed t."""
    between: dict[str, dict[Any, float]] = {}
    single: list[tuple[float, float]] = []
    twice: list[tuple[float, float]] = []
    for sign, arm, numbers in zip((1, -1), arms, values, strict=False):
        n, labels = len(numbers), shared(arm)
        deviations = sign * (numbers - numbers.mean()) / n
        columns = [pd.get_dummies(each).to_numpy(float) for each in labels.values()]
        design = np.column_stack([np.ones(n), *columns])
        fitted = design @ np.linalg.pinv(design) @ deviations
        freedom = n - np.linalg.matrix_rank(design)
        own = ((deviations - fitted) ** 2).sum() * n / freedom if freedom > 0 else 0.0
        for name, each in labels.items():
            sums = between.setdefault(name, {})
            for label, value in zip(each, deviations, strict=True):
                sums[label] = sums.get(label, 0.0) + value
        if len(labels) != 1:
            (twice if labels else single).append((own, max(1, int(freedom))))
    squares = [(sum(v**2 for v in s.values()) * len(s) / (len(s) - 1), len(s) - 1) for s in between.values()]
    base = sum(part for part, _ in single)
    variance = base + sum(part for part, _ in squares) - sum(part for part, _ in twice)
    used = [*single, *squares, *twice]
    if twice and variance <= (base + max(squares)[0]) * (1 + 1e-9):
        variance, used = base + max(squares)[0], [*single, max(squares)]
    freedom = satterthwaite(variance, used)
    tail = (1 + confidence) / 2
    reach = stats.t.ppf(tail, freedom) ** 2
    if twice:
        reach = reach ** (2 / 3) * stats.t.ppf(tail, sum(each for _, each in squares)) ** (2 / 3)
    elif squares and variance > 0:
        reach = math.sqrt(reach * max(reach, banerjee(used, tail) / variance))
    return Error(variance, freedom, math.sqrt(reach), bool(squares))


def satterthwaite(variance: float, parts: list[tuple[float, float]]) -> float:
    """Degrees of freedom of a sum of mean squares."""
    spread = sum(part**2 / freedom for part, freedom in parts)
    return variance**2 / spread if spread > 0 else sum(freedom for _, freedom in parts)


def banerjee(parts: list[tuple[float, float]], tail: float) -> float:
    """Sum of mean squares, each times its own t²; what is taken off, times that of the normal distribution."""
    return sum(
        part * (stats.t.ppf(tail, freedom) if part > 0 else stats.norm.ppf(tail)) ** 2 for part, freedom in parts
    )


def crossed(arms: list[pd.DataFrame], confidence: float) -> tuple[float, float, float]:
    """Gain in accuracy of the second arm with test images as a sample too: docs/statistics.md, crossed t."""
    control, treatment = (np.stack(list(arm["answers"])) for arm in arms)
    gain = treatment.mean() - control.mean()
    runs = mixed(arms[::-1], [treatment.mean(axis=1), control.mean(axis=1)], confidence)
    films = arms[0]["films"].dropna()
    names = (
        [f"image {index}" if film is None else film for index, film in enumerate(films.iloc[0])] if len(films) else []
    )
    codes = pd.factorize(np.array(names, dtype=object))[0] if names else np.arange(control.shape[1])
    groups = codes.max() + 1
    lengths = np.bincount(codes)
    share = lengths / lengths.sum()
    enlarged, over = 1 / (1 - share), max(1.0, 1 / (share**2).sum() - 1)
    differences, alone = np.zeros(groups), []
    for sign, right in ((1, treatment), (-1, control)):
        n = len(right)
        centred = np.stack([np.bincount(codes, row, groups) for row in (right - right.mean()) / right.shape[1]])
        differences += sign * centred.mean(axis=0)
        of_runs = centred.sum(axis=1, keepdims=True)
        rest = centred - centred.mean(axis=0) - (of_runs - of_runs.mean()) * share
        alone.append(((rest**2 * enlarged).sum() / (n - 1) / n, over * (n - 1)))
    images = (differences**2 * enlarged).sum()
    repeated = sum(part for part, _ in alone)
    variance = max(runs.variance + images - repeated, runs.variance, images)
    freedom = satterthwaite(variance, [(runs.variance, runs.freedom), (images, over), *alone])
    freedom = max(freedom, min(runs.freedom, over))
    tail = (1 + confidence) / 2
    squares = [(images, over), *((-part, each) for part, each in alone)]
    reach, wide = stats.t.ppf(tail, freedom) ** 2, banerjee(squares, tail) + runs.variance * runs.reach**2
    half = math.sqrt(math.sqrt(reach * max(reach, wide / variance)) * variance)
    return gain, gain - half, gain + half


def fieller(above: float, one: Error, below: float, other: Error, confidence: float) -> tuple[float, float]:
    """Interval of a ratio of two means: all r for which above − r·below lies within t standard errors of zero."""
    v, w = one.variance, (above / below) ** 2 * other.variance
    spread = v**2 / one.freedom + w**2 / other.freedom
    t = stats.t.ppf((1 + confidence) / 2, (v + w) ** 2 / spread)
    square = t**2
    if one.several or other.several:
        square = (v * one.reach**2 + w * other.reach**2) / (v + w)
    a, b, c = below**2 - square * other.variance, above * below, above**2 - square * v
    root = math.sqrt(max(0.0, b**2 - a * c))
    if a <= 0:
        return (0.0 if c <= 0 else (b - root) / a if a else c / (2 * b)), math.inf
    return max(0.0, (b - root) / a), max(0.0, (b + root) / a)


def welch(control: Values, treatment: Values, confidence: float) -> tuple[float, float, float]:
    """Difference of means, treatment − control, with Welch's interval."""
    difference = treatment.mean() - control.mean()
    parts = [values.var(ddof=1) / len(values) for values in (control, treatment)]
    freedom = sum(parts) ** 2 / sum(v**2 / (len(x) - 1) for v, x in zip(parts, (control, treatment), strict=True))
    half = stats.t.ppf((1 + confidence) / 2, freedom) * math.sqrt(sum(parts))
    return difference, difference - half, difference + half


def mann_whitney(control: Values, treatment: Values, confidence: float) -> tuple[float, float, float]:
    """Median ratio of all pairs of runs, with the interval that the rank sum test turns into."""
    ratios = np.sort(np.subtract.outer(np.log(control), np.log(treatment)).ravel())
    ends = max(1, rank_of_end(len(control), len(treatment), (1 - confidence) / 2))
    return math.exp(np.median(ratios)), math.exp(ratios[ends - 1]), math.exp(ratios[len(ratios) - ends])


def rank_of_end(n: int, m: int, tail: float) -> int:
    """Which of the n·m sorted ratios is the lower end: exact up to 2,500 pairs, beyond by the normal distribution."""
    if n * m > 2500:
        return math.floor(n * m / 2 + stats.norm.ppf(tail) * math.sqrt(n * m * (n + m + 1) / 12))
    # Ways to get each value of the statistic U: coefficients of the Gaussian binomial (n + m choose n).
    ways = [1] + [0] * (n * m)
    for step in range(1, n + 1):
        for place in range(n * m, m + step - 1, -1):
            ways[place] -= ways[place - m - step]
        for place in range(step, n * m + 1):
            ways[place] += ways[place - step]
    return int(np.argmax(np.cumsum(np.array(ways, dtype=object)).astype(float) / math.comb(n + m, n) > tail))


def figures(runs: pd.DataFrame, summary: dict[str, Any]) -> Iterator[Figure]:
    """Yield name, figure from the records, figure in the summary; None for an interval that is not worked out here."""
    yield from curve(runs, summary["curve"])
    runs = runs[~runs["smaller"]]  # of a learning curve, the largest size
    confidence = summary["confidence"]
    for compared in summary["comparisons"]:
        names = compared["control"], compared["treatment"]
        arms = [runs[runs["arm"] == name] for name in names]
        versus = " / ".join(names)
        for key, column in (("train", "train"), ("train_of_means", "train"), ("all_phases", "all phases")):
            title = f"{column}, {versus}" + (", of means" if key == "train_of_means" else "")
            known = [arm[arm[column].notna()] for arm in arms]
            yield from figure(title, known, column, compared["speedup"][key], confidence)
        for kind in ("these_images", "new_images"):
            known = [arm[arm["accuracy"].notna()] for arm in arms]
            yield from figure(
                f"gain on {kind}, {versus}", known, "accuracy", compared["accuracy_gain"][kind], confidence
            )
        for label, stated in compared["gain_by_class"].items():
            known = [arm.assign(share=[row.get(label, math.nan) for row in arm["by class"]]) for arm in arms]
            known = [arm[arm["share"].notna()] for arm in known]
            yield from figure(f"gain of class {label}, {versus}", known, "share", stated, confidence)
    for name, stated in summary["arms"].items():
        arm = runs[runs["arm"] == name]
        yield f"{name}: runs that succeeded", len(arm), stated["succeeded"]
        if arm.empty:
            continue
        yield f"{name}: median training seconds", arm["train"].median(), stated["train_seconds"]["median"]
        yield f"{name}: mean test accuracy", arm["accuracy"].mean(), stated["accuracy"]["mean"]
    yield from break_even(runs, summary)


def curve(runs: pd.DataFrame, points: list[dict[str, Any]]) -> Iterator[Figure]:
    """Runs and mean accuracy at each size of a learning curve: of those with a partner at every size of it."""
    sizes = {point["size_per_class"] for point in points}
    for name in dict.fromkeys(point["arm"] for point in points):
        arm = runs[(runs["arm"] == name) & runs["size"].isin(sizes) & runs["accuracy"].notna()]
        table = arm.pivot_table("accuracy", ["preparation", "draw", "seed"], "size").dropna()
        for point in points:
            if point["arm"] == name:
                title, size = f"{name} on {point['size']} images", point["size_per_class"]
                yield f"{title}: runs", (arm["size"] == size).sum(), point["runs"]
                if size in table:
                    yield f"{title}: mean test accuracy", table[size].mean(), point["accuracy"]["estimate"]


def figure(
    name: str, arms: list[pd.DataFrame], column: str, stated: dict[str, Any], confidence: float
) -> Iterator[Figure]:
    """An estimate with its interval, by the method that the summary names."""
    if any(arm.empty for arm in arms) or stated["estimate"] is None:
        return
    control, treatment = (arm[column].to_numpy(float) for arm in arms)
    logs = [np.log(control), np.log(treatment)] if column in ("train", "all phases") else []
    low = high = math.nan
    method = stated["method"]
    if stated["of"] == "pairs":
        estimate, low, high = mann_whitney(control, treatment, confidence)
    elif method == "Fieller" or name.endswith("of means"):
        estimate = control.mean() / treatment.mean()
        if method == "Fieller":
            errors = [
                mixed([arm], [values], confidence) for arm, values in zip(arms, (control, treatment), strict=True)
            ]
            low, high = fieller(control.mean(), errors[0], treatment.mean(), errors[1], confidence)
    elif logs:
        difference = logs[0].mean() - logs[1].mean()
        estimate = math.exp(difference)
        if method == "Welch t on logarithms":
            low, high = (math.exp(-end) for end in welch(logs[0], logs[1], confidence)[:0:-1])
        elif method == "mixed t on logarithms":
            error = mixed(arms, logs, confidence)
            low, high = (math.exp(difference + side * error.reach * math.sqrt(error.variance)) for side in (-1, 1))
    else:
        estimate = treatment.mean() - control.mean()
        if method == "Welch t":
            _, low, high = welch(control, treatment, confidence)
        elif method == "mixed t":
            error = mixed(arms[::-1], [treatment, control], confidence)
            low, high = (estimate + side * error.reach * math.sqrt(error.variance) for side in (-1, 1))
        elif method == "crossed t":
            estimate, low, high = crossed(arms, confidence)
    yield name, estimate, stated["estimate"]
    if method in KNOWN:
        for end, found, told in (("from", low, stated["low"]), ("to", high, stated["high"])):
            # Without an end, the summary has none either: of a ratio, zero or beyond every number.
            if told is not None or (math.isfinite(found) and found != 0):
                yield f"{name}, {end}", found, told
    elif method != "none":
        yield f"{name}, interval ({method})", None, None


def break_even(runs: pd.DataFrame, summary: dict[str, Any]) -> Iterator[Figure]:
    """Preparation over what a model saves, from the means, with the interval of the ratio."""
    stages = list(summary["preparation"]["stages"])
    chains = runs[runs["arm"].isin(stages)].groupby("preparation")["train"].agg(["sum", "count"])
    whole = chains[chains["count"] == len(stages)]["sum"].to_numpy(float)
    if not stages or not len(whole):
        return
    yield "preparation, seconds", whole.mean(), summary["preparation_seconds"]
    first, stated = summary["comparisons"][0], summary["break_even"]
    arms = [runs[(runs["arm"] == first[role]) & runs["train"].notna()] for role in ("control", "treatment")]
    control, treatment = (arm["train"].to_numpy(float) for arm in arms)
    if summary["break_even_models"] is None:
        return
    saving = control.mean() - treatment.mean()
    models = whole.mean() / saving
    yield "models until it breaks even", models, summary["break_even_models"]
    yield "breaks even from model", max(1, math.ceil(models)), stated["first_model"]
    if stated["method"] not in ("Fieller", "Welch t, inverted"):
        return
    cost = Error(0.0, 1.0, 0.0)
    if len(whole) > 1:
        cost = Error(
            whole.var(ddof=1) / len(whole), len(whole) - 1, stats.t.ppf((1 + summary["confidence"]) / 2, len(whole) - 1)
        )
    error = mixed(arms[::-1], [treatment, control], summary["confidence"])
    low, high = fieller(whole.mean(), cost, saving, error, summary["confidence"])
    if stated["low"] is not None:
        yield "breaks even, from", low, stated["low"]
    if stated["high"] is not None:
        yield "breaks even, to", high, stated["high"]


def check(folder: str | Path) -> int:
    """Print every figure and return 1 if one differs, 2 if there are no records."""
    if not list(Path(folder).glob("*.json")):
        print(f"{folder}: no run records. Give the folder that holds them: python reproduce.py RECORDS")
        return 2
    summary = json.loads((HERE / "summary.json").read_text(encoding="utf-8"))
    differ = 0
    for name, found, stated in figures(read_runs(folder), summary):
        if found is None:
            print(f"  not worked out here: {name}; docs/statistics.md has the formula")
            continue
        same = stated is not None and math.isclose(found, stated, rel_tol=1e-6, abs_tol=1e-9)
        differ += not same
        print(f"{'  ' if same else '! '}{name}: {found:.6g}" + ("" if same else f", but summary.json says {stated}"))
    print(f"{differ} figures differ." if differ else "Every figure worked out here is that of summary.json.")
    return int(differ > 0)


def rerun(output: str) -> int:
    """Run the command of the summary again into `output`; show the answer of both."""
    before = json.loads((HERE / "summary.json").read_text(encoding="utf-8"))
    words = shlex.split(before["command"])
    if words[:2] not in (["headstart", "run"], ["headstart", "curve"]):
        print(f"The summary names no `headstart run` or `headstart curve` to run again but {before['command']!r}.")
        return 2
    status = subprocess.run([sys.executable, "-m", *words, "--output", output], check=False).returncode
    path = Path(output) / "summary.json"
    if path.exists():
        print(f"before: {before['answer']}\nagain:  {json.loads(path.read_text(encoding='utf-8'))['answer']}")
    return status


if __name__ == "__main__":
    if sys.argv[1:2] == ["--rerun"] and len(sys.argv) == 3:
        sys.exit(rerun(sys.argv[2]))
    sys.exit(check(sys.argv[1] if len(sys.argv) > 1 else HERE / "records"))

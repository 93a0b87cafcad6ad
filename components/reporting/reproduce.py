"""Works out the figures of this report from the run records alone, with NumPy, pandas and SciPy, and compares them.

    python reproduce.py [RECORDS]     RECORDS: folder of run records; default: records beside this file
    python reproduce.py --rerun DIR   runs the experiment again into the new folder DIR and shows both answers

The exit status is 1 if a figure of summary.json does not follow from the records.
"""

import json
import math
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

Values = npt.NDArray[np.float64]
# Name, from the records, in the summary.
Figure = tuple[str, float | None, float | None]

HERE = Path(__file__).resolve().parent
PHASES = ("startup", "data", "compile", "train", "evaluate", "checkpoint", "repeated")


def read_runs(folder: str | Path) -> pd.DataFrame:
    """One row per run that succeeded: what it trained, how long, and how well."""
    rows = []
    for path in sorted(Path(folder).glob("*.json")):
        record = json.loads(path.read_text(encoding="utf-8"))
        if record["status"] != "succeeded":
            continue
        result, data = record["result"], record.get("data") or {}
        matrix = result.get("confusion") or []
        rows.append(
            {
                "arm": record["arm"],
                "preparation": record.get("preparation", 0),
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
    confidence = summary["confidence"]
    for compared in summary["comparisons"]:
        names = compared["control"], compared["treatment"]
        arms = [runs[runs["arm"] == name] for name in names]
        versus = " / ".join(names)
        for key, column in (("train", "train"), ("all_phases", "all phases")):
            a, b = (arm[column].dropna().to_numpy() for arm in arms)
            yield from ratio(f"{column}, {versus}", a, b, compared["speedup"][key], confidence)
        a, b = (arm["accuracy"].dropna().to_numpy() for arm in arms)
        for kind in ("these_images", "new_images"):
            yield from gain(f"gain on {kind}, {versus}", a, b, compared["accuracy_gain"][kind], confidence)
        for label, stated in compared["gain_by_class"].items():
            a, b = (np.array([row[label] for row in arm["by class"] if label in row]) for arm in arms)
            yield from gain(f"gain of class {label}, {versus}", a, b, stated, confidence)
    for name, stated in summary["arms"].items():
        arm = runs[runs["arm"] == name]
        yield f"{name}: runs that succeeded", len(arm), stated["succeeded"]
        yield f"{name}: median training seconds", arm["train"].median(), stated["train_seconds"]["median"]
        yield f"{name}: mean test accuracy", arm["accuracy"].mean(), stated["accuracy"]["mean"]
    yield from break_even(runs, summary)


def ratio(name: str, control: Values, treatment: Values, stated: dict[str, Any], confidence: float) -> Iterator[Figure]:
    """A ratio of times with its interval, by the method that the summary names."""
    if not len(control) or not len(treatment) or stated["estimate"] is None:
        return
    low = high = math.nan
    if stated["of"] == "pairs":
        estimate, low, high = mann_whitney(control, treatment, confidence)
    else:
        estimate = math.exp(np.log(control).mean() - np.log(treatment).mean())
        if stated["method"] == "Welch t on logarithms":
            low, high = (math.exp(-end) for end in welch(np.log(control), np.log(treatment), confidence)[:0:-1])
    yield name, estimate, stated["estimate"]
    if stated["method"] in ("Mann–Whitney", "Welch t on logarithms"):
        yield f"{name}, from", low, stated["low"]
        yield f"{name}, to", high, stated["high"]
    elif stated["method"] != "none":
        yield f"{name}, interval ({stated['method']})", None, None


def gain(name: str, control: Values, treatment: Values, stated: dict[str, Any], confidence: float) -> Iterator[Figure]:
    """A difference of means with its interval, where that is Welch's."""
    if not len(control) or not len(treatment) or stated["estimate"] is None:
        return
    yield name, treatment.mean() - control.mean(), stated["estimate"]
    if stated["method"] == "Welch t":
        _, low, high = welch(control, treatment, confidence)
        yield f"{name}, from", low, stated["low"]
        yield f"{name}, to", high, stated["high"]
    elif stated["method"] != "none":
        yield f"{name}, interval ({stated['method']})", None, None


def break_even(runs: pd.DataFrame, summary: dict[str, Any]) -> Iterator[Figure]:
    """Preparation over what a model saves, from the means."""
    stages = list(summary["preparation"]["stages"])
    chains = runs[runs["arm"].isin(stages)].groupby("preparation")["train"].agg(["sum", "count"])
    whole = chains[chains["count"] == len(stages)]["sum"]
    if not stages or whole.empty:
        return
    yield "preparation, seconds", whole.mean(), summary["preparation_seconds"]
    first = summary["comparisons"][0]
    control, treatment = (runs[runs["arm"] == first[role]]["train"].dropna() for role in ("control", "treatment"))
    if summary["break_even_models"] is not None:
        models = whole.mean() / (control.mean() - treatment.mean())
        yield "models until it breaks even", models, summary["break_even_models"]
        yield "breaks even from model", max(1, math.ceil(models)), summary["break_even"]["first_model"]


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
    if words[:2] != ["headstart", "run"]:
        print(f"The summary names no `headstart run` to run again but {before['command']!r}.")
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

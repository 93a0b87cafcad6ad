"""Planted inconsistencies in copies of genuine records: each is found by the rule that is named, or known not to be.

`genuine` holds records as training wrote them, of runs with few and small images on a busy machine: `demo` with all
arms on two preparations and two draws, `fast` and `paper` with the default arms, `resumed` after two kills, `recent`
by a version that names settings otherwise, `curve` a learning curve of forked runs, two of its four seeds and two of
its three sizes. Changed in them are only the sample pictures, of which two are kept, and in `resumed` the address of
the images.
"""

import copy
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from planted import chains, clocks, curves, results
from planted.edits import Plant
from test_documentation import DOCS, renewed

from headstart.components.design import Cell
from headstart.components.records import RunRecord
from headstart.components.reporting.experiment import experiment
from headstart.components.reporting.measurement import _findings
from headstart.components.reporting.settings import report_settings
from headstart.components.reporting.summary import Finding
from headstart.components.reporting.verify import RULES

GENUINE = Path(__file__).parent / "genuine"
GROUPS: dict[str, list[Plant]] = {
    "Results": results.RESULTS,
    "Epochs": results.ROWS,
    "Why training ended": results.STOP,
    "Clocks": clocks.CLOCKS,
    "Which runs there are": chains.COMPLETE,
    "What a run starts from": chains.CHAIN,
    "What is frozen, and in which network": chains.FROZEN,
    "Copies": chains.COPIES,
    "Arms of any kind": chains.ARMS_OF_ANY_KIND,
    "Recipe, hardware, software": chains.LIKENESS,
    "Images": chains.IMAGES,
    "Learning curves": curves.CURVES,
    "Nothing can find": [*results.CONSISTENT, *clocks.CONSISTENT, *chains.CONSISTENT],
}
PLANTS = [plant for group in GROUPS.values() for plant in group]
# What is true of these genuine records: little was learned from so few images, in few runs, and the machine was busy.
TRUE = {"few_runs", "above_chance", "undisturbed", "plausible_speed"}


def read(name: str) -> dict[str, dict[str, Any]]:
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted((GENUINE / name).glob("*.json"))}


def cells(records: dict[str, dict[str, Any]]) -> list[Cell]:
    arms: dict[tuple[int, int, int, int], list[str]] = {}
    for record in records.values():
        if record["arm"] not in ("pretrain", "finetune", "final"):
            size = (record.get("subset") or {}).get("size_per_class", 0)
            cell = record["seed"], record["preparation"], record["draw"], size
            arms.setdefault(cell, []).append(record["arm"])
    return [Cell(*cell[:3], tuple(names), cell[3]) for cell, names in arms.items()]


def findings(records: dict[str, dict[str, Any]], planned: list[Cell] | None = None, **settings: Any) -> list[Finding]:
    read_back = [RunRecord.model_validate_json(json.dumps(record)) for record in records.values()]
    return _findings(experiment(read_back, planned=planned or ()), report_settings(settings))


# What each group is planted in.
SETS = {name: read(name) for name in ("demo", "curve")}
DEMO = SETS["demo"]
PLANNED = cells(DEMO)


@pytest.mark.parametrize("plant", PLANTS, ids=[plant.what for plant in PLANTS])
def test_it_is_found_by_the_rule_that_is_named(plant: Plant) -> None:
    genuine = SETS["curve" if plant in curves.CURVES else "demo"]
    planned, records = cells(genuine), copy.deepcopy(genuine)
    before = {(finding.rule, finding.message) for finding in findings(genuine, planned)}
    plant.change(records)
    found = findings(records, planned if plant.planned else None)
    new = [finding for finding in found if (finding.rule, finding.message) not in before]
    if plant.rule is None:
        # What was true before may be said in other numbers.
        assert {finding.rule for finding in new} <= {rule for rule, _ in before}, new
        assert plant.why
        return
    assert plant.rule in {finding.rule for finding in new}, new
    assert records != genuine


def test_there_are_enough_and_each_once() -> None:
    assert [what for what, count in Counter(plant.what for plant in PLANTS).items() if count > 1] == []
    assert sum(plant.rule is not None for plant in PLANTS) >= 120


@pytest.mark.parametrize("name", ["demo", "recent", "fast", "paper", "resumed", "curve"])
def test_genuine_records_pass(name: str) -> None:
    records = read(name)
    wanted = (
        TRUE
        | {
            "demo": set(),
            "recent": set(),
            "fast": set(),
            "curve": set(),
            # Three epochs of a recipe with a stop rule.
            "paper": {"stopped_by_rule"},
            # Two runs were killed, and the version that wrote these did not yet say what was seen before.
            "resumed": {"uninterrupted", "preparation_images_known"},
        }[name]
    )
    found = findings(records, cells(records), minimum_succeeded=1)
    assert {finding.rule for finding in found} <= wanted, found
    assert wanted - TRUE <= {finding.rule for finding in found}


def test_seeds_of_which_all_arms_began_alike_pass() -> None:
    records = copy.deepcopy(DEMO)
    first = next(record["seed"] for record in records.values() if record["arm"] == "baseline")
    for record in records.values():
        record["process"] = "forked" if record["seed"] == first else "separate"
    assert "same_start" not in {finding.rule for finding in findings(records, PLANNED)}


@pytest.mark.parametrize("name", ["demo", "recent", "fast", "paper", "resumed"])
def test_genuine_records_as_version_1_wrote_them_pass(name: str) -> None:
    records = {key: value for key, value in read(name).items() if not value["preparation"] and not value["draw"]}
    for record in records.values():
        record["schema_version"] = 1
        for key in ("preparation", "draw", "started_from", "seen_before", "network"):
            del record[key]
        del record["result"]["correct"]
    found = findings(records, minimum_succeeded=1)
    assert {finding.rule for finding in found} <= TRUE | {"stopped_by_rule", "uninterrupted"}, found


def test_what_is_planted_is_documented() -> None:
    assert {plant.rule for plant in PLANTS if plant.rule} <= set(RULES)
    rows = [
        f"| {group} | {plant.what} | `{plant.rule}` |"
        for group, plants in GROUPS.items()
        for plant in plants
        if plant.rule
    ]
    renewed(DOCS / "verify.md", "| | planted | found by |\n|---|---|---|\n", rows)
    rows = [f"| {plant.what} | {plant.why} |" for plant in PLANTS if not plant.rule]
    renewed(DOCS / "verify.md", "| passes | because |\n|---|---|\n", rows)

"""The committed JSON schemas are those of the models, what is written agrees with them, and old files still read."""

import json
import os
from pathlib import Path

import builders
import jsonschema
import pytest
from pydantic import BaseModel

from headstart.components import records
from headstart.components.errors import HeadstartError
from headstart.components.reporting.report import write_report
from headstart.components.reporting.summary import Summary, read_summary

ROOT = Path(__file__).parents[2]
OLD = Path(__file__).parent / "old"
SCHEMAS: dict[str, type[BaseModel]] = {
    "run-record.schema.json": records.RunRecord,
    "summary.schema.json": Summary,
}


def text_of(name: str, model: type[BaseModel]) -> str:
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": name, **model.model_json_schema()}
    return json.dumps(schema, indent=1, ensure_ascii=False) + "\n"


@pytest.mark.parametrize("name", SCHEMAS)
def test_committed_schema_is_that_of_the_model(name: str) -> None:
    path, expected = ROOT / "components" / name, text_of(name, SCHEMAS[name])
    if os.environ.get("HEADSTART_RENEW_GOLDEN"):
        path.write_text(expected, encoding="utf-8")
    assert path.read_text(encoding="utf-8") == expected, (
        f"{name} is not what the model says; a change that old files do not survive needs a new schema version. "
        "HEADSTART_RENEW_GOLDEN=1 renews the file."
    )


def test_what_is_written_agrees_with_the_schemas(tmp_path: Path) -> None:
    made = [*builders.experiment(4), builders.record("baseline", 9, status="failed", reason="killed", epochs=0)]
    write_report(made, tmp_path, settings={"price_per_hour": 2.0})
    schema = json.loads((ROOT / "components/summary.schema.json").read_text())
    jsonschema.Draft202012Validator(schema).validate(json.loads((tmp_path / "summary.json").read_text()))
    validator = jsonschema.Draft202012Validator(json.loads((ROOT / "components/run-record.schema.json").read_text()))
    for record in made:
        validator.validate(json.loads(record.model_dump_json()))


def test_records_of_schema_version_1_still_render(tmp_path: Path) -> None:
    read = [records.read_record(path) for path in sorted((OLD / "records-1").glob("*.json"))]
    assert len(read) == 7
    summary = write_report(read, tmp_path, settings={"minimum_succeeded": 2})
    # These are drawn, not measured, and their numbers disagree with each other, which is for `verify`.
    assert {finding.rule for finding in summary.findings if finding.severity == "error"} <= {
        "not_copied",
        "same_network",
        "consistent_result",
        "consistent_rows",
        "stop_follows_rule",
        "frozen_as_said",
    }
    # What the version that wrote them measured; it must not change under a newer one. The ratio of medians has become
    # one of geometric means, which differs a little.
    before = read_summary(OLD / "summary-1.json")
    assert summary.speedup.train.estimate == pytest.approx(before.speedup.train.estimate, rel=0.01)
    assert summary.speedup.train_of_means.estimate == pytest.approx(before.speedup.train_of_means.estimate)
    assert summary.accuracy_gain.estimate == pytest.approx(before.accuracy_gain.estimate)
    assert summary.break_even_models == pytest.approx(before.break_even_models)
    # An older summary has one comparison, that of its arms.
    assert [(each.control, each.treatment) for each in before.comparisons] == [("baseline", "transfer")]
    assert before.first.speedup == before.speedup and before.treatment is before.arms["transfer"]


def test_a_minimal_old_record_renders(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    path.write_text('{"schema_version": 1, "arm": "baseline", "seed": 0, "run_id": "r", "status": "failed"}')
    summary = write_report([records.read_record(path)], tmp_path / "out")
    assert not summary.sound
    assert summary.failures[0].run == "baseline-00"


@pytest.mark.parametrize(
    "text", ['{"schema_version": 99}', '{"schema_version": 1}', "[]", "{", "NaN", '"' + "\\ud800" + '"']
)
def test_a_summary_that_cannot_be_read_is_refused_by_name(tmp_path: Path, text: str) -> None:
    path = tmp_path / "summary.json"
    path.write_text(text)
    with pytest.raises(HeadstartError, match=r"summary\.json"):
        read_summary(path)

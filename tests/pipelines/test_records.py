import base64
import itertools
import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from headstart.components.errors import HeadstartError
from headstart.components.records import Epoch, Result, RunRecord, read_record
from headstart.components.stages import ARMS


def test_a_record_survives_the_round_trip(tmp_path: Path) -> None:
    record = RunRecord(arm="transfer", seed=3, run_id="r", status="succeeded")
    record.epochs.append(Epoch(epoch=1, train_seconds=0.5, elapsed=0.5, validation_accuracy=0.75))
    record.write(tmp_path / "record.json")
    assert read_record(tmp_path / "record.json") == record
    assert record.name == "transfer-03"
    assert RunRecord(arm="pretrain", seed=3, run_id="r", status="failed").name == "pretrain"


def test_names_are_unique_within_an_experiment() -> None:
    def name(arm: str, seed: int, preparation: int, draw: int) -> str:
        return RunRecord(arm=arm, seed=seed, preparation=preparation, draw=draw, run_id="r", status="failed").name

    assert name("transfer", 3, 1, 2) == "transfer-p1-d2-03"
    assert name("finetune", 3, 1, 0) == "finetune-p1"
    cells = itertools.product(ARMS, range(3), range(3), range(3))
    assert len({name(*cell) for cell in cells}) == len(ARMS) * 27


def test_answers_are_one_bit_for_each_test_image() -> None:
    result = Result()
    assert result.answers(3) is None
    result.set_correct([True, False, False, True, True, True, True, True, False, True])
    assert result.correct == base64.b64encode(bytes([0b10011111, 0b01000000])).decode()
    answers = result.answers(10)
    assert answers is not None
    assert answers.tolist() == [True, False, False, True, True, True, True, True, False, True]
    for wrong in (8, 17):
        with pytest.raises(HeadstartError, match=f"2 bytes, expected one bit for each of {wrong} images"):
            result.answers(wrong)
    with pytest.raises(HeadstartError, match="not base64"):
        Result(correct="?").answers(1)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0])
def test_seconds_are_finite_and_not_negative(value: float) -> None:
    with pytest.raises(ValidationError):
        Epoch(epoch=1, train_seconds=value, elapsed=1.0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        ("[]", "the whole file"),
        ('{"arm": "transfer"}', "seed: Field required"),
        ('{"arm": "other", "seed": 1, "run_id": "", "status": "failed"}', "arm: .*Input should be one of pretrain"),
        ('{"schema_version": 99}', "schema version 99; this Headstart reads up to 2"),
        ("[" * 100_000, "nested too deeply"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "record.json"
    file.write_text(text)
    with pytest.raises(HeadstartError, match=message) as caught:
        read_record(file)
    assert str(file) in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(HeadstartError, match=r"absent\.json"):
        read_record(tmp_path / "absent.json")


def test_keys_of_a_newer_minor_version_do_no_harm(tmp_path: Path) -> None:
    record = json.loads(RunRecord(arm="final", seed=0, run_id="r", status="succeeded").model_dump_json())
    (tmp_path / "record.json").write_text(json.dumps({**record, "invented_later": 1}))
    assert read_record(tmp_path / "record.json").arm == "final"

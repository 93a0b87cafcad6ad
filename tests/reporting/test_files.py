"""The files of a report: each there, whole, escaped, and the same from the same records."""

import csv
import io
import json
import math
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import builders
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headstart.components.records import Epoch, RunRecord
from headstart.components.reporting.report import write_report, write_side_by_side

HOSTILE = "<script>alert(1)</script>"
TRICKY = f"{HOSTILE}\"'|`*_[x](javascript:alert(1))&amp;\n=cmd()"
VOID = {"meta", "img", "br", "hr", "link", "input"}


class WellFormed(HTMLParser):
    """Collects every tag and attribute and sees to it that what opens closes."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag, f"</{tag}> closes something else"


def parsed(html: str) -> WellFormed:
    parser = WellFormed()
    parser.feed(html)
    parser.close()
    assert parser.open == []
    return parser


def assert_harmless(html: str) -> None:
    """No element or attribute that runs, loads or styles anything."""
    for tag, attributes in parsed(html).tags:
        assert tag not in {"script", "iframe", "object", "embed", "link", "base", "form", "foreignobject"}
        for name, value in attributes.items():
            assert not name.startswith("on") and name not in {"style", "srcset", "formaction", "action"}
            if name in {"src", "href", "xlink:href"}:
                assert re.fullmatch(r"data:image/png;base64,[A-Za-z0-9+/=]+", value or "")


def numbers(value: Any) -> Iterator[float]:
    if isinstance(value, dict):
        for part in value.values():
            yield from numbers(part)
    elif isinstance(value, list):
        for part in value:
            yield from numbers(part)
    elif isinstance(value, float):
        yield value


def assert_report(folder: Path) -> dict[str, Any]:
    """All five files are there and hold together; returns the summary."""
    files = ["report.html", "report.md", "reproduce.py", "runs.csv", "summary.json"]
    assert sorted(path.name for path in folder.iterdir()) == files
    assert_harmless((folder / "report.html").read_text(encoding="utf-8"))

    def refuse(word: str) -> float:
        raise AssertionError(f"summary.json holds {word}")

    summary: dict[str, Any] = json.loads((folder / "summary.json").read_text(encoding="utf-8"), parse_constant=refuse)
    assert all(math.isfinite(value) for value in numbers(summary))
    return summary


def test_summary_has_every_key_that_was_agreed(tmp_path: Path) -> None:
    write_report(builders.experiment(), tmp_path)
    summary = assert_report(tmp_path)
    for key in ("train", "time_to_accuracy"):
        assert set(summary["speedup"][key]) >= {"estimate", "low", "high"}
    assert set(summary["accuracy_gain"]) >= {"estimate", "low", "high"}
    for key in ("break_even_models", "preparation_seconds", "target_accuracy"):
        assert isinstance(summary[key], float)
    for arm in ("baseline", "transfer"):
        assert (summary["arms"][arm]["runs"], summary["arms"][arm]["succeeded"]) == (10, 10)
        for key in ("train_seconds", "epochs", "accuracy"):
            assert set(summary["arms"][arm][key]) >= {"mean", "median", "std"}
    assert summary["sound"] is True
    assert summary["findings"] == []


def test_csv_has_a_row_a_run_with_numbers_as_they_were(tmp_path: Path) -> None:
    records = builders.experiment()
    write_report(records, tmp_path)
    rows = list(csv.DictReader(io.StringIO((tmp_path / "runs.csv").read_text(encoding="utf-8"))))
    assert len(rows) == 23
    by_name = {(record.arm, record.seed): record for record in records}
    for row in rows:
        record = by_name[row["arm"], int(row["seed"])]  # type: ignore[index]
        assert float(row["train_seconds"]) == record.phases.train
        assert float(row["test_accuracy"]) == record.result.test_accuracy
        assert int(row["epochs"]) == len(record.epochs)


def test_csv_text_is_not_run_by_a_spreadsheet(tmp_path: Path) -> None:
    write_report([builders.record("baseline", status="failed", reason="=HYPERLINK(1)", epochs=0)], tmp_path)
    (row,) = csv.DictReader(io.StringIO((tmp_path / "runs.csv").read_text(encoding="utf-8")))
    assert row["reason"] == "'=HYPERLINK(1)"


def hostile_records() -> list[RunRecord]:
    records = builders.experiment(5)
    changed = []
    for record in records:
        assert record.data is not None
        data = record.data.model_copy(
            update={"classes": [HOSTILE, TRICKY, *record.data.classes[2:]], "source": TRICKY, "notes": [TRICKY]}
        )
        samples = [sample.model_copy(update={"truth": HOSTILE, "predicted": TRICKY}) for sample in record.samples] + (
            [record.samples[0].model_copy(update={"png": f'"><{HOSTILE}'})] if record.samples else []
        )
        changed.append(
            record.model_copy(
                update={
                    "data": data,
                    "samples": samples,
                    "run_id": TRICKY,
                    "preset": TRICKY,
                    "recipe": {TRICKY: HOSTILE, "nested": {"a": [HOSTILE]}},
                    "stage": {TRICKY: [TRICKY]},
                    "environment": record.environment.model_copy(
                        update={"device_name": HOSTILE, "processor": TRICKY, "image": TRICKY, "hostname": HOSTILE}
                    ),
                }
            )
        )
    changed.append(builders.record("baseline", 77, status="failed", reason=TRICKY, epochs=0))
    return changed


def test_hostile_texts_are_shown_and_nothing_else(tmp_path: Path) -> None:
    write_report(hostile_records(), tmp_path, settings={"command": TRICKY, "currency": "<b>"})
    assert_report(tmp_path)
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    # A record's "PNG" that is none is left out; the twelve others are wrong, and so in both galleries.
    assert html.count("data:image/png") == 24
    markdown = (tmp_path / "report.md").read_text(encoding="utf-8")
    before, _, _ = markdown.partition("**The command that repeats it**")
    assert "<script" not in before
    assert "](javascript" not in before.replace("\\]", "")


def test_several_experiments_get_one_page_and_a_folder_each(tmp_path: Path) -> None:
    named = write_side_by_side(
        {"machine A": builders.experiment(5), "../x": builders.experiment(6, 3, "run-b"), HOSTILE: hostile_records()},
        tmp_path,
    )
    assert [name for name, _ in named] == ["machine A", "../x", HOSTILE]
    folders = sorted(path.name for path in tmp_path.iterdir() if path.is_dir())
    assert len(folders) == 3 and not any("/" in name or name.startswith(".") for name in folders)
    for folder in folders:
        assert_report(tmp_path / folder)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert_harmless(page)
    identities = [attributes["id"] for _, attributes in parsed(page).tags if "id" in attributes]
    assert len(identities) == len(set(identities))
    assert "Side by side" in page and "Side by side" in (tmp_path / "report.md").read_text(encoding="utf-8")


def test_every_picture_has_a_text_alternative_and_is_xml(tmp_path: Path) -> None:
    write_report(builders.experiment(), tmp_path)
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    pictures = re.findall(r"<svg.*?</svg>", html, re.S)
    assert len(pictures) == 9
    for picture in pictures:
        root = ElementTree.fromstring(picture)
        title, description = root.find("title"), root.find("desc")
        assert title is not None and description is not None and description.text and len(description.text) > 40
        assert root.get("aria-labelledby") == f"{title.get('id')} {description.get('id')}"
        assert "nan" not in picture.lower().replace("nance", "") and "inf" not in re.sub(r">[^<]*<", "><", picture)


def test_same_records_in_any_order_give_the_same_report(tmp_path: Path) -> None:
    records = builders.experiment(5)
    write_report(records, tmp_path / "a", run_id=builders.RUN_ID)
    write_report(records[::-1], tmp_path / "b", run_id=builders.RUN_ID)
    for name in ("report.html", "report.md", "runs.csv", "summary.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name


@pytest.mark.parametrize("runs", [0, 1, 2])
def test_few_runs_or_none_still_render(tmp_path: Path, runs: int) -> None:
    write_report(builders.experiment(runs), tmp_path)
    summary = assert_report(tmp_path)
    assert summary["sound"] is False
    assert summary["arms"]["baseline"]["runs"] == runs


def test_all_failed_and_all_equal_render(tmp_path: Path) -> None:
    failed = [
        builders.record(arm, seed, status="failed", reason="no memory", epochs=0)
        for arm in ("baseline", "transfer")
        for seed in range(10)
    ]
    write_report(failed, tmp_path / "failed")
    summary = assert_report(tmp_path / "failed")
    assert summary["speedup"]["train"]["estimate"] is None
    assert summary["break_even_models"] is None
    assert len(summary["failures"]) == 20
    equal = [builders.record(arm, seed, jitter=0.0, epochs=9) for arm in ("baseline", "transfer") for seed in range(10)]
    write_report([*builders.preparation(), *equal], tmp_path / "equal")
    summary = assert_report(tmp_path / "equal")
    assert (summary["speedup"]["train"]["estimate"], summary["speedup"]["train"]["low"]) == (1.0, None)
    # All runs are equal, so that nothing is known of runs to come.
    assert (summary["break_even"]["never"], summary["break_even"]["models"]) == (False, None)


TEXT = st.text(max_size=20)
FRACTION = st.none() | st.floats(0, 1)
SECONDS = st.sampled_from([0.0, 1e-9, 1.0, 1e12]) | st.floats(0, 1e12)
EPOCHS = st.lists(
    st.builds(Epoch, epoch=st.integers(1, 99), train_seconds=SECONDS, elapsed=SECONDS, validation_accuracy=FRACTION),
    max_size=3,
)


@st.composite
def any_record(draw: st.DrawFn) -> RunRecord:
    """A record that the schema allows, however odd."""
    record = builders.record(
        draw(st.sampled_from(["pretrain", "finetune", "final", "baseline", "transfer"])),
        draw(st.integers(0, 3)),
        epochs=1,
        status=draw(st.sampled_from(["succeeded", "failed", "diverged"])),
        reason=draw(TEXT),
        run_id=draw(TEXT),
    )
    matrix = draw(st.none() | st.lists(st.lists(st.integers(0, 9), max_size=3), max_size=3))
    return record.model_copy(
        update={
            "epochs": draw(EPOCHS),
            "phases": record.phases.model_copy(update={"train": draw(SECONDS), "startup": draw(SECONDS)}),
            "data": draw(st.sampled_from([None, record.data])),
            "result": record.result.model_copy(update={"test_accuracy": draw(FRACTION), "confusion": matrix}),
            "recipe": draw(
                st.dictionaries(TEXT, st.none() | st.floats() | TEXT | st.lists(TEXT, max_size=2), max_size=2)
            ),
            "preset": draw(TEXT),
        }
    )


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(records=st.lists(any_record(), max_size=9), price=st.floats(0, 1e6))
def test_any_records_at_all_render(tmp_path: Path, records: list[RunRecord], price: float) -> None:
    write_report(records, tmp_path / "out", settings={"price_per_hour": price})
    assert_report(tmp_path / "out")

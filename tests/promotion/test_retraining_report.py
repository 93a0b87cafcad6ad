from html.parser import HTMLParser

import pytest

from headstart.components.promotion import retraining_report
from headstart.components.promotion.versions import Outcome

NASTY = "<script>alert(1)</script> & | pipe"


def full() -> Outcome:
    return Outcome(
        status="promoted",
        title=f"Promoted: version 5 replaces version 4. {NASTY}",
        reasons=[f"Better {NASTY}", "And no class fell."],
        at="2026-11-25T03:00:00+00:00",
        run_id="run-1",
        version=5,
        current=4,
        data_digest="ab" * 32,
        data={
            "source": NASTY,
            "classes": ["apple", NASTY],
            "class_counts": {"train": [360, 361], "validation": [40, 41], "test": [150, 151]},
            "notes": [NASTY],
        },
        candidate={
            "seed": 2,
            "runs": [
                {"seed": 1, "reason": NASTY, "validation_accuracy": None, "accuracy": None, "epochs": 0,
                 "train_seconds": 0.0},
                {"seed": 2, "reason": "", "validation_accuracy": 0.975, "accuracy": 0.9, "epochs": 7,
                 "train_seconds": 4.25},
            ],
        },
        evidence={
            "images": 300, "clusters": 120, "seeds": 3, "gain": 0.013, "chance": 0.0007, "uses": 2, "level": 0.0061,
            "detectable": 0.027, "log_e": 0.5, "accumulated": 2.0, "proven": True,
        },
        measured={"latency_p95": 0.004, "current_latency_p95": 0.003, "size": 2**20, "current_size": 2**21},
        comparison={
            "images": 301, "candidate_accuracy": 0.91, "current_accuracy": 0.9, "only_candidate_right": 9,
            "only_current_right": 6, "chance": 0.607,
            "recalls": {"apple": {"candidate": 1.0, "current": 0.98, "images": 150},
                        NASTY: {"candidate": 0.8, "current": None, "images": 151}},
        },
    )  # fmt: skip


class Structure(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.cells: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.add(tag)
        if tag not in ("meta", "br", "hr"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("td", "th"):
            self.cells.append(data)


def test_html_is_well_formed_escaped_and_fetches_nothing() -> None:
    page = retraining_report.html(full())
    structure = Structure()
    structure.feed(page)
    assert structure.open == []
    assert not structure.tags & {"script", "link", "img", "iframe"}
    assert "http" not in page
    assert {
        "91.00%",
        "90.00%",
        "+1.00",
        "301",
        "+2.00",
        "97.50%",
        "4.2",
        "chosen",
        "361",
        "300, 120",
        "+1.30",
        "0.0007",
        "7.39",
        "4.0, 3.0",
    } <= set(structure.cells)


def test_markdown_tables_have_a_cell_for_every_column() -> None:
    text = retraining_report.markdown(full())
    tables = [block.splitlines() for block in text.split("\n\n") if block.startswith("|")]
    assert len(tables) == 4
    for table in tables:
        columns = {len(row.replace("\\|", "").split("|")) for row in table}
        assert len(columns) == 1, table
    assert "| apple | 100.00% | 98.00% | +2.00 | 150 |" in text
    assert "| apple | 360 | 40 | 150 |" in text


@pytest.mark.parametrize("status", ["unchanged", "unusable", "failed", "refused", "superseded", "candidate"])
def test_an_outcome_with_nothing_but_a_title_renders(status: str) -> None:
    outcome = Outcome(status=status, title="Nothing to do.")  # type: ignore[arg-type]
    assert "Nothing to do." in retraining_report.html(outcome)
    assert retraining_report.markdown(outcome).startswith("# Nothing to do.")

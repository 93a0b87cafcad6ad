"""Every layout of the collection comes in with its classes and counts, or is refused with its reason."""

from pathlib import Path

import pytest

from headstart.components.datasets.importing import import_dataset
from headstart.components.datasets.packed import PackedDataset
from headstart.components.errors import HeadstartError
from tests.datasets.layout_cases import CASES, Case

DOCUMENT = Path(__file__).parents[2] / "docs" / "layouts.md"


@pytest.mark.parametrize("case", CASES, ids=[f"{number}" for number in range(len(CASES))])
def test_a_layout_as_people_have_it(case: Case, tmp_path: Path) -> None:
    source = case.draw(tmp_path / "given")
    (tmp_path / "given").mkdir(exist_ok=True)
    settings = {"image_size": 16, "near_duplicates": False, **case.settings}
    if case.refusal:
        with pytest.raises(HeadstartError) as error:
            import_dataset(str(source), tmp_path / "out", **settings)
        assert case.refusal in str(error.value)
        assert "headstart-" not in str(error.value), "a folder that the user never named"
        assert not (tmp_path / "out").exists()
        return
    description = import_dataset(str(source), tmp_path / "out", **settings)
    assert ", ".join(description.classes) == case.classes
    assert " / ".join(str(description.counts[split]) for split in ("train", "validation", "test")) == case.counts
    assert any(case.says in note for note in [*description.notes, ""]), description.notes
    assert description.skipped == 0
    PackedDataset(tmp_path / "out").verify()


def test_the_document_has_the_same_table() -> None:
    rows = [f"| {case.about} | {case.outcome} |" for case in CASES]
    listed = [line for line in DOCUMENT.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    assert listed[1:] == rows


def test_the_collection_is_large_and_has_no_layout_twice() -> None:
    assert len(CASES) >= 60
    assert len({str((case.tree, case.settings)) for case in CASES}) == len(CASES)

"""Candidates and the counts of test images, on a folder and on a bucket."""

import multiprocessing
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from promotions import count_at_once, store_settings
from small_data import colours
from store_contents import manifest, outcome, put, version_folder

from headstart.components.errors import HeadstartError
from headstart.components.promotion import uses
from headstart.components.promotion.candidates import candidates
from headstart.components.promotion.check import check_data
from headstart.components.promotion.commit import conclude, keep_candidate
from headstart.components.promotion.evidence import level
from headstart.components.promotion.gate import Rules
from headstart.components.promotion.retention import prune
from headstart.components.promotion.store import ModelStore, open_store
from tests.commands import invoke
from tests.json_results import read_result

HASHES = [f"{number:016x}{0:016x}" for number in range(40)]


@pytest.fixture
def models(store: ModelStore) -> Callable[..., Result]:
    def run(*arguments: str) -> Result:
        return invoke("models", *arguments, "--store", store.uri)

    return run


def keep(store: ModelStore, place: Path, text: str, current: int | None) -> int:
    version = keep_candidate(
        store, version_folder(place, text), manifest(text, run_id=text), outcome(text, current, text)
    ).version
    assert version is not None
    return version


def test_a_candidate_waits_and_is_approved(store: ModelStore, models: Callable[..., Result], tmp_path: Path) -> None:
    put(store, tmp_path, "first")
    version = keep(store, tmp_path, "next", 1)
    pointer, _ = store.pointer()
    assert pointer is not None and pointer.version == 1
    assert "waits for approval" in models("list").output
    refused = models("rollback", "--to", str(version))
    assert "was never in use; it is a candidate" in str(refused.exception)
    approved = models("approve", "2", "--reason", "looked at it", "--json")
    assert "Version 2 is in use (was 1)." in approved.stderr
    assert read_result("models approve", approved.stdout)["previous"] == 1
    pointer, _ = store.pointer()
    assert pointer is not None
    assert (pointer.version, pointer.previous) == (2, 1)
    assert "looked at it" in pointer.reason
    assert candidates(store) == {}
    assert "looked at it" in models("show", "2").output
    assert "is no candidate" in str(models("approve", "2").exception)
    assert "Version 1 is in use (was 2)." in models("rollback").output


def test_a_candidate_is_rejected_and_its_data_do_not_come_back(
    store: ModelStore, models: Callable[..., Result], tmp_path: Path
) -> None:
    put(store, tmp_path, "first")
    data = colours(tmp_path / "data", ("apple", "pears"))
    folder = version_folder(tmp_path, "next")
    about = manifest("next").model_copy(update={"data_digest": data.description.digest})
    told = outcome("next", 1, "run").model_copy(update={"data_digest": data.description.digest})
    ended = keep_candidate(store, folder, about, told)
    assert ended.title == "Candidate: version 2 waits for approval; version 1 stays in use."
    stopped, _ = check_data(data, store, Rules())
    assert stopped is not None and "waits for approval" in stopped.title
    rejected = models("reject", "2", "--reason", "bad on Mondays", "--json")
    assert "Version 2 is rejected." in rejected.stderr
    assert read_result("models reject", rejected.stdout)["version"] == 2
    assert "was rejected" in str(models("approve", "2").exception)
    assert "bad on Mondays" in str(models("reject", "2", "--reason", "again").exception)
    stopped, _ = check_data(data, store, Rules())
    assert stopped is not None
    assert stopped.title == "Nothing to do: these data made version 2, which was rejected."
    assert check_data(data, store, Rules(), force=True)[0] is None
    # A rejected version goes at the next retention; that it was rejected stays.
    assert prune(store, keep=1) == [2]
    stopped, _ = check_data(data, store, Rules())
    assert stopped is not None and stopped.status == "unchanged"


def test_a_candidate_for_another_version_is_not_approved(
    store: ModelStore, models: Callable[..., Result], tmp_path: Path
) -> None:
    put(store, tmp_path, "first")
    keep(store, tmp_path, "next", 1)
    put(store, tmp_path, "third")
    assert "was compared with version 1, and version 3 is in use now" in str(models("approve", "2").exception)


def test_an_altered_candidate_is_not_approved(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))
    put(store, tmp_path, "first")
    keep(store, tmp_path, "next", 1)
    (tmp_path / "store" / "versions" / "2" / "model" / "model.keras").write_text("altered")
    result = invoke("models", "approve", "2", "--store", store.uri)
    assert "is not what was promoted" in str(result.exception)
    assert store.pointer()[0].version == 1  # type: ignore[union-attr]


def test_retention_keeps_the_newest_candidates(store: ModelStore, tmp_path: Path) -> None:
    put(store, tmp_path, "first")
    for number in range(3):
        keep(store, tmp_path, f"next{number}", 1)
    ended = outcome("last", 1, "last").model_copy(update={"status": "candidate"})
    conclude(store, Rules(keep=2), ended)
    assert ended.removed == [2]
    assert set(candidates(store)) == {3, 4}
    store.backend.write("candidates/3.json", b"{")
    skipped: list[str] = []
    assert set(candidates(store, skipped)) == {4}
    assert "candidates/3.json" in skipped[0]


def test_every_use_is_counted_once_for_each_retraining(store: ModelStore) -> None:
    first = uses.count(store, HASHES[:30], "monday", "q", 0.95, 50)
    again = uses.count(store, HASHES[:30], "monday", "q", 0.95, 50)  # a task that was killed and started again
    assert first.uses == again.uses == 1
    assert first.fresh.all() and again.fresh.all()
    second = uses.count(store, HASHES, "tuesday", "q", 0.95, 50)
    assert second.fresh.tolist() == [False] * 30 + [True] * 10
    assert uses.read_uses(store)[0].images[HASHES[0][:16]] == 2
    # 30 used once and 10 fresh: all at the second level shows more than 10 at the first.
    assert (second.uses, int(second.chosen.sum())) == (2, 40)


def test_worn_images_are_left_out_where_fresh_ones_show_more() -> None:
    chosen, most = uses.choose([30] * 20 + [0] * 200, 0.95, 50)
    assert (int(chosen.sum()), most) == (200, 1)
    chosen, most = uses.choose([30] * 200 + [0] * 2, 0.95, 50)
    assert (int(chosen.sum()), most) == (202, 31)
    chosen, most = uses.choose([50] * 200, 0.95, 50)
    assert (int(chosen.sum()), most, level(0.95, most, 50)) == (200, 51, 0.0)


def test_evidence_is_kept_per_question_and_once(store: ModelStore) -> None:
    for run, question, log_e in (("a", "q", 1.5), ("b", "q", -0.25), ("c", "other", 9.0)):
        uses.count(store, HASHES, run, question, 0.95, 50)
        uses.keep_evidence(store, run, log_e)
    assert uses.count(store, HASHES, "d", "q", 0.95, 50).accumulated == 1.25
    assert uses.count(store, HASHES, "b", "q", 0.95, 50).accumulated == 1.5


def test_a_damaged_count_is_named_and_nothing_is_taken_for_new(store: ModelStore) -> None:
    store.backend.write(uses.FILE, b"{")
    with pytest.raises(HeadstartError, match=r"test-images\.json: damaged"):
        uses.count(store, HASHES, "run", "q", 0.95, 50)


def test_counts_of_racing_retrainings_add_up(store: ModelStore) -> None:
    fork = multiprocessing.get_context("forkserver")
    fork.set_forkserver_preload(["promotions"])
    go = fork.Barrier(3)
    emulator = store_settings()
    children = [fork.Process(target=count_at_once, args=(store.uri, HASHES, name, emulator, go)) for name in "abc"]
    for child in children:
        child.start()
    for child in children:
        child.join(60)
        assert child.exitcode == 0
    counted, _ = uses.read_uses(store)
    assert set(counted.images.values()) == {15}
    assert len(counted.comparisons) == 15
    assert np.isfinite(level(0.95, 15, 50))

"""SIGKILL before every single operation of a promotion, and promotions that race."""

import multiprocessing
import signal
from pathlib import Path

import pytest
from promotions import HASHES, promote, promote_and_die, promote_at_once, store_settings
from store_contents import put, served

from headstart.components.promotion.backends import LocalBackend
from headstart.components.promotion.candidates import approve, candidates
from headstart.components.promotion.store import ModelStore
from headstart.components.promotion.uses import read_uses

# Children are forked from a clean process, neither from this one, which may hold TensorFlow, nor started again each.
FORK = multiprocessing.get_context("forkserver")
FORK.set_forkserver_preload(["promotions"])
MOST_OPERATIONS = 400


@pytest.mark.slow
def test_a_kill_before_any_operation_leaves_a_whole_model_served(store: ModelStore, tmp_path: Path) -> None:
    put(store, tmp_path, "old0")
    old, emulator = "served old0", store_settings()
    killed = switched = 0
    for number in range(MOST_OPERATIONS):
        pointer, generation = store.pointer()
        assert pointer is not None
        result = FORK.SimpleQueue()
        child = FORK.Process(
            target=promote_and_die, args=(store.uri, tmp_path, generation, pointer.version, number, emulator, result)
        )
        child.start()
        child.join(60)
        if child.exitcode == 0:
            assert result.get() == ("promoted", number)  # fewer operations than that: every one was killed once
            break
        assert child.exitcode == -signal.SIGKILL
        killed += 1
        # Whatever was under way: readers get the old version or the new one, whole, and the list reads.
        now = served(store, tmp_path / f"fetched-{number}")
        assert now in (old, f"served killed{number}")
        assert not switched or now != old, "after the switch every later kill leaves the new one in use"
        switched += now != old
        uses = read_uses(store)[0]
        assert set(uses.images.values()) <= {len(uses.comparisons)}, "all images of a comparison are counted, or none"
        assert sum(one.current for one in store.versions()) == 1
        if number % 3 == 0:
            # The next retraining is healthy: it promotes, keeps nothing half, and leads servers to its version.
            pointer, generation = store.pointer()
            assert pointer is not None
            assert promote(store.uri, tmp_path, f"next{number}", generation, pointer.version, keep=1) == "promoted"
            assert served(store, tmp_path / f"next-fetched-{number}") == f"served next{number}"
            _check_link(store, f"served next{number}")
            old, switched = f"served next{number}", 0
        elif now != old:
            # Killed after the switch: heal what it left, then go on from the new one.
            store.heal()
            _check_link(store, now)
            old, switched = now, 0
    else:
        pytest.fail(f"more than {MOST_OPERATIONS} operations")
    print(f"killed at {killed} operations")
    assert killed > 15, f"only {killed} operations were found to be killed at"


def _check_link(store: ModelStore, text: str) -> None:
    if isinstance(store.backend, LocalBackend):
        found = [path.read_text() for path in (store.backend.folder / "serving").glob("*/saved_model.pb")]
        assert found == [text]


@pytest.mark.slow
def test_a_kill_before_any_operation_leaves_a_candidate_whole_or_none(store: ModelStore, tmp_path: Path) -> None:
    put(store, tmp_path, "old0")
    pointer, generation = store.pointer()
    for number in range(MOST_OPERATIONS):
        result = FORK.SimpleQueue()
        child = FORK.Process(
            target=promote_and_die,
            args=(store.uri, tmp_path, generation, 1, number, store_settings(), result, True),
        )
        child.start()
        child.join(60)
        skipped: list[str] = []
        waiting = candidates(store, skipped)
        assert not skipped
        assert store.pointer() == (pointer, generation), "a candidate changes nothing of what is in use"
        for version in waiting:
            store.check(version)
        if child.exitcode == 0:
            assert result.get() == ("candidate", number)
            assert max(waiting) == max(one.manifest.version for one in store.versions())
            approve(store, max(waiting), "", "somebody")
            assert served(store, tmp_path / "fetched") == f"served killed{number}"
            break
        assert child.exitcode == -signal.SIGKILL
    else:
        pytest.fail(f"more than {MOST_OPERATIONS} operations")
    assert number > 8, f"only {number} operations were found to be killed at"
    assert read_uses(store)[0].images.keys() == {value[:16] for value in HASHES}


@pytest.mark.parametrize("empty", [True, False])
def test_of_racing_promotions_exactly_one_wins(store: ModelStore, tmp_path: Path, empty: bool) -> None:
    if not empty:
        put(store, tmp_path, "old")
    racers, emulator = 4, store_settings()
    for lap in range(3):
        pointer, generation = store.pointer()
        current = pointer.version if pointer else None
        go, result = FORK.Barrier(racers), FORK.Queue()
        children = [
            FORK.Process(
                target=promote_at_once,
                args=(store.uri, tmp_path, f"{lap}-{name}", generation, current, emulator, go, result),
            )
            for name in range(racers)
        ]
        for child in children:
            child.start()
        ends = dict(result.get(timeout=120) for _ in children)
        for child in children:
            child.join(60)
        winners = [text for text, status in ends.items() if status == "promoted"]
        assert len(winners) == 1, ends
        assert [status for status in ends.values() if status != "promoted"] == ["superseded"] * (racers - 1)
        assert served(store, tmp_path / f"fetched-{lap}") == f"served {winners[0]}"
        told = {outcome.run_id: outcome for outcome in store.outcomes(racers)}
        loser = next(told[text] for text in ends if text not in winners)
        winner = store.pointer()[0]
        assert winner is not None
        assert f"version {winner.version} is in use now" in loser.title
    # What the losers stored is gone; only winners (and the version of before) are left.
    assert len(store.versions()) == 3 + (not empty)
    pointer, _ = store.pointer()
    assert pointer is not None
    assert pointer.sequence == 3 + (not empty)

"""`headstart models` on a folder and on a bucket."""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from click.testing import Result
from store_contents import digest, manifest, outcome, put, version_folder

from headstart.components.promotion.retention import prune
from headstart.components.promotion.store import ModelStore, open_store
from tests.commands import invoke
from tests.json_results import read_result

Models = Callable[..., Result]


@pytest.fixture
def models(store: ModelStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Models:
    """Run `headstart models` on a store with three versions, of which the last is in use."""
    for text in ("one", "two", "three"):
        put(store, tmp_path, text)
    monkeypatch.setenv("HEADSTART_STORE", store.uri)
    return partial(invoke, "models")


def rows(result: Result) -> list[list[str]]:
    return [line.split() for line in result.output.splitlines()]


def test_list_marks_what_is_in_use_pinned_and_rolled_back(models: Models, store: ModelStore, tmp_path: Path) -> None:
    models("pin", "1", "--reason", "audited")
    models("rollback", "--reason", "bad on Mondays")
    listed = rows(models("list"))
    assert listed[0][:4] == ["version", "accuracy", "made", "data"]
    assert listed[1][0] == "1" and listed[1][-3:] == ["apple,", "pears", "pinned"]
    assert listed[2][:2] == [">", "2"] and listed[2][-2:] == ["in", "use"]
    assert listed[3][0] == "3" and listed[3][-2:] == ["rolled", "back"]
    read = read_result("models list", models("list", "--json").output)
    assert [(one["version"], one["current"], one["pinned"]) for one in read] == [
        (1, False, True), (2, True, False), (3, False, False),
    ]  # fmt: skip
    pointer, _ = store.pointer()
    assert pointer is not None
    assert pointer.withdrawn == {digest("three"): "version 3 rolled back to 2: bad on Mondays"}
    assert pointer.by.count("@") == 1


def test_rollback_to_a_named_version_and_forward_again(models: Models, store: ModelStore) -> None:
    assert "Version 1 is in use (was 3)." in models("rollback", "--to", "1").output
    assert "Version 3 is in use (was 1)." in models("rollback", "--to", "3").output
    pointer, _ = store.pointer()
    assert pointer is not None
    assert set(pointer.withdrawn) == {digest("one")}
    assert [change.version for change in pointer.history] == [1, 2, 3, 1, 3]


@pytest.mark.parametrize(
    ("arguments", "status", "told"),
    [
        (("rollback", "--to", "3"), 2, "in use already"),
        (("rollback", "--to", "9"), 1, "has no version 9; there are: 1, 2, 3"),
        (("show", "9"), 1, "has no version 9"),
        (("pin", "9"), 1, "has no version 9"),
        (("show", "--uri", "--json"), 2, "--uri, --json: the first prints an address"),
    ],
)
def test_what_cannot_be_is_refused(models: Models, arguments: tuple[str, ...], status: int, told: str) -> None:
    result = models(*arguments)
    assert result.exit_code == status
    assert told in str(result.exception)


def test_show_says_how_it_came_to_be_and_where_to_serve_it_from(models: Models, store: ModelStore) -> None:
    shown = models("show").output
    assert "3  (in use)" in shown
    assert digest("three") in shown
    assert f"{store.uri}/versions/3/serving" in shown
    assert models("show", "2", "--uri").output.strip() == f"{store.uri}/versions/2/serving"
    assert read_result("models show", models("show", "2", "--json").output)["data_digest"] == digest("two")


def test_history_tells_how_retrainings_ended(models: Models, store: ModelStore) -> None:
    assert "No retraining has ended here yet." in models("history").output
    store.write_outcome(outcome("four", 3, "run-4"), {"report.md": b"# four\n"})
    assert rows(models("history"))[1][2:] == ["refused", "undecided"]


def test_pins_come_and_go(models: Models, store: ModelStore) -> None:
    models("pin", "2")
    assert set(store.pins()) == {2}
    models("pin", "2", "--remove")
    assert store.pins() == {}


def test_an_empty_store_says_what_to_do(tmp_path: Path) -> None:
    def run(command: str) -> Result:
        return invoke("models", command, "--store", tmp_path / "none")

    assert "`headstart retrain` makes the first" in run("list").output
    assert "nothing to roll back" in str(run("rollback").exception)
    assert "no model is in use yet" in str(run("show").exception)
    assert not (tmp_path / "none").exists()


def test_the_first_version_cannot_be_rolled_back(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))
    put(store, tmp_path, "one")
    result = invoke("models", "rollback", "--store", store.uri)
    assert "before version 1 there is none in the store to return to." in str(result.exception)


def test_rollback_never_returns_to_a_withdrawn_version_by_itself(models: Models, store: ModelStore) -> None:
    assert "Version 2 is in use (was 3)." in models("rollback").output
    assert "Version 1 is in use (was 2)." in models("rollback").output
    last = models("rollback")
    assert last.exit_code == 2
    assert "none in the store to return to, and versions 2, 3 were withdrawn" in str(last.exception)
    assert "Version 3 is in use (was 1)." in models("rollback", "--to", "3").output
    # Named, it is no longer withdrawn; the one left for it is.
    listed = {row[0].strip(">"): row for row in rows(models("list"))[1:]}
    assert "Version 1 is in use" not in models("rollback").output
    assert len(listed) == 3


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"schema_version": 99}'])
def test_one_damaged_file_stops_neither_list_nor_history_nor_retention(
    models: Models, store: ModelStore, tmp_path: Path, damage: bytes
) -> None:
    for text in ("four", "five"):
        store.write_outcome(outcome(text, 3, f"run-{text}"), {})
    (broken, _) = store.backend.folders("retrainings")
    store.backend.write("versions/1/version.json", damage)
    store.backend.write("pins/2.json", damage)
    store.add(version_folder(tmp_path, "waits"), manifest("waits"))
    store.backend.write("candidates/4.json", damage)
    for foreign in ("candidates/notes.txt", "pins/why.md", "versions/README", "retrainings/of mine/x", "versions/x/y"):
        store.backend.write(foreign, b"not ours")
    store.backend.write(f"retrainings/{broken}/outcome.json", damage)
    listed = models("list")
    assert [row[0] for row in rows(listed)[1:] if row[0] in "23>"] == ["2", ">"]
    for name in ("versions/1/version.json", "pins/2.json", "candidates/4.json"):
        assert f"{store.uri}/{name}" in listed.stderr
    told = models("history")
    assert len(rows(told)) - len(told.stderr.splitlines()) == 2
    assert f"retrainings/{broken}/outcome.json" in told.stderr
    # What cannot be read is not removed, and a pin that cannot be read holds.
    assert prune(store, keep=1) == []
    assert store.backend.folders("versions") == ["1", "2", "3", "4", "x"]
    assert store.backend.read("versions/README")[0] == b"not ours"


def test_json_of_what_changes_a_store(models: Models, store: ModelStore) -> None:
    found = read_result("models rollback", models("rollback", "--json").stdout)
    assert found == {"version": 2, "action": "rolled back", "previous": 3, "serve_from": store.serving_uri(2)}
    assert read_result("models pin", models("pin", "1", "--json").stdout)["action"] == "pinned"
    assert read_result("models pin", models("pin", "1", "--remove", "--json").stdout)["action"] == "unpinned"
    found = read_result("models verify", models("verify", "--json").stdout)
    assert found["sound"] and [one["version"] for one in found["versions"]] == [1, 2, 3]
    assert read_result("models prune", models("prune", "--keep", "1", "--dry-run", "--json").stdout)["dry_run"]
    store.backend.write("versions/1/model/model.keras", b"other")
    damaged = models("verify", "--json")
    found = read_result("models verify", damaged.stdout)
    assert not found["sound"]
    assert [bool(one["problem"]) for one in found["versions"]] == [True, False, False]


def test_a_pin_that_is_no_file_holds(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))
    for text in ("one", "two", "three", "four"):
        put(store, tmp_path, text)
    (tmp_path / "store" / "pins").mkdir()
    os.mkfifo(tmp_path / "store" / "pins" / "1.json")
    (tmp_path / "store" / "pins" / "2.json").symlink_to("nowhere")
    skipped: list[str] = []
    assert set(store.pins(skipped)) == {1, 2}
    assert "pins/1.json" in skipped[0]
    assert prune(store, keep=1) == []


def test_a_version_in_use_that_is_gone_is_said(models: Models, store: ModelStore) -> None:
    store.backend.remove("versions/3", first="version.json")
    for command in ("list", "verify"):
        assert "says that version 3 is in use, and that version is not there" in models(command).stderr
    assert models("verify").return_value == 1
    assert models("verify", "2").return_value == 0
    models("rollback")
    assert "not there" not in models("list").stderr
    assert models("verify").return_value == 0
    store.backend.write("current.json", b'{"schema_version": 99, "versions": [1]}')
    assert "written by a newer Headstart" in str(models("list").exception)

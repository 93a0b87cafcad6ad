"""The pipeline's first task: every check passes where it should, and fails with a remedy where it must."""

from pathlib import Path

import pytest
from answering import Answer, AnsweringServer

from headstart.components.errors import HeadstartError
from headstart.components.preflight import checks


def test_good_place_passes_and_says_what_was_found(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    with AnsweringServer(lambda asked: Answer(b"images") if asked.path == "/images.zip" else None) as server:
        text = checks.require(
            read_from=["demo:source", str(tmp_path / "data"), f"{server.host}/images.zip", ""],
            write_to=str(tmp_path / "checkpoints"), run_id="run-1",
        )  # fmt: skip
    assert "failed" not in text
    assert text.count("passed  read") == 3
    assert not list((tmp_path / "checkpoints").iterdir())  # the probe is removed


def test_everything_that_is_wrong_is_in_one_message(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        AnsweringServer(lambda _: None) as server,
        pytest.raises(HeadstartError) as raised,
    ):
        checks.require(
            read_from=["/no/such/folder", f"{server.host}/gone.zip"], write_to=str(tmp_path / "file"), run_id="r"
        )
    for word in ("/no/such/folder", "HTTP 404", "write", "--volume-claim"):
        assert word in str(raised.value)


def test_home_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/nonexistent")
    assert checks.check_home().outcome == "failed"


def test_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.getuid", lambda: 0)
    assert checks.check_user().outcome == "warning"
    monkeypatch.setattr("os.getuid", lambda: 1000)
    assert checks.check_user().outcome == "passed"


def test_little_room_is_a_warning() -> None:
    assert checks.check_scratch(needed=2**62).outcome == "warning"
    assert checks.check_scratch(needed=1).outcome == "passed"


def test_another_image_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise checks.importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(checks.importlib.metadata, "version", missing)
    found = checks.check_software()
    assert found.outcome == "failed" and "no headstart and no tensorflow" in found.found

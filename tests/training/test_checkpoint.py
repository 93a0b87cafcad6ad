"""Checkpoints and attempts: whole or absent, exact, and of the run they say they are of."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np
import pytest

from headstart.components.records import RunRecord
from headstart.components.training import attempts, checkpoint
from headstart.components.training.checkpoint import Folder, finished, keep_finished, pack, unpack


def test_what_is_packed_comes_back_bit_by_bit():
    arrays = {
        "state/model/dense_1/kernel": np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32),
        "state/optimizer/iterations": np.asarray(7, np.int64),
        "best/x": np.array([np.nan, -0.0, np.inf], np.float32),
    }
    progress = {"rows": [{"epoch": 1, "loss": 0.1}], "best": None, "text": "ä"}
    found, again = unpack(pack(arrays, progress))
    assert again == progress
    assert set(found) == set(arrays)
    for name, value in arrays.items():
        assert found[name].dtype == value.dtype
        assert found[name].tobytes() == value.tobytes()


@pytest.mark.parametrize("damage", ["cut", "flip", "nothing", "other"])
def test_a_damaged_checkpoint_is_recognised(damage):
    whole = bytearray(pack({"a": np.arange(1000, dtype=np.float32)}, {"n": 1}))
    if damage == "flip":
        whole[len(whole) // 2] ^= 255
    content = {"cut": bytes(whole[:-100]), "flip": bytes(whole), "nothing": b"", "other": b"hello"}[damage]
    with pytest.raises(ValueError, match="damaged checkpoint"):
        unpack(content)


def flipped(content: bytes) -> Iterator[bytes]:
    """Every content that differs from `content` in one bit."""
    for place in range(len(content)):
        for bit in range(8):
            changed = bytearray(content)
            changed[place] ^= 1 << bit
            yield bytes(changed)


def test_every_bit_of_a_checkpoint_counts():
    whole = pack({"a": np.arange(3, dtype=np.float32)}, {"n": 1})
    for content in flipped(whole):
        with pytest.raises(ValueError, match="damaged checkpoint"):
            unpack(content)
    for length in range(len(whole)):
        with pytest.raises(ValueError, match="damaged checkpoint"):
            unpack(whole[:length])


def test_every_bit_of_a_finished_run_counts(tmp_path, capsys):
    folder = Folder(str(tmp_path / "run"))
    model = tmp_path / "model"
    model.mkdir()
    (model / "model.keras").write_bytes(b"weights")
    keep_finished(folder, "print", record(), {"model": model})
    archive = tmp_path / "run" / checkpoint.FINISHED
    whole = archive.read_bytes()
    for number, content in enumerate(flipped(whole)):
        with pytest.raises(ValueError, match="checksum"):
            checkpoint.unsealed(content)
        if number % 499 == 0:
            archive.write_bytes(content)
            assert finished(folder, "print", {"model": tmp_path / "new"}) is None
            assert "damaged" in capsys.readouterr().out
    assert not (tmp_path / "new").exists()
    # One that an earlier version wrote has no checksum: it is not used, and does no harm.
    archive.write_bytes(checkpoint.unsealed(whole))
    assert finished(folder, "print", {"model": tmp_path / "new"}) is None
    assert "another version" in capsys.readouterr().out
    archive.write_bytes(whole)
    assert finished(folder, "print", {"model": tmp_path / "new"}) == record()
    assert capsys.readouterr().out == ""


def test_a_bit_of_what_attempts_left_is_detected_or_harmless(tmp_path, capsys):
    folder = Folder(str(tmp_path))
    first = attempts.Attempts(folder, "print")
    first.begin()
    first.prepared(3.0)
    first.epoch_done(1, 10.0)
    first.note(1)
    first.save()
    second = attempts.Attempts(folder, "print")
    honest = second.earlier
    file, journal = tmp_path / attempts.FILE, tmp_path / attempts.JOURNAL
    whole, lines = file.read_bytes(), journal.read_bytes()
    capsys.readouterr()
    for content in flipped(whole):
        file.write_bytes(content)
        assert attempts.Attempts(folder, "print").earlier in ([], honest)
        assert attempts.Attempts(folder, "print").earlier == honest or "damaged" in capsys.readouterr().out
    file.write_bytes(whole)
    for content in flipped(lines):
        journal.write_bytes(content)
        # A line that is damaged is left out: it is one of these, never another number.
        assert second.repeated_seconds(0.0, 0.0) in (13.0, 10.0, 3.0, 0.0)


def test_a_folder_replaces_objects_at_once(tmp_path):
    folder = Folder(str(tmp_path / "run"))
    assert folder.read("checkpoint.npz") is None
    folder.write("checkpoint.npz", b"one")
    folder.write("checkpoint.npz", b"two")
    assert folder.read("checkpoint.npz") == b"two"
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["checkpoint.npz"]
    nowhere = Folder("")
    nowhere.write("x", b"1")
    nowhere.append("x", "1")
    assert nowhere.read("x") is None


def test_attempts_add_up_and_what_was_done_again_is_counted(tmp_path):
    folder = Folder(str(tmp_path))
    first = attempts.Attempts(folder, "print")
    first.begin()
    first.prepared(3.0)
    for epoch in (1, 2, 3):
        first.epoch_done(epoch, 10.0)
    first.note(2)  # the checkpoint is that of epoch 2; then it is killed
    first.save()

    second = attempts.Attempts(folder, "print")
    second.begin()
    assert [attempt.ended for attempt in second.earlier] == [attempts.VANISHED]
    second.prepared(4.0)
    for epoch in (3, 4):
        second.epoch_done(epoch, 11.0)
    second.note(4, "completed")
    second.save()
    assert [attempt.epochs for attempt in second.all] == [2, 2]
    # Epochs 1, 2 of the first and 3, 4 of the second count: 42 s; and the first preparation. Again: 10 s and 4 s.
    assert second.repeated_seconds(42.0, 3.0) == pytest.approx(14.0)

    other = attempts.Attempts(folder, "another print")
    assert other.earlier == []
    other.begin()
    assert other.repeated_seconds(0.0, 0.0) == 0
    assert folder.read(attempts.JOURNAL) == b""


def test_a_process_that_is_gone_has_its_end_written_down(tmp_path):
    folder = Folder(str(tmp_path))
    assert attempts.close(folder, "killed by signal 9") == []
    attempts.Attempts(folder, "print").begin()
    (closed,) = attempts.close(folder, "killed by signal 9")
    assert closed.ended == "killed by signal 9"
    assert attempts.Attempts(folder, "print").earlier == [closed]
    (tmp_path / attempts.FILE).write_text("{")
    assert attempts.close(folder, "x") == []
    assert attempts.Attempts(folder, "print").earlier == []


def record() -> RunRecord:
    return RunRecord(arm="final", seed=1, run_id="r", status="succeeded")


def test_a_finished_run_comes_back_under_its_fingerprint_only(tmp_path):
    model = tmp_path / "model"
    (model / "assets").mkdir(parents=True)
    (model / "model.keras").write_bytes(b"weights")
    (model / "assets" / "classes.txt").write_text("a\n")
    folder = Folder(str(tmp_path / "run"))
    folder.write(checkpoint.CHECKPOINT, b"state")
    keep_finished(folder, "print", record(), {"model": model, "saved_model": None})
    assert folder.read(checkpoint.CHECKPOINT) == b""  # it takes no room any more

    assert finished(folder, "other", {"model": tmp_path / "new"}) is None
    assert finished(folder, "print", {"model": tmp_path / "new", "saved_model": tmp_path / "served"}) is None
    assert finished(folder, "print", {"model": tmp_path / "new"}) == record()
    assert (tmp_path / "new" / "model.keras").read_bytes() == b"weights"
    assert (tmp_path / "new" / "assets" / "classes.txt").read_text() == "a\n"

    archive = tmp_path / "run" / checkpoint.FINISHED
    archive.write_bytes(archive.read_bytes()[:700])
    assert finished(folder, "print", {"model": tmp_path / "new"}) is None


def test_attempts_are_readable_json(tmp_path):
    attempts.Attempts(Folder(str(tmp_path)), "print").begin()
    stored = json.loads((tmp_path / attempts.FILE).read_text())
    assert stored["fingerprint"] == "print"
    assert stored["attempts"][0]["number"] == 1

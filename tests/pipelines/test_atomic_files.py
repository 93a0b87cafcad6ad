from pathlib import Path

import pytest

from headstart.components.atomic_files import whole_file, whole_folder, write_json, write_text


def test_a_failed_write_leaves_what_was_there(tmp_path: Path) -> None:
    file = tmp_path / "record.json"
    write_text(file, "old")
    with pytest.raises(RuntimeError), whole_file(file) as partial:
        partial.write_text("half")
        raise RuntimeError
    assert file.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["record.json"]


def test_a_failed_folder_leaves_what_was_there(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    with whole_folder(folder) as partial:
        (partial / "a").write_text("old")
    with pytest.raises(RuntimeError), whole_folder(folder) as partial:
        (partial / "a").write_text("half")
        raise RuntimeError
    assert (folder / "a").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_a_whole_folder_replaces_the_old_one(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    for content in ("old", "new"):
        with whole_folder(folder) as partial:
            (partial / content).write_text(content)
    assert [path.name for path in folder.iterdir()] == ["new"]
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_json_refuses_what_other_readers_cannot_read(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"loss": float("nan")})
    assert list(tmp_path.iterdir()) == []

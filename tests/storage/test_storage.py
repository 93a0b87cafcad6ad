"""Objects and files by URI, against the real fake-gcs-server."""

import os
from pathlib import Path

import pytest

from headstart.components import storage
from headstart.components.errors import HeadstartError, SettingError
from tests.storage.conftest import put_objects


def test_bytes_make_the_round_trip_and_generations_guard_them(gcs: str) -> None:
    uri = f"gs://{gcs}/a/b.bin"
    assert not storage.exists(uri)
    first = storage.write_bytes(uri, b"one", if_generation_match=0)
    assert storage.exists(uri)
    assert storage.read_bytes(uri) == b"one"
    with pytest.raises(storage.PreconditionError, match="someone else"):
        storage.write_bytes(uri, b"two", if_generation_match=0)
    assert storage.write_bytes(uri, b"three", if_generation_match=first) != first
    assert storage.read_bytes(uri) == b"three"
    storage.delete(uri)
    storage.delete(uri)
    assert not storage.exists(uri)


def test_folders_go_up_and_come_down_whole(gcs: str, tmp_path: Path) -> None:
    made = tmp_path / "made"
    (made / "deep" / "er").mkdir(parents=True)
    (made / "top.txt").write_bytes(b"top")
    (made / "deep" / "er" / "ä b.txt").write_bytes(b"\x00\xff")
    storage.upload(made, f"gs://{gcs}/set")
    storage.write_bytes(f"gs://{gcs}/settings.txt", b"same beginning, other folder")
    assert list(storage.list(f"gs://{gcs}/set/")) == [f"gs://{gcs}/set/deep/er/ä b.txt", f"gs://{gcs}/set/top.txt"]
    fetched = storage.download(f"gs://{gcs}/set", tmp_path / "fetched")
    assert sorted(str(path.relative_to(fetched)) for path in fetched.rglob("*") if path.is_file()) == [
        "deep/er/ä b.txt",
        "top.txt",
    ]
    assert (fetched / "deep/er/ä b.txt").read_bytes() == b"\x00\xff"
    assert storage.download(f"gs://{gcs}/set/top.txt", tmp_path / "one") == tmp_path / "one" / "top.txt"


@pytest.mark.slow
def test_thousands_of_small_objects_come_down(gcs: str, gcs_server, tmp_path: Path) -> None:
    content = {f"many/{index % 40}/{index}.txt": f"object {index}".encode() for index in range(2000)}
    put_objects(gcs_server.url, gcs, content)
    fetched = storage.download(f"gs://{gcs}/many", tmp_path / "fetched")
    found = {f"many/{path.relative_to(fetched)}": path.read_bytes() for path in fetched.rglob("*.txt")}
    assert found == content


def test_a_download_is_taken_up_again_where_it_broke(gcs: str, breaking, tmp_path: Path) -> None:
    content = os.urandom(3_000_000)
    storage.write_bytes(f"gs://{gcs}/archive.bin", content)
    proxy = breaking(after=1_000_000, cuts=2)
    path = storage.download(f"gs://{gcs}/archive.bin", tmp_path / "in")
    assert path.read_bytes() == content
    assert proxy.cut == 2
    ranges = [line for text in proxy.requests for line in text.splitlines() if line.lower().startswith("range:")]
    assert any(not line.replace(" ", "").lower().startswith("range:bytes=0-") for line in ranges), ranges


def test_small_objects_survive_breaks(gcs: str, breaking, tmp_path: Path) -> None:
    for index in range(60):
        storage.write_bytes(f"gs://{gcs}/few/{index}", bytes([index]) * 5000)
    proxy = breaking(after=20_000, cuts=3)
    fetched = storage.download(f"gs://{gcs}/few", tmp_path / "in")
    assert all((fetched / str(index)).read_bytes() == bytes([index]) * 5000 for index in range(60))
    assert proxy.cut == 3


def test_what_is_missing_is_said(gcs: str, tmp_path: Path) -> None:
    with pytest.raises(HeadstartError, match="no such object, and none below"):
        storage.download(f"gs://{gcs}/nothing", tmp_path / "in")
    with pytest.raises(HeadstartError, match="no such bucket or object"):
        storage.read_bytes(f"gs://{gcs}/nothing")
    with pytest.raises(SettingError, match="expected gs://BUCKET/OBJECT"):
        storage.read_bytes("gs:///nothing")
    with pytest.raises(HeadstartError, match="cannot be read"):
        storage.read_bytes(str(tmp_path / "nothing"))
    with pytest.raises(SettingError, match="scheme is not known"):
        storage.exists("ftp://somewhere/nothing")


def test_an_object_name_cannot_lead_out_of_the_folder(gcs: str, tmp_path: Path) -> None:
    storage.write_bytes(f"gs://{gcs}/set/fine.txt", b"fine")
    from google.cloud import storage as google_storage

    google_storage.Client().bucket(gcs).blob("set/../../escaped.txt").upload_from_string(b"bad")
    with pytest.raises(HeadstartError, match="leads out of its folder"):
        storage.download(f"gs://{gcs}/set", tmp_path / "deep" / "in")
    assert not list(tmp_path.rglob("escaped.txt"))


def test_local_places_work_alike(tmp_path: Path) -> None:
    uri = f"file://{tmp_path}/a%20b/c.bin"
    storage.write_bytes(uri, b"local")
    assert (tmp_path / "a b" / "c.bin").read_bytes() == b"local"
    assert storage.read_bytes(uri) == b"local"
    assert list(storage.list(str(tmp_path))) == [str(tmp_path / "a b" / "c.bin")]
    storage.upload(tmp_path / "a b", str(tmp_path / "copy"))
    assert (tmp_path / "copy" / "c.bin").read_bytes() == b"local"
    storage.delete(uri)
    assert not storage.exists(uri)

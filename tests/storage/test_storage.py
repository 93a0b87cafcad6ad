"""Objects and files by URI, against the real fake-gcs-server and SeaweedFS."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from headstart.components import storage
from headstart.components.errors import HeadstartError, SettingError
from tests.storage.conftest import put_objects
from tests.uploads import upload


def test_bytes_make_the_round_trip_and_generations_guard_them(bucket: str) -> None:
    uri = f"{bucket}/a/b.bin"
    assert not storage.exists(uri)
    first = storage.write_bytes(uri, b"one", expected="")
    assert storage.exists(uri)
    assert storage.read_bytes(uri) == b"one"
    with pytest.raises(storage.PreconditionError, match="someone else"):
        storage.write_bytes(uri, b"two", expected="")
    assert storage.write_bytes(uri, b"three", expected=first) != first
    assert storage.read_bytes(uri) == b"three"
    storage.delete(uri)
    storage.delete(uri)
    assert not storage.exists(uri)


def test_folders_go_up_and_come_down_whole(bucket: str, tmp_path: Path) -> None:
    made = tmp_path / "made"
    (made / "deep" / "er").mkdir(parents=True)
    (made / "top.txt").write_bytes(b"top")
    (made / "deep" / "er" / "ä b.txt").write_bytes(b"\x00\xff")
    upload(made, f"{bucket}/set")
    storage.write_bytes(f"{bucket}/settings.txt", b"same beginning, other folder")
    assert list(storage.list(f"{bucket}/set/")) == [f"{bucket}/set/deep/er/ä b.txt", f"{bucket}/set/top.txt"]
    fetched = storage.download(f"{bucket}/set", tmp_path / "fetched")
    assert sorted(str(path.relative_to(fetched)) for path in fetched.rglob("*") if path.is_file()) == [
        "deep/er/ä b.txt",
        "top.txt",
    ]
    assert (fetched / "deep/er/ä b.txt").read_bytes() == b"\x00\xff"
    assert storage.download(f"{bucket}/set/top.txt", tmp_path / "one") == tmp_path / "one" / "top.txt"


@pytest.mark.slow
def test_thousands_of_small_objects_come_down(bucket: str, tmp_path: Path) -> None:
    content = {f"many/{index % 40}/{index}.txt": f"object {index}".encode() for index in range(2000)}
    put_objects(bucket, content)
    fetched = storage.download(f"{bucket}/many", tmp_path / "fetched")
    found = {f"many/{path.relative_to(fetched)}": path.read_bytes() for path in fetched.rglob("*.txt")}
    assert found == content


def test_a_download_is_taken_up_again_where_it_broke(bucket: str, breaking, tmp_path: Path) -> None:
    content = os.urandom(3_000_000)
    storage.write_bytes(f"{bucket}/archive.bin", content)
    proxy = breaking(after=1_000_000, cuts=2)
    path = storage.download(f"{bucket}/archive.bin", tmp_path / "in")
    assert path.read_bytes() == content
    assert proxy.cut == 2
    ranges = [line for text in proxy.requests for line in text.splitlines() if line.lower().startswith("range:")]
    assert any(not line.replace(" ", "").lower().startswith("range:bytes=0-") for line in ranges), ranges


def test_small_objects_survive_breaks(bucket: str, breaking, tmp_path: Path) -> None:
    for index in range(60):
        storage.write_bytes(f"{bucket}/few/{index}", bytes([index]) * 5000)
    proxy = breaking(after=20_000, cuts=3)
    fetched = storage.download(f"{bucket}/few", tmp_path / "in")
    assert all((fetched / str(index)).read_bytes() == bytes([index]) * 5000 for index in range(60))
    assert proxy.cut == 3


def test_what_is_missing_is_said(bucket: str, tmp_path: Path) -> None:
    with pytest.raises(HeadstartError, match="no such object, and none below"):
        storage.download(f"{bucket}/nothing", tmp_path / "in")
    with pytest.raises(HeadstartError, match="no such bucket or object"):
        storage.read_bytes(f"{bucket}/nothing")
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
    upload(tmp_path / "a b", str(tmp_path / "copy"))
    assert (tmp_path / "copy" / "c.bin").read_bytes() == b"local"
    storage.delete(uri)
    assert not storage.exists(uri)


def test_of_racing_writers_one_wins(bucket: str) -> None:
    uri = f"{bucket}/current.json"

    def race(expected: str) -> list[str]:
        def write(number: int) -> str:
            try:
                return storage.write_bytes(uri, f"writer {number} after {expected}".encode(), expected)
            except storage.PreconditionError:
                return ""

        with ThreadPoolExecutor(6) as pool:
            return [generation for generation in pool.map(write, range(6)) if generation]

    generation = ""
    for _ in range(3):
        winners = race(generation)
        assert len(winners) == 1
        generation = winners[0]
    assert b"after" in storage.read_bytes(uri)
    assert list(storage.list(bucket)) == [uri]  # what found out about conditions is removed


def test_of_a_large_object_no_more_is_read_than_asked(bucket: str) -> None:
    storage.write_bytes(f"{bucket}/large", bytes(3 << 20))
    storage.write_bytes(f"{bucket}/empty", b"")
    with pytest.raises(HeadstartError, match="is larger than 1,000 bytes"):
        storage.read_bytes(f"{bucket}/large", largest=1000)
    assert storage.read_bytes(f"{bucket}/empty", largest=1000) == b""


def test_a_pipe_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(HeadstartError, match="not a regular file"):
        storage.read_bytes(str(tmp_path / "pipe"))

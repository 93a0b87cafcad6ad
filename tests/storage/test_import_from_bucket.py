"""Data sets come in from a bucket: as a prefix of small objects and as one archive, over connections that break."""

from pathlib import Path

from headstart.components.datasets.importing import import_dataset
from tests.datasets import drawn_files
from tests.storage.conftest import put_objects
from tests.uploads import upload


def test_a_prefix_and_an_archive_give_the_same_data(bucket: str, breaking, tmp_path: Path) -> None:
    source = drawn_files.fruits(tmp_path / "fruits", ("Apple Red 1", "Pear", "Kiwi"), train=60, test=20)
    expected = import_dataset(str(source), tmp_path / "local", image_size=16)
    files = {f"sets/fruits/{path.relative_to(source)}": path.read_bytes() for path in source.rglob("*.jpg")}
    put_objects(bucket, files)
    upload(drawn_files.tar_of(source, tmp_path / "fruits.tar.gz"), f"{bucket}/fruits.tar.gz")
    proxy = breaking(after=20_000, cuts=3)
    many = import_dataset(f"{bucket}/sets/fruits", tmp_path / "many", image_size=16)
    assert proxy.cut
    again = breaking(after=60_000, cuts=1)
    one = import_dataset(f"{bucket}/fruits.tar.gz", tmp_path / "one", image_size=16)
    assert again.cut == 1
    assert many.digest == one.digest == expected.digest
    assert many.source == f"{bucket}/sets/fruits"

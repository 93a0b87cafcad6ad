"""What is fuzzed: readers of files that come from outside. Each takes bytes and may refuse them, but only in words.

A target raises HeadstartError for what it refuses; anything else that it raises is a defect. Where bytes are taken,
what comes out is checked as far as one can without knowing what it should be.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import pickle
import shutil
import tarfile
import tempfile
import unicodedata
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from headstart.components import progress
from headstart.components.credentials import masked, without_credentials
from headstart.components.datasets.archives import unpack
from headstart.components.datasets.cifar100 import read_archive, read_folder
from headstart.components.datasets.images import UnreadableImageError, decode
from headstart.components.datasets.packed import PackedDataset, digests_of, write_packed
from headstart.components.datasets.reading import Reading
from headstart.components.datasets.settings import ImportSettings
from headstart.components.datasets.splitting import check_class_names
from headstart.components.datasets.tables import read_table
from headstart.components.datasets.unpickling import load_pickle
from headstart.components.errors import HeadstartError
from headstart.components.foreign_text import LONGEST, csv_cell, printable
from headstart.components.promotion import integrity, provenance
from headstart.components.records import RunRecord, read_record
from headstart.components.reporting.summary import read_summary
from headstart.components.training import attempts, checkpoint, lineage
from headstart.pipelines import own_files
from headstart.pipelines.configuration import read_configuration
from headstart.pipelines.submission import answers
from headstart.pipelines.submission.workflow import Workflow

SCRATCH = Path(tempfile.mkdtemp(prefix="headstart-fuzz-", dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None))


def fresh(name: str) -> Path:
    folder = SCRATCH / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder


def cifar_pickle(data: bytes) -> None:
    load_pickle(data, "train")


def cifar_python_version(data: bytes) -> None:
    """The three files of the python version, cut out of `data` at its separators."""
    folder = fresh("python")
    parts = [*data.split(SEPARATOR), b"", b""][:3]
    for name, content in zip(("meta", "train", "test"), parts, strict=True):
        (folder / name).write_bytes(content)
    collection = read_folder(folder)
    assert collection.labels.max() < len(collection.classes)


def cifar_binary_version(data: bytes) -> None:
    folder = fresh("binary")
    names, _, pixels = data.partition(SEPARATOR)
    (folder / "fine_label_names.txt").write_bytes(names)
    (folder / "train.bin").write_bytes(pixels)
    (folder / "test.bin").write_bytes(pixels[: len(pixels) // 3074 * 3074])
    collection = read_folder(folder)
    assert collection.pixels is not None
    assert collection.pixels.shape == (len(collection.labels), 32, 32, 3)


def cifar_archive(data: bytes) -> None:
    file = fresh("cifar") / "cifar.tar"
    file.write_bytes(data)
    read_archive(file)


def archive(data: bytes) -> None:
    """Whatever the archive says, nothing appears outside the folder, and no links in it."""
    place = fresh("archive")
    file, inside = place / "archive", place / "inside"
    file.write_bytes(data)
    inside.mkdir()
    try:
        unpack(file, inside)
    finally:
        assert sorted(path.name for path in place.iterdir()) == ["archive", "inside"]
        assert not any(path.is_symlink() for path in place.rglob("*"))


def archive_headers(data: bytes) -> None:
    """Headers of a tar archive with right checksums, without which a reader looks no further."""
    blocks = []
    for start in range(0, len(data), 512):
        block = bytearray(data[start : start + 512].ljust(512, b"\0"))
        if block[156] and block[156] < 128:  # else it is taken for content
            block[148:156] = b"%06o\0 " % (sum(block[:148]) + 8 * 32 + sum(block[156:]))
        blocks.append(bytes(block))
    archive(b"".join(blocks) + bytes(1024))


def image(data: bytes) -> None:
    for reading in (Reading(), Reading("apply", "crop", "scaled"), Reading("apply", "pad", "scaled")):
        try:
            pixels, _ = decode(data, 52, reading)
        except UnreadableImageError:
            continue
        assert pixels.shape == (52, 52, 3)
        assert pixels.dtype == np.uint8


def run_record(data: bytes) -> None:
    """A record that reads also writes, and reads again as the same."""
    file = SCRATCH / "record.json"
    file.write_bytes(data)
    record = read_record(file)
    again = SCRATCH / "again.json"
    record.write(again)
    assert read_record(again) == record


def summary(data: bytes) -> None:
    file = SCRATCH / "summary.json"
    file.write_bytes(data)
    read_summary(file)


def packed_dataset(data: bytes) -> None:
    """`dataset.json` and one array, cut out of `data`; the other files are right."""
    description, _, images = data.partition(SEPARATOR)
    with packed({"dataset.json": description, **({"train/images.npy": images} if images else {})}) as folder:
        dataset = PackedDataset(folder)
        for split in ("train", "validation", "test"):
            pixels, labels = dataset.split(split)
            assert len(pixels) == len(labels)
        dataset.description.record()


@contextlib.contextmanager
def packed(changed: dict[str, bytes]) -> Iterator[Path]:
    """Yield a small packed set in which these files have other bytes for as long."""
    folder = SCRATCH / "packed"
    if not folder.exists():
        folder.mkdir()
        write_packed(folder, _DESCRIPTION, _SPLITS)
    before = {name: (folder / name).read_bytes() for name in changed}
    try:
        for name, content in changed.items():
            (folder / name).write_bytes(content)
        yield folder
    finally:
        for name, content in before.items():
            (folder / name).write_bytes(content)


def checkpoint_object(data: bytes) -> None:
    """As it is, and with a checksum that fits: the readers behind it are tried as well."""
    for content in (data, checkpoint.sealed(data)):
        with contextlib.suppress(ValueError):
            checkpoint.unpack(content)


def finished_object(data: bytes) -> None:
    place = fresh("finished")
    for content in (data, checkpoint.sealed(data)):
        (place / checkpoint.FINISHED).write_bytes(content)
        with contextlib.redirect_stdout(io.StringIO()):
            checkpoint.finished(checkpoint.Folder(str(place)), "print", {"model": place / "model"})
        assert {path.name for path in place.iterdir()} <= {checkpoint.FINISHED, "model"}
    (place / attempts.FILE).write_bytes(data)
    with contextlib.redirect_stdout(io.StringIO()):
        attempts.close(checkpoint.Folder(str(place)), "ended")


def packed_files(data: bytes) -> None:
    """Any one file of a packed set has other bytes: that is refused, or nothing has changed for who reads the set."""
    number, content = data[0] if data else 0, data[1:]
    with packed({PACKED_FILES[number % len(PACKED_FILES)]: content}) as folder:
        dataset = PackedDataset(folder)
        dataset.verify(images=True)
        assert dataset.classes == _DESCRIPTION["classes"]
        for split, (pixels, labels) in _SPLITS.items():
            read = dataset.split(split)
            assert np.array_equal(read[0], pixels)
            assert np.array_equal(read[1], labels)
            assert np.array_equal(dataset.image_digests(split), digests_of(pixels))


def progress_line(data: bytes) -> None:
    """Any line is read without an error; any fields that are printed read back as they were, controls escaped."""
    text = data.decode("utf-8", errors="replace")
    fields = progress.parse(text)
    assert fields is None or all(isinstance(value, str) for value in fields.values())
    held = io.StringIO()
    words = text.replace("\n", " ")
    with contextlib.redirect_stdout(held):
        progress.emit("stage", what=words)
    line = held.getvalue()
    assert line.count("\n") == 1, "an event is one line"
    read = progress.parse(line[:-1])
    assert read is not None
    assert read["event"] == "stage"
    assert read["what"] == printable(words)


def foreign_names(data: bytes) -> None:
    """Any bytes as a name: what is shown of it is one bounded line without controls, the same when shown again."""
    name = data.decode("utf-8", errors="surrogateescape")
    shown = printable(name)
    assert len(shown) <= LONGEST + 10
    assert not any(unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") for character in shown)
    shown.encode("utf-8")
    cell = csv_cell(name)
    assert not cell.startswith(("=", "+", "-", "@"))
    check_class_names([name, "other"], "names")


def address(data: bytes) -> None:
    """A password in an address is shown nowhere, whatever stands around it."""
    text = data.decode("utf-8", errors="replace")
    secret = "q7Zx" + hashlib.sha256(data).hexdigest()[:16]
    host = "".join(character for character in text if character.isalnum())[:20] or "host"
    plain = "".join(text.split())
    for found in (f"https://user:{secret}@{host}/{plain}", f"{plain} s3://{secret}:x@{host}/a b {plain}"):
        assert secret not in masked(found), found
        assert secret not in printable(found), found
    masked(text)
    without_credentials(text)


def table(data: bytes) -> None:
    """Any bytes as a table of labels: rows inside its folder, each with a class, or a refusal."""
    folder = fresh("table")
    (folder / "a.png").write_bytes(b"x")
    (folder / "labels.csv").write_bytes(data)
    found = read_table(folder / "labels.csv", ImportSettings())
    assert len(found.paths) == len(found.labels)
    assert all(0 <= label < len(found.classes) for label in found.labels)
    assert not any(Path(path).is_absolute() or ".." in Path(path).parts for path in found.paths)


def api_answer(data: bytes) -> None:
    """Any JSON as an answer of the API has a shape or not; a manifest of a workflow is read as far as it goes."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return
    for shape in (answers.Health, answers.Run, answers.Runs, answers.RecurringRuns, answers.OldRun):
        answers.shape_error(value, shape)
    if answers.has_shape(value, answers.Manifest):
        Workflow(value)


def options_file(data: bytes) -> None:
    """Any bytes as a file of options: a table, or a refusal."""
    folder = fresh("options")
    for name in ("options.toml", "options.yaml"):
        (folder / name).write_bytes(data)
        with contextlib.suppress(HeadstartError):
            assert isinstance(read_configuration(folder / name), dict)


def side_files(data: bytes) -> None:
    """Any bytes as one of the small files that lie beside data, models and results."""
    folder, number = SCRATCH / "side", data[0] if data else 0
    folder.mkdir(exist_ok=True)
    name, read = _SIDE_FILES[number % len(_SIDE_FILES)]
    file = folder / name
    file.write_bytes(data[1:])
    try:
        read(folder)
    finally:
        file.unlink()


_SIDE_FILES: list[tuple[str, Callable[[Path], object]]] = [
    ("run.json", own_files.earlier_run),
    ("summary.json", lambda folder: own_files.check_report_folder(folder, "--output")),
    ("trained_on.npz", lineage.read_trained_on),
    ("version.json", integrity.read_manifest),
    ("provenance.json", provenance.check_origin),
]
_SPLITS = {
    split: (np.zeros((2, 2, 2, 3), np.uint8), np.array([0, 1], np.int32)) for split in ("train", "validation", "test")
}
PACKED_FILES = [
    "dataset.json",
    *(f"{split}/{name}.npy" for split in _SPLITS for name in ("images", "labels", "digests")),
]
_DESCRIPTION = {"name": "tiny", "source": "here", "classes": ["a", "b"]}
SEPARATOR = b"\x00\xff\x00"


def _tar(mode: str, *members: tuple[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as packed:  # type: ignore[call-overload]
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            packed.addfile(info, io.BytesIO(content))
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, "../.."
        if mode == "w:":
            packed.addfile(link)
    return buffer.getvalue()


def _zip(*members: tuple[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in members:
            packed.writestr(name, content)
    return buffer.getvalue()


def _cifar_files() -> tuple[bytes, bytes, bytes]:
    meta = pickle.dumps({b"fine_label_names": [b"apple", b"bear"], b"coarse_label_names": [b"x"]}, protocol=2)
    batch = {b"data": np.zeros((2, 3072), np.uint8), b"fine_labels": [0, 1], b"coarse_labels": [0, 0]}
    return meta, pickle.dumps(batch, protocol=2), pickle.dumps(batch, protocol=4)


def _record() -> bytes:
    return RunRecord(arm="baseline", seed=1, run_id="r", status="failed", reason="why").model_dump_json().encode()


def _image(kind: str, mode: str) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.new(mode, (9, 7)).save(buffer, kind)
    return buffer.getvalue()


def _array() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, _SPLITS["train"][0])
    return buffer.getvalue()


def _packed() -> list[bytes]:
    with tempfile.TemporaryDirectory() as folder:
        write_packed(Path(folder), _DESCRIPTION, _SPLITS)
        description = (Path(folder) / "dataset.json").read_bytes()
    huge = json.loads(description)
    huge["counts"]["train"] = 10**18
    return [description, description + SEPARATOR + _array(), json.dumps(huge).encode(), b"[" * 100_000]


def _packed_files() -> list[bytes]:
    with tempfile.TemporaryDirectory() as folder:
        write_packed(Path(folder), _DESCRIPTION, _SPLITS)
        whole = [bytes([number]) + Path(folder, name).read_bytes() for number, name in enumerate(PACKED_FILES[:4])]
    # A header that never closes its bracket: numpy's own reader raised an error of the tokenizer.
    return [*whole, whole[1].replace(b"}", b"(", 1)]


def _side_files() -> list[bytes]:
    arrays = io.BytesIO()
    about = json.dumps([{"stage": "pretrain", "data": "x", "classes": ["a"]}]).encode()
    rows, labels = np.zeros((2, 16), np.uint8), np.zeros(2, np.int32)
    np.savez(arrays, about=np.frombuffer(about, np.uint8), digests_0=rows, labels_0=labels)
    run = {"state": "running", "run_id": "a", "request": {"parameters": {}}}
    moment = "2026-11-25T00:00:00+00:00"
    manifest = {"version": 1, "created_at": moment, "data_digest": "", "classes": [], "image_size": 8}
    subject = {"subject": [{"digest": {"sha256": "0"}}]}
    texts = [run, {"schema_version": 1, "arms": {}}, None, manifest, subject]
    contents = [json.dumps(text).encode() if text else arrays.getvalue() for text in texts]
    # A version of zip that does not exist is refused in yet another way.
    newer = arrays.getvalue().replace(b"PK\x01\x02-\x03-\x00", b"PK\x01\x02-\x03\xd3\x00")
    return [bytes([number]) + content for number, content in enumerate(contents)] + [bytes([2]) + newer]


def _sparse() -> bytes:
    member = tarfile.TarInfo("holes")
    member.type = tarfile.GNUTYPE_SPARSE
    return member.tobuf() + bytes(512)


def _huge_header() -> bytes:
    member = tarfile.TarInfo("header")
    member.type, member.size = tarfile.XHDTYPE, 3 << 30
    return member.tobuf() + b"20 path=abcdefghijk\n".ljust(512, b"\0")


def corpus(name: str) -> list[bytes]:
    """Return the few inputs that fuzzing starts from: right ones, and wrong ones that once did harm elsewhere."""
    meta, train, test = _cifar_files()
    long_number = b'{"seed": 1' + b"0" * 5000 + b"}"
    binary = b"apple\nbear\n" + SEPARATOR + (b"\x00\x01" + bytes(3072)) * 2
    # Room for as many remembered objects (64 GiB), and for as many bytes, as these claim.
    memo = b"\x80\x02}r\xf0\xff\xff\xff."
    room = b"\x80\x05\x96" + (1 << 40).to_bytes(8, "little") + b"."
    inputs: dict[str, list[bytes]] = {
        "cifar_pickle": [meta, train, test, b"cos\nsystem\n(S'true'\ntR.", b"cnumpy\nload\n(S'/x'\ntR.", memo, room],
        "cifar_python_version": [
            SEPARATOR.join((meta, train, test)),
            SEPARATOR.join((meta, pickle.dumps({b"data": [[1], [1, 2]], b"fine_labels": [[0], [0, 1]]}), test)),
            SEPARATOR.join((pickle.dumps({b"fine_label_names": [b"\xff"]}), train, test)),
        ],
        "cifar_binary_version": [binary, b"\xff" + binary, b"apple"],
        "cifar_archive": [
            _tar("w", ("cifar-100-python/meta", meta), ("cifar-100-python/train", train), ("c/test", test)),
            _tar("w:gz", ("meta", meta), ("train", train), ("test", test)),
            _tar("w:xz", ("meta", meta)),
        ],
        "archive": [
            _tar("w:", ("a/b", b"content"), ("../up", b"x"), ("/etc/x", b"x")),
            _tar("w:gz", ("a/b", b"content")),
            _tar("w:bz2", ("a/b", b"content")),
            _zip(("a/b", b"content" * 50), ("c", b"")),
            _zip(("../up", b"x"), ("a\\..\\..\\b", b"x")),
        ],
        "archive_headers": [
            _tar("w:", ("a/b", b"content"), ("n" * 200, b"x")),
            _sparse(),
            _huge_header(),
        ],
        "packed_files": _packed_files(),
        "image": [
            _image("PNG", "RGB"),
            _image("JPEG", "RGB"),
            _image("PNG", "RGBA"),
            _image("JPEG", "L"),
            _image("GIF", "P"),
            _image("TIFF", "I;16"),
        ],
        "run_record": [_record(), long_number, b'{"seed": 1e999}', b"[" * 100_000, b"\xef\xbb\xbf{}"],
        "summary": [b'{"schema_version": 1}', long_number, b"[" * 100_000, b"null"],
        "packed_dataset": _packed(),
        "checkpoint_object": [
            checkpoint.unsealed(checkpoint.pack({"a": np.zeros(2)}, {"n": 1})),
            _zip(("progress.npy", b"1")),
        ],
        "finished_object": [
            _tar("w", ("fingerprint", b"print"), ("record.json", _record()), ("model", b""), ("model/a", b"x")),
            _tar("w", ("fingerprint", b"print"), ("record.json", _record()), ("model", b""), ("model/../../a", b"x")),
        ],
        "foreign_names": [b"caf\xe9", b"\x1b[31mred\xe2\x80\xae", "one\u2028two".encode(), b"[/] [link=x]y", b"=1+1"],
        "address": [b"https://u:hun'ter2@h/x.zip?a b", b"ftp://user:pw@host/x#token=1", b"s3://k:s@b"],
        "table": [
            b"path,label,split\na.png,x,train\n",
            "path;label\na.png;\u00e4\n".encode("utf-16"),
            b"sep=\t\npath\tlabel\na.png\tx\n",
            b'path,label\n"a.png,x\n',
            b"path,label\n../a.png,x\n",
            b"sep=\x0b\npat.png\tx\n",
        ],
        "api_answer": [
            b'{"run_id": "a", "state": "RUNNING", "run_details": {"task_details": [{"display_name": "x"}]}}',
            b'{"status": {"phase": "Running", "nodes": {"a": {"displayName": "x", "type": "Pod"}}}, "metadata": {}}',
            b'{"status": {"compressedNodes": "H4sIAAAAAAAA"}}',
            b"[[]]",
            b"null",
        ],
        "side_files": _side_files(),
        "options_file": [b"runs = 3\n[set]\nepochs = 2\n", b"runs: 3\nset: {a: 1}\n", b"a: &x [1]\nb: *x\n"],
        "progress_line": [b'headstart event=epoch arm=transfer seed=3 text="a \\"b\\""', b"a\rb\x85c\xe2\x80\xa8d\x0b"],
    }
    return inputs[name]


TARGETS: dict[str, Callable[[bytes], None]] = {
    function.__name__: function
    for function in (
        cifar_pickle,
        cifar_python_version,
        cifar_binary_version,
        cifar_archive,
        archive,
        archive_headers,
        image,
        run_record,
        summary,
        packed_dataset,
        packed_files,
        checkpoint_object,
        finished_object,
        progress_line,
        foreign_names,
        address,
        table,
        api_answer,
        options_file,
        side_files,
    )
}


def refusing(target: Callable[[bytes], None]) -> Callable[[bytes], None]:
    """Return `target` as a fuzzer wants it: a refusal in words is an answer like another."""

    def one_input(data: bytes) -> None:
        try:
            target(data)
        except HeadstartError as error:
            assert error.message.strip()
            assert "Traceback" not in str(error)

    return one_input

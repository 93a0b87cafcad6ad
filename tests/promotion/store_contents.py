"""Small versions to put into a store, without TensorFlow."""

import hashlib
from pathlib import Path

from headstart.components.promotion.store import ModelStore
from headstart.components.promotion.versions import Manifest, Outcome, now


def version_folder(place: Path, text: str) -> Path:
    """A folder with the files of a version; the SavedModel's bytes carry `text`."""
    folder = place / text
    (folder / "model").mkdir(parents=True)
    (folder / "model" / "model.keras").write_text(f"keras {text}")
    (folder / "serving" / "variables").mkdir(parents=True)
    (folder / "serving" / "saved_model.pb").write_text(f"served {text}")
    (folder / "serving" / "variables" / "variables.index").write_text(text)
    (folder / "record.json").write_text("{}")
    return folder


def manifest(text: str, created_at: str = "", run_id: str = "") -> Manifest:
    return Manifest(
        version=1,
        created_at=created_at or now(),
        run_id=run_id,
        data_digest=digest(text),
        classes=["apple", "pears"],
        image_size=52,
        accuracy=0.9,
    )


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def outcome(text: str, current: int | None, run_id: str) -> Outcome:
    return Outcome(
        status="refused", title="undecided", at=now(), run_id=run_id, current=current, data_digest=digest(text)
    )


def put(store: ModelStore, place: Path, text: str, created_at: str = "") -> int:
    """Store a version and put it into use."""
    version = store.add(version_folder(place, text), manifest(text, created_at))
    pointer, generation = store.pointer()
    store.switch(version, generation, "promoted" if pointer else "first", f"made of {text}", "test")
    return version


def served(store: ModelStore, place: Path) -> str:
    """Fetch what is in use, check it against its digests, and return the text its SavedModel carries."""
    pointer, _ = store.pointer()
    assert pointer is not None
    folder = store.fetch(pointer.version, place)
    number = str(pointer.version)
    assert [path.name for path in (folder / "serving").iterdir()] == [number]
    return (folder / "serving" / number / "saved_model.pb").read_text()

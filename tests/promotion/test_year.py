"""The year of nightly retrainings, shortened to the nights that matter, on drawn images."""

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np

from benchmarks import year, year_page
from headstart.components.promotion.store import open_store


def pool(network: object, rng: np.random.Generator, count: int) -> year.Pool:
    """Noisy images of three colours, which a straight line separates badly enough for errors."""
    labels = np.repeat(np.arange(3, dtype=np.int32), count)
    base = np.array([(150, 110, 110), (110, 150, 110), (120, 120, 140)])[labels][:, None, None, :]
    tint = rng.normal(0, 22, (len(labels), 1, 1, 3))
    pixels = np.clip(base + tint + rng.normal(0, 20, (len(labels), 24, 24, 3)), 0, 255).astype(np.uint8)
    films = np.arange(len(labels), dtype=np.int32) // 5
    return year.Pool(pixels, labels, films % 7, films, year.features(network, pixels))


def test_a_shortened_year(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    network = year.frozen()
    known, reserved = pool(network, rng, 1_000), pool(network, rng, 200)
    played = year.simulate(["a", "b", "c"], known, reserved, network, tmp_path, (1, 90, 180))
    first, mislabelled, dark = played
    assert first["status"] == "promoted"
    assert {mislabelled["status"], dark["status"]} <= {"refused", "candidate"}
    assert mislabelled["candidate"] < first["served"] == mislabelled["served"] == dark["served"]
    store = open_store(str(tmp_path / "store"))
    assert [outcome.status for outcome in store.outcomes()] == [row["status"] for row in played]
    assert first["served"] == year.accuracy(heads(store), reserved)
    text = year_page.table(played, len(reserved.labels))
    assert "3 nights; reserved, and never shown to the gate: 600 images." in text
    assert "| the 2 bad deliveries | 2 refused | 0 promoted |" in text
    ElementTree.fromstring(year_page.picture(played))


def heads(store: object) -> tuple[year.Floats, year.Floats]:
    """The softmax layer of the version in use, read from the store."""
    import tempfile

    from headstart.components.training.export import load_model

    with tempfile.TemporaryDirectory() as scratch:
        model, _ = load_model(store.fetch(1, Path(scratch)) / "model")  # type: ignore[attr-defined]
    return tuple(model.layers[-1].get_weights())  # type: ignore[return-value]

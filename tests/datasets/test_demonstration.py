"""The demonstration data is drawn alike on every machine and looks as its place in the experiment asks."""

import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest

from headstart.components.datasets import demonstration
from headstart.components.datasets.selection import assign_classes


@pytest.mark.parametrize(
    ("uri", "digest", "side"),
    [
        ("demo:source", "5b0a6044fe6f84c88c8cdbf496c38d566c9bf98d343b783aef144147b16d455d", 32),
        ("demo:fruits", "d7dc312cb4cfac9eb60784c6b77bceb2a5f0963577d8f8972c36cb3832e4633a", 100),
    ],
)
def test_every_machine_draws_the_same_pixels(uri: str, digest: str, side: int) -> None:
    drawn = demonstration.draw(uri)
    assert drawn.pixels is not None
    assert drawn.pixels.dtype == np.uint8
    assert drawn.pixels.shape == (len(drawn), side, side, 3)
    # Changes whenever the drawing is changed on purpose; if it changes with the machine, the drawing is at fault.
    assert hashlib.sha256(drawn.pixels.tobytes()).hexdigest() == digest
    if uri == "demo:fruits":
        corners = drawn.pixels[:, [0, 0, -1, -1], [0, -1, 0, -1]]
        assert corners.min() > 240, "fruit lies on white"
        assert drawn.pixels.min(axis=(1, 2, 3)).max() < 160, "and there is a fruit in every picture"
        taken = assign_classes(drawn.classes, {"apple": "apple", "pears": "pear", "noise": "*"})
        assert len(taken["apple"]) >= 4
        assert len(taken["pears"]) >= 4
        assert {"Pineapple", "Pineapple Mini"} <= set(taken["noise"])
    counts = np.bincount(drawn.labels * 3 + drawn.splits, minlength=3 * len(drawn.classes)).reshape(-1, 3)
    assert (counts == counts[0]).all(), "every class has as many images"
    assert counts[0, 1] == 0, "validation is cut later"


def test_another_seed_draws_other_pictures() -> None:
    small = [demonstration._textures(demonstration.generator(seed, "x"), 2, *texture()) for seed in (0, 1)]
    assert not np.array_equal(*small)


def texture() -> tuple[demonstration.Pattern, tuple[demonstration.Colour, demonstration.Colour]]:
    return demonstration.PATTERNS["rings"], demonstration.PALETTES["red"]


def test_the_table_of_waves_is_a_sine() -> None:
    turns = np.linspace(-3, 3, 1000)
    assert np.abs(demonstration.wave(turns) - np.sin(2 * np.pi * turns)).max() < 2 * np.pi / 4096 + 1e-6


def test_a_processor_without_vector_instructions_draws_the_same() -> None:
    from numpy._core._multiarray_umath import __cpu_dispatch__, __cpu_features__

    extra = [name for name in __cpu_dispatch__ if __cpu_features__.get(name)]
    if not extra:
        pytest.skip("this processor has none that numpy could do without")
    program = (
        "import hashlib; from headstart.components.datasets import demonstration as d;"
        "rng = d.generator(0, 'x');"
        "fruit = d._draw_fruit(rng, d.VARIETIES[0], rng.random(4, 'float32'), rng.random(4) < 0.5);"
        "print(hashlib.sha256(d.draw_source().pixels.tobytes() + fruit.tobytes()).hexdigest())"
    )
    drawn = [
        subprocess.run([sys.executable, "-c", program], env={**os.environ, **without}, capture_output=True, check=True)
        for without in ({}, {"NPY_DISABLE_CPU_FEATURES": " ".join(extra)})
    ]
    assert len(drawn[0].stdout) == 65
    assert drawn[0].stdout == drawn[1].stdout

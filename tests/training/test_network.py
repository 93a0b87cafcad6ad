"""The network is the paper's Table 1, for both of the inputs that give it."""

import re

import numpy as np
import pytest

keras = pytest.importorskip("keras")

from headstart.components.training.networks.paper import build_network  # noqa: E402

# The paper's Table 1: layer, output (width, height, filters), parameters. Worked out by hand besides:
# 1216 = 16·(5·5·3+1), 64 = 4·16, 4640 = 32·(3·3·16+1), 128 = 4·32, 18496 = 64·(3·3·32+1), 73856 = 128·(3·3·64+1),
# 590336 = 512·(3·3·128+1), 262656 = 512·513, 1539 = 3·513.
TABLE_1 = [
    ("conv2d_1", (48, 48, 16), 1216),
    ("batch_normalization_1", (48, 48, 16), 64),
    ("max_pooling2d_1", (24, 24, 16), 0),
    ("conv2d_2", (22, 22, 32), 4640),
    ("batch_normalization_2", (22, 22, 32), 128),
    ("max_pooling2d_2", (11, 11, 32), 0),
    ("conv2d_3", (9, 9, 64), 18496),
    ("conv2d_4", (7, 7, 128), 73856),
    ("max_pooling2d_3", (3, 3, 128), 0),
    ("dense_1", (512,), 590336),
    ("dense_2", (512,), 262656),
    ("dense_3", (3,), 1539),
]
# What Keras needs besides and the paper does not list: none of it has parameters.
UNLISTED = {"rescaling", "flatten", "dropout_1", "dropout_2"}


@pytest.mark.parametrize(("size", "stride"), [(52, 1), (100, 2)])
@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_table_1(size, stride, dropout):
    model = build_network(size, 3, first_stride=stride, dropout=dropout)
    rows = [(layer.name, tuple(layer.output.shape[1:]), layer.count_params()) for layer in model.layers]
    assert [row for row in rows if row[0] not in UNLISTED] == TABLE_1
    assert sum(row[2] for row in rows) == 952_931 == sum(row[2] for row in TABLE_1)
    assert {row[0] for row in rows} - {row[0] for row in TABLE_1} == UNLISTED - (
        set() if dropout else {"dropout_1", "dropout_2"}
    )


def test_summary_names_the_layers_as_the_paper_does():
    lines: list[str] = []
    build_network(52, 3).summary(print_fn=lines.append, line_length=78)
    text = "\n".join(lines)
    for name, _, parameters in TABLE_1:
        # Layer, kind, shape, parameters; the row of a long name goes on in the next line.
        row = next(line for line in text.splitlines() if re.match(rf"\W*{name}\b", line))
        assert f"{parameters:,}" in row.split()


def test_names_do_not_depend_on_what_was_built_before():
    first, second = build_network(32, 3), build_network(32, 3)
    assert [layer.name for layer in first.layers] == [layer.name for layer in second.layers]


def test_pixels_go_in_as_they_are():
    model = build_network(32, 4)
    pixels = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3)).astype(np.uint8)
    whole = np.asarray(model(pixels))
    assert np.array_equal(whole, np.asarray(model(pixels.astype(np.float32))))
    assert not np.allclose(whole, np.asarray(model(pixels.astype(np.float32) / 255)), atol=1e-6)

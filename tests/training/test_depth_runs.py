"""A task trains `transfer@N` as every other arm, and its record is read again under its own name."""

from pathlib import Path

import pytest
import tiny_images

from headstart.components.records import read_record

pytest.importorskip("tensorflow")

from headstart.components.training import export
from headstart.components.training.cells import run_cells
from headstart.components.training.networks import registry
from headstart.components.training.recipes import recipe
from headstart.components.training.stage_settings import StageSettings


def test_a_cell_with_depths(tmp_path: Path) -> None:
    data = tiny_images.packed(tmp_path / "data", 3, 24)
    model = registry.build(StageSettings(), recipe("demo", "finetune"), tiny_images.SIZE, 4)
    facts = {"arm": "finetune", "seed": 0, "image_size": tiny_images.SIZE}
    export.save_model(model, tmp_path / "prepared/0", facts)
    done = run_cells(
        "1/0/0:transfer@2,transfer@0", dataset=data, prepared=tmp_path / "prepared", records=tmp_path / "records",
        run_id="r", preset="demo", settings={"epochs": 1}, checkpoints="", accelerators=0, image="",
    )  # fmt: skip
    assert [(record.status, record.reason) for record in done] == [("succeeded", "")] * 2
    deep, free = (read_record(tmp_path / f"records/transfer@{depth}-01.json") for depth in (2, 0))
    assert [layer.layer for layer in deep.frozen] == [
        "conv2d_1", "batch_normalization_1", "conv2d_2", "batch_normalization_2"
    ]  # fmt: skip
    assert all(layer.before == layer.after for layer in deep.frozen)
    assert free.frozen == []
    assert deep.trainable_parameters < free.trainable_parameters
    assert deep.recipe["learning_rate"] == free.recipe["learning_rate"]

"""From what the tasks of a local experiment wrote to the folder a person keeps."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from headstart.components.atomic_files import whole_file, whole_folder
from headstart.components.records import RunRecord, read_record
from headstart.components.regular_files import read_json
from headstart.components.stages import PREPARATION, PRODUCT
from headstart.components.training.checkpoint import is_model
from headstart.components.training.lineage import TRAINED_ON

MODELS = {"pretrain": "pretrained", "finetune": "finetuned", "final": "final"}


def _outputs(root: Path, task: str, output: str) -> list[Path]:
    """Return what `task` wrote as `output`, oldest first; a task in a loop has one for each iteration."""
    found = [path for path in root.glob(f"headstart-*-*/**/{task}/{output}") if path.exists()]
    return sorted(found, key=lambda path: path.stat().st_mtime)


def collect_records(root: Path, output: Path) -> list[RunRecord]:
    """Copy every run record under `root` into `output/records` and return them."""
    records: list[RunRecord] = []
    files = [path for task in (*PREPARATION, PRODUCT) for path in _outputs(root, task, "record")]
    files += [path for folder in _outputs(root, "train-runs", "records") for path in sorted(folder.glob("*.json"))]
    for path in files:
        if path.is_file() and path.stat().st_size:
            record = read_record(path)
            record.write(output / "records" / f"{record.name}.json")
            records.append(record)
    return records


def collect(root: Path, output: Path) -> list[RunRecord]:
    """Bring records, report, summary and models from the pipeline's folder `root` into `output`."""
    records = collect_records(root, output)
    for task in ("report", "report-curve"):
        for output_name, file in (("html", "report.html"), ("markdown", "report.md")):
            for path in _outputs(root, task, output_name)[-1:]:
                _copy(path, output / file)
        for folder in _outputs(root, task, "summary")[-1:]:
            for path in sorted(folder.iterdir()):
                _copy(path, output / path.name)
    for task, name in MODELS.items():
        for folder in _outputs(root, task, "model"):
            if not (folder / "model.json").exists():
                continue
            number = read_json(folder / "model.json").get("preparation", 0)
            stem = f"{name}-p{number}" if number else name
            for part in sorted(folder.glob("model.*")):
                _copy(part, output / "model" / f"{stem}{part.suffix}")
            if (folder / TRAINED_ON).exists():
                _copy(folder / TRAINED_ON, output / "model" / f"{stem}.{TRAINED_ON}")
    for folder in _outputs(root, "final", "saved_model")[-1:]:
        if any(folder.iterdir()):
            with whole_folder(output / "model" / "saved_model", is_model) as partial:
                shutil.copytree(folder, partial, dirs_exist_ok=True)
    return records


def _copy(source: Path, target: Path) -> None:
    with whole_file(target) as partial:
        shutil.copyfile(source, partial)


def read_summary(output: Path) -> dict[str, Any] | None:
    """Return the summary in `output`, or None where the report was not reached."""
    try:
        summary: dict[str, Any] = read_json(output / "summary.json")
    except (OSError, ValueError):
        return None
    return summary

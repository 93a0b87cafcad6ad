"""What the components of a retraining call: paths in, files out."""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path
from typing import Any

from headstart.components.atomic_files import write_json, write_text
from headstart.components.datasets.packed import PackedDataset
from headstart.components.errors import HeadstartError
from headstart.components.progress import emit
from headstart.components.promotion import retraining_report
from headstart.components.promotion.check import TRAIN, check_data
from headstart.components.promotion.commit import kept_failure
from headstart.components.promotion.gate import Rules
from headstart.components.promotion.prepared import prepare_initial_model
from headstart.components.promotion.store import open_store


def check_stage(
    dataset: str,
    store_uri: str,
    prepared: str,
    promotion: dict[str, Any],
    force: bool,
    run_id: str,
    initial_model: str,
    plan: str,
    html: str,
    markdown: str,
) -> str:
    """Return `train`, `unchanged` or `unusable`; for the last two the store keeps the report too."""
    emit("stage", stage="check", state="start")
    store = open_store(store_uri)
    folder = Path(initial_model)
    folder.mkdir(parents=True, exist_ok=True)
    with kept_failure(store, run_id):
        rules, data = Rules.of(promotion), PackedDataset(dataset)
        outcome, remarks = check_data(data, store, rules, run_id, force)
        if outcome is None:
            try:
                prepare_initial_model(store, prepared, folder, data.description.image_size)
            except HeadstartError:
                shutil.rmtree(folder, ignore_errors=True)
                raise
    if outcome is None:
        write_json(plan, {"decision": TRAIN, "remarks": remarks})
        text = "The data call for a retraining; the task promote reports how it ended."
        write_text(html, f"<!doctype html><meta charset=utf-8><title>Retraining</title><p>{text}</p>\n")
        write_text(markdown, f"{text}\n")
        emit("stage", stage="check", state="done", text="new data: training")
        return TRAIN
    write_json(plan, {"decision": outcome.status, "remarks": remarks})
    write_text(html, retraining_report.html(outcome))
    write_text(markdown, retraining_report.markdown(outcome))
    store.write_outcome(outcome, retraining_report.files(outcome))
    emit("stage", stage="check", state="done", text=outcome.title)
    return str(outcome.status)


def promote_stage(
    dataset: str,
    models: list[str],
    records: list[str],
    plan: str,
    store_uri: str,
    promotion: dict[str, Any],
    run_id: str,
    outcome_file: str,
    html: str,
    markdown: str,
) -> tuple[str, dict[str, float]]:
    """Promote or not; return how it ended and the figures for display."""
    from headstart.components.promotion.promote import promote

    remarks = json.loads(Path(plan).read_text(encoding="utf-8"))["remarks"]
    store = open_store(store_uri)
    with kept_failure(store, run_id):
        outcome = promote(
            PackedDataset(dataset),
            [Path(path) for path in models],
            [Path(path) for path in records],
            store,
            Rules.of(promotion),
            run_id,
            [str(remark) for remark in remarks],
        )
    write_json(outcome_file, outcome.model_dump(mode="json"))
    write_text(html, retraining_report.html(outcome))
    write_text(markdown, retraining_report.markdown(outcome))
    figures = {
        name: float(outcome.comparison[name])
        for name in ("candidate_accuracy", "current_accuracy", "images")
        if outcome.comparison.get(name) is not None
    }
    return str(outcome.status), figures


def require_end(status: str, store_uri: str) -> None:
    """Raise HeadstartError where somebody must look: the data were unusable, or no run of the last stage succeeded."""
    texts = {
        "unusable": "The data could not be trained on; this retraining changed nothing.",
        "failed": "No run of the last stage succeeded; this retraining changed nothing.",
    }
    if status in texts:
        history = f"headstart models history --store {shlex.quote(store_uri)}"
        raise HeadstartError(texts[status], f"`{history}` and the report say why.")

"""The end of a retraining: picks a candidate, compares it with the model in use, promotes it or says why not."""

from __future__ import annotations

import math
import shutil
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from headstart.components.datasets.packed import Description, PackedDataset
from headstart.components.progress import emit
from headstart.components.promotion import candidates as waiting_room
from headstart.components.promotion import retraining_report
from headstart.components.promotion.check import data_facts
from headstart.components.promotion.commit import candidate_title, conclude, keep_candidate, promoted_title, switch
from headstart.components.promotion.comparison import Candidate, Compared, compare
from headstart.components.promotion.drift import facts
from headstart.components.promotion.evidence import SHARE_OF_TESTS, Evidence
from headstart.components.promotion.gate import Decision, Rules
from headstart.components.promotion.provenance import write_origin
from headstart.components.promotion.store import ModelStore
from headstart.components.promotion.versions import Manifest, Outcome, now
from headstart.components.records import RunRecord, read_record


def pair(models: list[Path], records: list[Path]) -> tuple[list[Candidate], list[RunRecord]]:
    """Bring models and records together by the digest of the weights, and return the records without a model too.

    Loops hand over their results in no promised order, and a run that failed has a record but no model.
    """
    from headstart.components.training.export import read_description

    by_weights: dict[str, Path] = {}
    for folder in models:
        if (folder / "model.json").exists():
            by_weights[str(read_description(folder).get("weights"))] = folder
    found, failed = [], []
    for record in sorted((read_record(path) for path in records), key=lambda record: record.seed):
        model = by_weights.get(record.final_weights or "")
        if record.status == "succeeded" and model is not None:
            found.append(Candidate(model, record))
        else:
            failed.append(record)
    return found, failed


def choose(candidates: list[Candidate]) -> Candidate:
    """Return the candidate that is best on the validation images; of equals the one with the lowest seed."""
    return max(candidates, key=lambda one: (one.record.result.best_validation_accuracy or 0.0, -one.record.seed))


def promote(
    dataset: PackedDataset,
    models: list[Path],
    records: list[Path],
    store: ModelStore,
    rules: Rules,
    run_id: str,
    remarks: list[str],
) -> Outcome:
    """Decide about the trained models, promote the best if it deserves it, and return and keep how it ended."""
    emit("stage", stage="promote", state="start")
    store.heal()
    candidates, failed = pair(models, records)
    remarks = [*remarks, *(f"The run with seed {record.seed} failed: {record.reason}" for record in failed)]
    outcome = Outcome(
        status="failed",
        title="No run of the last stage succeeded; nothing was changed.",
        reasons=remarks,
        at=now(),
        run_id=run_id,
        data_digest=dataset.description.digest,
        data=data_facts(dataset.description),
        candidate={"runs": [_run_facts(record) for record in [*(one.record for one in candidates), *failed]]},
    )
    already = _ended_before(store, run_id)
    if already:
        outcome = outcome.model_copy(update={**already, "reasons": [*already["reasons"], *remarks]})
    elif candidates:
        outcome = _decide_and_switch(dataset, candidates, store, rules, outcome, remarks)
    conclude(store, rules, outcome)
    emit("stage", stage="promote", state="done", status=outcome.status, text=outcome.title)
    return outcome


def _ended_before(store: ModelStore, run_id: str) -> dict[str, Any] | None:
    """Return how this retraining ended where its task was killed after that, and started again; else None."""
    current = store.current()
    if current and run_id and current.run_id == run_id:
        return {
            "status": "promoted",
            "title": promoted_title(current.compared_with, current.version),
            "reasons": [current.reason],
            "version": current.version,
            "current": current.compared_with,
        }
    for version, candidacy in waiting_room.candidates(store).items():
        if run_id and candidacy.run_id == run_id:
            return {
                "status": "candidate",
                "title": candidate_title(version, candidacy.compared_with),
                "reasons": [candidacy.why],
                "version": version,
                "current": candidacy.compared_with,
            }
    return None


def _decide_and_switch(
    dataset: PackedDataset,
    candidates: list[Candidate],
    store: ModelStore,
    rules: Rules,
    outcome: Outcome,
    remarks: list[str],
) -> Outcome:
    pointer, generation = store.pointer()
    candidate = choose(candidates)
    with tempfile.TemporaryDirectory(prefix="headstart-promotion-") as scratch:
        found = compare(
            dataset,
            candidates,
            candidate,
            store,
            pointer.version if pointer else None,
            rules,
            outcome.run_id,
            Path(scratch),
        )
        compared = found.decision.compared
        ending, reasons = verdict(rules, found.decision, found.evidence)
        about = {
            "seed": candidate.record.seed,
            "classes": found.classes,
            "accuracy": compared.candidate_accuracy,
            "validation_accuracy": candidate.record.result.best_validation_accuracy,
            "epochs": len(candidate.record.epochs),
            "train_seconds": candidate.record.phases.train,
        }
        outcome = outcome.model_copy(
            update={
                "status": "refused",
                "title": f"Refused: version {pointer.version} stays in use." if pointer else "Refused: too inaccurate.",
                "reasons": [*reasons, *found.decision.remarks, *remarks],
                "current": pointer.version if pointer else None,
                "comparison": asdict(compared),
                "evidence": asdict(found.evidence) if found.evidence else {},
                "measured": found.measured,
                "candidate": {**outcome.candidate, **about},
            }
        )
        if ending == "refused":
            return outcome
        manifest = Manifest(
            version=1,
            created_at=outcome.at,
            run_id=outcome.run_id,
            seed=candidate.record.seed,
            data_digest=dataset.description.digest,
            data_source=dataset.description.source,
            data_counts=dataset.description.counts,
            facts=facts(dataset),
            classes=found.classes,
            **selected_by(dataset.description),
            image_size=dataset.description.image_size,
            reading=dataset.description.reading,
            accuracy=compared.candidate_accuracy,
            recalls={name: own for name, one in compared.recalls.items() if (own := one.candidate) is not None},
            weights=candidate.record.final_weights,
            initial_weights=candidate.record.initial_weights,
            reason=" ".join(reasons),
            compared_with=pointer.version if pointer else None,
        )
        folder = _assemble(dataset, candidate, found, outcome, ending, Path(scratch) / "version")
        write_origin(folder, manifest, candidate.record)
        if ending == "candidate":
            return keep_candidate(store, folder, manifest, outcome)
        return switch(store, folder, manifest, generation, outcome)


def selected_by(description: Description) -> dict[str, Any]:
    """Return what the manifest says of how the classes came about: `rule` and `layout`; nothing where it is unknown."""
    settings = description.settings
    if "layout" not in settings:
        return {}
    return {"layout": str(settings["layout"]), "rule": settings["classes"] if "taken" in settings else {}}


def _assemble(
    dataset: PackedDataset, candidate: Candidate, found: Compared, outcome: Outcome, ending: Ending, folder: Path
) -> Path:
    from headstart.components.promotion.answers import check_served, write_seen
    from headstart.components.training.export import save_served

    folder.mkdir()
    shutil.copytree(candidate.folder, folder / "model")
    about = dataset.description
    save_served(found.model, folder / "serving", found.classes, about.image_size, about.reading)
    check_served(folder / "serving", found.model, found.classes, dataset)
    candidate.record.write(folder / "record.json")
    write_seen(dataset, folder)
    title = promoted_title(outcome.current) if ending == "promoted" else candidate_title(None, outcome.current)
    for name, data in retraining_report.files(outcome.model_copy(update={"status": ending, "title": title})).items():
        (folder / name).write_bytes(data)
    return folder


def _run_facts(record: RunRecord) -> dict[str, Any]:
    return {
        "seed": record.seed,
        "status": record.status,
        "reason": record.reason,
        "validation_accuracy": record.result.best_validation_accuracy,
        "accuracy": record.result.test_accuracy,
        "epochs": len(record.epochs),
        "train_seconds": record.phases.train,
    }


Ending = Literal["promoted", "candidate", "refused"]


def verdict(rules: Rules, decision: Decision, evidence: Evidence | None) -> tuple[Ending, list[str]]:
    """Return how it ends, and why."""
    reasons = list(decision.reasons)
    if evidence is not None:
        reasons += describe(rules, evidence, decision.promote)
    if not decision.promote:
        return "refused", reasons
    proven = evidence is None or evidence.proven
    if rules.approval == "always":
        return "candidate", [*reasons, "approval=always: a person decides."]
    if proven:
        return "promoted", reasons
    if rules.approval == "borderline":
        return "candidate", [*reasons, "Better on paper, but not proven: a person decides (approval=borderline)."]
    return "refused", [*reasons, "Better on paper, but not proven; approval=never asks nobody."]


def describe(rules: Rules, evidence: Evidence, passed: bool) -> list[str]:
    """Say what the test images prove, what they could have shown, and what earlier retrainings add."""
    images = f"{evidence.images} images"
    if evidence.clusters != evidence.images:
        images += f" of {evidence.clusters} films or objects"
    seeds = "one seed" if evidence.seeds == 1 else f"{evidence.seeds} seeds"
    said = []
    if evidence.level == 0:
        said.append(
            f"These test images were compared on {evidence.uses - 1} times before; after test_uses={rules.test_uses} "
            "they prove nothing more. Test on new images."
        )
    else:
        proven = "Proven: " if evidence.proven and passed else "Not proven: " if passed else ""
        said.append(
            f"{proven}between two equally good models the answers would differ as much in the candidate's favour with "
            f"probability {evidence.chance:.2g} ({images}, {seeds}, right or wrong and log-loss); comparison "
            f"{evidence.uses} on these test images needs {evidence.level:.2g} or less."
        )
        said.append(
            f"By right and wrong alone a gain of {100 * evidence.detectable:.2f} points or more would be proven in "
            "80 % of cases."
            if evidence.detectable < 1
            else "So few test images, films or objects can prove no gain, however large. Test on more of them."
        )
    if evidence.accumulated > evidence.log_e > 0 or (evidence.proven and evidence.chance > evidence.level):
        needed = 1 / ((1 - rules.confidence) * (1 - SHARE_OF_TESTS))
        said.append(
            "Over the retrainings of this recipe against this model in use, on images never asked before, the evidence "
            f"adds up to a factor of {math.exp(min(evidence.accumulated, 700)):.3g}; {needed:.0f} is proof."
        )
    return [said[0][0].upper() + said[0][1:], *said[1:]]

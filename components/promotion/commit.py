"""The steps of a promotion that change the store, in the order in which a kill between any two does no harm.

1. The version is stored, whole, under a new number; nobody uses it yet.
2. The pointer is switched, provided that nobody switched it since the comparison. From here on it is in use.
3. Retention removes old versions; the outcome and its report are kept.

Killed before 2, the old model stays in use and what was stored is a version that was never used. Killed after 2, the
new model is in use; the next retraining leads the serving link to it (`ModelStore.heal`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from headstart.components.errors import HeadstartError
from headstart.components.promotion import retraining_report
from headstart.components.promotion.backends import Conflict
from headstart.components.promotion.candidates import keep
from headstart.components.promotion.gate import Rules
from headstart.components.promotion.retention import prune
from headstart.components.promotion.store import ModelStore
from headstart.components.promotion.versions import Action, Candidacy, Manifest, Outcome, now


def promoted_title(current: int | None, version: int | None = None) -> str:
    """Return the line that says that a version was promoted."""
    which = f"version {version}" if version else "this version"
    return f"Promoted: {which} replaces version {current}." if current else f"Promoted: {which} is the first in use."


def candidate_title(version: int | None, current: int | None) -> str:
    """Return the line that says that a version waits for approval."""
    which = f"version {version}" if version else "this version"
    return f"Candidate: {which} waits for approval; " + (
        f"version {current} stays in use." if current else "no model is in use."
    )


def keep_candidate(store: ModelStore, folder: Path, manifest: Manifest, outcome: Outcome) -> Outcome:
    """Store `folder` as a version that waits for a person, and return the outcome, which says so."""
    version = store.add(folder, manifest.model_copy(update={"compared_with": outcome.current}))
    why = " ".join(outcome.reasons[:2])
    candidacy = Candidacy(
        compared_with=outcome.current, data_digest=outcome.data_digest, run_id=outcome.run_id, why=why, at=outcome.at
    )
    keep(store, version, candidacy)
    explanation = (
        f"`headstart models approve {version}` puts it into use, `headstart models reject {version} --reason TEXT` "
        "keeps its data from starting a retraining again."
    )
    return outcome.model_copy(
        update={
            "status": "candidate",
            "title": candidate_title(version, outcome.current),
            "version": version,
            "reasons": [*outcome.reasons, explanation],
        }
    )


def switch(store: ModelStore, folder: Path, manifest: Manifest, generation: str, outcome: Outcome) -> Outcome:
    """Store `folder` as a version and put it into use; return the outcome, which says so or that another was faster.

    `generation` is the pointer's at the time of the comparison.
    """
    version = store.add(folder, manifest)
    action: Action = "promoted" if outcome.current else "first"
    try:
        store.switch(version, generation, action, manifest.reason, f"retraining {outcome.run_id}".strip())
    except Conflict:
        pointer, _ = store.pointer()
        if pointer is None or all(change.version != version for change in pointer.history):
            store.discard(version)
        now_used = f"version {pointer.version} is in use now" if pointer else "the model in use changed"
        return outcome.model_copy(
            update={
                "status": "superseded",
                "title": f"Not promoted: while this retraining compared its model, another one was faster; {now_used}.",
                "reasons": [
                    "A model is only promoted over the one it was compared with. The next retraining compares again.",
                    *outcome.reasons,
                ],
            }
        )
    return outcome.model_copy(
        update={"status": "promoted", "title": promoted_title(outcome.current, version), "version": version}
    )


def in_use(store: ModelStore, run_id: str) -> str:
    """Say, from the store's pointer, what is in use and whether the retraining `run_id` put it there."""
    try:
        pointer, _ = store.pointer()
    except HeadstartError as error:
        return f"Which model is in use cannot be read: {error}"
    if pointer is None:
        return "No model is in use."
    if any(change.by == f"retraining {run_id}" for change in pointer.history):
        return f"Its model was promoted before: version {pointer.version} is in use."
    return f"The model in use stays, version {pointer.version}."


def keep_failure(store: ModelStore, run_id: str, message: str) -> Outcome:
    """Keep, where the store can, that a retraining failed before it could say how it ended; return the outcome."""
    title = f"The retraining failed. {in_use(store, run_id)}"
    outcome = Outcome(status="failed", title=title, reasons=[message] if message else [], at=now(), run_id=run_id)
    with suppress(HeadstartError, OSError):
        store.write_outcome(outcome, retraining_report.files(outcome))
    return outcome


@contextmanager
def kept_failure(store: ModelStore, run_id: str) -> Iterator[None]:
    """Keep in the store that a retraining ended here, with what was wrong, where it does."""
    try:
        yield
    except HeadstartError as error:
        keep_failure(store, run_id, str(error))
        raise


def conclude(store: ModelStore, rules: Rules, outcome: Outcome) -> None:
    """Apply retention after a promotion, and keep how the retraining ended.

    The pointer was switched before, so nothing that fails here makes the retraining one that failed.
    """
    if outcome.status in ("promoted", "candidate"):
        try:
            outcome.removed = prune(store, rules.keep, rules.keep_days)
        except (HeadstartError, OSError) as error:
            outcome.reasons = [*outcome.reasons, f"Retention did not remove all that it could: {error}"]
        if problem := store.link_problem():
            outcome.reasons = [*outcome.reasons, problem]
    try:
        store.write_outcome(outcome, retraining_report.files(outcome))
    except (HeadstartError, OSError) as error:
        if outcome.status not in ("promoted", "candidate"):
            raise
        outcome.reasons = [*outcome.reasons, f"The store could not keep this outcome: {error}"]

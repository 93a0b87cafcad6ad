"""Versions that wait for a person: better by the rules, but not proven, or `approval=always`.

`candidates/<n>.json` says why version n waits and what became of it. A version that was in use is no candidate,
whatever that file says: a kill between the switch and the removal of the file leaves both.
"""

from __future__ import annotations

from headstart.components.errors import HeadstartError
from headstart.components.promotion.store import ModelStore
from headstart.components.promotion.versions import Candidacy, Pointer, now

FOLDER = "candidates"


def candidates(store: ModelStore, skipped: list[str] | None = None) -> dict[int, Candidacy]:
    """Return the candidates by version; what cannot be read is left out and named in `skipped`."""
    pointer, _ = store.pointer()
    used = {change.version for change in pointer.history} if pointer else set()
    found = {}
    for number, name in store.numbered(FOLDER).items():
        if number not in used:
            with store.skipping(skipped):
                found[number] = store.parsed(Candidacy, name, store.backend.read(name)[0] or b"")
    return found


def keep(store: ModelStore, version: int, candidacy: Candidacy) -> None:
    """Write down that a version waits, or that it was rejected."""
    store.backend.write(f"{FOLDER}/{version}.json", (candidacy.model_dump_json(indent=1) + "\n").encode())


def waiting(store: ModelStore, version: int) -> Candidacy:
    """Return a candidate that waits; HeadstartError says what the version is otherwise."""
    store.manifest(version)
    found = candidates(store).get(version)
    if found is None:
        raise HeadstartError(
            f"{store.uri}: version {version} is no candidate.", "`headstart models list` shows which versions are."
        )
    if found.state == "rejected":
        raise HeadstartError(
            f"{store.uri}: version {version} was rejected by {found.by}: {found.reason or 'no reason given'}."
        )
    return found


def approve(store: ModelStore, version: int, reason: str, by: str) -> Pointer:
    """Put a candidate into use; HeadstartError where it was compared with another version than the one in use now.

    Raises `Conflict` where somebody else switched at the same moment.
    """
    candidacy = waiting(store, version)
    pointer, generation = store.pointer()
    current = pointer.version if pointer else None
    compared_with = store.manifest(version).compared_with  # signed, where `candidacy` is not
    if current != compared_with:
        before = f"was compared with version {compared_with}" if compared_with else "was compared with no version"
        raise HeadstartError(
            f"{store.uri}: version {version} {before}, and {f'version {current}' if current else 'none'} is in use "
            "now; how the two compare is not known.",
            "Retrain: `headstart retrain --force` compares a new candidate with the version in use.",
        )
    store.check(version)
    why = f"Approved by {by}{f': {reason}' if reason else ''}. {candidacy.why}"
    switched = store.switch(version, generation, "promoted" if pointer else "first", why, by)
    store.backend.remove(f"{FOLDER}/{version}.json")
    return switched


def reject(store: ModelStore, version: int, reason: str, by: str) -> None:
    """Write down that a candidate is not wanted; the data it was trained on no longer start a retraining."""
    candidacy = waiting(store, version)
    keep(store, version, candidacy.model_copy(update={"state": "rejected", "reason": reason, "by": by, "at": now()}))

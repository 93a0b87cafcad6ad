"""Which old versions a store keeps: the newest, the young, and always what is in use, was before it, or is pinned."""

from __future__ import annotations

from headstart.components.errors import SettingError
from headstart.components.promotion.candidates import FOLDER, candidates
from headstart.components.promotion.integrity import MANIFEST
from headstart.components.promotion.store import ModelStore
from headstart.components.promotion.versions import age_in_days, rollback_target

KEPT_OUTCOMES = 200


def prune(store: ModelStore, keep: int = 5, keep_days: float = 0.0, dry_run: bool = False) -> list[int]:
    """Remove old versions and return their numbers; with `dry_run` only return them.

    A version stays when it is one of the `keep` newest, or younger than `keep_days` days, or pinned, or in use, or
    the one that was in use before, or the one that a roll back leads to, or one whose manifest or note as a candidate
    cannot be read. Of the candidates that wait for a person the `keep` newest stay.

    SettingError where `keep` or `keep_days` cannot be used.
    """
    if keep < 1:
        raise SettingError(f"keep: found {keep}, expected the number of newest versions to keep, at least 1.")
    if not 0 <= keep_days < float("inf"):
        raise SettingError(f"keep_days: found {keep_days}, expected days, at least 0.")
    pointer, _ = store.pointer()
    listed = store.versions()
    numbers = [listing.manifest.version for listing in listed]
    damaged: list[str] = []
    known = candidates(store, damaged)
    waiting = [number for number in numbers if number in known and known[number].state == "waiting"]
    safe: set[int | None] = {*[number for number in numbers if number not in known][-keep:], *waiting[-keep:]}
    if pointer is not None:
        safe |= {pointer.version, pointer.previous, rollback_target(pointer, numbers)}
    # Why it waits cannot be read, so neither can whether it does.
    safe |= {number for number in numbers if any(f"/{FOLDER}/{number}.json" in text for text in damaged)}
    removed = []
    for listing in listed:
        number = listing.manifest.version
        if number in safe or listing.pinned or age_in_days(listing.manifest.created_at) < keep_days:
            continue
        removed.append(number)
        if dry_run:
            continue
        if number in waiting:  # that of a rejected one stays: its data do not start a retraining
            store.backend.remove(f"{FOLDER}/{number}.json")  # first, so that no note says that it waits when it is gone
        store.backend.remove(f"versions/{number}", first=MANIFEST)
    if dry_run:
        return removed
    for folder in store.backend.folders("retrainings")[:-KEPT_OUTCOMES]:
        store.backend.remove(f"retrainings/{folder}", first="outcome.json")
    return removed

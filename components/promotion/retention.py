"""Which old versions a store keeps: the newest, the young, and always what is in use, was before it, or is pinned."""

from __future__ import annotations

from headstart.components.errors import SettingError
from headstart.components.promotion.integrity import MANIFEST
from headstart.components.promotion.store import ModelStore
from headstart.components.promotion.versions import age_in_days, rollback_target

KEPT_OUTCOMES = 200


def check_retention(keep: int, keep_days: float) -> None:
    """Raise SettingError where the two settings cannot be used."""
    if keep < 1:
        raise SettingError(f"keep: found {keep}, expected the number of newest versions to keep, at least 1.")
    if not 0 <= keep_days < float("inf"):
        raise SettingError(f"keep_days: found {keep_days}, expected days, at least 0.")


def prune(store: ModelStore, keep: int = 5, keep_days: float = 0.0) -> list[int]:
    """Remove old versions and return their numbers.

    A version stays when it is one of the `keep` newest, or younger than `keep_days` days, or pinned, or in use, or
    the one that was in use before, or the one that a roll back leads to, or one whose manifest cannot be read.
    """
    check_retention(keep, keep_days)
    pointer, _ = store.pointer()
    if pointer is None:
        return []
    listed = store.versions()
    safe = {listing.manifest.version for listing in listed[-keep:]} | {pointer.version, pointer.previous}
    safe.add(rollback_target(pointer, {listing.manifest.version for listing in listed}))
    removed = []
    for listing in listed:
        number = listing.manifest.version
        if number in safe or listing.pinned or age_in_days(listing.manifest.created_at) < keep_days:
            continue
        store.backend.remove(f"versions/{number}", first=MANIFEST)
        removed.append(number)
    for folder in store.backend.folders("retrainings")[:-KEPT_OUTCOMES]:
        store.backend.remove(f"retrainings/{folder}", first="outcome.json")
    return removed

"""Planted inconsistencies along a learning curve: sizes, and what must not change with them."""

from __future__ import annotations

import copy

from planted.edits import Plant, Records, put, remove, take

SMALL, LARGE = "*-n6-*", "*-n24-*"


def _as(target: str, source: str) -> Plant:
    def change(records: Records) -> None:
        own = {key: copy.deepcopy(records[target][key]) for key in ("subset", "data", "result")}
        records[target] = {**copy.deepcopy(records[source]), **own}

    return Plant("a run on many images as one on few", "not_copied", change)


def _halved(records: Records) -> None:
    for record in records.values():
        if record["subset"]:
            record["subset"]["images"] //= 2


CURVES = [
    Plant(
        "fewer images named than a run had, at the largest size",
        "consistent_images",
        put("transfer-n24-*", "subset.images", 18),
    ),
    Plant("half of the images named, at every size", "consistent_images", _halved),
    Plant("the largest size left out", "complete", remove(LARGE)),
    Plant("the smallest size left out", "complete", remove(SMALL)),
    Plant("another size named", "complete", put(LARGE, "subset.size_per_class", 48)),
    Plant("a run at a smaller size removed", "complete", remove("transfer-n6-01")),
    Plant("another batch size at one size, in both arms", "same_at_all_sizes", put(SMALL, "recipe.batch_size", 8)),
    Plant("another processor at one size", "same_at_all_sizes", put(SMALL, "environment.processor", "Xeon 2.2 GHz")),
    Plant(
        "another version of TensorFlow at one size",
        "same_at_all_sizes",
        put(SMALL, "environment.versions.tensorflow", "2.17.0"),
    ),
    Plant("test images of another source at one size", "same_at_all_sizes", put(SMALL, "data.source", "gs://other")),
    Plant(
        "classes in another order at one size",
        "same_at_all_sizes",
        put(SMALL, "data.classes", lambda names: names[::-1]),
    ),
    _as("transfer-n6-01", "transfer-n24-01"),
    Plant(
        "runs of two sizes at a time",
        "one_at_a_time",
        take("baseline-n6-01", "baseline-n24-01", "started_at", "attempts"),
    ),
    Plant(
        "draws of the same images",
        "draws_differ",
        lambda r: [r[name]["data"].update(digest="8" * 64) for name in r if "-n24-" in name],
    ),
]

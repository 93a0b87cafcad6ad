"""Recognises the names that people give to the splits of a data set, in folders and in tables."""

from __future__ import annotations

import re
from collections.abc import Iterable

from headstart.components.datasets.collection import SPLIT_NAMES, TEST, TRAIN, VALIDATION

_SPLIT_OF = {
    **SPLIT_NAMES,
    **dict.fromkeys(("trainning", "trn", "trainval"), TRAIN),
    **dict.fromkeys(("validate", "validating", "dev", "eval", "evaluation"), VALIDATION),
    **dict.fromkeys(("tst", "holdout"), TEST),
}
# Words beside the split that say nothing: training_set, Train_Data, seg_train, images-test, 01_train, train_224x224.
_FILLER = re.compile(
    r"(data)?sets?|data|images?|imgs?|pics?|pictures?|photos?|files?|folders?|dir|splits?|samples?|seg|cropped|resized"
    r"|(19|20)\d\d|\d+x\d+|0\d|\d"
)
_FUSED = re.compile(
    rf"({'|'.join(sorted(_SPLIT_OF, key=len, reverse=True))})"
    r"((?:data)?sets?|data|images?|imgs?|pics?|pictures?|photos?|files?|folder|split|samples?|(?:19|20)\d\d)"
)


def _words(name: str) -> list[str]:
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    return re.sub(r"\bhold out\b", "holdout", " ".join(re.findall(r"[^\W_]+", spaced.lower()))).split()


def parse_split(name: str) -> tuple[int, tuple[str, ...]] | None:
    """Return the split that `name` contains and its other words that mean something, or None.

    `Train_Data` is training and nothing else; `flowers_train` is training of `flowers`; `Bullet Train` is training of
    `bullet`, which only a `Bullet Test` beside it would make a split.
    """
    splits: list[int] = []
    rest: list[str] = []
    for word in _words(name):
        fused = _FUSED.fullmatch(word)
        base = fused[1] if fused else word
        if base in _SPLIT_OF:
            splits.append(_SPLIT_OF[base])
        elif not _FILLER.fullmatch(word):
            rest.append(word)
    if set(splits) == {TRAIN, VALIDATION}:  # train_val is what one trains on where the test split is apart
        return TRAIN, tuple(rest)
    return (splits[0], tuple(rest)) if len(set(splits)) == 1 else None


def split_of(name: str) -> int | None:
    """Return the split that `name` means by itself, or None."""
    parsed = parse_split(name)
    return parsed[0] if parsed and not parsed[1] else None


def split_names(names: Iterable[str]) -> dict[int, list[str]]:
    """Return which of `names`, which lie side by side, name a split, by split.

    Names that are a split by themselves; or else pairs such as flowers_train and flowers_test. Of several names for one
    split the plain ones count (`train` beside `train_images`).
    """
    groups: dict[tuple[str, ...], dict[int, list[str]]] = {}
    for name in sorted(names):
        parsed = parse_split(name)
        if parsed:
            groups.setdefault(parsed[1], {}).setdefault(parsed[0], []).append(name)
    plain = groups.pop((), {})
    if not plain:
        pairs = [group for group in groups.values() if TRAIN in group and len(group) > 1]
        plain = pairs[0] if len(pairs) == 1 else {}
    return {
        split: [name for name in found if name.lower() in SPLIT_NAMES] or found
        for split, found in sorted(plain.items())
    }

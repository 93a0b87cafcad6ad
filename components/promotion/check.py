"""Decides, before anything is trained, whether the data call for a retraining, and says why not."""

from __future__ import annotations

from headstart.components.datasets.packed import Description, PackedDataset
from headstart.components.datasets.reading import differences
from headstart.components.promotion.candidates import candidates
from headstart.components.promotion.drift import drift
from headstart.components.promotion.gate import Rules
from headstart.components.promotion.store import ModelStore
from headstart.components.promotion.versions import Manifest, Outcome, Pointer, now

TRAIN = "train"
_FACTS = {"name", "source", "classes", "counts", "class_counts", "skipped", "skipped_examples", "notes"}


def data_facts(description: Description) -> dict[str, object]:
    """Return what an outcome says about the data."""
    return description.model_dump(include=_FACTS)


def check_data(
    dataset: PackedDataset, store: ModelStore, rules: Rules, run_id: str = "", force: bool = False
) -> tuple[Outcome | None, list[str]]:
    """Return how the retraining ends already here, or None where it goes on, and remarks for its report.

    `force` trains although the data are the ones that the model in use, or one that was rolled back, was trained on.
    """
    description = dataset.description
    pointer, _ = store.pointer()
    current = store.manifest(pointer.version) if pointer else None
    remarks: list[str] = []
    known = None
    if not force:
        known = (_unchanged(description, pointer) if pointer else None) or _waiting(description, store, pointer)
    if known is not None:
        title, reasons = f"Nothing to do: {known[0]}", [known[1]]
    else:
        title = "The data cannot be trained on; nothing was changed."
        reasons = _problems(description, rules, current, remarks)
        drifted = drift(dataset, current, rules)
        if rules.drift == "refuse":
            reasons += [f"{text} drift=warn would only say so." for text in drifted]
        else:
            remarks += drifted
        if not reasons:
            return None, remarks
    outcome = Outcome(
        status="unchanged" if known is not None else "unusable",
        title=title,
        reasons=reasons + remarks,
        at=now(),
        run_id=run_id,
        current=pointer.version if pointer else None,
        data_digest=description.digest,
        data=data_facts(description),
    )
    return outcome, remarks


def _unchanged(description: Description, pointer: Pointer) -> tuple[str, str] | None:
    """Say, in a title and a reason, that the model in use or one that was rolled back was trained on these data."""
    short = description.digest[:12]
    if description.digest == pointer.data_digest:
        return (
            f"version {pointer.version} was trained on exactly these data.",
            f"The data's digest is {short}…, the one that version {pointer.version} records.",
        )
    if description.digest in pointer.withdrawn:
        return (
            "these data made a version that was rolled back.",
            f"The data's digest is {short}…; the version trained on them was withdrawn: "
            f"{pointer.withdrawn[description.digest]}. New data, or force, start a retraining.",
        )
    return None


def _waiting(description: Description, store: ModelStore, pointer: Pointer | None) -> tuple[str, str] | None:
    """Say that these data have made a candidate already that was rejected, or that waits and can still be approved."""
    current = pointer.version if pointer else None
    for version, candidacy in sorted(candidates(store).items(), reverse=True):
        if candidacy.data_digest != description.digest:
            continue
        if candidacy.state == "rejected":
            return (
                f"these data made version {version}, which was rejected.",
                f"Rejected by {candidacy.by or 'somebody'}: {candidacy.reason or 'no reason given'}. New data, or "
                "force, start a retraining.",
            )
        if candidacy.compared_with == current:
            return (
                f"version {version}, trained on exactly these data, waits for approval.",
                f"`headstart models approve {version}` puts it into use. {candidacy.why}",
            )
    return None


def _problems(description: Description, rules: Rules, current: Manifest | None, remarks: list[str]) -> list[str]:
    problems = []
    if current:
        read = differences(description.reading, current.reading or description.reading)
        problems += [
            f"The data were imported with {name}={found}, version {current.version} was trained with {name}={used}. "
            f"Import them with {name}={used}, or begin another store."
            for name, (found, used) in read.items()
        ]
        new = [name for name in description.classes if name not in current.classes]
        missing = [name for name in current.classes if name not in description.classes]
        if new:
            text = f"The data have {_classes(new)}, which version {current.version} does not know."
            if rules.new_classes == "refuse":
                problems.append(f"{text} new_classes=accept would train on {'it' if len(new) == 1 else 'them'}.")
            else:
                remarks.append(f"{text} The candidate learns {'it' if len(new) == 1 else 'them'}.")
        if missing:
            text = f"The data lack {_classes(missing)}, which version {current.version} knows."
            if rules.missing_classes == "refuse":
                problems.append(
                    f"{text} A model trained on them would forget {'it' if len(missing) == 1 else 'them'}; "
                    "missing_classes=accept allows that."
                )
            else:
                remarks.append(f"{text} The candidate will not recognise {'it' if len(missing) == 1 else 'them'}.")
        shared = [[name for name in one if name not in new + missing] for one in (current.classes, description.classes)]
        if shared[0] != shared[1]:
            problems.append(
                f"The data have the classes in the order {', '.join(shared[1])}, version {current.version} has them in "
                f"the order {', '.join(shared[0])}: whoever reads probabilities by place would take one class for "
                "another. Select them by the same rule (--classes)."
            )
    for split, wanted, setting in (
        ("train", rules.minimum_training_images, "minimum_training_images"),
        ("validation", 1, ""),
        ("test", rules.minimum_test_images, "minimum_test_images"),
    ):
        few = [
            f"{name} {count}"
            for name, count in zip(description.classes, description.class_counts.get(split, []), strict=False)
            if count < wanted
        ]
        if few:
            asked = f"{setting} asks for {wanted}" if setting else f"{wanted} is needed"
            problems.append(f"Too few {split} images: {', '.join(few)}; {asked} in each class.")
    _judge_skipped(description, rules, problems, remarks)
    return problems


def _judge_skipped(description: Description, rules: Rules, problems: list[str], remarks: list[str]) -> None:
    if not description.skipped:
        return
    total = sum(description.counts.values()) + description.skipped
    share = description.skipped / total
    text = f"{description.skipped} of {total} images could not be read and were left out ({share:.1%})"
    if description.skipped_examples:
        text += f", the first: {description.skipped_examples[0]}"
    if share > rules.maximum_skipped:
        problems.append(f"{text}; maximum_skipped allows {rules.maximum_skipped:.1%}.")
    else:
        remarks.append(f"{text}.")


def _classes(names: list[str]) -> str:
    return f"the class {names[0]}" if len(names) == 1 else f"the classes {', '.join(names)}"

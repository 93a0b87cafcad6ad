"""Planted inconsistencies in which runs there are, what they start from, freeze, train on, and run on."""

from __future__ import annotations

import copy

from planted.edits import (
    Change,
    Plant,
    Records,
    add_copy,
    both,
    named,
    noise,
    plus,
    put,
    remove,
    take,
    times,
)

TRANSFER, BASELINE, OTHER = "transfer-01", "baseline-01", "transfer-p0-d1-03"
BASELINES, TRANSFERS, ARMS = "baseline-*", "transfer-*", "*-0?"


def _identity(of: Records, target: str, source: str) -> None:
    """Let `target` be a copy of `source` in everything but who it says that it is."""
    own = {key: of[target][key] for key in ("arm", "seed", "preparation", "draw")}
    of[target] = {**copy.deepcopy(of[source]), **own}


def _disguised(records: Records) -> None:
    """Replace what a run measured by that of another, and change every number of it that could give it away."""
    target, source = records[TRANSFER], records[OTHER]
    for key in ("epochs", "result", "phases", "stop_reason", "prefix_seconds", "train_cpu_seconds"):
        target[key] = copy.deepcopy(source[key])
    for key in ("epochs", "wall_seconds"):
        target["attempts"][0][key] = source["attempts"][0][key]
    target["attempts"][0]["wall_seconds"] *= 1.1
    noise(TRANSFER, times=0.1, losses=0.1)(records)


def _frozen_otherwise(records: Records) -> None:
    for layer in records[TRANSFER]["frozen"]:
        layer["before"] = layer["after"] = layer["before"][::-1]


def _shifted_seed(records: Records) -> None:
    for name in named(records, "*-01"):
        records[name]["seed"] = 77


PREPARED = "final transfer-* finetuned-* head-*"
GIVEN = {"left_out": ["pretrain", "finetune"], "source": "given.keras", "hours": 0.0}


def _begun(names: str, time: str) -> Change:
    return both(put(names, "started_at", time), put(names, "attempts.0.started_at", time))


def _given_in_its_place(records: Records) -> None:
    _given_at_other_cost(records)
    records[TRANSFER]["given"]["hours"] = 5.0


def _given_at_other_cost(records: Records) -> None:
    for name in named(records, "pretrain* finetune finetune-p1"):
        del records[name]
    for name in named(records, PREPARED):
        records[name].update(started_from=[], given={**GIVEN, "hours": 5.0})
    records[TRANSFER]["given"]["hours"] = 0.0


COMPLETE = [
    Plant("a transfer run removed", "complete", remove(TRANSFER)),
    Plant("the slowest baseline run removed", "complete", remove(BASELINE)),
    Plant("a seed removed from all arms", "complete", remove("*-03")),
    Plant(
        "a seed removed from all arms, where it is not known what was asked for",
        "no_gap",
        remove("*-03"),
        planned=False,
    ),
    Plant(
        "a transfer run removed, where it is not known what was asked for", "complete", remove(TRANSFER), planned=False
    ),
    Plant("a run that nobody asked for", "complete", add_copy(TRANSFER, "extra", seed=9)),
    Plant("another seed than asked for", "complete", _shifted_seed),
    Plant("another seed in one arm", "complete", put(TRANSFER, "seed", 9), planned=False),
    Plant("another preparation named", "complete", put(TRANSFER, "preparation", 1)),
    Plant("another draw named", "complete", put(TRANSFER, "draw", 1)),
    Plant("all but two runs of an arm removed", "enough_runs", remove("baseline-p0-d1-03 baseline-p1-d1-04")),
    Plant("a whole arm removed", "complete", remove(BASELINES)),
    Plant("four runs called enough", "few_runs", remove("*-04")),
    Plant("no record of pretraining", "preparation", remove("pretrain pretrain-p1")),
    Plant("no record of the second pretraining", "preparation", remove("pretrain-p1")),
    Plant("no record of the second fine-tuning", "preparation", remove("finetune-p1")),
    Plant("fine-tuning failed", "preparation", put("finetune", "status", "failed")),
    Plant("no record of the final model", "final_model", remove("final")),
    Plant("the final model failed", "final_model", put("final", "status", "failed")),
    Plant("two records of pretraining", "distinct_seeds", add_copy("pretrain", "again", final_weights="0" * 64)),
    Plant("a run twice", "distinct_seeds", add_copy(TRANSFER, "again")),
    Plant("a record of another pipeline run", "own_run", put(TRANSFER, "run_id", "20250101-000000-aaaaaa")),
]

CHAIN = [
    Plant("fine-tuning not from this pretraining", "initial_weights", put("finetune", "initial_model", "0" * 64)),
    Plant(
        "fine-tuning from the other pretraining",
        "initial_weights",
        take("finetune", "finetune-p1", "initial_model", "started_from"),
    ),
    Plant("fine-tuning from random weights", "initial_weights", put("finetune", "initial_model", None)),
    Plant("transfer from pretraining", "initial_weights", take(TRANSFER, "finetune", "initial_model")),
    Plant(
        "transfer from the other preparation", "initial_weights", take(TRANSFER, "transfer-p1-d0-02", "initial_model")
    ),
    Plant(
        "transfer from the other preparation, with its lineage",
        "initial_weights",
        take(TRANSFER, "transfer-p1-d0-02", "initial_model", "started_from"),
    ),
    Plant("transfer from a foreign model", "initial_weights", put(TRANSFER, "initial_model", "f" * 64)),
    Plant("transfer from random weights", "initial_weights", put(TRANSFER, "initial_model", None)),
    Plant("baseline from the fine-tuned model", "initial_weights", take(BASELINE, TRANSFER, "initial_model")),
    Plant("baseline from weights of no model", "initial_weights", put(BASELINE, "initial_weights", "0" * 64)),
    Plant(
        "final model from another preparation", "initial_weights", take("final", "transfer-p1-d0-02", "initial_model")
    ),
    Plant("pretraining ended with other weights", "initial_weights", put("pretrain", "final_weights", "1" * 64)),
    Plant("pretraining from a model", "initial_weights", take("pretrain", TRANSFER, "initial_model")),
    Plant("no final weights of pretraining", "lineage", put("pretrain", "final_weights", None)),
    Plant("no final weights of a run", "lineage", put(BASELINE, "final_weights", None)),
    Plant("a stage left out of the lineage", "lineage", put(TRANSFER, "started_from", lambda stages: stages[1:])),
    Plant("no lineage", "lineage", put(TRANSFER, "started_from", [])),
    Plant("a lineage for the baseline", "lineage", take(BASELINE, TRANSFER, "started_from")),
    Plant("lineage with another seed", "lineage", put(TRANSFER, "started_from.0.seed", plus(1))),
    Plant("lineage with other images", "lineage", put(TRANSFER, "started_from.0.data", "2" * 64)),
    Plant("lineage with other weights", "lineage", put(TRANSFER, "started_from.0.weights", "2" * 64)),
    Plant(
        "pretraining on other images than the lineage names",
        "lineage",
        put("pretrain pretrain-p1", "data.digest", "3" * 64),
    ),
    Plant("fine-tuning with another seed than the lineage names", "lineage", put("finetune", "seed", 5)),
    Plant("the weights that transfer began with left out", "lineage", put(TRANSFERS, "initial_weights", None)),
    Plant("began with the weights of another seed", "lineage", take(TRANSFER, OTHER, "initial_weights")),
    Plant("a given model in one run, at no cost", "lineage", put(TRANSFER, "given", GIVEN)),
    Plant("a given model in place of stages of which there are records", "lineage", put(PREPARED, "given", GIVEN)),
    Plant("another cost of the given model in one run", "lineage", _given_at_other_cost),
    Plant("transfer began before fine-tuning had ended", "in_order", _begun(TRANSFERS, "2026-11-25T17:10:00+00:00")),
    Plant("fine-tuning began before pretraining", "in_order", _begun("finetune", "2026-11-25T10:00:00+00:00")),
    Plant("pretraining a year later", "in_order", _begun("pretrain", "2027-11-25T10:00:00+00:00")),
]

FROZEN = [
    Plant("nothing frozen", "frozen_as_said", put(TRANSFER, "frozen", [])),
    Plant("a layer less frozen", "frozen_as_said", put(TRANSFER, "frozen", lambda layers: layers[:-1])),
    Plant("another layer frozen", "frozen_as_said", put(TRANSFER, "frozen.0.layer", "dense_3")),
    Plant("layers frozen in the baseline", "frozen_as_said", take(BASELINE, TRANSFER, "frozen")),
    Plant("a frozen layer changed", "frozen_unchanged", put(TRANSFER, "frozen.2.after", "4" * 64)),
    Plant("frozen layers of another model", "frozen_as_said", _frozen_otherwise),
    Plant("frozen layers of the other preparation", "frozen_as_said", take(TRANSFER, "transfer-p1-d0-02", "frozen")),
    Plant(
        "a layer that fine-tuning froze has other weights than in transfer",
        "frozen_as_said",
        both(put("finetune", "frozen.0.before", "5" * 64), put("finetune", "frozen.0.after", "5" * 64)),
    ),
    Plant(
        "other layers frozen, in the settings too",
        "same_network",
        both(
            put(TRANSFER, "frozen", lambda layers: layers[:-1]),
            put(TRANSFER, "stage.frozen", lambda layers: layers[:-1]),
            put(TRANSFER, "stage.final_trainable", "dense"),
        ),
    ),
    Plant(
        "everything trained",
        "same_network",
        lambda r: r[TRANSFER].update(trainable_parameters=r[BASELINE]["trainable_parameters"]),
    ),
    Plant(
        "everything trained in all transfer runs",
        "same_network",
        lambda r: [
            r[name].update(trainable_parameters=r[BASELINE]["trainable_parameters"]) for name in named(r, TRANSFERS)
        ],
    ),
    Plant("nothing trained", "same_network", put(TRANSFERS, "trainable_parameters", 0)),
    Plant("more trained than there is", "same_network", put(BASELINE, "trainable_parameters", times(10))),
    Plant(
        "ended with the weights that it started from",
        "frozen_as_said",
        lambda r: r[TRANSFER].update(final_weights=r[TRANSFER]["initial_weights"]),
    ),
    Plant("a larger network in one arm", "same_network", put(BASELINES, "total_parameters", times(2))),
    Plant("a smaller network in one run", "same_network", put(TRANSFER, "total_parameters", plus(-1000))),
    Plant("another network by name", "same_network", put(BASELINES, "network", "residual")),
    Plant("another stride", "same_network", put(BASELINE, "stage.first_stride", 2)),
    Plant("another stride in pretraining", "same_network", put("pretrain pretrain-p1", "stage.first_stride", 2)),
    Plant("larger images in one arm", "same_data", put(BASELINES, "data.image_size", 100)),
    Plant("larger images in pretraining", "same_network", put("pretrain pretrain-p1", "data.image_size", 100)),
    Plant("classes in another order", "same_data", put(TRANSFER, "data.classes", lambda names: names[::-1])),
]

ARMS_OF_ANY_KIND = [
    Plant("frozen random layers from a model", "initial_weights", take("frozen-random-01", TRANSFER, "initial_model")),
    Plant("frozen random layers trained", "frozen_as_said", put("frozen-random-*", "frozen", [])),
    Plant(
        "head alone with a layer less frozen", "frozen_as_said", put("head-01", "frozen", lambda layers: layers[:-1])
    ),
    Plant("fine-tuned from pretraining", "initial_weights", take("finetuned-01", "finetune", "initial_model")),
    Plant("layers frozen where all are fine-tuned", "frozen_as_said", take("finetuned-01", TRANSFER, "frozen")),
    Plant(
        "another learning rate in one fine-tuned run", "same_recipe", put("finetuned-01", "recipe.learning_rate", 1e-3)
    ),
    Plant(
        "the learning rate of the fine-tuned in transfer", "same_recipe", put(TRANSFERS, "recipe.learning_rate", 1e-4)
    ),
    Plant("another batch size in all fine-tuned runs", "same_recipe", put("finetuned-*", "recipe.batch_size", 8)),
    Plant("a seed missing in a third arm", "complete", remove("head-p0-d1-03"), planned=False),
    Plant(
        "a run of the head alone that is one of transfer", "frozen_as_said", lambda r: _identity(r, "head-01", TRANSFER)
    ),
    Plant("other images in a fourth arm", "same_data", put("frozen-random-*", "data.digest", "7" * 64)),
    Plant("another machine in a fifth arm", "same_machine", put("finetuned-*", "environment.hostname", "node-b")),
]

COPIES = [
    Plant("a run a copy of another, under its own seed", "not_copied", lambda r: _identity(r, TRANSFER, OTHER)),
    Plant(
        "a copy with other times",
        "not_copied",
        both(lambda r: _identity(r, TRANSFER, OTHER), noise(TRANSFER, times=0.1)),
    ),
    Plant(
        "a copy with other times and weights",
        "not_copied",
        both(
            lambda r: _identity(r, TRANSFER, OTHER),
            noise(TRANSFER, times=0.1),
            put(TRANSFER, "final_weights", "6" * 64),
        ),
    ),
    Plant(
        "a copy with other times and losses",
        "not_copied",
        both(lambda r: _identity(r, TRANSFER, OTHER), noise(TRANSFER, times=0.1, losses=0.1)),
    ),
    Plant(
        "a copy of which one epoch was changed",
        "not_copied",
        both(
            lambda r: _identity(r, BASELINE, "baseline-p0-d1-03"),
            put(BASELINE, "epochs.0.loss", times(1.01)),
            put(BASELINE, "final_weights", "6" * 64),
        ),
    ),
    Plant("a transfer run a copy of the final model", "not_copied", lambda r: _identity(r, TRANSFER, "final")),
    Plant("epochs of a transfer run in the baseline", "not_copied", take(BASELINE, TRANSFER, "epochs")),
    Plant(
        "the second preparation a copy of the first",
        "not_copied",
        lambda r: (_identity(r, "pretrain-p1", "pretrain"), _identity(r, "finetune-p1", "finetune")),
    ),
    Plant("the baseline ended with the fine-tuned weights", "not_copied", take(BASELINE, "finetune", "final_weights")),
]

PART = {"size_per_class": 12, "images": 9}
TIMED = {"chosen": "float32", "float32_seconds": 0.01, "bfloat16_seconds": 0.012, "ratio": 1.2, "rounds": 25}
LIKENESS = [
    Plant("another batch size in the final model", "same_recipe", put("final", "recipe.batch_size", 8)),
    Plant("a larger network in the final model", "same_network", put("final", "total_parameters", times(2))),
    Plant("the final model tested on other images", "same_data", put("final", "data.source", "gs://other")),
    Plant(
        "parameters left out of one arm",
        "consistent_clock",
        both(put(TRANSFERS, "total_parameters", 0), put(TRANSFERS, "trainable_parameters", 0)),
    ),
    Plant(
        "precision chosen against its own times",
        "same_recipe",
        put("*", "precision", {**TIMED, "ratio": 0.5, "faster_rounds": 25}),
    ),
    Plant("more rounds faster than there were", "same_recipe", put("*", "precision", {**TIMED, "faster_rounds": 40})),
    Plant("other images in one run", "same_data", put(TRANSFER, "data.digest", "7" * 64)),
    Plant("more training images in one arm", "same_data", put(TRANSFERS, "data.counts.train", plus(60))),
    Plant("images of another source", "same_data", put(TRANSFER, "data.source", "gs://other/fruit")),
    Plant("images of the second pretraining differ", "same_data", put("pretrain-p1", "data.digest", "7" * 64)),
    Plant("another batch size", "same_recipe", put(BASELINE, "recipe.batch_size", 16)),
    Plant("another learning rate in one arm", "same_recipe", put(BASELINES, "recipe.learning_rate", 0.1)),
    Plant("another optimiser", "same_recipe", put(BASELINE, "recipe.optimizer", "adamw")),
    Plant("less patience in one arm", "same_recipe", put(TRANSFERS, "recipe.patience", 1)),
    Plant("a larger maximum of epochs in one arm", "same_recipe", put(BASELINES, "recipe.epochs", 90)),
    Plant("dropout in one run", "same_recipe", put(BASELINE, "recipe.dropout", 0.5)),
    Plant("another preset named", "same_recipe", put(BASELINE, "preset", "paper")),
    Plant("a setting of the recipe missing", "same_recipe", lambda r: r[BASELINE]["recipe"].pop("weight_decay")),
    Plant("another recipe in the second pretraining", "same_recipe", put("pretrain-p1", "recipe.weight_decay", 0.5)),
    Plant(
        "precision chosen by other times in one stage",
        "same_recipe",
        both(put("*", "precision", TIMED), put("pretrain", "precision", {**TIMED, "float32_seconds": 0.5})),
    ),
    Plant(
        "another precision than the one chosen",
        "same_recipe",
        both(put("*", "precision", TIMED), put("*", "recipe.precision", "bfloat16")),
    ),
    Plant("more processors in one arm", "same_hardware", put(TRANSFERS, "environment.cores", 16.0)),
    Plant(
        "another device",
        "same_hardware",
        both(put(TRANSFERS, "environment.device_kind", "gpu"), put(TRANSFERS, "environment.device_name", "NVIDIA L4")),
    ),
    Plant(
        "another processor in one run", "same_hardware", put(BASELINE, "environment.processor", "Intel Xeon 2.2 GHz")
    ),
    Plant("another version of TensorFlow", "same_image", put(BASELINE, "environment.versions.tensorflow", "2.17.0")),
    Plant("another container image", "same_image", put(BASELINES, "environment.image", "headstart:other")),
    Plant("another machine in one arm", "same_machine", put(BASELINES, "environment.hostname", "node-b")),
    Plant("another machine in one run", "same_machine", put(TRANSFER, "environment.hostname", "node-b")),
    Plant("one arm forked, the others in separate processes", "same_start", put(TRANSFERS, "process", "forked")),
    Plant("one run forked, the other arms of its seed not", "same_start", put(BASELINE, "process", "forked")),
    Plant(
        "preparation on other hardware",
        "same_for_preparation",
        put("pretrain pretrain-p1", "environment.device_name", "NVIDIA H100"),
    ),
    Plant(
        "preparation with another version",
        "same_for_preparation",
        put("finetune", "environment.versions.tensorflow", "2.17.0"),
    ),
]

IMAGES = [
    Plant("a part of the images named that a run did not have", "consistent_images", put(TRANSFER, "subset", PART)),
    Plant("draws of the same training images", "draws_differ", put(ARMS, "data.digest", "7" * 64)),
    Plant("test images in training", "test_not_in_training", put(ARMS, "data.duplicates_across_splits", 7)),
    Plant(
        "test images of a preparing stage in its training",
        "preparation_test_not_in_training",
        put("pretrain pretrain-p1", "data.duplicates_across_splits", 10),
    ),
    Plant(
        "test images of the target in preparation",
        "test_not_in_preparation",
        put("final transfer-* finetuned-* head-*", "seen_before.test_images", 163),
    ),
    Plant(
        "test images of the target in preparation, in one run",
        "test_not_in_preparation",
        put(TRANSFER, "seen_before.test_images", 1),
    ),
    Plant(
        "test images of fine-tuning in pretraining",
        "preparation_test_not_in_preparation",
        put("finetune finetune-p1", "seen_before.test_images", 3),
    ),
    Plant(
        "near-twins of the test images in preparation",
        "test_not_nearly_in_preparation",
        put("final transfer-* finetuned-* head-*", "seen_before.near_test_share", 0.3),
    ),
    Plant("what was seen before removed", "preparation_images_known", put(TRANSFER, "seen_before", None)),
    Plant(
        "fewer training images seen before in one run",
        "consistent_images",
        put(TRANSFER, "seen_before.training_images", 0),
    ),
    Plant(
        "fewer labelled images of the classes seen before in one run",
        "consistent_images",
        put(TRANSFER, "seen_before.class_images", 0),
    ),
    Plant(
        "more seen before than there are",
        "consistent_images",
        put("final transfer-* finetuned-* head-*", "seen_before.training_images", 5000),
    ),
    Plant("what was seen before in the baseline", "consistent_images", take(BASELINE, TRANSFER, "seen_before")),
    Plant(
        "near-twins of the test images in training",
        "near_duplicates",
        put(ARMS, "data.near_duplicates_across_splits", 40),
    ),
    Plant("images that could not be read", "nothing_skipped", put(ARMS, "data.skipped", 3)),
]

CONSISTENT = [
    Plant(
        "preparation removed, and a model named in its place that took an hour",
        None,
        _given_in_its_place,
        "what a given model was made of and what it cost is only what the user says",
    ),
    Plant(
        "the learning rate of the fine-tuned ten times as high, in all runs",
        None,
        put("finetuned-*", "recipe.learning_rate", times(10)),
        "the arm may be given a learning rate of its own",
    ),
    Plant("notes on the images removed", None, put("*", "data.notes", []), "no second place holds them"),
    Plant(
        "a run copied, with every time and loss changed",
        None,
        _disguised,
        "what is left of the copy is what any run of the arm could have",
    ),
    Plant(
        "test images of the target in preparation, and the count of them set to 0 in all records",
        None,
        put("final transfer-* finetuned-* head-*", "seen_before.test_images", 0),
        "only the images themselves could tell",
    ),
    Plant(
        "a consistent rewrite of all records, digests included",
        None,
        put(ARMS, "final_weights", lambda digest: digest[::-1]),
        "without a key that the author does not have there is nothing that a rewrite cannot make agree",
    ),
]

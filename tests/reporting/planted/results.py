"""Planted inconsistencies in results, epochs and the stop rule."""

from __future__ import annotations

from planted.edits import (
    Plant,
    answers,
    both,
    cell,
    plus,
    put,
    rewritten,
    swap,
    times,
    without_epoch,
)

TRANSFER, BASELINE = "transfer-01", "baseline-01"
RESULT = ("test_accuracy", "test_loss", "confusion", "correct")

RESULTS = [
    Plant("two classes of one name", "consistent_result", put("*-0?", "data.classes", ["apple", "apple", "noise"])),
    Plant(
        "what was taken together said of fewer images than there are",
        "consistent_result",
        put("*-0?", "data.test_groups", [1] * 100),
    ),
    Plant("a reason to fail in a run that succeeded", "status_as_recorded", put(BASELINE, "reason", "out of memory")),
    Plant("a failure that may pass in a run that succeeded", "status_as_recorded", put(BASELINE, "temporary", True)),
    Plant(
        "accuracy of a transfer run up by 5 points",
        "consistent_result",
        put(TRANSFER, "result.test_accuracy", plus(0.05)),
    ),
    Plant(
        "accuracy of a baseline run down by 5 points",
        "consistent_result",
        put(BASELINE, "result.test_accuracy", plus(-0.05)),
    ),
    Plant("accuracy up by a single image", "consistent_result", put(TRANSFER, "result.test_accuracy", plus(1 / 450))),
    Plant(
        "accuracy that no number of images gives",
        "consistent_result",
        put(TRANSFER, "result.test_accuracy", plus(1e-4)),
    ),
    Plant("accuracy of pretraining doubled", "consistent_result", put("pretrain", "result.test_accuracy", times(2))),
    Plant(
        "accuracy of the final model up by 10 points",
        "consistent_result",
        put("final", "result.test_accuracy", plus(0.1)),
    ),
    Plant(
        "accuracy of fine-tuning up, its answers removed from every preparation",
        "consistent_result",
        both(
            put("finetune finetune-p1", "result.correct", None),
            put("finetune", "result.test_accuracy", plus(0.0123)),
        ),
    ),
    Plant("no accuracy in a run that succeeded", "consistent_result", put(TRANSFER, "result.test_accuracy", None)),
    Plant("no loss in a run that succeeded", "consistent_result", put(TRANSFER, "result.test_loss", None)),
    Plant("a test loss too small for the wrong answers", "consistent_result", put(TRANSFER, "result.test_loss", 0.2)),
    Plant("a test loss of nothing", "consistent_result", put(BASELINE, "result.test_loss", 0.0)),
    Plant("confusion matrix over ten images more", "consistent_result", cell(TRANSFER, 2, 2, 10)),
    Plant("confusion matrix over one image less", "consistent_result", cell(TRANSFER, 0, 1, -1)),
    Plant(
        "confusion matrix with more right answers",
        "consistent_result",
        both(cell(TRANSFER, 0, 1, -9), cell(TRANSFER, 0, 0, 9)),
    ),
    Plant(
        "images moved from one class to another in the confusion matrix",
        "consistent_result",
        both(cell(TRANSFER, 0, 1, -9), cell(TRANSFER, 2, 1, 9)),
    ),
    Plant(
        "confusion matrix without its last class",
        "consistent_result",
        put(TRANSFER, "result.confusion", lambda m: m[:2]),
    ),
    Plant(
        "negative number in the confusion matrix",
        "consistent_result",
        both(cell(TRANSFER, 0, 0, -1), cell(TRANSFER, 0, 1, 1)),
    ),
    Plant("confusion matrix removed from one run", "consistent_result", put(TRANSFER, "result.confusion", None)),
    Plant(
        "true and predicted classes exchanged",
        "consistent_result",
        put(BASELINE, "result.confusion", lambda m: [list(c) for c in zip(*m, strict=True)]),
    ),
    Plant(
        "rows of the confusion matrix exchanged",
        "consistent_result",
        put(TRANSFER, "result.confusion", lambda m: [m[1], m[0], m[2]]),
    ),
    Plant(
        "one answer flipped", "consistent_result", answers(TRANSFER, lambda bits: bits.__setitem__(0, bits[0] ^ 0x80))
    ),
    Plant(
        "every answer right",
        "consistent_result",
        answers(TRANSFER, lambda bits: bits.__setitem__(slice(None), b"\xff" * len(bits))),
    ),
    Plant(
        "answers to more images than there are", "consistent_result", answers(TRANSFER, lambda bits: bits.extend(b"\0"))
    ),
    Plant("answers removed from one run", "consistent_result", put(TRANSFER, "result.correct", None)),
    Plant("answers that are no base64", "consistent_result", put(TRANSFER, "result.correct", "?!")),
    Plant("all results of two arms exchanged", "consistent_rows", swap(TRANSFER, BASELINE, "result")),
    Plant("accuracies of two arms exchanged", "consistent_result", swap(TRANSFER, BASELINE, "result.test_accuracy")),
    Plant("answers of two arms exchanged", "consistent_result", swap(TRANSFER, BASELINE, "result.correct")),
    Plant(
        "confusion matrices of two arms exchanged", "consistent_result", swap(TRANSFER, BASELINE, "result.confusion")
    ),
    Plant("ten times the test images", "consistent_result", put(TRANSFER, "data.counts.test", times(10))),
    Plant("no images named in a run that succeeded", "consistent_result", put(TRANSFER, "data", None)),
    Plant(
        "a right answer among the most confidently wrong ones",
        "consistent_result",
        lambda r: r["final"].update(
            mistakes=[{**sample, "predicted": sample["truth"]} for sample in r["final"]["samples"]]
        ),
    ),
    Plant("a picture of a class that there is not", "consistent_result", put("final", "samples.0.predicted", "cherry")),
    Plant(
        "twenty more right answers everywhere, with the old loss",
        "consistent_result",
        both(rewritten(TRANSFER, 200), put(TRANSFER, "result.test_loss", 0.05)),
    ),
    Plant("failed run with its result", "status_as_recorded", put(BASELINE, "status", "failed")),
    Plant(
        "slow run called diverged",
        "status_as_recorded",
        both(put(BASELINE, "status", "diverged"), put(BASELINE, "stop_reason", "diverged")),
    ),
    Plant(
        "run called failed, its result and reason removed",
        "failed_runs",
        both(
            put(BASELINE, "status", "failed"),
            put(BASELINE, "stop_reason", "failed"),
            put(BASELINE, "result", {}),
            put(BASELINE, "reason", "killed"),
        ),
    ),
    Plant("failed run called succeeded", "stop_follows_rule", put(TRANSFER, "stop_reason", "failed")),
]

ROWS = [
    Plant("a negative training loss", "consistent_rows", put(BASELINE, "epochs.0.loss", -5.0)),
    Plant("best validation accuracy raised", "consistent_rows", put(BASELINE, "result.best_validation_accuracy", 1.0)),
    Plant(
        "best validation accuracy lowered", "consistent_rows", put(TRANSFER, "result.best_validation_accuracy", 1 / 3)
    ),
    Plant("best epoch is not the best row", "consistent_rows", put(TRANSFER, "result.best_epoch", 3)),
    Plant("best epoch beyond the last", "consistent_rows", put(TRANSFER, "result.best_epoch", 40)),
    Plant("no best epoch", "consistent_rows", put(TRANSFER, "result.best_epoch", None)),
    Plant(
        "validation accuracy of an epoch up by a point",
        "consistent_rows",
        put(TRANSFER, "epochs.0.validation_accuracy", plus(0.01)),
    ),
    Plant(
        "validation accuracy of the best epoch up",
        "consistent_rows",
        put(TRANSFER, "epochs.1.validation_accuracy", 1.0),
    ),
    Plant(
        "training accuracy of an epoch up by a point", "consistent_rows", put(BASELINE, "epochs.2.accuracy", plus(0.01))
    ),
    Plant(
        "validation loss too small for the wrong answers",
        "consistent_rows",
        put(BASELINE, "epochs.0.validation_loss", 0.01),
    ),
    Plant("no loss in an epoch", "consistent_rows", put(BASELINE, "epochs.0.loss", None)),
    Plant("no validation accuracy in an epoch", "consistent_rows", put(BASELINE, "epochs.0.validation_accuracy", None)),
    Plant("an epoch missing in the middle", "consistent_rows", without_epoch(TRANSFER, 1)),
    Plant("the first epoch missing", "consistent_rows", without_epoch(TRANSFER, 0)),
    Plant("epochs in reverse order", "consistent_rows", put(TRANSFER, "epochs", lambda rows: rows[::-1])),
    Plant("an epoch twice", "consistent_rows", put(TRANSFER, "epochs", lambda rows: [*rows[:2], *rows[1:]])),
    Plant("every other epoch left out", "consistent_rows", put("pretrain", "epochs", lambda rows: rows[::2])),
    Plant("validation curves of two arms exchanged", "consistent_rows", swap(TRANSFER, BASELINE, "epochs")),
]

STOP = [
    Plant("the last epoch missing", "stop_follows_rule", without_epoch(BASELINE, -1)),
    Plant(
        "the last epoch missing, sums made to agree", "stop_follows_rule", without_epoch(BASELINE, -1, disguised=True)
    ),
    Plant(
        "an early epoch missing, the others renumbered and sums made to agree",
        "consistent_clock",
        without_epoch(TRANSFER, 0, disguised=True),
    ),
    Plant("stopped early, called the maximum", "stop_follows_rule", put(BASELINE, "stop_reason", "max_epochs")),
    Plant(
        "stopped early, called an accuracy reached", "stop_follows_rule", put(BASELINE, "stop_reason", "target_reached")
    ),
    Plant(
        "maximum reached, called early stopping", "stop_follows_rule", put("pretrain", "stop_reason", "early_stopping")
    ),
    Plant("no reason to stop", "stop_follows_rule", put(BASELINE, "stop_reason", "")),
    Plant(
        "more patience than any run had, in all recipes",
        "stop_follows_rule",
        put("*-0? final", "recipe.patience", 5),
    ),
    Plant(
        "a lower maximum in the recipe of pretraining",
        "stop_follows_rule",
        put("pretrain pretrain-p1", "recipe.epochs", 4),
    ),
    Plant(
        "a higher maximum in the recipe of pretraining",
        "stop_follows_rule",
        put("pretrain pretrain-p1", "recipe.epochs", 80),
    ),
    Plant("a run without epochs", "consistent_clock", put(BASELINE, "epochs", [])),
]

# Only to show that they pass, and why nothing else can be said.
CONSISTENT = [
    Plant(
        "more right answers in accuracy, confusion matrix, answers and loss",
        None,
        rewritten(TRANSFER, 100),
        "every place that holds the result agrees; only the model itself could tell",
    ),
    Plant(
        "the whole test results of two arms exchanged, loss, matrix and answers included",
        None,
        swap(TRANSFER, BASELINE, *(f"result.{part}" for part in RESULT)),
        "both results are those of a genuine test; nothing in the epochs says which model it was",
    ),
    Plant(
        "other wrong classes in the confusion matrix, right answers and row sums kept",
        None,
        both(cell(TRANSFER, 0, 1, -20), cell(TRANSFER, 0, 2, 20)),
        "the answers say which images were right, not what the wrong ones were taken for",
    ),
    Plant("pictures of the final model left out", None, put("final", "samples", []), "how many are kept is a setting"),
    Plant(
        "another loss that the accuracy allows",
        None,
        put(TRANSFER, "result.test_loss", plus(0.01)),
        "no second place holds the loss",
    ),
    Plant(
        "training losses changed", None, put(BASELINE, "epochs.1.loss", times(0.9)), "no second place holds the losses"
    ),
]

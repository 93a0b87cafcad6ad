"""The stop rule against sequences whose end is worked out by hand."""

import math

import pytest

from headstart.components.stop_rule import StopRule, most_epochs


def run(rule: StopRule, accuracies: list[float]) -> tuple[int, str]:
    for epoch, accuracy in enumerate(accuracies, 1):
        rule.better(epoch, accuracy)
        if reason := rule.reason(epoch):
            return epoch, reason
    return len(accuracies), ""


@pytest.mark.parametrize(
    ("settings", "accuracies", "end", "best"),
    [
        # Best at 2, two epochs without a better one: 4.
        ({"epochs": 9, "patience": 2}, [0.5, 0.6, 0.6, 0.55, 0.9], (4, "early_stopping"), 2),
        # Equal is not better, but it is what later ones are compared with.
        ({"epochs": 9, "patience": 3}, [0.6, 0.6, 0.6, 0.6, 0.9], (4, "early_stopping"), 1),
        ({"epochs": 3, "patience": 2}, [0.1, 0.2, 0.3, 0.4], (3, "max_epochs"), 3),
        ({"epochs": 4, "patience": 0}, [0.4, 0.3, 0.2, 0.1], (4, "max_epochs"), 1),
        ({"epochs": 9, "patience": 5, "stop_at_accuracy": 0.55}, [0.5, 0.56, 0.6], (2, "target_reached"), 2),
        ({"epochs": 9, "patience": 2, "min_delta": 0.05}, [0.5, 0.54, 0.549], (3, "early_stopping"), 1),
        # What is not a number is never the best and stops nothing from being it.
        ({"epochs": 3, "patience": 9}, [math.nan, 0.2, 0.1], (3, "max_epochs"), 2),
        ({"epochs": 9, "patience": 2}, [0.0, 0.0, 0.0], (3, "early_stopping"), 1),
    ],
)
def test_when_and_why(settings, accuracies, end, best):
    rule = StopRule(**settings)
    assert run(rule, accuracies) == end
    assert rule.best_epoch == best


@pytest.mark.parametrize(
    ("epochs", "least_steps", "images", "batch_size", "expected"),
    [
        (10, 0, 36, 32, 10),
        (10, 100, 36, 32, 100),  # one step per epoch: four images are left over
        (10, 100, 100, 32, 34),  # three steps
        (10, 100, 1200, 32, 10),  # 37 steps
        (10, 100, 5, 32, 100),  # a batch is no larger than the set
        (40, 100, 100, 32, 40),
        (10, 100, 0, 32, 10),
    ],
)
def test_a_small_set_is_trained_for_more_epochs(epochs, least_steps, images, batch_size, expected):
    assert most_epochs(epochs, least_steps, images, batch_size) == expected

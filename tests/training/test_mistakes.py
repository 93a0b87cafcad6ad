"""The mistakes that a record shows: the wrong answers alone, the most certain first."""

import numpy as np

from headstart.components.training.evaluation import mistakes


def test_wrong_answers_by_certainty() -> None:
    images = np.zeros((5, 8, 8, 3), np.uint8)
    labels = np.array([0, 1, 0, 1, 1])
    probabilities = np.array([[0.9, 0.1], [0.7, 0.3], [0.05, 0.95], [0.2, 0.8], [0.51, 0.49]])
    found = mistakes(images, labels, probabilities, ["apple", "pear"], 2)
    assert [(each.truth, each.predicted, each.probability) for each in found] == [
        ("apple", "pear", 0.95),
        ("pear", "apple", 0.7),
    ]
    assert len(mistakes(images, labels, probabilities, ["apple", "pear"], 12)) == 3
    assert mistakes(images, probabilities.argmax(axis=1), probabilities, ["apple", "pear"], 12) == []

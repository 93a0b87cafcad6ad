"""How a retraining ends once rules and evidence are known, with the reasons in words."""

from __future__ import annotations

import math
from typing import Literal

from headstart.components.promotion.evidence import SHARE_OF_TESTS, Evidence
from headstart.components.promotion.gate import Decision, Rules

Ending = Literal["promoted", "candidate", "refused"]


def verdict(rules: Rules, decision: Decision, evidence: Evidence | None) -> tuple[Ending, list[str]]:
    """Return how it ends, and why."""
    reasons = list(decision.reasons)
    if evidence is not None:
        reasons += describe(rules, evidence, decision.promote)
    if not decision.promote:
        return "refused", reasons
    proven = evidence is None or evidence.proven
    if rules.approval == "always":
        return "candidate", [*reasons, "approval=always: a person decides."]
    if proven:
        return "promoted", reasons
    if rules.approval == "borderline":
        return "candidate", [*reasons, "Better on paper, but not proven: a person decides (approval=borderline)."]
    return "refused", [*reasons, "Better on paper, but not proven; approval=never asks nobody."]


def describe(rules: Rules, evidence: Evidence, passed: bool) -> list[str]:
    """Say what the test images prove, what they could have shown, and what earlier retrainings add."""
    images = f"{evidence.images} images"
    if evidence.clusters != evidence.images:
        images += f" of {evidence.clusters} films or objects"
    seeds = "one seed" if evidence.seeds == 1 else f"{evidence.seeds} seeds"
    said = []
    if evidence.level == 0:
        said.append(
            f"These test images were compared on {evidence.uses - 1} times before; after test_uses={rules.test_uses} "
            "they prove nothing more. Test on new images."
        )
    else:
        proven = "Proven: " if evidence.proven and passed else "Not proven: " if passed else ""
        said.append(
            f"{proven}between two equally good models the answers would differ as much in the candidate's favour with "
            f"probability {evidence.chance:.2g} ({images}, {seeds}, right or wrong and log-loss); comparison "
            f"{evidence.uses} on these test images needs {evidence.level:.2g} or less."
        )
        said.append(
            f"By right and wrong alone a gain of {100 * evidence.detectable:.2f} points or more would be proven in "
            "80 % of cases."
            if evidence.detectable < 1
            else "So few test images, films or objects can prove no gain, however large. Test on more of them."
        )
    if evidence.accumulated > evidence.log_e > 0 or (evidence.proven and evidence.chance > evidence.level):
        needed = 1 / ((1 - rules.confidence) * (1 - SHARE_OF_TESTS))
        said.append(
            "Over the retrainings of this recipe against this model in use, on images never asked before, the evidence "
            f"adds up to a factor of {math.exp(min(evidence.accumulated, 700)):.3g}; {needed:.0f} is proof."
        )
    return [said[0][0].upper() + said[0][1:], *said[1:]]

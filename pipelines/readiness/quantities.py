"""Kubernetes quantities such as 500m, 6Gi and 2 as numbers, and what a placement asks for in these terms."""

from __future__ import annotations

import re
from decimal import Decimal

from headstart.pipelines.placement import Kind, Placement, Resources

_FACTORS = {
    "": Decimal(1), "n": Decimal("1e-9"), "u": Decimal("1e-6"), "m": Decimal("1e-3"),
    "k": Decimal(10) ** 3, "K": Decimal(10) ** 3, "M": Decimal(10) ** 6, "G": Decimal(10) ** 9,
    "T": Decimal(10) ** 12, "P": Decimal(10) ** 15, "E": Decimal(10) ** 18,
    "Ki": Decimal(2) ** 10, "Mi": Decimal(2) ** 20, "Gi": Decimal(2) ** 30,
    "Ti": Decimal(2) ** 40, "Pi": Decimal(2) ** 50, "Ei": Decimal(2) ** 60,
}  # fmt: skip


def quantity(text: object) -> Decimal:
    """Return a quantity as a number; ValueError for what is none. Exponents such as 12e6 are read too."""
    found = re.fullmatch(r"([+-]?[0-9.]+(?:[eE][+-]?[0-9]+)?)([A-Za-z]*)", str(text).strip())
    if found is None or found[2] not in _FACTORS:
        raise ValueError(f"{text!r} is not a quantity")
    return Decimal(found[1]) * _FACTORS[found[2]]


def readable(resource: str, amount: Decimal) -> str:
    """Write an amount the way a person reads it: memory in GiB, the rest as a plain number."""
    if resource.endswith(("memory", "storage")):
        return f"{float(amount) / 2**30:.1f} GiB"
    return f"{amount.normalize():f}"


def requests_of(placement: Placement, kind: Kind) -> dict[str, Decimal]:
    """Return what a pod of one kind of task requests, by resource: cpu, memory, the accelerator's type."""
    resources: Resources = getattr(placement, kind)
    return _amounts(placement, kind, resources.cpu, resources.memory)


def limits_of(placement: Placement, kind: Kind) -> dict[str, Decimal]:
    """Return the limits of a pod of one kind of task; an accelerator's limit is its request."""
    resources: Resources = getattr(placement, kind)
    return _amounts(placement, kind, resources.cpu_limit or resources.cpu, resources.memory_limit or resources.memory)


def _amounts(placement: Placement, kind: Kind, cpu: str, memory: str) -> dict[str, Decimal]:
    amounts = {name: quantity(text) for name, text in (("cpu", cpu), ("memory", memory)) if text}
    if kind == "training" and placement.accelerators:
        amounts[placement.accelerator_type] = Decimal(placement.accelerators)
    return amounts

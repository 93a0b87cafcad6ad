"""Command-line options for a placement, shared by every command that compiles a pipeline."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from pydantic import ValidationError

from headstart.components.errors import SettingError
from headstart.pipelines.options import grouped, split_pairs
from headstart.pipelines.placement import DEFAULT_IMAGE, Placement
from headstart.pipelines.yaml_files import read_mapping

placement_options = grouped(
    "placement",
    click.Option(
        ["--placement", "placement_file"],
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="YAML file with any field of a placement, see docs/cluster.md; the options below win over it.",
    ),
    click.Option(["--image"], metavar="REF", help=f"Image of every task.  [default: {DEFAULT_IMAGE}]"),
    click.Option(["--training-image"], metavar="REF", help="Another image for the tasks that train: the GPU one."),
    click.Option(["--accelerators"], type=click.IntRange(0, 16), help="Accelerators of a training task.  [default: 0]"),
    click.Option(["--accelerator-type"], metavar="RESOURCE", help="Their resource name.  [default: nvidia.com/gpu]"),
    click.Option(["--cpu"], metavar="QUANTITY", help="Processors of each training task, for example 4 or 500m."),
    click.Option(["--memory"], metavar="QUANTITY", help="Memory of each training task, for example 16Gi."),
    click.Option(
        ["--node-selector", "node_selectors"], multiple=True, metavar="KEY=VALUE",
        help="Label of the nodes that train; repeatable. One kind of node keeps timings comparable.",
    ),
    click.Option(
        ["--toleration", "tolerations"], multiple=True, metavar="KEY[=VALUE][:EFFECT]",
        help="Taint that training tasks tolerate; repeatable. The accelerator's own taint always is.",
    ),
    click.Option(
        ["--image-pull-policy"], type=click.Choice(["IfNotPresent", "Always", "Never"]),
        help="When nodes fetch the image.  [default: IfNotPresent]",
    ),
    click.Option(
        ["--image-pull-secret", "image_pull_secrets"], multiple=True, metavar="NAME",
        help="Secret with a registry's credentials; repeatable.",
    ),
    click.Option(
        ["--google-credentials-secret"], metavar="NAME",
        help="Secret with a service account's key.json; not needed with Workload Identity.",
    ),
    click.Option(["--volume-claim"], metavar="NAME", help="Claim that is mounted at /mnt/headstart."),
)  # fmt: skip
"""Options for the fields of a placement; the command passes what it receives for them to `read_placement`."""


# What a field of this name holds, where its text does not fit; of any other, a name.
_EXPECTED = {
    **dict.fromkeys(("cpu", "cpu_limit"), "processors such as 4 or 500m"),
    **dict.fromkeys(("memory", "memory_limit", "shared_memory"), "an amount such as 16Gi"),
    "accelerator_type": "a resource such as nvidia.com/gpu",
}


def read_placement(
    placement_file: Path | None = None,
    *,
    cpu: str | None = None,
    memory: str | None = None,
    node_selectors: Sequence[str] = (),
    tolerations: Sequence[str] = (),
    **fields: Any,
) -> Placement:
    """Build a placement from a YAML file and options, which win; SettingError names what cannot be used.

    Args:
        placement_file: a YAML mapping with fields of `Placement`; what it leaves out keeps its default.
        cpu: processors of a training task.
        memory: memory of a training task.
        node_selectors: KEY=VALUE pairs for training tasks.
        tolerations: tolerations of training tasks as `Toleration.parse` reads them.
        fields: other fields of `Placement`; None and empty tuples stand for "not given".
    """
    values = read_mapping(placement_file) if placement_file else {}
    for kind in ("training", "data", "report", "preflight"):
        own = values.get(kind, {})
        if not isinstance(own, dict):
            raise SettingError(f"{placement_file}: {kind} is {own!r}.", "Expected a mapping such as {cpu: 2}.")
        values[kind] = {**Placement.model_fields[kind].default.model_dump(), **own}
    training = values["training"]
    training |= {name: value for name, value in (("cpu", cpu), ("memory", memory)) if value is not None}
    if node_selectors:
        training["node_selector"] = split_pairs(node_selectors, "--node-selector", "KEY=VALUE")
    if tolerations:
        training["tolerations"] = list(tolerations)
    values |= {name: list(v) if isinstance(v, tuple) else v for name, v in fields.items() if v not in (None, ())}
    try:
        return Placement.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "placement"
        origin = f"{placement_file}: " if placement_file else ""
        found = f" (found {first['input']!r})" if isinstance(first["input"], str | int | float) else ""
        message = first["msg"].removeprefix("Value error, ")
        if first["type"] == "string_pattern_mismatch":
            name = "a name of lower-case letters, digits, dots and dashes"
            message = f"expected {_EXPECTED.get(str(first['loc'][-1]), name)}"
        raise SettingError(f"{origin}{where}: {message}{found}.") from error

"""Where a run lies in its object store: artifacts at ROOT/PIPELINE/RUN/TASK/EXECUTION/OUTPUT, checkpoints beside.

Kubeflow Pipelines 2.17 lays out the artifacts; what tasks keep until they end is at ROOT/PIPELINE/checkpoints/RUN.
"""

from __future__ import annotations

import re

_CHECKPOINTS = "checkpoints"


def checkpoint_folder(artifact: str, run_id: str = "") -> str:
    """Return ROOT/PIPELINE/checkpoints for the URI of an `artifact`; empty where it is none, or not of `run_id`."""
    parts = artifact.rsplit(f"/{run_id}/", 1) if run_id else artifact.rsplit("/", 4)
    return f"{parts[0]}/{_CHECKPOINTS}" if len(parts) == (2 if run_id else 5) else ""


def output_of(run_id: str, output: str) -> re.Pattern[str]:
    """Return what is found in the URIs of what tasks of the run wrote as `output`, a regular expression."""
    return re.compile(rf"/{re.escape(run_id)}/[^/]+/[^/]+/({output})$")


def kept_by(run_id: str, name: str) -> re.Pattern[str]:
    """Return what is found in the URIs of files called `name` that runs keep beside their checkpoints."""
    return re.compile(rf"/{_CHECKPOINTS}/{re.escape(run_id)}/[^/]+/{re.escape(name)}$")

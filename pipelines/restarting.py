"""Starts a task's Python process again in its container when a signal ends it.

Kubeflow Pipelines 2.17 as installed starts a deleted pod again and never a container that failed (see docs/cluster.md).
The shell that kfp starts the process from stays where it is: what the process had fetched and its checkpoints are still
there, and no platform needs to know.
"""

from __future__ import annotations

from typing import Any

from headstart.components.errors import HeadstartError
from headstart.components.training.shells import KEPT_IN_CONTAINER

_CALL = "_KFP_RUNTIME=true python3 -m kfp.dsl.executor_main"

# 128 + N is the shell's status for signal N. SIGTERM and SIGINT mean that the pod is to end; any other status is the
# task's own answer. The empty trap keeps the shell waiting for a process that still writes its checkpoint.
_LOOP = """export {kept}=$(mktemp -d)
trap : TERM INT
started=1
while :; do
    status=0
    {call} || status=$?
    case $status in 130|143) exit $status;; esac
    if [ $status -le 128 ] || [ $started -gt {restarts} ]; then exit $status; fi
    echo "the task was ended by signal $((status - 128)) and is started again ($started of {restarts})" >&2
    started=$((started + 1))
done
"""


def restart_when_killed(task: Any, restarts: int) -> None:
    """Make the container of `task` (a `kfp.dsl.PipelineTask` of a Python component) start it again after a signal."""
    if not restarts:
        return
    command = list(task.container_spec.command)
    where = [number for number, part in enumerate(command) if _CALL in str(part)]
    if len(where) != 1:
        raise HeadstartError(
            f"{task.name}: its command is not the one that kfp 2.17 gives a Python component, so it cannot be started "
            "again in its container; set restarts to 0, or install the kfp that requirements/ names."
        )
    before, _, after = str(command[where[0]]).partition(_CALL)
    command[where[0]] = before + _LOOP.format(kept=KEPT_IN_CONTAINER, call=_CALL + after.rstrip(), restarts=restarts)
    task.container_spec.command = command

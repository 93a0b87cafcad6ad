"""Keeps a task's container from failing where its process is killed or the object store is away for a while.

Kubeflow Pipelines 2.17 as installed starts a deleted pod again and never a container that failed (see docs/cluster.md).
The shell that kfp starts the process from starts it again after a signal: what the process had fetched and its
checkpoints are still there. And it ends once the store answers that the outputs go to.
"""

from __future__ import annotations

from typing import Any

from headstart.components.errors import HeadstartError
from headstart.components.training.checkpoint import KEPT_IN_CONTAINER

_CALL = "_KFP_RUNTIME=true python3 -m kfp.dsl.executor_main"

# 128 + N is the shell's status for signal N, any other the task's own. After SIGTERM or SIGINT the pod is to end:
# nothing is started again, and the trap keeps the shell waiting for a process that still writes its checkpoint.
_LOOP = """export {kept}=$(mktemp -d)
ending=
trap ending=1 TERM INT
started=1
while :; do
    status=0
    {call} || status=$?
    case $status in 0) break;; 130|143) exit $status;; esac
    if [ -n "$ending" ] || [ $status -le 128 ] || [ $status -ge 160 ]; then exit $status; fi
    if [ $started -gt {restarts} ]; then exit $status; fi
    echo "the task was ended by signal $((status - 128)) and is started again ($started of {restarts})" >&2
    started=$((started + 1))
done
"""
_WAIT = 'python3 -m headstart.components.storage.kubeflow_store {seconds} "$@" || true\n'


def outlast(task: Any, restarts: int, storage_seconds: int) -> None:
    """Make the container of `task` (a `kfp.dsl.PipelineTask` of a Python component) outlast signals and its store.

    Args:
        task: the task, of which the command is changed.
        restarts: how often its process is started again after a signal.
        storage_seconds: how long it waits at its end for an object store that does not answer.
    """
    if not restarts and not storage_seconds:
        return
    command = list(task.container_spec.command)
    where = [number for number, part in enumerate(command) if _CALL in str(part)]
    if len(where) != 1:
        raise HeadstartError(
            f"{task.name}: its command is not the one that kfp 2.17 gives a Python component, so it cannot be started "
            "again in its container; install the kfp that requirements/ names, or set restarts and "
            "storage_wait_seconds to 0."
        )
    before, _, after = str(command[where[0]]).partition(_CALL)
    loop = _LOOP.format(kept=KEPT_IN_CONTAINER, call=_CALL + after.rstrip(), restarts=restarts)
    command[where[0]] = before + loop + (_WAIT.format(seconds=storage_seconds) if storage_seconds else "")
    task.container_spec.command = command

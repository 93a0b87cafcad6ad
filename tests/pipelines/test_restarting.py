"""A task of a compiled package, run by its own command: a signal ends its process, and it is started again."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from kfp import compiler, dsl

from headstart.components.errors import HeadstartError
from headstart.pipelines.placement import Placement, place
from headstart.pipelines.restarting import outlast

Run = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(tmp_path: Path) -> Run:
    """Return a function that starts the only task of a package, as its container would, and returns its shell."""

    @dsl.component(base_image="registry.example/headstart:1.0", install_kfp_package=False)
    def task(behave: str) -> str:
        import os
        import signal
        import time
        from pathlib import Path

        kept = Path(os.environ["HEADSTART_KEPT_IN_CONTAINER"])
        (kept / str(time.monotonic_ns())).touch()
        started = len(list(kept.iterdir()))
        print(f"start {started}", flush=True)
        if behave.startswith("killed") and started <= int(behave.split()[1]):
            os.kill(os.getpid(), signal.SIGKILL)
        if behave.startswith("fails"):
            raise SystemExit(int(behave.split()[1]))
        if behave.startswith("waits"):

            def end(*_: object) -> None:
                time.sleep(0.5)  # as a checkpoint takes
                if behave == "waits in vain":
                    os.kill(os.getpid(), signal.SIGKILL)
                print("checkpoint written", flush=True)
                raise SystemExit(143)

            signal.signal(signal.SIGTERM, end)
            print("ready", flush=True)
            time.sleep(60)
        return "done"

    @dsl.pipeline(name="restarting")
    def pipeline(behave: str) -> None:
        place(task(behave=behave), Placement(restarts=2))

    compiler.Compiler().compile(pipeline, str(tmp_path / "package.yaml"))
    package = next(yaml.safe_load_all((tmp_path / "package.yaml").read_text()))
    container = package["deploymentSpec"]["executors"]["exec-task"]["container"]
    (tmp_path / "bin").mkdir()
    # No link: beside one, Python does not find the environment that it belongs to.
    python = tmp_path / "bin/python3"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)

    def run(behave: str) -> "subprocess.Popen[str]":
        given = {
            "inputs": {"parameterValues": {"behave": behave}},
            "outputs": {
                "parameters": {"Output": {"outputFile": str(tmp_path / "Output")}},
                "outputFile": str(tmp_path / "executor.json"),
            },
        }
        command = [*container["command"], *container["args"]]
        # A launcher's own group: what ends a pod reaches every process in it.
        return subprocess.Popen(
            [json.dumps(given) if word == "{{$}}" else word for word in command],
            env={**os.environ, "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "TMPDIR": str(tmp_path)},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip

    return run


@pytest.mark.parametrize(
    ("behave", "status", "starts"), [("well", 0, 1), ("killed 1", 0, 2), ("killed 2", 0, 3), ("killed 3", 137, 3)]
)
def test_a_killed_task_is_started_again_where_it_left_off(behave: str, status: int, starts: int, start: Run) -> None:
    running = start(behave)
    printed, said = running.communicate(timeout=120)
    assert running.returncode == status, said
    # What an earlier start left in the folder is there for the next one, which counts it.
    assert [line for line in printed.splitlines() if line.startswith("start ")] == [
        f"start {number}" for number in range(1, starts + 1)
    ]
    assert said.count("ended by signal 9 and is started again") == starts - 1


@pytest.mark.parametrize("status", [1, 7, 255])
def test_a_task_that_fails_by_itself_is_not_started_again(status: int, start: Run) -> None:
    running = start(f"fails {status}")
    printed, said = running.communicate(timeout=120)
    assert running.returncode == status
    assert printed.count("start ") == 1
    assert "started again" not in said


@pytest.mark.parametrize(("behave", "status"), [("waits", 143), ("waits in vain", 137)])
def test_a_pod_that_ends_waits_for_the_checkpoint_and_starts_nothing(behave: str, status: int, start: Run) -> None:
    running = start(behave)
    assert running.stdout is not None
    while "ready" not in running.stdout.readline():
        assert running.poll() is None
    time.sleep(0.2)
    os.killpg(running.pid, signal.SIGTERM)
    printed, said = running.communicate(timeout=30)
    assert running.returncode == status
    assert ("checkpoint written" in printed) == (status == 143)
    assert "started again" not in said


def test_another_command_than_kfps_is_refused_by_name() -> None:
    @dsl.container_component
    def other() -> dsl.ContainerSpec:
        return dsl.ContainerSpec(image="registry.example/other:1", command=["true"])

    with pytest.raises(HeadstartError, match=r"other: its command is not the one that kfp 2.17 gives"):

        @dsl.pipeline(name="refused")
        def pipeline() -> None:
            outlast(other().set_cpu_limit("1"), 2, 0)

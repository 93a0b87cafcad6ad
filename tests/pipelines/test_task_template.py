"""Tasks forked from one process: each begins as a fresh process would; kills of a task and of that process."""

# No `from __future__ import annotations` here: kfp reads the annotations as objects.

import contextlib
import io
import json
import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kfp import dsl
from kfp.local.subprocess_task_handler import run_local_subprocess

from headstart.pipelines.task_template import Template

IMAGE = "headstart:0.1.0"


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def describe(file: str):  # type: ignore[no-untyped-def]
    """Write down what a process finds when it begins."""
    import gc
    import json
    import logging
    import os
    import resource
    import signal
    import sys
    import threading
    from pathlib import Path

    print("printed")
    sys.stderr.write("written\n")
    os.system("echo by a child")
    # What the shell adds that kfp starts Python in.
    shells = ("_", "SHLVL", "OLDPWD", "PWD")
    handlers = {int(number): str(signal.getsignal(number)) for number in signal.valid_signals()}
    found = {
        "environment": {name: value for name, value in os.environ.items() if name not in shells},
        "folder": str(Path.cwd()),
        "group": [os.getpgid(0), os.getsid(0)],
        "signals": {number: handler.split(" at ")[0] for number, handler in handlers.items()},
        "blocked": [int(number) for number in signal.pthread_sigmask(signal.SIG_BLOCK, [])],
        "files": [str(Path(f"/proc/self/fd/{number}").readlink()).split(":")[0] for number in (0, 1, 2)],
        "more files": len([file for file in Path("/proc/self/fd").iterdir() if int(file.name) > 2]),
        "arguments": sys.argv[3:],
        "path": sys.path,
        "limits": resource.getrlimit(resource.RLIMIT_CORE),
        "level": logging.root.level,
        "handlers": len(logging.root.handlers),
        "threads": threading.active_count(),
        "collects": gc.isenabled(),
        "hidden": [name for name in ("pandas", "scipy") if name in sys.modules],
    }
    Path(file).write_text(json.dumps(found))


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def wait(folder: str, fails: bool):  # type: ignore[no-untyped-def]
    """Say that it has begun and wait until it is asked to end."""
    import os
    import time
    from pathlib import Path

    Path(folder, "begun").write_text(str(os.getpid()))
    while not Path(folder, "end").exists():
        time.sleep(0.01)
    if fails:
        raise ValueError("as it was told to")


def command(component: Any, writes: Path, **parameters: Any) -> list[str]:
    """What kfp's local runner starts for a task."""
    words = component.component_spec.implementation.container.command
    outputs = {"outputFile": str(writes / "output.json")}
    given = json.dumps({"inputs": {"parameterValues": parameters}, "outputs": outputs})
    script = words[2].replace("python3", sys.executable)
    return [*words[:2], script, words[3], "--executor_input", given, "--function_to_execute", component.name]


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], Template]]:
    """To be called in the test: pytest changes the environment between a fixture and its test."""
    monkeypatch.setenv("PYTHONSAFEPATH", "1")
    templates: list[Template] = []

    def start() -> Template:
        templates.append(Template())
        return templates[0]

    yield start
    for template in templates:
        template.end()


def fresh(**_: object) -> int:
    raise AssertionError("a fresh process was to be started")


class Running:
    """A task that runs in a thread of ours."""

    def __init__(self, run: Callable[..., int], words: list[str]) -> None:
        self.status: list[int] = []
        self._thread = threading.Thread(target=lambda: self.status.append(run(full_command=words)))
        self._thread.start()

    def end(self) -> int:
        self._thread.join(60)
        return self.status[0]


def begun(folder: Path) -> None:
    deadline = time.monotonic() + 300
    while not (folder / "begun").exists() or not (folder / "begun").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_forked_task_finds_what_a_fresh_process_finds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONSAFEPATH", "1")
    monkeypatch.setenv("OF_OURS", "ü\n=")
    limits = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, limits[1]))
    template = Template()
    try:
        found, printed = [], []
        for name, run in (("forked", template.around(fresh)), ("fresh", run_local_subprocess)):
            with contextlib.redirect_stdout(io.StringIO()) as out:
                # With variables given, a fresh process gets those that Python knows, not what libraries set beneath it.
                words = command(describe, tmp_path, file=str(tmp_path / name))
                assert run(full_command=words, env_vars={"OF_OURS": "ü\n="}) == 0
            printed.append([line for line in out.getvalue().splitlines() if "KFP Executor" not in line])
            found.append(json.loads((tmp_path / name).read_text()))
        for one in found:
            assert json.loads(one["arguments"].pop(1))["inputs"]
            assert Path(one["path"].pop(0)).name.startswith("tmp")  # where the component's source is
        assert dict(found[0].pop("environment").items() ^ found[1].pop("environment").items()) == {}
        assert found[0] == found[1]
        assert {"printed", "written", "by a child"} <= set(printed[0])
        assert len(printed[0]) == len(printed[1])
    finally:
        resource.setrlimit(resource.RLIMIT_CORE, limits)
        template.end()


def test_a_task_that_fails_or_is_killed_has_failed_and_the_next_one_runs(
    started: Callable[[], Template], tmp_path: Path
) -> None:
    template = started()
    run = template.around(fresh)
    (tmp_path / "end").touch()
    assert run(full_command=command(wait, tmp_path, folder=str(tmp_path), fails=True)) == 1
    (tmp_path / "end").unlink()
    (tmp_path / "begun").unlink()
    running = Running(run, command(wait, tmp_path, folder=str(tmp_path), fails=False))
    begun(tmp_path)
    os.kill(int((tmp_path / "begun").read_text()), signal.SIGKILL)
    assert running.end() == -signal.SIGKILL
    (tmp_path / "end").touch()
    assert run(full_command=command(wait, tmp_path, folder=str(tmp_path), fails=False)) == 0


def test_a_template_that_is_killed_takes_no_task_with_it(started: Callable[[], Template], tmp_path: Path) -> None:
    template = started()
    running = Running(template.around(fresh), command(wait, tmp_path, folder=str(tmp_path), fails=False))
    begun(tmp_path)
    template.process.kill()
    template.process.wait()
    time.sleep(0.1)
    assert running.status == []
    (tmp_path / "end").touch()
    assert running.end() == 0
    # Those that come later get fresh processes.
    others: list[dict[str, Any]] = []
    run = template.around(lambda **given: others.append(given) or 7)
    words = command(wait, tmp_path, folder=str(tmp_path), fails=False)
    assert run(full_command=words) == 7
    assert others == [{"full_command": words, "env_vars": None}]


def test_another_environment_or_command_gets_a_fresh_process(
    started: Callable[[], Template], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    template = started()
    run = template.around(lambda **_: 7)
    (tmp_path / "end").touch()
    words = command(wait, tmp_path, folder=str(tmp_path), fails=False)
    assert run(full_command=words, env_vars={"OMP_NUM_THREADS": "1"}) == 7
    assert run(full_command=[*words[:2], f"pip install x; {words[2]}", *words[3:]]) == 7
    with monkeypatch.context() as changed:
        changed.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
        assert run(full_command=words) == 7
    assert run(full_command=words) == 0
    # A run that is being ended starts nothing more.
    template.process.terminate()
    assert run(full_command=words) == 7
    template.close()
    assert run(full_command=words) == 7

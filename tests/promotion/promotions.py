"""Promotions in processes of their own: one that is killed before its n-th operation, several that race."""

import os
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

from store_contents import manifest, outcome, version_folder

from headstart.components.promotion.commit import conclude, keep_candidate, switch
from headstart.components.promotion.gate import Rules
from headstart.components.promotion.store import open_store
from headstart.components.promotion.uses import count, keep_evidence

HASHES = ["ab" * 16, "cd" * 16]
# What Python reports before it does it (sys.addaudithook): changes of a file system, requests that are sent.
OPERATIONS = {
    "open",
    "os.rename",
    "os.mkdir",
    "os.remove",
    "os.rmdir",
    "os.symlink",
    "os.truncate",
    "shutil.copyfile",
    "http.client.send",
}


def store_settings() -> dict[str, str]:
    """Return what of the environment leads to an object store; a fork server has that of an earlier test."""
    return {name: value for name, value in os.environ.items() if name.startswith(("STORAGE_", "AWS_"))}


def promote(
    uri: str, place: Path, text: str, generation: str, current: int | None, keep: int = 5, candidate: bool = False
) -> str:
    """Count test images, store and switch, or keep a candidate, as a retraining's end; return how it ended."""
    store = open_store(uri)
    store.heal()
    count(store, HASHES, text, "q", 0.95, 50)
    keep_evidence(store, text, 0.5)
    folder = version_folder(place, text)
    about = manifest(text, run_id=text).model_copy(update={"compared_with": current})
    if candidate:
        ended = keep_candidate(store, folder, about, outcome(text, current, text))
    else:
        ended = switch(store, folder, about, generation, outcome(text, current, text))
    conclude(store, Rules(keep=keep), ended)
    return ended.status


def _counts(event: str, arguments: tuple[Any, ...], uri: str) -> bool:
    if event not in OPERATIONS:
        return False
    if event == "http.client.send":
        # Requests that only read change nothing: a kill before one is a kill after the change before it.
        return "://" in uri and bytes(arguments[1][:7]).split(b" ")[0] in (
            b"POST",
            b"PUT",
            b"PATCH",
            b"DELETE",
        )
    if event == "open" and not (isinstance(arguments[1], str) and set(arguments[1]) & set("wax+")):
        return False
    # Opened with a number of flags (mkstemp) or relative to a folder's descriptor (rmtree): counted by its path alone.
    return any(isinstance(argument, str | os.PathLike) and str(argument).startswith(uri) for argument in arguments)


def promote_and_die(
    uri: str,
    place: Path,
    generation: str,
    current: int | None,
    kill_before: int,
    settings: dict[str, str],
    result: Any,
    candidate: bool = False,
) -> None:
    """Promote, or keep a candidate, but be killed by SIGKILL before the operation number `kill_before`.

    Sends how it ended and how many operations there were, where it was not killed.
    """
    os.environ.update(settings)
    tempfile.tempdir = str(place)  # what a killed process leaves there goes with the test
    done = 0
    armed = False

    def count(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal done
        if armed and _counts(event, arguments, uri):
            if done == kill_before:
                os.kill(os.getpid(), signal.SIGKILL)
            done += 1

    sys.addaudithook(count)
    armed = True
    status = promote(uri, place, f"killed{kill_before}", generation, current, keep=1, candidate=candidate)
    armed = False
    result.put((status, done))


def promote_at_once(
    uri: str,
    place: Path,
    text: str,
    generation: str,
    current: int | None,
    settings: dict[str, str],
    go: Any,
    result: Any,
) -> None:
    """Promote as soon as all others are ready too."""
    os.environ.update(settings)
    go.wait()
    result.put((text, promote(uri, place, text, generation, current)))


def count_at_once(uri: str, hashes: list[str], name: str, settings: dict[str, str], go: Any) -> None:
    """Count five comparisons on the same images, together with others."""
    os.environ.update(settings)
    go.wait()
    for lap in range(5):
        count(open_store(uri), hashes, f"{name}{lap}", "q", 0.95, 50)

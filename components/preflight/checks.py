"""Checks that run inside a pod: can this image, user and service account do what the run will ask of them?"""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import sys
import tempfile
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from headstart.components import storage
from headstart.components.credentials import masked, masked_address, reveal
from headstart.components.errors import INSTALL_TENSORFLOW, HeadstartError

Outcome = Literal["passed", "warning", "failed"]

# What a task needs to unpack a data set beside its inputs and outputs.
SCRATCH_BYTES = 1024**3
PROBE_NAME = ".headstart-preflight"


@dataclass(frozen=True)
class Check:
    """One line of a preflight: what was looked at, how it came out, what was found, and what to do."""

    name: str
    outcome: Outcome
    found: str
    remedy: str = ""

    def __str__(self) -> str:
        text = f"{self.outcome:<7} {self.name}: {self.found}"
        return f"{text} {self.remedy}" if self.remedy and self.outcome != "passed" else text


def require(*, read_from: Iterable[str], write_to: str, run_id: str) -> str:
    """Run every check, print one line for each, and return the lines.

    Raises:
        HeadstartError: at least one check failed; the message holds all that did.
    """
    checks = [check_software(), check_user(), check_scratch(), check_home()]
    checks += [check_readable(uri) for uri in dict.fromkeys(uri for uri in read_from if uri)]
    if write_to:
        checks.append(check_writable(write_to, run_id))
    for check in checks:
        print(check, flush=True)
    failed = [check for check in checks if check.outcome == "failed"]
    if failed:
        raise HeadstartError("This run cannot succeed here. " + " ".join(f"{c.name}: {c.found}" for c in failed),
                             " ".join(dict.fromkeys(c.remedy for c in failed if c.remedy)))  # fmt: skip
    return "\n".join(str(check) for check in checks)


def check_software() -> Check:
    """Are the packages that the stages import in this image? TensorFlow is looked up, not imported."""
    versions, missing = [], []
    for package, names in (("headstart", ["headstart"]), ("tensorflow", ["tensorflow", "tensorflow-cpu"])):
        for name in names:
            try:
                versions.append(f"{name} {importlib.metadata.version(name)}")
                break
            except importlib.metadata.PackageNotFoundError:
                continue
        else:
            missing.append(package)
    if missing:
        return Check(
            "software",
            "failed",
            f"no {' and no '.join(missing)} in this image.",
            f"In a pod: compile the pipeline with --image set to Headstart's image. {INSTALL_TENSORFLOW}",
        )
    version = ".".join(str(part) for part in sys.version_info[:3])
    return Check("software", "passed", ", ".join([*versions, f"python {version}"]))


def check_user() -> Check:
    """Does this pod run as an ordinary user, as Pod Security "restricted" demands?"""
    user, groups = os.getuid(), os.getgroups()
    found = f"user {user}, group {os.getgid()}"
    if user == 0:
        return Check("user", "warning", f"{found}: root.", "Compile with run_as_user, or let the cluster set a user.")
    return Check("user", "passed", found if 0 in groups or os.getgid() == 0 else f"{found}, not in group 0")


def check_scratch(needed: int = SCRATCH_BYTES) -> Check:
    """Can temporary files be written, and is there space for a data set?"""
    folder = Path(tempfile.gettempdir())
    try:
        with tempfile.NamedTemporaryFile(dir=folder) as probe:
            probe.write(b"headstart")
            probe.flush()
        free = shutil.disk_usage(folder).free
    except OSError as error:
        return Check("temporary files", "failed", f"{folder}: {error.strerror or error}.",
                     "Give the task a writable /tmp.")  # fmt: skip
    found = f"{folder}, {free / 1024**3:.1f} GiB free"
    if free < needed:
        return Check("temporary files", "warning", f"{found}.", "Large data sets will not fit; use nodes with more.")
    return Check("temporary files", "passed", found)


def check_home() -> Check:
    """Can the home folder be written? Libraries keep caches there and fail in odd ways where they cannot."""
    home = Path(os.environ.get("HOME") or "/")
    if home.is_dir() and os.access(home, os.W_OK):
        return Check("home", "passed", str(home))
    return Check("home", "failed", f"HOME={home} cannot be written.", "Set HOME=/tmp; Headstart's image does.")


def check_readable(uri: str) -> Check:
    """Can this pod see the data that the run will read?"""
    name = f"read {masked_address(uri)}"
    try:
        uri = reveal(uri)
        if uri.startswith("demo:"):
            return Check(name, "passed", "drawn by Headstart itself")
        if storage.is_remote(uri):
            if storage.exists(uri) or next(iter(storage.list(uri)), None) is not None:
                return Check(name, "passed", "found")
            return Check(name, "failed", "nothing there.", "Check the URI for a slip.")
        if uri.startswith(("http://", "https://")):
            return _check_web(name, uri)
        if storage.local_path(uri).exists():
            return Check(name, "passed", "found")
        return Check(name, "failed", "no such file or folder in a pod.",
                     "Use gs://, s3:// or https://; or compile with --volume-claim, use /mnt/headstart.")  # fmt: skip
    except Exception as error:
        found = masked(_first_line(error)).replace(urlsplit(uri).query or "\0", "***")
        return Check(name, "failed", f"{type(error).__name__}: {found}",
                     "Check the rights of the pod's service account and the network policy.")  # fmt: skip


def _check_web(name: str, uri: str) -> Check:
    import requests

    with requests.get(uri, stream=True, timeout=30) as answer:
        if answer.ok:
            return Check(name, "passed", f"HTTP {answer.status_code}")
        return Check(name, "failed", f"HTTP {answer.status_code} {answer.reason}.", "Check the URI and its rights.")


def check_writable(uri: str, run_id: str) -> Check:
    """Can this pod write where checkpoints or models are to go? One small file is written, read and removed."""
    name = f"write {masked_address(uri)}"
    content = f"preflight of {run_id}\n".encode()
    probe = f"{PROBE_NAME}-{uuid.uuid4().hex[:12]}"
    try:
        place = storage.open_place(uri)
        try:
            place.write(probe, content)
            read, _ = place.read(probe)
        finally:
            place.delete(probe)
    except Exception as error:
        return Check(name, "failed", f"{type(error).__name__}: {_first_line(error)}",
                     "Give the pod the right to write and delete there (gs://: roles/storage.objectUser; s3://: the "
                     "keys of an account that may).")  # fmt: skip
    if read != content:
        return Check(name, "failed", "what was written did not come back.", "Check the store: it loses writes.")
    return Check(name, "passed", "written, read back and removed")


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else "no further word"

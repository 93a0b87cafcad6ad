"""The store's files that change, signed: what they say cannot be changed, or set back, by who has no key.

A version is signed as a folder and never changes; which version is in use, which prepared model retrainings start from
and how often test images were asked do change. Each of these files is a JSON object; where a signing key is configured
it carries `signature` (ECDSA with SHA-256 over the file's name and its other content) and `sequence`, which counts its
changes. Where a verifying key is set, a file without a valid signature is refused.

An older file with its older, valid signature is what a signature cannot find. So every machine that verifies remembers
the newest one that it saw of each store, in `$XDG_STATE_HOME/headstart` (default: ~/.local/state/headstart), and
refuses an older one, or another of the same number. A machine that saw nothing before, such as a new pod, cannot.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from headstart.components.atomic_files import write_json
from headstart.components.errors import HeadstartError, SettingError
from headstart.components.promotion import signing
from headstart.components.promotion.backends import DamagedError

SIGNATURE = "signature"
TEST_IMAGES = "test-images.json"
"""Of hundreds of thousands of images, so it is written on one line."""
SEQUENCE = "sequence"


def seal(uri: str, name: str, value: dict[str, Any], before: int) -> bytes:
    """Return the file `name` of the store at `uri`: `value` as JSON, numbered after `before`, signed where we sign.

    SettingError where signatures are asked for and there is no key to sign with: the file could not be read again.
    """
    if signing.verifies() and not signing.signs():
        raise SettingError(
            f"{uri}/{name}: cannot be changed: {signing.VERIFYING_KEY} asks for a signature, and no key signs.",
            f"Set {signing.SIGNING_KEY}, too.",
        )
    value = {**value, SEQUENCE: before + 1}
    if signing.signs():
        message = _message(name, value)
        value[SIGNATURE] = base64.b64encode(signing.sign_bytes(message)).decode()
        if signing.verifies() and not signing.signed_bytes(message, value[SIGNATURE]):
            raise SettingError(
                f"{signing.SIGNING_KEY} and {signing.VERIFYING_KEY} are not the two halves of one key.",
                "`openssl ec -in signing.pem -pubout` prints the one to verify with.",
            )
    return (json.dumps(value, indent=None if name == TEST_IMAGES else 1, ensure_ascii=False) + "\n").encode()


def opened(uri: str, name: str, data: bytes) -> tuple[dict[str, Any], int]:
    """Return what a sealed file says, whatever its signature, and the newest number of it; to be sealed again.

    SettingError without a signing key, DamagedError where it is no JSON object.
    """
    if not signing.signs():
        raise SettingError(f"{signing.SIGNING_KEY} is not set, expected the key to sign with.")
    value = _object(data)
    if not value:
        raise DamagedError(f"{uri}/{name}: damaged: it is no JSON object.", "Restore it, or remove it.")
    value.pop(SIGNATURE, None)
    return value, max(number(data), int(_seen(uri, name).get(SEQUENCE, 0)))


def unseal(uri: str, name: str, data: bytes) -> bytes:
    """Return the content of a sealed file without its signature; DamagedError where signature or age do not hold."""
    if not signing.verifies():
        return data
    where = f"{uri}/{name}"
    value = _object(data)
    signature = value.pop(SIGNATURE, None)
    if not isinstance(signature, str):
        raise DamagedError(f"{where}: is not signed, and {signing.VERIFYING_KEY} asks for a signature.", _REMEDY)
    if not signing.signed_bytes(_message(name, value), signature):
        raise DamagedError(f"{where}: its signature does not hold: somebody without the key changed it.", _REMEDY)
    _refuse_older(uri, name, value)
    _remember(uri, name, value)
    return json.dumps(value).encode()


def written(uri: str, name: str, data: bytes) -> None:
    """Remember a sealed file that this machine has written."""
    if signing.verifies():
        value = _object(data)
        value.pop(SIGNATURE, None)
        _remember(uri, name, value)


_REMEDY = "Look at what it says; `headstart models sign` signs it as it is, or put back the right one."


def number(data: bytes | None, field: str = SEQUENCE) -> int:
    """Return a whole number in a JSON file, by default that of its last change; 0 where there is none."""
    value = _object(data or b"{}").get(field, 0)
    return value if isinstance(value, int) else 0


def _object(data: bytes) -> dict[str, Any]:
    try:
        value = json.loads(data)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _message(name: str, value: dict[str, Any]) -> bytes:
    return f"headstart {name}\n{json.dumps(value, sort_keys=True)}".encode()


def _digest(name: str, value: dict[str, Any]) -> str:
    return hashlib.sha256(_message(name, value)).hexdigest()


def _memory(uri: str, name: str) -> Path:
    place = os.environ.get("XDG_STATE_HOME") or str(Path("~/.local/state").expanduser())
    return Path(place) / "headstart" / f"{hashlib.sha256(f'{uri}/{name}'.encode()).hexdigest()[:24]}.json"


def _seen(uri: str, name: str) -> dict[str, Any]:
    try:
        return _object(_memory(uri, name).read_bytes())
    except OSError:
        return {}


def _refuse_older(uri: str, name: str, value: dict[str, Any]) -> None:
    """Raise DamagedError for what is older than what this machine saw, or another change of the same number."""
    seen, number = _seen(uri, name), int(value.get(SEQUENCE, 0))
    newest = int(seen.get(SEQUENCE, 0))
    if number > newest or (number == newest and seen.get("digest", "") == _digest(name, value)) or not newest:
        return
    how = f"is change {number}, older than change {newest}" if number < newest else f"is another change {number} than"
    raise DamagedError(
        f"{uri}/{name}: {how} which this machine saw: somebody put it back.",
        f"{_REMEDY} If the store was made again, remove {_memory(uri, name)}.",
    )


def _remember(uri: str, name: str, value: dict[str, Any]) -> None:
    memory, number = _memory(uri, name), int(value.get(SEQUENCE, 0))
    if number <= int(_seen(uri, name).get(SEQUENCE, 0)):
        return
    with suppress(OSError, HeadstartError):  # a machine without a home remembers nothing
        memory.parent.mkdir(parents=True, exist_ok=True)
        write_json(memory, {"file": f"{uri}/{name}", SEQUENCE: number, "digest": _digest(name, value)})

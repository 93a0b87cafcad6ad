"""Signatures of versions and prepared models: OpenSSF model signing with a key of one's own.

`HEADSTART_SIGNING_KEY` names the private key that signs what is stored, `HEADSTART_VERIFYING_KEY` the public key that
everything read from a store must be signed with; each is a PEM file or the PEM text itself. Where a verifying key is
set, what is unsigned or signed by somebody else is not loaded, compared with, put into use or handed to a server.
The signature is the file `model.sig` (a Sigstore bundle with an in-toto statement, which `model_signing verify key`
reads too). It covers every other file of the folder, so a digest cannot be changed together with its file. The files of
a store that change carry a signature of their own, see `headstart.components.promotion.sealed`.
"""

from __future__ import annotations

import base64
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from headstart.components.errors import HeadstartError, SettingError
from headstart.components.promotion.integrity import RESERVED, SIGNATURE
from headstart.components.regular_files import LARGEST_TEXT, read_regular

SIGNING_KEY = "HEADSTART_SIGNING_KEY"
VERIFYING_KEY = "HEADSTART_VERIFYING_KEY"
PASSWORD = "HEADSTART_SIGNING_PASSWORD"
_BEGIN = "-----BEGIN"


def signs() -> bool:
    """Say whether what is stored is signed."""
    return bool(os.environ.get(SIGNING_KEY))


def verifies() -> bool:
    """Say whether what is read must be signed."""
    return bool(os.environ.get(VERIFYING_KEY))


def check_keys() -> None:
    """Raise SettingError where a key is configured and cannot be used, before anything is trained."""
    for variable in (SIGNING_KEY, VERIFYING_KEY):
        if os.environ.get(variable):
            _loaded(variable)


def _loaded(variable: str) -> Any:
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

    with _key(variable) as path:
        content = read_regular(path, LARGEST_TEXT)
    password = os.environ.get(PASSWORD)
    try:
        if variable == SIGNING_KEY:
            key: object = load_pem_private_key(content, password.encode() if password else None)
        else:
            key = load_pem_public_key(content)
    except (ValueError, TypeError) as error:
        expected = "a private key; if it is encrypted, its password in " + PASSWORD
        raise SettingError(
            f"{variable}: cannot be read as a PEM key: {type(error).__name__}.",
            f"Expected {expected if variable == SIGNING_KEY else 'the public key'}.",
        ) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey | ec.EllipticCurvePublicKey):
        raise SettingError(
            f"{variable}: expected an elliptic-curve key.", "`openssl ecparam -genkey -name prime256v1` makes one."
        )
    return key


def sign(folder: Path) -> None:
    """Write the signature of every file in `folder`, where a signing key is configured."""
    if not signs():
        return
    from model_signing import signing

    (folder / SIGNATURE).unlink(missing_ok=True)
    with _key(SIGNING_KEY) as key:
        config: Any = signing.Config()  # type: ignore[no-untyped-call]
        config.use_elliptic_key_signer(private_key=key, password=os.environ.get(PASSWORD) or None)
        config.set_hashing_config(_all_but([folder / SIGNATURE]))
        config.sign(folder, folder / SIGNATURE)


def verify(folder: Path, where: str) -> None:
    """Raise HeadstartError unless `folder` is signed with the configured key; without one nothing is asked.

    `where` names the folder in messages.
    """
    if not verifies():
        return
    if not (folder / SIGNATURE).is_file():
        raise HeadstartError(f"{where}: is not signed, and {VERIFYING_KEY} asks for a signature.")
    from model_signing import verifying

    with _key(VERIFYING_KEY) as key:
        config: Any = verifying.Config()  # type: ignore[no-untyped-call]
        config.use_elliptic_key_verifier(public_key=key)
        config.set_hashing_config(_all_but([folder / SIGNATURE, folder / RESERVED]))
        try:
            config.verify(folder, folder / SIGNATURE)
        except Exception as error:  # a signature that an intruder wrote makes it raise nearly anything
            text = " ".join(str(error).split())[:300] or type(error).__name__
            raise HeadstartError(
                f"{where}: its signature does not hold: {text}.",
                "Somebody changed it, or signed it with another key. Put an earlier version into use, or retrain.",
            ) from error


def sign_bytes(message: bytes) -> bytes:
    """Return the signature of a message with the configured signing key: ECDSA with SHA-256."""
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec

    check_keys()
    signature: bytes = _loaded(SIGNING_KEY).sign(message, ec.ECDSA(hashes.SHA256()))
    return signature


def signed_bytes(message: bytes, signature: str) -> bool:
    """Say whether `signature` (base64) is that of a message by the configured verifying key."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec

    check_keys()
    try:
        _loaded(VERIFYING_KEY).verify(base64.b64decode(signature, validate=True), message, ec.ECDSA(hashes.SHA256()))
    except (InvalidSignature, ValueError):
        return False
    return True


def _all_but(paths: list[Path]) -> Any:
    from model_signing import hashing

    config: Any = hashing.Config()  # type: ignore[no-untyped-call]
    return config.set_ignored_paths(paths=paths, ignore_git_paths=False)


@contextmanager
def _key(variable: str) -> Iterator[Path]:
    """Yield the file of a key; one that is given as text is in a file of our own meanwhile, readable by us alone."""
    value = os.environ[variable]
    begin = value.find(_BEGIN)
    if begin < 0:
        try:
            path = Path(value).expanduser()
            found = path.is_file()
        except (OSError, ValueError, RuntimeError):  # too long for a name, as a key without its first line is
            found = False
        if not found:
            # What has no ending such as .pem may be the key itself, which no message may show.
            shown = f": {value}" if "." in value and "\n" not in value else ""
            raise SettingError(
                f"{variable}: there is no such file{shown}.",
                f"Name a PEM file, or give its text, which begins with {_BEGIN}.",
            )
        yield path
        return
    folder = Path(tempfile.mkdtemp(prefix="headstart-key-"))
    try:
        (folder / "key.pem").touch(mode=0o600)
        (folder / "key.pem").write_text(value[begin:].strip() + "\n", encoding="ascii")
        yield folder / "key.pem"
    finally:
        shutil.rmtree(folder, ignore_errors=True)

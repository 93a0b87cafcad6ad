"""URIs that carry a password or a signature: kept out of everything that is shown, logged, recorded or compiled.

Where such a URI enters on the command line, `conceal` replaces it by one without its secret and puts the whole into
the environment variable HEADSTART_URIS, which the processes of a local run inherit; what opens a URI calls `reveal`.
"""

from __future__ import annotations

import json
import os
import re
from urllib.parse import SplitResult, parse_qsl, urlsplit, urlunsplit

from headstart.components.errors import SettingError

VARIABLE = "HEADSTART_URIS"
_MARK = "given"
_USER = re.compile(r"(?i)\b([a-z][a-z0-9+.-]*://)[^/?#\s@'\"]*@")
_QUERY = re.compile(r"(?i)\b([a-z][a-z0-9+.-]*://[^?\s'\"]*)\?[^#\s'\"]*")
_TELLING = re.compile(r"(?i)sig|token|secret|password|credential|key|auth")


def _split(uri: str) -> SplitResult:
    try:
        return urlsplit(uri)
    except ValueError as error:
        shown = _USER.sub(r"\1***@", uri)[:200]
        raise SettingError(f"{shown}: is not a URI: {error}.") from error


def without_credentials(uri: str) -> str:
    """Return `uri` without user, password, query and fragment, which may hold a signature."""
    if "://" not in uri:
        return uri
    parts = _split(uri)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def has_credentials(uri: str) -> bool:
    """Say whether `uri` has a user or password in it, or a query parameter whose name tells of a secret."""
    if "://" not in uri:
        return False
    parts = _split(uri)
    return "@" in parts.netloc or any(_TELLING.search(name) for name, _ in parse_qsl(parts.query, True))


def conceal(uri: str, role: str) -> str:
    """Return what stands for `uri` from now on; `reveal` gives it back, in this process and those it starts.

    A URI without user, password and query stands for itself. `role` tells the URIs of one command apart.
    """
    if "://" not in uri:
        return uri
    parts = _split(uri)
    if "@" not in parts.netloc and not parts.query:
        return uri
    mark = f"{_MARK}={role}"
    fragment = f"{parts.fragment}&{mark}" if parts.fragment else mark
    shown = urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", fragment))
    os.environ[VARIABLE] = json.dumps({**_known(), shown: uri})
    return shown


def reveal(uri: str) -> str:
    """Return the URI that `uri` stands for; SettingError where it is not known here."""
    known = _known()
    if uri in known:
        return known[uri]
    if "://" in uri and f"{_MARK}=" in _split(uri).fragment:
        raise SettingError(f"{uri}: its user, password or query is not known here.", "Give the whole URI again.")
    return uri


def masked(text: str) -> str:
    """Return `text` without the user, password and query of any URI in it, and without any secret that is known."""
    for uri in _known().values():
        parts = _split(uri)
        secrets = [parts.netloc.rpartition("@")[0], parts.query, parts.password or ""]
        for secret in filter(None, secrets):
            text = text.replace(secret, "***")
    return _QUERY.sub(r"\1?***", _USER.sub(r"\1***@", text))


def _known() -> dict[str, str]:
    try:
        known = json.loads(os.environ.get(VARIABLE, "{}"))
    except ValueError:
        return {}
    return {str(shown): str(uri) for shown, uri in known.items()} if isinstance(known, dict) else {}

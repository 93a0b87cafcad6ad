"""URIs that carry a password or a signature: kept out of everything that is shown, logged, recorded or compiled.

Where such a URI enters on the command line, `conceal` replaces it by one without its secret and puts the whole into
the environment variable HEADSTART_URIS, which the processes of a local run inherit; what opens a URI calls `reveal`.
`masked` takes secrets out of any text: those that are known here exactly, those of other addresses by their form.
"""

from __future__ import annotations

import json
import os
import re
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlsplit, urlunsplit

from headstart.components.errors import SettingError

VARIABLE = "HEADSTART_URIS"
HIDDEN = "***"
_MARK = "given"
_TELLING = re.compile(r"(?i)sig|token|secret|password|credential|key|auth")
_SCHEME = re.compile(r"(?i)\b[a-z][a-z0-9+.-]*://")
# Where an authority ends, as RFC 3986 has it.
_AUTHORITY = re.compile(r"[^/?#\s]*")
# People also write passwords with the characters that would have to be encoded in them: anything up to an @, where
# what follows the user's name and its colon is no port.
_LOOSE_USER = re.compile(r"[^\s/?#@:]*:(?!\d+(?:[/?#\s\"',;)\]]|$))[^\n\"]{1,256}@")
# A query ends at a blank, unless what comes after it is more of a query.
_QUERY = re.compile(r"\?[^#\s\"]*(?:[ \t]+[^\s#\"]*&[^\s#\"]+=[^\s#\"]*)*")
_FRAGMENT = re.compile(r"#[^\s\"]*")
# What follows a # in our own addresses is a digest, the mark of a concealed one, or the path of a page.
_OUR_FRAGMENT = re.compile(
    r"#(?:(?:sha256|sha1|md5)=[0-9a-fA-F]+|given=\w+)(?:&(?:given=\w+))?(?![\w=&])|#/[\w./-]++(?![=&?%])"
)
_CLOSING = "'`.,;:)]}>"
# A shorter secret is hidden only inside an address: elsewhere it would take ordinary words with it.
_SHORTEST = 4
_hidden: set[str] = set()


def _split(uri: str) -> SplitResult:
    try:
        return urlsplit(uri)
    except ValueError as error:
        raise SettingError(f"{masked_address(uri)[:200]}: is not a URI: {error}.") from error


def without_credentials(uri: str) -> str:
    """Return `uri` without user, password, query and fragment, which may hold a signature."""
    if "://" not in uri:
        return uri
    parts = _split(uri)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def has_credentials(uri: str) -> bool:
    """Say whether `uri` has a user or password in it, or a parameter whose name tells of a secret."""
    if "://" not in uri:
        return False
    parts = _split(uri)
    start = uri.index("://") + 3
    named = [name for text in (parts.query, parts.fragment) for name, _ in parse_qsl(text, True)]
    return "@" in parts.netloc or bool(_LOOSE_USER.match(uri, start)) or any(_TELLING.search(name) for name in named)


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


def hide(secret: str) -> None:
    """Keep a token, a cookie or a whole address out of everything that `masked` sees.

    An address is also known to the processes that this one starts.
    """
    if "://" in secret:
        if _secrets_of(secret) and secret not in _known().values():
            os.environ[VARIABLE] = json.dumps({**_known(), f"{HIDDEN}{len(_known())}": secret})
    elif len(secret) >= _SHORTEST:
        _hidden.add(secret)


def masked(text: str) -> str:
    """Return `text` without user, password, query and telling fragment of any address in it, and any known secret."""
    known = {secret for uri in _known().values() for secret in _secrets_of(uri)} | _hidden
    for secret in sorted(known, key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    if "://" not in text:
        return text
    parts: list[str] = []
    end = 0
    for found in _SCHEME.finditer(text):
        if found.start() < end:
            continue  # within what was hidden, or within the path of the address before
        shown, stop = _address(text, found.end())
        parts += [text[end : found.end()], shown]
        end = stop
    return "".join(parts) + text[end:]


def masked_address(text: str) -> str:
    """Return `text`, which ends in one address and nothing else, such as an option with its value, without secrets."""
    found = _SCHEME.search(text)
    if found is None:
        return masked(text)
    head, rest = text[: found.end()], text[found.end() :]
    before, sign, _ = rest.partition("?")
    fragment = _OUR_FRAGMENT.search(rest)
    path = before if sign else before.partition("#")[0]
    user = _LOOSE_USER.match(rest)
    if user is not None:
        path = rest[user.end() :].partition("?")[0].partition("#")[0]
    elif "@" in path.partition("/")[0]:
        path = path[path.partition("/")[0].rindex("@") + 1 :]
    secret_user = f"{HIDDEN}@" if user is not None or "@" in before.partition("/")[0] else ""
    query = f"?{HIDDEN}" if sign else ""
    hidden_fragment = fragment.group() if fragment else f"#{HIDDEN}" if "#" in before and not sign else ""
    return masked(f"{head}{secret_user}{path}{query}{hidden_fragment}")


def _address(text: str, start: int) -> tuple[str, int]:
    """Return what to show of the address whose authority begins at `start`, and where it ends in `text`."""
    authority = _AUTHORITY.match(text, start)
    assert authority is not None
    loose = _LOOSE_USER.match(text, start)
    shown, at = "", start
    if "@" in authority.group():
        at = start + authority.group().rindex("@") + 1
        shown = f"{HIDDEN}@"
    elif loose is not None and not _SCHEME.search(loose.group()):
        at, shown = loose.end(), f"{HIDDEN}@"
    path = re.compile(r"[^?#\s\"]*").match(text, at)
    assert path is not None
    shown, at = shown + path.group(), path.end()
    for pattern, sign in ((_QUERY, "?"), (_FRAGMENT, "#")):
        found = pattern.match(text, at)
        if found is None or _OUR_FRAGMENT.match(text, at):
            continue
        body = found.group()
        kept = body[len(body.rstrip(_CLOSING)) :] if len(body) > 1 else ""
        shown, at = shown + (f"{sign}{HIDDEN}{kept}" if len(body) > 1 + len(kept) else body), found.end()
    return shown, at


def _secrets_of(uri: str) -> set[str]:
    """Return the parts of an address that nobody may read, in the spellings in which they come back."""
    rest = uri.partition("://")[2]
    loose = _LOOSE_USER.match(rest)
    authority = _AUTHORITY.match(rest)
    assert authority is not None
    user = loose.group()[:-1] if loose else authority.group().rpartition("@")[0]
    query = rest.partition("?")[2].partition("#")[0]
    fragment = "" if _OUR_FRAGMENT.search(rest) else rest.partition("#")[2]
    # The name of a user is no secret where a password follows it, and a short one may be any word.
    name, colon, password = user.partition(":")
    found = [user if colon or len(name) >= 2 * _SHORTEST else "", password, query, fragment]
    for text in (query, fragment):
        pairs = [pair.partition("=") for pair in text.split("&")]
        found += [value for key, _, value in pairs if _TELLING.search(key)]
    spellings = {form for part in found for form in (part, unquote(part), quote(part, safe=""), quote(part))}
    spellings |= {form for part in spellings for form in _quoted(part)}
    return {part for part in spellings if len(part) >= _SHORTEST}


def _quoted(text: str) -> tuple[str, str, str]:
    """Return a text as Python, JSON and a shell write it within quotes."""
    return repr(text)[1:-1], json.dumps(text)[1:-1], text.replace("'", "'\"'\"'")


def _known() -> dict[str, str]:
    try:
        known = json.loads(os.environ.get(VARIABLE, "{}"))
    except ValueError:
        return {}
    return {str(shown): str(uri) for shown, uri in known.items()} if isinstance(known, dict) else {}

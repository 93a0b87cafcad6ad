"""No spelling of an address leaks its secret: a generated family of addresses against every place that text goes to."""

import itertools
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from headstart.components import credentials
from headstart.components.credentials import has_credentials, hide, masked, masked_address
from headstart.components.errors import SettingError
from headstart.components.foreign_text import printable
from headstart.components.preflight.parameters import check_parameters
from headstart.components.reporting.settings import report_settings

SCHEMES = ("https", "http", "ftp", "s3", "gs", "sftp", "postgresql", "abfss", "x-made.up+1")
SECRETS = (
    "hun'ter2Zq",
    "pa55/w0rdZq",
    "pa:55w0rdZq",
    "pa55@w0rdZq",
    "p%41ss%20Zq",
    'pa"55w0rdZq',
    "pässwörtZq",
    "50%offZq",
)
QUERY_SECRETS = ("s1gn4tureZq", "s1gn 4tureZq", "s1gn'4tureZq", "s1gn+4ture==Zq", "s1gn%2F4tureZq")


def addresses() -> list[tuple[str, str]]:
    """Address and secret, drawn from every combination of scheme, place of the secret and spelling."""
    found = []
    for scheme, secret in itertools.product(SCHEMES, SECRETS):
        found += [(f"{scheme}://{user}:{secret}@host/a/x.zip", secret) for user in ("u", "user.name", "")]
        found.append((f"{scheme}://u:{secret}@host:8443/x.zip?part=1", secret))
    for scheme, secret in itertools.product(SCHEMES, QUERY_SECRETS):
        found += [(f"{scheme}://host/x.zip?{name}={secret}", secret) for name in ("token", "X-Goog-Signature", "sig")]
        found.append((f"{scheme}://host/x.zip?a=1&token={secret}&b=2", secret))
    found += [(f"{scheme}://s3cr3t-t0kenZq@host/x", "s3cr3t-t0kenZq") for scheme in SCHEMES]
    found += [(f"{scheme}://host/x#access_token=s3cr3tZq", "s3cr3tZq") for scheme in SCHEMES]
    return found


def leaks(secret: str, text: str) -> bool:
    """Say whether `text` holds the secret or the larger part of it."""
    return secret in text or "Zq" in text


@pytest.fixture(autouse=True)
def _nothing_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(credentials.VARIABLE, raising=False)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_an_address_that_stands_alone(scheme: str) -> None:
    """As an option, a parameter, a setting: known to be one address, so no blank or quote can end it early."""
    tried = [(address, secret) for address, secret in addresses() if address.startswith(f"{scheme}://")]
    assert len(tried) > 40
    for address, secret in tried:
        for text in (address, f"--source={address}", f"data={address}"):
            shown = masked_address(text)
            assert not leaks(secret, shown), (text, shown)
            assert f"{scheme}://" in shown and "host" in shown, (text, shown)


def test_an_address_in_the_middle_of_anything() -> None:
    """Unknown addresses in foreign text. A query whose value has a blank in it ends, for a reader, at the blank."""
    for address, secret in addresses():
        if (" " in secret and "&b" not in address) or '"' in secret:
            continue
        for text in (address, f"GET {address} failed: 403", f"'{address}'", f"<{address}>, and so on", f"({address})"):
            assert not leaks(secret, printable(text)), (text, printable(text))


def test_what_the_command_line_was_given_is_known_everywhere() -> None:
    """Once hidden, a secret is gone from any text in any spelling, also without its address around it."""
    for address, secret in addresses():
        os.environ.pop(credentials.VARIABLE, None)
        hide(f"--data={address}")
        for text in (
            address, repr(address), json.dumps({"uri": address}), shlex.join(["x", address]), f"no password {secret}!",
            f"HTTPError: {secret} for url",
        ):  # fmt: skip
            assert not leaks(secret, printable(text)), (text, printable(text))


def test_harmless_text_stays() -> None:
    for text in (
        "https://host:8443/a/b.zip", "see https://host/x, and mail me@example.org", "gs://bucket/photos/a@b.png",
        f"https://host/x.zip#sha256={'0' * 64}", "http://localhost:8080", "file:///a%20b", "demo:source", "a://b://c",
        "https://host/x#given=source", '{"a": "https://host", "b": "me@example.org"}', "docker://host/image@sha256:00",
    ):  # fmt: skip
        assert masked(text) == text


def test_machine_readable_text_stays_so() -> None:
    text = json.dumps({"source": "https://u:pw@host/x?token=abc", "next": "me@example.org", "n": [1, 2]})
    shown = json.loads(masked(text))
    assert shown == {"source": "https://***@host/x?***", "next": "me@example.org", "n": [1, 2]}


def test_a_run_is_not_told() -> None:
    for address, secret in addresses():
        if not has_credentials(address):
            continue
        with pytest.raises(SettingError) as caught:
            check_parameters({"source_data": address})
        assert not leaks(secret, str(caught.value)), caught.value


@pytest.mark.parametrize(
    "arguments",
    [
        ("run", "--source={}", "--output", "out"),
        ("run", "--source={}", "--output", "out", "--no-such-option={}"),
        ("data", "folder", "{}", "--output", "out"),
        ("retrain", "--store", "{}", "--data", "demo:intermediate"),
        ("models", "list", "--store", "{}"),
        ("--verbose", "models", "list", "--store", "{}"),
        ("predict", "--model", "{}", "x.png"),
        ("report", "{}", "--output", "out"),
        ("submit", "experiment", "-p", "source_data={}", "--host", "http://127.0.0.1:9"),
        ("submit", "experiment", "--host", "{}"),
        ("compile", "experiment", "--image", "{}"),
        ("no-such-command", "{}"),
    ],
)
def test_no_command_prints_or_writes_it(arguments: tuple[str, ...], tmp_path: Path) -> None:
    for address, secret in (
        ("ftp://user:hun'ter2Zq@127.0.0.1:9/x.zip", "hun'ter2Zq"),
        ("s3://k3y:pa55/w0rdZq@bucket", "pa55/w0rdZq"),
        ("https://127.0.0.1:9/x.zip?token=s1gn 4tureZq", "s1gn 4tureZq"),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "headstart", *(argument.format(address) for argument in arguments)],
            check=False, capture_output=True, text=True, cwd=tmp_path, timeout=300,
        )  # fmt: skip
        assert done.returncode != 0
        said = done.stdout + done.stderr
        assert not leaks(secret, said), said
        for file in tmp_path.rglob("*"):
            assert not file.is_file() or secret.encode() not in file.read_bytes(), file


def test_the_command_in_the_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the report prints to repeat a run is put together from arguments, each hidden by itself."""
    shown = shlex.join(map(masked_address, ["run", "--source=https://h/x?token=s1gn 4tureZq", "--seed", "1"]))
    assert shown == "run '--source=https://h/x?***' --seed 1"
    assert not re.search("Zq", str(report_settings({"command": shown})))

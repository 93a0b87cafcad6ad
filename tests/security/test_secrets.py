"""A secret that comes in is in nothing that comes out: logs, records, reports, requests, packages, messages."""

from __future__ import annotations

import base64
import http.server
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from headstart.components.credentials import conceal, masked, reveal, without_credentials
from headstart.components.errors import HeadstartError, SettingError
from headstart.components.preflight.checks import check_readable
from headstart.components.preflight.parameters import check_parameters

PASSWORD, TOKEN, ENVIRONMENT = "pa55-w0rd-Zq9", "s1gn4ture-Xk7", "env1ronment-Lm3"
ARCHIVE = {f"{split}/{name}/{number}.png" for split in ("train", "test") for name in ("a", "b") for number in range(3)}


def _png(shade: int) -> bytes:
    import io

    from PIL import Image

    buffer = io.BytesIO()
    Image.new("RGB", (52, 52), (shade, 255 - shade, 90)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def website() -> Iterator[str]:
    """An address that gives an archive of images to whoever knows the password and the token, and to no one else."""
    import io
    import zipfile

    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as packed:
        for number, name in enumerate(sorted(ARCHIVE)):
            packed.writestr(name, _png(number * 15))
    wanted = "Basic " + base64.b64encode(f"user:{PASSWORD}".encode()).decode()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known = self.headers.get("Authorization") == wanted and f"token={TOKEN}" in self.path
            self.send_response(200 if known else 403)
            self.send_header("Content-Length", str(len(buffer.getvalue()) if known else 0))
            self.end_headers()
            if known:
                self.wfile.write(buffer.getvalue())

        do_HEAD = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None:
            return None

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def files_with(folder: Path, *secrets: str) -> list[str]:
    return [
        f"{path.relative_to(folder)}: {secret}"
        for path in folder.rglob("*")
        if path.is_file() and not path.is_symlink()
        for secret in secrets
        if secret.encode() in path.read_bytes()
    ]


@pytest.mark.slow
def test_nothing_that_a_run_writes_holds_what_it_was_given(website: str, tmp_path: Path) -> None:
    """The images are fetched with password and token, so both were used; the run then fails, which also writes logs."""
    output = tmp_path / "out"
    command = [
        sys.executable,
        "-m",
        "headstart.pipelines.cli",
        "run",
        "--runs",
        "1",
        "--output",
        str(output),
        "--keep-work",
    ]
    command += [f"--source=http://user:{PASSWORD}@{website}/images.zip?token={TOKEN}&expires=9"]
    command += [
        "--data-setting",
        "images_per_class=4",
        "--images-per-class",
        "4",
        "--set",
        "epochs=100000",
        "--set",
        "no_epochs=1",
    ]
    # A wrong setting first: its message and what it leaves.
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 2
    assert PASSWORD not in done.stderr
    running = subprocess.Popen(
        command[:-2], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env={**os.environ, "SECRET_OF_THE_ENVIRONMENT": ENVIRONMENT},
    )  # fmt: skip
    assert running.stdout is not None
    said = ""
    for line in running.stdout:
        said += line
        if line.startswith("Import source set"):
            assert "FAILED" not in line, said
            break
    running.terminate()
    said += running.communicate(timeout=120)[0]
    assert running.returncode == 130, said
    sources = [json.loads(path.read_text())["source"] for path in output.rglob("dataset.json")]
    assert f"http://{website}/images.zip" in sources
    assert not [secret for secret in (PASSWORD, TOKEN, ENVIRONMENT) if secret in said]
    assert files_with(output, PASSWORD, TOKEN, ENVIRONMENT) == []
    # The request that a second start compares with is the same for a URL that was signed again.
    assert "images.zip#given=source" in (output / "run.json").read_text()


@pytest.mark.parametrize("where", ["images.zip", "nothing.zip"])
def test_no_message_of_an_import_names_it(where: str, website: str, tmp_path: Path) -> None:
    for user in (f"user:{PASSWORD}x@", ""):
        done = subprocess.run(
            [sys.executable, "-m", "headstart", "data", "folder",
             f"http://{user}{website}/{where}?token={TOKEN}x", "--output", str(tmp_path / "data")],
            check=False, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 1, done.stderr
        assert "403" in done.stderr
        assert not [secret for secret in (PASSWORD, TOKEN) if secret in done.stderr + done.stdout]


def test_a_connection_that_fails_does_not_print_its_address(tmp_path: Path) -> None:
    """The HTTP library's own errors name the whole URL; they are in no message and in no traceback."""
    program = f"""
from headstart.components.datasets import downloads
downloads._ATTEMPTS = 1
from pathlib import Path
downloads.fetch("https://user:{PASSWORD}@127.0.0.1:9/x.zip?token={TOKEN}", Path({str(tmp_path)!r}))
"""
    done = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True)
    assert "Traceback" in done.stderr
    assert "127.0.0.1:9/x.zip" in done.stderr
    assert PASSWORD not in done.stderr.replace(program, "")
    assert TOKEN not in done.stderr


def test_preflight_says_what_it_looked_at_without_it(website: str) -> None:
    for uri in (
        f"http://user:{PASSWORD}@{website}/images.zip?token={TOKEN}",
        f"http://user:{PASSWORD}x@{website}/images.zip?token={TOKEN}",
        f"http://user:{PASSWORD}@127.0.0.1:9/images.zip?token={TOKEN}",
    ):
        text = str(check_readable(uri))
        assert "images.zip" in text
        assert PASSWORD not in text
        assert TOKEN not in text


@pytest.mark.parametrize("name", ["source_data", "intermediate_data", "target_data", "data"])
@pytest.mark.parametrize(
    "uri", [f"https://user:{PASSWORD}@host/x.zip", f"https://host/x.zip?X-Goog-Signature={TOKEN}&X-Goog-Date=1"]
)
def test_a_cluster_is_not_told(name: str, uri: str) -> None:
    with pytest.raises(SettingError, match=name) as caught:
        check_parameters({name: uri})
    assert PASSWORD not in str(caught.value)
    assert TOKEN not in str(caught.value)
    check_parameters({name: "https://host/x.zip?download=1"})


def test_what_stands_for_a_uri(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HEADSTART_URIS", raising=False)
    uri = f"https://user:{PASSWORD}@host:8443/a/b.zip?token={TOKEN}#sha256={'0' * 64}"
    shown = conceal(uri, "source")
    assert shown == f"https://host:8443/a/b.zip#sha256={'0' * 64}&given=source"
    assert reveal(shown) == uri
    assert without_credentials(shown) == without_credentials(uri) == "https://host:8443/a/b.zip"
    other = conceal(f"https://host:8443/a/b.zip?token={TOKEN}2#sha256={'0' * 64}", "target")
    assert reveal(shown) == uri
    assert reveal(other).endswith(f"{TOKEN}2#sha256={'0' * 64}")
    for plain in ("demo:source", "/a b/c", "gs://bucket/x", "https://host/x.zip", "", "https://host/x.zip#sha256=00"):
        assert conceal(plain, "source") == reveal(plain) == plain
    monkeypatch.delenv("HEADSTART_URIS")
    with pytest.raises(SettingError, match="not known here"):
        reveal(shown)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"--source=https://u:{PASSWORD}@host/x?a={TOKEN} --runs 1", "--source=https://***@host/x?*** --runs 1"),
        (f"'https://{PASSWORD}@host' and ftp://a:b@c", "'https://***@host' and ftp://***@c"),
        ("nobody@example.org asked why?", "nobody@example.org asked why?"),
        ("https://host/x", "https://host/x"),
    ],
)
def test_masked(text: str, expected: str) -> None:
    assert masked(text) == expected


def test_a_compiled_package_holds_nothing_of_the_environment(tmp_path: Path) -> None:
    for name in ("experiment", "retraining"):
        done = subprocess.run(
            [sys.executable, "-m", "headstart", "compile", name, "--output", str(tmp_path / f"{name}.yaml")],
            check=False, capture_output=True, text=True,
            env={**os.environ, "KF_PIPELINES_TOKEN": TOKEN, "GOOGLE_APPLICATION_CREDENTIALS": f"/{PASSWORD}",
                 "SECRET": ENVIRONMENT},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    assert files_with(tmp_path, TOKEN, PASSWORD, ENVIRONMENT) == []


def test_an_api_that_refuses_is_named_without_the_token(website: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "headstart", "--verbose", "submit", "experiment", "--host", f"http://{website}"],
        check=False, capture_output=True, text=True,
        env={**os.environ, "KF_PIPELINES_TOKEN": TOKEN, "KF_PIPELINES_COOKIE": PASSWORD},
    )  # fmt: skip
    assert done.returncode not in (0, 2)
    assert "403" in done.stderr
    assert not [secret for secret in (PASSWORD, TOKEN) if secret in done.stderr + done.stdout]


def test_errors_do_not_carry_them() -> None:
    with pytest.raises(HeadstartError) as caught:
        without_credentials(f"https://u:{PASSWORD}@[::1/x")
    assert PASSWORD not in str(caught.value)

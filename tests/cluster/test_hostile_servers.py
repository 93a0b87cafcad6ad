"""Servers that are not what we take them for: other shapes, endless answers, names that lead elsewhere."""

import gzip
import json
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from answering import Answer, AnsweringServer, Asked
from click.testing import Result
from pipelines_api import API, RUN_ID, PipelinesApi, task_nodes, workflow

from headstart.components import storage
from headstart.components.errors import HeadstartError, SettingError
from headstart.pipelines import options
from headstart.pipelines.packages import Package, read_package
from headstart.pipelines.placement_options import read_placement
from headstart.pipelines.schedules import list_schedules
from headstart.pipelines.submission import connection, runs
from headstart.pipelines.submission.answers import Health, Manifest, has_shape
from headstart.pipelines.submission.following import package_of, summarise_tasks, tasks_of_workflow
from headstart.pipelines.submission.results import download_results
from headstart.pipelines.submission.workflow import Workflow, fetch_workflow

Command = Callable[..., Result]


def random_json(draw: random.Random, depth: int = 0) -> Any:
    """Return JSON of any shape, often one that comes close to a real answer."""
    keys = (
        "runs", "run_id", "state", "state_history", "error", "run_details", "task_details", "experiments",
        "experiment_id", "recurringRuns", "recurring_run_id", "pipeline_spec", "trigger", "cron_schedule", "message",
        "pipeline_runtime", "workflow_manifest", "next_page_token", "tag_name", "apiServerReady", "root", "dag", "x",
    )  # fmt: skip
    kind = draw.randrange(9 if depth < 4 else 6)
    plain: list[Any] = [None, True, draw.randrange(-9, 10**9), draw.random(), "", "SUCCEEDED", '{"status": []}', "{}"]
    if kind < 5:
        return draw.choice(plain)
    if kind < 6:
        return [random_json(draw, depth + 1) for _ in range(draw.randrange(3))] if depth < 4 else []
    chosen = draw.sample(keys, draw.randrange(5))
    return {key: random_json(draw, depth + 1) for key in chosen}


@pytest.mark.parametrize("seed", range(2))
def test_answers_of_any_shape_are_said_to_be_no_api(seed: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whatever JSON comes from whichever path: a result of the right type or an error of ours, nothing else."""
    monkeypatch.setattr(connection.Connection, "pause", lambda *_: None)
    draw = random.Random(seed)
    with AnsweringServer(lambda _: Answer(random_json(draw))) as server:
        asked = connection.connect(server.host)
        calls: list[Callable[[], Any]] = [
            lambda: runs.ask_server(asked),
            lambda: runs.find_or_create_experiment(asked, "x"),
            lambda: summarise_tasks(runs.get_run(asked, RUN_ID), None),
            lambda: runs.state_of(runs.get_run(asked, RUN_ID)) + runs.error_of(runs.get_run(asked, RUN_ID)),
            lambda: package_of(runs.get_run(asked, RUN_ID)),
            lambda: fetch_workflow(asked, RUN_ID),
            lambda: list_schedules(asked),
            lambda: runs.terminate_run(asked, RUN_ID),
        ]
        outcomes = {"answer": 0, "no api": 0}
        for number in range(160):
            try:
                calls[number % len(calls)]()
                outcomes["answer"] += 1
            except HeadstartError as error:
                assert isinstance(error, runs.LostConnectionError | connection.ServiceError), error
                outcomes["no api"] += 1
        assert min(outcomes.values()) > 8


def test_manifests_of_any_shape_are_read_or_left(package: Package) -> None:
    draw = random.Random(3)
    names = (
        "nodes",
        "metadata",
        "status",
        "id",
        "type",
        "phase",
        "children",
        "inputs",
        "parameters",
        "message",
        "name",
    )

    def any_of(depth: int = 0) -> Any:
        if depth > 4 or draw.random() < 0.3:
            return draw.choice([None, 1, "Pod", "Retry", [], {}, ["a"], True])
        return {name: any_of(depth + 1) for name in draw.sample(names, draw.randrange(5))}

    whole = workflow(task_nodes("report", ["html"]))
    for _ in range(200):
        manifest = json.loads(json.dumps(whole))
        place = manifest
        for _ in range(draw.randrange(1, 5)):
            inner = [key for key, value in place.items() if isinstance(value, dict) and value]
            if not inner:
                break
            place = place[draw.choice(inner)]
        place[draw.choice([*place, "nodes"])] = any_of()
        if has_shape(manifest, Manifest):
            found = Workflow(manifest)
            tasks_of_workflow(found, package)
            found.failed_pods()
            found.artifacts()


@pytest.mark.parametrize("body", ["[]", "null", "3", '"x"', '{"runs": 3}', "[" * 200_000, "{", "<html>Welcome</html>"])
def test_while_a_run_goes_on_it_is_status_5(
    body: str, command: Command, api: PipelinesApi, package: Package, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy's page in between is waited out like silence; if it stays, the run is said to go on."""
    monkeypatch.setattr("headstart.pipelines.submission.following.PATIENCE_SECONDS", 0.05)
    stays = True
    left = 3

    def handle(asked: Asked) -> Answer | None:
        nonlocal left
        if asked.path == f"{API}/runs/{RUN_ID}":
            left -= 1
            if stays or left > 0:
                return Answer(body.encode(), 200, {"Content-Type": "application/json"})
        return api.handle(asked)

    with AnsweringServer(handle) as server:
        result = command("submit", str(package.path), "--host", server.host)
        assert result.exit_code == 5, result.output
        assert f"--attach {RUN_ID}" in str(result.exception)
        stays = False
        monkeypatch.setattr("headstart.pipelines.submission.following.PATIENCE_SECONDS", 600)
        assert command("submit", str(package.path), "--host", server.host).exit_code == 0


def test_names_of_a_server_are_no_paths(
    command: Command, api: PipelinesApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "read_bytes", lambda *_: b"x")
    names = ["../../escaped/x", "/tmp/headstart-escaped", "..", ".hidden", "a\\b", "x" * 300, "C:evil", "nul\x00l"]
    for name in names:
        found = Workflow(workflow(task_nodes(name, ["html", "summary"])))
        out = tmp_path / "deep" / "in" / "out"
        before = set(tmp_path.rglob("*"))
        asked = connection.Connection(api.server.host)
        download = download_results(asked, found, out)
        for file in download.files:
            assert file.resolve().parent == out.resolve()
        for path in set(tmp_path.rglob("*")) - before:
            assert out in path.parents or path == out or path in out.parents
    assert not Path("/tmp/headstart-escaped.html").exists()


def test_artifacts_are_written_under_our_names(
    api: PipelinesApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "read_bytes", lambda *_: b"<html>")
    nodes = task_nodes("../../x", ["html"], root="gs://bucket/root")
    found = Workflow(workflow(nodes))
    [artifact] = found.artifacts()
    out = tmp_path / "a" / "b"
    download = download_results(connection.Connection(api.server.host), found, out)
    assert [file.parent for file in download.files] == [out], artifact
    assert not list(tmp_path.glob("*.html"))


def test_results_replace_nothing_but_earlier_results(
    api: PipelinesApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = Workflow(workflow(task_nodes("verify", ["html", "summary"], root="gs://bucket/root")))
    (tmp_path / "verify.html").write_text("mine")

    def bring(content: bytes) -> tuple[set[str], list[str]]:
        monkeypatch.setattr(storage, "read_bytes", lambda *_: content)
        download = download_results(connection.Connection(api.server.host), found, tmp_path)
        return {file.name for file in download.files}, [reason for _, reason in download.missing]

    for content in (b"one", b"two"):  # the second replaces what the first brought
        files, reasons = bring(content)
        assert files == {"summary.json", "runs.csv"}
        assert "verify.html is there and was not brought by Headstart" in reasons[0]
        assert (tmp_path / "summary.json").read_bytes() == content
    (tmp_path / "summary.json").write_text("edited since")
    assert bring(b"three")[0] == {"runs.csv"}
    assert (tmp_path / "summary.json").read_text() == "edited since"
    assert (tmp_path / "verify.html").read_text() == "mine"


@pytest.mark.parametrize("host", ["http://kubeflow.example", "http://10.0.0.1:8080", "http://[2001:db8::1]/pipeline"])
def test_a_token_does_not_cross_a_network_in_the_clear(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (options.TOKEN_VARIABLE, options.COOKIE_VARIABLE, "KUBERNETES_SERVICE_HOST"):
        monkeypatch.delenv(name, raising=False)
    for given in ({"token": "secret-token"}, {"cookie": "secret-cookie"}):
        with pytest.raises(HeadstartError, match="unencrypted") as caught:
            connection.connect(host, **given)  # type: ignore[arg-type]
        assert "secret" not in str(caught.value)
        assert connection.connect(host.replace("http://", "https://"), **given)  # type: ignore[arg-type]
    assert connection.connect(host)
    for local in ("localhost:8080", "http://127.0.0.1:8080", "http://[::1]:80"):
        assert connection.connect(local, token="secret-token")


@pytest.mark.parametrize(
    ("shown", "meant"),
    [
        ("https://kf.example/pipeline/?ns=me#/runs", "https://kf.example/pipeline"),
        ("https://kf.example/pipeline/#/runs/details/abc", "https://kf.example/pipeline"),
        ("https://kf.example/_/pipeline/?ns=me#/runs", "https://kf.example/pipeline"),
        ("http://localhost:8080/#/experiments", "http://localhost:8080"),
        ("localhost:8080/?x=1", "http://localhost:8080"),
        ("kf.example/pipeline/", "https://kf.example/pipeline"),
        ("https://abc-dot-us.pipelines.googleusercontent.com/#/start", "https://abc-dot-us.pipelines.googleusercontent.com"),
    ],
)  # fmt: skip
def test_the_address_bar_names_the_server(shown: str, meant: str) -> None:
    assert connection.normalised(shown) == meant


@pytest.mark.parametrize(
    "host", ["http://", "https://a b", "https://h:99999", "https://[::1", "ftp://h", "http://u:pw@h"]
)
def test_what_is_no_address_is_said(host: str) -> None:
    with pytest.raises(SettingError, match="--host") as caught:
        connection.normalised(host)
    assert "pw" not in str(caught.value)


def test_answers_are_bounded_while_they_unpack(monkeypatch: pytest.MonkeyPatch) -> None:
    import resource

    monkeypatch.setattr(connection, "LARGEST_ANSWER", 2**20)
    bomb = gzip.compress(b"[" + b" " * (1 << 28) + b"]", 9)
    assert len(bomb) < 2**20
    with AnsweringServer(lambda _: Answer(bomb, 200, {"Content-Encoding": "gzip"})) as server:
        asked = connection.Connection(server.host)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with pytest.raises(connection.ServiceError, match="is larger than"):
            asked.get_bytes("/artifacts/x", largest=2**20)
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        assert grown < 64 * 1024, f"{grown} KiB"
        log = asked.get_bytes("/log", largest=1000, tail=True)
        assert log == b" " * 999 + b"]"
    with AnsweringServer(
        lambda _: Answer(gzip.compress(b'{"multi_user": true}'), 200, {"Content-Encoding": "gzip"})
    ) as server:
        assert connection.Connection(server.host).get("/", Health) == {"multi_user": True}
    unknown = Answer(b"{}", 200, {"Content-Encoding": "br"})
    with (
        AnsweringServer(lambda _: unknown) as server,
        pytest.raises(connection.ServiceError, match="not asked for"),
    ):
        connection.Connection(server.host).get("/", Health)


@contextmanager
def dripping(headers: bytes) -> Iterator[str]:
    """A server that sends `headers` and from then on a byte now and then, without end."""
    listening = socket.create_server(("127.0.0.1", 0))
    over = threading.Event()

    def drip(each: socket.socket) -> None:
        try:
            each.recv(65536)
            each.sendall(headers)
            while not over.wait(0.05):
                each.sendall(b" ")
        except OSError:
            pass

    def serve() -> None:
        while not over.is_set():
            try:
                each, _ = listening.accept()
            except OSError:
                return
            threading.Thread(target=drip, args=(each,), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    over.set()
    listening.close()


ENDLESS = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"


@pytest.mark.parametrize("headers", [b"", b"HTTP/1.1 200 OK\r\nX: ", ENDLESS])
def test_dripping_answers_end_with_the_timeout(headers: bytes, command: Command) -> None:
    with dripping(headers) as host:
        result = command("submit", "--attach", RUN_ID, "--host", host, "--timeout", "0.02")
    assert result.exit_code == 4, result.output
    assert "it goes on" in str(result.exception)


def test_a_dripping_answer_is_given_up_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "ANSWER_SECONDS", 0.3)
    monkeypatch.setattr(connection.Connection, "pause", lambda *_: time.sleep(0))
    with dripping(ENDLESS) as host, pytest.raises(connection.LostConnectionError, match="does not come to an end"):
        connection.Connection(host).get("/", Health)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n", "aliases"),
        ("training: " + "{a: " * 5000 + "1" + "}" * 5000, "nests deeper"),
        ("a: " + "[" * 5000, "nests deeper"),
        ("# " + "x" * 300_000, "more than 262,144 bytes"),
        ("a: 1\n---\nb: 2\n", "one mapping"),
        ("- 1\n", "one mapping"),
        ("a: \x00", "cannot be read as YAML"),
        ("a: 9" + "9" * 5000, "cannot be read as YAML"),
    ],
)
def test_placement_files_are_bounded(text: str, word: str, tmp_path: Path) -> None:
    file = tmp_path / "placement.yaml"
    file.write_text(text)
    with pytest.raises(SettingError, match=word) as caught:
        read_placement(file)
    assert str(file) in str(caught.value)
    with pytest.raises(HeadstartError):
        read_package(file)


@pytest.mark.parametrize(
    ("image", "word"),
    [
        ("Reg/Headstart:1", "lower case"),
        ("registry.example/Team/headstart:1", "lower case"),
        ("https://registry.example/headstart:1", "has a scheme"),
        ("registry.example//headstart:1", "no registry takes"),
        ("-x/headstart:1", "no registry takes"),
        ("a..b/c:1", "no registry takes|no host"),
        ("headstart:1 ", "is not an image"),
    ],
)
def test_images_that_no_node_can_pull_are_refused(image: str, word: str) -> None:
    with pytest.raises(SettingError, match=word):
        read_placement(image=image)


@pytest.mark.parametrize(
    "image",
    ["headstart:0.1.0", "registry.example/headstart:1", "localhost:5000/a/b_c/d-e.f:1.2", "me/headstart:V1",
     "EU.gcr.example/p/headstart:1",
     f"registry.example/x:1@sha256:{'0' * 64}", f"x@sha256:{'a' * 64}", "[::1]:5000/x:1"],
)  # fmt: skip
def test_images_that_can_be_pulled_are_taken(image: str) -> None:
    assert read_placement(image=image).image == image


def test_a_lost_answer_that_cannot_be_looked_up_is_not_called_nothing(
    command: Command, api: PipelinesApi, package: Package
) -> None:
    def handle(asked: Asked) -> Answer | None:
        if asked.path == f"{API}/runs":
            return Answer([])
        return api.handle(asked)

    with AnsweringServer(handle) as server:
        result = command("submit", str(package.path), "--host", server.host)
    assert result.exit_code == 5
    assert "Whether the run was submitted is not known" in str(result.exception)


def test_a_host_that_refuses_ends_with_1(command: Command, package: Package) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    result = command("submit", str(package.path), "--host", f"http://127.0.0.1:{port}")
    assert result.exit_code == 1
    assert "Nothing was submitted" in str(result.exception)
    assert command("submit", "experiment", "-p", "sees=1", "--host", f"http://127.0.0.1:{port}").exit_code == 2

"""`headstart models`: what a model store holds, and which version is in use."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from rich.table import Table

from headstart.components.console import Console, columns
from headstart.components.errors import HeadstartError, SettingError
from headstart.components.foreign_text import echo
from headstart.components.promotion import candidates, signing
from headstart.components.promotion.backends import Conflict
from headstart.components.promotion.provenance import PROVENANCE_FILE, check_origin
from headstart.components.promotion.store import ModelStore, open_store, this_user
from headstart.components.promotion.versions import rollback_target, withdrawn_versions
from headstart.pipelines.commands import model_upkeep
from headstart.pipelines.commands.model_upkeep import in_use
from headstart.pipelines.json_output import Signed, Verified, VersionChange, VersionCheck, json_option, print_json, say
from headstart.pipelines.options import store_option


def _name_skipped(skipped: list[str]) -> None:
    for text in skipped:
        echo(f"Left out: {text}", err=True)


@click.group("models")
def command() -> None:
    """List, show, approve, pin and roll back models."""


@command.command("list")
@store_option
@json_option
def list_models(store_uri: str, as_json: bool) -> None:
    """List the versions, oldest first; > marks the one in use."""
    store = open_store(store_uri)
    skipped: list[str] = []
    versions = store.versions(skipped)
    pointer, _ = store.pointer()
    withdrawn = withdrawn_versions(pointer) if pointer else set()
    known = candidates.candidates(store, skipped)
    used = {change.version for change in pointer.history} if pointer else set()
    _name_skipped(skipped)
    if gone := store.missing():
        echo(gone, err=True)
    states = {version: one.state for version, one in known.items()}
    if as_json:
        rows = [
            {
                **one.manifest.model_dump(),
                "current": one.current,
                "pinned": one.pinned,
                "candidate": states.get(one.manifest.version),
            }
            for one in versions
        ]
        click.echo(json.dumps(rows, indent=2))
        return
    if not versions:
        echo(f"{store.uri}: no version yet. `headstart retrain` makes the first.")
        return
    texts = ("made", "data", "classes", "state")
    table = columns("", "version", "accuracy", *texts, left=("", *texts), padding=(0, 3, 0, 0))
    for one in versions:
        manifest = one.manifest
        state = ["in use"] if one.current else [] if manifest.version in used else ["never in use"]
        if manifest.version in states:
            state = [{"waiting": "waits for approval", "rejected": "rejected"}[states[manifest.version]]]
        if manifest.version in withdrawn:
            state.append("rolled back")
        if one.pinned:
            state.append("pinned")
        table.add_row(
            ">" if one.current else "",
            str(manifest.version),
            "–" if manifest.accuracy is None else f"{manifest.accuracy:.4f}",
            manifest.created_at[:16].replace("T", " "),
            manifest.data_digest[:12],
            ", ".join(manifest.classes[:6]) + (f", … {len(manifest.classes)}" if len(manifest.classes) > 6 else ""),
            ", ".join(state),
            style="bold" if one.current else None,
        )
    Console().print(table)


@command.command()
@store_option
@click.argument("version", required=False, type=int)
@json_option
@click.option("--uri", "only_uri", is_flag=True, help="Print only the folder to point a model server at.")
def show(store_uri: str, version: int | None, as_json: bool, only_uri: bool) -> None:
    """Show one version and how it came to be. Without VERSION it is the one in use."""
    if only_uri and as_json:
        raise SettingError("--uri, --json: the first prints an address, the second a record.", "Give one of them.")
    store = open_store(store_uri)
    pointer, _ = store.pointer()
    number = version if version is not None else in_use(store).version
    manifest = store.manifest(number)
    if only_uri:
        if signing.verifies():
            store.check(number)
        echo(store.serving_uri(number))
        return
    if as_json:
        click.echo(json.dumps(manifest.model_dump(mode="json"), indent=2))
        return
    pins = store.pins()
    lines = {
        "version": f"{number}{'  (in use)' if pointer and pointer.version == number else ''}",
        "made": f"{manifest.created_at}  by retraining {manifest.run_id or '–'}, seed {manifest.seed}",
        "accuracy": "–" if manifest.accuracy is None else f"{manifest.accuracy:.4f}",
        "recalls": ", ".join(f"{name} {recall:.4f}" for name, recall in manifest.recalls.items()) or "–",
        "classes": ", ".join(manifest.classes),
        "image size": f"{manifest.image_size} × {manifest.image_size}",
        "data": f"{manifest.data_source or '–'}  {manifest.data_digest}",
        "images": ", ".join(f"{count} {split}" for split, count in manifest.data_counts.items()),
        "reason": manifest.reason,
        "compared with": f"version {manifest.compared_with}" if manifest.compared_with else "–",
        "pinned": (pins[number].reason or "yes") if number in pins else "no",
        "serve from": store.serving_uri(number),
    }
    table = Table.grid(padding=(0, 3, 0, 0))
    table.add_column(no_wrap=True, style="dim")
    table.add_column(overflow="fold")
    for name, value in lines.items():
        table.add_row(name, value)
    Console().print(table)
    for change in pointer.history if pointer else ():
        if change.version == number:
            why = f": {change.reason}" if change.reason and change.reason != manifest.reason else ""
            echo(f"  {change.at}  {change.action}  by {change.by or '–'}{why}")


@command.command()
@store_option
@click.option(
    "--to",
    "version",
    type=int,
    help="Version to put into use; default: the last one in use before that was not withdrawn.",
)
@click.option("--reason", default="", help="Kept in the store's history.")
@json_option
def rollback(store_uri: str, version: int | None, reason: str, as_json: bool) -> None:
    """Put an earlier version into use again. It is never one that was rolled back unless --to names it.

    The data that the version in use was trained on do not start a retraining any more, so that a schedule does not
    bring it back; new data do.
    """
    store = open_store(store_uri)
    pointer, generation = store.pointer()
    if pointer is None:
        raise HeadstartError(f"{store.uri}: no model is in use yet, so there is nothing to roll back.")
    there = {one.manifest.version for one in store.versions()}
    target = version if version is not None else rollback_target(pointer, there)
    if target is None:
        withdrawn = sorted(withdrawn_versions(pointer))
        names = ", ".join(map(str, withdrawn))
        why = f", and {f'version {names} was' if len(withdrawn) == 1 else f'versions {names} were'} withdrawn"
        raise SettingError(
            f"{store.uri}: before version {pointer.version} there is none in the store to return to"
            f"{why if withdrawn else ''}.",
            "--to names another version.",
        )
    if target == pointer.version:
        raise SettingError(f"--to {target}: that version is in use already.")
    if target in candidates.candidates(store):
        raise SettingError(
            f"--to {target}: that version was never in use; it is a candidate.",
            f"`headstart models approve {target}` puts it into use.",
        )
    store.check(target)
    why = f"version {pointer.version} rolled back to {target}{f': {reason}' if reason else ''}"
    with _alone(store, "rolled back"):
        store.switch(target, generation, "rolled back", reason, this_user(), withdraw=why)
    _say_switched(store, target, "rolled back", pointer.version, as_json)


@command.command()
@store_option
@click.argument("version", type=int)
@click.option("--reason", default="", help="Kept in the store's history.")
@json_option
def approve(store_uri: str, version: int, reason: str, as_json: bool) -> None:
    """Put the candidate VERSION into use."""
    store = open_store(store_uri)
    with _alone(store, "approved"):
        pointer = candidates.approve(store, version, reason, this_user())
    _say_switched(store, version, "approved", pointer.previous, as_json)


@command.command()
@store_option
@click.argument("version", type=int)
@click.option("--reason", required=True, help="Kept with the version.")
@json_option
def reject(store_uri: str, version: int, reason: str, as_json: bool) -> None:
    """Refuse the candidate VERSION. The data it was trained on no longer start a retraining."""
    store = open_store(store_uri)
    candidates.reject(store, version, reason, this_user())
    say(f"Version {version} is rejected.")
    if as_json:
        _print_change(version, "rejected")


@command.command()
@store_option
@click.argument("version", type=int)
@click.option("--remove", is_flag=True, help="Take the pin away.")
@click.option("--reason", default="", help="Kept with the pin.")
@json_option
def pin(store_uri: str, version: int, remove: bool, reason: str, as_json: bool) -> None:
    """Keep VERSION from being removed by retention. --remove stops keeping it."""
    store = open_store(store_uri)
    store.manifest(version)
    if remove:
        store.unpin(version)
        say(f"Version {version} is no longer pinned.")
    else:
        store.pin(version, this_user(), reason)
        say(f"Version {version} is pinned.")
    if as_json:
        _print_change(version, "unpinned" if remove else "pinned")


@command.command()
@store_option
@click.argument("version", required=False, type=int)
@json_option
def verify(store_uri: str, version: int | None, as_json: bool) -> int:
    """Check every file of VERSION, or of all. It is compared with digests, provenance and signature.

    Signatures are asked for where HEADSTART_VERIFYING_KEY names a public key. Ends with status 1 if a version is not
    what was stored.
    """
    store = open_store(store_uri)
    signing.check_keys()
    skipped: list[str] = []
    numbers = [version] if version is not None else [one.manifest.version for one in store.versions(skipped)]
    faults = [f"Damaged: {text}" for text in skipped]
    if version is None and (gone := store.missing()):
        skipped.append(gone)
        faults.append(gone)
    checks = [VersionCheck(version=None, problem=text) for text in skipped]
    for number in numbers:
        with tempfile.TemporaryDirectory(prefix="headstart-verify-") as scratch:
            try:
                folder = store.fetch(number, Path(scratch))
                problem = check_origin(folder)
            except HeadstartError as error:
                problem = str(error)
            if problem:
                faults.append(f"Version {number}: {problem}")
                checks.append(VersionCheck(version=number, problem=problem))
                continue
            signed = "signature holds" if signing.verifies() else "signature not asked for"
            known = (folder / PROVENANCE_FILE).is_file()
            origin = "provenance names this model" if known else "no provenance"
            checks.append(VersionCheck(version=number, provenance=known, signature=signing.verifies()))
            say(f"Version {number}: all files are what was stored; {origin}; {signed}.")
    for text in faults:
        echo(text, err=True)
    if as_json:
        print_json(Verified(sound=not faults, versions=checks))
    return 1 if faults else 0


@command.command()
@store_option
@click.option("--last", default=10, show_default=True, type=click.IntRange(1, 200), help="How many.")
@json_option
def history(store_uri: str, last: int, as_json: bool) -> None:
    """Show how the last retrainings ended."""
    skipped: list[str] = []
    outcomes = open_store(store_uri).outcomes(last, skipped)
    _name_skipped(skipped)
    if as_json:
        print_json(outcomes)
        return
    if not outcomes:
        echo("No retraining has ended here yet.")
        return
    table = columns("when", "how it ended", "what happened", padding=(0, 3, 0, 0))
    for outcome in outcomes:
        table.add_row(outcome.at[:16].replace("T", " "), outcome.status, outcome.title)
    Console().print(table)


@command.command()
@store_option
@json_option
def sign(store_uri: str, as_json: bool) -> None:
    """Sign what the store says now. That is the version in use, the prepared model and the uses of test images.

    For a store from before HEADSTART_SIGNING_KEY was set, or after an intruder changed or set back one of these. Look
    first at `models list`, without HEADSTART_VERIFYING_KEY.
    """
    store = open_store(store_uri)
    signing.check_keys()
    try:
        signed = store.sign()
    except Conflict:
        raise HeadstartError(
            f"{store.uri}: somebody else changed the store at this moment.", "Look at it and try again."
        ) from None
    pointer = in_use(store)
    say(f"Signed: {', '.join(signed)}. Version {pointer.version} is in use.")
    if as_json:
        print_json(Signed(signed=list(signed), version=pointer.version))


@contextmanager
def _alone(store: ModelStore, undone: str) -> Iterator[None]:
    """Say that nothing was done where another process changed the version in use at the same moment."""
    try:
        yield
    except Conflict:
        raise HeadstartError(
            f"{store.uri}: somebody else changed the model in use at this moment; nothing was {undone}.",
            "Look at `headstart models list` and try again.",
        ) from None


def _say_switched(store: ModelStore, version: int, action: Any, previous: int | None, as_json: bool) -> None:
    say(f"Version {version} is in use{f' (was {previous})' if previous else ''}.  {store.serving_uri(version)}")
    if as_json:
        _print_change(version, action, previous, store.serving_uri(version))
    if problem := store.link_problem():
        echo(problem, err=True)


def _print_change(version: int, action: Any, previous: int | None = None, serve_from: str | None = None) -> None:
    print_json(VersionChange(version=version, action=action, previous=previous, serve_from=serve_from))


for _upkeep in (model_upkeep.prune, model_upkeep.diff, model_upkeep.manifest):
    command.add_command(_upkeep)

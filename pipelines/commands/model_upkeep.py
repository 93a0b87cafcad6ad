"""`headstart models prune|diff|manifest`: what somebody who runs a store does now and then."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

import click
import yaml

from headstart.components.console import Console, columns
from headstart.components.errors import HeadstartError, SettingError
from headstart.components.foreign_text import echo
from headstart.components.promotion import retention, signing
from headstart.components.promotion.integrity import MANIFEST
from headstart.components.promotion.store import ModelStore, open_store
from headstart.components.promotion.versions import Pointer, withdrawn_versions
from headstart.components.storage import is_remote
from headstart.pipelines.json_output import Pruned, json_option, print_json, say
from headstart.pipelines.options import store_option


def in_use(store: ModelStore) -> Pointer:
    """Return what the store says of the version in use; HeadstartError where there is none."""
    pointer, _ = store.pointer()
    if pointer is None:
        raise HeadstartError(f"{store.uri}: no model is in use yet.", "`headstart retrain` makes the first.")
    return pointer


@click.command()
@store_option
@click.option("--keep", default=5, show_default=True, type=click.IntRange(min=1), help="Newest versions that stay.")
@click.option(
    "--keep-days",
    default=0.0,
    show_default=True,
    type=click.FloatRange(min=0),
    help="Versions younger than this many days stay too.",
)
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@json_option
def prune(store_uri: str, keep: int, keep_days: float, dry_run: bool, as_json: bool) -> None:
    """Remove old versions, by the same rules as after a promotion. What is in use, was before or is pinned stays."""
    store = open_store(store_uri)
    removed = retention.prune(store, keep, keep_days, dry_run=dry_run)
    names = ", ".join(map(str, removed)) or "none"
    say(f"{'Would remove' if dry_run else 'Removed'} versions: {names}.")
    if as_json:
        print_json(Pruned(dry_run=dry_run, removed=removed))


def differences(store: ModelStore, first: int, second: int) -> dict[str, dict[str, Any]]:
    """Return what differs between two versions: by name, both values."""
    old, new = store.manifest(first), store.manifest(second)
    pairs: dict[str, tuple[Any, Any]] = {
        name: (getattr(old, name), getattr(new, name))
        for name in ("accuracy", "seed", "image_size", "data_digest", "data_source", "initial_weights", "weights")
    }
    for name in sorted({*old.data_counts, *new.data_counts}):
        pairs[f"{name} images"] = old.data_counts.get(name), new.data_counts.get(name)
    pairs["classes only in one"] = (
        ", ".join(sorted(set(old.classes) - set(new.classes))),
        ", ".join(sorted(set(new.classes) - set(old.classes))),
    )
    for name in sorted({*old.recalls, *new.recalls}):
        pairs[f"recall of {name}"] = old.recalls.get(name), new.recalls.get(name)
    recipes = [_recipe(store, number) for number in (first, second)]
    for name in sorted({*recipes[0], *recipes[1]}):
        pairs[f"recipe: {name}"] = recipes[0].get(name), recipes[1].get(name)
    return {name: {str(first): a, str(second): b} for name, (a, b) in pairs.items() if a != b}


def _recipe(store: ModelStore, version: int) -> dict[str, Any]:
    data, _ = store.backend.read(f"versions/{version}/record.json")
    try:
        record = json.loads(data or b"{}")
        return {"preset": record.get("preset"), **record.get("recipe", {})}
    except (ValueError, AttributeError, TypeError):
        return {}


@click.command()
@store_option
@click.argument("first", type=int)
@click.argument("second", type=int)
@json_option
def diff(store_uri: str, first: int, second: int, as_json: bool) -> None:
    """Show what differs between two versions. Accuracies are each on the test images of the version's own data."""
    found = differences(open_store(store_uri), first, second)
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    if not found:
        echo(f"Versions {first} and {second} do not differ in what their manifests say.")
        return
    table = columns("", f"version {first}", f"version {second}", padding=(0, 3, 0, 0))
    for name, values in found.items():
        table.add_row(name, *("–" if value in (None, "") else _shown(value) for value in values.values()))
    Console().print(table)


def _shown(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, float) else str(value)


@click.command()
@store_option
@click.option("--name", metavar="NAME", default="headstart", show_default=True, help="Name of the InferenceService.")
@click.option("--namespace", "-n", default="", help="Namespace of the InferenceService.  [default: kubectl's]")
@click.option(
    "--canary", type=click.IntRange(1, 99), help="Per cent of requests for the version in use; the rest stays."
)
@json_option
def manifest(store_uri: str, name: str, namespace: str, canary: int | None, as_json: bool) -> None:
    """Print a KServe InferenceService for the version in use. `kubectl apply -f -` takes it.

    With --canary only that share of the requests goes to it, and the rest to the version that was deployed before,
    which should be the one in use before. The SHA-256 of the version's manifest, which holds those of all its files,
    is in an annotation.
    """
    if not re.fullmatch(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?", name):
        raise SettingError(f"--name {name}: expected lower-case letters, digits and hyphens, as Kubernetes wants them.")
    store = open_store(store_uri)
    if not is_remote(store.uri):
        raise SettingError(
            f"{store.uri}: is a folder on this machine, which a cluster cannot read.",
            "Keep the store in a bucket, or serve from its `serving` link; see docs/retraining.md.",
        )
    pointer = in_use(store)
    previous = pointer.previous
    if canary and previous is None:
        raise SettingError("--canary: no version was in use before, so there is none for the rest of the requests.")
    if previous in withdrawn_versions(pointer):
        if canary:
            raise SettingError(
                f"--canary: the rest of the requests would go to version {previous}, which was rolled back.",
                "Leave it out.",
            )
        previous = None
    if signing.verifies():
        store.check(pointer.version)
    stored = store.backend.read(f"versions/{pointer.version}/{MANIFEST}")[0] or b""
    annotations = {
        "headstart/version": str(pointer.version),
        "headstart/manifest-sha256": hashlib.sha256(stored).hexdigest(),
    }
    if previous is not None:
        annotations["headstart/previous-storage-uri"] = store.serving_uri(previous)
    predictor: dict[str, Any] = {
        "model": {"modelFormat": {"name": "tensorflow"}, "storageUri": store.serving_uri(pointer.version)}
    }
    if canary:
        predictor["canaryTrafficPercent"] = canary
    service = {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": name, **({"namespace": namespace} if namespace else {}), "annotations": annotations},
        "spec": {"predictor": predictor},
    }
    if as_json:
        print_json(service)
    else:
        click.echo(yaml.safe_dump(service, sort_keys=False), nl=False)

"""Where a version comes from: `provenance.json` (SLSA) and `bom.json`, a bill of materials (CycloneDX) for a model.

Both are files of the version like any other: their digests are in `version.json`, and a signature covers them.
Formats: in-toto Statement v1 with SLSA Provenance v1 (slsa.dev/spec/v1.0/provenance); CycloneDX 1.6 JSON
(cyclonedx.org/docs/1.6/json).
"""

from __future__ import annotations

import re
import uuid
from importlib import metadata
from pathlib import Path
from typing import Any

from headstart.components.atomic_files import write_json
from headstart.components.promotion.integrity import sha256
from headstart.components.promotion.versions import Manifest
from headstart.components.records import RunRecord
from headstart.components.regular_files import read_json

PROVENANCE_FILE = "provenance.json"
BOM_FILE = "bom.json"
MODEL = "model/model.keras"
_LOCKS = Path(__file__).resolve().parents[2] / "requirements"


def write_origin(folder: Path, manifest: Manifest, record: RunRecord) -> None:
    """Write both files into a version's folder, whose model is in place."""
    digest = sha256(folder / MODEL)
    write_json(folder / PROVENANCE_FILE, provenance(digest, manifest, record))
    write_json(folder / BOM_FILE, bill_of_materials(digest, manifest, record))


def provenance(digest: str, manifest: Manifest, record: RunRecord) -> dict[str, Any]:
    """Return the statement about the model file with that SHA-256."""
    materials = [{"name": "data", "uri": manifest.data_source, "digest": {"sha256": manifest.data_digest}}]
    if manifest.initial_weights:
        materials.append({"name": "prepared-model-weights", "uri": "", "digest": {"sha256": manifest.initial_weights}})
    # The locks of dependencies, where they lie beside the code.
    materials += [
        {"name": f"requirements/{path.name}", "uri": "", "digest": {"sha256": sha256(path)}}
        for path in sorted(_LOCKS.glob("[cg]pu.txt"))
    ]
    image = record.environment.image
    versions = record.environment.versions or {"headstart": metadata.version("headstart")}
    if match := re.search(r"@sha256:([0-9a-f]{64})$", image):
        materials.append({"name": "image", "uri": image, "digest": {"sha256": match[1]}})
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": MODEL, "digest": {"sha256": digest}}],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": "headstart-retraining/v1",
                "externalParameters": {"preset": record.preset, "recipe": record.recipe, "seed": record.seed},
                "internalParameters": {"stage": record.stage, "network": record.network, "image": image},
                "resolvedDependencies": [{key: value for key, value in one.items() if value} for one in materials],
            },
            "runDetails": {
                "builder": {"id": "headstart", "version": versions},
                "metadata": {"invocationId": manifest.run_id, "finishedOn": manifest.created_at},
            },
        },
    }


def bill_of_materials(digest: str, manifest: Manifest, record: RunRecord) -> dict[str, Any]:
    """Return the bill of materials: the model with its figures, the data, the prepared model, the packages."""
    data = {
        "type": "data",
        "bom-ref": "data",
        "name": manifest.data_source or "training data",
        "version": manifest.data_digest[:12],
        "hashes": [{"alg": "SHA-256", "content": manifest.data_digest}],
        "data": [{"type": "dataset", "name": manifest.data_source or "training data"}],
    }
    components: list[dict[str, Any]] = [data]
    if manifest.initial_weights:
        components.append(
            {
                "type": "machine-learning-model",
                "bom-ref": "prepared-model",
                "name": "prepared model",
                "hashes": [{"alg": "SHA-256", "content": manifest.initial_weights}],
            }
        )
    components += _packages()
    metrics = [{"type": "recall", "slice": name, "value": f"{recall:.6g}"} for name, recall in manifest.recalls.items()]
    if manifest.accuracy is not None:
        metrics.insert(0, {"type": "accuracy", "value": f"{manifest.accuracy:.6g}"})
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, digest)}",
        "version": 1,
        "metadata": {
            "timestamp": manifest.created_at,
            "component": {
                "type": "machine-learning-model",
                "bom-ref": "model",
                "name": f"image classifier, {len(manifest.classes)} classes",
                "version": digest[:12],
                "hashes": [{"alg": "SHA-256", "content": digest}],
                "modelCard": {
                    "modelParameters": {
                        "task": "image classification",
                        "approach": {"type": "supervised"},
                        "modelArchitecture": record.network or "the paper's network",
                        "datasets": [{"ref": "data"}],
                        "inputs": [{"format": f"image, {manifest.image_size} × {manifest.image_size} pixels"}],
                        "outputs": [{"format": "probability of each class"}],
                    },
                    "quantitativeAnalysis": {"performanceMetrics": metrics},
                },
            },
        },
        "components": components,
        "dependencies": [{"ref": "model", "dependsOn": [one["bom-ref"] for one in components]}],
    }


def _packages() -> list[dict[str, Any]]:
    """Return what is installed in the process that promotes, which is the image that trained."""
    found = {}
    for one in metadata.distributions():
        name = re.sub(r"[-_.]+", "-", one.name or "").lower()
        if name:
            found[name] = one.version
    return [
        {
            "type": "library",
            "bom-ref": f"pkg:pypi/{name}@{version}",
            "name": name,
            "version": version,
            "purl": f"pkg:pypi/{name}@{version.replace('+', '%2B')}",
        }
        for name, version in sorted(found.items())
    ]


def check_origin(folder: Path) -> str:
    """Return what is wrong with a version's provenance; empty where it names the model that is there, or is missing."""
    file = folder / PROVENANCE_FILE
    if not file.is_file():
        return ""
    try:
        (subject,) = read_json(file)["subject"]
        named = subject["digest"]["sha256"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        return f"{PROVENANCE_FILE} cannot be read: {type(error).__name__}"
    try:
        found = sha256(folder / MODEL)
    except OSError as error:
        return f"{MODEL} cannot be read: {error.strerror}"
    return "" if named == found else f"{PROVENANCE_FILE} is about another model"

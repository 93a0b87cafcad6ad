"""What `--json` prints, checked against the committed schema of its class."""

import json
from pathlib import Path
from typing import Any

import jsonschema

FILE = Path(__file__).parents[1] / "pipelines/results.schema.json"


def read_result(name: str, text: str) -> dict[str, Any]:
    """Return the JSON document `text`, which must be nothing else and agree with the schema of the class `name`."""
    found: dict[str, Any] = json.loads(text)
    schemas = json.loads(FILE.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator({"$ref": f"#/$defs/{name}", "$defs": schemas["$defs"]}).validate(found)
    return found

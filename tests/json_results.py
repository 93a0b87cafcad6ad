"""What `--json` prints, checked against the committed schema of its command."""

import json
from pathlib import Path
from typing import Any

import jsonschema
from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import PydanticOmit, core_schema

from headstart.pipelines.json_output import result_types

FILE = Path(__file__).parents[1] / "pipelines/results.schema.json"


class _Printed(GenerateJsonSchema):
    def callable_schema(self, schema: core_schema.CallableSchema) -> Any:
        """Functions are not printed."""
        raise PydanticOmit


def made() -> str:
    """The file's content, from the types."""
    types = [(name, "serialization", TypeAdapter(found)) for name, found in result_types().items()]
    found, defined = TypeAdapter.json_schemas(types, schema_generator=_Printed)  # type: ignore[arg-type]
    commands = {f"headstart {name}": schema for (name, _), schema in found.items()}
    whole = {"$schema": "https://json-schema.org/draft/2020-12/schema", "properties": commands, **defined}
    return json.dumps(whole, indent=1) + "\n"


def read_result(command: str, text: str) -> Any:
    """Return the JSON document `text`, which must be nothing else and agree with the schema of the `command`."""
    found = json.loads(text)
    schemas = json.loads(FILE.read_text(encoding="utf-8"))
    schema = {**schemas["properties"][f"headstart {command}"], "$defs": schemas["$defs"]}
    jsonschema.Draft202012Validator(schema).validate(found)
    return found

"""The JSON schema of ``meta.yaml``, for editors and other programs."""

from __future__ import annotations

from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from convml_data.meta.models import Meta
from convml_data.meta.values import NUMBER_PATTERN


def json_schema() -> dict[str, Any]:
    """What a ``meta.yaml`` may hold, as a JSON schema of draft 2020-12.

    It knows all keys and values; that two values fit each other (``product`` and ``type``, start
    and end, resolution and domain) is beyond a schema.
    """
    return {"$schema": _Generator.schema_dialect} | Meta.model_json_schema(schema_generator=_Generator)


class _Generator(GenerateJsonSchema):
    def int_schema(self, schema: core_schema.IntSchema) -> JsonSchemaValue:
        return _or_text(super().int_schema(schema))

    def float_schema(self, schema: core_schema.FloatSchema) -> JsonSchemaValue:
        return _or_text(super().float_schema(schema))

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        # None is how the models say "left out"; a key that is there has a value.
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        if schema.get("default", ...) is None:
            return self.generate_inner(schema["schema"])
        return super().default_schema(schema)


def _or_text(number: JsonSchemaValue) -> JsonSchemaValue:
    """Numbers such as ``200e3`` are text to a YAML 1.1 reader."""
    return {"anyOf": [number, {"type": "string", "pattern": NUMBER_PATTERN}]}

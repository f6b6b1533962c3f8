"""The section ``coordinates``: where the files of a model hold time and place."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator

from convml_data.meta import values
from convml_data.meta.fields import Given, Section, UtcTime


def _as_section(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


def _name_or_steps(schema: dict[str, Any]) -> None:
    section = {key: schema.pop(key) for key in ("$ref", "allOf") if key in schema}
    schema["anyOf"] = [{"type": "string", "minLength": 1}, section]


def _name_or_step(value: Any) -> Any:
    if isinstance(value, str) and value and not re.match(values.NUMBER_PATTERN, value):
        return value
    step = values.number(value)
    if step <= 0:
        raise ValueError(f"{values.show(value)} is out of range", "it must be above 0")
    return step


Axis = Annotated[
    str | float | None,
    BeforeValidator(_name_or_step),
    Given,
    WithJsonSchema({"anyOf": [{"type": "string", "minLength": 1}, {"type": "number", "exclusiveMinimum": 0}]}),
]
VariableName = Annotated[str, Field(strict=True, min_length=1)]


class TimeCoordinate(Section):
    """The times of a model's files: a variable, or a start and what follows from it."""

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [
                {"required": ["name"], "properties": {"step": False}},
                {"required": ["start", "step"], "properties": {"name": False}},
            ]
        }
    )

    name: Annotated[VariableName | None, Given] = Field(
        default=None,
        description="Variable that holds the times, or with start the time since then in its own units.",
        examples=["time"],
    )
    start: Annotated[UtcTime | None, Given] = Field(
        default=None,
        description="Time of the first step, or from which the variable counts, UTC.",
        examples=["2020-02-02"],
    )
    step: Annotated[timedelta | None, BeforeValidator(values.duration), Given] = Field(
        default=None,
        description="From one step to the next, ISO 8601; steps count through the files in the order of their names.",
        examples=["PT60S"],
        json_schema_extra={"type": "string", "format": "duration"},
    )

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        remedy = "give the `name` of a variable, or `start: 2020-02-02` and `step: PT60S`"
        if self.name is not None and self.step is not None:
            raise ValueError("has both name and step", remedy)
        if self.name is None and (self.start is None or self.step is None):
            missing = " and ".join(key for key in ("start", "step") if getattr(self, key) is None)
            raise ValueError(f"has neither name nor {missing}", remedy)
        return self


class CoordinateNames(Section):
    """Where the files of a model hold time and place, if it cannot be seen from themselves."""

    time: Annotated[TimeCoordinate | None, BeforeValidator(_as_section), Given] = Field(
        default=None,
        description="Name of the time coordinate, or how times follow from a start.",
        examples=["t", {"start": "2020-02-02", "step": "PT60S"}],
        json_schema_extra=_name_or_steps,
    )
    x: Axis = Field(
        default=None,
        description="Name of the coordinate to the east in metres or degrees, or the step between cells in metres.",
        examples=["west_east", 100.0],
    )
    y: Axis = Field(
        default=None,
        description="Name of the coordinate to the north in metres or degrees, or the step between cells in metres.",
        examples=["south_north", 100.0],
    )
    lon: Annotated[VariableName | None, Given] = Field(
        default=None, description="Name of the longitudes, along one dimension or two.", examples=["XLONG"]
    )
    lat: Annotated[VariableName | None, Given] = Field(
        default=None, description="Name of the latitudes, along one dimension or two.", examples=["XLAT"]
    )

    @model_validator(mode="after")
    def _go_together(self) -> Self:
        for one, other in (("x", "y"), ("lon", "lat")):
            if (getattr(self, one) is None) != (getattr(self, other) is None):
                raise ValueError(f"{one} and {other} go together", "give both of them or none")
        if self.x is not None and self.lon is not None:
            raise ValueError("x and y are given beside lon and lat", "keep one of the two pairs")
        return self

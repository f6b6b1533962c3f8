"""The sections ``domain`` and ``trajectories``: where."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, ConfigDict, Field, model_validator

from convml_data.meta import values
from convml_data.meta.fields import Given, Latitude, Location, Longitude, Section, Side

_RECTANGLE = ("central_latitude", "central_longitude", "l_zonal", "l_meridional")
_PADDED = ("padding",)


class Domain(Section):
    """Where: a rectangle on the equal-area plane that touches the earth at its centre."""

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [
                {
                    "required": list(_RECTANGLE),
                    "properties": {"kind": {"const": "rect"}, "padding": False},
                },
                {
                    "required": ["kind"],
                    "properties": {"kind": {"const": "as_source"}, **dict.fromkeys((*_RECTANGLE, "padding"), False)},
                },
                {
                    "required": ["kind"],
                    "properties": {"kind": {"const": "spanning_trajectories"}, **dict.fromkeys(_RECTANGLE, False)},
                },
            ]
        }
    )

    kind: Literal["rect", "as_source", "spanning_trajectories"] = Field(
        default="rect",
        description="rect: the rectangle given here; as_source: all that the source shows; "
        "spanning_trajectories: around all points of the trajectories.",
        examples=["rect"],
    )
    central_latitude: Annotated[Latitude | None, Given] = Field(
        default=None, description="Latitude of the centre, degrees north.", examples=[13.3]
    )
    central_longitude: Annotated[Longitude | None, Given] = Field(
        default=None,
        description="Longitude of the centre, degrees east, negative in the west; 180 to 360 is fine too.",
        examples=[-57.72],
    )
    l_zonal: Annotated[Side | None, Given] = Field(
        default=None, description="Length from west to east, metres.", examples=[200e3]
    )
    l_meridional: Annotated[Side | None, Given] = Field(
        default=None, description="Length from south to north, metres.", examples=[200e3]
    )
    padding: Annotated[float | None, Field(ge=1), BeforeValidator(values.number), Given] = Field(
        default=None,
        description="spanning_trajectories: sides over the extent of the trajectories, at least 1 (default 1.2).",
        examples=[1.2],
    )

    @model_validator(mode="after")
    def _keys_of_kind(self) -> Self:
        wanted = {"rect": _RECTANGLE, "as_source": (), "spanning_trajectories": ()}[self.kind]
        allowed = wanted if self.kind != "spanning_trajectories" else _PADDED
        missing = [key for key in wanted if getattr(self, key) is None]
        if missing:
            raise ValueError(
                f"has no {', '.join(missing)}",
                f"write {' and '.join(f'`{key}: {_example_of(self, key)}`' for key in missing)}, "
                "or `kind: as_source` for all that the source shows",
            )
        stray = [key for key in (*_RECTANGLE, *_PADDED) if key not in allowed and getattr(self, key) is not None]
        if stray:
            raise ValueError(f"has {', '.join(stray)} beside kind {self.kind}", "leave them out, or change kind")
        return self


def _example_of(section: Section, key: str) -> str:
    return f"{type(section).model_fields[key].examples[0]:.12g}"  # type: ignore[index]  # all of these have one


class Trajectories(Section):
    """Points that move, such as a ship, a balloon or air masses."""

    filepath: Location = Field(
        description="netCDF file with time, lat and lon; relative to the folder of meta.yaml.",
        examples=["trajectories.nc"],
    )
    max_dt: Annotated[timedelta | None, BeforeValidator(values.duration), Given] = Field(
        default=None,
        description="A trajectory has a tile in scenes that start at most this far from one of its points, ISO 8601 "
        "(default: what the file's attribute max_dt says, or PT30M).",
        examples=["PT30M"],
        json_schema_extra={"type": "string", "format": "duration"},
    )

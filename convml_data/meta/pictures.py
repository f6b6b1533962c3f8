"""The section ``image``: how pictures of fields are drawn."""

from __future__ import annotations

import difflib
from itertools import cycle
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, field_validator

from convml_data.meta import values
from convml_data.meta.fields import Given, Section

Limits = tuple[float, ...]


def _numbers(value: Any) -> Limits:
    listed = value if isinstance(value, list) else [value]
    if not listed:
        raise ValueError("[] is an empty list")
    return tuple(values.number(item) for item in listed)


def _number_or_list(schema: dict[str, Any]) -> None:
    schema.pop("type", None)
    number = schema.pop("items")
    schema["anyOf"] = [number, {"type": "array", "items": number, "minItems": 1}]


def _known_colours(name: str) -> str:
    import matplotlib  # here, since few datasets name colours

    if name not in matplotlib.colormaps:
        near = difflib.get_close_matches(name, matplotlib.colormaps, n=1)
        raise ValueError(
            f"{values.show(name)} is no colour map of Matplotlib",
            f"write {near[0]} if that is what is meant" if near else "write for example `cmap: viridis`",
        )
    return name


class ImageOptions(Section):
    """How pictures of fields are drawn."""

    vmin: Annotated[Limits | None, BeforeValidator(_numbers), Given] = Field(
        default=None,
        description="Value at the low end of the colours, in the field's units; a list has one for each band.",
        examples=[200.0],
        json_schema_extra=_number_or_list,
    )
    vmax: Annotated[Limits | None, BeforeValidator(_numbers), Given] = Field(
        default=None,
        description="Value at the high end of the colours, likewise.",
        examples=[300.0],
        json_schema_extra=_number_or_list,
    )
    cmap: Annotated[str | None, AfterValidator(_known_colours), Given] = Field(
        default=None,
        description="Name of a colour map of Matplotlib, for products of a single band (default: gray).",
        examples=["viridis"],
    )
    invert: Annotated[bool | None, Field(strict=True), Given] = Field(
        default=None,
        description="Whether low values are at the bright end (default: for channels of emitted light only).",
        examples=[True],
    )

    @field_validator("vmax")
    @classmethod
    def _above_vmin(cls, vmax: tuple[float, ...], info: ValidationInfo) -> tuple[float, ...]:
        vmin = info.data.get("vmin")
        if vmin is not None and 1 not in (len(vmin), len(vmax)) and len(vmin) != len(vmax):
            raise ValueError(
                f"{len(vmax)} values are given and {len(vmin)} for vmin", "give one for each band, or one for all"
            )
        if vmin is not None and any(high <= low for low, high in zip(cycle(vmin), vmax, strict=False)):
            raise ValueError(
                f"{values.show(list(vmax))} is not above vmin {values.show(list(vmin))}",
                "swap them, or use `invert: true` for low values at the bright end",
            )
        return vmax

"""The section ``flow``: how clouds are followed from scene to scene, and how that is drawn."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from pydantic import BeforeValidator, Field

from convml_data.meta import values
from convml_data.meta.fields import Given, Positive, PositiveInteger, Section


class Flow(Section):
    """Clouds that are followed from scene to scene."""

    band: Annotated[str | None, Field(strict=True, min_length=1), Given] = Field(
        default=None,
        description="Name of the field that is followed, of products with several (default: the first).",
        examples=["bt_13"],
    )
    max_num_trajectories: PositiveInteger = Field(
        default=400, description="Points that are followed at a time, at most.", examples=[400]
    )
    min_point_distance: Annotated[Positive | None, Given] = Field(
        default=None,
        description="From a new point to any other, metres, at least (default: ten cells of sampling.resolution).",
        examples=[10e3],
    )
    dt_max: Annotated[timedelta, BeforeValidator(values.duration)] = Field(
        default=timedelta(minutes=30),
        description="Longest time between two scenes that clouds are followed across, ISO 8601 (default PT30M).",
        examples=["PT30M"],
        json_schema_extra={"type": "string", "format": "duration", "default": "PT30M"},
    )
    plot_dt_max: Annotated[timedelta, BeforeValidator(values.duration)] = Field(
        default=timedelta(hours=2),
        description="How far back and forward plots show each trajectory, ISO 8601 (default PT2H).",
        examples=["PT2H"],
        json_schema_extra={"type": "string", "format": "duration", "default": "PT2H"},
    )

"""The section ``aux_products``: other products at the times and places of a dataset's scenes."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field

from convml_data.meta import values
from convml_data.meta.data import DataSection, schema_of_source
from convml_data.meta.fields import Given

#: Names become folders, parts of asset keys and, for user functions, names of functions.
AuxName = Annotated[str, Field(strict=True, pattern=r"^[A-Za-z0-9_][A-Za-z0-9_-]*$")]


def _schema_of_aux(schema: dict[str, Any]) -> None:
    schema_of_source(schema)


class AuxProduct(DataSection):
    """An auxiliary product, and how its times are matched to the scenes."""

    model_config = ConfigDict(json_schema_extra=_schema_of_aux)

    scene_mapping_strategy: Literal["single_scene_per_aux_time", "all_scenes_within_dt_aux"] = Field(
        default="single_scene_per_aux_time",
        description="single_scene_per_aux_time: each time of the product goes to its nearest scene; "
        "all_scenes_within_dt_aux: each scene takes the nearest time of the product.",
        examples=["all_scenes_within_dt_aux"],
    )
    dt_aux: Annotated[timedelta | None, BeforeValidator(values.duration), Given] = Field(
        default=None,
        description="Time between two images of the product, ISO 8601; matches are at most half of it apart "
        "(default: the shortest there is).",
        examples=["PT30M"],
        json_schema_extra={"type": "string", "format": "duration"},
    )

"""What the sections of ``meta.yaml`` are made of: their base, and fields of the types that they share."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from convml_data.meta import values

#: Longest side of a domain in metres: the equal-area plane ends at the antipode, two earth radii
#: (12 742 km) from the centre, and the corners must lie inside of it.
LONGEST_SIDE = 18_000e3


def _east_of_date_line(longitude: float) -> float:
    # Rounded, so that 302.28 is -57.72 and not a neighbouring float; 1e-9° is 0.1 mm.
    return round(longitude - 360, 9) if longitude > 180 else longitude


Positive = Annotated[float, Field(gt=0), BeforeValidator(values.number)]
Side = Annotated[float, Field(gt=0, le=LONGEST_SIDE), BeforeValidator(values.number)]
Latitude = Annotated[float, Field(ge=-90, le=90), BeforeValidator(values.number)]
Longitude = Annotated[float, Field(ge=-180, le=360), BeforeValidator(values.number), AfterValidator(_east_of_date_line)]
NaturalNumber = Annotated[int, Field(ge=0), BeforeValidator(values.whole)]
PositiveInteger = Annotated[int, Field(ge=1), BeforeValidator(values.whole)]
UtcTime = Annotated[
    datetime,
    BeforeValidator(values.utc_time),
    WithJsonSchema({"type": "string", "pattern": values.TIME_PATTERN}),
]
Location = Annotated[str, BeforeValidator(values.location), Field(min_length=1)]
ArchiveTemplate = Annotated[str, BeforeValidator(values.archive_template), Field(min_length=1)]
CollectionName = Annotated[str, Field(strict=True, pattern=r"^[A-Za-z0-9_-]+$")]


def _given(value: Any) -> Any:
    if value is None:
        raise ValueError("has no value")
    return value


#: On optional keys: they may be left out, but a key that is there has a value.
Given = BeforeValidator(_given)


class Section(BaseModel):
    """A mapping whose keys are all known."""

    model_config = ConfigDict(frozen=True, extra="forbid")

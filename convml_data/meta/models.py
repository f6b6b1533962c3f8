"""The models behind ``meta.yaml``: which keys there are, what they mean and which values they take.

Descriptions and examples are data, not comments: the JSON schema carries them, and messages about
wrong values quote the examples.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from convml_data.meta import values
from convml_data.meta.products import PRODUCT_PATTERN, parse_product
from convml_data.sources.base import Interval

#: Keys of the top level that mean another one.
SYNONYMS = {"type": "product"}

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


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, dict) else value


def _one_or_list(schema: dict[str, Any]) -> None:
    several = {key: schema.pop(key) for key in ("type", "items")}
    schema["anyOf"] = [several["items"], several | {"minItems": 1}]


class TimeSpan(Section):
    """A start with an end or a length in days, or several of these as ``intervals``."""

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [
                {"required": ["t_start", "t_end"], "properties": {"N_days": False, "intervals": False}},
                {"required": ["t_start", "N_days"], "properties": {"t_end": False, "intervals": False}},
                {
                    "required": ["intervals"],
                    "properties": {"t_start": False, "t_end": False, "N_days": False},
                },
            ]
        }
    )

    t_start: Annotated[UtcTime | None, Given] = Field(
        default=None,
        description="First moment at which a scan may start, UTC; a date alone is its midnight.",
        examples=["2020-02-02T14:00"],
    )
    t_end: Annotated[UtcTime | None, Given] = Field(
        default=None,
        description="Last moment at which a scan may start, UTC, included; a date alone is its midnight.",
        examples=["2020-02-02T14:30"],
    )
    N_days: Annotated[Positive | None, Given] = Field(
        default=None,
        description="Length of the span in days, instead of t_end; fractions are allowed.",
        examples=[0.5],
    )
    intervals: Annotated[tuple[TimeSpan, ...] | None, BeforeValidator(_as_list), Given] = Field(
        default=None,
        description="Several spans, each like the keys beside this one; where they overlap, they are one.",
        examples=[[{"t_start": "2018-10-01", "t_end": "2019-03-01"}]],
        json_schema_extra=_one_or_list,
    )

    @field_validator("t_end")
    @classmethod
    def _not_before_start(cls, t_end: datetime, info: ValidationInfo) -> datetime:
        t_start = info.data.get("t_start")
        if t_start is not None and t_end < t_start:
            raise ValueError(
                f"{t_end.isoformat()} is before t_start {t_start.isoformat()}",
                "give a later time, or swap the two",
            )
        return t_end

    @field_validator("N_days")
    @classmethod
    def _instead_of_end(cls, days: float, info: ValidationInfo) -> float:
        if info.data.get("t_end") is not None:
            raise ValueError(f"{values.show(days)} is given beside t_end", "keep one of t_end and N_days")
        if info.data.get("t_start") is not None:
            try:
                info.data["t_start"] + timedelta(days=days)
            except OverflowError as error:
                raise ValueError(f"{values.show(days)} days after t_start is beyond the year 9999") from error
        return days

    @field_validator("intervals")
    @classmethod
    def _instead_of_span(cls, spans: tuple[TimeSpan, ...], info: ValidationInfo) -> tuple[TimeSpan, ...]:
        if not spans:
            raise ValueError("[] is an empty list")
        beside = [key for key in ("t_start", "t_end", "N_days") if info.data.get(key) is not None]
        if beside:
            raise ValueError(
                f"{len(spans)} given beside {', '.join(beside)}",
                "make that span one of the intervals, or leave the intervals out",
            )
        return spans

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.intervals is None and self.t_start is None:
            raise ValueError("has no start", "give t_start with t_end or N_days, or give intervals")
        if self.intervals is None and self.t_end is None and self.N_days is None:
            raise ValueError(
                f"has t_start {values.show(self.t_start)} but no end", "add t_end: <time> or N_days: <days>"
            )
        return self

    def spans(self) -> tuple[Interval, ...]:
        """All spans in time order; those that overlap or touch are merged, so that none is double."""
        merged: list[Interval] = []
        for span in sorted(self._written(), key=lambda span: span.start):
            if merged and span.start <= merged[-1].end:
                merged[-1] = Interval(merged[-1].start, max(merged[-1].end, span.end))
            else:
                merged.append(span)
        return tuple(merged)

    def _written(self) -> Iterator[Interval]:
        for span in self.intervals or ():
            yield from span._written()
        if self.t_start is not None:
            yield Interval(self.t_start, self.t_end or self.t_start + timedelta(days=self.N_days or 0))


class Filters(Section):
    """Which scenes within the time spans are used."""

    N_hours_from_zenith: Annotated[Positive | None, Given] = Field(
        default=None,
        description=(
            "Keep scenes that start less than this many hours from local solar noon at the domain's central longitude."
        ),
        examples=[4.0],
    )


class Time(TimeSpan):
    """When: one span or several, and filters on the scenes in them."""

    filters: Filters = Field(
        default_factory=Filters,
        description="Conditions that scenes within the spans must meet.",
        examples=[{"N_hours_from_zenith": 4.0}],
    )


class Domain(Section):
    """Where: a rectangle on the equal-area plane that touches the earth at its centre."""

    central_latitude: Latitude = Field(description="Latitude of the centre, degrees north.", examples=[13.3])
    central_longitude: Longitude = Field(
        description="Longitude of the centre, degrees east, negative in the west; 180 to 360 is fine too.",
        examples=[-57.72],
    )
    l_zonal: Side = Field(description="Length from west to east, metres.", examples=[200e3])
    l_meridional: Side = Field(description="Length from south to north, metres.", examples=[200e3])
    kind: Literal["rect"] = Field(default="rect", description="Kind of domain.", examples=["rect"])


def _as_collections(value: Any) -> Any:
    return value if isinstance(value, dict) else {"train": values.whole(value)}


def _number_or_collections(schema: dict[str, Any]) -> None:
    schema.pop("type")
    named = schema.pop("patternProperties")
    (count,) = named.values()
    schema["anyOf"] = [
        count,
        {"type": "object", "minProperties": 1, "patternProperties": named, "additionalProperties": False},
    ]


class Triplets(Section):
    """Triplets of tiles: an anchor, a neighbor close to it and a distant tile of another scene."""

    N_triplets: Annotated[dict[CollectionName, NaturalNumber], BeforeValidator(_as_collections)] = Field(
        description="How many triplets in each collection; a number alone is for the collection train.",
        examples=[{"train": 10, "study": 2}],
        json_schema_extra=_number_or_collections,
    )
    tile_N: PositiveInteger = Field(  # noqa: N815  # the file's own spelling
        default=256, description="Side of a tile in cells of the resolution.", examples=[256]
    )
    scene_collections_splitting: Literal["random_by_relative_sample_size"] = Field(
        default="random_by_relative_sample_size",
        description="How scenes are shared out to the collections.",
        examples=["random_by_relative_sample_size"],
    )
    neigh_dist_scaling: Positive = Field(
        default=1.0,
        description="Distance between the centres of anchor and neighbor, in sides of a tile.",
        examples=[1.0],
    )

    @field_validator("N_triplets")
    @classmethod
    def _some(cls, counts: dict[str, int]) -> dict[str, int]:
        if sum(counts.values()) == 0:
            raise ValueError(f"{values.show(counts)} asks for no triplet", "ask for one or more in a collection")
        if len({name.casefold() for name in counts}) < len(counts):
            raise ValueError(
                f"{values.show(counts)} names collections that differ in capitals only",
                "name them apart: on some systems their folders are one",
            )
        return counts


class Sampling(Section):
    """How the domain and its tiles are sampled."""

    resolution: Positive = Field(description="Side of a cell, metres.", examples=[1000.0])
    method: Literal["bilinear", "nearest"] = Field(
        default="bilinear",
        description="Interpolation of pixels; with bilinear, cells coarser than the pixels are averages.",
        examples=["bilinear"],
    )
    seed: NaturalNumber = Field(
        default=0, description="Seed of all random draws; another seed gives other tiles.", examples=[0]
    )
    triplets: Annotated[Triplets | None, Given] = Field(
        default=None,
        description="Triplets of tiles to cut, if any.",
        examples=[{"N_triplets": {"train": 10, "study": 2}, "tile_N": 256}],
    )


class ProductOptions(Section):
    """Choices within the product."""

    rayleigh_correction: bool = Field(
        default=True,
        strict=True,
        description="Take out the light that air molecules scatter; needs pyspectral's tables.",
        examples=[True],
    )


class Storage(Section):
    """Where the dataset's files lie and in which format."""

    format: Literal["netcdf", "zarr"] = Field(
        default="netcdf", description="Format of scenes on the domain's grid.", examples=["netcdf"]
    )
    root: Annotated[Location | None, Given] = Field(
        default=None,
        description="Folder or fsspec URL for all files; relative to, and by default, meta.yaml's folder.",
        examples=["s3://my-bucket/my-dataset"],
    )


@dataclass(frozen=True)
class _Disagreement:
    """Both ``product`` and its synonym, with different values."""

    product: Any
    synonym: Any


def _agreed(value: Any) -> Any:
    if isinstance(value, _Disagreement):
        raise ValueError(
            f"{values.show(value.product)} differs from type {values.show(value.synonym)}",
            "product and type are synonyms: keep one",
        )
    return value


def _known_product(product: Any) -> str:
    if not isinstance(product, str):
        raise ValueError(f"{values.show(product)} is not text")
    parse_product(product)
    return product


Product = Annotated[
    str,
    BeforeValidator(_known_product),
    BeforeValidator(_agreed),
    WithJsonSchema({"type": "string", "pattern": PRODUCT_PATTERN}),
]


def _with_synonyms(schema: dict[str, Any]) -> None:
    for synonym, key in SYNONYMS.items():
        schema["properties"][synonym] = schema["properties"][key] | {
            "title": synonym.title(),
            "description": f"Synonym of {key}; if both are given, they must be equal.",
        }
        schema["required"].remove(key)
        schema["anyOf"] = [{"required": [key]}, {"required": [synonym]}]


class Meta(Section):
    """A dataset: what to fetch, when, where, and how to sample it."""

    model_config = ConfigDict(json_schema_extra=_with_synonyms)

    source: Literal["goes16", "goes17", "goes18", "goes19"] = Field(
        description="Satellite that took the images.", examples=["goes16"]
    )
    product: Product = Field(description="What is made of the source's data.", examples=["truecolor_rgb"])
    sector: Literal["F", "C", "M1", "M2"] = Field(
        default="F",
        description="Part of the earth that is scanned: F full disk, C CONUS or PACUS, M1 and M2 mesoscale.",
        examples=["F"],
    )
    archive: Annotated[ArchiveTemplate | None, Given] = Field(
        default=None,
        description=(
            "Where the source's files lie, in the layout of the public buckets: an fsspec URL or a folder, "
            "relative to the folder of meta.yaml. {satellite} stands for the source's name."
        ),
        examples=["s3://noaa-{satellite}"],
    )
    time: Time = Field(description="When.", examples=[{"t_start": "2020-02-02T14:00", "t_end": "2020-02-02T14:30"}])
    domain: Domain = Field(
        description="Where.",
        examples=[{"central_latitude": 13.3, "central_longitude": -57.72, "l_zonal": 200e3, "l_meridional": 200e3}],
    )
    sampling: Sampling = Field(description="Resolution, and the tiles to cut.", examples=[{"resolution": 1000.0}])
    product_options: ProductOptions = Field(
        default_factory=ProductOptions,
        description="Choices within the product.",
        examples=[{"rayleigh_correction": True}],
    )
    storage: Storage = Field(
        default_factory=Storage,
        description="Where files lie and in which format.",
        examples=[{"format": "netcdf"}],
    )

    @model_validator(mode="before")
    @classmethod
    def _without_synonyms(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        given = dict(given)
        for synonym, key in SYNONYMS.items():
            if synonym in given:
                value = given.pop(synonym)
                if given.setdefault(key, value) != value:
                    given[key] = _Disagreement(given[key], value)
        return given

    @model_validator(mode="after")
    def _lengths_fit(self) -> Self:
        resolution, triplets = self.sampling.resolution, self.sampling.triplets
        shortest = min(self.domain.l_zonal, self.domain.l_meridional)
        if resolution > shortest:
            raise ValueError(
                f"sampling.resolution: {resolution:.12g} is longer than the domain's shortest side {shortest:.12g}",
                "both are in metres; give a finer resolution or a larger domain",
            )
        if triplets is not None and triplets.tile_N * resolution > LONGEST_SIDE:
            raise ValueError(
                f"sampling.triplets.tile_N: {triplets.tile_N} cells of {resolution:.12g} m do not fit on the earth",
                "give a smaller tile_N or a finer resolution",
            )
        return self

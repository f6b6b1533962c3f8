"""The section ``sampling``: resolution, interpolation and tiles."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, ConfigDict, Field, field_validator, model_validator

from convml_data.meta import values
from convml_data.meta.fields import CollectionName, Given, NaturalNumber, Positive, PositiveInteger, Section
from convml_data.meta.time import TimeSpan


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


Splitting = Literal["random_by_relative_sample_size", "by_time_block", "by_intervals", "stable_hash"]


def _duration(schema: dict[str, Any]) -> None:
    schema |= {"type": "string", "format": "duration"}


def _as_spans(value: Any) -> Any:
    """A collection's list of intervals as one span that has them."""
    if not isinstance(value, dict):
        raise ValueError(f"{values.show(value)} is not a mapping of collections to spans of time")
    return {name: {"intervals": spans} if isinstance(spans, list) else spans for name, spans in value.items()}


def _spans_by_collection(schema: dict[str, Any]) -> None:
    (span,) = schema.pop("patternProperties").values()
    names = {r"^[A-Za-z0-9_-]+$": {"anyOf": [span, {"type": "array", "items": span, "minItems": 1}]}}
    schema |= {"patternProperties": names, "additionalProperties": False, "minProperties": 1}


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
    scene_collections_splitting: Splitting = Field(
        default="random_by_relative_sample_size",
        description="How scenes are shared out to the collections.",
        examples=["random_by_relative_sample_size", "by_time_block", "by_intervals", "stable_hash"],
    )
    block: Annotated[timedelta | None, BeforeValidator(values.duration), Given] = Field(
        default=None,
        description="by_time_block: length of the blocks of time that are shared out whole, ISO 8601 (default P1D).",
        examples=["P1D"],
        json_schema_extra=_duration,
    )
    guard: Annotated[timedelta | None, BeforeValidator(values.duration), Given] = Field(
        default=None,
        description="by_time_block: scenes of different collections are at least this far apart (default PT6H).",
        examples=["PT6H"],
        json_schema_extra=_duration,
    )
    intervals: Annotated[dict[CollectionName, TimeSpan] | None, BeforeValidator(_as_spans), Given] = Field(
        default=None,
        description="by_intervals: when the scenes of each collection start.",
        examples=[{"train": {"t_start": "2020-02-01", "N_days": 20}, "study": {"t_start": "2020-02-22", "N_days": 7}}],
        json_schema_extra=_spans_by_collection,
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

    @model_validator(mode="after")
    def _keys_of_splitting(self) -> Self:
        splitting = self.scene_collections_splitting
        owners = {"block": "by_time_block", "guard": "by_time_block", "intervals": "by_intervals"}
        for key, owner in owners.items():
            if key in self.model_fields_set and splitting != owner:
                raise ValueError(f"{key}: is for {owner}, and scenes are split {splitting}", "leave it out")
        if splitting == "by_intervals":
            for name, span in (self.intervals or {}).items():
                if span.is_open:
                    raise ValueError(f"intervals.{name}: t_end: open is for `time` alone", "give t_end a time")
            wanted = {name for name, count in self.N_triplets.items() if count > 0}
            given = set(self.intervals or {})
            if wanted - given or given - self.N_triplets.keys():
                names = sorted(wanted - given) or sorted(given - self.N_triplets.keys())
                raise ValueError(
                    f"intervals: and N_triplets differ in {', '.join(names)}",
                    "give the intervals of each collection: "
                    "`intervals: {train: {t_start: 2020-02-01, N_days: 20}, study: {t_start: 2020-02-22, N_days: 7}}`",
                )
        return self


class TrajectoryTiles(Section):
    """A tile around each trajectory in each scene."""

    tile_N: PositiveInteger = Field(  # noqa: N815  # the file's own spelling
        default=256, description="Side of a tile in cells of the resolution.", examples=[256]
    )


class SlidingWindow(Section):
    """Tiles at equal steps over each scene on the domain's grid."""

    tile_N: PositiveInteger = Field(  # noqa: N815  # the file's own spelling
        default=256, description="Side of a tile in cells of the resolution.", examples=[256]
    )
    step: Annotated[PositiveInteger | None, Given] = Field(
        default=None, description="Cells from one tile to the next in x and in y (default: tile_N).", examples=[128]
    )


def _sampling_schema(schema: dict[str, Any]) -> None:
    for synonym, key in SAMPLING_SYNONYMS.items():
        schema["properties"][synonym] = schema["properties"][key] | {"title": synonym}


#: Keys of ``sampling`` that mean another one.
SAMPLING_SYNONYMS = {"rect-slidingwindow": "sliding_window"}


class Accept(Section):
    """What tiles must show; others are drawn in place of those that do not."""

    min_valid_share: Annotated[float, Field(ge=0, le=1), BeforeValidator(values.number)] = Field(
        default=0.0, description="Share of a tile's cells that have values, at least, 0 to 1.", examples=[1.0]
    )
    min_std: Annotated[float, Field(ge=0), BeforeValidator(values.number)] = Field(
        default=0.0,
        description="Standard deviation of the values in one band of a tile, in its units, at least.",
        examples=[2.0],
    )
    max_cloud_fraction: Annotated[float | None, Field(ge=0, le=1), BeforeValidator(values.number), Given] = Field(
        default=None, description="Share of a tile that is cloud, at most, 0 to 1.", examples=[0.8]
    )
    cloud_mask: Annotated[str | None, Field(strict=True, min_length=1), Given] = Field(
        default=None,
        description="What is cloud: an auxiliary product that is 1 there, or a function in user_functions.py.",
        examples=["cloud_mask"],
    )
    max_draws: PositiveInteger = Field(
        default=100, description="How often a triplet is drawn until its tiles are accepted.", examples=[100]
    )

    @model_validator(mode="after")
    def _cloud_is_known(self) -> Self:
        if (self.max_cloud_fraction is None) != (self.cloud_mask is None):
            one, other = ("max_cloud_fraction", "cloud_mask")
            missing = other if self.cloud_mask is None else one
            raise ValueError(f"{missing}: is missing", f"give {one} and {other} together")
        return self


class Sampling(Section):
    """How the domain and its tiles are sampled."""

    model_config = ConfigDict(json_schema_extra=_sampling_schema)

    resolution: Positive = Field(description="Side of a cell, metres.", examples=[1000.0])
    method: Literal["bilinear", "nearest"] = Field(
        default="bilinear",
        description="Interpolation of pixels; with bilinear, cells coarser than the pixels are averages.",
        examples=["bilinear"],
    )
    seed: NaturalNumber = Field(
        default=0, description="Seed of all random draws; another seed gives other tiles.", examples=[0]
    )
    snap_to_grid: bool = Field(
        default=False,
        strict=True,
        description="Move the tiles of triplets by up to half a cell, so that they are slices of the regridded scenes.",
        examples=[True],
    )
    format: Literal["files", "zarr"] = Field(
        default="files",
        description="Of tiles: files for each, or one sharded Zarr store for each collection.",
        examples=["files"],
    )
    triplets: Annotated[Triplets | None, Given] = Field(
        default=None,
        description="Triplets of tiles to cut, if any.",
        examples=[{"N_triplets": {"train": 10, "study": 2}, "tile_N": 256}],
    )
    accept: Annotated[Accept | None, Given] = Field(
        default=None,
        description="Conditions on what the tiles of triplets show.",
        examples=[{"min_valid_share": 1.0, "min_std": 2.0}],
    )
    trajectories: Annotated[TrajectoryTiles | None, Given] = Field(
        default=None, description="Tiles around the trajectories, if any.", examples=[{"tile_N": 256}]
    )
    sliding_window: Annotated[SlidingWindow | None, Given] = Field(
        default=None, description="Tiles at equal steps, if any.", examples=[{"tile_N": 256, "step": 128}]
    )

    @model_validator(mode="before")
    @classmethod
    def _without_synonyms(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        renamed = dict(given)
        for synonym, key in SAMPLING_SYNONYMS.items():
            if synonym in renamed and key in renamed:
                raise ValueError(f"{key} and {synonym} are both given", "they mean the same: keep one")
            if synonym in renamed:
                renamed[key] = renamed.pop(synonym)
        return renamed

    @model_validator(mode="after")
    def _triplets_are_there(self) -> Self:
        for key, asks in {"accept": self.accept is not None, "snap_to_grid": self.snap_to_grid}.items():
            if asks and self.triplets is None:
                raise ValueError(
                    f"{key}: is for the tiles of triplets, of which none are asked for",
                    "leave it out, or add `triplets: {N_triplets: {train: 10, study: 2}, tile_N: 256}`",
                )
        return self

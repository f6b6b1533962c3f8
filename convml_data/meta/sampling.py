"""The section ``sampling``: resolution, interpolation and tiles."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator

from convml_data.meta import values
from convml_data.meta.fields import CollectionName, Given, NaturalNumber, Positive, PositiveInteger, Section


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

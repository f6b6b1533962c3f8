"""The model behind ``meta.yaml``: which keys there are, what they mean and which values they take.

Descriptions and examples are data, not comments: the JSON schema carries them, and messages about
wrong values quote the examples.
"""

from __future__ import annotations

import json
import math
from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from convml_data.meta.aux_products import AuxName, AuxProduct
from convml_data.meta.data import MODELS, DataSection, schema_of_source
from convml_data.meta.embeddings import Embeddings
from convml_data.meta.fields import LONGEST_SIDE, Given, Location, PositiveInteger, Section
from convml_data.meta.flow import Flow
from convml_data.meta.place import Domain, Trajectories
from convml_data.meta.sampling import Sampling
from convml_data.meta.sensor import Sensor
from convml_data.meta.time import Time
from convml_data.meta.workers import DaskOptions


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


class Run(Section):
    """How the work is shared out to runs."""

    max_scenes: PositiveInteger = Field(
        default=200, description="Scenes that one run takes at most; more are more runs.", examples=[200]
    )


def _as_yaml(examples: list[Any] | None) -> str:
    return json.dumps((examples or [""])[0]).replace('"', "")


def _schema_of_meta(schema: dict[str, Any]) -> None:
    schema_of_source(schema, required=("time", "domain"))


class Meta(DataSection):
    """A dataset: what to fetch, when, where, and how to sample it."""

    model_config = ConfigDict(json_schema_extra=_schema_of_meta)

    time: Annotated[Time | None, Given] = Field(
        default=None, description="When.", examples=[{"t_start": "2020-02-02T14:00", "t_end": "2020-02-02T14:30"}]
    )
    domain: Annotated[Domain | None, Given] = Field(
        default=None,
        description="Where.",
        examples=[{"central_latitude": 13.3, "central_longitude": -57.72, "l_zonal": 200e3, "l_meridional": 200e3}],
    )
    sampling: Sampling = Field(description="Resolution, and the tiles to cut.", examples=[{"resolution": 1000.0}])
    trajectories: Annotated[Trajectories | None, Given] = Field(
        default=None,
        description="Points that move, which domain, time and tiles can follow.",
        examples=[{"filepath": "trajectories.nc"}],
    )
    storage: Storage = Field(
        default_factory=Storage,
        description="Where files lie and in which format.",
        examples=[{"format": "netcdf"}],
    )
    dask: DaskOptions = Field(
        default_factory=DaskOptions,
        description="Who works on the scenes: threads or processes of the machine, or a Dask cluster.",
        examples=[{"address": "tcp://scheduler:8786"}],
    )
    run: Run = Field(
        default_factory=Run, description="How the work is shared out to runs.", examples=[{"max_scenes": 200}]
    )

    sensor: Sensor = Field(
        default_factory=Sensor,
        description="How the sensor looks for new scans.",
        examples=[{"wait_for_channels": "PT2H"}],
    )

    flow: Annotated[Flow | None, Given] = Field(
        default=None,
        description="How clouds are followed from scene to scene.",
        examples=[{"max_num_trajectories": 400}],
    )

    aux_products: dict[AuxName, AuxProduct] = Field(
        default_factory=dict,
        description="Other products at the times and places of the scenes, by names that you choose.",
        examples=[{"cloud_top_height": {"source": "goes16", "type": "ACHA"}}],
        json_schema_extra={"additionalProperties": False},
    )
    embeddings: tuple[Embeddings, ...] = Field(
        default=(),
        description="Neural networks, and the tiles that they are applied to.",
        examples=[[{"model_path": "models/my-network.onnx", "step_size": 30}]],
    )

    @model_validator(mode="after")
    def _embeddings_fit(self) -> Self:
        numbers: dict[str, int] = {}
        needed = {"triplets": self.sampling.triplets, "trajectories": self.sampling.trajectories}
        for number, entry in enumerate(self.embeddings):
            where = f"embeddings[{number}]"
            first = numbers.setdefault(entry.set_name.casefold(), number)
            if first != number:
                raise ValueError(
                    f"{where}: is called {entry.set_name} as embeddings[{first}] is, and both are folders",
                    "leave one out, or name the files of the models apart",
                )
            if entry.tiles_kind in needed and needed[entry.tiles_kind] is None:
                raise ValueError(
                    f"{where}.tiles_kind: {entry.tiles_kind} are not asked for",
                    f"add `{entry.tiles_kind}` to `sampling`, or take `tiles_kind: rect-slidingwindow`",
                )
            named = [("aux_name", entry.aux_name), *(("aux_values", asked.aux_name) for asked in entry.aux_values)]
            for key, name in named:
                if name is not None and name not in self.aux_products:
                    known = f"it knows {', '.join(self.aux_products)}" if self.aux_products else "there are none"
                    raise ValueError(f"{where}.{key}: {name} is not among aux_products", known)
        return self

    @model_validator(mode="after")
    def _time_and_domain_are_there(self) -> Self:
        for key in ("time", "domain"):
            if getattr(self, key) is None and self.source not in MODELS:
                field = type(self).model_fields[key]
                raise ValueError(f"{key}: is missing", f"write for example `{key}: {_as_yaml(field.examples)}`")
        return self

    @model_validator(mode="after")
    def _trajectories_are_there(self) -> Self:
        users = {
            "time.source": self.time is not None and self.time.source is not None,
            "time.filters.using_trajectory_sampling": self.time is not None
            and self.time.filters.using_trajectory_sampling,
            "domain.kind": self.domain is not None and self.domain.kind == "spanning_trajectories",
            "sampling.trajectories": self.sampling.trajectories is not None,
        }
        asking = [key for key, asks in users.items() if asks]
        if asking and self.trajectories is None:
            raise ValueError(
                f"trajectories: is missing, and {asking[0]} asks for trajectories",
                "add `trajectories: {filepath: trajectories.nc}`",
            )
        return self

    @model_validator(mode="after")
    def _collections_last(self) -> Self:
        triplets = self.sampling.triplets
        if self.time is None or not self.time.is_open or triplets is None:
            return self
        if triplets.scene_collections_splitting != "stable_hash":
            raise ValueError(
                f"sampling.triplets.scene_collections_splitting: {triplets.scene_collections_splitting} beside "
                "time.t_end: open would let scenes change their collection as others come",
                "write `scene_collections_splitting: stable_hash`, or give t_end a time",
            )
        return self

    @model_validator(mode="after")
    def _lengths_fit(self) -> Self:
        sampling, resolution = self.sampling, self.sampling.resolution
        domain = self.domain
        shortest = min(domain.l_zonal or math.inf, domain.l_meridional or math.inf) if domain else math.inf
        if resolution > shortest:
            raise ValueError(
                f"sampling.resolution: {resolution:.12g} is longer than the domain's shortest side {shortest:.12g}",
                "both are in metres; give a finer resolution or a larger domain",
            )
        for key, tiles in {"triplets": sampling.triplets, "trajectories": sampling.trajectories}.items():
            if tiles is not None and tiles.tile_N * resolution > LONGEST_SIDE:
                raise ValueError(
                    f"sampling.{key}.tile_N: {tiles.tile_N} cells of {resolution:.12g} m do not fit on the earth",
                    "give a smaller tile_N or a finer resolution",
                )
        return self

    @model_validator(mode="after")
    def _aux_names_are_free(self) -> Self:
        collections = self.sampling.triplets.N_triplets if self.sampling.triplets else {}
        taken = [name for name in self.aux_products if name in collections]
        alike: dict[str, str] = {}
        for name in self.aux_products:
            other = alike.setdefault(name.casefold().replace("-", "_"), name)
            if other != name:
                raise ValueError(
                    f"aux_products: {other} and {name} differ only in capitals or between - and _",
                    "name them apart: on some systems their folders are one, and names of steps take no hyphens",
                )
        if taken:
            raise ValueError(
                f"aux_products: {taken[0]} is the name of a collection of triplets too, and both are folders",
                "name the auxiliary product otherwise",
            )
        return self

"""The section ``embeddings``: which neural networks are applied to which tiles."""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from convml_data.meta import values
from convml_data.meta.aux_products import AuxName
from convml_data.meta.aux_values import AuxValues
from convml_data.meta.fields import Given, Location, PositiveInteger, Section
from convml_data.meta.transforms import Transform

#: Tiles as they are named in sets of embeddings.
TilesKind = Literal["rect-slidingwindow", "triplets", "trajectories"]

#: Endings of model files, longer ones before those that they end in.
MODEL_SUFFIXES = (".onnx", ".pt2", ".pt", ".ckpt", ".torch.pkl", ".pkl")

#: Names of models become folders, parts of asset keys and of file names.
_MODEL_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


def model_name(path: str) -> str:
    """The name of a model: that of its file, without folder and ending.

    Raises
    ------
    ValueError
        Its ending is not that of a model, or what is before it is no name.
    """
    file = PurePath(path).name
    suffix = next((suffix for suffix in MODEL_SUFFIXES if file.endswith(suffix)), None)
    if suffix is None:
        raise ValueError(
            f"{values.show(path)} does not end in {', '.join(MODEL_SUFFIXES[:-1])} or {MODEL_SUFFIXES[-1]}",
            "name a file of a model; `.onnx` is the form that needs no PyTorch",
        )
    name = file.removesuffix(suffix)
    if not _MODEL_NAME.fullmatch(name):
        raise ValueError(
            f"{values.show(file)} is not a name for a model, which names folders too",
            "rename the file to letters, digits, _, - and dots",
        )
    return name


def _known_model(path: str) -> str:
    model_name(path)
    return path


def _three_numbers(value: Any) -> tuple[float, ...]:
    if not isinstance(value, (list, tuple)) or len(value) != 3:
        raise ValueError(f"{values.show(value)} is not a list of three numbers, of red, green and blue")
    return tuple(values.number(each) for each in value)


#: Of red, green and blue.
ThreeNumbers = Annotated[tuple[float, float, float], BeforeValidator(_three_numbers)]


class Normalisation(Section):
    """Mean and standard deviation of red, green and blue, of pictures from 0 to 1."""

    mean: ThreeNumbers = Field(description="Of red, green and blue.", examples=[[0.485, 0.456, 0.406]])
    std: ThreeNumbers = Field(description="Of red, green and blue, above 0.", examples=[[0.229, 0.224, 0.225]])

    @field_validator("std")
    @classmethod
    def _positive(cls, std: tuple[float, float, float]) -> tuple[float, float, float]:
        if min(std) <= 0:
            raise ValueError(f"{values.show(list(std))} has a value that is not above 0")
        return std


#: Normalisations by name: of the pictures that most networks were first trained on, and as the pictures are.
NORMALISATIONS = {
    "imagenet": Normalisation(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)),
    "none": Normalisation(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)),
}


def _as_normalisation(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if value not in NORMALISATIONS:
        raise ValueError(
            f"{values.show(value)} is no normalisation",
            f"write {' or '.join(NORMALISATIONS)}, or `{{mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225]}}`",
        )
    return NORMALISATIONS[value]


def _name_or_numbers(schema: dict[str, Any]) -> None:
    reference = {key: schema.pop(key) for key in ("$ref", "allOf", "anyOf") if key in schema}
    schema["anyOf"] = [{"enum": list(NORMALISATIONS)}, reference]


#: What is subtracted from pictures and divided by; None where it is said elsewhere.
GivenNormalisation = Annotated[Normalisation | None, BeforeValidator(_as_normalisation), Given]


class Embeddings(Section):
    """A neural network and the tiles that it is applied to: a set of embeddings."""

    model_path: Annotated[Location, BeforeValidator(_known_model)] = Field(
        description=f"File of the network ({', '.join(MODEL_SUFFIXES)}), relative to the folder of meta.yaml.",
        examples=["models/my-network.onnx"],
    )
    tiles_kind: TilesKind = Field(
        default="rect-slidingwindow",
        description="Which tiles: windows at equal steps over each regridded scene, or the tiles that were cut.",
        examples=["rect-slidingwindow"],
    )
    step_size: Annotated[PositiveInteger | None, Given] = Field(
        default=None, description="rect-slidingwindow: cells from one window to the next.", examples=[30]
    )
    aux_name: Annotated[AuxName | None, Given] = Field(
        default=None,
        description="Auxiliary product whose pictures the network gets, in place of the scenes' own.",
        examples=["cloud_top_height"],
    )
    trust_pickle: bool = Field(
        default=False,
        strict=True,
        description="Read a pickled model, which may run any code when it is read.",
        examples=[True],
    )
    tile_N: Annotated[PositiveInteger | None, Given] = Field(  # noqa: N815  # the file's own spelling
        default=None,
        description="Cells along a side of the tiles that the network gets (default: what its sidecar says, or 256).",
        examples=[256],
    )
    normalisation: GivenNormalisation = Field(
        default=None,
        description="imagenet, none, or mean and std (default: what the network's sidecar says, or imagenet).",
        examples=["imagenet"],
        json_schema_extra=_name_or_numbers,
    )
    format: Literal["zarr", "netcdf"] = Field(
        default="zarr", description="Of the embeddings of all scenes together.", examples=["zarr"]
    )

    transforms: tuple[Transform, ...] = Field(
        default=(),
        description="What else is made of the embeddings: fewer dimensions, clusters, scaling.",
        examples=[[{"type": "pca", "args": {"n_components": 8}}]],
    )

    aux_values: tuple[AuxValues, ...] = Field(
        default=(),
        description="Auxiliary fields in each tile, as numbers beside the embeddings.",
        examples=[[{"aux_name": "cloud_top_height", "reduce": ["mean", "p90"]}]],
    )

    @field_validator("aux_values")
    @classmethod
    def _each_once(cls, asked: tuple[AuxValues, ...]) -> tuple[AuxValues, ...]:
        names = [each.aux_name for each in asked]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"{name} is named twice, which names a file", "join its reductions in one entry")
        return asked

    @field_validator("transforms")
    @classmethod
    def _called_apart(cls, transforms: tuple[Transform, ...]) -> tuple[Transform, ...]:
        names = [transform.name.casefold() for transform in transforms]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two of them are called {name}, which names their files", "leave one out")
        return transforms

    @field_validator("model_path")
    @classmethod
    def _is_a_path(cls, path: str) -> str:
        if "://" in path:
            raise ValueError(f"{values.show(path)} is a URL", "fetch the model, and write where the file lies")
        return path

    @model_validator(mode="after")
    def _step_is_of_windows(self) -> Self:
        if self.tiles_kind == "rect-slidingwindow" and self.step_size is None:
            raise ValueError("step_size: is missing", "write for example `step_size: 30`, in cells")
        if self.tiles_kind != "rect-slidingwindow" and self.step_size is not None:
            raise ValueError(f"step_size: is for rect-slidingwindow, and this is {self.tiles_kind}", "leave it out")
        return self

    @property
    def model_name(self) -> str:
        """What the network is called: its file without folder and ending."""
        return model_name(self.model_path)

    @property
    def kind_name(self) -> str:
        """The tiles and, of windows, the step: ``rect-slidingwindow.step_size__30``."""
        return self.tiles_kind if self.step_size is None else f"{self.tiles_kind}.step_size__{self.step_size}"

    @property
    def set_name(self) -> str:
        """What the set is called, as its folder is: ``<aux name>.<model>.<kind>``."""
        prefix = "" if self.aux_name is None else f"{self.aux_name}."
        return f"{prefix}{self.model_name}.{self.kind_name}"

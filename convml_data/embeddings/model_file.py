"""The file of a neural network, and the sidecar that says how it is fed."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field

from convml_data.errors import MetaError, ModelError
from convml_data.meta.embeddings import NORMALISATIONS, GivenNormalisation, Normalisation, model_name
from convml_data.meta.fields import Given, PositiveInteger, Section
from convml_data.meta.load import as_section, parse_yaml

#: What the networks take that the sidecar says nothing of: pictures of three colours, of this many cells a side.
TILE_N = 256
CHANNELS = 3

ModelFormat = Literal["onnx", "torchscript", "torch.export", "lightning", "pickle"]

_FORMATS: dict[str, ModelFormat] = {
    ".onnx": "onnx",
    ".pt": "torchscript",
    ".pt2": "torch.export",
    ".ckpt": "lightning",
    ".pkl": "pickle",
}

Precision = Literal["float32", "bfloat16"]


class ConvertedFrom(Section):
    """The file that a network was converted from."""

    file: str = Field(description="Its name.", examples=["my-network.torch.pkl"])
    sha256: str = Field(description="Of its content.", examples=["9f86d0…"])


class Sidecar(Section):
    """What goes with a network: how it is fed and what it gives."""

    tile_N: PositiveInteger = Field(  # noqa: N815  # the spelling of meta.yaml
        default=TILE_N, description="Cells along a side of the tiles that it was trained on.", examples=[TILE_N]
    )
    channels: PositiveInteger = Field(default=CHANNELS, description="Of its input.", examples=[CHANNELS])
    normalisation: GivenNormalisation = Field(
        default=None, description="imagenet (default), none, or mean and std.", examples=["imagenet"]
    )
    embedding_dims: Annotated[PositiveInteger | None, Given] = Field(
        default=None, description="Of what it gives, to be held against it.", examples=[100]
    )
    precision: Precision = Field(
        default="float32",
        description="bfloat16 is faster on some processors, for the formats of PyTorch, and differs by half a percent.",
        examples=["float32"],
    )
    converted_from: Annotated[ConvertedFrom | None, Given] = Field(
        default=None,
        description="What it was converted from.",
        examples=[{"file": "my-network.torch.pkl", "sha256": "9f86d0…"}],
    )


@dataclass(frozen=True)
class ModelFile:
    """A network on disk and how it is to be fed.

    Parameters
    ----------
    path
        Of the file.
    sidecar
        What goes with it, its defaults where it has none.
    trust_pickle
        Whether its code may be run in order to read it.
    """

    path: Path
    sidecar: Sidecar
    trust_pickle: bool = False

    @property
    def name(self) -> str:
        """The file without folder and ending."""
        return model_name(self.path.name)

    @property
    def format(self) -> ModelFormat:
        """By the file's ending."""
        return _FORMATS[self.path.suffix]

    @property
    def normalisation(self) -> Normalisation:
        """What is subtracted from pictures, and divided by."""
        return self.sidecar.normalisation or NORMALISATIONS["imagenet"]

    @property
    def sha256(self) -> str:
        """Of its content, and of the weights beside an ONNX file that has them apart."""
        found = sha256_of(self.path)
        weights = self.path.with_name(f"{self.path.name}.data")
        if not weights.exists():
            return found
        return hashlib.sha256(f"{found}{sha256_of(weights)}".encode()).hexdigest()

    def facts(self) -> dict[str, Any]:
        """JSON-ready values of all that embeddings follow from besides the tiles."""
        return {
            "sha256": self.sha256,
            "tile_N": self.sidecar.tile_N,
            "normalisation": self.normalisation.model_dump(mode="json"),
            "precision": self.sidecar.precision,
        }


def sidecar_path(path: Path) -> Path:
    """Where the sidecar of a network lies: ``<name>.yaml`` beside it."""
    return path.with_name(f"{model_name(path.name)}.yaml")


def read_model_file(
    path: Path, *, trust_pickle: bool = False, tile_n: int | None = None, normalisation: Normalisation | None = None
) -> ModelFile:
    """The network in a file, without opening it.

    Parameters
    ----------
    path
        Of the file.
    trust_pickle
        Whether its code may be run in order to read it.
    tile_n, normalisation
        In place of what its sidecar says.

    Raises
    ------
    ModelError
        There is no such file, it is a pickle that is not trusted, or it takes no pictures.
    MetaError
        The sidecar is wrong.
    """
    if not path.is_file():
        raise ModelError("there is no such file", where=str(path), remedy="Correct the path of the model")
    sidecar = read_sidecar(sidecar_path(path))
    given = {"tile_N": tile_n, "normalisation": normalisation}
    sidecar = sidecar.model_copy(update={key: value for key, value in given.items() if value is not None})
    found = ModelFile(path, sidecar, trust_pickle)
    if sidecar.channels != CHANNELS:
        raise ModelError(
            f"the network takes {sidecar.channels} channels, and pictures have {CHANNELS}",
            where=str(sidecar_path(path)),
            remedy="Take a network of red, green and blue",
        )
    if found.format == "onnx" and sidecar.precision != "float32":
        raise ModelError(
            f"precision: {sidecar.precision} is for the formats of PyTorch, and this is ONNX",
            where=str(sidecar_path(path)),
            remedy="Take the line out, or take the network in a format of PyTorch",
        )
    if found.format == "pickle" and not trust_pickle:
        raise ModelError(
            "this is a pickle, which may run any code when it is read, so that it is not",
            where=str(path),
            remedy=(
                f"If you trust where it comes from, convert it once with `convml-data model convert --trust-pickle "
                f"{path.name} {found.name}.onnx` and use that, or give `trust_pickle: true` (`--trust-pickle`)"
            ),
        )
    return found


def read_sidecar(path: Path) -> Sidecar:
    """What goes with a network, the defaults where there is no such file; MetaError where it is wrong."""
    if not path.exists():
        return Sidecar()
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise MetaError(
            f"this sidecar cannot be read ({error})", where=str(path), remedy="Mend it or delete it"
        ) from error
    document = parse_yaml(text, str(path))
    if not isinstance(document, dict):
        raise MetaError(
            "this sidecar holds no keys with values",
            where=str(path),
            remedy=f"Write for example `tile_N: {TILE_N}`, or delete it",
        )
    return as_section(Sidecar, document, str(path))


def sidecar_text(sidecar: Sidecar) -> str:
    """A sidecar as YAML, with all that it says and its defaults."""
    return yaml.safe_dump(sidecar.model_dump(mode="json", exclude_none=True), sort_keys=False, allow_unicode=True)


def sha256_of(path: Path) -> str:
    """Hexadecimal digits, remembered while the file stays as it is; ModelError where it cannot be read."""
    try:
        status = path.stat()
        return _sha256(str(path), status.st_mtime_ns, status.st_size)
    except OSError as error:
        raise ModelError(f"this cannot be read ({error.strerror})", where=os.fspath(path)) from error


@lru_cache
def _sha256(path: str, modified: int, size: int) -> str:
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()

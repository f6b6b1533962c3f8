"""Networks that are ready to be applied, whatever file they come from."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from convml_data.embeddings.model_file import ModelFile
from convml_data.errors import ModelError

FloatArray = npt.NDArray[np.float32]


class Encoder(Protocol):
    """A network that is open."""

    @property
    def input_shape(self) -> tuple[int | None, int | None, int | None, int | None]:
        """(tiles, channels, rows, columns) that it takes, None for any number or what it does not say."""

    @property
    def device(self) -> str:
        """What it runs on."""

    @property
    def batch(self) -> int:
        """Tiles that are given to it at a time."""

    def __call__(self, tiles: FloatArray) -> FloatArray:
        """Embeddings (tiles, dims) of tiles (tiles, channels, rows, columns), row 0 in the north."""


def open_encoder(model: ModelFile) -> tuple[Encoder, int]:
    """The network in a file, once it has been seen to take such tiles, and the dimensions of what it gives.

    Raises
    ------
    ModelError
        It cannot be opened, a package for it is missing, it takes other tiles, or it gives no embeddings.
    """
    encoder = _opened(model)
    sidecar, where = model.sidecar, str(model.path)
    wanted = {"channels": sidecar.channels, "rows": sidecar.tile_N, "columns": sidecar.tile_N}
    for (name, count), takes in zip(wanted.items(), encoder.input_shape[1:], strict=True):
        if takes is not None and takes != count:
            what = f"pictures of {count} {name}" if name == "channels" else f"tiles of {count} x {count} cells"
            size = f"{takes} channels" if name == "channels" else f"{takes} {name}"
            remedy = (
                "Take a network of red, green and blue"
                if name == "channels"
                else f"Give `tile_N: {takes}` (`--tile-N {takes}`), or write it into the sidecar of the network"
            )
            raise ModelError(f"the network takes {size}, and would get {what}", where=where, remedy=remedy)
    tile_n, batch = sidecar.tile_N, encoder.batch
    try:
        found = encoder(np.zeros((batch, sidecar.channels, tile_n, tile_n), np.float32))
    except Exception as error:  # whatever its library raises
        raise ModelError(
            f"the network cannot be applied to {batch} tiles of {sidecar.channels} x {tile_n} x {tile_n} "
            f"({_first_line(error)})",
            where=where,
            remedy="Give the `tile_N` that it was made for (`--tile-N`), or write it into the sidecar",
        ) from error
    if found.ndim != 2 or len(found) != batch:
        raise ModelError(
            f"the network makes an array of shape {found.shape} of {batch} tiles, not a row of numbers of each",
            where=where,
            remedy="Take a network that ends in embeddings (tiles, dimensions)",
        )
    dims = int(found.shape[1])
    if sidecar.embedding_dims not in (None, dims):
        raise ModelError(
            f"the network gives {dims} dimensions, and its sidecar says {sidecar.embedding_dims}",
            where=where,
            remedy="Take the sidecar that belongs to it",
        )
    return encoder, dims


def _opened(model: ModelFile) -> Encoder:
    try:
        if model.format == "onnx":
            from convml_data.embeddings.onnx_encoder import OnnxEncoder

            return OnnxEncoder(model)
        from convml_data.embeddings.torch_encoder import TorchEncoder

        return TorchEncoder(model)
    except ImportError as error:
        extra = "embeddings" if model.format == "onnx" else "torch"
        remedy = f"Run `pip install 'convml-data[{extra}]'`"
        if extra == "torch":
            trust = "--trust-pickle " if model.format == "pickle" else ""
            remedy += (
                ", or convert it where PyTorch is: "
                f"`convml-data model convert {trust}{model.path.name} {model.name}.onnx`"
            )
        raise ModelError(
            f"this is {model.format}, and the package to read it is not there ({error})",
            where=str(model.path),
            remedy=remedy,
        ) from error
    except ModelError:
        raise
    except Exception as error:  # whatever the libraries raise for files that are damaged or of another kind
        raise ModelError(
            f"this cannot be read as {model.format} ({_first_line(error)})",
            where=str(model.path),
            remedy="Give the file the ending of what it is, or get it anew",
        ) from error


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0][:300]}"

"""Networks of PyTorch as ONNX, which needs no PyTorch and runs no code when it is read."""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

from convml_data.embeddings.encoder import open_encoder
from convml_data.embeddings.model_file import (
    ConvertedFrom,
    ModelFile,
    read_model_file,
    sidecar_path,
    sidecar_text,
)
from convml_data.errors import ModelError
from convml_data.store.files import Files

#: How far embeddings may be from those of the network that was converted, relative to the largest.
TOLERANCE = 1e-4


def convert(model: ModelFile, target: Path) -> ModelFile:
    """Write a network as ONNX with a sidecar, once it has been seen to give the same embeddings.

    Parameters
    ----------
    model
        In a format of PyTorch that can be exported.
    target
        An ``.onnx`` file, replaced if there is one.

    Raises
    ------
    ModelError
        It cannot be read or exported, PyTorch is missing, or what was exported gives other embeddings.
    """
    if target.suffix != ".onnx":
        raise ModelError("networks are converted to ONNX", where=str(target), remedy=f"Call it `{model.name}.onnx`")
    if model.format in ("onnx", "torchscript"):
        raise ModelError(
            f"this is {model.format}, which is not converted",
            where=str(model.path),
            remedy="It can be used as it is" if model.format == "onnx" else "Export the network that it was made of",
        )
    encoder, dims = open_encoder(model)
    import numpy as np
    import torch

    from convml_data.embeddings.torch_encoder import load_module

    side = model.sidecar.tile_N
    shape = (encoder.batch, model.sidecar.channels, side, side)
    tiles = np.random.default_rng(0).standard_normal(shape, np.float32)
    sidecar = model.sidecar.model_copy(
        update={
            "normalisation": model.normalisation,
            "embedding_dims": dims,
            "precision": "float32",
            "converted_from": ConvertedFrom(file=model.path.name, sha256=model.sha256),
        }
    )
    files = Files(str(target.parent.absolute()))
    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder) / target.name  # whose ending says what it is
        with _quiet():
            torch.onnx.export(
                load_module(model),
                (torch.from_numpy(tiles),),
                written,
                input_names=["tiles"],
                output_names=["embeddings"],
                dynamic_shapes=({0: torch.export.Dim("tiles")},),
                external_data=False,
                dynamo=True,
            )
        converted, _ = open_encoder(ModelFile(written, sidecar))
        expected = encoder(tiles)
        off = float(np.abs(converted(tiles) - expected).max() / np.abs(expected).max())
        if not off <= TOLERANCE:
            raise ModelError(
                f"the network gives other embeddings as ONNX, by {off:.2g} of the largest", where=str(model.path)
            )
        files.write_bytes(target.name, written.read_bytes())
    files.write_bytes(sidecar_path(target).name, sidecar_text(sidecar).encode())
    return read_model_file(target)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without what the exporter says of packages that are not there and are not needed."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)

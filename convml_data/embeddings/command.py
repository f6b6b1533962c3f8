"""``convml-data model``: what a network is, and taking it to ONNX."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any


def add_model_command(commands: Any) -> None:
    """Add ``model`` to the sub-commands."""
    model = commands.add_parser("model", help="show a neural network, or convert it to ONNX")
    actions = model.add_subparsers(title="commands", metavar="COMMAND", required=True)
    info = actions.add_parser("info", help="what a network takes and gives")
    info.set_defaults(command=_info)
    convert = actions.add_parser("convert", help="write a network of PyTorch as ONNX, with its sidecar")
    convert.set_defaults(command=_convert)
    for command in (info, convert):
        command.add_argument("model", type=Path, metavar="MODEL", help="file of the network")
        add_model_options(command)
    convert.add_argument("target", type=Path, metavar="TARGET", help="the .onnx file to write")


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """The options that say how a network is read and fed."""
    parser.add_argument(
        "--trust-pickle", action="store_true", help="read a pickle, which may run any code when it is read"
    )
    parser.add_argument(
        "--tile-N", type=int, dest="tile_n", metavar="CELLS", help="side of its tiles (default: its sidecar's, or 256)"
    )


def _info(arguments: argparse.Namespace) -> int:
    from convml_data.embeddings.encoder import open_encoder

    model = _model(arguments)
    encoder, dims = open_encoder(model)
    side, normalisation = model.sidecar.tile_N, model.normalisation
    rows = [
        ("model", model.name),
        ("format", model.format),
        ("sha256", model.sha256),
        ("takes", f"{model.sidecar.channels} channels, {side} × {side} cells"),
        ("mean", ", ".join(f"{each:g}" for each in normalisation.mean)),
        ("std", ", ".join(f"{each:g}" for each in normalisation.std)),
        ("gives", f"{dims} dimensions, {model.sidecar.precision}"),
        ("runs on", f"{encoder.device}, {encoder.batch} tiles at a time"),
    ]
    if model.sidecar.converted_from is not None:
        rows.append(("made of", model.sidecar.converted_from.file))
    for name, fact in rows:
        print(f"{name:<8} {fact}")
    return 0


def _convert(arguments: argparse.Namespace) -> int:
    from convml_data.embeddings.convert import convert
    from convml_data.embeddings.model_file import sidecar_path

    converted = convert(_model(arguments), arguments.target)
    print(f"{converted.path}: gives the same {converted.sidecar.embedding_dims} dimensions")
    print(f"sidecar: {sidecar_path(converted.path)}")
    return 0


def _model(arguments: argparse.Namespace) -> Any:
    from convml_data.embeddings.model_file import read_model_file
    from convml_data.errors import ModelError
    from convml_data.meta.embeddings import model_name

    for path in filter(None, (arguments.model, getattr(arguments, "target", None))):
        try:
            model_name(path.name)
        except ValueError as error:
            what, remedy = error.args
            raise ModelError(what, where=str(path), remedy=remedy.capitalize()) from error
    if arguments.tile_n is not None and arguments.tile_n < 1:
        raise ModelError(f"--tile-N {arguments.tile_n} is not 1 or more", where=str(arguments.model))
    return read_model_file(arguments.model, trust_pickle=arguments.trust_pickle, tile_n=arguments.tile_n)

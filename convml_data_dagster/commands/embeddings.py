"""``convml-data embeddings``: a network applied to windows or tiles, as though the meta.yaml asked for it."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convml_data import cli
from convml_data.embeddings.command import add_model_options
from convml_data.errors import ConvmlError
from convml_data_dagster.commands.options import add_aux_name, add_workers, count, workers_of
from convml_data_dagster.commands.scenes import current_scene_ids, make_matches
from convml_data_dagster.commands.session import Session
from convml_data_dagster.commands.stages import crop_to_know_the_scenes, make_plan

if TYPE_CHECKING:
    from convml_data.meta.embeddings import Embeddings

_KINDS = ("rect-slidingwindow", "triplets", "trajectories")


def add_embeddings_command(commands: Any) -> None:
    """Add ``embeddings`` to the sub-commands."""
    command = commands.add_parser("embeddings", help="apply a neural network to windows of scenes, or to tiles")
    command.set_defaults(command=_embeddings)
    add_embedding_options(command)
    command.add_argument("--format", choices=("zarr", "netcdf"), help="of all scenes together (default: zarr)")
    add_workers(command)
    cli.add_data_path(command)


def add_embedding_options(command: argparse.ArgumentParser) -> None:
    """The options that name a set of embeddings, for :func:`entry_of`."""
    command.add_argument("--model-path", type=Path, metavar="FILE", required=True, help="file of the network")
    command.add_argument(
        "--tiles-kind",
        choices=_KINDS,
        default=_KINDS[0],
        metavar="KIND",
        help=f"{', '.join(_KINDS)} (default: the first)",
    )
    command.add_argument("--step-size", type=count, metavar="CELLS", help="from one window to the next")
    command.add_argument(
        "--normalisation", metavar="NAME", help="imagenet or none (default: its sidecar's, or imagenet)"
    )
    add_model_options(command)
    add_aux_name(command)


def entry_of(arguments: argparse.Namespace) -> Embeddings:
    """The set of embeddings that the options name, as ``meta.yaml`` would; MetaError where they do not fit."""
    from convml_data.meta.embeddings import Embeddings
    from convml_data.meta.load import as_section

    given = {
        "model_path": str(arguments.model_path.absolute()),
        "tiles_kind": arguments.tiles_kind,
        "step_size": arguments.step_size,
        "aux_name": arguments.aux_name,
        "trust_pickle": arguments.trust_pickle,
        "tile_N": arguments.tile_n,
        "normalisation": arguments.normalisation,
        "format": getattr(arguments, "format", None),
    }
    options = {key: value for key, value in given.items() if value is not None}
    return as_section(Embeddings, options, "the options of this command")


def _embeddings(arguments: argparse.Namespace) -> int:
    entry = entry_of(arguments)
    session = Session(arguments.data_path, arguments.aux_name, workers_of(arguments), [entry])
    make_set(session, entry)
    return 0


def make_set(session: Session, entry: Embeddings) -> None:
    """Make a set of embeddings and all that it needs; ConvmlError where some of it failed, once the rest is done."""
    from convml_data.embeddings.encoder import open_encoder
    from convml_data.pipeline.discovery import ledger_is_current
    from convml_data.pipeline.embeddings import EmbeddingTask, read_model
    from convml_data_dagster.assets.names import embeddings_key

    # What does not fit is an error before any work.
    open_encoder(read_model(session.dataset, entry))
    if session.store.dataset.is_located:
        EmbeddingTask.of(session.store, entry)
    scene_ids = current_scene_ids(session)
    if session.aux_name is not None and not ledger_is_current(session.product_store):
        make_matches(session)
    task = EmbeddingTask.of(session.store, entry)
    stages = ["cropped", "regridded"]
    if entry.tiles_kind != "rect-slidingwindow":
        stage = "triplet_tiles" if entry.tiles_kind == "triplets" else "trajectory_tiles"
        scene_ids = crop_to_know_the_scenes(session, scene_ids)
        make_plan(session, stage)  # type: ignore[arg-type]  # one of its stages
        stages = [stage]
    runs, failures = session.slices(scene_ids), []
    for assets in (
        [session.asset(stage) for stage in stages],
        [session.asset_of(embeddings_key(session.dataset, entry))],
    ):
        try:
            session.materialize_scenes(*assets, runs=runs)
        except ConvmlError as error:  # of some scenes; the others go on
            failures.append(str(error))
    session.materialize(session.asset_of(embeddings_key(session.dataset, entry, of_all=True)))
    print(f"embeddings of each scene: {session.store.files.url(task.kept_in.scenes.place)}")
    print(f"embeddings of all scenes: {session.store.files.url(task.kept_in.all_name(entry.format))}")
    if failures:
        raise ConvmlError("\n".join(failures).rstrip("."))

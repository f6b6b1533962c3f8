"""``convml-data plots``, ``statistics`` and ``export``: what is made of a dataset as a whole."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from convml_data import cli
from convml_data_dagster.commands.options import add_aux_name
from convml_data_dagster.commands.scenes import current_scene_ids
from convml_data_dagster.commands.session import Session


def add_report_commands(commands: Any) -> None:
    """Add ``plots``, ``statistics`` and ``export`` to the sub-commands."""
    plots = commands.add_parser("plots", help="plot an auxiliary product below the scenes that it goes with")
    plots.set_defaults(command=_plots)
    plots.add_argument("--aux-name", metavar="NAME", required=True, help="of an auxiliary product of the meta.yaml")
    statistics = commands.add_parser("statistics", help="mean, deviation and histogram of the tiles of a collection")
    statistics.set_defaults(command=_statistics)
    statistics.add_argument("--collection", metavar="NAME", default="train", help="whose tiles (default: train)")
    add_aux_name(statistics)
    export = commands.add_parser("export", help="write an index of all tiles (GeoParquet) and a card of the dataset")
    export.set_defaults(command=_export)
    export.add_argument("--output", type=Path, metavar="FOLDER", help="where to (default: export beside meta.yaml)")
    add_aux_name(export)
    for command in (plots, statistics, export):
        cli.add_data_path(command)


def _plots(arguments: argparse.Namespace) -> int:
    from convml_data.pipeline.discovery import current_ledger

    session = Session(arguments.data_path, arguments.aux_name)
    store = session.product_store
    scene_ids = current_scene_ids(session)
    unmatched = {row.scene_id for row in current_ledger(store).rows if row.reason is not None}
    session.materialize_scenes(f"aux/{session.aux_name}/plots", runs=[scene_ids])
    drawn = [name for scene_id in scene_ids if store.files.exists(name := store.layout.plot(scene_id))]
    print(f"{len(drawn)} plots; {len(unmatched)} scenes have no {session.aux_name}")
    print(f"plots: {store.files.url(store.layout.plot('').removesuffix('/.png'))}")
    return 0


def _statistics(arguments: argparse.Namespace) -> int:
    from convml_data.pipeline.statistics import kept_statistics, make_statistics

    session = Session(arguments.data_path, arguments.aux_name)
    store = session.product_store
    if arguments.collection == "train":
        session.materialize(session.asset("statistics"))
    else:
        make_statistics(store, arguments.collection)
    found = kept_statistics(store, arguments.collection)
    assert found is not None  # they were just made
    print(f"{found.tiles} tiles of {arguments.collection}")
    for name, mean, std in zip(found.bands, found.mean, found.std, strict=True):
        print(f"  {name}: mean {mean:.6g}, standard deviation {std:.6g} {found.units[name] or ''}".rstrip())
    print(f"statistics: {store.files.url(store.layout.statistics(arguments.collection))}")
    return 0


def _export(arguments: argparse.Namespace) -> int:
    from convml_data.pipeline.statistics import export

    session = Session(arguments.data_path, arguments.aux_name)
    folder: Path = arguments.output or session.dataset.directory / "export" / (session.aux_name or "")
    exported = export(session.product_store, folder)
    print(f"{exported.tiles} tiles in {folder / 'index.parquet'}")
    if exported.missing:
        print(f"warning: {exported.missing} more tiles are planned and not there", file=sys.stderr)
    print(f"card: {folder / 'README.md'}")
    return 0

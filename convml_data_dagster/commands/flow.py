"""``convml-data flow``: clouds that are followed from scene to scene, and plots of that."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from convml_data import cli
from convml_data.errors import ConvmlError
from convml_data_dagster.commands.options import add_workers, count, workers_of
from convml_data_dagster.commands.scenes import current_scene_ids
from convml_data_dagster.commands.session import Session

if TYPE_CHECKING:
    from convml_data.pipeline.flow import Trajectories
    from convml_data.scenes.ledger import LedgerRow

#: Options that are keys of the section ``flow`` too.
_OPTIONS = ("band", "max_num_trajectories", "min_point_distance", "dt_max", "plot_dt_max")

#: Of the scenes that trajectories are not followed to, so many are named.
BREAKS_SHOWN = 10


def add_flow_command(commands: Any) -> None:
    """Add ``flow`` to the sub-commands."""
    flow = commands.add_parser("flow", help="follow clouds from scene to scene, and plot where they went")
    flow.set_defaults(command=_flow)
    flow.add_argument(
        "--prefix", help="what the IDs of the scenes begin with, goes16__20200202 for example (default: day by day)"
    )
    flow.add_argument("--band", metavar="NAME", help="of several fields the one that is followed (default: the first)")
    flow.add_argument("--max-num-trajectories", type=count, metavar="N", help="followed at a time (default: 400)")
    flow.add_argument(
        "--min-point-distance", metavar="METRES", help="from a new point to any other (default: ten cells)"
    )
    flow.add_argument("--dt-max", metavar="PT30M", help="longest time to follow clouds across (default: PT30M)")
    flow.add_argument("--plot-dt-max", metavar="PT2H", help="how far back and forward plots show (default: PT2H)")
    add_workers(flow)
    cli.add_data_path(flow)


def _flow(arguments: argparse.Namespace) -> int:
    from convml_data.flow.opencv import opencv
    from convml_data.pipeline import flow

    opencv()  # or an error, before scenes are made
    given = {name: getattr(arguments, name) for name in _OPTIONS if getattr(arguments, name) is not None}
    session = Session(arguments.data_path, workers=workers_of(arguments))
    options = flow.flow_options(session.dataset, given).model_dump(mode="json")
    config = {name: options[name] for name in given}
    current_scene_ids(session)
    prefixes = [arguments.prefix]
    if arguments.prefix is None:
        prefixes = flow.day_prefixes(session.store)
    else:
        config["prefix"] = arguments.prefix
    rows = [row for prefix in prefixes for row in flow.scenes_with_prefix(session.store, prefix)]
    _regrid(session, rows)
    session.materialize("flow/trajectories", "flow/plots", config=config)
    for prefix in prefixes:
        _print_trajectories(flow.trajectories_on_disk(session.store, prefix))
    files = session.store.files
    print(f"trajectories: {files.url('flow')}")
    print(f"plots: {files.url('flow/plots')}")
    return 0


def _regrid(session: Session, rows: Sequence[LedgerRow]) -> None:
    """Make what is missing on the dataset's grid; ConvmlError unless all that still is cannot be read."""
    from convml_data.pipeline.flow import scenes_to_regrid

    if not scenes_to_regrid(session.store, rows):
        return
    try:
        session.materialize_scenes("cropped", "regridded", runs=session.slices([row.scene_id for row in rows]))
    except ConvmlError as error:
        readable = {row.scene_id for row in session.store.read_ledger().scenes if row.problem is None}
        if any(row.scene_id in readable for row in scenes_to_regrid(session.store, rows)):
            raise
        print(f"warning: {error}", file=sys.stderr)


def _print_trajectories(made: Trajectories) -> None:
    """What there is of a prefix, and what is not as one would expect."""
    speed = f", median speed {made.median_speed:.1f} m/s" if made.count else ""
    print(f"{made.prefix}: {made.count} trajectories, scenes {made.scenes}{speed}")
    for scene_id, reason in list(made.breaks.items())[:BREAKS_SHOWN]:
        print(f"  all end before {scene_id}: {reason}")
    if len(made.breaks) > BREAKS_SHOWN:
        print(f"  and {len(made.breaks) - BREAKS_SHOWN} more such ends, which the file names")
    if made.unreadable:
        print(f"warning: passed over, since they cannot be read: {', '.join(made.unreadable)}", file=sys.stderr)

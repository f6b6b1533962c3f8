"""``convml-data backfill``: stages of a range of scenes, in runs of ``run.max_scenes``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from convml_data import cli
from convml_data.errors import PlanError
from convml_data_dagster.commands.options import add_aux_name, add_workers, workers_of
from convml_data_dagster.commands.scenes import current_scene_ids, make_matches
from convml_data_dagster.commands.session import Session
from convml_data_dagster.commands.stages import crop_to_know_the_scenes, make_plan

if TYPE_CHECKING:
    from convml_data.pipeline.scene import Stage


def add_backfill_command(commands: Any) -> None:
    """Add ``backfill`` to the sub-commands."""
    command = commands.add_parser("backfill", help="make stages of a range of scenes, in several runs")
    command.set_defaults(command=_backfill)
    what = "scene ID or time (UTC)"
    command.add_argument("--from", dest="first", metavar="SCENE", help=f"{what} to begin with (default: the first)")
    command.add_argument("--to", dest="last", metavar="SCENE", help=f"{what} to end with (default: the last)")
    command.add_argument(
        "--stage",
        nargs="+",
        metavar="STAGE",
        help="assets such as cropped or regridded (default: all per-scene stages)",
    )
    command.add_argument(
        "--missing-only", action="store_true", help="only scenes whose files are missing or out of date"
    )
    add_workers(command)
    cli.add_data_path(command)
    add_aux_name(command)


def _backfill(arguments: argparse.Namespace) -> int:
    from convml_data.pipeline.discovery import ledger_is_current
    from convml_data.pipeline.present import PresentScenes
    from convml_data.scenes.selection import runs_of, scenes_between

    session = Session(arguments.data_path, arguments.aux_name, workers_of(arguments))
    stages = _stages(session, arguments.stage)
    scene_ids = current_scene_ids(session)
    # Before anything is made, so that a slip of the pen costs nothing.
    store = session.store
    url = store.files.url(store.layout.ledger)
    scenes_between(store.read_ledger(), arguments.first, arguments.last, url)
    if session.aux_name is not None and not ledger_is_current(session.product_store):
        make_matches(session)
    for stage in stages:
        if stage in ("triplet_tiles", "trajectory_tiles"):
            scene_ids = crop_to_know_the_scenes(session, scene_ids)
            make_plan(session, stage, again=False)

    store = session.store
    wanted = scenes_between(store.read_ledger(), arguments.first, arguments.last, url)
    chosen = set(wanted)
    if arguments.missing_only:
        looked = [PresentScenes(session.product_store, stage).states(wanted) for stage in stages]
        chosen = {scene_id for states in looked for scene_id, state in states.items() if state.kind != "current"}
    runs = runs_of(store.read_ledger().scene_ids, chosen, session.dataset.meta.run.max_scenes)
    in_runs = "one run" if len(runs) == 1 else f"{len(runs)} runs"
    print(f"{len(chosen)} of {len(wanted)} scenes from {wanted[0]} to {wanted[-1]} in {in_runs}")
    if runs:
        session.materialize_scenes(*(session.asset(stage) for stage in stages), runs=runs)
    return 0


def _stages(session: Session, named: Sequence[str] | None) -> list[Stage]:
    """The stages that are meant, in their order, by the names of their assets."""
    from convml_data_dagster.assets.chain import chain_specs, stage_of

    product = session.dataset if session.aux_name is None else session.dataset.aux(session.aux_name)
    known = {spec.key.path[-1]: stage_of(spec.key) for spec in chain_specs(product)}
    for name in named or ():
        if name not in known:
            raise PlanError(
                f"there is no per-scene stage {name!r}",
                where=str(session.dataset.directory / "meta.yaml"),
                remedy=f"Stages are named as the assets: {', '.join(known)}",
            )
    return [stage for name, stage in known.items() if named is None or name in named]

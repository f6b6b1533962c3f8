"""``convml-data crop``, ``regrid`` and ``tiles``: the stages of all scenes, and what each needs first."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from convml_data import cli
from convml_data.errors import ConvmlError
from convml_data_dagster.commands.options import add_aux_name, add_workers, workers_of
from convml_data_dagster.commands.scenes import current_scene_ids, make_matches
from convml_data_dagster.commands.session import Session

if TYPE_CHECKING:
    from convml_data.store.dataset import DatasetStore
    from convml_data.tiles.tile import TileStage

#: Kinds of tiles as the command names them.
TILES_KINDS: Mapping[str, TileStage] = {
    "triplets": "triplet_tiles",
    "trajectories": "trajectory_tiles",
    "sliding-window": "sliding_window_tiles",
    "rect-slidingwindow": "sliding_window_tiles",
}


def add_stage_commands(commands: Any) -> None:
    """Add ``crop``, ``regrid`` and ``tiles`` to the sub-commands."""
    stages = {
        "crop": ("crop every scene to the domain, on the satellite's grid", ["cropped"]),
        "regrid": ("put every scene on the dataset's grid", ["cropped", "regridded"]),
        "tiles": ("plan and cut tiles", []),
    }
    for name, (text, assets) in stages.items():
        command = commands.add_parser(name, help=text)
        command.set_defaults(command=_stage, assets=assets)
        add_workers(command)
        if name == "tiles":
            command.add_argument(
                "--tiles-kind",
                choices=TILES_KINDS,
                metavar="KIND",
                help=f"{', '.join(TILES_KINDS)} (default: the first that the meta.yaml asks for)",
            )
        cli.add_data_path(command)
        add_aux_name(command)


def _stage(arguments: argparse.Namespace) -> int:
    from convml_data.pipeline.discovery import ledger_is_current

    session = Session(arguments.data_path, arguments.aux_name, workers_of(arguments))
    scene_ids = current_scene_ids(session)
    if session.aux_name is not None and not ledger_is_current(session.product_store):
        make_matches(session)
    stages = arguments.assets
    if not stages:
        kind = _tile_stage(session, arguments.tiles_kind)
        stages = [kind]
        scene_ids = crop_to_know_the_scenes(session, scene_ids)
        make_plan(session, kind)
    session.materialize_scenes(*(session.asset(stage) for stage in stages), runs=session.slices(scene_ids))
    for stage in stages:
        print(f"{session.asset(stage)}: {_place(session.product_store, stage)}")
    return 0


def _tile_stage(session: Session, kind: str | None) -> TileStage:
    """The kind of tiles that the command names, or the first that ``meta.yaml`` asks for."""
    asked = session.dataset.tile_stages
    stage = TILES_KINDS[kind] if kind is not None else asked[0] if asked else "triplet_tiles"
    session.dataset.wanted_tiles(stage)  # without any there is no such asset
    return stage


def make_plan(session: Session, stage: TileStage, *, again: bool = True) -> None:
    """Plan the tiles of a kind where they are not planned yet, and say what a user should know of the plan.

    Of an ongoing dataset triplets are planned ``again`` when scenes have come, or the plan is kept that holds for
    those that there were.
    """
    from convml_data.pipeline.tiles import plan_holds, tile_plan_is_current, trajectory_plan_is_current
    from convml_data.tiles.leakage import leakage

    if stage == "trajectory_tiles":
        if not trajectory_plan_is_current(session.store):
            session.materialize("trajectory_plan")
        around = session.store.read_trajectory_plan()
        for scene_id, reason in around.without.items():
            print(f"warning: no tile in {scene_id}: {reason}", file=sys.stderr)
        missing = [
            (scene_id, number, reason)
            for scene_id, why in around.trajectories_without.items()
            for reason, numbers in why.items()
            for number in numbers
        ]
        if missing:
            scene_id, number, reason = missing[0]
            plan_url = session.store.files.url(session.store.layout.trajectory_plan)
            print(
                f"warning: {len(missing)} tiles are missing in scenes where other trajectories have one; the first is "
                f"of trajectory {number} in {scene_id}: {reason}. All are named in {plan_url}",
                file=sys.stderr,
            )
    if stage == "triplet_tiles":
        if not (tile_plan_is_current(session.store) if again else plan_holds(session.store, "tile_plan")):
            _regrid_to_know_what_tiles_show(session)
            session.materialize("tile_plan")
        plan = session.store.read_tile_plan()
        for warning in (*plan.warnings, *leakage(plan.scenes, None).warnings):
            print(f"warning: {warning}", file=sys.stderr)
        for reason, count in Counter(plan.left_over.values()).items():
            print(f"{count} scenes are left over: {reason}")


def _regrid_to_know_what_tiles_show(session: Session) -> None:
    """Regrid what a plan looks at, where ``sampling.accept`` makes it look."""
    from convml_data.pipeline.acceptance import scenes_to_regrid_first, unreadable_scenes
    from convml_data.pipeline.discovery import ledger_is_current

    store = session.store
    accept = store.dataset.meta.sampling.accept
    if accept is None:
        return
    ledger = store.read_ledger()
    scene_ids = ledger.scene_ids
    unreadable = unreadable_scenes(store, ledger)
    if unreadable or scenes_to_regrid_first(store, ledger):
        try:
            session.materialize_scenes("cropped", "regridded", runs=session.slices(scene_ids))
        except ConvmlError as error:
            if not unreadable or scenes_to_regrid_first(store, store.read_ledger()):
                raise
            # Known since an earlier run, and not mended.
            print(f"warning: {error}", file=sys.stderr)
    mask = accept.cloud_mask
    if mask is None or mask not in store.dataset.meta.aux_products:
        return
    if not ledger_is_current(store.aux(mask)):
        session.materialize(f"aux/{mask}/matches")
    if scenes_to_regrid_first(store.aux(mask), store.aux(mask).read_ledger()):
        session.materialize_scenes(f"aux/{mask}/cropped", f"aux/{mask}/regridded", runs=session.slices(scene_ids))


def crop_to_know_the_scenes(session: Session, scene_ids: tuple[str, ...]) -> tuple[str, ...]:
    """The scenes that tiles may come from, some of which only cropping may show to be none."""
    from convml_data.pipeline.tiles import scenes_to_crop_first

    if not scenes_to_crop_first(session.store, session.store.read_ledger()):
        return scene_ids
    session.materialize_scenes("cropped", runs=session.slices(scene_ids))
    return current_scene_ids(session)


def _place(store: DatasetStore, stage: Any) -> str:
    place = store.scenes([stage]).place if stage in ("cropped", "regridded") else store.tiles_place(stage)
    return store.files.url(place)

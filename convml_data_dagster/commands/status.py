"""``convml-data status``: what of a dataset is there, what is out of date, and why."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from convml_data import cli
from convml_data_dagster.commands.options import add_aux_name

if TYPE_CHECKING:
    from convml_data.pipeline.scene import Stage

KINDS = ("current", "outdated", "missing", "failed")


def add_status_command(commands: Any) -> None:
    """Add ``status`` to the sub-commands."""
    command = commands.add_parser("status", help="say what is there and what is out of date, and why")
    command.set_defaults(command=_status)
    cli.add_data_path(command)
    add_aux_name(command)


def _status(arguments: argparse.Namespace) -> int:
    from convml_data.meta.dataset import load_dataset
    from convml_data.pipeline.flow import prefixes_on_disk, trajectories_state
    from convml_data.pipeline.present import PLANS, PresentScenes, ledger_state, plan_state, reasons
    from convml_data.store.dataset import DatasetStore

    store = DatasetStore.of(load_dataset(arguments.data_path))
    if arguments.aux_name is not None:
        store = store.aux(arguments.aux_name)
    stages: tuple[Stage, ...] = ("cropped", "regridded", *store.dataset.tile_stages)
    ledger = store.read_ledger()
    wholes = {"scene_ids" if arguments.aux_name is None else "matches": ledger_state(store)}
    wholes |= {PLANS[stage]: plan_state(store, PLANS[stage]) for stage in stages if stage in PLANS}
    if arguments.aux_name is None:
        wholes |= {store.layout.flow(prefix): trajectories_state(store, prefix) for prefix in prefixes_on_disk(store)}
    for name, state in wholes.items():
        print(f"{name}: {state.kind}" + ("" if state.why is None else f": {state.why}"))
    states = {stage: PresentScenes(store, stage).states() for stage in stages}
    width = max(map(len, stages))
    print(f"\n{'stage':<{width}}  {'  '.join(f'{kind:>8}' for kind in KINDS)}   of {len(ledger.scenes)} scenes")
    for stage, of_scenes in states.items():
        counts = [sum(state.kind == kind for state in of_scenes.values()) for kind in KINDS]
        print(f"{stage:<{width}}  {'  '.join(f'{count:>8}' for count in counts)}")
    for stage, of_scenes in states.items():
        for kind, why, count in reasons(of_scenes):
            print(f"{stage}: {count} {kind}: {why}")
    return 0

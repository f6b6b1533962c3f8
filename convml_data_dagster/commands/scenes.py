"""``convml-data scene-ids``, and the ledger and matches as other commands need them."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from convml_data import cli
from convml_data_dagster.commands.options import add_aux_name
from convml_data_dagster.commands.session import Session

if TYPE_CHECKING:
    from convml_data.store.dataset import DatasetStore


def add_scenes_command(commands: Any) -> None:
    """Add ``scene-ids`` to the sub-commands."""
    scene_ids = commands.add_parser("scene-ids", help="list the archive and make the scene ledger")
    scene_ids.set_defaults(command=_scene_ids)
    cli.add_data_path(scene_ids)
    add_aux_name(scene_ids)


def _scene_ids(arguments: argparse.Namespace) -> int:
    session = Session(arguments.data_path, arguments.aux_name)
    if session.aux_name is not None:
        current_scene_ids(session)
        make_matches(session)
        return 0
    session.materialize("scene_ids")
    _print_ledger(session.store)
    return 0


def _print_ledger(store: DatasetStore) -> None:
    from convml_data.sources import notices_of

    for notice in notices_of(store.dataset):
        print(f"notice: {notice}")
    ledger = store.read_ledger()
    print(f"{len(ledger.scenes)} of {len(ledger.rows)} scans seen in {ledger.archive} are scenes")
    for reason, count in ledger.drops().items():
        print(f"  {count} dropped: {reason}")
    problems = [row for row in ledger.scenes if row.problem is not None]
    for row in problems:
        print(f"  {row.scene_id} could not be read: {row.problem}")
    print(f"scene ledger: {store.files.url(store.layout.ledger)}")


def current_scene_ids(session: Session) -> tuple[str, ...]:
    """Scenes of the ledger, which is made where it is missing, empty or of another meta.yaml or archive."""
    from convml_data.pipeline.discovery import ledger_is_current
    from convml_data_dagster.partitions import register_scenes

    store = session.store
    if not ledger_is_current(store) or not store.read_ledger().scenes:
        session.materialize("scene_ids")
        store = session.store
        _print_ledger(store)
    else:
        print(f"{store.files.url(store.layout.ledger)} is used; `convml-data scene-ids` lists the archive again")
    scene_ids = store.read_ledger().scene_ids
    # The ledger is the truth; a fresh instance may not know its scenes yet.
    register_scenes(session.instance, session.dataset.name, scene_ids)
    return scene_ids


def make_matches(session: Session) -> None:
    """Match the auxiliary product's images to the scenes, and say what came of it."""
    session.materialize(f"aux/{session.aux_name}/matches")
    store = session.product_store
    ledger = store.read_ledger()
    print(f"{len(ledger.scenes)} of {len(ledger.rows)} scenes have an image of {session.aux_name} in {ledger.archive}")
    for row in ledger.rows:
        if row.reason is not None:
            print(f"  {row.scene_id}: {row.reason}")
    print(f"matches: {store.files.url(store.layout.ledger)}")

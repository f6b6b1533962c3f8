"""``convml-data reconcile``: Dagster's record put right by the files."""

from __future__ import annotations

import argparse
from collections import Counter
from typing import Any

from convml_data import cli
from convml_data_dagster.commands.session import Session


def add_reconcile_command(commands: Any) -> None:
    """Add ``reconcile`` to the sub-commands."""
    command = commands.add_parser("reconcile", help="put Dagster's record right by the files that are there")
    command.set_defaults(command=_reconcile)
    command.add_argument("--dry-run", action="store_true", help="say what differs and change nothing")
    cli.add_data_path(command)


def _reconcile(arguments: argparse.Namespace) -> int:
    from convml_data_dagster.reconcile import reconcile
    from convml_data_dagster.summaries import few

    session = Session(arguments.data_path)
    found = reconcile(session.dataset, session.definitions, session.instance, dry_run=arguments.dry_run)
    verb = "would be" if arguments.dry_run else "are"
    if found.new_scenes or found.scenes_gone:
        print(f"partitions: {found.new_scenes} {verb} added, {found.scenes_gone} {verb} removed")
    for difference in found.differences:
        name = difference.asset.to_user_string()
        scene_ids = [scene_id for scene_id in difference.unknown if scene_id is not None]
        if difference.unknown:
            what = f" of {len(scene_ids)} scenes: {few(scene_ids)}" if scene_ids else ""
            print(f"{name}: files that Dagster did not know {verb} recorded{what}")
        causes = Counter(
            f"{state.kind}{'' if state.why is None else f' ({state.why})'}" for state in difference.lost.values()
        )
        if causes:
            lost = [scene_id for scene_id in difference.lost if scene_id is not None]
            what = f", {len(lost)} scenes: {few(lost)}" if lost else ""
            print(f"{name}: recorded as made, but {'; '.join(causes)}: {verb} shown as failed now{what}")
    if not (found.new_scenes or found.scenes_gone or any(d.unknown or d.lost for d in found.differences)):
        print("Dagster's record agrees with the files")
    return 0

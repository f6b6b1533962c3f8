"""The ``convml-data`` command: what ``convml_data`` offers by itself, and the stages through Dagster.

Each stage command materializes the assets that the UI shows, in the same instance, so that what
one did the other knows. Dagster is imported once a command needs it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from convml_data import cli
from convml_data.embeddings.command import add_model_command
from convml_data.simulate.command import add_simulate_command
from convml_data_dagster.commands.backfill import add_backfill_command
from convml_data_dagster.commands.embeddings import add_embeddings_command
from convml_data_dagster.commands.flow import add_flow_command
from convml_data_dagster.commands.reconcile import add_reconcile_command
from convml_data_dagster.commands.reports import add_report_commands
from convml_data_dagster.commands.scenes import add_scenes_command
from convml_data_dagster.commands.stages import add_stage_commands
from convml_data_dagster.commands.status import add_status_command
from convml_data_dagster.commands.transforms import add_transform_commands
from convml_data_dagster.commands.ui import add_ui_command

_COMMANDS = (
    add_scenes_command,
    add_stage_commands,
    add_embeddings_command,
    add_transform_commands,
    add_model_command,
    add_backfill_command,
    add_status_command,
    add_reconcile_command,
    add_report_commands,
    add_flow_command,
    add_ui_command,
    add_simulate_command,
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and give its exit status."""
    parser, commands = cli.build_parser()
    for add in _COMMANDS:
        add(commands)
    return cli.run(parser, argv)


def script() -> None:
    """The installed command."""
    status = main()
    if status == cli.INTERRUPTED:
        # Threads of the interrupted run still work. What they write appears whole or not at all, so
        # nothing is lost by not waiting for them.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)


if __name__ == "__main__":
    script()

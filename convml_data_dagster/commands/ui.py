"""``convml-data ui``: Dagster's UI on a dataset."""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any

from convml_data import cli
from convml_data.errors import ConvmlError
from convml_data_dagster.commands.options import count


def add_ui_command(commands: Any) -> None:
    """Add ``ui`` to the sub-commands."""
    ui = commands.add_parser("ui", help="open Dagster's UI on the dataset")
    ui.add_argument("--port", type=count, default=3000)
    ui.set_defaults(command=_ui)
    cli.add_data_path(ui)


def _ui(arguments: argparse.Namespace) -> int:
    from convml_data.meta.dataset import find_datasets
    from convml_data_dagster.instance import dagster_home, prepare_home

    directories = find_datasets([arguments.data_path])
    if not directories:
        raise ConvmlError(
            "there is no meta.yaml in this folder or in the folders in it",
            where=str(arguments.data_path),
            remedy="Name the dataset's folder with --data-path",
        )
    home = dagster_home(directories[0])
    prepare_home(home)
    os.environ |= {
        "DAGSTER_HOME": str(home),
        "CONVML_DATASETS": os.pathsep.join(str(directory.absolute()) for directory in directories),
    }
    command = ["dagster", "dev", "-m", "convml_data_dagster.definitions", "-p", str(arguments.port)]
    os.execv(sys.executable, [sys.executable, "-m", *command])

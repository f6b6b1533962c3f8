"""Options that several commands have."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from convml_data_dagster.resources import WorkersResource


def count(text: str) -> int:
    """A whole number from 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1")
    return int(text)


def add_aux_name(parser: argparse.ArgumentParser) -> None:
    """The option that names an auxiliary product, as ``aux_name``."""
    parser.add_argument("--aux-name", metavar="NAME", help="of an auxiliary product of the meta.yaml")


def add_workers(parser: argparse.ArgumentParser) -> None:
    """The options that say who works, for :func:`workers_of`."""
    parser.add_argument("--workers", type=count, metavar="N", help="scenes at a time (default: one for each processor)")
    parser.add_argument(
        "--processes", action="store_true", help="work in processes instead of threads, each with its own memory"
    )
    parser.add_argument("--dask-scheduler", metavar="ADDRESS", help="work on a running Dask cluster")


def workers_of(arguments: argparse.Namespace) -> WorkersResource:
    """Who works, as the command was told."""
    from convml_data_dagster.resources import WorkersResource

    return WorkersResource(
        count=arguments.workers,
        kind="processes" if arguments.processes else None,
        address=arguments.dask_scheduler,
    )

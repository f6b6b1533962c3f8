"""Which Dagster instance keeps the record: the same for the command line and the UI."""

from __future__ import annotations

import os
from pathlib import Path

import dagster as dg

from convml_data.errors import ConvmlError

#: What the ``dagster.yaml`` of a new home says.
DEFAULT_SETTINGS = Path(__file__).with_name("dagster.yaml")


def dagster_home(dataset_directory: Path) -> Path:
    """``DAGSTER_HOME``, or the folder ``.dagster`` beside the dataset's folder."""
    configured = os.environ.get("DAGSTER_HOME")
    return Path(configured).absolute() if configured else dataset_directory.absolute().parent / ".dagster"


def prepare_home(home: Path) -> None:
    """Make the folder and its ``dagster.yaml`` where they are missing."""
    settings = home / "dagster.yaml"
    try:
        home.mkdir(parents=True, exist_ok=True)
        if not settings.exists():
            settings.write_bytes(DEFAULT_SETTINGS.read_bytes())
    except OSError as error:
        raise ConvmlError(
            f"Dagster's record cannot be kept here ({error.strerror})",
            where=str(home),
            remedy="Set the environment variable DAGSTER_HOME to a folder that can be written to",
        ) from error


def open_instance(home: Path) -> dg.DagsterInstance:
    """The instance of a home, made where it is new."""
    prepare_home(home)
    os.environ["DAGSTER_HOME"] = str(home)  # what Dagster starts looks there too
    return dg.DagsterInstance.get()

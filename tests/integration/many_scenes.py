"""Datasets of very many very small scenes."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import h5netcdf
import numpy as np
import yaml


def write_dataset(folder: Path, scenes: int, side: int = 16) -> Path:
    """A model's file with as many times, each of noise in (side, side) cells."""
    files = folder / "source_data" / "LES"
    files.mkdir(parents=True)
    generator = np.random.default_rng(0)
    with h5netcdf.File(files / "model.nc", "w") as file:
        file.dimensions = {"time": scenes, "y": side, "x": side}
        variables: dict[str, tuple[tuple[str, ...], Any, dict[str, str]]] = {
            "time": (("time",), 600.0 * np.arange(scenes), {"units": "seconds since 2020-01-01"}),
            "x": (("x",), 100.0 * np.arange(side), {"units": "m"}),
            "y": (("y",), 100.0 * np.arange(side), {"units": "m"}),
            "lwp": (("time", "y", "x"), generator.random((scenes, side, side), np.float32), {"units": "kg m-2"}),
        }
        for name, (dimensions, values, attributes) in variables.items():
            variable = file.create_variable(name, dimensions, data=values)
            variable.attrs.update(attributes)
    start = datetime(2020, 1, 1)
    meta = {
        "source": "LES",
        "product": "singlechannel__lwp",
        "time": {"t_start": start, "t_end": start + timedelta(minutes=10 * scenes)},
        "sampling": {"resolution": 100.0},
    }
    (folder / "meta.yaml").write_text(yaml.safe_dump(meta))
    return folder

"""A scene on a local grid."""

from __future__ import annotations

import json
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from convml_data.geometry.local import LocalGrid
from convml_data.geometry.source_grids import grid_of
from convml_data.geometry.windows import Window
from convml_data.regrid.apply import Method, apply_index_map
from convml_data.regrid.index_map import build_index_map, cached_index_map, points_per_cell_side
from convml_data.sources.base import CATEGORICAL

#: Name of the coordinate that holds the projection of a local grid.
GRID_MAPPING = "local_projection"

#: Attributes of a cropped scene that do not hold for data on another grid.
_OF_THE_SOURCE_GRID = frozenset(
    {
        "title",
        "source_grid",
        "valid_share",
        "on_earth_share",
        "missing_on_earth_share",
        "rejected_share",
        "fingerprint",
        "values_digest",
    }
)


def regrid_scene(scene: xr.Dataset, target: LocalGrid, method: Method, cache: Path | None) -> xr.Dataset:
    """Interpolate a scene from its source grid, once, onto a local grid.

    Cells that are larger than the source's pixels get the average of several bilinear samples, as
    many as it takes to reach all pixels under the cell; ``nearest`` takes the pixel at the cell's
    centre and averages nothing.

    Parameters
    ----------
    scene
        As a source's ``read`` returns it: one variable (…, y, x) and the attribute
        ``source_grid``.
    target
        The local grid.
    method
        ``bilinear`` or ``nearest``; a field whose values are codes is always taken from the nearest pixel.
    cache
        Folder of index maps for grids that many scenes share, None for a grid used once.

    Returns
    -------
    One variable of the same name (…, y, x), y ascending to the north, x and y in metres, float32,
    NaN where the source has no value; attribute ``valid_share``: its share of finite cells.
    """
    (field,) = scene.data_vars.values()
    if CATEGORICAL.keys() <= field.attrs.keys():
        method = "nearest"
    source = grid_of(scene)
    subdivision = points_per_cell_side(source, target) if method == "bilinear" else 1
    index_map = (
        build_index_map(source, target, subdivision)
        if cache is None
        else cached_index_map(source, target, subdivision, cache)
    )
    values = apply_index_map(np.asarray(field.values, np.float32), index_map, method)

    dims = field.dims
    kept = {name: coord for name, coord in field.coords.items() if coord.dims and set(coord.dims) <= set(dims[:-2])}
    regridded = xr.DataArray(
        values,
        dims=dims,
        coords={**kept, **local_coordinates(target)},
        attrs=_on_plane(field.attrs, target),
        name=field.name,
    )
    attributes = {name: value for name, value in scene.attrs.items() if name not in _OF_THE_SOURCE_GRID}
    attributes |= {
        "local_grid": json.dumps(target.to_dict()),
        "resampling": method if subdivision == 1 else f"mean of {subdivision} x {subdivision} {method} samples",
        "valid_share": float(np.isfinite(values).all(axis=tuple(range(values.ndim - 2))).mean()),
    }
    return regridded.to_dataset().assign_attrs(attributes)


def cut_window(scene: xr.Dataset, window: Window) -> xr.Dataset:
    """A window of a scene on a local grid: its cells as they are.

    Returns
    -------
    The scene's variable and coordinates there; ``valid_share`` is the window's.
    """
    rows, columns = window.slices
    cut = scene.isel(y=rows, x=columns)
    (field,) = cut.data_vars.values()
    valid = np.isfinite(field.values).reshape(-1, *field.shape[-2:]).all(axis=0)
    return cut.assign_attrs(valid_share=float(valid.mean()))


def local_coordinates(grid: LocalGrid) -> dict[str, xr.DataArray]:
    """CF coordinates of a local grid: x, y and, where it has a place on the earth, the projection."""
    axes = {
        name: xr.DataArray(
            values,
            dims=name,
            attrs={"long_name": f"{direction} distance from the centre", "units": "m", "axis": name.upper()},
        )
        for name, values, direction in (("x", grid.x, "zonal"), ("y", grid.y, "meridional"))
    }
    if grid.crs is None:
        return axes
    for name, axis in axes.items():
        axis.attrs["standard_name"] = f"projection_{name}_coordinate"
    return {**axes, GRID_MAPPING: xr.DataArray(np.int32(0), attrs=grid.crs.to_cf())}


def _on_plane(attributes: Mapping[Hashable, Any], target: LocalGrid) -> dict[Hashable, Any]:
    """Attributes of a field with the grid mapping of the target, if it has one, in place of the source's."""
    kept = {name: value for name, value in attributes.items() if name != "grid_mapping"}
    return kept if target.crs is None else {**kept, "grid_mapping": GRID_MAPPING}

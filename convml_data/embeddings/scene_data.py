"""The embeddings of a scene as data that say where each of them belongs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from convml_data.embeddings.encoder import FloatArray
from convml_data.geometry.local import LocalGrid
from convml_data.regrid.scene import GRID_MAPPING, local_coordinates
from convml_data.tiles.sliding_window import windows_over
from convml_data.tiles.tile import Tile

#: The variable that holds embeddings.
EMB = "emb"

_EMB_ATTRS = {"long_name": "embedding", "units": "1"}

#: What coordinates mean.
_MEANINGS: dict[str, dict[str, str]] = {
    "lat": {"standard_name": "latitude", "long_name": "latitude of the tile's centre", "units": "degrees_north"},
    "lon": {"standard_name": "longitude", "long_name": "longitude of the tile's centre", "units": "degrees_east"},
    "i0": {"long_name": "column of the scene's picture at the tile's centre, counted from the west", "units": "1"},
    "j0": {"long_name": "row of the scene's picture at the tile's centre, counted from the north", "units": "1"},
    "valid_share": {"long_name": "share of the tile's cells that have a value; below 1 there is no embedding"},
    "scene_time": {"long_name": "start of the scan"},
    "triplet_id": {"long_name": "number of the triplet in its collection"},
    "x": {"long_name": "zonal distance of the tile's centre from the domain's", "units": "m"},
    "y": {"long_name": "meridional distance of the tile's centre from the domain's", "units": "m"},
}


def of_windows(
    grid: LocalGrid, tile_n: int, step: int, embeddings: FloatArray, valid_share: npt.NDArray[np.floating]
) -> xr.Dataset:
    """Embeddings of windows at equal steps over a scene.

    Parameters
    ----------
    grid
        Of the scene.
    tile_n, step
        Cells along a side of a window, and from one to the next.
    embeddings, valid_share
        In the order of the windows (from west to east, then row by row from north to south), shapes (n, dims) and (n,).

    Returns
    -------
    ``emb`` (emb_dim, y, x), y ascending to the north; x and y are the centres of the windows.
    """
    windows = list(windows_over(grid.shape, tile_n, step))
    columns = list(dict.fromkeys(window.col0 for window in windows))
    rows = list(dict.fromkeys(window.row0 for window in windows))[::-1]  # from south to north
    ny, nx = len(rows), len(columns)
    x = np.array([grid.x[column : column + tile_n].mean() for column in columns])
    y = np.array([grid.y[row : row + tile_n].mean() for row in rows])
    axes = local_coordinates(grid)
    coordinates: dict[str, Any] = {
        "x": ("x", x, axes["x"].attrs | {"long_name": _MEANINGS["x"]["long_name"]}),
        "y": ("y", y, axes["y"].attrs | {"long_name": _MEANINGS["y"]["long_name"]}),
        "i0": ("x", np.array(columns, np.int32) + tile_n // 2),
        "j0": ("y", grid.shape[0] - (np.array(rows, np.int32) + tile_n) + tile_n // 2),
        "valid_share": (("y", "x"), valid_share.reshape(ny, nx)[::-1].astype(np.float32)),
    }
    if grid.crs is not None:
        lon, lat = grid.domain.to_world(*np.meshgrid(x, y))
        coordinates |= {"lat": (("y", "x"), lat), "lon": (("y", "x"), lon), GRID_MAPPING: axes[GRID_MAPPING]}
    by_place = embeddings.reshape(ny, nx, -1)[::-1].transpose(2, 0, 1)
    attributes = _EMB_ATTRS | ({} if grid.crs is None else {"grid_mapping": GRID_MAPPING})
    return _described(xr.Dataset({EMB: (("emb_dim", "y", "x"), by_place, attributes)}, coordinates))


def of_tiles(tiles: Sequence[Tile], embeddings: FloatArray, valid_share: npt.NDArray[np.floating]) -> xr.Dataset:
    """Embeddings of tiles that were cut from a scene.

    Parameters
    ----------
    tiles
        As planned.
    embeddings, valid_share
        In their order, shapes (n, dims) and (n,).

    Returns
    -------
    ``emb`` (tile_id, emb_dim). ``tile_id`` is the collection, if the tile is of one, and the name of the tile's files.
    """
    of_each: dict[str, list[Any]] = {
        "tile_id": [f"{tile.collection}/{tile.name}".lstrip("/") for tile in tiles],
        "scene_id": [tile.scene_id for tile in tiles],
        "x": [tile.x_c for tile in tiles],
        "y": [tile.y_c for tile in tiles],
        "lat": [tile.central_latitude for tile in tiles],
        "lon": [tile.central_longitude for tile in tiles],
        "collection": [tile.collection or None for tile in tiles],
        "triplet_id": [tile.facts().get("triplet_id") for tile in tiles],
        "tile_type": [tile.facts().get("tile_type") for tile in tiles],
        "valid_share": list(valid_share.astype(np.float32)),
    }
    coordinates = {name: ("tile_id", values) for name, values in of_each.items() if None not in values}
    return _described(xr.Dataset({EMB: (("tile_id", "emb_dim"), embeddings, _EMB_ATTRS)}, coordinates))


def _described(data: xr.Dataset) -> xr.Dataset:
    for name, coordinate in data.coords.items():
        for key, text in _MEANINGS.get(str(name), {}).items():
            coordinate.attrs.setdefault(key, text)
    return data

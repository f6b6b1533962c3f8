"""Tiles at equal steps over a scene on the domain's grid: slices of it, not interpolated again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from convml_data.errors import PlanError
from convml_data.geometry.local import LocalGrid
from convml_data.geometry.windows import Window
from convml_data.tiles.tile import Tile


@dataclass(frozen=True)
class WindowTile(Tile):
    """A window of a scene on the domain's grid.

    Parameters
    ----------
    scene_id
        Where its data comes from.
    tile_id
        Number of the window: from west to east, and then row by row from north to south.
    i0, imax, j0, jmax
        Its cells of the scene, half open: ``x[i0:imax]`` and ``y[j0:jmax]``, y ascending to the north.
    x_c, y_c, central_latitude, central_longitude, length, resolution
        As of every tile.
    """

    scene_id: str
    tile_id: int
    i0: int
    imax: int
    j0: int
    jmax: int
    x_c: float
    y_c: float
    central_latitude: float | None
    central_longitude: float | None
    length: float
    resolution: float
    collection = ""

    @property
    def name(self) -> str:
        """The scene's ID and the window's number."""
        return f"{self.scene_id}__{self.tile_id:05d}"

    @property
    def window(self) -> Window:
        """Its cells of the scene."""
        return Window(self.j0, self.jmax, self.i0, self.imax)

    def facts(self) -> dict[str, Any]:
        """Its cells of the scene."""
        return {"tile_id": self.tile_id, "i0": self.i0, "imax": self.imax, "j0": self.j0, "jmax": self.jmax}

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready values."""
        return dict(vars(self))  # not `asdict`, which takes ten times as long to copy deeply


def windows_over(shape: tuple[int, int], tile_n: int, step: int) -> Iterator[Window]:
    """Windows at equal steps from the north-west corner, from west to east and then row by row to the south.

    Parameters
    ----------
    shape
        (ny, nx) of the grid, y ascending to the north.
    tile_n
        Cells along a side of a window.
    step
        Cells from one window to the next. What is left over in the east and south has no window.
    """
    ny, nx = shape
    for from_top in range(0, ny - tile_n + 1, step):
        for i0 in range(0, nx - tile_n + 1, step):
            yield Window(ny - from_top - tile_n, ny - from_top, i0, i0 + tile_n)


def require_fit(grid: LocalGrid, tile_n: int, where: str) -> None:
    """See that tiles that are slices of scenes fit into their grid.

    Parameters
    ----------
    grid
        Of the scenes.
    tile_n
        Cells along a side of a tile.
    where
        Key of ``meta.yaml`` that asks for such tiles.

    Raises
    ------
    PlanError
        The grid is smaller than a tile.
    """
    ny, nx = grid.shape
    if tile_n > min(ny, nx):
        raise PlanError(
            f"tiles of {tile_n} x {tile_n} cells do not fit into the domain's {nx} x {ny}",
            where=where,
            remedy="Give a smaller tile_N, a finer resolution or a larger domain",
        )


def tiles_over(scene_id: str, grid: LocalGrid, tile_n: int, step: int) -> tuple[WindowTile, ...]:
    """All tiles of a scene on the domain's grid.

    Raises
    ------
    PlanError
        The grid is smaller than a tile.
    """
    require_fit(grid, tile_n, "sampling.sliding_window.tile_N")
    windows = list(windows_over(grid.shape, tile_n, step))
    x, y, on_earth = grid.x, grid.y, grid.crs is not None
    tiles = []
    for tile_id, window in enumerate(windows):
        x_c = float(x[window.col0 : window.col1].mean())
        y_c = float(y[window.row0 : window.row1].mean())
        lon, lat = (float(at) for at in grid.domain.to_world(x_c, y_c))
        tiles.append(
            WindowTile(
                scene_id=scene_id,
                tile_id=tile_id,
                i0=window.col0,
                imax=window.col1,
                j0=window.row0,
                jmax=window.row1,
                x_c=x_c,
                y_c=y_c,
                central_latitude=lat if on_earth else None,
                central_longitude=lon if on_earth else None,
                length=tile_n * grid.resolution,
                resolution=grid.resolution,
            )
        )
    return tuple(tiles)

"""Which tiles are worth cutting, by what they show."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from convml_data.geometry.local import LocalGrid

#: Fields of a scene on the dataset's grid, shape (bands, ny, nx), NaN where there is no value.
Fields = npt.NDArray[np.floating]
#: What is cloud in a scene, shape (ny, nx): 1 cloud, 0 none, NaN unknown; None where nothing tells.
Mask = npt.NDArray[np.floating] | None

#: Bytes of scenes that are kept in memory at most, unless one alone is larger.
BYTES_KEPT = 2**30


@dataclass(frozen=True)
class Conditions:
    """What a tile must meet.

    Parameters
    ----------
    min_valid_share
        Share of its cells that have a value in all bands, at least.
    min_std
        Standard deviation of its values, in the units of the field and in one of its bands at least.
    max_cloud_fraction
        Share of cloud among the cells of which it is known, at most; None where that does not matter.
    """

    min_valid_share: float = 0.0
    min_std: float = 0.0
    max_cloud_fraction: float | None = None

    def met_by(self, fields: Fields, cloud: Mask) -> bool:
        """Whether a tile of these values meets all conditions.

        Parameters
        ----------
        fields, cloud
            Of the tile. Where all of the cloud is unknown, a limit on it is not met.
        """
        valid = np.isfinite(fields)
        if float(valid.all(axis=0).mean()) < self.min_valid_share:
            return False
        if self.min_std > 0:
            spread = [float(band[there].std()) for band, there in zip(fields, valid, strict=True) if there.any()]
            if not spread or max(spread) < self.min_std:
                return False
        if self.max_cloud_fraction is None:
            return True
        known = np.zeros(0) if cloud is None else cloud[np.isfinite(cloud)]
        return known.size > 0 and float((known >= 0.5).mean()) <= self.max_cloud_fraction


@dataclass(frozen=True)
class SceneContents:
    """What tiles show, looked up in the scenes on the dataset's grid.

    Parameters
    ----------
    conditions
        That tiles must meet.
    grid
        Of the scenes.
    tile_n
        Cells along a side of a tile.
    read
        Fields and cloud of a scene by its ID; both None where the scene cannot be read.
    """

    conditions: Conditions
    grid: LocalGrid
    tile_n: int
    read: Callable[[str], tuple[Fields | None, Mask]]
    _kept: dict[str, tuple[Fields | None, Mask]] = field(default_factory=dict, init=False, repr=False, compare=False)

    def accepts(self, scene_id: str, x: float, y: float) -> bool:
        """Whether the tile centred on a point of the domain's plane, metres, meets the conditions.

        A tile's own plane is turned a little against the domain's; that its cells are not quite
        those of the scene does not matter here. Cells beyond the scene count as without a value.
        Whoever asks scene by scene has each read once.
        """
        fields, cloud = self._scene(scene_id)
        if fields is None:
            return False
        column = round((x - float(self.grid.x[0])) / self.grid.resolution - (self.tile_n - 1) / 2)
        row = round((y - float(self.grid.y[0])) / self.grid.resolution - (self.tile_n - 1) / 2)
        cut = _window(fields, row, column, self.tile_n)
        return self.conditions.met_by(
            cut, None if cloud is None else _window(cloud[np.newaxis], row, column, self.tile_n)[0]
        )

    def _scene(self, scene_id: str) -> tuple[Fields | None, Mask]:
        """A scene, read where it is not among the last that were."""
        if scene_id not in self._kept:
            self._kept[scene_id] = self.read(scene_id)
            while len(self._kept) > 1 and self._bytes_kept > BYTES_KEPT:
                del self._kept[next(iter(self._kept))]
        return self._kept[scene_id]

    @property
    def _bytes_kept(self) -> int:
        return sum(array.nbytes for scene in self._kept.values() for array in scene if array is not None)


def _window(values: Fields, row: int, column: int, side: int) -> Fields:
    """A window of shape (bands, side, side), NaN beyond the values."""
    ny, nx = values.shape[-2:]
    window = np.full((values.shape[0], side, side), np.nan)
    rows, columns = (slice(max(0, first), min(first + side, size)) for first, size in ((row, ny), (column, nx)))
    if rows.start < rows.stop and columns.start < columns.stop:
        window[:, rows.start - row : rows.stop - row, columns.start - column : columns.stop - column] = values[
            :, rows, columns
        ]
    return window

"""Tiles as datasets of PyTorch: float32 tensors (bands, y, x) with row 0 in the north.

This module alone of the package needs PyTorch, and nothing else imports it. Its datasets can be pickled, and
open files in the process that reads them only, so that ``torch.utils.data.DataLoader`` may have workers.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from convml_data.errors import PlanError, StoreError
from convml_data.geometry.windows import Window
from convml_data.report.statistics import Statistics, bands_of, read_statistics
from convml_data.store.arrays import ArrayStore, Format
from convml_data.store.files import Files
from convml_data.store.shown_tiles import tiles_there
from convml_data.tiles.plan import TILE_TYPES
from convml_data.tiles.sliding_window import windows_over

try:
    import torch
    from torch.utils.data import Dataset
except ImportError as error:
    raise ImportError("convml_data.torch needs PyTorch: run `pip install 'convml-data[torch]'`") from error

FloatArray = npt.NDArray[np.float32]
Transform = Callable[[torch.Tensor], torch.Tensor]

_TRIPLET_TILE = re.compile(rf"(\d{{5,}})_({'|'.join(TILE_TYPES)})")

#: What reading the values of a file raises that is absent, damaged or another one than those beside it.
_UNREADABLE = (OSError, KeyError, ValueError, TypeError, RuntimeError)


@dataclass(frozen=True)
class _Layout:
    """What the fields of the files in a folder have in common.

    Parameters
    ----------
    name
        Of the variable.
    bands
        Names.
    shape
        (ny, nx).
    y_ascending
        Whether rows run from south to north.
    """

    name: str
    bands: tuple[str, ...]
    shape: tuple[int, int]
    y_ascending: bool

    @classmethod
    def of(cls, data: xr.Dataset, where: str) -> _Layout:
        """That of a file; StoreError where it holds anything but one field (y, x) or (bands, y, x)."""
        try:
            (field,) = data.data_vars.values()
            y = field["y"].values
            bands = tuple(bands_of(field, where))
        except _UNREADABLE as error:
            raise StoreError(f"this is no field (bands, y, x) ({error})", where=where) from error
        ny, nx = field.shape[-2:]
        return cls(str(field.name), bands, (ny, nx), bool(y[-1] > y[0]))


@dataclass(frozen=True)
class _Preparation:
    """How values become tensors."""

    scale: tuple[FloatArray, FloatArray] | None
    missing: float | None
    transform: Transform | None

    @classmethod
    def of(
        cls,
        bands: Sequence[str],
        normalise: Statistics | str | os.PathLike[str] | None,
        missing: float | None,
        transform: Transform | None,
    ) -> _Preparation:
        if normalise is None:
            return cls(None, missing, transform)
        statistics = normalise if isinstance(normalise, Statistics) else read_statistics(Path(normalise))
        if tuple(statistics.bands) != tuple(bands):
            raise StoreError(
                f"the statistics are of the bands {', '.join(statistics.bands)}, and the tiles have {', '.join(bands)}",
                where=None if isinstance(normalise, Statistics) else str(normalise),
                remedy="Take the statistics of the same product",
            )
        flat = [name for name, band in statistics.bands.items() if not band.std > 0]
        if flat:
            raise StoreError(
                f"{', '.join(flat)} has no two values that differ, and cannot be brought to a standard deviation of 1",
                where=None if isinstance(normalise, Statistics) else str(normalise),
                remedy="Leave `normalise` out and scale the values in `transform`",
            )
        mean, std = (of_bands.astype(np.float32)[:, None, None] for of_bands in (statistics.mean, statistics.std))
        return cls((mean, std), missing, transform)

    def tensor(self, values: npt.NDArray[Any], where: str) -> torch.Tensor:
        """A tile's values (bands, y, x) from north to south as they are fed to a network."""
        prepared = np.array(values, np.float32, order="C")
        if self.scale is not None:
            mean, std = self.scale
            prepared = (prepared - mean) / std
        absent = np.isnan(prepared)
        if absent.any():
            if self.missing is None:
                raise StoreError(
                    f"{absent.mean():.1%} of the values are missing",
                    where=where,
                    remedy="Say what stands for them, for example `missing=0.0`, the mean where tiles are normalised",
                )
            prepared[absent] = self.missing
        tensor = torch.from_numpy(prepared)
        return tensor if self.transform is None else self.transform(tensor)


class _Tiles:
    """The tiles in a folder, read one by one."""

    def __init__(
        self,
        root: str | os.PathLike[str],
        folder: str,
        names: Sequence[str],
        normalise: Statistics | str | os.PathLike[str] | None,
        missing: float | None,
        transform: Transform | None,
    ) -> None:
        self.arrays = tiles_there(Files(os.fspath(root)), folder)
        with self.arrays.open(names[0]) as first:
            self.layout = _Layout.of(first, self.arrays.url(names[0]))
        self.preparation = _Preparation.of(self.layout.bands, normalise, missing, transform)

    def read(self, name: str) -> torch.Tensor:
        """A tile."""
        layout, arrays = self.layout, self.arrays
        where, shape = arrays.url(name), (len(layout.bands), *layout.shape)
        values = arrays.values(name, layout.name)
        if values.shape not in (shape, shape[1:]):
            raise StoreError(f"this tile has the shape {values.shape}, and others {shape}", where=where)
        values = values.reshape(shape)
        return self.preparation.tensor(values[:, ::-1] if layout.y_ascending else values, where)


def _stored(root: str | os.PathLike[str], folder: str) -> list[str]:
    arrays = tiles_there(Files(os.fspath(root)), folder)
    names = arrays.stored()
    if not names:
        raise StoreError("there are no tiles here", where=arrays.files.url(folder), remedy="Run `convml-data tiles`")
    return names


class TripletDataset(Dataset[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]):
    """The triplets of a collection by number: (anchor, neighbor, distant), float32 tensors (bands, y, x).

    Parameters
    ----------
    root
        Folder or fsspec URL of the dataset's files.
    collection
        ``train``, …; of an auxiliary product ``<its name>/train``.
    normalise
        Statistics of a collection, or their file: values become (value - mean) / std of their band.
    missing
        What stands for missing values, in units of the tensors, that is after normalisation. Without it a tile
        with missing values is an error.
    transform
        Applied to each tile.

    Raises
    ------
    StoreError
        There are no triplets, one is not complete, or the statistics are of other bands.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        collection: str,
        *,
        normalise: Statistics | str | os.PathLike[str] | None = None,
        missing: float | None = None,
        transform: Transform | None = None,
    ) -> None:
        folder = f"triplets/{collection}"
        triplets: defaultdict[int, dict[str, str]] = defaultdict(dict)
        for name in _stored(root, folder):
            number, tile_type = _triplet_tile(name, folder)
            triplets[number][tile_type] = name
        for number, tiles in triplets.items():
            lacking = [tile_type for tile_type in TILE_TYPES if tile_type not in tiles]
            if lacking:
                raise StoreError(
                    f"triplet {number} has no {' and no '.join(lacking)} tile",
                    where=Files(os.fspath(root)).url(folder),
                    remedy="Run `convml-data tiles`; where an auxiliary product has no image of a scene, "
                    "take its tiles one by one with TileDataset",
                )
        #: Number and names of the tiles of each triplet, in the order of the dataset.
        self.triplets = [(number, tuple(triplets[number][kind] for kind in TILE_TYPES)) for number in sorted(triplets)]
        self._tiles = _Tiles(root, folder, self.triplets[0][1], normalise, missing, transform)

    def __len__(self) -> int:
        return len(self.triplets)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        anchor, neighbor, distant = (self._tiles.read(name) for name in self.triplets[index][1])
        return anchor, neighbor, distant


def _triplet_tile(name: str, folder: str) -> tuple[int, str]:
    found = _TRIPLET_TILE.fullmatch(name)
    if found is None:
        raise StoreError(f"{name}.nc is no tile of a triplet", where=folder, remedy="Move it to another folder")
    return int(found[1]), found[2]


class TileDataset(Dataset[torch.Tensor]):
    """Tiles of any kind one by one, by name: float32 tensors (bands, y, x).

    Parameters
    ----------
    root, normalise, missing, transform
        As of :class:`TripletDataset`.
    folder
        Below the root: ``triplets/train``, ``trajectories``, ``rect-slidingwindow/tile_N_256__step_128``, …
    tile_type
        ``anchor``, ``neighbor`` or ``distant``, to take those tiles of triplets only.

    Raises
    ------
    StoreError
        There are no tiles, or the statistics are of other bands.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        folder: str,
        *,
        tile_type: str | None = None,
        normalise: Statistics | str | os.PathLike[str] | None = None,
        missing: float | None = None,
        transform: Transform | None = None,
    ) -> None:
        if tile_type is not None and tile_type not in TILE_TYPES:
            raise PlanError(f"there are no tiles of the type {tile_type!r}", remedy=f"Name one of {TILE_TYPES}")
        names = _stored(root, folder)
        if tile_type is not None:
            names = [name for name in names if _triplet_tile(name, folder)[1] == tile_type]
        if not names:
            raise StoreError(f"there are no {tile_type} tiles here", where=Files(os.fspath(root)).url(folder))
        #: Of the tiles, without folder and ending, in the order of the dataset.
        self.names = names
        self._tiles = _Tiles(root, folder, names, normalise, missing, transform)

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> torch.Tensor:
        return self._tiles.read(self.names[index])


class SlidingWindowDataset(Dataset[torch.Tensor]):
    """Tiles at equal steps over the scenes on the domain's grid, sliced as they are asked for.

    Scenes come in time order, and the tiles of a scene from west to east and then row by row from north to
    south. One scene at a time is open in each process: readers that go through the tiles in order open each
    scene once.

    Parameters
    ----------
    root, normalise, missing, transform
        As of :class:`TripletDataset`.
    tile_n
        Cells along a side of a tile.
    step
        Cells from one tile to the next.
    scenes
        Folder of the scenes: ``rect``, or ``rect/aux/<name>`` for an auxiliary product. Both netCDF files and
        Zarr stores are read.

    Raises
    ------
    PlanError
        The scenes are smaller than a tile, or a length is not positive.
    StoreError
        There are no scenes, or the statistics are of other bands.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        tile_n: int,
        step: int,
        *,
        scenes: str = "rect",
        normalise: Statistics | str | os.PathLike[str] | None = None,
        missing: float | None = None,
        transform: Transform | None = None,
    ) -> None:
        if tile_n < 1 or step < 1:
            raise PlanError(f"tile_n {tile_n} and step {step} must be 1 or more")
        self._arrays = _scenes_there(Files(os.fspath(root)), scenes)
        #: IDs of the scenes.
        self.scene_ids = sorted(self._arrays.stored(), key=lambda scene_id: scene_id.rpartition("__")[::-1])
        with self._arrays.open(self.scene_ids[0]) as first:
            self._layout = _Layout.of(first, self._arrays.url(self.scene_ids[0]))
        self._windows = tuple(windows_over(self._layout.shape, tile_n, step))
        if not self._windows:
            ny, nx = self._layout.shape
            raise PlanError(
                f"tiles of {tile_n} x {tile_n} cells do not fit into scenes of {nx} x {ny}",
                where=self._arrays.files.url(self._arrays.place),
                remedy="Take a smaller tile_n",
            )
        self._preparation = _Preparation.of(self._layout.bands, normalise, missing, transform)
        self._open: _OpenScene | None = None

    def __len__(self) -> int:
        return len(self.scene_ids) * len(self._windows)

    def __getitem__(self, index: int) -> torch.Tensor:
        scene_id, window = self.location(index)
        field = self._field(scene_id)
        cells = field.isel(y=slice(window.row0, window.row1), x=slice(window.col0, window.col1))
        where = f"{self._arrays.url(scene_id)}[{window.row0}:{window.row1}, {window.col0}:{window.col1}]"
        try:
            values = cells.values.reshape(len(self._layout.bands), *cells.shape[-2:])
        except _UNREADABLE as error:
            raise StoreError(f"this scene cannot be read ({error})", where=where) from error
        return self._preparation.tensor(values[:, ::-1] if self._layout.y_ascending else values, where)

    def location(self, index: int) -> tuple[str, Window]:
        """Scene and cells ``y[row0:row1], x[col0:col1]`` of a tile, y ascending to the north."""
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        scene, window = divmod(index % len(self), len(self._windows))
        return self.scene_ids[scene], self._windows[window]

    def _field(self, scene_id: str) -> xr.DataArray:
        opened = self._open
        if opened is None or opened.scene_id != scene_id or opened.process != os.getpid():
            # What a process opened is not closed by the processes that were forked from it.
            if opened is not None and opened.process == os.getpid():
                opened.data.close()
            data = self._arrays.open(scene_id)
            layout = _Layout.of(data, self._arrays.url(scene_id))
            if layout != self._layout:
                data.close()
                raise StoreError(
                    f"this scene has another field, other bands or another shape than {self.scene_ids[0]}",
                    where=self._arrays.url(scene_id),
                    remedy="Run `convml-data regrid`",
                )
            opened = self._open = _OpenScene(os.getpid(), scene_id, data)
        return opened.data[self._layout.name]

    def __getstate__(self) -> Mapping[str, Any]:
        return {**self.__dict__, "_open": None}


@dataclass(frozen=True)
class _OpenScene:
    """A scene and the process that opened it."""

    process: int
    scene_id: str
    data: xr.Dataset


def _scenes_there(files: Files, folder: str) -> ArrayStore:
    formats: tuple[Format, ...] = ("netcdf", "zarr")
    there = [arrays for format_ in formats if (arrays := ArrayStore(files, folder, format_)).stored()]
    if len(there) == 1:
        return there[0]
    if there:
        raise StoreError(
            f"there are scenes both in {there[0].place} and in {there[1].place}",
            where=files.root,
            remedy="Delete those that `storage.format` in meta.yaml does not name",
        )
    raise StoreError("there are no scenes here", where=files.url(folder), remedy="Run `convml-data regrid`")

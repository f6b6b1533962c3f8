"""Gridded netCDF files as a source of scenes: each time in them is one."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import xarray as xr

from convml_data.errors import ArchiveError, SceneError
from convml_data.geometry.local import Domain, PlaneDomain
from convml_data.geometry.model_grids import LatLonGrid, ModelGrid, PlaneGrid
from convml_data.geometry.source_grids import whole_domain
from convml_data.scenes.ledger import Scan
from convml_data.sources.base import CATEGORICAL, Interval
from convml_data.sources.gridded.coordinates import Coordinates
from convml_data.sources.gridded.fields import FieldLayout, layout_of, read_field
from convml_data.sources.gridded.files import DEFAULT_PATTERN, FOLDERS, list_files, opened, source_file
from convml_data.sources.gridded.horizontal import grid_at
from convml_data.sources.gridded.times import is_time, times_of
from convml_data.sources.remembered import remembered_window
from convml_data.sources.shares import valid_share

#: Pixels beyond the domain, for interpolation.
MARGIN = 2

_LIST_ANEW = "Run `convml-data scene-ids` to list the files anew"


@dataclass(frozen=True)
class GriddedSource:
    """netCDF files in a folder of the dataset, set up for one field or several.

    Parameters
    ----------
    directory
        The dataset's folder; the files lie in or below ``source_data/LES``.
    files
        Pattern of their names, None for all ``*.nc``.
    names
        Of the variables.
    stacked
        Whether they make one array with bands.
    coordinates
        What the files do not say of time and place themselves.
    level
        Of fields that have several: a value of the vertical coordinate where there is one, else the
        number of the level, from 0.
    name
        Of the source.
    """

    directory: Path
    files: str | None
    names: tuple[str, ...]
    stacked: bool
    coordinates: Coordinates = field(default_factory=Coordinates)
    level: float | None = None
    name: str = "LES"

    @property
    def archive(self) -> str:
        """Where the files lie."""
        return str(self.directory / FOLDERS[0] / (self.files or DEFAULT_PATTERN))

    @property
    def product(self) -> str:
        """As ``meta.yaml`` has it."""
        return "__".join(["multichannel" if self.stacked else "singlechannel", *self.names])

    def find(self, intervals: Sequence[Interval] | None) -> list[Scan]:
        """A scan for each time of each file, in the intervals or not; see :class:`~convml_data.sources.base.Source`.

        Raises
        ------
        ArchiveError
            There is no file, one cannot be read or does not hold the product, or the times of two overlap.
        """
        scans: list[Scan] = []
        spans: list[_Span] = []
        for path in list_files(self.directory, self.files):
            file = source_file(path)  # before its times, so that a change after this shows
            with opened(path) as data:
                axis = self._layouts(data, path)[0].time
                times = times_of(data, axis, self.coordinates.time, len(scans), str(path))
            scans += [
                Scan(time.start, time.start, self.name, None, {"file": replace(file, number=number)}, time.reason)
                for number, time in enumerate(times)
            ]
            starts = [time.start for time in times if time.reason is None]
            if starts:
                spans.append(_Span(min(starts), max(starts), frozenset(starts), path))
        _check_overlap(spans)
        return sorted(scans, key=lambda scan: scan.start)

    def read(self, scan: Scan, domain: Domain) -> xr.Dataset:
        """The product over the domain on the model's grid; see :class:`~convml_data.sources.base.Source`.

        Returns
        -------
        Dataset
            One variable with dims (y, x) or (bands, y, x), float32, rows in the order of the file. Attribute
            ``valid_share`` is the share of the domain's area that has values in all bands.

        Raises
        ------
        ArchiveError
            The file cannot be read, or no longer holds the product.
        SceneError
            The file has changed since it was listed, or does not show the domain.
        """
        path = Path(scan.files["file"].url)
        with self._opened(scan) as (data, layouts, number):
            grid = _grid(data, layouts[0], number, path)
            _check_kind(grid, domain, path)
            columns = np.arange(grid.shape[1])
            if isinstance(grid, LatLonGrid) and grid.joins:
                grid, columns = grid.opened_opposite(float(domain.to_world(0.0, 0.0)[0]))
            window = remembered_window(domain, grid, MARGIN)
            if window is None:
                raise SceneError(
                    f"the domain of {domain.l_zonal / 1e3:g} x {domain.l_meridional / 1e3:g} km around "
                    f"{_point(grid, *domain.to_world(0.0, 0.0))} lies outside of the model's, {_bounds_in_words(grid)}",
                    where=str(path),
                    remedy="Move `domain` in meta.yaml, or leave it out to take all of the model's",
                )
            fields = [
                read_field(data, name, layout, number, window.slices[0], columns[window.slices[1]], str(path))
                for name, layout in zip(self.names, layouts, strict=True)
            ]
            bytes_read = sum(
                values.size * data[name].dtype.itemsize for name, values in zip(self.names, fields, strict=True)
            )
        cropped = grid.cropped(window)
        valid = np.logical_and.reduce([np.isfinite(values.values) for values in fields])
        variable, bands = _stacked(fields, self.names) if self.stacked else (fields[0], {})
        return xr.Dataset(
            {"multichannel" if self.stacked else self.names[0]: variable},
            {**cropped.coordinates(), **bands},
            {
                "title": f"{self.product} of {self.name}, cropped to a domain",
                "satellite": self.name,
                "product": self.product,
                "scene_time": scan.start.isoformat(),
                "source_file": path.name,
                "bytes_read": bytes_read,
                "bytes_whole_files": scan.files["file"].size,
                "source_grid": json.dumps(cropped.to_dict()),
                "valid_share": valid_share(domain, cropped, valid),
            },
        )

    def whole_domain(self, scan: Scan) -> Domain:
        """The domain of all of the model's grid; see :func:`~convml_data.geometry.source_grids.whole_domain`."""
        path = Path(scan.files["file"].url)
        with self._opened(scan) as (data, layouts, number):
            grid = _grid(data, layouts[0], number, path)
        try:
            return whole_domain(grid)
        except SceneError as error:
            raise SceneError(error.what, where=str(path), remedy=error.remedy) from error

    @contextmanager
    def _opened(self, scan: Scan) -> Iterator[tuple[xr.Dataset, list[FieldLayout], int]]:
        """The file of a scan as it was listed, where its fields lie, and which of its times the scan is."""
        listed = scan.files["file"]
        path = Path(listed.url)
        now = source_file(path)
        if (now.size, now.version) != (listed.size, listed.version):
            raise SceneError("the file has changed since the scene IDs were made", where=str(path), remedy=_LIST_ANEW)
        with opened(path) as data:
            layouts, number = self._layouts(data, path), listed.number
            if number is None or not is_time(
                data, layouts[0].time, self.coordinates.time, number, scan.start, str(path)
            ):
                raise SceneError(
                    f"the time {scan.start.isoformat()} is not in the file where the scene IDs have it, "
                    f"{'at no number' if number is None else f'as number {number}'}",
                    where=str(path),
                    remedy=_LIST_ANEW,
                )
            yield data, layouts, number

    def _layouts(self, data: xr.Dataset, path: Path) -> list[FieldLayout]:
        """Where each field lies, all of them in the same place."""
        where = str(path)
        layouts = [layout_of(data, name, self.coordinates, self.level, where) for name in self.names]
        for name, layout in zip(self.names, layouts, strict=True):
            if (layout.time, layout.place) != (layouts[0].time, layouts[0].place):
                raise ArchiveError(
                    f"{name!r} does not lie on the grid and the times of {self.names[0]!r}: its dimensions are "
                    f"{_dims(data, name)}, those of the other {_dims(data, self.names[0])}",
                    where=where,
                    remedy="Make one array of fields on one grid only",
                )
        if self.level is not None and all(layout.level_dim is None for layout in layouts):
            raise ArchiveError(
                f"`level` is {self.level:g}, and {', '.join(self.names)} have no levels to choose from",
                where=where,
                remedy="Take `level` out of meta.yaml",
            )
        return layouts


@dataclass(frozen=True)
class _Span:
    """The times of a file."""

    first: datetime
    last: datetime
    starts: frozenset[datetime]
    path: Path


def _grid(data: xr.Dataset, layout: FieldLayout, number: int, path: Path) -> ModelGrid:
    return grid_at(data, layout.place, layout.time.dimension, number, str(path))


def _check_overlap(spans: Sequence[_Span]) -> None:
    """No file may begin before an earlier one has ended: no time would be of one file alone."""
    ordered = sorted(spans, key=lambda span: span.first)
    for earlier, later in pairwise(ordered):
        if later.first > earlier.last:
            continue
        both = sorted(earlier.starts & later.starts)
        what = (
            f"{earlier.path.name} and {later.path.name} both hold the time {both[0].isoformat()}"
            if both
            else f"the times of {later.path.name}, from {later.first.isoformat()}, begin before those of "
            f"{earlier.path.name} end, at {earlier.last.isoformat()}"
        )
        raise ArchiveError(
            what,
            where=str(later.path.parent),
            remedy="Take one of the files out of the folder, or choose by `files` in meta.yaml",
        )


def _check_kind(grid: ModelGrid, domain: Domain, path: Path) -> None:
    if isinstance(grid, PlaneGrid) == isinstance(domain, PlaneDomain):
        return
    if isinstance(grid, PlaneGrid):
        raise SceneError(
            "the field lies on a plane in metres that has no place on the earth, and the domain has",
            where=str(path),
            remedy="Leave `domain` out of meta.yaml, or name longitude and latitude by `coordinates`",
        )
    raise SceneError(
        "the field lies on the earth, and the domain is one of a model on a plane",
        where=str(path),
        remedy="Keep files on a plane and files on the earth in datasets of their own",
    )


def _stacked(fields: Sequence[xr.Variable], names: Sequence[str]) -> tuple[xr.Variable, dict[str, xr.Variable]]:
    """Several fields as one, and what each of its bands is."""
    units = [values.attrs["units"] for values in fields]
    common = {"units": units[0]} if len(set(units)) == 1 else {}
    if any(CATEGORICAL.keys() <= values.attrs.keys() for values in fields):
        common |= CATEGORICAL  # what is wrong for one band must not be done to the array
    stacked = np.stack([values.values for values in fields])
    return xr.Variable(("bands", "y", "x"), stacked, {"long_name": "several fields, one a band"} | common), {
        "bands": xr.Variable("bands", list(names)),
        "band_units": xr.Variable("bands", units),
        "band_long_name": xr.Variable("bands", [values.attrs["long_name"] for values in fields]),
    }


def _dims(data: xr.Dataset, name: str) -> str:
    return ", ".join(map(str, data[name].dims))


def _point(grid: ModelGrid, u: npt.ArrayLike, v: npt.ArrayLike) -> str:
    if isinstance(grid, PlaneGrid):
        return f"x = {float(u) / 1e3:g} km, y = {float(v) / 1e3:g} km"  # type: ignore[arg-type]
    return f"{float(v):g}N {float(u):g}E"  # type: ignore[arg-type]


def _bounds_in_words(grid: ModelGrid) -> str:
    u, v = grid.outer_edge()
    return f"from {_point(grid, u.min(), v.min())} to {_point(grid, u.max(), v.max())}"

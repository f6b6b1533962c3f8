"""ABI level 2 files: a window of one of a product's variables, checked against its quality flags."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from convml_data.errors import SceneError
from convml_data.geometry.fixed_grid import FixedGrid
from convml_data.geometry.local import Domain
from convml_data.geometry.model_grids import LatLonGrid, continuous
from convml_data.meta.level2 import Level2
from convml_data.scenes.ledger import Scan, SourceFile
from convml_data.sources.goes.chunk_tables import ChunkTables
from convml_data.sources.goes.crops import require_window
from convml_data.sources.goes.domain_shares import Image
from convml_data.sources.goes.granule import (
    Granule,
    Identity,
    as_declared,
    decoded,
    fixed_grid_of,
    flags_of,
    identity_of,
    is_unsigned,
    number_of,
    unpacked,
)
from convml_data.sources.goes.quality import ANY, Flags, Quality, unsigned

Float32Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Encoding:
    """How a variable's values are stored (PUG, volume 5, section 4.2; CF conventions, section 8.1).

    Parameters
    ----------
    scale_factor, add_offset
        Value of one and of zero, in the variable's unit.
    fill
        Stored where there is no value, None where the file does not say.
    stored_range
        Stored numbers that are values, ends included.
    """

    scale_factor: float
    add_offset: float
    fill: float | None
    stored_range: tuple[float, float]

    def values(self, stored: npt.NDArray[Any]) -> Float32Array:
        """In the variable's unit, NaN where there is no value."""
        low, high = self.stored_range
        absent = ~((stored >= low) & (stored <= high))
        if self.fill is not None:
            absent |= stored == self.fill
        values = (stored.astype(np.float64) * self.scale_factor + self.add_offset).astype(np.float32)
        values[absent] = np.nan
        return values


@dataclass(frozen=True)
class Variable:
    """What a file says of a variable.

    Parameters
    ----------
    name
        In the file.
    grid
        Of all its pixels.
    encoding
        Of its values.
    attributes
        In CF's terms.
    """

    name: str
    grid: FixedGrid | LatLonGrid
    encoding: Encoding
    attributes: dict[str, Any]


@dataclass(frozen=True)
class Contents:
    """What a file says of itself.

    Parameters
    ----------
    identity
        Of the scan.
    channels
        That the file is about, as far as it says.
    variable
        The one that is wanted, None where the file has no such variable.
    flags
        None where the file has no quality flags.
    """

    identity: Identity
    channels: tuple[int, ...]
    variable: Variable | None
    flags: Flags | None


class Level2File(Granule):
    """An open level 2 file, for one variable.

    Parameters
    ----------
    file
        URL and size, as listed.
    level2
        What is wanted of it.
    tables
        As of :class:`~.granule.Granule`.
    """

    kind = "ABI level 2 file"
    contents: Contents

    def __init__(self, file: SourceFile, level2: Level2, tables: ChunkTables | None = None) -> None:
        self._level2 = level2
        super().__init__(file, tables)

    def describe(self, hdf5: h5py.File) -> dict[str, h5py.Dataset]:
        """See :class:`~.granule.Granule`; without images where the file lacks the variable."""
        wanted, flags_name = self._level2.variable, self._level2.product.flags
        name = next((name for name in (wanted.name, *wanted.other_names) if name in hdf5), None)
        flags = hdf5.get(flags_name)
        identity = identity_of(hdf5)
        channels = tuple(int(number) for number in np.ravel(hdf5["band_id"][()])) if "band_id" in hdf5 else ()
        if name is None:
            self.contents = Contents(identity, channels, None, None)
            return {}
        image = hdf5[name]
        if flags is not None and flags.shape != image.shape:
            raise ValueError(f"{name} has shape {image.shape} and {flags_name} {flags.shape}")
        variable = Variable(name, _grid_of(hdf5, image.shape), _encoding_of(image), _attributes_of(image))
        self.contents = Contents(identity, channels, variable, None if flags is None else flags_of(flags))
        return {name: image} if flags is None else {name: image, flags_name: flags}

    @property
    def variable(self) -> Variable:
        """The variable that is wanted.

        Raises
        ------
        SceneError
            The file has none of its names.
        """
        if self.contents.variable is None:
            raise SceneError(
                f"the file has no variable {self._level2.variable.name}",
                where=self.url,
                remedy="Leave this scene out, or choose another variable of the product",
            )
        return self.contents.variable


@dataclass(frozen=True)
class Level2Crop:
    """A window of a variable and what reading it took.

    Parameters
    ----------
    values
        Shape of the window, NaN where missing or rejected.
    grid
        Of the window.
    image
        Where the file has no value.
    rejected
        Where the file has a value whose data quality flag is not one of those kept.
    kept_flags
        The flags that are kept, see :class:`~.quality.Kept`.
    attributes
        Of the variable.
    start, end
        Of the scan, UTC.
    file_name, bytes_read, bytes_fetched, requests
        As of :class:`~.crops.Crop`.
    """

    values: Float32Array
    grid: FixedGrid | LatLonGrid
    image: Image
    rejected: npt.NDArray[np.bool_]
    kept_flags: str
    attributes: dict[str, Any]
    start: datetime
    end: datetime
    file_name: str
    bytes_read: int
    bytes_fetched: int
    requests: int


def read_level2(
    scan: Scan,
    satellite: str,
    sector: str,
    level2: Level2,
    domain: Domain,
    quality: Quality,
    tables: ChunkTables | None = None,
) -> Level2Crop:
    """The window over a domain from the product's file.

    Raises
    ------
    ArchiveError
        The archive cannot be reached.
    SceneError
        The file is broken or not what its name says, lacks the variable or a data quality flag that was
        asked for, or does not show the domain.
    """
    (file,) = scan.files.values()
    with Level2File(file, level2, tables) as granule:
        _check_identity(granule, satellite, sector, level2)
        contents = granule.contents
        variable = granule.variable
        if contents.flags is None and quality != ANY:
            raise SceneError(
                f"the file has no data quality flags {level2.product.flags}",
                where=granule.url,
                remedy="Write `quality: {flags: any}` in meta.yaml to use the values without them",
            )
        kept = None if contents.flags is None else contents.flags.kept(quality, level2.variable.good, granule.url)
        window = require_window(domain, variable.grid, sector, granule.url)
        stored = granule.read(window)
        granule.keep_table()
        values = variable.encoding.values(stored[variable.name])
        missing = np.isnan(values)
        rejected = np.zeros(missing.shape, np.bool_)
        if kept is not None:
            rejected = ~(missing | kept.among(unsigned(stored[level2.product.flags])))
        values[rejected] = np.nan
        grid = variable.grid.cropped(window)
        return Level2Crop(
            values=values,
            grid=grid,
            image=Image(variable.grid, grid, missing),
            rejected=rejected,
            kept_flags=ANY if kept is None else kept.text,
            attributes=variable.attributes,
            start=contents.identity.start,
            end=contents.identity.end,
            file_name=granule.file_name,
            bytes_read=granule.bytes_read,
            bytes_fetched=granule.bytes_fetched,
            requests=granule.requests,
        )


def _check_identity(granule: Level2File, satellite: str, sector: str, level2: Level2) -> None:
    contents = granule.contents
    found = [contents.identity.satellite]
    wanted = [satellite]
    if contents.identity.name is not None:
        found += [contents.identity.name.product, f"sector {contents.identity.name.sector}"]
        wanted += [level2.product.name, f"sector {sector}"]
    if level2.channel is not None and contents.channels:
        found += [f"channel {number}" for number in contents.channels]
        wanted += [f"channel {level2.channel}"]
    if found != wanted:
        raise SceneError(
            f"the file holds {', '.join(found)}, not {', '.join(wanted)}",
            where=granule.url,
            remedy="The file is misnamed; fetch it again",
        )


def _grid_of(hdf5: h5py.File, shape: tuple[int, ...]) -> FixedGrid | LatLonGrid:
    """The grid of latitudes and longitudes where the file has one for its images, else the fixed grid."""
    if len(shape) != 2:
        raise ValueError(f"the variable has shape {shape}, not rows and columns")
    if "lat" in hdf5 and "lon" in hdf5 and shape == (hdf5["lat"].size, hdf5["lon"].size):
        lat, lon = (unpacked(hdf5[name], hdf5[name][()]) for name in ("lat", "lon"))
        return LatLonGrid(continuous(lon), lat)
    return fixed_grid_of(hdf5, shape)


def _encoding_of(variable: h5py.Dataset) -> Encoding:
    packed_unsigned = is_unsigned(variable)
    scale = number_of(variable.attrs.get("scale_factor", 1.0))
    offset = number_of(variable.attrs.get("add_offset", 0.0))
    fill = variable.attrs.get("_FillValue")
    low, high = -np.inf, np.inf
    limits = variable.attrs.get("valid_range")
    if limits is not None:
        if limits.dtype.kind == "f" and variable.dtype.kind != "f":  # then they are in the variable's unit
            low, high = sorted((float(limit) - offset) / scale for limit in limits)
        else:
            low, high = map(float, as_declared(limits.astype(variable.dtype), packed_unsigned))
    return Encoding(
        scale,
        offset,
        None if fill is None else float(as_declared(np.atleast_1d(fill), packed_unsigned)[0]),
        (low, high),
    )


def _attributes_of(variable: h5py.Dataset) -> dict[str, Any]:
    """Those that hold for the values too; flags of categories have the values' type then, as CF wants it."""
    attributes: dict[str, Any] = {
        name: decoded(variable.attrs[name])
        for name in ("standard_name", "long_name", "units", "flag_meanings")
        if name in variable.attrs
    }
    if "flag_values" in variable.attrs:
        values = as_declared(np.atleast_1d(variable.attrs["flag_values"]), is_unsigned(variable))
        attributes["flag_values"] = values.astype(np.float32)
    return attributes

"""One ABI L1b radiance file: what it says of itself, and the counts of a window of it.

The files are netCDF-4 and are read as HDF5, chunk by chunk through :class:`~.ranges.RangeFile`.
Never ask h5py for the place of a chunk (``get_chunk_info``) or for an object's info: both walk the
whole index of the chunks, which is spread over the file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from types import TracebackType
from typing import Any, Self

import fsspec
import h5py
import numpy as np
import numpy.typing as npt

from convml_data.errors import SceneError
from convml_data.geometry.fixed_grid import FixedGrid, GeostationaryView
from convml_data.geometry.windows import Window
from convml_data.meta.products import REFLECTIVE_CHANNELS
from convml_data.scenes.ledger import SourceFile
from convml_data.sources.goes.archive import open_filesystem
from convml_data.sources.goes.calibration import Packing, Planck
from convml_data.sources.goes.ranges import RangeFile

#: How far float32 numbers may put the ends of the scan-angle axes from where they are, radians: five
#: times the resolution of float32 at the edge of the full disk, 0.7 % of a 0.5 km pixel.
_ANGLE_TOLERANCE = 1e-7

#: Chunks that are fetched together, which bounds what is held of the file; a chunk of a full disk is some
#: 50 kB, and a window of 1000 x 3000 km touches 240 of channel 2.
_CHUNKS_AT_ONCE = 256
#: What counts as a chunk in a file that has none.
_UNCHUNKED = (256, 256)

_BROKEN = (
    "Delete and fetch the file again if it is a copy; otherwise the archive's own file is broken: wait for "
    "it to be processed again, or leave this scene out"
)


@dataclass(frozen=True)
class SatellitePosition:
    """Where the satellite nominally is: degrees east, degrees north, metres above the ellipsoid."""

    longitude: float
    latitude: float
    altitude: float


@dataclass(frozen=True)
class Channel:
    """What a file says of its channel and scan.

    Parameters
    ----------
    number
        1 to 16.
    wavelength
        Nominal centre of the band, µm.
    satellite
        ``goes16``, …
    start, end
        Of the scan, UTC.
    grid
        Of all pixels of the file.
    position
        Of the satellite.
    packing
        Of the radiances.
    esun
        Solar irradiance in the band at one astronomical unit, W m-2 um-1, None for emissive channels.
    earth_sun_distance
        Astronomical units.
    planck
        None for reflective channels.
    """

    number: int
    wavelength: float
    satellite: str
    start: datetime
    end: datetime
    grid: FixedGrid
    position: SatellitePosition
    packing: Packing
    esun: float | None
    earth_sun_distance: float
    planck: Planck | None


class AbiFile:
    """An open L1b radiance file; use it in a ``with`` statement.

    Parameters
    ----------
    file
        URL and size, as listed.

    Raises
    ------
    ArchiveError
        The archive cannot be reached or refuses.
    SceneError
        The file is gone, empty, incomplete, broken, or no L1b radiance file.
    """

    channel: Channel

    def __init__(self, file: SourceFile) -> None:
        self.url = file.url
        self._hdf5: h5py.File | None = None
        filesystem, path = open_filesystem(file.url)
        try:
            self._open_with(RangeFile(filesystem, path, file.size))
        except SceneError:
            # A file that was replaced after it was listed, or mended, has another size now.
            size = _size_now(filesystem, path)
            if size in (file.size, None):
                raise
            self._open_with(RangeFile(filesystem, path, size))

    def _open_with(self, ranges: RangeFile) -> None:
        self._ranges = ranges
        if ranges.size == 0:
            raise SceneError("the file is empty (0 bytes)", where=self.url, remedy=_BROKEN)
        ranges.want_ends()
        try:
            ranges.fetch_missing()
            self._complete([self._open])
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file and of what was fetched of it."""
        if self._hdf5 is not None:
            self._hdf5.close()
            self._hdf5 = None
        self._ranges.forget()

    @property
    def grid(self) -> FixedGrid:
        """The pixels of the whole file."""
        return self.channel.grid

    @property
    def bytes_read(self) -> int:
        """Bytes that came from the archive so far."""
        return self._ranges.bytes_fetched

    @property
    def requests(self) -> int:
        """Requests made to the archive so far."""
        return self._ranges.requests

    def read_counts(self, window: Window) -> tuple[npt.NDArray[np.integer], npt.NDArray[np.uint8]]:
        """Counts and data quality flags of a window, reading only the chunks that it touches.

        Parameters
        ----------
        window
            Inside the file's grid.

        Returns
        -------
        counts
            Shape of the window, unsigned where the file says so; fill is ``channel.packing.fill``.
        dqf
            Same shape, 255 where there is no flag.
        """
        if window.clipped(self.grid.shape) != window:
            raise ValueError(f"{window} reaches beyond the file's {self.grid.shape} pixels")
        stored = {name: np.empty(window.shape, data.dtype) for name, data in self._images.items()}
        parts = [
            partial(self._read_part, name, part, window, stored[name])
            for name, data in self._images.items()
            for part in _chunks_under(window, data.chunks or _UNCHUNKED)
        ]
        for first in range(0, len(parts), _CHUNKS_AT_ONCE):
            if first > 0:
                self._ranges.forget()
            self._complete(parts[first : first + _CHUNKS_AT_ONCE])
        return _as_declared(stored["Rad"], self._unsigned), stored["DQF"].astype(np.uint8)

    def _open(self) -> None:
        if self._hdf5 is not None:
            self._hdf5.close()
        self._hdf5 = h5py.File(self._ranges, "r")
        self._images = {name: self._hdf5[name] for name in ("Rad", "DQF")}
        self._unsigned = _is_unsigned(self._images["Rad"])
        self.channel = _describe(self._hdf5)

    def _read_part(self, name: str, part: Window, window: Window, into: npt.NDArray[np.integer]) -> None:
        rows = slice(part.row0 - window.row0, part.row1 - window.row0)
        columns = slice(part.col0 - window.col0, part.col1 - window.col0)
        into[rows, columns] = self._images[name][part.slices]

    def _complete(self, tasks: Sequence[Callable[[], None]]) -> None:
        """Try tasks until none lacks a part of the file, fetching what they lack in between."""
        while tasks := [task for task in tasks if not self._succeeds(task)]:
            self._ranges.fetch_missing()

    def _succeeds(self, task: Callable[[], None]) -> bool:
        misses = self._ranges.misses
        try:
            task()
        except (OSError, KeyError, ValueError, TypeError, RuntimeError) as error:
            if self._ranges.misses == misses:
                raise SceneError(
                    f"this is no readable ABI L1b radiance file ({_words_of(error)})",
                    where=self.url,
                    remedy=_BROKEN,
                ) from error
        # h5py swallows some errors, so that what lacks a part of the file may look like a success.
        return self._ranges.misses == misses


def _size_now(filesystem: fsspec.AbstractFileSystem, path: str) -> int | None:
    """Bytes that a file has, None where that cannot be found out."""
    try:
        size: int | None = filesystem.size(path)
    except Exception:  # whatever the client library raises; the error that led here says more
        return None
    return size


def _chunks_under(window: Window, chunks: tuple[int, int]) -> Iterator[Window]:
    """The parts of a window that lie in one chunk each."""
    height, width = chunks
    for row in range(window.row0 // height * height, window.row1, height):
        for column in range(window.col0 // width * width, window.col1, width):
            yield Window(
                max(row, window.row0),
                min(row + height, window.row1),
                max(column, window.col0),
                min(column + width, window.col1),
            )


def _describe(hdf5: h5py.File) -> Channel:
    for name in ("Rad", "DQF"):
        if hdf5[name].ndim != 2 or hdf5[name].shape != (hdf5["y"].shape[0], hdf5["x"].shape[0]):
            raise ValueError(f"{name} has shape {hdf5[name].shape}, not that of the coordinates y and x")
    radiances = hdf5["Rad"]
    number = int(_number(hdf5["band_id"][()]))
    reflective = number in REFLECTIVE_CHANNELS
    return Channel(
        number=number,
        wavelength=_decimal(hdf5["band_wavelength"][()]),
        satellite=_text(hdf5, "platform_ID").lower().replace("g", "goes", 1),
        start=_time(hdf5, "time_coverage_start"),
        end=_time(hdf5, "time_coverage_end"),
        grid=_grid(hdf5),
        position=SatellitePosition(
            _decimal(hdf5["nominal_satellite_subpoint_lon"][()]),
            _decimal(hdf5["nominal_satellite_subpoint_lat"][()]),
            _decimal(hdf5["nominal_satellite_height"][()]) * 1000,
        ),
        packing=Packing(
            _number(radiances.attrs["scale_factor"]),
            _number(radiances.attrs["add_offset"]),
            int(_as_declared(np.atleast_1d(radiances.attrs["_FillValue"]), _is_unsigned(radiances))[0]),
        ),
        esun=_positive(hdf5, "esun") if reflective else None,
        earth_sun_distance=_positive(hdf5, "earth_sun_distance_anomaly_in_AU"),
        planck=None
        if reflective
        else Planck(
            _positive(hdf5, "planck_fk1"),
            _positive(hdf5, "planck_fk2"),
            _number(hdf5["planck_bc1"][()]),
            _positive(hdf5, "planck_bc2"),
        ),
    )


def _grid(hdf5: h5py.File) -> FixedGrid:
    """The grid that the file's own axes and projection define.

    Scan angles are stored in float32, as axes or as their scale factor and offset, which puts them up
    to 1.5e-8 rad off. The PUG (volume 3, section 5.1.2) defines them in whole microradians, so axes that
    lie within that error of whole microradians are moved there; grids of one sector then nest exactly.
    """
    projection = {name: _number(hdf5["goes_imager_projection"].attrs[name]) for name in _PROJECTION}
    if projection["latitude_of_projection_origin"] != 0:
        raise ValueError("the projection's origin is not on the equator")
    sweep = _decode(hdf5["goes_imager_projection"].attrs["sweep_angle_axis"])
    x0, dx = _axis(hdf5["x"])
    y0, dy = _axis(hdf5["y"])
    if dx <= 0 or dy >= 0:
        raise ValueError(f"columns step by {dx} rad and rows by {dy} rad, not to the east and the south")
    view = GeostationaryView(
        projection["longitude_of_projection_origin"],
        projection["perspective_point_height"],
        projection["semi_major_axis"],
        projection["semi_minor_axis"],
        sweep,
    )
    return FixedGrid(view, x0, y0, dx, dy, hdf5["Rad"].shape)


_PROJECTION = (
    "longitude_of_projection_origin",
    "latitude_of_projection_origin",
    "perspective_point_height",
    "semi_major_axis",
    "semi_minor_axis",
)


def _axis(variable: h5py.Dataset) -> tuple[float, float]:
    """First value and step of an axis of equal steps, radians, packed or not."""
    scale = _number(variable.attrs.get("scale_factor", 1.0))
    offset = _number(variable.attrs.get("add_offset", 0.0))
    steps = len(variable) - 1
    if steps < 1:
        raise ValueError(f"the axis {variable.name} has {len(variable)} values")
    stored = _as_declared(np.array([variable[0], variable[1], variable[steps]]), _is_unsigned(variable))
    first, second, last = stored.astype(np.float64) * scale + offset
    step = (last - first) / steps
    if not abs(second - first - step) < 0.01 * abs(step):
        raise ValueError(f"the axis {variable.name} has no equal steps")
    return (
        _whole_microradians(first, _ANGLE_TOLERANCE),
        _whole_microradians(step, _ANGLE_TOLERANCE / steps),
    )


def _whole_microradians(angle: float, tolerance: float) -> float:
    rounded = round(float(angle), 6)
    return rounded if abs(rounded - angle) < tolerance else float(angle)


def _is_unsigned(variable: h5py.Dataset) -> bool:
    """Whether ``_Unsigned`` says that integers are stored as signed and meant as unsigned."""
    return _decode(variable.attrs.get("_Unsigned", "false")).lower() == "true"


def _as_declared(values: npt.NDArray[Any], unsigned: bool) -> npt.NDArray[Any]:
    if unsigned and np.issubdtype(values.dtype, np.signedinteger):
        return values.view(f"u{values.dtype.itemsize}")
    return values


def _number(value: Any) -> float:
    """The one number that an attribute or a variable holds."""
    return float(np.asarray(value).item())


def _decimal(value: Any) -> float:
    """The decimal number that was meant by a stored one: float32 35786.023 is 35786.0234375."""
    return float(str(np.asarray(value).ravel()[0]))


def _positive(hdf5: h5py.File, name: str) -> float:
    value = _number(hdf5[name][()])
    if not value > 0 or not np.isfinite(value):
        raise ValueError(f"{name} is {value}")
    return value


def _decode(value: Any) -> str:
    text = np.asarray(value).ravel()[0]
    return text.decode() if isinstance(text, bytes) else str(text)


def _text(hdf5: h5py.File, name: str) -> str:
    return _decode(hdf5.attrs[name])


def _time(hdf5: h5py.File, name: str) -> datetime:
    return datetime.strptime(_text(hdf5, name), "%Y-%m-%dT%H:%M:%S.%fZ")


def _words_of(error: BaseException) -> str:
    return " ".join(str(error).strip("'\"").split())

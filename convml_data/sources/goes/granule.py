"""One ABI file of any level: windows of its images, read chunk by chunk, and what all files say alike.

The files are netCDF-4: HDF5 reads what they say of themselves through :class:`~.ranges.RangeFile`, and
:mod:`~.chunk_index` finds the chunks of images that are stored as the archives' are. Never ask h5py for
the place of a chunk (``get_chunk_info``) or for an object's info: both walk the whole index of the chunks,
which is spread over the file.
"""

from __future__ import annotations

import struct
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from types import TracebackType
from typing import Any, ClassVar, Self

import h5py
import numpy as np
import numpy.typing as npt

from convml_data.errors import SceneError
from convml_data.geometry.fixed_grid import FixedGrid, GeostationaryView
from convml_data.geometry.windows import Window
from convml_data.scenes.ledger import SourceFile
from convml_data.sources.goes.chunk_index import find_chunks, read_chunks, stored_image
from convml_data.sources.goes.chunk_tables import ChunkTables
from convml_data.sources.goes.names import AbiFileName
from convml_data.sources.goes.parts import Parts
from convml_data.sources.goes.quality import Flags
from convml_data.sources.goes.range_sources import open_ranges
from convml_data.sources.goes.ranges import PAGE, RangeFile

#: How far float32 numbers may put the ends of the scan-angle axes from where they are, radians: five
#: times the resolution of float32 at the edge of the full disk, 0.7 % of a 0.5 km pixel.
_ANGLE_TOLERANCE = 1e-7

#: Chunks that are fetched together where HDF5 finds them, which bounds what is held of the file.
_CHUNKS_AT_ONCE = 256
#: What counts as a chunk in a file that has none.
_UNCHUNKED = (256, 256)

_BROKEN = (
    "Delete and fetch the file again if it is a copy; otherwise the archive's own file is broken: wait for "
    "it to be processed again, or leave this scene out"
)


class Granule(ABC):
    """An open file; use it in a ``with`` statement.

    Parameters
    ----------
    file
        URL and size, as listed.
    tables
        What is known of files from earlier reads, None where that is not kept.

    Raises
    ------
    ArchiveError
        The archive cannot be reached or refuses.
    SceneError
        The file is gone, empty, incomplete, broken, or of another kind.
    """

    #: What it is, for errors.
    kind: ClassVar[str]

    def __init__(self, file: SourceFile, tables: ChunkTables | None = None) -> None:
        self.url = file.url
        self._tables = tables
        self._hdf5: h5py.File | None = None
        self._source = open_ranges(file.url)
        self._size = file.size
        known = None if tables is None else tables.of(file.url, file.size)
        if known is None:
            self._open_anew()
            return
        try:
            self._open_with(known)
        except SceneError:
            self._open_anew()

    @abstractmethod
    def describe(self, hdf5: h5py.File) -> dict[str, h5py.Dataset]:
        """Take from an open file what it says of itself, and return its images by name, all of one shape.

        It is called again whenever it met a part of the file that was not there yet, and what is
        missing then may look absent: it must raise nothing but what HDF5 and numpy raise.
        """

    def _open_anew(self) -> None:
        """Open it by nothing but the archive's answers."""
        try:
            self._open_with(None)
        except SceneError:
            # A file that was replaced after it was listed, or mended, has another size now.
            size = self._source.size()
            if size in (self._size, None):
                raise
            self._size = size
            self._open_with(None)

    def _open_with(self, known: Parts | None) -> None:
        self._known = known
        self._table = Parts()
        self._ranges = RangeFile(self._source, self._size, known)
        if self._size == 0:
            raise SceneError("the file is empty (0 bytes)", where=self.url, remedy=_BROKEN)
        try:
            if known is None:
                self._ranges.fetch_ends()
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
    def file_name(self) -> str:
        """Without its folder."""
        return self.url.rpartition("/")[2]

    @property
    def bytes_read(self) -> int:
        """Bytes of the file that were made use of so far, wherever they came from."""
        return self._ranges.bytes_read + self._chunk_bytes + self._bytes_forgotten

    @property
    def bytes_fetched(self) -> int:
        """Bytes that came from the archive so far."""
        return self._ranges.bytes_fetched

    @property
    def requests(self) -> int:
        """Requests made to the archive so far."""
        return self._ranges.requests

    def read(self, window: Window) -> dict[str, npt.NDArray[Any]]:
        """All images over a window as they are stored, reading only the chunks that it touches.

        Parameters
        ----------
        window
            Inside the images.

        Returns
        -------
        dict
            By name, each of the window's shape; integers are unsigned where the file says so.
        """
        for name, image in self._images.items():
            if window.clipped(image.shape) != window:
                raise ValueError(f"{window} reaches beyond the {image.shape} pixels of {name}")
        try:
            stored = self._stored(window)
        except SceneError:
            if self._known is None:
                raise
            self._open_anew()  # in case it is what was known that does not hold
            stored = self._stored(window)
        return {name: as_declared(values, self._unsigned[name]) for name, values in stored.items()}

    def keep_table(self) -> None:
        """Keep what was read besides chunks for the next read of the file, where there are tables.

        Raises
        ------
        StoreError
            It cannot be written.
        """
        if self._tables is not None:
            self._tables.keep(self.url, self._size, self._known, self._table)

    def _open(self) -> None:
        if self._hdf5 is not None:
            self._hdf5.close()
        self._hdf5 = h5py.File(self._ranges, "r")
        self._images = self.describe(self._hdf5)
        self._unsigned = {name: is_unsigned(image) for name, image in self._images.items()}
        indexed = {name: stored_image(image, self._ranges.part) for name, image in self._images.items()}
        self._indexed = {name: image for name, image in indexed.items() if image is not None}
        self._chunk_bytes = self._bytes_forgotten = 0

    def _stored(self, window: Window) -> dict[str, npt.NDArray[Any]]:
        stored = self._stored_by_index(window)
        # Of images that are stored in another way HDF5 finds the chunks, of which few are held at once.
        others = {name: image for name, image in self._images.items() if name not in self._indexed}
        stored |= {name: np.empty(window.shape, image.dtype) for name, image in others.items()}
        parts = [
            partial(self._read_part, name, part, window, stored[name])
            for name, image in others.items()
            for part in _chunks_under(window, image.chunks or _UNCHUNKED)
        ]
        for first in range(0, len(parts), _CHUNKS_AT_ONCE):
            self._complete(parts[first : first + _CHUNKS_AT_ONCE], page=1)
            self._bytes_forgotten += self._ranges.bytes_read
            self._ranges.forget()
        return stored

    def _stored_by_index(self, window: Window) -> dict[str, npt.NDArray[Any]]:
        with self._explained():
            chunks = find_chunks(self._indexed, window, self._ranges)
        self._table = self._ranges.parts_read
        self._chunk_bytes += sum(chunk.span.length for found in chunks.values() for chunk in found)
        with self._explained():
            return read_chunks(self._indexed, chunks, window, self._ranges)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Make what libraries raise about a file's content an error that names the file."""
        try:
            yield
        except (OSError, KeyError, ValueError, TypeError, RuntimeError, struct.error) as error:
            raise SceneError(
                f"this is no readable {self.kind} ({_words_of(error)})", where=self.url, remedy=_BROKEN
            ) from error

    def _read_part(self, name: str, part: Window, window: Window, into: npt.NDArray[Any]) -> None:
        rows = slice(part.row0 - window.row0, part.row1 - window.row0)
        columns = slice(part.col0 - window.col0, part.col1 - window.col0)
        into[rows, columns] = self._images[name][part.slices]

    def _complete(self, tasks: Sequence[Callable[[], None]], page: int = PAGE) -> None:
        """Try tasks until none lacks a part of the file, fetching what they lack in between."""
        while tasks := [task for task in tasks if not self._succeeds(task)]:
            self._ranges.fetch_missing(page)

    def _succeeds(self, task: Callable[[], None]) -> bool:
        misses = self._ranges.misses
        try:
            with self._explained():
                task()
        except SceneError:
            if self._ranges.misses == misses:
                raise
        # h5py swallows some errors, so that what lacks a part of the file may look like a success.
        return self._ranges.misses == misses


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


# --- what the files of all levels say alike ------------------------------------------------------


@dataclass(frozen=True)
class Identity:
    """Whose scan a file is of.

    Parameters
    ----------
    satellite
        ``goes16``, …
    start, end
        Of the scan, UTC.
    name
        The name that the file was made under, None where it does not say.
    """

    satellite: str
    start: datetime
    end: datetime
    name: AbiFileName | None


def identity_of(hdf5: h5py.File) -> Identity:
    """What the global attributes say."""
    return Identity(
        text_of(hdf5, "platform_ID").lower().replace("g", "goes", 1),
        _time(hdf5, "time_coverage_start"),
        _time(hdf5, "time_coverage_end"),
        _name_of(hdf5),
    )


def fixed_grid_of(hdf5: h5py.File, shape: tuple[int, int]) -> FixedGrid:
    """The grid that the file's own axes and projection define.

    Scan angles are stored in float32, as axes or as their scale factor and offset, which puts them up
    to 1.5e-8 rad off. The PUG (volume 3, section 5.1.2) defines them in whole microradians, so axes that
    lie within that error of whole microradians are moved there; grids of one sector then nest exactly.
    """
    if shape != (hdf5["y"].shape[0], hdf5["x"].shape[0]):
        raise ValueError(f"the image has shape {shape}, not that of the coordinates y and x")
    projection = {name: number_of(hdf5["goes_imager_projection"].attrs[name]) for name in _PROJECTION}
    if projection["latitude_of_projection_origin"] != 0:
        raise ValueError("the projection's origin is not on the equator")
    sweep = decoded(hdf5["goes_imager_projection"].attrs["sweep_angle_axis"])
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
    return FixedGrid(view, x0, y0, dx, dy, shape)


_PROJECTION = (
    "longitude_of_projection_origin",
    "latitude_of_projection_origin",
    "perspective_point_height",
    "semi_major_axis",
    "semi_minor_axis",
)


def flags_of(variable: h5py.Dataset) -> Flags:
    """What a data quality flag says of its values."""
    if variable.dtype.kind not in "iu" or variable.dtype.itemsize > 2:
        raise ValueError(f"{variable.name} is of type {variable.dtype}, which no quality flag has")
    attributes = variable.attrs
    fill = attributes.get("_FillValue")
    return Flags.described(
        decoded(attributes.get("flag_meanings", "")).split(),
        _bit_patterns(attributes.get("flag_values"), variable.dtype),
        _bit_patterns(attributes.get("flag_masks"), variable.dtype),
        None if fill is None else next(iter(_bit_patterns(fill, variable.dtype) or ())),
        8 * variable.dtype.itemsize,
    )


def _bit_patterns(values: Any, dtype: np.dtype[Any]) -> list[int] | None:
    if values is None:
        return None
    # Whatever type an attribute has, it means the bits of the flag that it describes.
    return [int(value) & ((1 << 8 * dtype.itemsize) - 1) for value in np.atleast_1d(values)]


def _axis(variable: h5py.Dataset) -> tuple[float, float]:
    """First value and step of an axis of equal steps, radians, packed or not."""
    steps = len(variable) - 1
    if steps < 1:
        raise ValueError(f"the axis {variable.name} has {len(variable)} values")
    first, second, last = unpacked(variable, np.array([variable[0], variable[1], variable[steps]]))
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


def unpacked(variable: h5py.Dataset, stored: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Stored values of a variable in its unit, by its scale factor and offset if it has them."""
    scale = number_of(variable.attrs.get("scale_factor", 1.0))
    offset = number_of(variable.attrs.get("add_offset", 0.0))
    values = as_declared(stored, is_unsigned(variable)).astype(np.float64)
    return np.asarray(values * scale + offset, np.float64)


def is_unsigned(variable: h5py.Dataset) -> bool:
    """Whether ``_Unsigned`` says that integers are stored as signed and meant as unsigned."""
    return decoded(variable.attrs.get("_Unsigned", "false")).lower() == "true"


def as_declared(values: npt.NDArray[Any], unsigned: bool) -> npt.NDArray[Any]:
    """Integers as they are meant, by :func:`is_unsigned`."""
    if unsigned and np.issubdtype(values.dtype, np.signedinteger):
        return values.view(f"u{values.dtype.itemsize}")
    return values


def number_of(value: Any) -> float:
    """The one number that an attribute or a variable holds."""
    return float(np.asarray(value).item())


def decimal_of(value: Any) -> float:
    """The decimal number that was meant by a stored one: float32 35786.023 is 35786.0234375."""
    return float(str(np.asarray(value).ravel()[0]))


def decoded(value: Any) -> str:
    """The text that an attribute holds."""
    text = np.asarray(value).ravel()[0]
    return text.decode() if isinstance(text, bytes) else str(text)


def text_of(hdf5: h5py.File, name: str) -> str:
    """A global attribute."""
    return decoded(hdf5.attrs[name])


def _name_of(hdf5: h5py.File) -> AbiFileName | None:
    try:
        return AbiFileName.parse(decoded(hdf5.attrs.get("dataset_name", "")))
    except ValueError:
        return None


def _time(hdf5: h5py.File, name: str) -> datetime:
    return datetime.strptime(text_of(hdf5, name), "%Y-%m-%dT%H:%M:%S.%fZ")


def _words_of(error: BaseException) -> str:
    return " ".join(str(error).strip("'\"").split())

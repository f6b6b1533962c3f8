"""Statistics of the bands of tiles, made in one pass over parts that can be merged in any order.

They are those of a single collection: a network's input is scaled by what it is trained on alone.
The file loads without this package::

    bands = json.load(open("statistics.json"))["bands"]
    mean, std = (np.array([band[key] for band in bands], float) for key in ("mean", "std"))
    normalised = (tile - mean[:, None, None]) / std[:, None, None]  # tile: (bands, y, x)
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import reduce
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import xarray as xr

from convml_data.errors import StoreError
from convml_data.fingerprints import LENGTH, fingerprint
from convml_data.json_rows import reading, written

FloatArray = npt.NDArray[np.float64]

#: Raised whenever the written form changes in a way that older code would misread.
FORMAT_VERSION = 1

#: A histogram has at most as many bins.
MAX_BINS = 256

#: Bins are no narrower than about the smallest normal number of single precision,
FINEST = 2.0**-126
#: nor than about the largest magnitude over this, the precision of single precision.
PRECISION = 2.0**24

#: What reading a file raises that is absent, cut off or damaged.
_UNREADABLE = (OSError, KeyError, ValueError, TypeError, RuntimeError)


@dataclass(frozen=True)
class Histogram:
    """Counts in bins of equal width, a power of two, whose edges are multiples of the width.

    The width is the smallest that covers all values with :data:`MAX_BINS` bins. It follows from the lowest
    and the highest value alone, and wider bins hold narrower ones whole: merged histograms of parts are
    exactly the histogram of the whole.

    Parameters
    ----------
    exponent
        Base-2 logarithm of the width.
    first
        Left edge of the first bin, in widths.
    counts
        Values in each bin, left edge included; those at both ends are not 0. Empty where there are no values.
    """

    exponent: int = 0
    first: int = 0
    counts: tuple[int, ...] = ()

    @classmethod
    def of(cls, values: FloatArray) -> Self:
        """The histogram of finite values."""
        if not values.size:
            return cls()
        lowest, highest = float(values.min()), float(values.max())
        magnitude = max(abs(lowest), abs(highest))
        # Narrower bins than this are of no use or cannot cover the values.
        narrowest = max(FINEST, magnitude / PRECISION, (highest - lowest) / MAX_BINS)
        exponent = math.frexp(narrowest)[1] - 1
        while _bin(highest, exponent) - _bin(lowest, exponent) >= MAX_BINS:
            exponent += 1
        first = _bin(lowest, exponent)
        # Floored without rounding first: a quotient just below 0 may be too small to be told from it.
        bins = np.floor_divide(values, math.ldexp(1.0, exponent)) - first
        return cls(exponent, first, tuple(np.bincount(bins.astype(np.int64).ravel()).tolist()))

    @property
    def edges(self) -> FloatArray:
        """Of the bins, in units of the values, one more than there are bins."""
        return np.asarray(np.ldexp(float(self.first) + np.arange(len(self.counts) + 1), self.exponent), np.float64)

    def merged(self, other: Self) -> Self:
        """The histogram of the values of both."""
        if not self.counts or not other.counts:
            return self if self.counts else other
        exponent = max(self.exponent, other.exponent)
        while True:
            counts = self._widened(exponent) + other._widened(exponent)
            first, last = min(counts), max(counts)
            if last - first < MAX_BINS:
                return replace(
                    self, exponent=exponent, first=first, counts=tuple(counts[k] for k in range(first, last + 1))
                )
            exponent += 1

    def _widened(self, exponent: int) -> Counter[int]:
        """Counts by number of bin, of bins with another width that is no smaller."""
        by_bin: Counter[int] = Counter()
        for number, count in enumerate(self.counts, self.first):
            by_bin[number >> (exponent - self.exponent)] += count
        return by_bin

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready values: ``first_edge + bin_width * arange(len(counts) + 1)`` are the edges, exactly."""
        width = math.ldexp(1.0, self.exponent)
        return {"first_edge": self.first * width, "bin_width": width, "counts": list(self.counts)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The histogram that :meth:`to_dict` described."""
        width = float(values["bin_width"])
        if math.frexp(width)[0] != 0.5:
            raise ValueError(f"a bin_width of {width!r} is no power of two")
        return cls(math.frexp(width)[1] - 1, int(values["first_edge"] / width), tuple(values["counts"]))


def _bin(value: float, exponent: int) -> int:
    return int(value // math.ldexp(1.0, exponent))


@dataclass(frozen=True)
class BandStatistics:
    """Statistics of the values of a band.

    Parameters
    ----------
    count, missing
        How many values there are, and how many are missing.
    mean, std
        Mean and population standard deviation (over ``count``, not ``count - 1``); like ``min`` and ``max`` NaN
        where there are no values.
    min, max
        The lowest and the highest value.
    histogram
        Of the values.
    """

    count: int
    missing: int
    mean: float
    std: float
    min: float
    max: float
    histogram: Histogram

    @classmethod
    def of(cls, values: npt.ArrayLike, where: str | None = None) -> Self:
        """The statistics of an array of any shape, NaN standing for missing values.

        Raises
        ------
        StoreError
            A value is infinite; ``where`` names the array.
        """
        everything = np.asarray(values, np.float64)
        present = everything[~np.isnan(everything)]
        missing = everything.size - present.size
        if not present.size:
            return cls(0, missing, math.nan, math.nan, math.nan, math.nan, Histogram())
        if not np.isfinite(present).all():
            raise StoreError(
                "there are infinite values, which have no mean",
                where=where,
                remedy="Make the function or the source that the values come from give NaN there",
            )
        lowest, highest = float(present.min()), float(present.max())
        # Rounding must not take the mean of equal values away from them.
        mean = min(max(float(present.mean()), lowest), highest)
        std = math.sqrt(float(np.mean(np.square(present - mean))))
        return cls(present.size, missing, mean, std, lowest, highest, Histogram.of(present))

    def merged(self, other: Self) -> Self:
        """The statistics of the values of both.

        Mean and deviation as in Chan, Golub and LeVeque (1979), "Updating formulae and a pairwise
        algorithm for computing sample variances".
        """
        missing = self.missing + other.missing
        if not self.count or not other.count:
            return replace(self if self.count else other, missing=missing)
        count = self.count + other.count
        share = other.count / count
        apart = other.mean - self.mean
        variance = (1 - share) * self.std**2 + share * other.std**2 + share * (1 - share) * apart**2
        return replace(
            self,
            count=count,
            missing=missing,
            mean=self.mean + share * apart,
            std=math.sqrt(variance),
            min=min(self.min, other.min),
            max=max(self.max, other.max),
            histogram=self.histogram.merged(other.histogram),
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready values, null for what is NaN."""
        values = asdict(self) | {"histogram": self.histogram.to_dict()}
        return {name: None if value != value else value for name, value in values.items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The statistics that :meth:`to_dict` described."""
        numbers = {name: math.nan if values[name] is None else values[name] for name in ("mean", "std", "min", "max")}
        return cls(values["count"], values["missing"], **numbers, histogram=Histogram.from_dict(values["histogram"]))


@dataclass(frozen=True)
class Statistics:
    """Statistics of the tiles of a collection.

    Parameters
    ----------
    collection
        Of triplets; empty for tiles of other kinds.
    tiles
        How many.
    fingerprint
        Of the tiles (:func:`fingerprint_of_tiles`), by which outdated statistics are known.
    bands
        By name, in the order of the tiles' bands.
    units
        Of each band, None where the files do not say.
    """

    collection: str
    tiles: int
    fingerprint: str
    bands: Mapping[str, BandStatistics]
    units: Mapping[str, str | None]

    @property
    def mean(self) -> FloatArray:
        """Of each band, shape (bands,)."""
        return np.array([band.mean for band in self.bands.values()])

    @property
    def std(self) -> FloatArray:
        """Of each band, shape (bands,)."""
        return np.array([band.std for band in self.bands.values()])

    def merged(self, other: Self) -> Self:
        """The statistics of the tiles of both.

        Raises
        ------
        StoreError
            They are of different collections, bands or units.
        """
        for what, mine, others in (
            ("collection", self.collection, other.collection),
            ("bands", list(self.bands), list(other.bands)),
            ("units", dict(self.units), dict(other.units)),
        ):
            if mine != others:
                raise StoreError(
                    f"tiles of different {what} have no statistics in common: {mine!r} and {others!r}",
                    remedy="Take the tiles of one collection, made from one `meta.yaml`",
                )
        return replace(
            self,
            tiles=self.tiles + other.tiles,
            fingerprint=_sum(self.fingerprint, other.fingerprint),
            bands={name: band.merged(other.bands[name]) for name, band in self.bands.items()},
        )

    def to_json(self) -> str:
        """The written form, one band a line."""
        head = {"collection": self.collection, "tiles": self.tiles, "fingerprint": self.fingerprint}
        bands = (
            {"name": name, "units": self.units[name], **statistics.to_dict()} for name, statistics in self.bands.items()
        )
        return written(FORMAT_VERSION, head, "bands", bands, allow_nan=False)

    @classmethod
    def from_json(cls, text: str, where: str) -> Self:
        """The statistics that :meth:`to_json` wrote; ``where`` names their file in errors.

        Raises
        ------
        StoreError
            The text is no such file, or one of another format version.
        """
        remedy = "Make the statistics of the collection anew"
        with reading(
            text, where, FORMAT_VERSION, has="these statistics have", is_no="these are no statistics", remedy=remedy
        ) as values:
            return cls(
                values["collection"],
                values["tiles"],
                values["fingerprint"],
                {band["name"]: BandStatistics.from_dict(band) for band in values["bands"]},
                {band["name"]: band["units"] for band in values["bands"]},
            )


def read_statistics(path: Path) -> Statistics:
    """The statistics in a file; StoreError where there are none."""
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise StoreError(f"these statistics cannot be read ({reason})", where=str(path)) from error
    return Statistics.from_json(text, str(path))


def fingerprint_of_tiles(tiles: Iterable[tuple[str, str]]) -> str:
    """12 hexadecimal digits that change with any tile, whatever the order of the tiles.

    Parameters
    ----------
    tiles
        Name (``00000_anchor``) and fingerprint of each.
    """
    return reduce(_sum, (fingerprint(list(tile)) for tile in tiles), "0" * LENGTH)


def _sum(one: str, other: str) -> str:
    return f"{(int(one, 16) + int(other, 16)) % 16**LENGTH:0{LENGTH}x}"


def bands_of(field: xr.DataArray, where: str) -> dict[str, str | None]:
    """Names of the bands of a field and the units of each.

    Parameters
    ----------
    field
        (y, x), which is one band of the field's name, or (bands, y, x).
    where
        Names the field's file in errors.

    Raises
    ------
    StoreError
        The field has other dimensions, or bands share a name.
    """
    units = field.attrs.get("units")
    if field.dims == ("y", "x"):
        return {str(field.name): units}
    if field.dims != ("bands", "y", "x"):
        raise StoreError(f"the field {field.name} is {field.dims}, not (bands, y, x) or (y, x)", where=where)
    names = [str(name) for name in field["bands"].values]
    if len(set(names)) < len(names):
        raise StoreError(f"bands of the field {field.name} share a name: {', '.join(names)}", where=where)
    if "band_units" in field.coords:
        return dict(zip(names, map(str, field["band_units"].values), strict=True))
    return dict.fromkeys(names, units)


def statistics_of(tile: xr.Dataset, where: str) -> Statistics:
    """The statistics of one tile; ``where`` names its file in errors.

    Raises
    ------
    StoreError
        It is no tile, it is damaged, or a value is infinite.
    """
    try:
        (field,) = tile.data_vars.values()
        name, made_from = str(tile.attrs["tile"]), str(tile.attrs["fingerprint"])
        units = bands_of(field, where)
        values = field.values.reshape(len(units), *field.shape[-2:])
    except _UNREADABLE as error:
        raise StoreError(f"this is no tile, or it is damaged ({error})", where=where) from error
    return Statistics(
        collection=str(tile.attrs.get("triplet_collection", "")),
        tiles=1,
        fingerprint=fingerprint_of_tiles([(name, made_from)]),
        bands={name: BandStatistics.of(band, f"{where}: {name}") for name, band in zip(units, values, strict=True)},
        units=units,
    )


def tile_statistics(path: Path) -> Statistics:
    """The statistics of the tile in a netCDF file; StoreError as :func:`statistics_of`."""
    try:
        tile = xr.open_dataset(path, engine="h5netcdf", decode_coords="all")
    except _UNREADABLE as error:
        raise StoreError(f"this cannot be opened ({error})", where=str(path)) from error
    with tile:
        return statistics_of(tile, str(path))


def collection_statistics(paths: Iterable[Path]) -> Statistics:
    """The statistics of all tiles of a collection, of which one at a time is in memory.

    Parameters
    ----------
    paths
        Of the tiles' netCDF files. Mean and standard deviation differ with their order in the last bits only,
        everything else not at all.

    Raises
    ------
    StoreError
        There are no tiles, they do not belong together, or one is as :func:`statistics_of` says.
    """
    tiles = map(tile_statistics, paths)
    first = next(tiles, None)
    if first is None:
        raise StoreError("there are no tiles to make statistics of", remedy="Run `convml-data tiles`")
    return reduce(Statistics.merged, tiles, first)

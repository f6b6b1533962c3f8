"""How much of a domain a scan shows, and how much of that it lacks, whatever the archive's own flags say.

Files have pixels without a value that no flag marks: wedges that the instrument missed, and blocks that
were lost on the way. Whether a pixel is on the earth follows from the geometry alone, so that what lies
in space is told apart from what is missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from convml_data.geometry.fixed_grid import FixedGrid
from convml_data.geometry.local import Domain
from convml_data.geometry.source_grids import SourceGrid
from convml_data.sources.remembered import Remembered, key_of
from convml_data.sources.shares import BoolArray, nearest_pixels, share_of


@dataclass(frozen=True)
class Image:
    """A window of a file.

    Parameters
    ----------
    whole
        Grid of the file, which is its sector.
    grid
        Of the window.
    missing
        Shape of the window: where the file has no value, whatever its quality flag.
    """

    whole: SourceGrid
    grid: SourceGrid
    missing: BoolArray


@dataclass(frozen=True)
class DomainShares:
    """Shares of a domain's area.

    Parameters
    ----------
    valid
        With a value in all bands.
    on_earth
        That the satellite sees and the sector holds.
    missing_on_earth
        The part of ``on_earth`` without a value in one of the files.
    """

    valid: float
    on_earth: float
    missing_on_earth: float


def domain_shares(
    domain: Domain, images: Sequence[Image], grid: SourceGrid, values: npt.NDArray[np.floating]
) -> DomainShares:
    """Shares of a domain, each point of which counts by its nearest pixels.

    Parameters
    ----------
    domain
        All of it counts, what lies beside the sector or the earth too.
    images
        What the product was made from.
    grid, values
        Of the product, shape (…, y, x).
    """
    on_earth = np.logical_and.reduce([_shown(domain, image.whole) for image in images])
    missing = np.logical_or.reduce([_missing(domain, image) for image in images])
    return DomainShares(
        valid=share_of(nearest_pixels(domain, grid).complete(values)),
        on_earth=share_of(on_earth),
        missing_on_earth=share_of(on_earth & missing),
    )


_SHOWN: Remembered[BoolArray] = Remembered(16)


def _shown(domain: Domain, grid: SourceGrid) -> BoolArray:
    """Which points of a domain the satellite sees and the sector holds; remembered, as their pixels are."""
    return _SHOWN.get((domain, key_of(grid)), lambda: _find_shown(domain, grid))


def _find_shown(domain: Domain, grid: SourceGrid) -> BoolArray:
    nearest = nearest_pixels(domain, grid)
    shown = nearest.inside.copy()
    if isinstance(grid, FixedGrid):
        # A point at the limb may be in sight and the centre of its pixel in space.
        lon, _ = grid.view.lonlat(grid.x_rad[nearest.columns], grid.y_rad[nearest.rows])
        shown[nearest.inside] = np.isfinite(lon)
    return shown


def _missing(domain: Domain, image: Image) -> BoolArray:
    """At which points of a domain a file has no value."""
    nearest = nearest_pixels(domain, image.grid)
    return ~nearest.inside | nearest.sampled(image.missing)

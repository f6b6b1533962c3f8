"""CERES as a source of scenes: which times there are, and what one of them shows of a domain."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from convml_data.errors import ArchiveError, SceneError
from convml_data.geometry.local import Domain, LocalDomain
from convml_data.geometry.model_grids import CurvilinearGrid
from convml_data.geometry.source_grids import whole_domain
from convml_data.geometry.windows import Window
from convml_data.scenes.ledger import Scan
from convml_data.sources.base import Interval
from convml_data.sources.ceres import radiation
from convml_data.sources.ceres.archive import FILE, list_scans
from convml_data.sources.ceres.files import CeresFile
from convml_data.sources.ceres.products import (
    ALBEDO,
    DERIVED_VARIABLES,
    LONGWAVE_FLUX,
    REFLECTED_FLUX,
    parse_ceres,
)
from convml_data.sources.ceres.raw_files import open_raw_file
from convml_data.sources.remembered import remembered_window
from convml_data.sources.shares import valid_share

FloatArray = npt.NDArray[np.float64]
Float32Array = npt.NDArray[np.float32]

#: How far beyond the domain a window reaches, in pixels, for interpolation.
MARGIN = 3

#: Ways to write the units that derived variables are computed from, and what makes them those of the formulas.
_SHARES = {"%": 0.01, "percent": 0.01, "1": 1.0}
_FLUXES = {"W/m^2": 1.0, "W m-2": 1.0, "W/m2": 1.0, "W m^-2": 1.0, "W m**-2": 1.0, "Wm-2": 1.0}


@dataclass(frozen=True)
class CeresSource:
    """CERES GEO files of one satellite, set up for a variable.

    Parameters
    ----------
    product
        As :func:`~convml_data.sources.ceres.products.parse_ceres` reads it.
    archive
        URL of the edition's folder.
    cache
        Folder or URL that gets copies of the files of an archive that is not on this machine.
    """

    product: str
    archive: str
    cache: str

    def find(self, intervals: Sequence[Interval] | None) -> list[Scan]:
        """All scans in the intervals; see :class:`~convml_data.sources.base.Source`.

        Raises
        ------
        ArchiveError
            As :func:`~convml_data.sources.ceres.archive.list_scans`, or no intervals are given.
        """
        if intervals is None:
            raise ArchiveError(
                "the archive holds years of hourly files, of which all are asked for",
                where=self.archive,
                remedy="Give `time:` in meta.yaml",
            )
        return list_scans(self.archive, parse_ceres(self.product).satellite, intervals)

    def read(self, scan: Scan, domain: Domain) -> xr.Dataset:
        """The variable over the domain on the file's pixels; see :class:`~convml_data.sources.base.Source`.

        Returns
        -------
        Dataset
            One variable with dims (y, x), float32, in the file's units; coordinates ``lon`` and ``lat``
            in degrees. Attribute ``valid_share`` is the share of the domain's area that has values.

        Raises
        ------
        ArchiveError
            The archive cannot be reached, or wants a login that there is not.
        SceneError
            The file is broken or lacks the variable, or does not show the domain.
        """
        name = parse_ceres(self.product).variable
        with open_raw_file(scan, self.cache) as raw, CeresFile(raw.stream, raw.where, raw.identity) as file:
            window = remembered_window(domain, file.grid, MARGIN)
            if window is None:
                raise _not_shown(domain, file)
            grid = file.grid.cropped(window)
            if name in DERIVED_VARIABLES:
                values, attributes = _derived(name, file, window, grid, scan)
            else:
                variable = file.read(name, window)
                values, attributes = variable.values, dict(variable.attrs)
            size = raw.size
        field = np.asarray(values, np.float32)
        return xr.Dataset(
            {name: (("y", "x"), field, attributes)},
            {key: xr.Variable(*coordinate) for key, coordinate in grid.coordinates().items()},
            {
                "title": f"{self.product} of CERES GEO, cropped to a domain",
                "satellite": scan.satellite,
                "product": self.product,
                "scene_time": scan.start.isoformat(),
                "source_file": scan.files[FILE].url.rpartition("/")[2],
                # Not what was read now, which depends on what earlier reads have left in memory and on disk.
                "bytes_read": size,
                "source_grid": json.dumps(grid.to_dict()),
                "valid_share": valid_share(domain, grid, np.isfinite(field)),
            },
        )

    def whole_domain(self, scan: Scan) -> Domain:
        """The smallest domain that holds all pixels; see :class:`~convml_data.sources.base.Source`."""
        with open_raw_file(scan, self.cache) as raw, CeresFile(raw.stream, raw.where, raw.identity) as file:
            return whole_domain(file.grid)


def _derived(
    name: str, file: CeresFile, window: Window, grid: CurvilinearGrid, scan: Scan
) -> tuple[FloatArray, dict[str, Any]]:
    """A variable that follows from others and the sun's place, and its attributes."""
    incoming = radiation.incoming_flux(*grid.world(), scan.start)
    reflected = radiation.reflected_flux(incoming, _read_as(file, ALBEDO, window, _SHARES))
    attributes = {"units": "W m-2", "total_solar_irradiance": f"{radiation.TOTAL_SOLAR_IRRADIANCE:g} W m-2 at 1 AU"}
    if name == REFLECTED_FLUX:
        return reflected, attributes | {
            "standard_name": "toa_outgoing_shortwave_flux",
            "long_name": "reflected shortwave flux",
            "computed_from": f"{ALBEDO} and the sun's elevation and distance at the scene's time",
        }
    longwave = _read_as(file, LONGWAVE_FLUX, window, _FLUXES)
    return radiation.net_flux(incoming, reflected, longwave), attributes | {
        "long_name": "approximate net downward radiation at the top of the atmosphere",
        "computed_from": f"{ALBEDO}, {LONGWAVE_FLUX} and the sun's elevation and distance at the scene's time",
    }


def _read_as(file: CeresFile, name: str, window: Window, known_units: Mapping[str, float]) -> FloatArray:
    """A variable in the units that formulas take."""
    variable = file.read(name, window)
    units = str(variable.attrs.get("units", "")).strip()
    if units not in known_units:
        raise SceneError(
            f"{name} has units {units!r}, which fluxes cannot be computed from",
            where=file.where,
            remedy=f"Known are {', '.join(known_units)}",
        )
    return np.asarray(variable.values * known_units[units], np.float64)


def _not_shown(domain: Domain, file: CeresFile) -> SceneError:
    place = ""
    if isinstance(domain, LocalDomain):
        place = f" around {domain.central_latitude:g}N {domain.central_longitude:g}E"
    lon, lat = file.grid.world()
    return SceneError(
        f"the domain{place} lies outside of what the file shows, {np.nanmin(lat):.1f}N to {np.nanmax(lat):.1f}N "
        f"and {np.nanmin(lon):.1f}E to {np.nanmax(lon):.1f}E",
        where=file.where,
        remedy="Move `domain`, or choose another satellite in meta.yaml",
    )

"""GOES as a source of scenes: which scans there are, and what one of them shows of a domain."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from convml_data.errors import MetaError
from convml_data.geometry.fixed_grid import FixedGrid
from convml_data.geometry.local import Domain
from convml_data.geometry.model_grids import LatLonGrid
from convml_data.geometry.source_grids import whole_domain
from convml_data.meta.level2 import Level2
from convml_data.meta.products import Channels, Composite, Truecolor, parse_goes
from convml_data.scenes.ledger import Scan
from convml_data.sources.base import Interval
from convml_data.sources.goes import calibration, composites, rayleigh
from convml_data.sources.goes.abi import AbiFile
from convml_data.sources.goes.archive import list_scans
from convml_data.sources.goes.chunk_tables import ChunkTables
from convml_data.sources.goes.crops import Crop, read_crops
from convml_data.sources.goes.domain_shares import domain_shares
from convml_data.sources.goes.fields import Made, make_channels, make_level2, make_truecolor
from convml_data.sources.goes.level2 import Level2Crop, Level2File, read_level2
from convml_data.sources.goes.quality import GOOD, Quality

#: The coordinate that holds the projection, as in the archive's own files.
GRID_MAPPING = "goes_imager_projection"


@dataclass(frozen=True)
class GoesSource:
    """Images of one satellite and sector, set up for a product.

    Parameters
    ----------
    satellite
        ``goes16``, …
    product
        As :func:`~convml_data.meta.products.parse_goes` reads it.
    sector
        ``F``, ``C``, ``M1`` or ``M2``.
    archive
        URL of the folder or bucket that holds the files.
    rayleigh_correction
        Whether to take Rayleigh scattering off truecolor.
    quality
        Which data quality flags are kept, see :meth:`~.quality.Flags.kept`.
    tables
        Folder of what is known of files from earlier reads, a path or URL, None where that is not kept.
    """

    satellite: str
    product: str
    sector: str
    archive: str
    rayleigh_correction: bool = True
    quality: Quality = GOOD
    tables: str | None = None

    @property
    def channels(self) -> tuple[int, ...]:
        """The channels whose files the product is made from, each once; none for a level 2 product of no channel."""
        product = parse_goes(self.product)
        return composites.channels_of(product.name) if isinstance(product, Composite) else product.channels

    def find(self, intervals: Sequence[Interval] | None) -> list[Scan]:
        """All scans in and next to the intervals; see :class:`~convml_data.sources.base.Source`."""
        if intervals is None:
            raise MetaError(
                f"{self.satellite} is listed by the hour, and there is no time to list",
                where="time",
                remedy="Give `time` in meta.yaml",
            )
        product = parse_goes(self.product)
        level, name = ("L2", product.product.name) if isinstance(product, Level2) else ("L1b", "Rad")
        return list_scans(self.archive, self.satellite, level, name, self.sector, self.channels, intervals)

    def whole_domain(self, scan: Scan) -> Domain:
        """The domain of the whole sector in a scan; see :class:`~convml_data.sources.base.Source`.

        Raises
        ------
        ArchiveError
            The archive cannot be reached.
        SceneError
            The file that is asked for its pixels is broken.
        """
        product = parse_goes(self.product)
        file = next(iter(scan.files.values()))
        if isinstance(product, Level2):
            with Level2File(file, product) as level2:
                return whole_domain(level2.variable.grid)
        with AbiFile(file) as radiances:
            return whole_domain(radiances.grid)

    def read(self, scan: Scan, domain: Domain) -> xr.Dataset:
        """The product over the domain on the grid of its finest channel; see :class:`~convml_data.sources.base.Source`.

        Returns
        -------
        Dataset
            One variable with dims (y, x) or (bands, y, x), float32; y descends. Its attributes tell these shares
            of the domain's area: ``valid_share`` has values in all bands; ``on_earth_share`` is seen by the
            satellite and held by the sector; ``missing_on_earth_share`` is the part of that without a value in one
            of the files, whatever the flags say. ``rejected_share`` of the window's pixels have a value that the
            quality flags rule out, in one of the files at least.

        Raises
        ------
        ArchiveError
            The archive cannot be reached, or Rayleigh correction lacks its tables.
        SceneError
            A file is broken, or is not what its name says, or lacks a flag that was asked for; the files do not
            show the domain, which is found out before any of the image is read.
        """
        product = parse_goes(self.product)
        tables = None if self.tables is None else ChunkTables(self.tables)
        if isinstance(product, Level2):
            crop = read_level2(scan, self.satellite, self.sector, product, domain, self.quality, tables)
            return self._dataset(scan, domain, [crop], make_level2(crop, product), {}, {"file": crop.file_name})
        if isinstance(product, Truecolor) and self.rayleigh_correction:
            rayleigh.require_tables(self.satellite)
        crops = read_crops(scan, self.satellite, self.sector, self.channels, domain, self.quality, tables)
        return self._dataset(scan, domain, crops, self._made(crops, product), _channel_coordinates(crops), {})

    def _made(self, crops: Sequence[Crop], product: Truecolor | Channels | Composite) -> Made:
        match product:
            case Truecolor():
                return make_truecolor(crops, self.satellite, self.rayleigh_correction)
            case Channels():
                return make_channels(crops, product)
            case Composite(name):
                return composites.make_composite(crops, name)

    def _dataset(
        self,
        scan: Scan,
        domain: Domain,
        crops: Sequence[Crop | Level2Crop],
        made: Made,
        coordinates: dict[str, xr.Variable],
        attributes: dict[str, str],
    ) -> xr.Dataset:
        variable = made.variable
        on_projection = isinstance(made.grid, FixedGrid)
        shares = domain_shares(domain, [crop.image for crop in crops], made.grid, variable.values)
        return xr.Dataset(
            {
                made.name: (
                    variable.dims,
                    variable.values,
                    {**variable.attrs, **({"grid_mapping": GRID_MAPPING} if on_projection else {})},
                )
            },
            {**made.coordinates, **_grid_coordinates(made.grid), **coordinates},
            {
                **self._scene_attributes(scan, crops),
                "source_grid": json.dumps(made.grid.to_dict()),
                "valid_share": shares.valid,
                "on_earth_share": shares.on_earth,
                "missing_on_earth_share": shares.missing_on_earth,
                "rejected_share": _rejected_share(crops),
                **made.attributes,
                **attributes,
            },
        )

    def _scene_attributes(self, scan: Scan, crops: Sequence[Crop | Level2Crop]) -> dict[str, str | int]:
        return {
            "title": f"{self.product} of {self.satellite}, cropped to a domain",
            "satellite": self.satellite,
            "sector": self.sector,
            "product": self.product,
            "scene_time": scan.start.isoformat(),
            "scan_end": scan.end.isoformat(),
            "scan_mode": "unknown" if scan.mode is None else scan.mode,
            "quality_flags": "; ".join(dict.fromkeys(crop.kept_flags for crop in crops)),
            "bytes_read": sum(crop.bytes_read for crop in crops),
            "bytes_whole_files": sum(file.size for file in scan.files.values()),
            "bytes_fetched": sum(crop.bytes_fetched for crop in crops),
            "requests": sum(crop.requests for crop in crops),
        }


def _rejected_share(crops: Sequence[Crop | Level2Crop]) -> float:
    """Share of the window's pixels, of the finest there are, that are rejected in one of the files at least."""
    if not any(crop.rejected.any() for crop in crops):
        return 0.0
    finest = max((crop.rejected.shape for crop in crops), key=lambda shape: shape[0])
    rejected = np.zeros(finest, np.bool_)
    for crop in crops:
        factor = finest[0] // crop.rejected.shape[0]
        # Views of the fine pixels, a coarse one at a time.
        blocks = rejected.reshape(crop.rejected.shape[0], factor, crop.rejected.shape[1], factor)
        blocks |= crop.rejected[:, np.newaxis, :, np.newaxis]
    return float(rejected.mean())


def _grid_coordinates(grid: FixedGrid | LatLonGrid) -> dict[str, Any]:
    if isinstance(grid, LatLonGrid):
        return dict(grid.coordinates())
    axes = {
        name: xr.Variable(
            name,
            values,
            {
                "standard_name": f"projection_{name}_coordinate",
                "long_name": f"scan angle in {name} times height of the satellite",
                "units": "m",
                "axis": name.upper(),
            },
        )
        for name, values in (("x", grid.x), ("y", grid.y))
    }
    return {**axes, GRID_MAPPING: xr.Variable((), 0, grid.crs.to_cf())}


def _channel_coordinates(crops: Sequence[Crop]) -> dict[str, xr.Variable]:
    def along_channel(values: Sequence[object], **attributes: str) -> xr.Variable:
        return xr.Variable("channel", np.array(values), attributes)

    channels = [crop.channel for crop in crops]
    shares = {
        f"channel_share_{meaning}": along_channel(
            [crop.dqf_shares[meaning] for crop in crops],
            long_name=f"share of the window's pixels whose data quality flag is {meaning}",
            units="1",
        )
        for meaning in calibration.DQF_MEANINGS
    }
    return {
        "channel": along_channel([channel.number for channel in channels], long_name="ABI channel"),
        "channel_wavelength": along_channel([c.wavelength for c in channels], units="um"),
        "channel_esun": along_channel(
            [np.nan if c.esun is None else c.esun for c in channels],
            long_name="solar irradiance at one astronomical unit",
            units="W m-2 um-1",
        ),
        "channel_earth_sun_distance": along_channel([c.earth_sun_distance for c in channels], units="AU"),
        "channel_start_time": along_channel([c.start.isoformat() for c in channels]),
        "channel_end_time": along_channel([c.end.isoformat() for c in channels]),
        "channel_file": along_channel([crop.file_name for crop in crops]),
        "channel_bytes_read": along_channel([crop.bytes_read for crop in crops], units="byte"),
        "channel_valid_share": along_channel(
            [crop.valid_share for crop in crops],
            long_name="share of the window's pixels that have a radiance",
            units="1",
        ),
        "channel_rejected_share": along_channel(
            [float(crop.rejected.mean()) for crop in crops],
            long_name="share of the window's pixels that have a radiance which their quality flag rules out",
            units="1",
        ),
        **shares,
    }

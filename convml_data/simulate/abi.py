"""Writing one simulated ABI level 1b file, as the archive would hold it.

Names, attributes, packing and chunks are those of real files (GOES-R Product Definition and Users'
Guide, volume 3); variables that are only statistics or provenance are left out.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

import h5netcdf
import h5py
import numpy as np
import numpy.typing as npt
from pyorbital.astronomy import sun_earth_distance_correction

from convml_data.errors import ConvmlError, StoreError
from convml_data.geometry.cover import window_over
from convml_data.geometry.fixed_grid import FixedGrid
from convml_data.geometry.local import LocalDomain
from convml_data.geometry.windows import Window
from convml_data.simulate import truth
from convml_data.simulate.bands import BANDS, EmissiveBand, ReflectiveBand
from convml_data.simulate.layout import ChunkCache, image_blocks
from convml_data.simulate.sectors import (
    Satellite,
    Sector,
    channel_start,
    not_seen,
    satellite_of,
    sector_grid,
    sector_of,
)
from convml_data.sources.goes.names import AbiFileName
from convml_data.store.files import Files

FloatArray = npt.NDArray[np.float64]
CountArray = npt.NDArray[np.int16]
#: Which chunks of an image are stored.
Allocation = Literal["domain", "full"]

#: Data reach this many 2 km pixels further than the domain, for readers that interpolate.
MARGIN_2KM = 16

#: Epoch of the time variables: noon of 1 January 2000.
J2000 = datetime(2000, 1, 1, 12)
#: From the end of a scan to the creation of its file.
PROCESSING_TIME = timedelta(seconds=4.6)

#: DQF of a good pixel and of one in space.
GOOD, IN_SPACE = 0, -1

#: What flags mean, by their values.
_MEANINGS = (
    "good_pixel_qf",
    "conditionally_usable_pixel_qf",
    "out_of_range_pixel_qf",
    "no_value_pixel_qf",
    "focal_plane_temperature_threshold_exceeded_qf",
)

AXES = ("y", "x")

#: Points along a side of the image that its geographic extent is taken from.
_EXTENT_POINTS = 301
_FILL = -999.0
_UNUSED_INT = -2147483647
_UUID_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_DNS, "simulated.abi.convml-data")


class _Chunk(NamedTuple):
    """A chunk of the image and the degrees of its pixel centres, NaN in space."""

    window: Window
    lon: FloatArray
    lat: FloatArray


class _StoredChunk(NamedTuple):
    """Counts of a chunk, fill in space."""

    window: Window
    counts: CountArray


class _Granule(NamedTuple):
    """What a file is about."""

    name: AbiFileName
    satellite: Satellite
    sector: Sector
    band: ReflectiveBand | EmissiveBand
    grid: FixedGrid
    earth_sun_distance: float

    @property
    def kappa0(self) -> float:
        """Reflectance factor per radiance, fill for infrared bands."""
        return self.band.kappa0(self.earth_sun_distance) if isinstance(self.band, ReflectiveBand) else _FILL

    @property
    def identifier(self) -> uuid.UUID:
        """The file's own, which its name makes."""
        return uuid.uuid5(_UUID_NAMESPACE, str(self.name))


def write_granule(
    root: Path,
    *,
    satellite: str,
    sector: str,
    channel: int,
    start: datetime,
    domain: LocalDomain,
    mode: int = 6,
    allocate: Allocation = "domain",
) -> Path:
    """Write the file of one channel of one scan; one of that name is replaced.

    In the chunks that touch the domain or lie within ``MARGIN_2KM`` pixels of it, values are the
    :mod:`~convml_data.simulate.truth` at the pixel centres when the channel's scan starts.

    Parameters
    ----------
    root
        The bucket's place, for example ``archive/noaa-goes16``.
    satellite, sector, channel, mode
        As in :class:`~convml_data.sources.goes.names.AbiFileName`.
    start
        Of the scan, UTC; that of the channel is up to 0.3 s later.
    domain
        Where data are wanted.
    allocate
        The image has its true size in any case. With ``domain`` no other chunks are stored, and the
        rest reads as fill. With ``full`` all are that the archive would store, and the file has the
        size of a real one: beyond the domain are values of :mod:`~convml_data.simulate.noisy`.

    Returns
    -------
    Path
        Of the file.

    Raises
    ------
    ConvmlError
        There is no such satellite, sector or channel, or the sector does not show the domain.
    StoreError
        The file cannot be written.
    """
    if channel not in BANDS:
        raise ConvmlError(f"there is no channel {channel} to simulate", remedy="Use channels from 1 to 16")
    band = BANDS[channel]
    grid, chunks = _image(satellite, sector, band.resolution_km, domain)
    begin = channel_start(start, channel)
    end = begin + sector_of(sector).duration
    name = AbiFileName("L1b", "Rad", sector, mode, channel, satellite, begin, end, end + PROCESSING_TIME)
    distance = float(np.float32(sun_earth_distance_correction(begin)))
    granule = _Granule(name, satellite_of(satellite), sector_of(sector), band, grid, distance)
    try:
        with Files(str(root)).writing(name.path) as partial:
            _write(partial, granule, _blocks(granule, chunks, allocate))
    except OSError as error:
        raise StoreError(
            f"the file cannot be written ({error.strerror or error})",
            where=str(root / name.path),
            remedy="Check the permission to write there and the space left",
        ) from error
    return root / name.path


def radiance(
    band: ReflectiveBand | EmissiveBand,
    earth_sun_distance: float,
    lon: npt.ArrayLike,
    lat: npt.ArrayLike,
    time: datetime,
) -> FloatArray:
    """The true radiance over points in degrees, in the band's units, at a distance from the sun in au."""
    if isinstance(band, EmissiveBand):
        return band.radiance(truth.brightness_temperature(band.channel, lon, lat, time))
    factor = truth.reflectance_factor(band.channel, lon, lat, time)
    return np.asarray(factor / band.kappa0(earth_sun_distance), np.float64)


@lru_cache(maxsize=3)  # the three resolutions of one scan, whose places are the same in the next
def _image(
    satellite: str, sector: str, resolution_km: float, domain: LocalDomain
) -> tuple[FixedGrid, tuple[_Chunk, ...]]:
    grid = sector_grid(satellite, sector, resolution_km, domain)
    window = window_over(domain, sector_grid(satellite, sector, 2.0, domain), MARGIN_2KM)
    if window is None:
        raise not_seen(satellite, sector, domain)
    wanted = window.refined(round(2 / resolution_km))
    return grid, tuple(
        _Chunk(chunk, *grid.cropped(chunk).lonlat()) for chunk in _chunks_over(wanted, sector_of(sector).chunk_size)
    )


def _chunks_over(window: Window, size: int) -> Iterator[Window]:
    """The chunks of ``size`` x ``size`` pixels that a window touches."""
    for row in range(window.row0 // size * size, window.row1, size):
        for col in range(window.col0 // size * size, window.col1, size):
            yield Window(row, row + size, col, col + size)


def _blocks(granule: _Granule, exact: tuple[_Chunk, ...], allocate: Allocation) -> Iterator[Sequence[_StoredChunk]]:
    """Chunks to store, in the blocks in which the archive's writer gets them."""

    def true_counts(chunk: _Chunk) -> CountArray:
        values = radiance(granule.band, granule.earth_sun_distance, chunk.lon, chunk.lat, granule.name.start)
        return granule.band.counts(values)

    if allocate == "domain":
        yield [_StoredChunk(chunk.window, true_counts(chunk)) for chunk in exact]
        return
    # Compiled code takes long to load, and few files are whole.
    from convml_data.simulate.noisy import NoisyImage

    image = NoisyImage(
        granule.band,
        granule.grid,
        lambda lon, lat: radiance(granule.band, granule.earth_sun_distance, lon, lat, granule.name.start),
        seed=granule.identifier.int % 2**63,
    )
    true_chunks = {chunk.window: chunk for chunk in exact}
    for block in image_blocks(granule.grid, granule.sector.chunk_size, full_disk=granule.name.sector == "F"):
        yield [
            _StoredChunk(window, true_counts(true_chunks[window]) if window in true_chunks else image.counts(window))
            for window in block
        ]


def _write(path: Path, granule: _Granule, blocks: Iterable[Sequence[_StoredChunk]]) -> None:
    # The version of the format that the archive's files have.
    with h5py.File(path, "w", libver=("v108", "v108"), track_order=True) as hdf5, h5netcdf.File(hdf5, "w") as file:
        rows, columns = granule.grid.shape
        file.dimensions = {
            "y": rows,
            "x": columns,
            "number_of_time_bounds": 2,
            "number_of_image_bounds": 2,
            "band": 1,
        }
        _set_attributes(file, _global_attributes(granule))
        _define_axes(file, granule)
        _define_image(file, granule)
        rad, dqf = ChunkCache(hdf5["Rad"]), ChunkCache(hdf5["DQF"])
        for block in blocks:
            for window, counts in block:
                dqf.add(window, np.where(counts == granule.band.fill, IN_SPACE, GOOD))
            for window, counts in block:
                rad.add(window, counts)
        # As in real files, these few lie between the chunks, and the rest behind them.
        _write_projection_and_time(file, granule)
        rad.flush()
        dqf.flush()
        for axis, length in zip(AXES, granule.grid.shape, strict=True):
            file[axis][:] = np.arange(length, dtype=np.int16)
        _write_navigation(file, granule)
        _write_calibration(file, granule)


def _define_image(file: h5netcdf.File, granule: _Granule) -> None:
    band, side = granule.band, granule.sector.chunk_size
    emissive = isinstance(band, EmissiveBand)
    pixel = f"{granule.grid.dx:.6f} rad"
    common = {
        "coordinates": "band_id band_wavelength t y x",
        "grid_mapping": "goes_imager_projection",
        "cell_methods": "t: point area: point",
    }
    storage = {"chunks": (side, side), "compression": "gzip", "compression_opts": 1, "shuffle": False}
    rad = file.create_variable("Rad", ("y", "x"), np.int16, fillvalue=np.int16(band.fill), **storage)
    _set_attributes(
        rad,
        {
            "long_name": "ABI L1b Radiances",
            "standard_name": f"toa_outgoing_radiance_per_unit_wave{'number' if emissive else 'length'}",
            "_Unsigned": "true",
            "sensor_band_bit_depth": np.int8(band.bits),
            "valid_range": np.array([0, band.fill - 1], np.int16),
            "scale_factor": np.float32(band.scale_factor),
            "add_offset": np.float32(band.add_offset),
            "units": "mW m-2 sr-1 (cm-1)-1" if emissive else "W m-2 sr-1 um-1",
            "resolution": f"y: {pixel} x: {pixel}",
            **common,
            "ancillary_variables": "DQF",
        },
    )
    dqf = file.create_variable("DQF", ("y", "x"), np.int8, fillvalue=np.int8(-1), **storage)
    _set_attributes(
        dqf,
        {
            "long_name": "ABI L1b Radiances data quality flags",
            "standard_name": "status_flag",
            "_Unsigned": "true",
            "valid_range": np.array([0, 4], np.int8),
            "units": "1",
            **common,
            "flag_values": np.arange(len(_MEANINGS), dtype=np.int8),
            "flag_meanings": " ".join(_MEANINGS),
            "number_of_qf_values": np.int8(len(_MEANINGS)),
            **{f"percent_{meaning}": np.float32(flag == GOOD) for flag, meaning in enumerate(_MEANINGS)},
        },
    )


def _define_axes(file: h5netcdf.File, granule: _Granule) -> None:
    for axis, (start, step) in zip(AXES, _axis_packing(granule.grid), strict=True):
        _set_attributes(
            file.create_variable(axis, (axis,), np.int16),
            {
                "scale_factor": np.float32(step),
                "add_offset": np.float32(start),
                "units": "rad",
                "axis": axis.upper(),
                "long_name": f"GOES fixed grid projection {axis}-coordinate",
                "standard_name": f"projection_{axis}_coordinate",
            },
        )


def _axis_packing(grid: FixedGrid) -> tuple[tuple[float, float], tuple[float, float]]:
    """First value and step of y and x, radians."""
    return (grid.y0, grid.dy), (grid.x0, grid.dx)


def _write_projection_and_time(file: h5netcdf.File, granule: _Granule) -> None:
    view, name = granule.grid.view, granule.name
    _variable(
        file,
        "goes_imager_projection",
        np.int32(_UNUSED_INT),
        long_name="GOES-R ABI fixed grid projection",
        grid_mapping_name="geostationary",
        perspective_point_height=view.perspective_height,
        semi_major_axis=view.semi_major_axis,
        semi_minor_axis=view.semi_minor_axis,
        inverse_flattening=298.2572221,
        latitude_of_projection_origin=0.0,
        longitude_of_projection_origin=view.sub_longitude,
        sweep_angle_axis=view.sweep_angle_axis,
    )
    _variable(
        file,
        "t",
        np.float64(sum(_seconds(name)) / 2),
        long_name="J2000 epoch mid-point between the start and end image scan in seconds",
        standard_name="time",
        units="seconds since 2000-01-01 12:00:00",
        axis="T",
        bounds="time_bounds",
    )


def _seconds(name: AbiFileName) -> tuple[float, float]:
    """Start and end of the scan after J2000."""
    return (name.start - J2000).total_seconds(), (name.end - J2000).total_seconds()


def _write_navigation(file: h5netcdf.File, granule: _Granule) -> None:
    grid = granule.grid
    _variable(
        file,
        "time_bounds",
        np.array(_seconds(granule.name)),
        ("number_of_time_bounds",),
        long_name="Scan start and end times in seconds since epoch (2000-01-01 12:00:00)",
    )
    for axis, (start, step), count in zip(AXES, _axis_packing(grid), grid.shape, strict=True):
        bounds = np.array([start - step / 2, start + (count - 0.5) * step])
        _variable(
            file,
            f"{axis}_image",
            np.float32(round(bounds.mean(), 6)),
            long_name=f"GOES-R fixed grid projection {axis}-coordinate center of image",
            standard_name=f"projection_{axis}_coordinate",
            units="rad",
            axis=axis.upper(),
        )
        _variable(
            file,
            f"{axis}_image_bounds",
            bounds.round(6).astype(np.float32),
            ("number_of_image_bounds",),
            long_name=f"GOES-R fixed grid projection {axis}-coordinate extent of image",
            units="rad",
        )
    _variable(
        file,
        "geospatial_lat_lon_extent",
        np.float32(_FILL),
        long_name="geospatial latitude and longitude references",
        **_geographic_extent(grid),
        geospatial_lat_units="degrees_north",
        geospatial_lon_units="degrees_east",
    )
    for variable, value, standard_name, units in (
        ("subpoint_lat", 0.0, "latitude", "degrees_north"),
        ("subpoint_lon", granule.satellite.subpoint_longitude, "longitude", "degrees_east"),
        ("height", grid.view.perspective_height / 1000, "height_above_reference_ellipsoid", "km"),
    ):
        _scalar(file, f"nominal_satellite_{variable}", value, standard_name=standard_name, units=units)
    _variable(
        file,
        "yaw_flip_flag",
        np.int8(0),
        fill=np.int8(-1),
        long_name="Flag indicating the spacecraft is operating in yaw flip configuration",
        _Unsigned="true",
        valid_range=np.array([0, 1], np.int8),
        units="1",
        coordinates="t",
        flag_values=np.array([0, 1], np.int8),
        flag_meanings="false true",
    )


def _write_calibration(file: h5netcdf.File, granule: _Granule) -> None:
    band = granule.band
    _variable(
        file,
        "band_id",
        np.array([band.channel], np.int8),
        ("band",),
        long_name="ABI band number",
        standard_name="sensor_band_identifier",
        units="1",
    )
    _variable(
        file,
        "band_wavelength",
        np.array([band.wavelength], np.float32),
        ("band",),
        long_name="ABI band central wavelength",
        standard_name="sensor_band_central_radiation_wavelength",
        units="um",
    )
    _scalar(
        file,
        "esun",
        band.esun if isinstance(band, ReflectiveBand) else _FILL,
        long_name="bandpass-weighted solar irradiance at the mean Earth-Sun distance",
        standard_name="toa_shortwave_irradiance_per_unit_wavelength",
        units="W m-2 um-1",
    )
    _scalar(
        file,
        "kappa0",
        granule.kappa0,
        long_name="Inverse of the incoming top of atmosphere radiance at current earth-sun distance (PI d2 esun-1)-1",
        units="(W m-2 um-1)-1",
    )
    planck = (band.fk1, band.fk2, band.bc1, band.bc2) if isinstance(band, EmissiveBand) else (_FILL,) * 4
    for constant, value, units in zip(("fk1", "fk2", "bc1", "bc2"), planck, ("W m-1", "K", "K", "1"), strict=True):
        _scalar(
            file,
            f"planck_{constant}",
            value,
            long_name=f"{constant} of the ABI emissive band brightness temperature computation",
            units=units,
        )
    _scalar(
        file,
        "earth_sun_distance_anomaly_in_AU",
        granule.earth_sun_distance,
        long_name="earth sun distance anomaly in astronomical units",
        units="ua",
    )


def _global_attributes(granule: _Granule) -> dict[str, Any]:
    name, resolution = granule.name, granule.band.resolution_km
    return {
        "Conventions": "CF-1.7",
        "Metadata_Conventions": "Unidata Dataset Discovery v1.0",
        "title": "ABI L1b Radiances",
        "summary": "Simulated: an analytic cloud field on the ABI fixed grid, no observation.",
        "institution": "convml-data",
        "project": "GOES",
        "production_site": "simulated",
        "production_environment": "simulated",
        "production_data_source": "Simulated",
        "spatial_resolution": f"{resolution:g}km at nadir",
        "orbital_slot": granule.satellite.orbital_slot,
        "platform_ID": granule.satellite.platform_id,
        "instrument_type": "GOES-R Series Advanced Baseline Imager (ABI)",
        "instrument_ID": granule.satellite.instrument_id,
        "scene_id": granule.sector.scene_id,
        "timeline_id": f"ABI Mode {name.mode}",
        "processing_level": "National Aeronautics and Space Administration (NASA) L1b",
        "cdm_data_type": "Image",
        "dataset_name": str(name),
        "date_created": _iso(name.created),
        "time_coverage_start": _iso(name.start),
        "time_coverage_end": _iso(name.end),
        "id": str(granule.identifier),
    }


@lru_cache(maxsize=3)
def _geographic_extent(grid: FixedGrid) -> dict[str, Any]:
    """Bounds of what the image shows of the earth, from a lattice of its points, degrees."""
    nadir = grid.view.sub_longitude
    x = np.linspace(grid.x0, grid.x_rad[-1], _EXTENT_POINTS)
    y = np.linspace(grid.y0, grid.y_rad[-1], _EXTENT_POINTS)
    lon, lat = grid.view.lonlat(*np.meshgrid(x, y))
    # Relative to the satellite no longitude lies on the far side of the date line.
    relative = (lon - nadir + 180) % 360 - 180
    middle = _EXTENT_POINTS // 2
    return {
        f"geospatial_{key}": np.float32(value)
        for key, value in {
            "westbound_longitude": (np.nanmin(relative) + nadir + 180) % 360 - 180,
            "northbound_latitude": np.nanmax(lat),
            "eastbound_longitude": (np.nanmax(relative) + nadir + 180) % 360 - 180,
            "southbound_latitude": np.nanmin(lat),
            "lat_center": lat[middle, middle],
            "lon_center": lon[middle, middle],
            "lat_nadir": 0.0,
            "lon_nadir": nadir,
        }.items()
    }


def _scalar(file: h5netcdf.File, name: str, value: float, **attributes: Any) -> None:
    attributes.setdefault("long_name", name.replace("_", " "))
    _variable(file, name, np.float32(value), fill=np.float32(_FILL), **attributes)


def _variable(
    file: h5netcdf.File,
    name: str,
    value: Any,
    dimensions: tuple[str, ...] = (),
    fill: Any = None,
    **attributes: Any,
) -> None:
    variable = file.create_variable(name, dimensions, value.dtype, data=value, fillvalue=fill)
    _set_attributes(variable, attributes)


def _set_attributes(target: Any, attributes: dict[str, Any]) -> None:
    for name, value in attributes.items():
        # Bytes become the fixed-length text that real files have.
        target.attrs[name] = np.bytes_(value) if isinstance(value, str) else value


def _iso(time: datetime) -> str:
    return f"{time:%Y-%m-%dT%H:%M:%S}.{time.microsecond // 100_000}Z"

"""Writing simulated CERES GEO files, as the archive would hold them, with a known, moving cloud field.

Names, dimensions and attributes are those of the SatCORPS pixel-level files: single precision, the
largest such number as fill, and a valid range for each variable (the ARM archive describes its
``visstpx2d`` files, which SatCORPS makes for other places, at archive.arm.gov/headers). Clouds are
those of :mod:`.truth`, so that files of GOES and of CERES simulated for one time show the same ones.
Images hold the part around the wanted domain only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property, lru_cache
from pathlib import Path
from typing import NamedTuple

import h5netcdf
import numpy as np
import numpy.typing as npt
from pyorbital import astronomy
from pyorbital.orbital import get_observer_look

from convml_data.errors import ConvmlError, StoreError
from convml_data.geometry.cover import window_over
from convml_data.geometry.fixed_grid import FixedGrid, GeostationaryView
from convml_data.geometry.local import LocalDomain
from convml_data.simulate import truth
from convml_data.simulate.sectors import PIXEL_2KM, satellite_of
from convml_data.sources.base import Interval
from convml_data.sources.ceres.names import CeresFileName
from convml_data.sources.ceres.products import PLATFORMS
from convml_data.store.files import Files

FloatArray = npt.NDArray[np.float64]

VERSION = "V01.2"

#: Pixels that the image reaches beyond the domain.
MARGIN = 8

#: Stands for none: the largest number of single precision.
FILL = np.finfo(np.float32).max

#: Clouds of less visible optical thickness are not seen as such.
THINNEST_CLOUD = 0.3

#: Retrievals from sunlight take a sun that is at most this far from the zenith, degrees.
LOWEST_SUN = 82.0

#: Codes of ``cloud_phase`` that occur here.
WATER, CLEAR = 1, 4

#: Height of the lowest tops, how much higher the thickest clouds' are, and height of all bases, km.
LOWEST_TOP, DEPTH_OF_TOPS, BASE = 0.8, 2.2, 0.6

#: Of the sea's surface, K, and by how much it is colder a kilometre higher up.
SURFACE_TEMPERATURE, LAPSE_RATE = 299.0, 6.5

_DIMENSIONS = ("image_y", "image_x")
_EPOCH = datetime(1970, 1, 1)

#: Half the width of a full disk, radians, as of ABI.
_HALF_WIDTH = 0.151872


class _Satellite(NamedTuple):
    """What it sees, the angle between the pixels that are kept (rad), and when in the hour its images are."""

    view: GeostationaryView
    step: float
    minute: int


#: Every third pixel of 2 km and every second one of 3 km. Meteosat at its nominal place and its pixels
#: are those of the Global Specification of CGMS for LRIT and HRIT (CGMS 03), section 4.4.
_SATELLITES = {
    "goes16n": _Satellite(satellite_of("goes16").view, 3 * PIXEL_2KM, 30),
    "meteosat9n": _Satellite(GeostationaryView(0.0, 35785831.0, 6378137.0, 6356752.3142, "y"), 2 * 83.84333e-6, 0),
}


def _satellite(name: str) -> _Satellite:
    try:
        return _SATELLITES[name]
    except KeyError:
        raise ConvmlError(
            f"there is no satellite {name!r} of CERES to simulate", remedy=f"Use one of {', '.join(_SATELLITES)}"
        ) from None


def image_times(satellite: str, spans: Sequence[Interval]) -> list[datetime]:
    """When there are images in the spans, ends included, each once, in order: hourly."""
    origin, hour = datetime(2000, 1, 1, 0, _satellite(satellite).minute), timedelta(hours=1)
    times: set[datetime] = set()
    for span in spans:
        first = -((origin - span.start) // hour)
        times.update(origin + number * hour for number in range(first, (span.end - origin) // hour + 1))
    return sorted(times)


def cloud_top_height(lon: npt.ArrayLike, lat: npt.ArrayLike, time: datetime) -> FloatArray:
    """The true height of the clouds' tops over points in degrees, km; NaN where there is no cloud."""
    thickness = truth.optical_thickness(lon, lat, time)
    return np.where(thickness >= THINNEST_CLOUD, LOWEST_TOP - DEPTH_OF_TOPS * np.expm1(-thickness / 6), np.nan)


def simulate_ceres(
    directory: Path, *, satellites: Sequence[str], spans: Sequence[Interval], domain: LocalDomain
) -> list[Path]:
    """Write the files of all images in the spans.

    The same arguments give the same bytes. Files that are there already are replaced.

    Parameters
    ----------
    directory
        Becomes the archive: gets the folder of each platform in the layout of the public one.
    satellites
        ``goes16n``, ``meteosat9n``.
    spans
        Times of images, UTC, ends included.
    domain
        Where data are wanted.

    Returns
    -------
    list of Path
        Files by satellite and time; empty where no image lies in the spans.

    Raises
    ------
    ConvmlError
        There is no such satellite, or it does not see the domain on the northern half of the earth.
    StoreError
        A file cannot be written.
    """
    paths = []
    for satellite in dict.fromkeys(satellites):
        lon, lat = _image(satellite, domain)
        for time in image_times(satellite, spans):
            name = CeresFileName(PLATFORMS[satellite], VERSION, time)
            _write(directory, name, _Sky(lon, lat, time, _satellite(satellite).view.sub_longitude))
            paths.append(directory / name.path)
    return paths


@lru_cache(maxsize=2)
def _image(satellite: str, domain: LocalDomain) -> tuple[FloatArray, FloatArray]:
    """Longitude and latitude of the pixels over a domain, degrees, NaN in space."""
    view, step, _ = _satellite(satellite)
    half = round(_HALF_WIDTH / step)
    north = FixedGrid(view, -(half - 0.5) * step, (half - 0.5) * step, step, -step, (half, 2 * half))
    window = window_over(domain, north, MARGIN)
    if window is None:
        raise ConvmlError(
            f"{satellite} does not see the domain around latitude {domain.central_latitude:g}, longitude "
            f"{domain.central_longitude:g} in its northern half",
            remedy="Choose another satellite or another place",
        )
    return north.cropped(window).lonlat()


@dataclass(frozen=True)
class _Sky:
    """What there is to see over the pixels of an image at a time; arrays of its shape."""

    lon: FloatArray
    lat: FloatArray
    time: datetime
    satellite_longitude: float

    @cached_property
    def thickness(self) -> FloatArray:
        return truth.optical_thickness(self.lon, self.lat, self.time)

    @cached_property
    def sun_zenith(self) -> FloatArray:
        return np.rad2deg(np.arccos(np.clip(truth.cos_sun_zenith(self.lon, self.lat, self.time), -1, 1)))

    @cached_property
    def top(self) -> FloatArray:
        return cloud_top_height(self.lon, self.lat, self.time)

    @cached_property
    def satellite_look(self) -> tuple[FloatArray, FloatArray]:
        """Azimuth and elevation of the satellite, degrees."""
        place = (self.satellite_longitude, 0.0, 35786.0)
        azimuth, elevation = get_observer_look(*place, self.time, self.lon, self.lat, np.zeros_like(self.lon))
        return np.asarray(azimuth), np.asarray(elevation)

    def reflectance(self, channel: int) -> FloatArray:
        """In an ABI channel, by day."""
        return self.by_day(truth.reflectance(channel, self.lon, self.lat, self.time))

    def count(self, channel: int) -> FloatArray:
        """What an instrument of ten bits would give for it."""
        factor = truth.reflectance_factor(channel, self.lon, self.lat, self.time)
        return np.asarray(np.rint(1000 * np.clip(factor, 0, 1.023)))

    def temperature(self, channel: int) -> FloatArray:
        """Brightness temperature in an ABI channel, K."""
        return truth.brightness_temperature(channel, self.lon, self.lat, self.time)

    def by_day(self, values: FloatArray) -> FloatArray:
        return np.where(self.sun_zenith <= LOWEST_SUN, values, np.nan)

    def in_clouds(self, values: FloatArray) -> FloatArray:
        return np.where(self.thickness >= THINNEST_CLOUD, values, np.nan)

    @property
    def particle_size(self) -> FloatArray:
        """Effective radius of the droplets by day, um."""
        return self.by_day(self.in_clouds(12 - 4 * np.exp(-self.thickness / 8)))

    @property
    def relative_azimuth(self) -> FloatArray:
        """Between sun and satellite, from 0 to 180 degrees."""
        _, sun = astronomy.get_alt_az(self.time, self.lon, self.lat)
        return np.asarray(np.abs((np.rad2deg(sun) - self.satellite_look[0] + 180) % 360 - 180))


def _temperature_at(height: FloatArray) -> FloatArray:
    return SURFACE_TEMPERATURE - LAPSE_RATE * height


def _pressure_at(height: FloatArray) -> FloatArray:
    """Hydrostatic, for the temperatures of :func:`_temperature_at`, hPa."""
    return np.asarray(
        1013.25 * (_temperature_at(height) / SURFACE_TEMPERATURE) ** (9.80665 / (287.05 * LAPSE_RATE / 1e3))
    )


#: Units, valid range, and what gives the value at a height in km.
_KINDS: dict[str, tuple[str, float, float, Callable[[FloatArray], FloatArray]]] = {
    "height": ("km", -0.1, 20, lambda height: height),
    "temperature": ("K", 160, 340, _temperature_at),
    "pressure": ("hPa", 0, 1100, _pressure_at),
}


class _Variable(NamedTuple):
    long_name: str
    units: str
    valid_min: float
    valid_max: float
    values: Callable[[_Sky], FloatArray]


def _temperature(wavelength: str, channel: int) -> _Variable:
    return _Variable(f"{wavelength} um temperature", "K", 160, 340, lambda sky: sky.temperature(channel))


def _count(wavelength: str, channel: int) -> _Variable:
    return _Variable(f"{wavelength} um count", "1", 0, 1023, lambda sky: sky.count(channel))


def _of_clouds(long_name: str, kind: str, height: Callable[[_Sky], FloatArray]) -> _Variable:
    """Height, temperature or pressure of a level in the clouds."""
    units, low, high, convert = _KINDS[kind]
    return _Variable(f"cloud {long_name} {kind}", units, low, high, lambda sky: sky.in_clouds(convert(height(sky))))


def _top(sky: _Sky) -> FloatArray:
    return sky.top


def _effective(sky: _Sky) -> FloatArray:
    return sky.top - 0.1


def _bottom(sky: _Sky) -> FloatArray:
    return np.full_like(sky.lon, BASE)


_VARIABLES = {
    "reflectance_vis": _Variable("0.65 um reflectance", "1", 0, 1.6, lambda sky: sky.reflectance(2)),
    "visible_count": _count("0.65", 2),
    "reflec_vis_137": _Variable("1.37 um reflectance", "1", 0, 1.6, lambda sky: sky.reflectance(4)),
    "temperature_sir": _temperature("3.9", 7),
    "temperature_67": _temperature("6.7", 9),
    "temperature_ir": _temperature("10.8", 14),
    "temperature_sw": _temperature("12.0", 15),
    "broadband_shortwave_albedo": _Variable(
        "broadband SW albedo", "%", 0, 150, lambda sky: 75 * sky.reflectance(2) + 25 * sky.reflectance(5)
    ),
    # That of a grey body a tenth colder than what the window channel sees.
    "broadband_longwave_flux": _Variable(
        "broadband LW flux", "W/m^2", 0, 400, lambda sky: 5.670374e-8 * (0.91 * sky.temperature(14)) ** 4
    ),
    "cloud_ir_emittance": _Variable(
        "cloud IR emittance", "1", 0, 1.5, lambda sky: sky.in_clouds(-np.expm1(-0.5 * sky.thickness))
    ),
    "cloud_phase": _Variable(
        "cloud phase", "1", 0, 13, lambda sky: np.where(np.isfinite(sky.top), WATER, CLEAR).astype(float)
    ),
    "cloud_visible_optical_depth": _Variable(
        "cloud visible optical depth", "1", 0, 512, lambda sky: sky.by_day(sky.in_clouds(sky.thickness))
    ),
    "cloud_particle_size": _Variable("cloud particle size", "um", 0, 300, lambda sky: sky.particle_size),
    # Of droplets that all have the effective radius: two thirds of density times thickness times radius.
    "cloud_lwp_iwp": _Variable(
        "cloud liquid or ice water path", "g/m^2", 0, 10000, lambda sky: sky.particle_size * sky.thickness / 1.5
    ),
    "cloud_effective_temperature": _of_clouds("effective", "temperature", _effective),
    "cloud_top_pressure": _of_clouds("top", "pressure", _top),
    "cloud_effective_pressure": _of_clouds("effective", "pressure", _effective),
    "cloud_bottom_pressure": _of_clouds("bottom", "pressure", _bottom),
    "cloud_top_height": _of_clouds("top", "height", _top),
    "cloud_effective_height": _of_clouds("effective", "height", _effective),
    "cloud_bottom_height": _of_clouds("bottom", "height", _bottom),
    "cloud_top_temperature": _of_clouds("top", "temperature", _top),
    "cloud_bottom_temperature": _of_clouds("bottom", "temperature", _bottom),
    "pixel_skin_temperature": _Variable(
        "skin temperature", "K", 160, 340, lambda sky: np.full_like(sky.lon, SURFACE_TEMPERATURE)
    ),
    "pixel_sza": _Variable("solar zenith angle", "degree", 0, 180, lambda sky: sky.sun_zenith),
    "pixel_vza": _Variable("viewing zenith angle", "degree", 0, 90, lambda sky: 90 - sky.satellite_look[1]),
    "pixel_aza": _Variable("relative azimuth angle", "degree", 0, 180, lambda sky: sky.relative_azimuth),
    "visible_count_08": _count("0.86", 3),
    "visible_count_16": _count("1.6", 5),
    "visible_count_23": _count("2.3", 6),
    "temperature_87": _temperature("8.7", 11),
    "temperature_133": _temperature("13.3", 16),
}


def _write(root: Path, name: CeresFileName, sky: _Sky) -> None:
    try:
        with (
            Files(str(root)).writing(name.path) as partial,
            h5netcdf.File(partial, "w", libver=("v108", "v108")) as file,
        ):
            _write_content(file, name, sky)
    except OSError as error:
        raise StoreError(
            f"the file cannot be written ({error.strerror or error})",
            where=str(root / name.path),
            remedy="Check the permission to write there and the space left",
        ) from error


def _write_content(file: h5netcdf.File, name: CeresFileName, sky: _Sky) -> None:
    file.dimensions = dict(zip(_DIMENSIONS, sky.lon.shape, strict=True))
    for key, value in {
        "title": f"{name.platform} pixel-level cloud and radiation properties",
        "summary": "Simulated: an analytic cloud field on a geostationary image, no observation.",
        "institution": "convml-data",
    }.items():
        file.attrs[key] = np.bytes_(value)
    base_time = file.create_variable("base_time", (), np.int32, data=np.int32((name.time - _EPOCH).total_seconds()))
    base_time.attrs["long_name"] = np.bytes_("base time in epoch")
    base_time.attrs["units"] = np.bytes_("seconds since 1970-1-1 0:00:00 GMT")
    places = {
        "latitude": _Variable("latitude", "degrees_north", -90, 90, lambda sky: sky.lat),
        "longitude": _Variable("longitude", "degrees_east", -180, 180, lambda sky: sky.lon),
    }
    for key, variable in (places | _VARIABLES).items():
        values = np.where(np.isfinite(sky.lon), variable.values(sky), np.nan)
        stored = file.create_variable(
            key,
            _DIMENSIONS,
            np.float32,
            data=np.where(np.isfinite(values), values, FILL).astype(np.float32),
            fillvalue=FILL,
            compression="gzip",
            compression_opts=1,
            shuffle=True,
        )
        stored.attrs["long_name"] = np.bytes_(variable.long_name)
        stored.attrs["units"] = np.bytes_(variable.units)
        stored.attrs["valid_min"] = np.float32(variable.valid_min)
        stored.attrs["valid_max"] = np.float32(variable.valid_max)
        if key not in places:
            stored.attrs["coordinates"] = np.bytes_("latitude longitude")

"""The known truth behind simulated files: clouds over a dark sea, as a function of place and time.

Everything here is analytic and fixed: there is no random state, and any point of the earth at any
time has a value that needs no other. The clouds are a sum of smooth waves on the unit sphere, wound
up by a few transverse waves, and look alike everywhere on earth: clusters of hundreds of kilometres
made of cells of a few kilometres. They neither grow nor decay. The whole pattern turns with the
sphere's points about one axis, so that the cloud over a point is found, a time later, over
:func:`displaced` of it, without deformation and however long that time is; eastward and northward
velocities that are the same everywhere would shear it.

Latitudes are geodetic, and distances are those on the sphere of mean radius with these latitudes.
Times are UTC.
"""

from __future__ import annotations

import math
from datetime import datetime
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from pyorbital import astronomy

FloatArray = npt.NDArray[np.float64]

#: Mean radius of the earth, metres (IUGG).
EARTH_RADIUS = 6_371_008.8

#: Velocity of the clouds in m/s over one point of the trade winds; :func:`velocity` has it elsewhere.
EASTWARD_VELOCITY = -8.0
NORTHWARD_VELOCITY = -2.0
REFERENCE_LONGITUDE = -57.72
REFERENCE_LATITUDE = 13.3

#: When the pattern is where the waves' constants put it.
EPOCH = datetime(2000, 1, 1, 12)

#: Number of waves, shortest and longest wavelength in metres, ratio of amplitude to a power of wavelength.
CELLS = (28, 2.5e3, 50e3, 0.35)
CLUSTERS = (8, 60e3, 500e3, 0.0)
WINDING = (8, 15e3, 150e3, 1.0)

#: Weight of the clusters against the cells, both of unit variance, and how far the sum must rise
#: for clouds to form; sets the cloud cover to about a fifth.
CLUSTER_WEIGHT = 0.9
CLOUD_THRESHOLD = 1.0
#: Over which part of the threshold's scale the clouds' edges fade.
EDGE_WIDTH = 0.15
#: Optical thickness per unit above the threshold.
THICKNESS_SCALE = 9.0
#: How far each winding wave displaces the clouds, in its wavelengths.
WINDING_AMPLITUDE = 0.05

#: Reflectance of the cloudless sea, air above included, and of an infinitely thick cloud.
SEA_REFLECTANCE = {1: 0.12, 2: 0.055, 3: 0.03, 4: 0.0, 5: 0.015, 6: 0.01}
THICK_CLOUD_REFLECTANCE = {1: 0.95, 2: 0.95, 3: 0.93, 4: 0.25, 5: 0.6, 6: 0.4}

#: Brightness temperatures in K without a cloud and over an opaque one, a trade cumulus at 2 km.
CLEAR_SKY_TEMPERATURE = {
    7: 297.0, 8: 240.0, 9: 252.0, 10: 262.0, 11: 294.0,
    12: 270.0, 13: 296.0, 14: 295.0, 15: 292.0, 16: 272.0,
}  # fmt: skip
CLOUD_TEMPERATURE = {
    7: 285.0, 8: 238.0, 9: 248.0, 10: 256.0, 11: 283.0,
    12: 263.0, 13: 284.0, 14: 283.5, 15: 282.0, 16: 266.0,
}  # fmt: skip

#: Real root of x**3 = x + 1: multiples of its inverse and of the inverse's square spread evenly in 2-D.
_PLASTIC_RATIO = 1.324717957244746
#: Points that are evaluated together: the phases of all waves then stay in the cache.
_BLOCK = 8192


class _Waves(NamedTuple):
    """Plane waves in space, of which the sphere shows a section.

    ``vectors`` (n, 3) in wavelengths per earth radius, ``phases`` (n,) in wavelengths, ``amplitudes``
    (n,) for a sum of unit variance.
    """

    vectors: FloatArray
    phases: FloatArray
    amplitudes: npt.NDArray[np.float32]


def displaced(lon: npt.ArrayLike, lat: npt.ArrayLike, seconds: float) -> tuple[FloatArray, FloatArray]:
    """Where the clouds over points are ``seconds`` later, or were where negative.

    Parameters
    ----------
    lon, lat
        Degrees, of one shape.
    seconds
        How much later.

    Returns
    -------
    lon, lat
        Degrees, longitudes from -180 to 180.
    """
    moved = _rotation(seconds) @ _flat_unit_vectors(lon, lat)
    shape = np.shape(lon)
    return (
        np.degrees(np.arctan2(moved[1], moved[0])).reshape(shape),
        np.degrees(np.arctan2(moved[2], np.hypot(moved[0], moved[1]))).reshape(shape),
    )


def velocity(lon: npt.ArrayLike, lat: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Eastward and northward velocity of the clouds over points in degrees, m/s."""
    axis, speed = _axis_and_speed()
    lam, phi = np.radians(lon), np.radians(lat)
    east = np.stack([-np.sin(lam), np.cos(lam), np.zeros_like(lam)])
    north = np.stack([-np.sin(phi) * np.cos(lam), -np.sin(phi) * np.sin(lam), np.cos(phi)])
    motion = speed * np.cross(axis, _flat_unit_vectors(lon, lat).T).T.reshape(east.shape)
    return np.asarray((motion * east).sum(axis=0)), np.asarray((motion * north).sum(axis=0))


def optical_thickness(lon: npt.ArrayLike, lat: npt.ArrayLike, time: datetime) -> FloatArray:
    """Of the clouds over points in degrees, for visible light; NaN where a coordinate is NaN."""
    return _optical_thickness(_flat_unit_vectors(lon, lat), time).reshape(np.shape(lon))


def reflectance(channel: int, lon: npt.ArrayLike, lat: npt.ArrayLike, time: datetime) -> FloatArray:
    """Of sea and clouds over points in degrees in a channel from 1 to 6, whatever the sun does."""
    return _reflectance(channel, _flat_unit_vectors(lon, lat), time).reshape(np.shape(lon))


def reflectance_factor(channel: int, lon: npt.ArrayLike, lat: npt.ArrayLike, time: datetime) -> FloatArray:
    """Reflectance times the cosine of the sun's zenith angle, 0 at night: kappa0 times the radiance."""
    points = _flat_unit_vectors(lon, lat)
    sunlight = _cos_sun_zenith(points, time).clip(min=0)
    return np.asarray(_reflectance(channel, points, time) * sunlight).reshape(np.shape(lon))


def brightness_temperature(channel: int, lon: npt.ArrayLike, lat: npt.ArrayLike, time: datetime) -> FloatArray:
    """Of sea and clouds over points in degrees in a channel from 7 to 16, K.

    Goes from the clear to the cloudy value with the clouds' emissivity; their absorption optical
    thickness in the infrared is taken as half of that for visible light.
    """
    emissivity = -np.expm1(-0.5 * optical_thickness(lon, lat, time))
    clear, cloud = CLEAR_SKY_TEMPERATURE[channel], CLOUD_TEMPERATURE[channel]
    return np.asarray(clear + (cloud - clear) * emissivity, np.float64)


def cos_sun_zenith(lon: npt.ArrayLike, lat: npt.ArrayLike, time: datetime) -> FloatArray:
    """Cosine of the sun's zenith angle over points in degrees, negative at night.

    The scalar product of the zenith with the direction of the sun, whose place is pyorbital's.
    """
    return _cos_sun_zenith(_flat_unit_vectors(lon, lat), time).reshape(np.shape(lon))


def _optical_thickness(points: FloatArray, time: datetime) -> FloatArray:
    # Turning the few waves with the clouds is the same as turning the many points against them.
    turn = _rotation((time - EPOCH).total_seconds()).T
    cells, clusters, winding = (w._replace(vectors=w.vectors @ turn) for w in (_CELLS, _CLUSTERS, _WINDING))
    displacements = _WINDING_DISPLACEMENTS @ turn
    thickness = np.empty(points.shape[1])
    for start in range(0, len(thickness), _BLOCK):
        block = slice(start, start + _BLOCK)
        here = points[:, block]
        wound = here + np.einsum("nk,nm->km", displacements, _sines(winding, here))
        excess = _sum(cells, wound) + CLUSTER_WEIGHT * _sum(clusters, wound) - CLOUD_THRESHOLD
        thickness[block] = np.log1p(np.exp(excess / EDGE_WIDTH))
    return np.asarray(THICKNESS_SCALE * EDGE_WIDTH * thickness)


def _reflectance(channel: int, points: FloatArray, time: datetime) -> FloatArray:
    thickness = _optical_thickness(points, time)
    # Albedo in two streams: Lacis and Hansen (1974), J. Atmos. Sci. 31, 118-133, eq. 31.
    albedo = 0.13 * thickness / (1 + 0.13 * thickness)
    sea, thick_cloud = SEA_REFLECTANCE[channel], THICK_CLOUD_REFLECTANCE[channel]
    return np.asarray(sea + (thick_cloud - sea) * albedo, np.float64)


def _cos_sun_zenith(points: FloatArray, time: datetime) -> FloatArray:
    right_ascension, declination = astronomy.sun_ra_dec(time)
    longitude = right_ascension - astronomy.gmst(time)
    sun = _flat_unit_vectors(np.degrees(longitude), np.degrees(declination))[:, 0]
    return np.asarray(np.einsum("k,km->m", sun, points), np.float64)


def _sum(waves: _Waves, points: FloatArray) -> FloatArray:
    """The waves' value at points (3, m), shape (m,)."""
    return np.asarray(np.einsum("n,nm->m", waves.amplitudes, _sines(waves, points)), np.float64)


def _sines(waves: _Waves, points: FloatArray) -> npt.NDArray[np.float32]:
    """Sines of the waves' phases at points (3, m), shape (n, m)."""
    # Not as a matrix product: BLAS would start threads for it, which takes longer than the product.
    phase = np.einsum("nk,km->nm", waves.vectors, points)
    phase += waves.phases[:, np.newaxis]
    phase -= np.rint(phase)
    # Only now are single precision, and with it a tenfold speed, enough.
    sines = phase.astype(np.float32)
    sines *= np.float32(2 * math.pi)
    return np.asarray(np.sin(sines), np.float32)


def _flat_unit_vectors(lon: npt.ArrayLike, lat: npt.ArrayLike) -> FloatArray:
    """Points of the unit sphere from degrees, shape (3, number of points)."""
    lam, phi = np.radians(lon).ravel(), np.radians(lat).ravel()
    cos_phi = np.cos(phi)
    return np.stack([cos_phi * np.cos(lam), cos_phi * np.sin(lam), np.sin(phi)])


def _axis_and_speed() -> tuple[FloatArray, float]:
    """Unit axis about which the clouds turn and their speed 90° away from it, m/s."""
    lam, phi = math.radians(REFERENCE_LONGITUDE), math.radians(REFERENCE_LATITUDE)
    east = np.array([-math.sin(lam), math.cos(lam), 0.0])
    north = np.array([-math.sin(phi) * math.cos(lam), -math.sin(phi) * math.sin(lam), math.cos(phi)])
    speed = math.hypot(EASTWARD_VELOCITY, NORTHWARD_VELOCITY)
    # The pole of the great circle through the reference point: up x velocity, with up x east = north.
    return (EASTWARD_VELOCITY * north - NORTHWARD_VELOCITY * east) / speed, speed


def _rotation(seconds: float) -> FloatArray:
    """Matrix that moves points of the unit sphere with the clouds (Rodrigues' formula)."""
    axis, speed = _axis_and_speed()
    angle = speed * seconds / EARTH_RADIUS
    x, y, z = axis
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.asarray(np.eye(3) + math.sin(angle) * cross + (1 - math.cos(angle)) * (cross @ cross))


def _waves(count: int, shortest: float, longest: float, exponent: float, offset: float) -> _Waves:
    """Waves whose wavelengths form a geometric series and whose directions spread over the sphere.

    Directions and phases are multiples of irrational numbers, which spread evenly; ``offset`` makes
    sets of waves differ.
    """
    number = np.arange(count)
    wavelength = shortest * (longest / shortest) ** (number / (count - 1))
    z = 1 - 2 * ((offset + number / _PLASTIC_RATIO) % 1)
    azimuth = 2 * math.pi * ((offset + number / _PLASTIC_RATIO**2) % 1)
    radius = np.sqrt(1 - z**2)
    directions = np.stack([radius * np.cos(azimuth), radius * np.sin(azimuth), z], axis=1)
    amplitude = wavelength**exponent
    amplitude *= math.sqrt(2) / np.linalg.norm(amplitude)
    phases = (number * math.sqrt(2) + offset) % 1
    vectors = np.asarray(directions * (EARTH_RADIUS / wavelength)[:, np.newaxis], np.float64)
    return _Waves(vectors, np.asarray(phases, np.float64), amplitude.astype(np.float32))


def _transverse_displacements(waves: _Waves) -> FloatArray:
    """Displacements (n, 3) in earth radii at right angles to the waves, as in vortices."""
    displacements = np.cross(waves.vectors, np.roll(waves.vectors, 1, axis=0))
    displacements /= np.linalg.norm(displacements, axis=1, keepdims=True)
    wavelengths = 1 / np.linalg.norm(waves.vectors, axis=1, keepdims=True)
    return np.asarray(WINDING_AMPLITUDE * wavelengths * displacements)


_CELLS = _waves(*CELLS, offset=0.7)
_CLUSTERS = _waves(*CLUSTERS, offset=0.1)
_WINDING = _waves(*WINDING, offset=0.3)
_WINDING_DISPLACEMENTS = _transverse_displacements(_WINDING)

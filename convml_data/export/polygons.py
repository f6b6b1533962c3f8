"""Outlines on the earth as polygons of longitude and latitude that stay between 180° west and east."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

#: Types of geometry in well-known binary (OGC 06-103r4, table 7).
_POLYGON, _MULTIPOLYGON = 3, 6


def polygons(lon: FloatArray, lat: FloatArray) -> list[FloatArray]:
    """The polygons that an outline encloses, several where it crosses the antimeridian.

    Parameters
    ----------
    lon, lat
        Degrees, along the outline with its inside to the left, the first point not repeated at the end.

    Returns
    -------
    Closed rings of (longitude, latitude), shape (points, 2), anticlockwise on the map. An outline around a
    pole is continued along the pole's edge of the map.
    """
    unwrapped = np.unwrap(np.append(lon, lon[0]), period=360)
    turn = unwrapped[-1] - unwrapped[0]
    if abs(turn) > 180:
        return [_around_pole(lon, lat, float(np.copysign(90, turn)))]
    parts = [np.column_stack([unwrapped[:-1], lat])]
    for meridian in (-180.0, 180.0):
        parts = [piece for part in parts for piece in _cut(part, meridian)]
    shifted = [part - [360 * np.floor((part[:, 0].mean() + 180) / 360), 0] for part in parts]
    return [np.vstack([part, part[:1]]) for part in shifted]


def _around_pole(lon: FloatArray, lat: FloatArray, pole: float) -> FloatArray:
    """The closed ring of an outline around a pole that crosses each meridian once."""
    east = (lon + 180) % 360 - 180
    order = np.argsort(east)
    at_seam = float(np.interp(180, lon, lat, period=360))
    seam = np.array([[-180, at_seam], [-180, pole], [180, pole], [180, at_seam], [-180, at_seam]])
    west_to_east = np.column_stack([east[order], lat[order]])
    if pole > 0:
        return np.vstack([seam[:1], west_to_east, seam[3], seam[2], seam[1], seam[0]])
    return np.vstack([seam[:4], west_to_east[::-1], seam[0]])


def _cut(ring: FloatArray, meridian: float) -> list[FloatArray]:
    """The parts of a polygon to the west and to the east of a meridian.

    The outline is cut into chains where it crosses the meridian. Along the meridian crossings alternately
    enter and leave the polygon, so that the first and the second, the third and the fourth, … are joined.
    """
    east = ring[:, 0] >= meridian
    crossed = np.flatnonzero(east != np.roll(east, -1))
    if not crossed.size:
        return [ring]
    before, after = ring[crossed], ring[(crossed + 1) % len(ring)]
    share = (meridian - before[:, 0]) / (after[:, 0] - before[:, 0])
    latitudes = before[:, 1] + share * (after[:, 1] - before[:, 1])
    crossings = np.column_stack([np.full_like(latitudes, meridian), latitudes])
    order = np.argsort(latitudes)
    joined = np.empty_like(order)
    joined[order[0::2]], joined[order[1::2]] = order[1::2], order[0::2]
    # Chain i leads from crossing i to the next one.
    following = np.roll(np.arange(crossed.size), -1)
    rolled = np.split(np.roll(ring, -(crossed[0] + 1), axis=0), np.cumsum(np.diff(crossed)))
    pieces = []
    left = set(range(crossed.size))
    while left:
        chain, points = min(left), []
        while chain in left:
            left.remove(chain)
            points += [crossings[chain : chain + 1], rolled[chain], crossings[following[chain]][np.newaxis]]
            chain = int(joined[following[chain]])
        piece = np.vstack(points)
        if np.ptp(piece[:, 0]) > 0:  # an outline that only touches the meridian leaves nothing on the other side
            pieces.append(piece)
    return pieces


def well_known_binary(rings: Sequence[FloatArray]) -> bytes:
    """A polygon for one ring, otherwise a multipolygon, little-endian (OGC 06-103r4, section 8.2)."""
    parts = [
        struct.pack("<BIII", 1, _POLYGON, 1, len(ring)) + np.ascontiguousarray(ring, "<f8").tobytes() for ring in rings
    ]
    return parts[0] if len(parts) == 1 else struct.pack("<BII", 1, _MULTIPOLYGON, len(parts)) + b"".join(parts)

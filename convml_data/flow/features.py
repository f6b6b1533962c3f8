"""What of a scene can be followed: its grey levels, where they may be looked at, and the corners in them."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

import numpy as np
import numpy.typing as npt

from convml_data.flow.opencv import opencv

Points = npt.NDArray[np.float32]

#: Side of the window around a point that is compared from scene to scene, pixels.
WINDOW = 31

#: Of the window around a point at least this share has values: the rim of a gap stays where it is and holds points.
MIN_VALID_SHARE = 0.9

#: Side of the neighbourhood that makes a corner, pixels, and the least corner over the best one of a scene.
BLOCK = 5
QUALITY = 0.01


@dataclass(frozen=True)
class Frame:
    """A scene as it is followed.

    Parameters
    ----------
    levels
        Grey, shape (ny, nx), with the nearest level where there is no value.
    followable
        Shape (ny, nx): where a point may be, which is on values and with values around it.
    """

    levels: npt.NDArray[np.uint8]
    followable: npt.NDArray[np.bool_]


def frame_of(shades: npt.NDArray[np.floating]) -> Frame:
    """The frame of shades from 0 to 1, shape (ny, nx), NaN where there is no value."""
    valid = np.isfinite(shades)
    if not valid.any():
        return Frame(np.zeros(shades.shape, np.uint8), valid)
    if not valid.all():
        from scipy.ndimage import distance_transform_edt

        shades = shades[tuple(distance_transform_edt(~valid, return_distances=False, return_indices=True))]
    cv2 = opencv()
    share = cv2.blur(valid.astype(np.float32), (WINDOW, WINDOW), borderType=cv2.BORDER_REPLICATE)
    levels = np.rint(np.clip(shades, 0, 1) * 255).astype(np.uint8)
    return Frame(np.ascontiguousarray(levels), valid & (share >= MIN_VALID_SHARE))


def corners(frame: Frame, count: int, distance: float, taken: Points) -> Points:
    """New points to follow: the best corners of Shi and Tomasi, apart from each other and from those that are followed.

    Parameters
    ----------
    frame
        To look at.
    count
        How many points at most.
    distance
        Pixels from one point to the next, at least.
    taken
        Shape (n, 2), x and y in pixels, of points that are followed already.

    Returns
    -------
    Shape (m, 2), the best first.
    """
    cv2, none = opencv(), np.empty((0, 2), np.float32)
    free = frame.followable.astype(np.uint8)
    for x, y in np.rint(taken).astype(int).tolist():
        cv2.circle(free, (x, y), ceil(distance), 0, thickness=-1)
    if count < 1 or not free.any():
        return none
    strength = cv2.cornerMinEigenVal(frame.levels, BLOCK)
    best, best_free = (float(strength[mask].max()) for mask in (frame.followable, free.astype(bool)))
    # Against the best of the scene and not of what is free, so that points are as good later as in the beginning.
    if best <= 0 or best_free < QUALITY * best:
        return none
    found = cv2.goodFeaturesToTrack(
        frame.levels, count, QUALITY * best / best_free, distance, mask=free, blockSize=BLOCK, useHarrisDetector=False
    )
    return none if found is None else np.asarray(found, np.float32).reshape(-1, 2)

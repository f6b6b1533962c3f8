"""Following points from one scene to the next by optical flow."""

from __future__ import annotations

from enum import IntEnum

import numpy as np
import numpy.typing as npt

from convml_data.flow.features import WINDOW, Frame, Points
from convml_data.flow.opencv import opencv

#: How often the image is halved: what moves by half a window there moves by eight times that here.
LEVELS = 3

#: When the search for a point ends: after so many steps, or with one shorter than so many pixels.
STEPS, STEP = 10, 0.03

#: Followed back from where it went, a point is at most so many pixels from where it came.
MAX_RETURN_ERROR = 0.5


class End(IntEnum):
    """Why a trajectory ends."""

    last_scene = 0
    not_joined = 1
    left_domain = 2
    missing_values = 3
    not_found_again = 4


#: What a point has that goes on.
FOLLOWED = -1


def follow(before: Frame, after: Frame, points: Points) -> tuple[Points, npt.NDArray[np.int8]]:
    """Where points are one scene later: pyramidal Lucas-Kanade, forward and back again.

    Parameters
    ----------
    before, after
        Of one shape.
    points
        Shape (n, 2), x and y in pixels of ``before``.

    Returns
    -------
    points
        Shape (n, 2), in ``after``.
    ends
        Shape (n,): :data:`FOLLOWED`, or why not as :class:`End`.
    """
    if not len(points):
        return points, np.empty(0, np.int8)
    cv2 = opencv()
    criteria = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, STEPS, STEP)
    options = {"winSize": (WINDOW, WINDOW), "maxLevel": LEVELS, "criteria": criteria}
    there, found, _ = cv2.calcOpticalFlowPyrLK(before.levels, after.levels, points[:, np.newaxis], None, **options)
    back, found_back, _ = cv2.calcOpticalFlowPyrLK(after.levels, before.levels, there, None, **options)
    there, back = there.reshape(-1, 2), back.reshape(-1, 2)

    ny, nx = after.levels.shape
    inside = ((there >= 0) & (there <= [nx - 1, ny - 1])).all(axis=1)
    column, row = np.rint(np.where(inside[:, np.newaxis], there, 0)).astype(int).T
    sure = (found.ravel() == 1) & (found_back.ravel() == 1) & (np.hypot(*(back - points).T) <= MAX_RETURN_ERROR)
    ends = np.select(
        [~inside, ~after.followable[row, column], ~sure],
        [End.left_domain, End.missing_values, End.not_found_again],
        FOLLOWED,
    )
    return np.asarray(there, np.float32), ends.astype(np.int8)

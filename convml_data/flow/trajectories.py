"""Points that are followed through all scenes, and found anew where they are lost."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from convml_data.flow.features import Frame, corners
from convml_data.flow.tracking import FOLLOWED, End, follow


@dataclass(frozen=True)
class Tracks:
    """Trajectories in pixels, one after the other, each of at least two points in scenes that follow each other.

    Parameters
    ----------
    row_size
        Shape (trajectories,): how many points each has. They are in the order in which they begin, and of
        those that begin together the best corner is the first.
    end
        Shape (trajectories,): why each ends, of :class:`~convml_data.flow.tracking.End`.
    scene
        Shape (points,): number of the scene, from 0.
    column, row
        Shape (points,): x and y in pixels, fractions included; 0 is the centre of the first.
    never_followed
        How many more points were found that were not there in the next scene.
    """

    row_size: npt.NDArray[np.int32]
    end: npt.NDArray[np.int8]
    scene: npt.NDArray[np.int32]
    column: npt.NDArray[np.float64]
    row: npt.NDArray[np.float64]
    never_followed: int


def track(frames: Iterable[Frame], joined: Sequence[bool], *, most: int, distance: float) -> Tracks:
    """Follow points through frames in time order.

    Parameters
    ----------
    frames
        All of one shape; two are held at a time.
    joined
        For each frame, whether points are followed to it from the one before; where they are not, all trajectories
        end and others begin.
    most
        How many points are followed at a time.
    distance
        Pixels from a new point to any other.
    """
    numbers, points = np.empty(0, np.int64), np.empty((0, 2), np.float32)
    ends: list[int] = []
    seen: list[tuple[npt.NDArray[np.int64], int, npt.NDArray[np.float32]]] = []
    before: Frame | None = None
    for scene, frame in enumerate(frames):
        if before is not None and joined[scene]:
            points, why = follow(before, frame, points)
        else:
            why = np.full(len(points), End.not_joined, np.int8)
        for number, reason in zip(numbers, why, strict=True):
            if reason != FOLLOWED:
                ends[number] = int(reason)
        goes_on = why == FOLLOWED
        numbers, points = numbers[goes_on], points[goes_on]
        if scene + 1 < len(joined) and joined[scene + 1]:
            new = corners(frame, most - len(points), distance, points)
            numbers = np.concatenate([numbers, np.arange(len(ends), len(ends) + len(new))])
            points = np.concatenate([points, new])
            ends += [int(End.last_scene)] * len(new)
        seen.append((numbers, scene, points))
        before = frame
    return _sorted(seen, np.array(ends, np.int8))


def _sorted(
    seen: Sequence[tuple[npt.NDArray[np.int64], int, npt.NDArray[np.float32]]], ends: npt.NDArray[np.int8]
) -> Tracks:
    number = np.concatenate([np.empty(0, np.int64), *(numbers for numbers, _, _ in seen)])
    scene = np.concatenate([np.empty(0, np.int32), *(np.full(len(numbers), at) for numbers, at, _ in seen)])
    points = np.concatenate([np.empty((0, 2)), *(points for _, _, points in seen)])
    length = np.bincount(number, minlength=len(ends))
    order = np.argsort(number, kind="stable")
    order = order[length[number[order]] > 1]
    column, row = points[order].T.astype(np.float64)
    return Tracks(
        row_size=length[length > 1].astype(np.int32),
        end=ends[length > 1],
        scene=scene[order].astype(np.int32),
        column=column,
        row=row,
        never_followed=int((length == 1).sum()),
    )

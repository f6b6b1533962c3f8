"""Which scene goes with which time of an auxiliary product."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from types import MappingProxyType
from typing import Literal

import numpy as np
import numpy.typing as npt

from convml_data.errors import PlanError
from convml_data.sources.base import Interval

Strategy = Literal["single_scene_per_aux_time", "all_scenes_within_dt_aux"]

IntArray = npt.NDArray[np.int64]

#: Before the limit in a rule, and how times are written there.
_LIMIT = "limit "
_WRITTEN_TIME = re.compile(r"(?:(\d+) days?, )?(\d+):(\d\d):(\d\d(?:\.\d+)?)")

_NONE = -1  # in place of the position of an aux time


@dataclass(frozen=True)
class Match:
    """What was decided for one scene.

    Parameters
    ----------
    scene_id
        Of the scene.
    aux_time
        That the scene takes, UTC; None where it is unmatched.
    nearest_offset
        Aux time minus scene time, of ``aux_time`` or else of the nearest one; None where there is none.
    reason
        Why the scene is unmatched, None where it is matched.
    rule
        Strategy, ``dt_aux`` and limit by which it was decided, one line.
    """

    scene_id: str
    aux_time: datetime | None
    nearest_offset: timedelta | None
    reason: str | None
    rule: str


def time_between_aux(aux_times: Iterable[datetime], intervals: Sequence[Interval] | None) -> timedelta:
    """The smallest gap between two different aux times in one time interval, its ends included.

    Aux times outside of all intervals, which sources list next to them, do not count.

    Parameters
    ----------
    aux_times
        UTC, in any order; times given twice count once.
    intervals
        In any order; None where all times are one interval.

    Raises
    ------
    PlanError
        No interval has two aux times.
    """
    times = sorted(set(aux_times))
    by_interval = [times] if intervals is None else [[time for time in times if time in span] for span in intervals]
    gaps = [later - earlier for inside in by_interval for earlier, later in pairwise(inside)]
    if not gaps:
        raise PlanError(
            f"the time between aux scenes cannot be inferred: no time interval holds two of them ({len(times)} in all)",
            where="dt_aux",
            remedy="Give it, for example `dt_aux: PT30M`",
        )
    return min(gaps)


def match_scenes(
    scene_times: Mapping[str, datetime],
    aux_times: Iterable[datetime],
    strategy: Strategy,
    dt_aux: timedelta | None,
    intervals: Sequence[Interval] | None,
    kept: Mapping[str, Match] = MappingProxyType({}),
) -> tuple[Match, ...]:
    """Decide for every scene which aux time it takes.

    An aux time is within the limit of a scene where they are ``dt_aux / 2`` apart or less, whatever
    the intervals: these serve to infer ``dt_aux`` alone.

    ``all_scenes_within_dt_aux``
        Every scene takes the nearest aux time within the limit, the earlier one of two equally near.
    ``single_scene_per_aux_time``
        Every aux time goes to the nearest scene within the limit, the earlier one of two equally near
        (of two at the same time the first by scene ID). A scene to which several go takes the nearest
        of them, the earlier one of two equally near; the others stay unused, whatever else is near.

    Parameters
    ----------
    scene_times
        Start of each scene by scene ID, UTC, in any order.
    aux_times, intervals
        As for :func:`time_between_aux`.
    strategy
        As above.
    dt_aux
        Time between aux scenes, above zero; None to take :func:`time_between_aux`.
    kept
        Rows of an earlier table with the same settings, by scene ID. Matched ones stay as they are,
        with the rule they were made by, whatever came later is nearer, and in
        ``single_scene_per_aux_time`` no other scene takes their aux time. Decided anew is a row that
        was unmatched, whose aux time is gone or whose scene starts at another time. A row whose scene
        is gone is left out, and its aux time free.

    Returns
    -------
    tuple of Match
        One for each scene, by time and then scene ID.

    Raises
    ------
    PlanError
        ``dt_aux`` is neither given nor can it be inferred.
    """
    aux = sorted(set(aux_times))
    spacing = time_between_aux(aux, intervals) if dt_aux is None else dt_aux
    rule = f"{strategy}, dt_aux {spacing} {'inferred' if dt_aux is None else 'given'}, {_LIMIT}{spacing / 2}"
    scene_ids = sorted(scene_times, key=lambda scene_id: (scene_times[scene_id], scene_id))
    if not aux or not scene_ids:
        return tuple(Match(scene_id, None, None, "there is no aux time at all", rule) for scene_id in scene_ids)

    scenes, moments = _microseconds([scene_times[scene_id] for scene_id in scene_ids]), _microseconds(aux)
    position = {time: number for number, time in enumerate(aux)}
    held = np.full(len(scene_ids), _NONE, np.int64)
    for number, scene_id in enumerate(scene_ids):
        row = kept.get(scene_id)
        if row and row.aux_time in position and row.nearest_offset == row.aux_time - scene_times[scene_id]:
            held[number] = position[row.aux_time]
    taken = _CHOOSE[strategy](scenes, moments, spacing // timedelta(microseconds=1), held)
    taken = np.where(held != _NONE, held, taken)
    holders = {number: scene_id for number, scene_id in zip(taken.tolist(), scene_ids, strict=True) if number != _NONE}
    nearest_aux, nearest_scene = _nearest(moments, scenes), _nearest(scenes, moments)

    def row_of(number: int, scene_id: str) -> Match:
        if held[number] != _NONE:
            return kept[scene_id]
        if taken[number] != _NONE:
            aux_time = aux[taken[number]]
            return Match(scene_id, aux_time, aux_time - scene_times[scene_id], None, rule)
        nearest = int(nearest_aux[number])
        offset = aux[nearest] - scene_times[scene_id]
        if 2 * abs(offset) > spacing:
            fate = f"is beyond the limit of {spacing / 2}"
        elif nearest in holders:
            fate = f"is taken by {holders[nearest]}"
        else:
            owner = int(nearest_scene[nearest])
            fate = f"falls to {scene_ids[owner]}, which takes {aux[taken[owner]]}"
        signed = f"{'-' if offset < timedelta(0) else '+'}{abs(offset)}"
        return Match(scene_id, None, offset, f"the nearest aux time, {aux[nearest]} ({signed}), {fate}", rule)

    return tuple(row_of(number, scene_id) for number, scene_id in enumerate(scene_ids))


def limit_of(rule: str) -> timedelta:
    """How far from its scene an image may be by a rule that :func:`match_scenes` has noted."""
    match = _WRITTEN_TIME.fullmatch(rule.rpartition(_LIMIT)[2])
    if match is None:
        raise ValueError(f"{rule!r} names no limit")
    days, hours, minutes, seconds = match.groups(default="0")
    return timedelta(days=int(days), hours=int(hours), minutes=int(minutes), seconds=float(seconds))


def _all_within(scenes: IntArray, aux: IntArray, spacing: int, held: IntArray) -> IntArray:
    nearest = _nearest(aux, scenes)
    return np.where(2 * np.abs(aux[nearest] - scenes) <= spacing, nearest, _NONE)


def _single(scenes: IntArray, aux: IntArray, spacing: int, held: IntArray) -> IntArray:
    nearest = _nearest(scenes, aux)
    distance = np.abs(scenes[nearest] - aux)
    free = 2 * distance <= spacing
    free[held[held != _NONE]] = False
    # Stable, so that the earlier one of two equally near comes first; of each scene's, the first counts.
    nearest_first = np.argsort(distance, kind="stable")
    nearest_first = nearest_first[free[nearest_first]]
    claimed, first = np.unique(nearest[nearest_first], return_index=True)
    taken = np.full(len(scenes), _NONE, np.int64)
    taken[claimed] = nearest_first[first]
    return taken


_CHOOSE = {"single_scene_per_aux_time": _single, "all_scenes_within_dt_aux": _all_within}


def _nearest(ordered: IntArray, times: IntArray) -> IntArray:
    """Positions in ``ordered`` of what is nearest to each of the times, the first of several equally near."""
    after = np.searchsorted(ordered, times)
    before, after = np.maximum(after - 1, 0), np.minimum(after, len(ordered) - 1)
    nearest = np.where(times - ordered[before] <= ordered[after] - times, before, after)
    return np.searchsorted(ordered, ordered[nearest])


def _microseconds(times: Sequence[datetime]) -> IntArray:
    return np.array(times, "datetime64[us]").astype(np.int64)

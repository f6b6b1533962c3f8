"""Some of a dataset's scenes: those of a range, and how they are shared out to runs."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

from convml_data.errors import PlanError
from convml_data.meta import values
from convml_data.scenes.ids import is_scene_id, parse_scene_id
from convml_data.scenes.ledger import Ledger


def scenes_between(ledger: Ledger, first: str | None, last: str | None, where: str) -> tuple[str, ...]:
    """IDs of the scenes of a range, both ends included, in time order.

    Parameters
    ----------
    ledger
        With the scenes.
    first, last
        A scene's ID or a time, UTC; None for the first and the last scene. A scene has the time that is in
        its ID, which is that of its start without the seconds.
    where
        The ledger's file, for errors.

    Raises
    ------
    PlanError
        There is no such scene, what is given is neither a scene's ID nor a time, or no scene is in the range.
    """
    begin, end = (None if given is None else _time_of(ledger, given, where) for given in (first, last))
    found = tuple(
        row.scene_id
        for row in ledger.scenes
        if (begin is None or _minute(row.scan.start) >= begin) and (end is None or _minute(row.scan.start) <= end)
    )
    if not found:
        known = ledger.scene_ids
        scenes = f"There are {len(known)} scenes from {known[0]} to {known[-1]}" if known else "There are no scenes"
        raise PlanError(
            f"no scene is in the range from {first or 'the first'} to {last or 'the last'}", where=where, remedy=scenes
        )
    return found


def _time_of(ledger: Ledger, given: str, where: str) -> datetime:
    """The time that is meant by a scene's ID or a time."""
    rows = {row.scene_id: row for row in ledger.rows}
    if given in rows and rows[given].reason is None:
        return _minute(rows[given].scan.start)
    if given in rows:
        raise PlanError(
            f"{given} is no scene: {rows[given].reason}",
            where=where,
            remedy=f"Name a scene, or a time such as {rows[given].scan.start:%Y-%m-%dT%H:%M}",
        )
    if is_scene_id(given):
        raise PlanError(f"there is no scene {given}", where=where, remedy=_nearest(ledger, given))
    try:
        return values.utc_time(given)
    except ValueError as error:
        raise PlanError(
            f"{given!r} is neither a scene's ID nor a time",
            where=where,
            remedy="Write for example 2020-02-02T14:00 (UTC), or a scene's ID"
            + (f" such as {ledger.scene_ids[0]}" if ledger.scenes else ""),
        ) from error


def _nearest(ledger: Ledger, given: str) -> str:
    """The scenes around an ID that is none."""
    times = {name: parse_scene_id(name)[1] for name in (*ledger.scene_ids, given)}
    before = [name for name in ledger.scene_ids if times[name] <= times[given]][-1:]
    after = [name for name in ledger.scene_ids if times[name] > times[given]][:1]
    nearest = " and ".join(before + after)
    listing = "`convml-data scene-ids` lists the archive again"
    return f"The nearest are {nearest}; {listing}" if nearest else f"There are no scenes; {listing}"


def _minute(time: datetime) -> datetime:
    return time.replace(second=0, microsecond=0)


def runs_of(scene_ids: Sequence[str], chosen: Collection[str], max_scenes: int) -> list[list[str]]:
    """The chosen ones of all scenes in runs, each of scenes that follow each other.

    Dagster knows runs over a range of partitions, and none over some that have others between them.

    Parameters
    ----------
    scene_ids
        All, in their order.
    chosen
        Those that are wanted.
    max_scenes
        In a run, at least 1.
    """
    runs: list[list[str]] = []
    follows = False
    for scene_id in scene_ids:
        if scene_id in chosen:
            if not follows or len(runs[-1]) == max_scenes:
                runs.append([])
            runs[-1].append(scene_id)
        follows = scene_id in chosen
    return runs

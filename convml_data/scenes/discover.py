"""From the scans that an archive holds to the rows of the scene ledger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from types import MappingProxyType

from convml_data.scenes.filters import SceneFilter, nearest_to
from convml_data.scenes.ids import scene_id_of
from convml_data.scenes.ledger import LedgerRow, Scan
from convml_data.sources.base import Interval


def choose_scenes(
    scans: Sequence[Scan],
    *,
    source_name: str,
    spans: Sequence[Interval] | None,
    filters: SceneFilter,
    nearest_times: Sequence[datetime] | None,
    taken: Mapping[str, datetime] = MappingProxyType({}),
) -> tuple[LedgerRow, ...]:
    """Decide for every scan whether it is a scene.

    A scan is no scene where the source itself speaks against it, where it starts outside of all the
    time intervals, where a filter drops it, where an earlier scene has its scene ID, or where another
    scene is nearer to each of some times. The first of these reasons is given.

    Parameters
    ----------
    scans
        All that the source found.
    source_name
        What the scene IDs begin with.
    spans
        Time intervals, UTC, both ends included; None for all times.
    filters
        On the start of the scan.
    nearest_times
        Only scenes that are the nearest to one of these times are kept, None for all.
    taken
        Scene IDs that scenes have already, with the start of each.
    """
    rows: list[LedgerRow] = []
    starts = dict(taken)
    for scan in sorted(scans, key=lambda scan: scan.start):
        scene_id = scene_id_of(source_name, scan.start)
        reason = scan.reason
        if reason is None and spans is not None and not any(scan.start in span for span in spans):
            reason = "outside the time intervals"
        if reason is None:
            reason = filters.reason_against(scan.start)
        if reason is None and scene_id in starts:
            reason = f"same minute as the scan at {starts[scene_id]:%H:%M:%S}, which has this scene ID"
        if reason is None:
            starts[scene_id] = scan.start
        rows.append(LedgerRow(scene_id, replace(scan, reason=reason)))
    if nearest_times is None:
        return tuple(rows)
    wanted = nearest_to(nearest_times, list(starts.values()))
    return tuple(row if row.reason or row.scan.start in wanted else _passed_over(row) for row in rows)


def _passed_over(row: LedgerRow) -> LedgerRow:
    return replace(
        row, scan=replace(row.scan, reason="filtered: not the nearest scene to any time of the trajectories")
    )

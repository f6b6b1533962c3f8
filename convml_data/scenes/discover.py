"""From the scans that an archive holds to the scene ledger."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from convml_data.scenes.filters import outside_filters
from convml_data.scenes.ids import scene_id_of
from convml_data.scenes.ledger import Ledger, LedgerRow
from convml_data.sources.base import Interval, Source


def find_scenes(
    source: Source,
    *,
    source_name: str,
    product: str,
    spans: Sequence[Interval],
    max_hours_from_zenith: float | None,
    longitude: float,
    fingerprint: str,
) -> Ledger:
    """Look into the archive and decide for every scan whether it is a scene.

    A scan is no scene where the source itself speaks against it, where it starts outside of all the
    time intervals, where a filter drops it, or where an earlier scene has its scene ID. The first of
    these reasons is given.

    Parameters
    ----------
    source
        Finds the scans.
    source_name
        What the scene IDs begin with.
    product, fingerprint
        For the ledger.
    spans
        Time intervals, UTC, both ends included.
    max_hours_from_zenith, longitude
        As for :func:`~convml_data.scenes.filters.outside_filters`.

    Raises
    ------
    ArchiveError
        The archive cannot be listed.
    """
    rows: list[LedgerRow] = []
    starts: dict[str, datetime] = {}
    for scan in sorted(source.find(spans), key=lambda scan: scan.start):
        scene_id = scene_id_of(source_name, scan.start)
        reason = scan.reason
        if reason is None and not any(scan.start in span for span in spans):
            reason = "outside the time intervals"
        if reason is None:
            reason = outside_filters(scan.start, longitude=longitude, max_hours_from_zenith=max_hours_from_zenith)
        if reason is None and scene_id in starts:
            reason = f"same minute as the scan at {starts[scene_id]:%H:%M:%S}, which has this scene ID"
        if reason is None:
            starts[scene_id] = scan.start
        rows.append(LedgerRow(scene_id, replace(scan, reason=reason)))
    return Ledger(source_name, product, source.archive, fingerprint, tuple(rows))

"""Stage ``matches`` of an auxiliary product: which of its images goes with which scene."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from convml_data.clock import utc_now
from convml_data.errors import StoreError
from convml_data.pipeline.discovery import current_ledger, time_spans, write_covered
from convml_data.scenes.ledger import Ledger, LedgerRow, MatchedBy, Scan
from convml_data.scenes.matching import Match, match_scenes, time_between_aux
from convml_data.sources import source_of
from convml_data.sources.base import Interval, until_now
from convml_data.store.dataset import DatasetStore


def make_matches(store: DatasetStore) -> Ledger:
    """List the images of an auxiliary product, match them to the dataset's scenes and keep the table.

    Scenes that had an image keep it, so that scenes that come later extend the table.
    """
    dataset = store.dataset
    assert dataset.aux_name is not None
    product = dataset.meta.aux_products[dataset.aux_name]
    scenes = current_ledger(store.primary).scenes
    starts = {row.scene_id: row.scan.start for row in scenes}
    source, spans = source_of(dataset), _spans(store, list(starts.values()))

    # A scene at the edge of a time span may be nearest to an image beyond it.
    dt_aux = product.dt_aux or time_between_aux([scan.start for scan in _usable(source.find(spans))], spans)
    images = {scan.start: scan for scan in _usable(source.find(_padded(spans, dt_aux / 2)))}
    fingerprint = dataset.fingerprint("scene_ids")
    matches = match_scenes(
        starts,
        list(images),
        product.scene_mapping_strategy,
        product.dt_aux,
        spans,
        kept=_kept(store, fingerprint, source.archive),
    )
    rows = tuple(_row(match, starts[match.scene_id], images) for match in matches)
    ledger = Ledger(dataset.meta.source, dataset.meta.product, source.archive, fingerprint, rows)
    return write_covered(store, ledger)


def _spans(store: DatasetStore, starts: Sequence[datetime]) -> tuple[Interval, ...]:
    spans = time_spans(store.primary.dataset)
    return (Interval(min(starts), max(starts)),) if spans is None else until_now(spans, utc_now())


def _padded(spans: Sequence[Interval], by: timedelta) -> tuple[Interval, ...]:
    return tuple(Interval(span.start - by, span.end + by) for span in spans)


def _usable(scans: Sequence[Scan]) -> list[Scan]:
    return [scan for scan in scans if scan.reason is None]


def _kept(store: DatasetStore, fingerprint: str, archive: str) -> dict[str, Match]:
    """The matches of an earlier table of the same settings."""
    try:
        earlier = store.read_ledger()
    except StoreError:  # none yet, or of another format
        return {}
    if (earlier.fingerprint, earlier.archive) != (fingerprint, archive):
        return {}
    return {
        row.scene_id: Match(row.scene_id, row.scan.start, timedelta(seconds=row.match.offset_s), None, row.match.rule)
        for row in earlier.scenes
        if row.match is not None
    }


def _row(match: Match, start: datetime, images: Mapping[datetime, Scan]) -> LedgerRow:
    offset = match.nearest_offset
    nearest = images.get(match.aux_time or start + (offset or timedelta(0)))
    scan = nearest or Scan(start, start, "", None, {}, None)
    return LedgerRow(
        match.scene_id,
        Scan(scan.start, scan.end, scan.satellite, scan.mode, scan.files, match.reason),
        match=None if offset is None else MatchedBy(offset.total_seconds(), match.rule),
    )

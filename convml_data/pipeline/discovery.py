"""Stage ``scene_ids``: what the archive holds, which of it are scenes, and where the domain lies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial

from convml_data.clock import utc_now
from convml_data.errors import PlanError, StoreError
from convml_data.geometry.local import Domain, LocalDomain
from convml_data.meta.data import GOES_SOURCES
from convml_data.meta.dataset import Dataset
from convml_data.meta.load import META_NAME
from convml_data.pipeline.made_from import scene_fingerprint
from convml_data.scenes.arrivals import STRIDE, next_position, next_window, what_is_new
from convml_data.scenes.discover import choose_scenes
from convml_data.scenes.filters import SceneFilter
from convml_data.scenes.ledger import Coverage, Ledger, LedgerRow, Scan
from convml_data.sources import source_of
from convml_data.sources.base import Interval, Source, until_now
from convml_data.store.claims import claimed
from convml_data.store.dataset import DatasetStore
from convml_data.trajectories import Trajectories, read_trajectories

#: Sides of a domain around trajectories over their extent.
DEFAULT_PADDING = 1.2


#: How much of the past of an ongoing dataset is listed before the ledger is written, so that little is lost if that
#: is interrupted.
_LONG_STRIDE = timedelta(days=90)

#: How far the position in a ledger may lie behind the one that was reached, so that it is not written each time.
_NOTED_EVERY = timedelta(hours=1)


def make_ledger(store: DatasetStore) -> Ledger:
    """List the archive and keep the ledger of every scan seen, and the domain where it had to be found out.

    What an earlier ledger knows of the coverage of scenes is taken over where they are cropped
    from the same files in the same way. The ledger of an ongoing dataset of GOES is extended where it is current.
    """
    if not (store.dataset.is_ongoing and store.dataset.meta.source in GOES_SOURCES):
        return _make_whole_ledger(store)
    extension, now = None, utc_now()
    while extension is None or not extension.is_complete:
        position = None if extension is None else extension.position
        extension = extend_ledger(store, now=now, position=position, stride=_LONG_STRIDE)
    return extension.ledger


@dataclass(frozen=True)
class Extension:
    """What came of listing what is new.

    Parameters
    ----------
    ledger
        With what is new.
    new
        IDs of the scenes that were none before, in time order.
    waiting
        Why scans that may still become scenes are none yet, by scan start.
    position
        UTC, where listing goes on.
    listed_until
        UTC, how far the archive has been listed now; None where it was not.
    is_complete
        Whether that is as far as there is anything by now.
    """

    ledger: Ledger
    new: tuple[str, ...]
    waiting: Mapping[datetime, str]
    position: datetime
    listed_until: datetime | None
    is_complete: bool


def extend_ledger(
    store: DatasetStore,
    *,
    now: datetime,
    position: datetime | None = None,
    stride: timedelta = STRIDE,
    also: Sequence[Interval] = (),
    relist: bool = True,
) -> Extension:
    """List what may be new, add it to the ledger and keep that; its scenes stay as they are.

    A ledger that is not of the present ``meta.yaml`` and archive is begun anew.

    Parameters
    ----------
    store
        Of a dataset of GOES, whose archives have files within hours and lag behind by days at most.
    now
        UTC.
    position
        UTC, from here on the archive is listed if the ledger does not say an earlier time; None for what the
        ledger says.
    stride
        How much time to list at most, beside what is listed again for files that come late.
    also
        Intervals that are known to hold something new, wherever they lie.
    relist
        Whether to list what follows the position too; a ledger that is begun does so in any case.
    """
    store.claim_root()
    # Held while the archive is listed too: runs that want to note what they read wait some seconds for it.
    with claimed(store.files, store.layout.ledger):
        return _extended(store, now, position, stride, also, relist)


def _extended(
    store: DatasetStore,
    now: datetime,
    position: datetime | None,
    stride: timedelta,
    also: Sequence[Interval],
    relist: bool,
) -> Extension:
    dataset, meta = store.dataset, store.dataset.meta
    spans = time_spans(dataset)
    assert spans is not None  # every source that is listed by time has them
    earlier = _current_or_none(store)
    place = None if earlier is None else earlier.position
    if place is not None and position is not None:
        place = min(place, position)
    window = next_window(spans, place, now, stride) if relist or place is None else None
    listed = sorted((*(window.spans if window else ()), *also), key=lambda span: span.start)
    source = source_of(dataset)
    scans = source.find(listed) if listed else []
    if not dataset.is_located:
        store = store.located(_find_domain(dataset, source, scans, spans, _trajectories(dataset)))
        dataset = store.dataset
    arrivals = what_is_new(
        earlier.rows if earlier else (),
        scans,
        choose=partial(_choose, dataset, spans),
        now=now,
        wait=meta.sensor.wait_for_channels,
    )
    if window is not None:
        place = next_position(window, arrivals.rows[-1].scan.start if arrivals.rows else spans[0].start)
    assert place is not None
    begun = Ledger(meta.source, meta.product, source.archive, dataset.fingerprint("scene_ids"), ())
    ledger = replace(earlier or begun, rows=arrivals.rows, position=place)
    if earlier is None:
        ledger = ledger.covered(_known_coverages(store, ledger), meta.quality.min_valid_share)
    if earlier is None or _is_worth_writing(ledger, earlier):
        store.note_settings("scene_ids")
        store.write_ledger(ledger)
    return Extension(
        ledger,
        arrivals.new,
        arrivals.waiting,
        place,
        listed_until=window.until if window else None,
        is_complete=window is None or window.is_last,
    )


def _choose(
    dataset: Dataset, spans: Sequence[Interval], scans: Sequence[Scan], taken: Mapping[str, datetime]
) -> tuple[LedgerRow, ...]:
    return choose_scenes(
        scans,
        source_name=dataset.meta.source,
        spans=spans,
        filters=_scene_filter(dataset),
        nearest_times=None,
        taken=taken,
    )


def _is_worth_writing(ledger: Ledger, earlier: Ledger) -> bool:
    position, noted = ledger.position, earlier.position
    assert position is not None
    return ledger.rows != earlier.rows or noted is None or position - noted >= _NOTED_EVERY


def _make_whole_ledger(store: DatasetStore) -> Ledger:
    dataset, meta = store.dataset, store.dataset.meta
    store.claim_root()
    trajectories = _trajectories(dataset)
    spans = time_spans(dataset)
    source = source_of(dataset)
    scans = source.find(spans if spans is None else until_now(spans, utc_now()))
    if dataset.domain_kind != "rect":
        store = store.located(_find_domain(dataset, source, scans, spans, trajectories))
        dataset = store.dataset
    samples = meta.time is not None and meta.time.filters.using_trajectory_sampling
    rows = choose_scenes(
        scans,
        source_name=meta.source,
        spans=spans,
        filters=_scene_filter(dataset),
        nearest_times=_times(trajectories) if samples and trajectories else None,
    )
    ledger = Ledger(meta.source, meta.product, source.archive, dataset.fingerprint("scene_ids"), rows)
    return write_covered(store, ledger)


def write_covered(store: DatasetStore, ledger: Ledger) -> Ledger:
    """Keep a new ledger, with what the one before it knows of the coverage of its scenes."""
    store.note_settings("scene_ids")
    with claimed(store.files, store.layout.ledger):
        ledger = ledger.covered(_known_coverages(store, ledger), store.dataset.meta.quality.min_valid_share)
        store.write_ledger(ledger)
    return ledger


def note_what_was_read(store: DatasetStore, coverages: Mapping[str, Coverage], problems: Mapping[str, str]) -> None:
    """Keep in the ledger what was found out by reading scenes: their coverage, and why some cannot be read."""
    with claimed(store.files, store.layout.ledger):  # what another run notes meanwhile is kept
        ledger = store.read_ledger()
        noted = ledger.covered(coverages, store.dataset.meta.quality.min_valid_share).with_problems(problems)
        if noted != ledger:
            store.write_ledger(noted)


def ledger_is_current(store: DatasetStore) -> bool:
    """Whether there is a ledger that was made from this ``meta.yaml`` and archive.

    That of an ongoing dataset is current whatever has come since: it is extended, not made anew.
    """
    return store.files.exists(store.layout.ledger) and _is_current(store, store.read_ledger())


def _current_or_none(store: DatasetStore) -> Ledger | None:
    if not store.files.exists(store.layout.ledger):
        return None
    try:
        ledger = store.read_ledger()
    except StoreError:  # of another format
        return None
    return ledger if _is_current(store, ledger) else None


def current_ledger(store: DatasetStore) -> Ledger:
    """The ledger on disk; StoreError where meta.yaml or the archive has changed since it was made."""
    store.claim_root()
    ledger, aux = store.read_ledger(), store.dataset.aux_name
    if not _is_current(store, ledger):
        command, asset = ("scene-ids", "scene_ids") if aux is None else (f"scene-ids --aux-name {aux}", "matches")
        raise StoreError(
            f"meta.yaml or the archive has changed since this ledger was made from {ledger.archive}",
            where=store.files.url(store.layout.ledger),
            remedy=f"Run `convml-data {command}`, or materialize `{asset}` first",
        )
    return ledger


def _is_current(store: DatasetStore, ledger: Ledger) -> bool:
    if not store.dataset.is_located:
        return False
    if store.dataset.aux_name is not None:
        scene_ids = store.primary.read_ledger().scene_ids
        if [row.scene_id for row in ledger.rows] != list(scene_ids):
            return False
    settings = store.dataset.fingerprint("scene_ids")
    return ledger.fingerprint == settings and ledger.archive == source_of(store.dataset).archive


def time_spans(dataset: Dataset) -> tuple[Interval, ...] | None:
    """The time spans of a dataset in order, None for all times."""
    time = dataset.meta.time
    if time is None:
        return None
    trajectories = _trajectories(dataset) if time.source == "trajectories" else None
    return time.spans() if trajectories is None else (trajectories.span,)


def _trajectories(dataset: Dataset) -> Trajectories | None:
    return None if dataset.trajectories_file is None else read_trajectories(dataset.trajectories_file)


def _times(trajectories: Trajectories) -> list[datetime]:
    return [time.astype(datetime) for time in trajectories.times]


def _scene_filter(dataset: Dataset) -> SceneFilter:
    if dataset.meta.time is None:
        return SceneFilter()
    filters = dataset.meta.time.filters
    hours = filters.N_hours_from_zenith
    longitude = dataset.domain.central_longitude if isinstance(dataset.domain, LocalDomain) else None
    if hours is not None and longitude is None:
        raise PlanError(
            "solar noon is wanted, and the source's domain has no place on the earth",
            where=f"{dataset.directory / META_NAME}: time.filters.N_hours_from_zenith",
            remedy="Leave the filter out, or use source files with longitude and latitude",
        )
    return SceneFilter(filters.time_parts, hours, longitude)


def _find_domain(
    dataset: Dataset,
    source: Source,
    scans: Sequence[Scan],
    spans: Sequence[Interval] | None,
    trajectories: Trajectories | None,
) -> Domain:
    """The domain that follows from the trajectories, or from the source's first scan that can be a scene."""
    given = dataset.meta.domain
    if dataset.domain_kind == "spanning_trajectories" and given is not None and trajectories is not None:
        return trajectories.domain(DEFAULT_PADDING if given.padding is None else given.padding)
    usable = [
        scan
        for scan in sorted(scans, key=lambda scan: scan.start)
        if scan.reason is None and (spans is None or any(scan.start in span for span in spans))
    ]
    if not usable:
        reasons = "; ".join(sorted({scan.reason for scan in scans if scan.reason is not None}))
        raise PlanError(
            f"the domain is to be the source's own, and {source.archive} holds no scan in the time span to take it from"
            + (f": {reasons}" if reasons else ""),
            where=f"{dataset.directory / META_NAME}: domain",
            remedy="Correct `time` or `archive`, or write a domain of kind rect",
        )
    return source.whole_domain(usable[0])


def _known_coverages(store: DatasetStore, ledger: Ledger) -> dict[str, Coverage]:
    """What the ledger on disk knows of scenes that the new one would crop from the same files in the same way."""
    if not store.files.exists(store.layout.ledger):
        return {}
    try:
        known = {row.scene_id: row.coverage for row in store.read_ledger().rows if row.coverage is not None}
    except StoreError:  # of another format
        return {}
    return {
        row.scene_id: known[row.scene_id]
        for row in ledger.rows
        if row.scene_id in known and known[row.scene_id].made_from == scene_fingerprint(store.dataset, "cropped", row)
    }

"""Stage ``scene_ids``: what the archive holds and which of it are scenes."""

from __future__ import annotations

from convml_data.errors import StoreError
from convml_data.scenes.discover import find_scenes
from convml_data.scenes.ledger import Ledger
from convml_data.sources import source_of
from convml_data.store.dataset import DatasetStore


def make_ledger(store: DatasetStore) -> Ledger:
    """List the archive and keep the ledger of every scan seen."""
    dataset, meta = store.dataset, store.dataset.meta
    ledger = find_scenes(
        source_of(dataset),
        source_name=meta.source,
        product=meta.product,
        spans=meta.time.spans(),
        max_hours_from_zenith=meta.time.filters.N_hours_from_zenith,
        longitude=dataset.domain.central_longitude,
        fingerprint=dataset.fingerprint("scene_ids"),
    )
    store.write_ledger(ledger)
    return ledger


def ledger_is_current(store: DatasetStore) -> bool:
    """Whether there is a ledger that was made from this ``meta.yaml`` and archive."""
    return store.files.exists(store.layout.ledger) and _is_current(store, store.read_ledger())


def current_ledger(store: DatasetStore) -> Ledger:
    """The ledger on disk; StoreError where meta.yaml or the archive has changed since it was made."""
    ledger = store.read_ledger()
    if not _is_current(store, ledger):
        raise StoreError(
            f"meta.yaml or the archive has changed since this ledger was made from {ledger.archive}",
            where=store.files.url(store.layout.ledger),
            remedy="Run `convml-data scene-ids`, or materialize `scene_ids` first",
        )
    return ledger


def _is_current(store: DatasetStore, ledger: Ledger) -> bool:
    settings = store.dataset.fingerprint("scene_ids")
    return ledger.fingerprint == settings and ledger.archive == source_of(store.dataset).archive

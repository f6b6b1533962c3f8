"""Dagster's record of a dataset compared with its files, which are the truth, and put right.

What is there and current is reported as a run reports it that keeps it. What Dagster shows as made
although its files are gone or out of date is shown as failed: Dagster cannot take back one partition,
but a run that was to make it and failed is the latest that it knows of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import dagster as dg

from convml_data.meta.dataset import Dataset
from convml_data.pipeline.present import PLANS, PresentScenes, State, ledger_state, plan_state
from convml_data.store.dataset import DatasetStore
from convml_data_dagster.assets.chain import chain_specs, input_versions, materialization, stage_of, version_tags
from convml_data_dagster.assets.names import asset_key
from convml_data_dagster.assets.scenes import scene_ids_version
from convml_data_dagster.partitions import register_scenes, scene_partitions

#: Events that are read from the record at a time.
_PAGE = 1000


@dataclass(frozen=True)
class Difference:
    """How the record of an asset and its files differ.

    Parameters
    ----------
    asset
        Its key.
    unknown
        Partitions that are there and that Dagster does not know, or knows otherwise; None for an asset
        without any.
    lost
        Partitions that Dagster shows as made and are not there or not current, and why.
    """

    asset: dg.AssetKey
    unknown: Sequence[str | None]
    lost: Mapping[str | None, State]


@dataclass(frozen=True)
class Reconciled:
    """What differed: scenes that were no partitions, partitions that are no scenes, and assets."""

    new_scenes: int
    scenes_gone: int
    differences: Sequence[Difference]


def reconcile(
    dataset: Dataset, definitions: dg.Definitions, instance: dg.DagsterInstance, *, dry_run: bool
) -> Reconciled:
    """Compare the record of a dataset's partitions, per-scene stages and plans with its files, and mend it.

    Parameters
    ----------
    dataset
        The dataset itself; its auxiliary products are compared too as far as they have matches.
    definitions
        With its assets.
    instance
        That keeps the record.
    dry_run
        Whether to compare only.

    Raises
    ------
    StoreError
        There is no scene ledger, which says what the partitions are.
    """
    store = DatasetStore.of(dataset)
    scene_ids = store.read_ledger().scene_ids
    registered = instance.get_dynamic_partitions(f"{dataset.name}_scenes")
    new, gone = len(set(scene_ids) - set(registered)), len(set(registered) - set(scene_ids))
    if not dry_run:
        register_scenes(instance, dataset.name, scene_ids)
    specs = {spec.key: spec for spec in definitions.resolve_all_asset_specs()}
    differences = []
    for difference, events in _compared(store, specs, instance):
        if not dry_run:
            for event in events:
                instance.report_runless_asset_event(event)
        differences.append(difference)
    lost = {difference.asset: list(difference.lost) for difference in differences if difference.lost}
    if lost and not dry_run:
        _show_as_failed(instance, lost)
    for difference in differences:
        _forget_summary(instance, difference.asset)
    return Reconciled(new, gone, differences)


def _compared(
    store: DatasetStore, specs: Mapping[dg.AssetKey, dg.AssetSpec], instance: dg.DagsterInstance
) -> Iterator[tuple[Difference, Iterator[dg.AssetMaterialization]]]:
    """What differs in each asset, and the events that are missing."""
    products = [store, *(store.aux(name) for name in store.dataset.meta.aux_products)]
    for product in products:
        yield from _compared_wholes(product, specs, instance)
        if not product.files.exists(product.layout.ledger):
            continue  # an auxiliary product that was never matched has no scenes
        for chain_spec in chain_specs(product.dataset):
            yield _compared_scenes(product, specs[chain_spec.key], instance)


def _compared_scenes(
    store: DatasetStore, spec: dg.AssetSpec, instance: dg.DagsterInstance
) -> tuple[Difference, Iterator[dg.AssetMaterialization]]:
    """A stage of all scenes."""
    stage = stage_of(spec.key)
    present = PresentScenes(store, stage)
    states = present.states()
    _forget_summary(instance, spec.key)
    partitions = scene_partitions(store.dataset.name)
    shown = instance.get_status_by_partition(spec.key, list(states), partitions) or {}
    recorded = _recorded_tags(instance, spec.key, len(states))
    current = [scene_id for scene_id, state in states.items() if state.kind == "current"]
    made_from = input_versions(store, {stage}) if current else {}

    def is_known(scene_id: str) -> bool:
        status = shown.get(scene_id)
        if status is None or status.value != "MATERIALIZED":
            return status is not None and status.value == "IN_PROGRESS"  # its run will say so
        expected = version_tags(spec, present.fingerprint(scene_id), made_from)
        return expected.items() <= recorded.get(scene_id, {}).items()

    def is_shown(scene_id: str) -> bool:
        status = shown.get(scene_id)
        return status is not None and status.value == "MATERIALIZED"

    unknown = [scene_id for scene_id in current if not is_known(scene_id)]
    lost = {scene_id: state for scene_id, state in states.items() if state.kind != "current" and is_shown(scene_id)}
    events = (materialization(spec, scene_id, present.record(scene_id), made_from) for scene_id in unknown)
    return Difference(spec.key, unknown, lost), events


def _compared_wholes(
    store: DatasetStore, specs: Mapping[dg.AssetKey, dg.AssetSpec], instance: dg.DagsterInstance
) -> Iterator[tuple[Difference, Iterator[dg.AssetMaterialization]]]:
    """The assets that have no partitions and of which a file says what it was made from: ledger and plans."""
    dataset = store.dataset
    for name, state in _wholes(store).items():
        spec = specs[asset_key(dataset, name)]
        last = instance.get_latest_materialization_event(spec.key)
        tags = {} if last is None or last.asset_materialization is None else last.asset_materialization.tags or {}
        if state.kind != "current":
            lost = {} if last is None or _has_failed(instance, spec.key) else {None: state}
            yield Difference(spec.key, [], lost), iter(())
            continue
        version, path = _version_and_place(store, name)
        expected = version_tags(spec, version, {"scene_ids": scene_ids_version(dataset.primary)})
        compared = ["dagster/data_version", *(["dagster/code_version"] if spec.code_version else [])]
        if all(tags.get(tag) == expected[tag] for tag in compared):
            yield Difference(spec.key, [], {}), iter(())
            continue
        metadata = {"path": dg.MetadataValue.path(store.files.url(path))}
        yield (
            Difference(spec.key, [None], {}),
            iter([dg.AssetMaterialization(spec.key, metadata=metadata, tags=expected)]),
        )


def _wholes(store: DatasetStore) -> dict[str, State]:
    if store.dataset.aux_name is not None:
        return {"matches": ledger_state(store)}
    plans = [PLANS[stage] for stage in store.dataset.tile_stages if stage in PLANS]
    return {"scene_ids": ledger_state(store), **{plan: plan_state(store, plan) for plan in plans}}


def _version_and_place(store: DatasetStore, name: str) -> tuple[str, str]:
    """Data version and file of a ledger or plan, as its asset records them."""
    layout = store.layout
    if name == "tile_plan":
        return store.read_tile_plan().fingerprint, layout.tile_plan
    if name == "trajectory_plan":
        return store.read_trajectory_plan().fingerprint, layout.trajectory_plan
    if name == "matches":
        return store.dataset.fingerprint("scene_ids"), layout.ledger
    return scene_ids_version(store.dataset), layout.ledger


def _recorded_tags(instance: dg.DagsterInstance, key: dg.AssetKey, count: int) -> dict[str, Mapping[str, str]]:
    """Tags of the latest materialization of each partition, read until so many partitions were seen."""
    found: dict[str, Mapping[str, str]] = {}
    cursor: str | None = None
    while len(found) < count:
        page = instance.fetch_materializations(key, limit=_PAGE, cursor=cursor)
        for record in page.records:
            event = record.asset_materialization
            if event is not None and event.partition is not None:
                found.setdefault(event.partition, event.tags or {})
        if not page.has_more:
            break
        cursor = page.cursor
    return found


def _forget_summary(instance: dg.DagsterInstance, key: dg.AssetKey) -> None:
    """Let Dagster look through its events for the status of an asset's partitions.

    It remembers the status as of the latest event by its number. After runs were deleted that is wrong, and
    SQLite gives their numbers again, so that what is reported then would never be seen.
    """
    instance.event_log_storage.wipe_asset_cached_status(key)


#: Job name of the runs that stand for what was lost.
LOST = "reconcile"


def _has_failed(instance: dg.DagsterInstance, key: dg.AssetKey) -> bool:
    """Whether the latest run of an asset without partitions is one that stands for its loss."""
    record = instance.get_asset_records([key])
    run = instance.get_run_by_id(record[0].asset_entry.last_run_id or "") if record else None
    return run is not None and run.job_name == LOST


def _show_as_failed(instance: dg.DagsterInstance, lost: Mapping[dg.AssetKey, Sequence[str | None]]) -> None:
    """Record a run that was to make partitions and failed."""
    from dagster._core.events import AssetMaterializationPlannedData, DagsterEvent
    from dagster._core.utils import make_new_run_id

    run = dg.DagsterRun(job_name=LOST, run_id=make_new_run_id(), asset_selection=frozenset(lost))
    instance.add_run(run)
    for key, partitions in lost.items():
        for partition in partitions:
            planned: Any = AssetMaterializationPlannedData(key, partition=partition)
            event = DagsterEvent.build_asset_materialization_planned_event(LOST, key.path[-1], planned)
            instance.report_dagster_event(event, run.run_id)
    count = sum(map(len, lost.values()))
    instance.report_run_failed(
        run, f"{count} results that were recorded as made are not there or out of date: materialize them again"
    )

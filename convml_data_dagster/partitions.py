"""Which scenes are partitions.

One dynamic definition for each dataset, since a dataset is a sample of times and not a window of
them: `docs/decisions/001-partitions.md`. Every per-scene asset of a dataset uses it and every
other asset is unpartitioned.
"""

from __future__ import annotations

from collections.abc import Sequence

import dagster as dg

from convml_data.meta.dataset import Dataset


def scene_partitions(dataset_name: str) -> dg.DynamicPartitionsDefinition:
    """The partitions of a dataset's scenes, ``<dataset>_scenes``."""
    return dg.DynamicPartitionsDefinition(name=f"{dataset_name}_scenes")


def runs_of_many_scenes(dataset: Dataset) -> dg.BackfillPolicy:
    """How a backfill is shared out to runs."""
    return dg.BackfillPolicy.multi_run(dataset.meta.run.max_scenes)


def range_tags(scene_ids: Sequence[str]) -> dict[str, str]:
    """Tags of a run of the partitions from the first to the last of the given scenes."""
    return {
        "dagster/asset_partition_range_start": scene_ids[0],
        "dagster/asset_partition_range_end": scene_ids[-1],
    }


def register_scenes(instance: dg.DagsterInstance, dataset_name: str, scene_ids: Sequence[str]) -> tuple[int, int]:
    """Make the partitions of a dataset the given scenes, in their order.

    Dagster keeps partitions in the order in which they were added, and ranges follow that order. So
    where a scene comes before others, all keys are put in anew, at once; what has been materialized
    for a key is remembered.

    Returns
    -------
    How many scenes are new and how many are no longer there.
    """
    name = f"{dataset_name}_scenes"
    registered = list(instance.get_dynamic_partitions(name))
    same = 0
    while same < min(len(registered), len(scene_ids)) and registered[same] == scene_ids[same]:
        same += 1
    if registered[same:]:
        _replace(instance, name, scene_ids)
    elif scene_ids[same:]:
        instance.add_dynamic_partitions(name, list(scene_ids[same:]))
    return len(set(scene_ids) - set(registered)), len(set(registered) - set(scene_ids))


def _replace(instance: dg.DagsterInstance, name: str, keys: Sequence[str]) -> None:
    """Put keys in the place of all that are registered, in one transaction.

    Dagster takes keys out one by one only, 3 ms each, and a backfill that is launched meanwhile would
    miss those that are out. All of its storages keep them in this table of SQL.
    """
    from dagster._core.storage.event_log import SqlEventLogStorage
    from dagster._core.storage.event_log.schema import DynamicPartitionsTable as Table

    storage = instance.event_log_storage
    assert isinstance(storage, SqlEventLogStorage)
    with storage.index_connection() as connection:
        connection.execute(Table.delete().where(Table.c.partitions_def_name == name))
        if keys:
            connection.execute(Table.insert(), [{"partitions_def_name": name, "partition": key} for key in keys])

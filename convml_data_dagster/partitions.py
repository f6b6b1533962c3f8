"""Which scenes are partitions.

One dynamic definition for each dataset, since a dataset is a sample of times and not a window of
them: `docs/decisions/001-partitions.md`. Every per-scene asset of a dataset uses it and every
other asset is unpartitioned.
"""

from __future__ import annotations

from collections.abc import Sequence

import dagster as dg


def scene_partitions(dataset_name: str) -> dg.DynamicPartitionsDefinition:
    """The partitions of a dataset's scenes, ``<dataset>_scenes``."""
    return dg.DynamicPartitionsDefinition(name=f"{dataset_name}_scenes")


def range_tags(scene_ids: Sequence[str]) -> dict[str, str]:
    """Tags of a run of the partitions from the first to the last of the given scenes."""
    return {
        "dagster/asset_partition_range_start": scene_ids[0],
        "dagster/asset_partition_range_end": scene_ids[-1],
    }


def register_scenes(instance: dg.DagsterInstance, dataset_name: str, scene_ids: Sequence[str]) -> tuple[int, int]:
    """Make the partitions of a dataset the given scenes, in their order.

    Dagster keeps partitions in the order in which they were added, and ranges follow that order. So
    from the first difference on, keys are taken out and put in again; what has been materialized
    for a key is remembered meanwhile.

    Returns
    -------
    How many scenes are new and how many are no longer there.
    """
    name = f"{dataset_name}_scenes"
    registered = list(instance.get_dynamic_partitions(name))
    same = 0
    while same < min(len(registered), len(scene_ids)) and registered[same] == scene_ids[same]:
        same += 1
    for key in registered[same:]:
        instance.delete_dynamic_partition(name, key)
    if scene_ids[same:]:
        instance.add_dynamic_partitions(name, list(scene_ids[same:]))
    return len(set(scene_ids) - set(registered)), len(set(registered) - set(scene_ids))

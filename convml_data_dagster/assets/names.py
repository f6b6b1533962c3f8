"""What assets, their groups and their steps are called."""

import dagster as dg

from convml_data.meta.dataset import Dataset


def asset_key(dataset: Dataset, asset: str) -> dg.AssetKey:
    """Key of an asset of a dataset or of its auxiliary product."""
    return dg.AssetKey([dataset.name, *([] if dataset.aux_name is None else ["aux", dataset.aux_name]), asset])


def group_name(dataset: Dataset, group: str) -> str:
    """Name of a group of a dataset's assets; those of an auxiliary product are all in one."""
    if dataset.aux_name is not None:
        group = f"aux_{dataset.aux_name.replace('-', '_')}"
    return f"{dataset.name}_{group}"


def op_name(dataset: Dataset, what: str) -> str:
    """Name of a step of an auxiliary product, which no other product's step has: names of steps take no hyphens."""
    return f"{dataset.name}__aux_{(dataset.aux_name or '').replace('_', '__').replace('-', '_d')}__{what}"

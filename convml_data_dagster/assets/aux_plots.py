"""Plots of an auxiliary field below the scene that it goes with, one for each scene."""

import base64
from collections.abc import Iterator
from typing import Any

import dagster as dg

from convml_data.meta.dataset import Dataset
from convml_data_dagster.assets.names import asset_key, group_name, kinds, op_name, uri
from convml_data_dagster.failures import errors_as_failures
from convml_data_dagster.io_managers import io_manager_key, store_of
from convml_data_dagster.partitions import runs_of_many_scenes, scene_partitions


def aux_plots_asset(dataset: Dataset) -> dg.AssetsDefinition:
    """``<dataset>/aux/<name>/plots``: the scene above, the field below, for scenes of which both are regridded."""
    name, aux_name = dataset.name, dataset.aux_name
    assert aux_name is not None
    key = asset_key(dataset, "plots")
    spec = dg.AssetSpec(
        key=key,
        deps=[asset_key(dataset.primary, "regridded"), asset_key(dataset, "regridded")],
        partitions_def=scene_partitions(name),
        group_name=group_name(dataset, "scenes"),
        kinds=kinds(dataset, "png"),
        metadata=uri(dataset, f"report/aux/{aux_name}"),
        code_version=dataset.code_version("regridded"),
        description=f"Each scene above, `{aux_name}` below, over one x axis, in km. In `report/aux/{aux_name}`.",
        skippable=True,
    )

    @dg.multi_asset(
        name=op_name(dataset, "plots"),
        specs=[spec],
        backfill_policy=runs_of_many_scenes(dataset),
        required_resource_keys={io_manager_key(name)},
    )
    def plots(context: dg.AssetExecutionContext) -> Iterator[Any]:
        from convml_data.pipeline.plots import plot_aux

        missing: list[str] = []
        with errors_as_failures():
            for plot in plot_aux(store_of(context, name).aux(aux_name), list(context.partition_keys)):
                if plot.url is None or plot.content is None:
                    missing.append(f"{plot.scene_id}: {plot.problem}")
                    continue
                encoded = base64.b64encode(plot.content).decode()
                metadata = {
                    "path": dg.MetadataValue.path(plot.url),
                    "plot": dg.MetadataValue.md(f"![{plot.scene_id}](data:image/png;base64,{encoded})"),
                }
                context.log_event(dg.AssetMaterialization(key, partition=plot.scene_id, metadata=metadata))
        if missing:
            context.log.warning("no plot of\n" + "\n".join(missing))
        if len(missing) == len(context.partition_keys):
            raise dg.Failure(f"No scene could be plotted: {missing[0]}", allow_retries=False)
        yield from ()

    return plots

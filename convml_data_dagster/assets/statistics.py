"""Statistics of the tiles that a network is trained on."""

from typing import Any

import dagster as dg

from convml_data.markdown import markdown_table
from convml_data.meta.dataset import Dataset
from convml_data.store.layout import layout_of
from convml_data_dagster.assets.names import asset_key, group_name, kinds, uri
from convml_data_dagster.failures import errors_as_failures
from convml_data_dagster.io_managers import io_manager_key, store_of


def statistics_asset(dataset: Dataset) -> dg.AssetsDefinition:
    """``<dataset>/statistics``: of the collection train, or ``<dataset>/aux/<name>/statistics``."""
    aux_name = dataset.aux_name

    @dg.asset(
        key=asset_key(dataset, "statistics"),
        deps=[asset_key(dataset, "triplet_tiles" if aux_name is None else "tiles")],
        group_name=group_name(dataset, "tiles"),
        kinds=kinds(dataset, "json"),
        metadata=uri(dataset, layout_of(dataset).statistics("train")),
        code_version=dataset.fingerprint("statistics"),
        required_resource_keys={io_manager_key(dataset.name)},
        description=(
            "Mean, standard deviation, minimum, maximum and histogram of each band over the tiles of the collection "
            "`train` alone, by which a network's input is scaled."
        ),
    )
    def statistics(context: dg.AssetExecutionContext) -> dg.MaterializeResult[Any]:
        from convml_data.pipeline.statistics import TRAIN, make_statistics

        with errors_as_failures():
            store = store_of(context, dataset.name)
            if aux_name is not None:
                store = store.aux(aux_name)
            found = make_statistics(store)
        rows = [
            [name, found.units[name] or "", f"{mean:.6g}", f"{std:.6g}"]
            for name, mean, std in zip(found.bands, found.mean, found.std, strict=True)
        ]
        return dg.MaterializeResult(
            data_version=dg.DataVersion(found.fingerprint),
            metadata={
                "path": dg.MetadataValue.path(store.files.url(store.layout.statistics(TRAIN))),
                "tiles": found.tiles,
                "bands": dg.MetadataValue.md(markdown_table(["band", "units", "mean", "standard deviation"], rows)),
            },
        )

    return statistics

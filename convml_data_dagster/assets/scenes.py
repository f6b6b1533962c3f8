"""The unpartitioned assets that decide what the others are made of: scene IDs and tile plan."""

from typing import Any

import dagster as dg

from convml_data.meta.dataset import Dataset
from convml_data_dagster.failures import errors_as_failures
from convml_data_dagster.io_managers import io_manager_key, store_of
from convml_data_dagster.partitions import register_scenes


def scene_ids_version(dataset: Dataset) -> str:
    """What the scenes are of: a longer list of them puts no scene that was there out of date."""
    meta = dataset.meta
    return f"{meta.source} {meta.product} {meta.sector}"


def scene_ids_asset(dataset: Dataset) -> dg.AssetsDefinition:
    """``<dataset>/scene_ids``: the ledger, and the partitions of all per-scene assets."""

    @dg.asset(
        key=[dataset.name, "scene_ids"],
        group_name=f"{dataset.name}_scenes",
        kinds={"json"},
        code_version=dataset.fingerprint("scene_ids"),
        required_resource_keys={io_manager_key(dataset.name)},
        description=(
            "The scans that the archive holds in the dataset's time span: one row each in the scene ledger, with "
            "the reason where a scan is no scene. Materializing it lists the archive and makes the scenes the "
            "partitions of all per-scene assets, in time order."
        ),
    )
    def scene_ids(context: dg.AssetExecutionContext) -> dg.MaterializeResult[Any]:
        from convml_data.pipeline.discovery import make_ledger
        from convml_data.sources import notices_of

        with errors_as_failures():
            store = store_of(context, dataset.name)
            ledger = make_ledger(store)
        new, gone = register_scenes(context.instance, dataset.name, ledger.scene_ids)
        drops, notices = ledger.drops(), notices_of(store.dataset)
        path = store.files.url(store.layout.ledger)
        if not ledger.scenes:
            why = "; ".join(f"{reason} ({count})" for reason, count in drops.items())
            raise dg.Failure(
                f"{path}: no scene is left of {len(ledger.rows)} scans seen in {ledger.archive}"
                f"{': ' + why if why else ''}. Correct `time`, `sector` or `archive` in meta.yaml.",
                allow_retries=False,
            )
        return dg.MaterializeResult(
            data_version=dg.DataVersion(scene_ids_version(dataset)),
            metadata={
                "path": dg.MetadataValue.path(path),
                "archive": ledger.archive,
                **({"notices": dg.MetadataValue.md("\n".join(f"- {text}" for text in notices))} if notices else {}),
                "scans": len(ledger.rows),
                "scenes": len(ledger.scenes),
                "new_scenes": new,
                "scenes_gone": gone,
                "first_scene": ledger.scene_ids[0],
                "last_scene": ledger.scene_ids[-1],
                "dropped": dg.MetadataValue.md(
                    "\n".join(["| reason | scans |", "|---|---|", *(f"| {why} | {n} |" for why, n in drops.items())])
                    if drops
                    else "none"
                ),
            },
        )

    return scene_ids


def tile_plan_asset(dataset: Dataset) -> dg.AssetsDefinition:
    """``<dataset>/tile_plan``: which scene gives which tile, where."""

    @dg.asset(
        key=[dataset.name, "tile_plan"],
        deps=[[dataset.name, "scene_ids"]],
        group_name=f"{dataset.name}_tiles",
        kinds={"json"},
        required_resource_keys={io_manager_key(dataset.name)},
        description=(
            "Which scene gives which triplet tile and where it lies, for all collections, drawn before any tile is "
            "cut. The same meta.yaml and scenes give the same plan."
        ),
    )
    def tile_plan(context: dg.AssetExecutionContext) -> dg.MaterializeResult[Any]:
        from convml_data.pipeline.tiles import make_tile_plan

        with errors_as_failures():
            store = store_of(context, dataset.name)
            plan = make_tile_plan(store)
        for warning in plan.warnings:
            context.log.warning(warning)
        return dg.MaterializeResult(
            data_version=dg.DataVersion(plan.fingerprint),
            metadata={
                "path": dg.MetadataValue.path(store.files.url(store.layout.tile_plan)),
                "tiles": len(plan.tiles),
                "scenes_by_collection": dg.MetadataValue.json(
                    {collection: len(scenes) for collection, scenes in plan.scenes.items()}
                ),
                "warnings": dg.MetadataValue.md("\n".join(f"- {text}" for text in plan.warnings) or "none"),
            },
        )

    return tile_plan

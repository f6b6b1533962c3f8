"""The unpartitioned assets that decide what the others are made of: scene IDs and tile plan."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import dagster as dg

from convml_data.markdown import markdown_table
from convml_data.meta.dataset import Dataset
from convml_data.rules import rules_of
from convml_data.store.layout import layout_of
from convml_data_dagster.assets.names import archive_pool, asset_key, group_name, kinds, uri
from convml_data_dagster.checks import check_result, check_specs, what_stops
from convml_data_dagster.failures import archive_errors_retried, errors_as_failures
from convml_data_dagster.io_managers import io_manager_key, store_of
from convml_data_dagster.partitions import register_scenes

#: How many scenes without an image of an auxiliary product the asset's record names.
UNMATCHED_SHOWN = 100


def scene_ids_version(dataset: Dataset) -> str:
    """What the scenes are of: a longer list of them puts no scene that was there out of date."""
    meta = dataset.meta
    return f"{meta.source} {meta.product} {meta.sector}"


def scene_ids_asset(dataset: Dataset) -> dg.AssetsDefinition:
    """``<dataset>/scene_ids``: the ledger, and the partitions of all per-scene assets."""

    @dg.asset(
        key=asset_key(dataset, "scene_ids"),
        group_name=group_name(dataset, "scenes"),
        kinds=kinds(dataset, "json", reads_archive=True),
        code_version=dataset.fingerprint("scene_ids"),
        pool=archive_pool(dataset),
        required_resource_keys={io_manager_key(dataset.name), "progress"},
        metadata=uri(dataset, layout_of(dataset).ledger),
        description=(
            "The scans that the archive holds in the dataset's time span: one row each in the scene ledger, with "
            "the reason where a scan is no scene. Materializing it lists the archive and makes the scenes the "
            "partitions of all per-scene assets, in time order."
        ),
    )
    def scene_ids(context: dg.AssetExecutionContext) -> dg.MaterializeResult[Any]:
        from convml_data.pipeline.discovery import make_ledger
        from convml_data.sources import notices_of

        with archive_errors_retried(context):
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
                "dropped": _table_or_none(["reason", "scans"], [(why, str(count)) for why, count in drops.items()]),
            },
        )

    return scene_ids


def matches_asset(dataset: Dataset) -> dg.AssetsDefinition:
    """``<dataset>/aux/<name>/matches``: which image of an auxiliary product goes with which scene."""
    aux_name = dataset.aux_name
    assert aux_name is not None

    @dg.asset(
        key=asset_key(dataset, "matches"),
        deps=[asset_key(dataset.primary, "scene_ids")],
        group_name=group_name(dataset, "scenes"),
        kinds=kinds(dataset, "json", reads_archive=True),
        code_version=dataset.fingerprint("scene_ids"),
        pool=archive_pool(dataset),
        required_resource_keys={io_manager_key(dataset.name), "progress"},
        metadata=uri(dataset, layout_of(dataset).ledger),
        description=(
            f"Which image of `{aux_name}` ({dataset.meta.source} {dataset.meta.product}) goes with which scene: one "
            "row for each scene, with the offset in seconds, the rule, and the reason where none does. Scenes that "
            "had an image keep it."
        ),
    )
    def matches(context: dg.AssetExecutionContext) -> dg.MaterializeResult[Any]:
        from convml_data.pipeline.matches import make_matches

        with archive_errors_retried(context):
            store = store_of(context, dataset.name).aux(aux_name)
            ledger = make_matches(store)
        offsets = [row.match.offset_s for row in ledger.scenes if row.match is not None]
        unmatched = {row.scene_id: row.reason for row in ledger.rows if row.reason is not None}
        path = store.files.url(store.layout.ledger)
        if not ledger.scenes:
            why = next(iter(unmatched.values()), "there are no scenes")
            raise dg.Failure(
                f"{path}: no scene has an image of {aux_name}: {why}. Correct `dt_aux` or `scene_mapping_strategy`.",
                allow_retries=False,
            )
        return dg.MaterializeResult(
            data_version=dg.DataVersion(dataset.fingerprint("scene_ids")),
            metadata={
                "path": dg.MetadataValue.path(path),
                "archive": ledger.archive,
                "matched": len(ledger.scenes),
                "unmatched": len(unmatched),
                "largest_offset_s": max(map(abs, offsets), default=0.0),
                "unmatched_scenes": _table_or_none(["scene", "reason"], list(unmatched.items())[:UNMATCHED_SHOWN]),
            },
        )

    return matches


def _table_or_none(head: Sequence[str], rows: Sequence[Sequence[str]]) -> dg.MarkdownMetadataValue:
    return dg.MetadataValue.md(markdown_table(head, rows) if rows else "none")


def _before_the_plan(dataset: Dataset) -> list[dg.AssetKey]:
    """What a plan of triplets needs: regridded scenes only where it looks at what tiles show."""
    accept = dataset.meta.sampling.accept
    needed = [asset_key(dataset, "scene_ids")]
    if accept is not None:
        needed.append(asset_key(dataset, "regridded"))
        if accept.cloud_mask in dataset.meta.aux_products:
            needed.append(asset_key(dataset.aux(accept.cloud_mask), "regridded"))
    return needed


def tile_plan_asset(dataset: Dataset) -> dg.AssetsDefinition:
    """``<dataset>/tile_plan``: which scene gives which tile, where."""
    key = asset_key(dataset, "tile_plan")

    @dg.asset(
        key=key,
        deps=_before_the_plan(dataset),
        group_name=group_name(dataset, "tiles"),
        kinds=kinds(dataset, "json"),
        code_version=dataset.fingerprint("tile_plan"),
        check_specs=check_specs(key, rules_of(dataset).of_plan),
        metadata=uri(dataset, layout_of(dataset).tile_plan),
        required_resource_keys={io_manager_key(dataset.name)},
        description=(
            "Which scene gives which triplet tile and where it lies, for all collections, drawn before any tile is "
            "cut. The same meta.yaml and scenes give the same plan."
        ),
    )
    def tile_plan(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult[Any]]:
        from convml_data.pipeline.judging import judge_plan
        from convml_data.pipeline.leakage import make_leakage_report
        from convml_data.pipeline.tiles import make_tile_plan

        with errors_as_failures():
            store = store_of(context, dataset.name)
            plan = make_tile_plan(store)
            report = make_leakage_report(store, plan)
            verdicts = judge_plan(store, plan)
        stops = what_stops(verdicts)
        for warning in (*plan.warnings, *report.warnings):
            context.log.warning(warning)
        yield dg.MaterializeResult(
            data_version=dg.DataVersion(plan.fingerprint),
            check_results=[check_result(key, verdict.rule, [verdict]) for verdict in verdicts],
            metadata={
                "path": dg.MetadataValue.path(store.files.url(store.layout.tile_plan)),
                "tiles": len(plan.tiles),
                "scenes_by_collection": dg.MetadataValue.json(
                    {collection: len(scenes) for collection, scenes in plan.scenes.items()}
                ),
                **({"accepted": dg.MetadataValue.json(dict(plan.accepted))} if plan.accepted else {}),
                "left_over": dg.MetadataValue.json(dict(Counter(plan.left_over.values()))),
                "leakage": dg.MetadataValue.md(report.to_markdown()),
                "leakage_report": dg.MetadataValue.path(store.files.url(store.layout.leakage_report)),
                "warnings": dg.MetadataValue.md("\n".join(f"- {text}" for text in plan.warnings) or "none"),
            },
        )
        if stops:
            raise dg.Failure("\n".join(stops), allow_retries=False)

    return tile_plan


def trajectory_plan_asset(dataset: Dataset) -> dg.AssetsDefinition:
    """``<dataset>/trajectory_plan``: which scene gives which tile around a trajectory, where."""

    @dg.asset(
        key=asset_key(dataset, "trajectory_plan"),
        deps=[asset_key(dataset, "scene_ids")],
        group_name=group_name(dataset, "tiles"),
        kinds=kinds(dataset, "json"),
        code_version=dataset.fingerprint("trajectory_plan"),
        metadata=uri(dataset, layout_of(dataset).trajectory_plan),
        required_resource_keys={io_manager_key(dataset.name)},
        description=(
            "The tiles around trajectories: in each scene one around the point of each trajectory that is nearest in "
            "time, and the reason where there is none."
        ),
    )
    def trajectory_plan(context: dg.AssetExecutionContext) -> dg.MaterializeResult[Any]:
        from convml_data.pipeline.tiles import make_trajectory_plan

        with errors_as_failures():
            store = store_of(context, dataset.name)
            plan = make_trajectory_plan(store)
        trajectories_without: Counter[str] = Counter()
        for why in plan.trajectories_without.values():
            trajectories_without.update({reason: len(numbers) for reason, numbers in why.items()})
        return dg.MaterializeResult(
            data_version=dg.DataVersion(plan.fingerprint),
            metadata={
                "path": dg.MetadataValue.path(store.files.url(store.layout.trajectory_plan)),
                "tiles": len(plan.tiles),
                "scenes_without": dg.MetadataValue.json(dict(Counter(plan.without.values()))),
                "trajectories_without": dg.MetadataValue.json(dict(trajectories_without)),
            },
        )

    return trajectory_plan

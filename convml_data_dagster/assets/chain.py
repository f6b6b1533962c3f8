"""The per-scene chain: cropped, regridded and tiles as one step and several assets.

One step, because a scene should not wait for the other scenes of its run; several assets, because
each stage is worth looking at, keeping and making again on its own. Every stage and scene logs one
materialization of its own, so that a broken scene leaves its neighbours green in every asset; the
run then fails with one summary: `docs/decisions/002-one-step-many-scenes.md`.
"""

import base64
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Any

import dagster as dg

from convml_data.meta.dataset import Dataset
from convml_data.rules import asked_of, rules_of
from convml_data.store.layout import place_of_scenes, place_of_tiles
from convml_data_dagster.assets.names import archive_pool, asset_key, group_name, kinds, op_name, run_tags, uri
from convml_data_dagster.assets.scenes import scene_ids_version
from convml_data_dagster.checks import check_result, check_specs, what_is_amiss, what_stops
from convml_data_dagster.failures import errors_as_failures, retry_later
from convml_data_dagster.io_managers import io_manager_key, store_of
from convml_data_dagster.partitions import runs_of_many_scenes, scene_partitions
from convml_data_dagster.resources import Progress, WorkersResource
from convml_data_dagster.summaries import Summary

if TYPE_CHECKING:
    from convml_data.pipeline.scene import Record, SceneOutcome, Stage
    from convml_data.store.dataset import DatasetStore


#: What the tiles of auxiliary products are called among assets.
AUX_TILES = "tiles"


def scene_chain(dataset: Dataset) -> dg.AssetsDefinition:
    """The assets ``<dataset>/cropped``, ``/regridded`` and, where tiles are asked for, ``/triplet_tiles``.

    With them ``/trajectory_tiles`` and ``/sliding_window_tiles`` as far as they are asked for. Of an auxiliary
    product they are ``<dataset>/aux/<name>/cropped``, ``/regridded``, ``/tiles`` and so on.
    """
    specs, rules = chain_specs(dataset), rules_of(dataset)
    spec_of = {stage_of(spec.key): spec for spec in specs}

    @dg.multi_asset(
        name=f"{dataset.name}__scene_chain" if dataset.aux_name is None else op_name(dataset, "chain"),
        specs=specs,
        check_specs=[each for stage, spec in spec_of.items() for each in check_specs(spec.key, rules.of_stage(stage))],
        can_subset=True,
        backfill_policy=runs_of_many_scenes(dataset),
        pool=archive_pool(dataset),
        required_resource_keys={"workers", "progress", io_manager_key(dataset.name)},
    )
    def chain(context: dg.AssetExecutionContext) -> Iterator[Any]:
        from convml_data.pipeline.judging import RunJudge
        from convml_data.pipeline.run import run_scenes

        workers: WorkersResource = context.resources.workers
        progress: Progress = context.resources.progress

        checks = context.selected_asset_check_keys
        # A check alone is of what is there, which its stage keeps.
        keys = context.selected_asset_keys | {check.asset_key for check in checks}
        stages = frozenset(stage_of(key) for key in keys)
        if not context.has_partition_key and not context.has_partition_key_range:
            raise dg.Failure("A run of this is over scenes: launch it with a range of partitions.", allow_retries=False)
        scene_ids = list(context.partition_keys)
        context.instance.add_run_tags(context.run.run_id, run_tags(dataset, stages))
        summary, unreachable = Summary(), None
        with errors_as_failures(), ExitStack() as stack:
            store = store_of(context, dataset.name)
            if dataset.aux_name is not None:
                store = store.aux(dataset.aux_name)
            made_from = input_versions(store, stages)
            judge = RunJudge(store, stages)
            # Closed whatever happens, since the workers end with it.
            outcomes = stack.enter_context(closing(run_scenes(store, scene_ids, stages, workers.workers(dataset))))
            for outcome in progress.track(outcomes, len(scene_ids)):
                for record in outcome.records:
                    context.log_event(materialization(spec_of[record.stage], outcome.scene_id, record, made_from))
                judge.add(outcome)
                context.log.info(_line(outcome))
                if outcome.traceback is not None:
                    context.log.error(outcome.traceback)
                if outcome.try_again:
                    unreachable = outcome.error
                summary.add(outcome)
            if unreachable is not None:
                retry_later(context, unreachable)
            verdicts = judge.verdicts()
        amiss = what_is_amiss(verdicts)
        for warning in (*summary.warnings(dataset.aux_name), *amiss):
            context.log.warning(warning)
        progress.note(amiss)
        for verdict in verdicts:
            if dg.AssetCheckKey(spec_of[verdict.stage].key, verdict.rule.name) in checks:
                yield check_result(spec_of[verdict.stage].key, verdict.rule, [verdict])
        # Scenes that broke a rule alone are among the failures.
        alone = {rule.name for rule in rules.of_one}
        stops = what_stops(verdict for verdict in verdicts if verdict.rule.name not in alone)
        failures = [text for text in (summary.failure(), *stops) if text is not None]
        if failures:
            failed = {"failed": len(summary.failed_scenes), "failed_scenes": summary.failed_scenes}
            raise dg.Failure("\n".join(failures), metadata=failed, allow_retries=False)

    return chain


def input_versions(store: "DatasetStore", stages: "Collection[Stage]") -> dict[str, str]:
    """Versions of what is no scene and stages are made of, by the last part of its key."""
    dataset = store.dataset
    versions = {"scene_ids": scene_ids_version(dataset)}
    if dataset.aux_name is not None:
        versions = {"matches": dataset.fingerprint("scene_ids")}
    if "triplet_tiles" in stages:
        versions["tile_plan"] = store.read_tile_plan().fingerprint
    if "trajectory_tiles" in stages:
        versions["trajectory_plan"] = store.read_trajectory_plan().fingerprint
    return versions


def stage_of(key: dg.AssetKey) -> "Stage":
    """The stage that an asset of the chain is."""
    stage = key.path[-1]
    return "triplet_tiles" if stage == AUX_TILES else stage  # type: ignore[return-value]  # keys are made of stages


def chain_specs(dataset: Dataset) -> list[dg.AssetSpec]:
    """The assets of the chain, in the order of their stages."""
    name, aux_name, sampling = dataset.name, dataset.aux_name, dataset.meta.sampling
    matched = "" if aux_name is None else f" The images of `{aux_name}` that go with the scenes."
    field = f"{_dims_in_words(dataset)}, {_units_in_words(dataset)}, NaN where there is no value"
    descriptions = {
        "cropped": (
            f"`{dataset.meta.product}` of each scene on the source's own grid, over the domain and a margin: {field}. "
            f"Materialize `scene_ids` first: it makes the partitions.{matched}"
        ),
        "regridded": (
            f"Each scene on the dataset's grid: {_grid_in_words(dataset)}, y ascending to the north; {field}.{matched}"
        ),
        "triplet_tiles": (
            "The anchor, neighbor and distant tiles that each scene gives. A triplet is shown in its collection once "
            f"all three of its tiles are there. {_tile_in_words(dataset, sampling.triplets)}; {field}."
            if aux_name is None
            else f"Tiles of `{aux_name}` at the places of the triplets' tiles, of all scenes that it goes with. "
            f"{_tile_in_words(dataset, sampling.triplets)}; {field}."
        ),
        "trajectory_tiles": (
            f"A tile around each trajectory in each scene. {_tile_in_words(dataset, sampling.trajectories)}; "
            f"{field}.{matched}"
        ),
        "sliding_window_tiles": (
            "Tiles at equal steps over each scene on the dataset's grid, slices of `regridded`. "
            f"{_tile_in_words(dataset, sampling.sliding_window)}; {field}.{matched}"
        ),
    }
    first = asset_key(dataset, "scene_ids" if aux_name is None else "matches")
    # Slices are of the scenes on the dataset's grid, other tiles of the source's pixels.
    of_triplets = "regridded" if dataset.meta.sampling.snap_to_grid else "cropped"
    upstream = {
        "cropped": [first],
        "regridded": [asset_key(dataset, "cropped")],
        "triplet_tiles": [asset_key(dataset, of_triplets), asset_key(dataset.primary, "tile_plan")],
        "trajectory_tiles": [asset_key(dataset, "cropped"), asset_key(dataset.primary, "trajectory_plan")],
        "sliding_window_tiles": [asset_key(dataset, "regridded")],
    }
    asked: dict[str, Any] = {
        "triplet_tiles": sampling.triplets,
        "trajectory_tiles": sampling.trajectories,
        "sliding_window_tiles": sampling.sliding_window,
    }
    stages = [stage for stage in descriptions if asked.get(stage, True) is not None]
    places = {
        stage: place_of_tiles(dataset, stage) if stage in asked else place_of_scenes(dataset, stage) for stage in stages
    }
    return [
        dg.AssetSpec(
            key=asset_key(dataset, AUX_TILES if stage == "triplet_tiles" and aux_name is not None else stage),
            deps=upstream[stage],
            partitions_def=scene_partitions(name),
            group_name=group_name(dataset, "tiles" if stage.endswith("_tiles") else "scenes"),
            description=f"{descriptions[stage]} In `{dataset.root}/{places[stage]}`.",
            metadata=uri(dataset, places[stage]),
            kinds=kinds(
                dataset,
                _format(dataset, is_tile=stage in asked),
                *(("png",) if dataset.meta.image_function is not None else ()),
                reads_archive=stage == "cropped",
                on_cluster=True,
            ),
            code_version=dataset.code_version(stage),
            skippable=True,
        ).with_io_manager_key(io_manager_key(name))
        for stage in stages
    ]


def _format(dataset: Dataset, *, is_tile: bool) -> str:
    if is_tile:
        return "zarr" if dataset.meta.sampling.format == "zarr" else "netcdf"
    return dataset.meta.storage.format


def _dims_in_words(dataset: Dataset) -> str:
    asked = asked_of(dataset)
    if asked.bands is None:
        return "(bands, y, x) or (y, x)"
    return f"{asked.bands} bands (bands, y, x)" if asked.bands else "(y, x)"


def _units_in_words(dataset: Dataset) -> str:
    units = asked_of(dataset).units
    return f"in {', '.join(dict.fromkeys(units))}" if units else "in the units that each file names"


def _tile_in_words(dataset: Dataset, tiles: Any) -> str:
    if tiles is None:
        return ""
    return f"{tiles.tile_N} x {tiles.tile_N} cells (y, x) of {dataset.meta.sampling.resolution:g} m"


def _grid_in_words(dataset: Dataset) -> str:
    if dataset.domain_kind != "rect":
        area = "the source's whole area" if dataset.domain_kind == "as_source" else "the area of the trajectories"
        return f"cells (y, x) of {dataset.meta.sampling.resolution:g} m over {area}"
    ny, nx = dataset.grid.shape
    centre = dataset.domain.to_dict()
    return (
        f"{ny} x {nx} cells (y, x) of {dataset.grid.resolution:g} m, Lambert azimuthal equal-area around "
        f"{centre['central_latitude']:g}° N {centre['central_longitude']:g}° E"
    )


def materialization(
    spec: dg.AssetSpec, scene_id: str, record: "Record", made_from: Mapping[str, str]
) -> dg.AssetMaterialization:
    """The event that says that a stage of a scene is there."""
    metadata: dict[str, Any] = {
        name: round(value, 3) if name == "seconds" else value for name, value in record.metadata.items()
    }
    metadata |= {"path": dg.MetadataValue.path(record.url), "kept": record.kept}
    if record.preview is not None:
        encoded = base64.b64encode(record.preview).decode()
        metadata["picture"] = dg.MetadataValue.md(f"![{scene_id}](data:image/png;base64,{encoded})")
    return dg.AssetMaterialization(
        spec.key, partition=scene_id, metadata=metadata, tags=version_tags(spec, record.fingerprint, made_from)
    )


def version_tags(spec: dg.AssetSpec, data_version: str, made_from: Mapping[str, str]) -> dict[str, str]:
    """What Dagster knows versions by.

    It adds these itself to what a step returns, not to events that are logged. Without them it compares
    times, and a scene would look out of date as soon as the one before it was kept.
    """
    tags = {"dagster/data_version": data_version, "dagster/code_version": spec.code_version or data_version}
    for dependency in spec.deps:
        key = dependency.asset_key
        tags[f"dagster/input_data_version/{key.to_user_string()}"] = made_from.get(key.path[-1], "same scene")
        # No event of the input is pointed to: that a scene's earlier stage differs is in its code version.
        tags[f"dagster/input_event_pointer/{key.to_user_string()}"] = "NULL"
    return tags


def _line(outcome: "SceneOutcome") -> str:
    done = ", ".join(
        f"{record.stage} kept" if record.kept else f"{record.stage} {record.metadata['seconds']:.2f} s"
        for record in outcome.records
    )
    failed = f"{outcome.failed_stage} failed: {outcome.error}" if outcome.error is not None else ""
    dropped = f"dropped: {outcome.dropped}" if outcome.dropped is not None else ""
    return f"{outcome.scene_id}: {'; '.join(filter(None, [done, dropped, failed]))}"

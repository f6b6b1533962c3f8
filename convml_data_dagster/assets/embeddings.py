"""Sets of embeddings: of each scene, and of all scenes together."""

import base64
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import dagster as dg

from convml_data.fingerprints import fingerprint
from convml_data.markdown import markdown_table
from convml_data.meta.dataset import Dataset
from convml_data.meta.embeddings import Embeddings
from convml_data_dagster.assets.names import asset_key, embeddings_key, escaped, group_name, kinds, uri
from convml_data_dagster.failures import errors_as_failures
from convml_data_dagster.io_managers import io_manager_key, store_of
from convml_data_dagster.partitions import runs_of_many_scenes, scene_partitions
from convml_data_dagster.resources import Progress
from convml_data_dagster.summaries import Summary

if TYPE_CHECKING:
    from convml_data.pipeline.embeddings import EmbeddingTask, SceneEmbeddings

#: What is embedded, as an asset.
_STAGES = {"rect-slidingwindow": "regridded", "triplets": "triplet_tiles", "trajectories": "trajectory_tiles"}

#: Scenes without embeddings that the record of all names.
_SHOWN = 50


def embeddings_asset(dataset: Dataset, entry: Embeddings) -> dg.AssetsDefinition:
    """``<dataset>/embeddings/<model>/<kind>``: what a network makes of the windows or tiles of each scene."""
    product = dataset if entry.aux_name is None else dataset.aux(entry.aux_name)
    key, stage = embeddings_key(dataset, entry), _STAGES[entry.tiles_kind]
    if stage == "triplet_tiles" and entry.aux_name is not None:
        stage = "tiles"
    spec = dg.AssetSpec(
        key=key,
        deps=[asset_key(product, stage)],
        partitions_def=scene_partitions(dataset.name),
        group_name=group_name(dataset, "embeddings"),
        kinds=kinds(dataset, "netcdf"),
        metadata=uri(dataset, f"embeddings/{entry.set_name}/scenes"),
        code_version=_code_version(product, entry, stage),
        description=(
            f"Embeddings by `{entry.model_name}` of {_tiles_in_words(entry)}. Variable `emb`, NaN where cells of "
            "a tile have no value; x and y are the tiles' centres."
        ),
        skippable=True,
    )

    @dg.multi_asset(
        name=_op_name(dataset, entry),
        specs=[spec],
        backfill_policy=runs_of_many_scenes(dataset),
        required_resource_keys={"progress", io_manager_key(dataset.name)},
    )
    def embeddings(context: dg.AssetExecutionContext) -> Iterator[Any]:
        from convml_data.pipeline.embeddings import EmbeddingTask, make_embeddings

        progress: Progress = context.resources.progress
        scene_ids = list(context.partition_keys)
        summary, made, seconds = Summary(), 0, 0.0
        with errors_as_failures():
            task = EmbeddingTask.of(store_of(context, dataset.name), entry)
            for scene in progress.track(make_embeddings(task, scene_ids), len(scene_ids)):
                made, seconds = made + (0 if scene.kept else scene.tiles), seconds + scene.seconds
                summary.add(scene)
                if scene.error is not None:
                    context.log.error(f"{scene.scene_id}: {scene.traceback or scene.error}")
                elif scene.dropped is not None:
                    context.log.info(f"{scene.scene_id}: dropped: {scene.dropped}")
                else:
                    # Not `log_event`, of which Dagster keeps nothing where the step fails before it yields.
                    yield _materialization(key, task, scene)
        if seconds > 0:
            context.log.info(f"{made} tiles in {seconds:.1f} s: {made / seconds:.1f} tiles/s")
        failure = summary.failure()
        if failure is not None:
            raise dg.Failure(failure, allow_retries=False)

    return embeddings


def all_embeddings_asset(dataset: Dataset, entry: Embeddings) -> dg.AssetsDefinition:
    """``<dataset>/embeddings/<model>/<kind>/all``: the embeddings of all scenes together."""
    product = dataset if entry.aux_name is None else dataset.aux(entry.aux_name)
    ending = "zarr" if entry.format == "zarr" else "nc"

    @dg.asset(
        key=embeddings_key(dataset, entry, of_all=True),
        deps=[embeddings_key(dataset, entry)],
        group_name=group_name(dataset, "embeddings"),
        kinds=kinds(dataset, entry.format),
        metadata=uri(dataset, f"embeddings/{entry.set_name}/all.{ending}"),
        code_version=_code_version(product, entry, _STAGES[entry.tiles_kind]),
        required_resource_keys={io_manager_key(dataset.name)},
        description=(
            f"Embeddings by `{entry.model_name}` of {_tiles_in_words(entry)}, of all scenes that have some. "
            + (
                "Scenes that come are added, and those made anew replaced."
                if entry.format == "zarr"
                else "Written anew where a scene has come or changed."
            )
        ),
    )
    def all_embeddings(context: dg.AssetExecutionContext) -> dg.MaterializeResult[Any]:
        from convml_data.pipeline.all_embeddings import make_all
        from convml_data.pipeline.embeddings import EmbeddingTask
        from convml_data.report.embedding_map import embedding_map

        with errors_as_failures():
            task = EmbeddingTask.of(store_of(context, dataset.name), entry)
            found = make_all(task)
            with task.kept_in.open_all() as data:
                if "scene_id" in data.dims:
                    data = data.isel(scene_id=-1)
                    title = f"{entry.model_name}, {data['scene_id'].item()}"
                else:
                    title = f"{entry.model_name}, {data.sizes['tile_id']} tiles"
                picture = embedding_map(data.load(), title)
        metadata: dict[str, Any] = {
            "path": dg.MetadataValue.path(found.url),
            "scenes": found.scenes,
            "tiles": found.tiles,
            "scenes_without": len(found.without),
            "embeddings": _shown(picture),
        }
        if found.growth is not None:
            metadata |= {"added": found.growth.added, "replaced": found.growth.replaced}
        if found.without:
            rows = [[scene_id, why] for scene_id, why in list(found.without.items())[:_SHOWN]]
            metadata["without"] = dg.MetadataValue.md(markdown_table(["scene", "why"], rows))
            context.log.warning(
                f"{len(found.without)} scenes are not among them; the first is {rows[0][0]}: {rows[0][1]}"
            )
        return dg.MaterializeResult(data_version=dg.DataVersion(found.made_from), metadata=metadata)

    return all_embeddings


def _materialization(key: dg.AssetKey, task: "EmbeddingTask", scene: "SceneEmbeddings") -> dg.AssetMaterialization:
    metadata: dict[str, Any] = {"kept": scene.kept, "tiles": scene.tiles, "tiles_without_embedding": scene.missing}
    if scene.url is not None:
        metadata["path"] = dg.MetadataValue.path(scene.url)
    if scene.url is not None and not scene.kept:
        from convml_data.report.embedding_map import embedding_map

        with task.kept_in.scenes.open(scene.scene_id) as data:
            picture = embedding_map(data.load(), f"{task.entry.model_name}, {scene.scene_id}")
        metadata |= {"seconds": round(scene.seconds, 3), "embeddings": _shown(picture)}
        if scene.seconds > 0:
            metadata["tiles_per_second"] = round(scene.tiles / scene.seconds, 1)
    return dg.AssetMaterialization(
        key, partition=scene.scene_id, metadata=metadata, tags={"dagster/data_version": scene.made_from}
    )


def _shown(picture: bytes) -> dg.MarkdownMetadataValue:
    return dg.MetadataValue.md(f"![embeddings](data:image/png;base64,{base64.b64encode(picture).decode()})")


def _code_version(product: Dataset, entry: Embeddings, stage: str) -> str:
    """What embeddings follow from, as far as it is known without opening anything; the network by its file's state."""
    path = product.directory / entry.model_path
    files = [path, path.with_name(f"{entry.model_name}.yaml")]
    states = [[file.stat().st_size, file.stat().st_mtime_ns] if file.is_file() else None for file in files]
    of_stage = product.code_version({"tiles": "triplet_tiles"}.get(stage, stage))
    return fingerprint([entry.model_dump(mode="json"), states, of_stage])


def _op_name(dataset: Dataset, entry: Embeddings) -> str:
    return f"{dataset.name}__embeddings_{escaped(entry.set_name)}"


def _tiles_in_words(entry: Embeddings) -> str:
    of = "" if entry.aux_name is None else f" of `{entry.aux_name}`"
    if entry.step_size is not None:
        return f"windows{of} every {entry.step_size} cells over each scene"
    return f"the tiles{of} of {entry.tiles_kind} in each scene"

"""Transforms of sets of embeddings, and pictures of what they make of them."""

import base64
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import dagster as dg

from convml_data.embeddings.transforms.spec import CODE_VERSION, TYPES
from convml_data.fingerprints import fingerprint
from convml_data.markdown import markdown_table
from convml_data.meta.aux_values import AuxValues
from convml_data.meta.dataset import Dataset
from convml_data.meta.embeddings import Embeddings
from convml_data.meta.transforms import Transform
from convml_data_dagster.assets.names import (
    asset_key,
    aux_values_key,
    embeddings_key,
    escaped,
    group_name,
    kinds,
    transform_key,
    uri,
)
from convml_data_dagster.failures import errors_as_failures
from convml_data_dagster.io_managers import io_manager_key, store_of
from convml_data_dagster.partitions import runs_of_many_scenes, scene_partitions

if TYPE_CHECKING:
    from convml_data.pipeline.embedding_plots import Drawn
    from convml_data.pipeline.transforms import Made

#: The asset that tiles of a kind are taken from.
_TILES = {"rect-slidingwindow": "regridded", "triplets": "triplet_tiles", "trajectories": "trajectory_tiles"}

#: Sides of pictures in the record, pixels; those on disk are larger.
SHOWN = 640


def transform_assets(dataset: Dataset, entry: Embeddings, transform: Transform) -> list[dg.AssetsDefinition]:
    """The assets of a transform: what it makes of the embeddings, maps of that over scenes, and tiles beside it."""
    made = [transform_asset(dataset, entry, transform), tile_plots_asset(dataset, entry, transform)]
    return [*made, maps_asset(dataset, entry, transform)] if entry.step_size is not None else made


def transform_asset(dataset: Dataset, entry: Embeddings, transform: Transform) -> dg.AssetsDefinition:
    """``<dataset>/embeddings/<model>/<kind>/<transform>``: fitted if it is not, and applied to all embeddings."""
    deps = [embeddings_key(dataset, entry, of_all=True)]
    if transform.type is not None and transform.fit_on == "train" and dataset.meta.sampling.triplets is not None:
        deps.append(asset_key(dataset, "tile_plan"))
    deps += [
        transform_key(dataset, other, each)
        for other in dataset.meta.embeddings
        for each in other.transforms
        if each.type is not None and f"{other.set_name}/{each.name}" == transform.pretrained
    ]
    of_set = f"embeddings/{entry.set_name}"

    @dg.asset(
        key=transform_key(dataset, entry, transform),
        deps=deps,
        group_name=group_name(dataset, "embeddings"),
        kinds=kinds(dataset, transform.format),
        metadata=uri(dataset, f"{of_set}/{transform.name}.{'zarr' if transform.format == 'zarr' else 'nc'}"),
        code_version=fingerprint([CODE_VERSION, transform.model_dump(mode="json")]),
        required_resource_keys={io_manager_key(dataset.name)},
        description=f"{_in_words(transform)} The fitted transform is `{of_set}/{transform.name}.skops`.",
    )
    def transformed(context: dg.AssetExecutionContext) -> dg.MaterializeResult[Any]:
        from convml_data.pipeline.transforms import make_transform
        from convml_data.store.embeddings import EmbeddingStore

        with errors_as_failures():
            store = store_of(context, dataset.name)
            made = make_transform(store, EmbeddingStore(store.files, entry.set_name), transform)
        for warning in made.warnings:
            context.log.warning(warning)
        return dg.MaterializeResult(data_version=dg.DataVersion(made.attributes["fingerprint"]), metadata=_facts(made))

    return transformed


def maps_asset(dataset: Dataset, entry: Embeddings, transform: Transform) -> dg.AssetsDefinition:
    """``…/<transform>/maps``: maps over each scene."""
    key = transform_key(dataset, entry, transform, "maps")
    spec = dg.AssetSpec(
        key=key,
        deps=[transform_key(dataset, entry, transform), asset_key(_product(dataset, entry), "regridded")],
        partitions_def=scene_partitions(dataset.name),
        group_name=group_name(dataset, "embeddings"),
        kinds=kinds(dataset, "png"),
        metadata=uri(dataset, f"embeddings/{entry.set_name}/plots/{transform.name}"),
        code_version=fingerprint([CODE_VERSION, transform.model_dump(mode="json")]),
        description=f"Maps of `{transform.name}` over each scene, in km.",
        skippable=True,
    )

    @dg.multi_asset(
        name=_op_name(dataset, entry, transform, "maps"),
        specs=[spec],
        backfill_policy=runs_of_many_scenes(dataset),
        required_resource_keys={"progress", io_manager_key(dataset.name)},
    )
    def maps(context: dg.AssetExecutionContext) -> Iterator[Any]:
        from convml_data.pipeline.embedding_plots import draw_maps
        from convml_data.store.embeddings import EmbeddingStore

        drawn: dict[str, list[Drawn]] = {}
        problems: list[str] = []
        scene_ids = list(context.partition_keys)
        with errors_as_failures():
            store = store_of(context, dataset.name)
            embeddings = EmbeddingStore(store.files, entry.set_name)
            for picture in draw_maps(store, embeddings, transform.name, scene_ids):
                if picture.problem is not None:
                    problems.append(f"{picture.scene_id}: {picture.problem}")
                else:
                    drawn.setdefault(str(picture.scene_id), []).append(picture)
        for scene_id, pictures in drawn.items():
            yield dg.AssetMaterialization(key, partition=scene_id, metadata=_pictures(pictures))
        if problems:
            context.log.warning("no maps of\n" + "\n".join(problems))
            context.resources.progress.note([f"{len(problems)} scenes have no maps; the first is {problems[0]}"])
        if not drawn:
            raise dg.Failure(f"No scene could be drawn: {problems[0]}", allow_retries=False)

    return maps


def tile_plots_asset(dataset: Dataset, entry: Embeddings, transform: Transform) -> dg.AssetsDefinition:
    """``…/<transform>/tile_plots``: tiles in a tree of their embeddings, and in the plane of two components."""
    of_tiles = _TILES[entry.tiles_kind]
    if of_tiles == "triplet_tiles" and entry.aux_name is not None:
        of_tiles = "tiles"

    @dg.asset(
        key=transform_key(dataset, entry, transform, "tile_plots"),
        deps=[transform_key(dataset, entry, transform), asset_key(_product(dataset, entry), of_tiles)],
        group_name=group_name(dataset, "embeddings"),
        kinds=kinds(dataset, "png"),
        metadata=uri(dataset, f"embeddings/{entry.set_name}/plots/{transform.name}"),
        code_version=fingerprint([CODE_VERSION, transform.model_dump(mode="json")]),
        required_resource_keys={io_manager_key(dataset.name)},
        description=(
            "Tiles in the tree of clusters that their embeddings form, and, where the transform has two components "
            "or more, beside their points and on a grid over the plane of the first two."
        ),
    )
    def tile_plots(context: dg.AssetExecutionContext) -> dg.MaterializeResult[Any]:
        from convml_data.pipeline.embedding_plots import draw_tiles
        from convml_data.store.embeddings import EmbeddingStore

        with errors_as_failures():
            store = store_of(context, dataset.name)
            pictures = list(draw_tiles(store, EmbeddingStore(store.files, entry.set_name), transform.name))
        return dg.MaterializeResult(metadata=_pictures(pictures))

    return tile_plots


def aux_values_asset(dataset: Dataset, entry: Embeddings, asked: AuxValues) -> dg.AssetsDefinition:
    """``<dataset>/embeddings/<model>/<kind>/aux_values/<name>``: an auxiliary field in each tile, as numbers."""
    aux, of_set = dataset.aux(asked.aux_name), f"embeddings/{entry.set_name}"
    of_tiles = "tiles" if _TILES[entry.tiles_kind] == "triplet_tiles" else _TILES[entry.tiles_kind]
    deps = [embeddings_key(dataset, entry, of_all=True), asset_key(aux, of_tiles)]
    known = [each for each in entry.transforms if each.name == asked.transform]

    @dg.asset(
        key=aux_values_key(dataset, entry, asked.aux_name),
        deps=[*deps, *(transform_key(dataset, entry, each) for each in known)],
        group_name=group_name(dataset, "embeddings"),
        kinds=kinds(dataset, "zarr"),
        metadata=uri(dataset, f"{of_set}/aux/{asked.aux_name}.zarr"),
        code_version=fingerprint(asked.model_dump(mode="json")),
        required_resource_keys={io_manager_key(dataset.name)},
        description=(
            f"{', '.join(asked.reduce)} of `{asked.aux_name}` in each tile of the set, where at least "
            f"{asked.min_valid_share:.0%} of its cells have a value, and how that is distributed."
        ),
    )
    def aux_values(context: dg.AssetExecutionContext) -> dg.MaterializeResult[Any]:
        from convml_data.pipeline.aux_values import draw_distributions, make_aux_values
        from convml_data.store.embeddings import EmbeddingStore

        with errors_as_failures():
            store = store_of(context, dataset.name)
            embeddings = EmbeddingStore(store.files, entry.set_name)
            made = make_aux_values(store, embeddings, asked)
            pictures = list(draw_distributions(store, embeddings, asked))
        names = ("tiles", "tiles_without_field", "tiles_with_too_few_values")
        facts = {"path": dg.MetadataValue.path(made.url), "kept": made.kept}
        return dg.MaterializeResult(
            data_version=dg.DataVersion(made.attributes["fingerprint"]),
            metadata=facts | {name: made.attributes[name] for name in names} | _pictures(pictures),
        )

    return aux_values


def _facts(made: "Made") -> dict[str, Any]:
    """What the record says of a transform."""
    attributes = made.attributes
    found: dict[str, Any] = {"path": dg.MetadataValue.path(made.url), "kept": made.kept}
    names = ("n_embeddings", "n_missing", "n_not_placed", "n_fitted", "n_scenes", "transform_fit_on", "fitted_on_set")
    found |= {name: attributes[name] for name in names if name in attributes}
    if made.explained:
        rows = [[str(number), f"{share:.2%}"] for number, share in enumerate(made.explained[:20])]
        found["explained_variance"] = dg.MetadataValue.md(markdown_table(["component", "share of the variance"], rows))
    if "cluster_sizes" in attributes:
        sizes = json.loads(attributes["cluster_sizes"])
        rows = [["none" if label == "-1" else label, str(size)] for label, size in sizes.items()]
        found["clusters"] = dg.MetadataValue.md(markdown_table(["cluster", "embeddings"], rows))
    if made.warnings:
        found["warnings"] = dg.MetadataValue.md("\n".join(f"- {warning}" for warning in made.warnings))
    return found


def _pictures(pictures: "list[Drawn]") -> dict[str, Any]:
    """Pictures on disk, each with a smaller one to look at in the UI."""
    found: dict[str, Any] = {}
    for picture in pictures:
        assert picture.url is not None
        assert picture.content is not None
        found[f"{picture.name}_path"] = dg.MetadataValue.path(picture.url)
        encoded = base64.b64encode(_smaller(picture.content)).decode()
        found[picture.name] = dg.MetadataValue.md(f"![{picture.name}](data:image/png;base64,{encoded})")
    return found


def _smaller(content: bytes) -> bytes:
    from io import BytesIO

    from PIL import Image

    from convml_data.images.picture import thumbnail

    with Image.open(BytesIO(content)) as image:
        return thumbnail(image.convert("RGB"), SHOWN)


def _product(dataset: Dataset, entry: Embeddings) -> Dataset:
    return dataset if entry.aux_name is None else dataset.aux(entry.aux_name)


def _op_name(dataset: Dataset, entry: Embeddings, transform: Transform, what: str) -> str:
    return f"{dataset.name}__embeddings_{escaped(entry.set_name)}__{escaped(transform.name)}__{what}"


def _in_words(transform: Transform) -> str:
    spec = transform.spec
    if spec is None:
        return f"All embeddings of the set transformed by `{transform.pretrained}`, which is fitted already."
    given = f" with {spec.extra_args}" if spec.arguments else ""
    on = "those of the collection train" if spec.fit_on == "train" else "all of them"
    gives = "Cluster of each embedding" if TYPES[spec.type].gives_labels else "All embeddings of the set"
    return f"{gives} by {spec.type}{given}, fitted on {on}."

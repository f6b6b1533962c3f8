"""``convml-data transform``, ``embedding-plots`` and ``aux-values``: what is made of a set of embeddings."""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING, Any

from convml_data import cli
from convml_data_dagster.commands.embeddings import add_embedding_options, entry_of, make_set
from convml_data_dagster.commands.scenes import current_scene_ids, make_matches
from convml_data_dagster.commands.session import Session
from convml_data_dagster.commands.stages import make_plan

if TYPE_CHECKING:
    from convml_data.meta.embeddings import Embeddings
    from convml_data.meta.transforms import Transform

#: The asset that gives an auxiliary product's tiles of a kind.
_TILES = {"triplets": "triplet_tiles", "trajectories": "trajectory_tiles"}

#: Components whose share of the variance the terminal shows.
_SHOWN = 8


def add_transform_commands(commands: Any) -> None:
    """Add ``transform``, ``embedding-plots`` and ``aux-values`` to the sub-commands."""
    transform = commands.add_parser("transform", help="fit PCA, clusters, … to embeddings, or apply what is fitted")
    transform.set_defaults(command=_transform)
    add_embedding_options(transform)
    transform.add_argument("--transform-type", metavar="TYPE", help="pca, kmeans, hdbscan, isomap, umap, …")
    transform.add_argument("--transform-extra-args", metavar="K=V,…", help="arguments, such as n_components=8")
    transform.add_argument(
        "--pretrained-transform-model", metavar="NAME", help="a fitted transform to apply, such as pca_transform"
    )
    transform.add_argument(
        "--fit-on",
        choices=("train", "all"),
        help="what it is fitted on (default: the collection train)",
    )
    transform.add_argument(
        "--format", dest="transform_format", choices=("zarr", "netcdf"), help="of the result (default: zarr)"
    )
    plots = commands.add_parser("embedding-plots", help="draw what a transform made of embeddings")
    plots.set_defaults(command=_plots)
    add_embedding_options(plots)
    plots.add_argument("--transform", metavar="NAME", required=True, help="such as pca_transform__n_components_8")
    values = commands.add_parser("aux-values", help="numbers of an auxiliary field in each tile, beside its embedding")
    values.set_defaults(command=_aux_values)
    add_embedding_options(values)
    values.add_argument("--field", metavar="NAME", required=True, help="of an auxiliary product of the meta.yaml")
    values.add_argument(
        "--reduce",
        metavar="NAME,…",
        default="mean",
        help="mean, std, min, max, median, p90, cloud_fraction, or package.module.function",
    )
    values.add_argument(
        "--min-valid-share", type=float, metavar="SHARE", help="of cells with a value, for a number (default: 0.5)"
    )
    values.add_argument("--transform", metavar="NAME", help="over whose components distributions are drawn")
    for command in (transform, plots, values):
        cli.add_data_path(command)


def asked_transform(arguments: argparse.Namespace) -> Transform:
    """The transform that the options of ``transform`` name; PlanError where they are wrong or do not go together."""
    from convml_data.embeddings.transforms.spec import TYPES, TransformSpec, read_extra_args
    from convml_data.errors import PlanError
    from convml_data.meta.transforms import Transform

    type_, pretrained = arguments.transform_type, arguments.pretrained_transform_model
    format_ = arguments.transform_format or "zarr"
    if (type_ is None) == (pretrained is None):
        both = "both are given" if type_ is not None else "neither is given"
        raise PlanError(
            f"--transform-type and --pretrained-transform-model: {both}",
            remedy=f"Give a type to fit ({', '.join(TYPES)}), or the name of a fitted transform",
        )
    if pretrained is not None:
        for option in ("transform_extra_args", "fit_on"):
            if getattr(arguments, option) is not None:
                raise PlanError(
                    f"--{option.replace('_', '-')} is for fitting, and {pretrained} is fitted", remedy="Leave it out"
                )
        return Transform(pretrained=pretrained, trust_pickle=arguments.trust_pickle, format=format_)
    try:
        given = read_extra_args(arguments.transform_extra_args or "")
        spec = TransformSpec.of(type_, given, arguments.fit_on or "train")
    except ValueError as error:
        what, remedy = error.args
        where = "--transform-type" if type_ not in TYPES else "--transform-extra-args"
        raise PlanError(what, where=where, remedy=remedy[0].upper() + remedy[1:]) from error
    return Transform(type=spec.type, args=dict(spec.arguments), fit_on=spec.fit_on, format=format_)


def _transform(arguments: argparse.Namespace) -> int:
    from convml_data.pipeline.transforms import kept_transform
    from convml_data.store.transforms import TransformStore
    from convml_data_dagster.assets.names import transform_key

    asked = asked_transform(arguments)
    entry = _with(arguments, asked)
    session = Session(arguments.data_path, arguments.aux_name, embeddings=[entry])
    if asked.pretrained is not None:  # or an error, before any work
        TransformStore(session.store.files, entry.set_name).read_model(
            asked.pretrained, trust_pickle=asked.trust_pickle
        )
    make_set(session, entry)
    if asked.type is not None and asked.fit_on == "train" and "triplet_tiles" in session.dataset.tile_stages:
        make_plan(session, "triplet_tiles")  # which says what is in the collection train
    session.materialize(session.asset_of(transform_key(session.dataset, entry, asked)))
    made = kept_transform(session.store, entry.set_name, asked)
    attributes = made.attributes
    for warning in made.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    if "n_fitted" in attributes:
        on = "all scenes" if attributes["transform_fit_on"] == "all" else "the collection train"
        print(f"{made.name}: fitted on {attributes['n_fitted']} embeddings of {attributes['n_scenes']} scenes ({on})")
    missing = f", of which {attributes['n_missing']} are missing" if attributes["n_missing"] else ""
    print(f"applied to {attributes['n_embeddings']} embeddings{missing}")
    if made.explained:
        shares = ", ".join(f"{share:.1%}" for share in made.explained[:_SHOWN])
        more = ", …" if len(made.explained) > _SHOWN else ""
        print(f"share of the variance: {shares}{more}")
    if "cluster_sizes" in attributes:
        sizes = json.loads(attributes["cluster_sizes"])
        print(f"clusters: {len(sizes.keys() - {'-1'})}; in none: {sizes.get('-1', 0)}")
    print(f"transformed embeddings: {made.url}")
    return 0


def _plots(arguments: argparse.Namespace) -> int:
    from convml_data.meta.transforms import Transform
    from convml_data.store.transforms import TransformStore
    from convml_data_dagster.assets.names import transform_key

    asked = Transform(pretrained=arguments.transform)
    entry = _with(arguments, asked)
    session = Session(arguments.data_path, arguments.aux_name, embeddings=[entry])
    transforms = TransformStore(session.store.files, entry.set_name)
    transforms.open_result(asked.name).close()  # or an error, before any work
    if entry.step_size is not None:
        runs = session.slices(current_scene_ids(session))
        session.materialize_scenes(session.asset_of(transform_key(session.dataset, entry, asked, "maps")), runs=runs)
    session.materialize(session.asset_of(transform_key(session.dataset, entry, asked, "tile_plots")))
    print(f"plots: {session.store.files.url(transforms.plot(asked.name, '').removesuffix('/.png'))}")
    return 0


def _aux_values(arguments: argparse.Namespace) -> int:
    from convml_data.meta.aux_values import AuxValues
    from convml_data.meta.load import as_section
    from convml_data.pipeline.discovery import ledger_is_current
    from convml_data.store.transforms import TransformStore
    from convml_data_dagster.assets.names import aux_values_key

    given = {
        "aux_name": arguments.field,
        "reduce": [name.strip() for name in arguments.reduce.split(",")],
        "min_valid_share": arguments.min_valid_share,
        "transform": arguments.transform,
    }
    options = {key: value for key, value in given.items() if value is not None}
    asked = as_section(AuxValues, options, "the options of this command")
    entry = _with(arguments)
    entry = entry.model_copy(update={"aux_values": (asked,)})
    # Made first, since its own session is about the auxiliary product.
    of_field = Session(arguments.data_path, arguments.field)
    scene_ids = current_scene_ids(of_field)
    if not ledger_is_current(of_field.product_store):
        make_matches(of_field)
    session = Session(arguments.data_path, arguments.aux_name, embeddings=[entry])
    make_set(session, entry)
    stages = ("cropped", "regridded") if entry.step_size is not None else (_TILES[entry.tiles_kind],)
    of_field.materialize_scenes(*map(of_field.asset, stages), runs=of_field.slices(scene_ids))
    session.materialize(session.asset_of(aux_values_key(session.dataset, entry, asked.aux_name)))
    values = TransformStore(session.store.files, entry.set_name).aux_values
    attributes = values.attributes(asked.aux_name)
    assert attributes is not None  # they were just made
    count, without = attributes["tiles"], attributes["tiles_without_field"]
    few = attributes["tiles_with_too_few_values"]
    print(f"{count - without - few} of {count} tiles have numbers of {asked.aux_name}")
    if without:
        print(f"  {without} are of scenes that no image of it goes with")
    if few:
        print(f"  {few} have values in less than {asked.min_valid_share:.0%} of their cells")
    print(f"numbers: {values.url(asked.aux_name)}")
    return 0


def _with(arguments: argparse.Namespace, asked: Transform | None = None) -> Embeddings:
    """The set that the options name, with a transform, in the format in which ``meta.yaml`` or the disk has it."""
    from convml_data.meta.dataset import load_dataset
    from convml_data.store.dataset import DatasetStore
    from convml_data.store.embeddings import EmbeddingStore

    entry, dataset = entry_of(arguments), load_dataset(arguments.data_path)
    known = [each for each in dataset.meta.embeddings if each.set_name == entry.set_name]
    there = EmbeddingStore(DatasetStore.of(dataset).files, entry.set_name).all_formats()
    format_ = known[0].format if known else (there or [entry.format])[0]
    transforms = {each.name: each for each in (*(known[0].transforms if known else ()), *([asked] if asked else ()))}
    return entry.model_copy(update={"format": format_, "transforms": tuple(transforms.values())})

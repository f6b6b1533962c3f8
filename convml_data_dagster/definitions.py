"""The code location: one asset graph for each dataset that it serves.

Datasets are the folders named by the environment variable ``CONVML_DATASETS`` (a path list; default
the current directory) that hold a ``meta.yaml``, or their children that do. This module only
assembles; assets are made in ``assets``.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import dagster as dg

from convml_data.errors import MetaError
from convml_data.meta.dataset import Dataset, dataset_name, dataset_paths_from_environment, load_datasets
from convml_data.meta.embeddings import Embeddings
from convml_data.meta.load import META_NAME
from convml_data_dagster.assets.aux_plots import aux_plots_asset
from convml_data_dagster.assets.chain import scene_chain
from convml_data_dagster.assets.embeddings import all_embeddings_asset, embeddings_asset
from convml_data_dagster.assets.flow import flow_assets
from convml_data_dagster.assets.reports import completeness_asset, files_asset
from convml_data_dagster.assets.scenes import matches_asset, scene_ids_asset, tile_plan_asset, trajectory_plan_asset
from convml_data_dagster.assets.statistics import statistics_asset
from convml_data_dagster.assets.transforms import aux_values_asset, transform_assets
from convml_data_dagster.io_managers import IO_MANAGERS, io_manager_key
from convml_data_dagster.jobs import completeness_schedule, dataset_jobs
from convml_data_dagster.resources import Progress, WorkersResource
from convml_data_dagster.sensors import can_watch, new_goes_scenes_sensor
from convml_data_dagster.triplets_schedule import triplets_schedule

# Backfill policies are in beta for as long as they have existed, and what they do here is tested.
warnings.filterwarnings("ignore", category=dg.BetaWarning)


def build_definitions(
    paths: Sequence[Path],
    resource_overrides: Mapping[str, Any] | None = None,
    embeddings: Sequence[Embeddings] = (),
) -> dg.Definitions:
    """All assets and resources of the datasets found in ``paths``.

    They have ``embeddings`` as though their own files named these sets. A ``meta.yaml`` that describes no dataset
    does not take the others down: it is shown as an asset of the group ``unreadable`` that carries the message.
    """
    datasets, errors = load_datasets(paths)
    datasets = [dataset.with_embeddings(embeddings) for dataset in datasets]
    resources: dict[str, Any] = {
        "workers": WorkersResource(),
        "progress": Progress(),
        **{
            io_manager_key(dataset.name): IO_MANAGERS[dataset.meta.storage.format](directory=str(dataset.directory))
            for dataset in datasets
        },
    }
    assets_of = {dataset.name: dataset_assets(dataset) for dataset in datasets}
    served = [asset for dataset in datasets for asset in assets_of[dataset.name]]
    unreadable = [_broken_dataset(error, number) for number, error in enumerate(errors)]
    return dg.Definitions(
        assets=served + unreadable or [_no_dataset(paths)],
        sensors=[new_goes_scenes_sensor(dataset) for dataset in datasets if can_watch(dataset)],
        resources=resources | dict(resource_overrides or {}),
        jobs=[job for dataset in datasets for job in dataset_jobs(dataset, assets_of[dataset.name])],
        schedules=[schedule for dataset in datasets for schedule in dataset_schedules(dataset)],
        # One process for each run: parallelism is inside the step, where a scene costs no process.
        executor=dg.in_process_executor,
    )


def dataset_assets(dataset: Dataset) -> list[dg.AssetsDefinition]:
    """The asset graph of one dataset."""
    assets = [scene_ids_asset(dataset), scene_chain(dataset)]
    if dataset.meta.sampling.triplets is not None:
        assets.append(tile_plan_asset(dataset))
        if "train" in dataset.meta.sampling.triplets.N_triplets:
            assets += [statistics_asset(each) for each in (dataset, *map(dataset.aux, dataset.meta.aux_products))]
    if dataset.meta.sampling.trajectories is not None:
        assets.append(trajectory_plan_asset(dataset))
    for name in dataset.meta.aux_products:
        aux = dataset.aux(name)
        assets += [matches_asset(aux), scene_chain(aux)]
        if dataset.meta.image_function is not None and aux.meta.image_function is not None:
            assets.append(aux_plots_asset(aux))
    for entry in dataset.meta.embeddings:
        assets += [embeddings_asset(dataset, entry), all_embeddings_asset(dataset, entry)]
        for transform in entry.transforms:
            assets += transform_assets(dataset, entry, transform)
        assets += [aux_values_asset(dataset, entry, asked) for asked in entry.aux_values]
    return [*assets, *flow_assets(dataset), completeness_asset(dataset), files_asset(dataset)]


def dataset_schedules(dataset: Dataset) -> list[dg.ScheduleDefinition]:
    """What may be made by the clock: the report, and the triplets of a dataset whose scenes keep coming."""
    schedules = [completeness_schedule(dataset)]
    if dataset.is_ongoing and dataset.meta.sampling.triplets is not None:
        schedules.append(triplets_schedule(dataset))
    return schedules


def _broken_dataset(error: MetaError, number: int) -> dg.AssetSpec:
    place = Path(error.where or "dataset")
    folder = place.parent if place.name == META_NAME else place
    return dg.AssetSpec(
        # Numbered, since folders of one name in different places may both be broken.
        key=["unreadable", f"{dataset_name(folder)}_{number}"],
        group_name="unreadable",
        description=f"This dataset is not served:\n\n```\n{error}\n```\n\nCorrect it, then reload the definitions.",
    )


def _no_dataset(paths: Sequence[Path]) -> dg.AssetSpec:
    looked = "\n".join(f"- `{path.absolute()}` and the folders in it" for path in paths)
    return dg.AssetSpec(
        key=["no_dataset"],
        description=(
            f"No `meta.yaml` was found in\n\n{looked}\n\nSet `CONVML_DATASETS` to the folders of your datasets, "
            "separated as in `PATH`, and start Dagster again."
        ),
    )


@dg.definitions
def defs() -> dg.Definitions:
    """What Dagster loads."""
    return build_definitions(dataset_paths_from_environment())

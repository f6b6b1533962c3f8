"""Jobs and schedules of a dataset: a stage, all of it, and the reports."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import dagster as dg

from convml_data.meta.dataset import Dataset
from convml_data_dagster.assets.names import escaped, run_tags

#: When the report on completeness is made, once its schedule is on: at night in Europe, of the day before.
NIGHTLY = "15 1 * * *"


def dataset_jobs(dataset: Dataset, assets: Sequence[dg.AssetsDefinition]) -> list[Any]:
    """One job for each asset of the dataset's own and of its auxiliary products, and one for all that is made."""
    specs = [spec for asset in assets for spec in asset.specs]
    # Clouds are followed by packages that not everyone has, so that it takes a section of meta.yaml to ask for it.
    aside = {"report"} if dataset.meta.flow is not None else {"report", "flow"}
    made = [spec for spec in specs if spec.key.path[1] not in aside]
    name = dataset.name
    jobs = [_job(dataset, _job_name(spec.key), [spec.key], _first_sentence(spec)) for spec in specs]
    whole = "All of the dataset, from scene IDs to statistics. There are scenes to choose once `scene_ids` is made."
    return [*jobs, _job(dataset, f"{name}__all_job", [spec.key for spec in made], whole)]


def completeness_schedule(dataset: Dataset) -> dg.ScheduleDefinition:
    """The nightly report on completeness, off until somebody turns it on."""
    return dg.ScheduleDefinition(
        name=f"{dataset.name}__nightly_completeness",
        job_name=_job_name(dg.AssetKey([dataset.name, "report", "completeness"])),
        cron_schedule=NIGHTLY,
        execution_timezone="UTC",
        tags=run_tags(dataset, ["completeness"]),
        default_status=dg.DefaultScheduleStatus.STOPPED,
        description=f"How complete {dataset.name} is, every night at 01:15 UTC.",
    )


def _job(dataset: Dataset, name: str, keys: Sequence[dg.AssetKey], description: str) -> Any:
    stage = keys[0].path[-1] if len(keys) == 1 else "all"
    product = dataset if len(keys) > 1 or keys[0].path[1] != "aux" else dataset.aux(keys[0].path[2])
    return dg.define_asset_job(
        name, dg.AssetSelection.assets(*keys), description=description, tags=run_tags(product, [stage])
    )


def _job_name(key: dg.AssetKey) -> str:
    """``<dataset>__<asset>_job``, which no step is called; names of products and models as in names of steps."""
    dataset, *parts = key.path
    if parts[0] == "aux":
        parts[1] = escaped(parts[1])
    if "embeddings" in parts:
        model = parts.index("embeddings") + 1
        parts[model:] = map(escaped, parts[model:])
    return f"{'__'.join([dataset, *parts])}_job"


def _first_sentence(spec: dg.AssetSpec) -> str:
    return f"{(spec.description or '').split('. ')[0].rstrip('.')}."

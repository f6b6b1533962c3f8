"""Drawing the triplets of an ongoing dataset anew, once a day at most.

They are drawn from all scenes, so a new scene takes over a few triplets of others. A data set that changes
with every scan would be of no use to those who train on it.
"""

from __future__ import annotations

import dagster as dg

from convml_data.errors import ConvmlError
from convml_data.meta.dataset import Dataset, load_dataset
from convml_data_dagster.assets.names import asset_key
from convml_data_dagster.partitions import range_tags, register_scenes

#: At night in the Americas, where the satellites' channels of sunlight show least.
EVERY_DAY = "0 6 * * *"


def triplets_schedule(dataset: Dataset) -> dg.ScheduleDefinition:
    """``<dataset>__triplets``: plans and cuts the triplets anew where scenes have come since."""
    keys = [asset_key(dataset, asset) for asset in ("tile_plan", "triplet_tiles")]

    @dg.schedule(
        name=f"{dataset.name}__triplets",
        cron_schedule=EVERY_DAY,
        execution_timezone="UTC",
        target=dg.AssetSelection.assets(*keys),
        default_status=dg.DefaultScheduleStatus.STOPPED,
        description=(
            "Draws the triplets from all scenes that there are by then and cuts the tiles that have changed, in one "
            "run. Nothing is run where no scene has come since they were drawn."
        ),
    )
    def triplets(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        from convml_data.pipeline.discovery import current_ledger
        from convml_data.pipeline.tiles import tile_plan_is_current
        from convml_data.store.dataset import DatasetStore

        try:
            store = DatasetStore.of(load_dataset(dataset.directory))
            scene_ids = current_ledger(store).scene_ids
            if not scene_ids:
                return dg.SkipReason("There is no scene yet.")
            if tile_plan_is_current(store):
                return dg.SkipReason("No scene has come since the triplets were drawn.")
        except ConvmlError as error:
            return dg.SkipReason(str(error))
        register_scenes(context.instance, dataset.name, scene_ids)
        return dg.RunRequest(asset_selection=keys, tags=range_tags(scene_ids))

    return triplets

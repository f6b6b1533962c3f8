"""Sensors: scenes are added as their scans come, and runs requested for them.

What there is to do follows from the ledger and from what Dagster has recorded, not from what earlier
ticks did, so that a tick that is lost or comes twice does no harm: `docs/decisions/008-new-scenes.md`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from itertools import groupby, islice
from typing import TYPE_CHECKING

import dagster as dg

from convml_data.clock import utc_now
from convml_data.errors import ConvmlError
from convml_data.fingerprints import fingerprint
from convml_data.meta.data import GOES_SOURCES
from convml_data.meta.dataset import Dataset, load_dataset
from convml_data_dagster.assets.names import asset_key
from convml_data_dagster.partitions import range_tags, register_scenes, scene_partitions

if TYPE_CHECKING:
    from convml_data.pipeline.discovery import Extension
    from convml_data.sources.goes.notifications import Message

#: With as many runs of a dataset waiting or running, no more are requested.
MAX_RUNS = 4

#: How many messages a tick takes from a queue at most: some seconds' work.
MAX_MESSAGES = 1000

#: Seconds between two looks into a queue, which cost little.
_QUEUE_INTERVAL_S = 30

_UNFINISHED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def can_watch(dataset: Dataset) -> bool:
    """Whether new scenes of a dataset can be noticed, and are scenes whatever else comes."""
    time = dataset.meta.time
    return dataset.meta.source in GOES_SOURCES and time is not None and not time.filters.using_trajectory_sampling


def new_goes_scenes_sensor(dataset: Dataset) -> dg.SensorDefinition:
    """``<dataset>__new_goes_scenes``: adds scans that are new in the archive and requests runs for them."""
    sensor = dataset.meta.sensor
    keys = _requested(dataset)
    stages = ", ".join(f"`{key.path[-1]}`" for key in keys)
    watched = "the archive" if sensor.queue_url is None else f"the queue {sensor.queue_url} and, rarely, the archive"

    @dg.sensor(
        name=f"{dataset.name}__new_goes_scenes",
        asset_selection=keys,
        minimum_interval_seconds=_QUEUE_INTERVAL_S
        if sensor.queue_url is not None
        else max(1, round(sensor.listing_interval.total_seconds())),
        default_status=dg.DefaultSensorStatus.STOPPED,
        description=(
            f"Looks into {watched} for scans of {dataset.meta.source} that are new, adds them to the scene ledger and "
            f"the partitions, in time order, and requests runs that make {stages} of all scenes for which they have "
            f"not been tried, {dataset.meta.run.max_scenes} scenes in a run at most. What failed is not requested "
            "again."
        ),
    )
    def new_goes_scenes(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        try:
            return _tick(context, load_dataset(dataset.directory))
        except ConvmlError as error:
            # Without a cursor, so that the next tick goes on from the same place.
            return dg.SkipReason(str(error))

    return new_goes_scenes


def _scene_stages(dataset: Dataset) -> list[str]:
    """Stages that new scenes go through: triplets are drawn from all scenes, which is another matter."""
    return ["cropped", "regridded", *(stage for stage in dataset.tile_stages if stage != "triplet_tiles")]


def _requested(dataset: Dataset) -> list[dg.AssetKey]:
    """What a run makes: those stages, and the plan of tiles around trajectories, which grows with the scenes."""
    plans = [] if dataset.meta.sampling.trajectories is None else ["trajectory_plan"]
    return [asset_key(dataset, asset) for asset in (*_scene_stages(dataset), *plans)]


@dataclass(frozen=True)
class _Cursor:
    """Where a tick goes on.

    Parameters
    ----------
    position
        UTC, from here on the archive is listed.
    listed_at
        UTC, when that was done last.
    """

    position: datetime
    listed_at: datetime

    @classmethod
    def read(cls, text: str | None) -> _Cursor | None:
        """The cursor that :meth:`written` wrote; one that somebody has spoilt is none."""
        try:
            values = json.loads(text or "")
            return cls(**{name: datetime.fromisoformat(values[name]) for name in ("position", "listed_at")})
        except (ValueError, KeyError, TypeError):
            return None

    def written(self) -> str:
        """As JSON."""
        return json.dumps({name: time.isoformat() for name, time in asdict(self).items()})


def _tick(context: dg.SensorEvaluationContext, dataset: Dataset) -> dg.SensorResult | dg.SkipReason:
    from convml_data.pipeline.discovery import extend_ledger
    from convml_data.sources.goes.notifications import Queue, moments_of
    from convml_data.store.dataset import DatasetStore

    busy = _unfinished_runs(context.instance, dataset)
    if busy >= MAX_RUNS:
        return dg.SkipReason(f"{busy} runs of {dataset.name} are waiting or running; no more is asked for meanwhile.")
    now, cursor, settings = utc_now(), _Cursor.read(context.cursor), dataset.meta.sensor
    queue = None if settings.queue_url is None else Queue(settings.queue_url)
    messages = [] if queue is None else queue.receive(MAX_MESSAGES)
    understood, keys = _understood(context, messages)
    relist = queue is None or cursor is None or now - cursor.listed_at >= settings.listing_interval
    extension = extend_ledger(
        DatasetStore.of(dataset),
        now=now,
        position=None if cursor is None else cursor.position,
        also=moments_of(dataset, keys),
        relist=relist,
    )
    context.log.info(f"{len(extension.new)} new scenes {', '.join(extension.new[:10])}")
    scene_ids = extension.ledger.scene_ids
    register_scenes(context.instance, dataset.name, scene_ids)
    wanted = _requests(dataset, scene_ids, _untried(context.instance, dataset, scene_ids))
    unknown = (request for request in wanted if not _was_launched(context, request))
    requests = list(islice(unknown, MAX_RUNS - busy))
    if queue is not None:
        # Nothing is lost from here on: the scenes are in the ledger, and what this tick does not request the next does.
        queue.delete(understood)
    if relist or cursor is None:
        cursor = _Cursor(extension.position, now)
    skip_reason = None if requests else dg.SkipReason(_in_words(extension))
    return dg.SensorResult(run_requests=requests, skip_reason=skip_reason, cursor=cursor.written())


def _understood(context: dg.SensorEvaluationContext, messages: Sequence[Message]) -> tuple[list[Message], list[str]]:
    """The messages that are what they should be, and the files that they are about.

    The others stay in the queue, whose redrive policy moves them to where somebody looks at them.
    """
    from convml_data.sources.goes.notifications import new_files

    understood, keys = [], []
    for message in messages:
        try:
            keys += new_files(message.body)
        except ValueError as error:
            context.log.warning(f"This message is left in the queue: {error}")
        else:
            understood.append(message)
    return understood, keys


def _unfinished_runs(instance: dg.DagsterInstance, dataset: Dataset) -> int:
    """How many runs that make something of the dataset wait or run, whoever launched them."""
    runs = instance.get_runs(dg.RunsFilter(statuses=_UNFINISHED))
    return sum(any(key.path[0] == dataset.name for key in run.asset_selection or ()) for run in runs)


def _was_launched(context: dg.SensorEvaluationContext, request: dg.RunRequest) -> bool:
    """Whether Dagster would pass a request over, as that of a run which somebody has cancelled."""
    tags = {"dagster/run_key": str(request.run_key), "dagster/sensor_name": context.sensor_name}
    return context.instance.get_runs_count(dg.RunsFilter(tags=tags)) > 0


def _untried(instance: dg.DagsterInstance, dataset: Dataset, scene_ids: Sequence[str]) -> set[str]:
    """Scenes of which a stage is missing, unless a stage has failed or is being made."""
    missing: set[str] = set()
    tried: set[str] = set()
    for stage in _scene_stages(dataset):
        statuses = instance.get_status_by_partition(
            asset_key(dataset, stage), scene_ids, scene_partitions(dataset.name)
        )
        for scene_id in scene_ids:
            status = None if statuses is None else statuses[scene_id]
            if status is None:
                missing.add(scene_id)
            elif status.value != "MATERIALIZED":
                tried.add(scene_id)
    return missing - tried


def _requests(dataset: Dataset, scene_ids: Sequence[str], wanted: set[str]) -> Iterator[dg.RunRequest]:
    """A run for each batch of wanted scenes, which have no others between them."""
    keys = _requested(dataset)
    for batch in _batches(scene_ids, wanted, dataset.meta.run.max_scenes):
        yield dg.RunRequest(
            run_key=f"{batch[0]}..{batch[-1]} {fingerprint([batch, [key.path for key in keys]])}",
            asset_selection=keys,
            tags=range_tags(batch),
        )


def _batches(scene_ids: Sequence[str], wanted: set[str], size: int) -> Iterator[list[str]]:
    for is_wanted, group in groupby(scene_ids, key=wanted.__contains__):
        neighbours = list(group)
        for first in range(0, len(neighbours) if is_wanted else 0, size):
            yield neighbours[first : first + size]


def _in_words(extension: Extension) -> str:
    """Why there is nothing to be done."""
    text = "No message tells of a new scene."
    if extension.listed_until is not None:
        text = f"No new scene; the archive is listed up to {extension.listed_until:%Y-%m-%d %H:%M} UTC."
    if extension.waiting:
        start, reason = next(iter(extension.waiting.items()))
        text += f" {len(extension.waiting)} scans are waited for, as that of {start:%Y-%m-%d %H:%M:%S}: {reason}."
    return text

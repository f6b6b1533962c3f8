"""Clouds followed through the scenes of a day, or through those whose IDs begin alike, and plots of them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import xarray as xr
from pydantic import ValidationError

from convml_data import __version__
from convml_data.errors import MetaError, PlanError, StoreError
from convml_data.fingerprints import fingerprint
from convml_data.flow.animation import film
from convml_data.flow.features import Frame, frame_of
from convml_data.flow.files import to_dataset
from convml_data.flow.joins import Moment, breaks
from convml_data.flow.opencv import opencv
from convml_data.flow.plot import flow_plot
from convml_data.flow.shades import shades
from convml_data.flow.trajectories import track
from convml_data.images.picture import scene_picture
from convml_data.images.style import GREY, FieldStyle, Style, style_fingerprint
from convml_data.meta.dataset import CODE_VERSIONS, Dataset
from convml_data.meta.flow import Flow
from convml_data.meta.models import Meta
from convml_data.meta.problems import problems
from convml_data.pipeline.discovery import current_ledger
from convml_data.pipeline.made_from import scene_fingerprint, whole_picture
from convml_data.pipeline.present import CURRENT, State
from convml_data.pipeline.style import dataset_style
from convml_data.scenes.ledger import LedgerRow
from convml_data.store.arrays import DAMAGED, ArrayStore
from convml_data.store.dataset import DatasetStore
from convml_data.store.own_netcdf import write_netcdf

#: Cells from a new point to any other, unless meta.yaml gives metres.
DEFAULT_DISTANCE = 10

#: Characters of a scene ID that are the time within its day.
_TIME_OF_DAY = len("HHMM")


@dataclass(frozen=True)
class Trajectories:
    """What there is to say of trajectories on disk.

    Parameters
    ----------
    prefix
        That the IDs of their scenes begin with.
    url
        Of the file.
    scenes
        How many scenes they were looked for in.
    count, points
        How many there are, and how many points they have in all.
    median_speed
        Over all points, m/s; NaN where there is none.
    breaks
        Scenes to which no points were followed from the one before, with the reason.
    unreadable
        IDs of scenes that were passed over, since they cannot be read.
    """

    prefix: str
    url: str
    scenes: int
    count: int
    points: int
    median_speed: float
    breaks: Mapping[str, str]
    unreadable: tuple[str, ...]

    @classmethod
    def of(cls, prefix: str, url: str, flow: xr.Dataset) -> Trajectories:
        """Those in a file, by its content."""
        speed = np.hypot(flow["u"].values, flow["v"].values)
        return cls(
            prefix,
            url,
            scenes=flow.sizes["scenes"],
            count=flow.sizes["trajectory"],
            points=flow.sizes["obs"],
            median_speed=float(np.median(speed)) if speed.size else float("nan"),
            breaks=json.loads(flow.attrs["breaks"]),
            unreadable=tuple(str(flow.attrs["unreadable_scenes"]).split()),
        )


@dataclass(frozen=True)
class Plots:
    """Plots of trajectories on disk, one for each scene, and their film; ``middle`` is the content of one of them."""

    urls: tuple[str, ...]
    film: str
    middle: bytes


def flow_options(dataset: Dataset, overrides: Mapping[str, Any]) -> Flow:
    """The section ``flow`` of meta.yaml with other values for some keys; MetaError where one is not right.

    Parameters
    ----------
    dataset
        Whose.
    overrides
        Values by key, None for that of meta.yaml.
    """
    given = {key: value for key, value in overrides.items() if value is not None}
    document = dataset.meta.model_dump(mode="json", exclude_unset=True)
    document["flow"] = document.get("flow", {}) | given
    try:
        return Meta.model_validate(document).flow or Flow()
    except ValidationError as error:
        raise MetaError("; ".join(problems(error, document)), where="options") from None


def day_prefixes(store: DatasetStore) -> list[str]:
    """The beginnings that the IDs of the scenes of a day have in common, in time order; PlanError without scenes."""
    prefixes = list(dict.fromkeys(row.scene_id[:-_TIME_OF_DAY] for row in current_ledger(store).scenes))
    if not prefixes:
        raise PlanError(
            "there is no scene to follow clouds in",
            where=store.files.url(store.layout.ledger),
            remedy="Correct `time`, `sector` or `archive` in meta.yaml",
        )
    return prefixes


def prefixes_on_disk(store: DatasetStore) -> list[str]:
    """The prefixes of which there are trajectories."""
    return [PurePosixPath(name).stem for name in store.files.names(store.layout.flow("*"))]


def scenes_with_prefix(store: DatasetStore, prefix: str) -> tuple[LedgerRow, ...]:
    """The scenes whose IDs begin so, in time order; PlanError where there is none or the prefix is empty."""
    if not prefix:
        raise PlanError("no prefix is given", where="prefix", remedy="Leave the option out for each day by itself")
    scenes = current_ledger(store).scenes
    rows = tuple(row for row in scenes if row.scene_id.startswith(prefix))
    if not rows:
        known = f"They go from {scenes[0].scene_id} to {scenes[-1].scene_id}" if scenes else "There are no scenes"
        raise PlanError(f"no scene ID begins with {prefix!r}", where=store.files.url(store.layout.ledger), remedy=known)
    return rows


def scenes_to_regrid(store: DatasetStore, rows: Sequence[LedgerRow]) -> list[LedgerRow]:
    """Those that are not on the dataset's grid, or of other settings; with a problem where they could not be read."""
    return [row for row in rows if not _is_regridded(store, row)]


def make_trajectories(store: DatasetStore, prefix: str, options: Flow) -> Trajectories:
    """Follow the clouds through the scenes with a prefix, and keep where they went.

    Raises
    ------
    PlanError
        No scene has the prefix.
    StoreError
        Scenes are not on the dataset's grid yet, one is damaged, or none can be read.
    ConvmlError
        OpenCV is not installed, or there is no such band.
    """
    opencv()  # or an error, before there is any work
    rows, style = scenes_with_prefix(store, prefix), _followed_style(store)
    absent = scenes_to_regrid(store, rows)
    missing = [row for row in absent if row.problem is None]
    if missing:
        raise StoreError(
            f"{len(missing)} of {len(rows)} scenes are not on the dataset's grid, or of other settings; the first is "
            f"{missing[0].scene_id}",
            where=store.files.url(store.scenes(["regridded"]).place),
            remedy="Run `convml-data regrid`, or materialize `regridded` first",
        )
    if len(absent) == len(rows):
        first = rows[0]
        raise StoreError(
            f"none of {len(rows)} scenes can be read; the first, {first.scene_id}: {str(first.problem).rstrip('.')}",
            where=store.files.url(store.layout.ledger),
            remedy="Mend that, or wait for their files, and run `convml-data regrid`",
        )
    unreadable = tuple(row.scene_id for row in absent)
    rows = tuple(row for row in rows if row.scene_id not in unreadable)
    made_from = _fingerprint(store, rows, options, style)
    name = store.layout.flow(prefix)
    kept = _stored(store, prefix)
    if kept is not None and kept.attrs.get("fingerprint") == made_from:
        return Trajectories.of(prefix, store.files.url(name), kept)

    grid, moments = store.dataset.grid, [_moment(row) for row in rows]
    why = breaks(moments, options.dt_max)
    distance = options.min_point_distance or DEFAULT_DISTANCE * grid.resolution
    tracks = track(
        _frames(store, rows, style, options.band),
        [reason is None for reason in why],
        most=options.max_num_trajectories,
        distance=distance / grid.resolution,
    )
    attributes = {
        "title": "Clouds followed from scene to scene by optical flow",
        "source": f"convml-data {__version__}, OpenCV {opencv().__version__}",
        "dataset": store.dataset.name,
        "product": store.dataset.meta.product,
        "prefix": prefix,
        "local_grid": json.dumps(grid.to_dict()),
        "options": options.model_dump_json(exclude={"plot_dt_max"}, exclude_none=True),
        "min_point_distance": distance,
        "breaks": json.dumps({row.scene_id: reason for row, reason in zip(rows[1:], why[1:], strict=True) if reason}),
        "unreadable_scenes": " ".join(unreadable),
        "points_never_followed": tracks.never_followed,
        "fingerprint": made_from,
        **_max_dt(moments, why),
    }
    with store.files.writing(name) as path:
        write_netcdf(path, to_dataset(tracks, moments, grid, attributes))
    return trajectories_on_disk(store, prefix)


def trajectories_on_disk(store: DatasetStore, prefix: str) -> Trajectories:
    """What there is to say of the trajectories of a prefix; StoreError where there are none."""
    return Trajectories.of(prefix, store.files.url(store.layout.flow(prefix)), _read(store, prefix))


def trajectories_state(store: DatasetStore, prefix: str) -> State:
    """Of the trajectories of a prefix: whether they are of the scenes that there are now, with meta.yaml's options."""
    flow = _stored(store, prefix)
    if flow is None:
        return State("missing", "the file cannot be opened")
    rows = [row for row in store.read_ledger().scenes if row.scene_id.startswith(prefix)]
    absent = scenes_to_regrid(store, rows)
    if any(row.problem is None for row in absent):
        return State("outdated", "scenes are not on the grid, or of other settings")
    present = [row for row in rows if row not in absent]
    if not _are_of(store, flow, present):
        return State("outdated", "the scenes are others")
    options, wanted = (
        each.model_dump(mode="json", exclude={"plot_dt_max"})
        for each in (Flow.model_validate_json(flow.attrs["options"]), store.dataset.flow)
    )
    changes = [f"flow.{key}: {value} → {wanted[key]}" for key, value in options.items() if value != wanted[key]]
    return State("outdated", "; ".join(changes)) if changes else CURRENT


def make_plots(store: DatasetStore, prefix: str, options: Flow) -> Plots:
    """Draw the trajectories of a prefix in each of their scenes, and a film of these plots.

    Plots that are there and are the same are kept.

    Raises
    ------
    StoreError
        There are no trajectories, or they are of other scenes than those that there are now.
    """
    flow, rows = _current(store, prefix)
    style = _drawn_style(store)
    seconds = options.plot_dt_max.total_seconds()
    made_from = fingerprint([CODE_VERSIONS["flow_plots"], flow.attrs["fingerprint"], seconds, style_fingerprint(style)])
    folder = store.layout.flow_plots(prefix)
    names = [f"{folder}/{row.scene_id}.png" for row in rows]
    for stray in set(store.files.names(f"{folder}/*.png")) - set(names):
        store.files.remove(stray)
    plots = []
    for number, name in enumerate(names):
        if whole_picture(store.files, name, made_from) is None:
            store.files.write_bytes(name, _drawn(store, flow, number, options, style, made_from))
        plots.append(store.files.read_bytes(name))
    moving, ending = film(plots)
    for other in {".mp4", ".gif"} - {ending}:
        store.files.remove(f"{folder}{other}")
    store.files.write_bytes(f"{folder}{ending}", moving)
    return Plots(tuple(map(store.files.url, names)), store.files.url(f"{folder}{ending}"), plots[len(plots) // 2])


def draw_middle(store: DatasetStore, prefix: str, options: Flow) -> bytes:
    """The plot of the scene halfway through the trajectories of a prefix, which is not kept."""
    flow = _read(store, prefix)
    return _drawn(store, flow, flow.sizes["scenes"] // 2, options, _drawn_style(store))


def _drawn(
    store: DatasetStore, flow: xr.Dataset, number: int, options: Flow, style: Style, made_from: str = ""
) -> bytes:
    scene_id = str(flow["scene_id"].values[number])
    picture = scene_picture(_scene(store.scenes(["regridded"]), scene_id), style)
    return flow_plot(picture, store.dataset.grid, flow, number, options.plot_dt_max, made_from)


def _current(store: DatasetStore, prefix: str) -> tuple[xr.Dataset, tuple[LedgerRow, ...]]:
    """Trajectories on disk and the rows of their scenes; StoreError where they are not of the present scenes."""
    flow = _read(store, prefix)
    rows = tuple(row for row in scenes_with_prefix(store, prefix) if _is_regridded(store, row))
    if not _are_of(store, flow, rows):
        where = store.files.url(store.layout.flow(prefix))
        raise StoreError("these trajectories are of other scenes", where=where, remedy=_remedy(prefix))
    return flow, rows


def _are_of(store: DatasetStore, flow: xr.Dataset, rows: Sequence[LedgerRow]) -> bool:
    """Whether trajectories are of these scenes as they are now."""
    options = Flow.model_validate_json(flow.attrs["options"])
    return bool(flow.attrs.get("fingerprint") == _fingerprint(store, rows, options, _followed_style(store)))


def _remedy(prefix: str) -> str:
    return f"Run `convml-data flow --prefix {prefix}`, or materialize `flow/trajectories` first"


def _drawn_style(store: DatasetStore) -> Style:
    """How the scenes are drawn below their trajectories, also where ``meta.yaml`` asks for no pictures of them."""
    return dataset_style(store) or _followed_style(store)


def _followed_style(store: DatasetStore) -> Style:
    """How the dataset's pictures are drawn by default, whoever draws them: in grey where they are fields."""
    meta = store.dataset.meta.model_copy(update={"image_function": "default"})
    style = dataset_style(DatasetStore(replace(store.dataset, meta=meta), store.format))
    return replace(style, colours=GREY) if isinstance(style, FieldStyle) else style


def _fingerprint(store: DatasetStore, rows: Sequence[LedgerRow], options: Flow, style: Style) -> str:
    """What trajectories are made from."""
    scenes = [[row.scene_id, scene_fingerprint(store.dataset, "regridded", row)] for row in rows]
    followed = options.model_dump(mode="json", exclude={"plot_dt_max"})
    return fingerprint([CODE_VERSIONS["flow"], followed, style_fingerprint(style), scenes])


def _is_regridded(store: DatasetStore, row: LedgerRow) -> bool:
    attributes = store.scenes(["regridded"]).attributes(row.scene_id) or {}
    return attributes.get("fingerprint") == scene_fingerprint(store.dataset, "regridded", row)


def _moment(row: LedgerRow) -> Moment:
    return Moment(row.scene_id, row.scan.start, row.scan.end, row.scan.satellite)


def _max_dt(moments: Sequence[Moment], why: Sequence[str | None]) -> dict[str, str]:
    """The attribute ``max_dt``: half the time from scene to scene, so that no tile is where a trajectory has been."""
    steps = [
        after.start - before.start
        for (before, after), reason in zip(pairwise(moments), why[1:], strict=True)
        if reason is None
    ]
    return {"max_dt": f"PT{min(steps).total_seconds() / 2:.6f}S"} if steps else {}


def _frames(store: DatasetStore, rows: Sequence[LedgerRow], style: Style, band: str | None) -> Iterator[Frame]:
    arrays = store.scenes(["regridded"])
    for row in rows:
        yield frame_of(shades(_scene(arrays, row.scene_id), style, band))


def _scene(arrays: ArrayStore, scene_id: str) -> xr.Dataset:
    try:
        with arrays.open(scene_id) as scene:
            return scene.load()
    except DAMAGED as error:
        raise StoreError(
            f"this scene is damaged ({error})",
            where=arrays.url(scene_id),
            remedy="Delete it and run `convml-data regrid`",
        ) from error


def _read(store: DatasetStore, prefix: str) -> xr.Dataset:
    """Trajectories on disk, times decoded; StoreError where there are none."""
    stored = _stored(store, prefix)
    if stored is None:
        raise StoreError(
            "there are no such trajectories, or they cannot be read",
            where=store.files.url(store.layout.flow(prefix)),
            remedy=_remedy(prefix),
        )
    return stored


def _stored(store: DatasetStore, prefix: str) -> xr.Dataset | None:
    """Trajectories on disk, None where there are none that can be read."""
    path = PurePosixPath(store.layout.flow(prefix))
    arrays = ArrayStore(store.files, str(path.parent), "netcdf")
    if not store.files.exists(str(path)):
        return None
    try:
        with arrays.open(path.stem) as flow:
            return flow.load()
    except DAMAGED:
        return None

"""The index of all tiles of a dataset as GeoParquet 1.1 (https://geoparquet.org/releases/v1.1.0), a row for each."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from convml_data.errors import ConvmlError, StoreError
from convml_data.export.polygons import FloatArray, polygons, well_known_binary
from convml_data.export.whole_files import writing
from convml_data.geometry.local import Domain
from convml_data.store.dataset import DatasetStore
from convml_data.store.shown_tiles import ShownTiles
from convml_data.tiles.sliding_window import tiles_over
from convml_data.tiles.tile import Tile, TileStage

#: The kinds of tiles, as the index names them.
KINDS: dict[TileStage, str] = {
    "triplet_tiles": "triplet",
    "trajectory_tiles": "trajectory",
    "sliding_window_tiles": "sliding_window",
}

#: Points of an outline along each side: on the map, tiles of 1000 km are off by 100 m or less between them.
POINTS_PER_SIDE = 16

#: The parser of the C library where there is one, ten times as fast.
_YAML = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True)
class Sample:
    """A row of the index.

    Parameters
    ----------
    id
        Unique in the dataset: folder and name.
    kind
        ``triplet``, ``trajectory`` or ``sliding_window``.
    collection, triplet_id, tile_type
        Of a triplet, None for other kinds.
    scene_id, time
        Where it was cut from, and the start of that scan, UTC.
    geometry
        Its outline, rings of (longitude, latitude) in degrees; None where the domain has no place on the earth.
    central_latitude, central_longitude
        Its centre, degrees, likewise None.
    x_c, y_c
        Its centre on the domain's plane, metres to the east and to the north of the domain's centre.
    length, resolution
        Of its sides and of its cells, metres.
    valid_share
        Of its cells, that have a value.
    path
        Of its data, relative to the dataset's root; of a packed tile the store, and after ``#`` its name.
    fingerprint
        Of what it follows from.
    """

    id: str
    kind: str
    collection: str | None
    triplet_id: int | None
    tile_type: str | None
    scene_id: str
    time: datetime
    geometry: tuple[FloatArray, ...] | None
    central_latitude: float | None
    central_longitude: float | None
    x_c: float
    y_c: float
    length: float
    resolution: float
    valid_share: float
    path: str
    fingerprint: str


def write_index(store: DatasetStore, path: Path) -> int:
    """Write the index of a dataset's or an auxiliary product's tiles, those that are there; how many there are.

    Raises
    ------
    ConvmlError
        pyarrow is not installed.
    StoreError
        There are no tiles, they are not those of the plan, or the file cannot be written.
    """
    try:
        import pyarrow.parquet as pq
    except ImportError as error:
        raise ConvmlError(
            "GeoParquet files need pyarrow, which is not installed",
            where=str(path),
            remedy="Run `pip install 'convml-data[export]'`",
        ) from error
    found = sorted(samples(store), key=lambda sample: sample.id)
    if not found:
        raise StoreError(
            "the dataset has no tiles to list", where=store.dataset.root, remedy="Run `convml-data tiles` first"
        )
    with writing(path) as partial:
        pq.write_table(_table(found), partial)
    return len(found)


def samples(store: DatasetStore) -> Iterator[Sample]:
    """The tiles that are planned and there.

    Raises
    ------
    StoreError
        The description of a tile is damaged or not that of the planned tile.
    """
    for stage, tile, shown in tiles_there(store):
        yield _sample(store, stage, tile, shown)


def tiles_there(store: DatasetStore) -> Iterator[tuple[TileStage, Tile, ShownTiles]]:
    """The tiles that are planned and have data, each with its kind and the collection that shows it."""
    there: dict[str, tuple[ShownTiles, frozenset[str]]] = {}
    for stage, tile in planned_tiles(store):
        shown = store.shown_tiles(stage, tile.collection)
        if shown.place not in there:
            there[shown.place] = shown, frozenset(shown.stored())
        shown, names = there[shown.place]
        if tile.name in names:
            yield stage, tile, shown


def planned_tiles(store: DatasetStore) -> Iterator[tuple[TileStage, Tile]]:
    """All tiles that ``meta.yaml`` asks for, each with its kind, as far as they are planned."""
    sampling, files, layout = store.dataset.meta.sampling, store.files, store.layout
    if sampling.triplets is not None and files.exists(layout.tile_plan):
        for triplet_tile in store.read_tile_plan().tiles:
            yield "triplet_tiles", triplet_tile
    if sampling.trajectories is not None and files.exists(layout.trajectory_plan):
        for trajectory_tile in store.read_trajectory_plan().tiles:
            yield "trajectory_tiles", trajectory_tile
    if sampling.sliding_window is not None and files.exists(layout.ledger):
        for scene_id in store.read_ledger().scene_ids:
            for window_tile in tiles_over(scene_id, store.dataset.grid, *store.dataset.sliding_window):
                yield "sliding_window_tiles", window_tile


def _sample(store: DatasetStore, stage: TileStage, tile: Tile, shown: ShownTiles) -> Sample:
    try:
        says = yaml.load(shown.yml(tile.name), _YAML)
        time = datetime.fromisoformat(says["scene_time"])
        described = {"loc": says["loc"], "scene_id": says["scene_id"]} | {name: says[name] for name in tile.facts()}
        valid_share, fingerprint = float(says["valid_share"]), str(says["fingerprint"])
    except (yaml.YAMLError, ValueError, KeyError, TypeError) as error:
        raise StoreError(
            f"this does not describe a tile ({error!r})",
            where=shown.yml_url(tile.name),
            remedy="Delete it and run `convml-data tiles`",
        ) from error
    if described != {"loc": tile.location, "scene_id": tile.scene_id, **tile.facts()}:
        raise StoreError(
            "this tile is another one than the plan's of that name",
            where=shown.yml_url(tile.name),
            remedy="Run `convml-data tiles` to cut the tiles of the present plan",
        )
    facts = tile.facts()
    return Sample(
        id=f"{shown.folder}/{tile.name}",
        kind=KINDS[stage],
        collection=tile.collection or None,
        triplet_id=facts.get("triplet_id"),
        tile_type=facts.get("tile_type"),
        scene_id=tile.scene_id,
        time=time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC),
        geometry=_outline(tile, store.dataset.domain),
        central_latitude=tile.central_latitude,
        central_longitude=tile.central_longitude,
        x_c=tile.x_c,
        y_c=tile.y_c,
        length=tile.length,
        resolution=tile.resolution,
        valid_share=valid_share,
        path=shown.name(tile.name),
        fingerprint=fingerprint,
    )


def _outline(tile: Tile, domain: Domain) -> tuple[FloatArray, ...] | None:
    if domain.crs is None:
        return None
    if tile.window is not None:  # its sides are parallel to the domain's, on the domain's plane
        x, y = domain.resized(tile.length, tile.length).outline(POINTS_PER_SIDE)
        return tuple(polygons(*domain.to_world(x + tile.x_c, y + tile.y_c)))
    own = tile.grid.domain
    return tuple(polygons(*own.to_world(*own.outline(POINTS_PER_SIDE))))


def _table(found: list[Sample]) -> Any:
    """The rows as a table of pyarrow, with the metadata that makes it GeoParquet."""
    import pyarrow as pa

    columns = {field.name: [getattr(sample, field.name) for sample in found] for field in fields(Sample)}
    outlines = [sample.geometry for sample in found]
    columns["geometry"] = [None if rings is None else well_known_binary(rings) for rings in outlines]
    types = {"triplet_id": pa.int64(), "time": pa.timestamp("us", tz="UTC"), "geometry": pa.binary()}
    types |= dict.fromkeys(("id", "kind", "collection", "tile_type", "scene_id", "path", "fingerprint"), pa.string())
    schema = pa.schema([(name, types.get(name, pa.float64())) for name in columns])
    return pa.table(columns, schema.with_metadata({"geo": json.dumps(_geo([rings for rings in outlines if rings]))}))


def _geo(outlines: list[tuple[FloatArray, ...]]) -> dict[str, Any]:
    """The metadata of the file; without ``crs``, coordinates are degrees east and north on WGS84 (OGC:CRS84)."""
    column: dict[str, Any] = {
        "encoding": "WKB",
        "geometry_types": sorted({"Polygon" if len(rings) == 1 else "MultiPolygon" for rings in outlines}),
        "orientation": "counterclockwise",
        "edges": "planar",
    }
    if outlines:
        points = np.vstack([ring for rings in outlines for ring in rings])
        column["bbox"] = [*points.min(axis=0).tolist(), *points.max(axis=0).tolist()]
    return {"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": column}}

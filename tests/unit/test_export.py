"""The index of tiles, read back by an independent reader, and the card of a dataset."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import shapely
import xarray as xr
import yaml

from convml_data.errors import ConvmlError, StoreError
from convml_data.export.card import MOST_REASONS, CardFacts, card_facts, card_text, write_card
from convml_data.export.geoparquet import write_index
from convml_data.export.polygons import polygons, well_known_binary
from convml_data.geometry.local import LocalDomain, PlaneDomain
from convml_data.meta.dataset import load_dataset
from convml_data.report.statistics import Statistics, statistics_of
from convml_data.scenes.ledger import Ledger, LedgerRow, Scan
from convml_data.store.dataset import DatasetStore
from convml_data.tiles.files import tile_attributes, tile_yml
from convml_data.tiles.plan import TilePlan, TileSpec
from convml_data.tiles.sliding_window import tiles_over
from convml_data.tiles.tile import Tile, TileStage
from convml_data.tiles.trajectory_tiles import TrajectoryPlan, TrajectoryTile

FIRST = datetime(2020, 2, 2, 14)
SCENES = [f"goes16__2020020214{minute:02d}" for minute in (0, 10)]
RESOLUTION, TILE_N = 2000.0, 16
LENGTH = RESOLUTION * TILE_N
META: dict[str, Any] = {
    "source": "goes16",
    "type": "truecolor_rgb",
    "time": {"t_start": FIRST, "t_end": FIRST + timedelta(minutes=40)},
    "domain": {"central_latitude": 13.3, "central_longitude": -57.72, "l_zonal": 60e3, "l_meridional": 60e3},
    "sampling": {
        "resolution": RESOLUTION,
        "triplets": {"N_triplets": {"train": 2, "study": 1}, "tile_N": TILE_N},
        "sliding_window": {"tile_N": TILE_N, "step": 14},
        "trajectories": {"tile_N": TILE_N},
    },
    "trajectories": {"filepath": "trajectories.nc"},
}


def ledger_row(minute: int, reason: str | None = None) -> LedgerRow:
    start = FIRST + timedelta(minutes=minute)
    scan = Scan(start, start + timedelta(minutes=9), "goes16", 6, {}, reason)
    return LedgerRow(f"goes16__{start:%Y%m%d%H%M}", scan)


def triplet_tile(
    domain: LocalDomain, collection: str, number: int, tile_type: str, x: float, y: float, scene_id: str = SCENES[0]
) -> TileSpec:
    lon, lat = (float(degrees) for degrees in domain.to_lonlat(x, y))
    return TileSpec(collection, number, tile_type, scene_id, x, y, lat, lon, LENGTH, RESOLUTION, False)


class Made:
    """A dataset on disk whose tiles hold the number 1, made without cutting them from anything."""

    def __init__(self, folder: Path, longitude: float = -57.72) -> None:
        folder.mkdir()
        meta = META | {"domain": META["domain"] | {"central_longitude": longitude}}
        (folder / "meta.yaml").write_text(yaml.safe_dump(meta, sort_keys=False))
        (folder / "trajectories.nc").touch()
        self.store = DatasetStore.of(load_dataset(folder))
        rows = (*map(ledger_row, (0, 10)), ledger_row(20, "missing channel 2"), ledger_row(30, "night | dusk"))
        self.store.write_ledger(Ledger("goes16", "truecolor_rgb", "file:///a", "0", rows))
        domain = self.store.dataset.domain
        assert isinstance(domain, LocalDomain)
        rng = np.random.default_rng(1)
        self.triplets = [
            triplet_tile(
                domain, collection, number, tile_type, *rng.uniform(-14e3, 14e3, 2).tolist(), SCENES[number % 2]
            )
            for collection, count in (("train", 2), ("study", 1))
            for number in range(count)
            for tile_type in ("anchor", "neighbor", "distant")
        ]
        plan = TilePlan(
            fingerprint="f",
            scenes={"train": tuple(SCENES)},
            left_over={},
            accepted={},
            warnings=(),
            tiles=tuple(self.triplets),
        )
        self.store.write_tile_plan(plan)
        at = float(domain.central_latitude), float(domain.central_longitude)
        self.around = TrajectoryTile(SCENES[1], None, "2020-02-02T14:11", 3.5, 0.0, 0.0, *at, LENGTH, RESOLUTION)
        self.store.write_trajectory_plan(TrajectoryPlan("f", (self.around,), {}, {}))
        self.windows = [
            tile
            for scene_id in SCENES
            for tile in tiles_over(scene_id, self.store.dataset.grid, *self.store.dataset.sliding_window)
        ]

    def keep_all(self) -> None:
        for stage, tiles in self.all().items():
            for tile in tiles:
                self.keep(stage, tile)

    def all(self) -> dict[TileStage, list[Tile]]:
        return {
            "triplet_tiles": [*self.triplets],
            "trajectory_tiles": [self.around],
            "sliding_window_tiles": [*self.windows],
        }

    def keep(self, stage: TileStage, tile: Tile) -> xr.Dataset:
        attributes = tile_attributes(tile, "0123456789ab") | {
            "scene_time": "2020-02-02T14:00:20.800000",
            "valid_share": 0.75,
        }
        values = np.random.default_rng(len(tile.name)).normal(50, 9, (3, TILE_N, TILE_N)).astype(np.float32)
        data = xr.Dataset(
            {"rgb": (("bands", "y", "x"), values, {"units": "%"})}, {"bands": list("RGB")}, attributes
        ).assign_coords(y=np.arange(TILE_N), x=np.arange(TILE_N))
        arrays = self.store.tiles(stage, tile.collection, waiting=False)
        arrays.write(tile.name, data)
        self.store.files.write_bytes(f"{arrays.folder}/{tile.name}.yml", tile_yml(tile, attributes).encode())
        return data


@pytest.fixture
def made(tmp_path: Path) -> Made:
    made = Made(tmp_path / "barbados")
    made.keep_all()
    return made


def read_index(path: Path) -> Any:
    geopandas = pytest.importorskip("geopandas", reason="geopandas reads the index back")
    return geopandas.read_parquet(path)


def area_on_earth(geometry: Any) -> float:
    """Square metres on WGS84."""
    import pyproj

    area, _ = pyproj.Geod(ellps="WGS84").geometry_area_perimeter(geometry)
    return float(area)


class TestIndex:
    def test_every_tile_has_a_row(self, made: Made, tmp_path: Path) -> None:
        path = tmp_path / "out" / "index.parquet"
        count = write_index(made.store, path)
        index = read_index(path)
        assert count == len(index) == 9 + 1 + 8
        assert index["kind"].value_counts().to_dict() == {"triplet": 9, "sliding_window": 8, "trajectory": 1}
        assert index["id"].is_unique
        assert list(index["id"]) == sorted(index["id"])
        root = Path(made.store.dataset.root)
        for row in index.itertuples():
            assert row.path == f"{row.id}.nc"
            with xr.open_dataset(root / row.path, engine="h5netcdf") as tile:
                assert (row.x_c, row.y_c) == (tile.attrs["x_c"], tile.attrs["y_c"])
                assert row.scene_id == tile.attrs["scene_id"]
                assert row.fingerprint == tile.attrs["fingerprint"]
        assert (index["valid_share"] == 0.75).all()
        assert (index["length"] == LENGTH).all()
        assert (index["resolution"] == RESOLUTION).all()
        assert [path.name for path in (tmp_path / "out").iterdir()] == ["index.parquet"]

    def test_triplets_have_their_parts_and_others_null(self, made: Made, tmp_path: Path) -> None:
        write_index(made.store, tmp_path / "i.parquet")
        index = read_index(tmp_path / "i.parquet").set_index("id")
        row = index.loc["triplets/train/00001_distant"]
        assert (row.collection, row.triplet_id, row.tile_type) == ("train", 1, "distant")
        others = index[index["kind"] != "triplet"]
        assert others[["collection", "triplet_id", "tile_type"]].isna().all(axis=None)
        assert index.index[-1] == "triplets/train/00001_neighbor"

    def test_types_and_metadata(self, made: Made, tmp_path: Path) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        write_index(made.store, tmp_path / "i.parquet")
        schema = pq.read_schema(tmp_path / "i.parquet")
        assert schema.field("time").type == pa.timestamp("us", tz="UTC")
        assert schema.field("geometry").type == pa.binary()
        assert schema.field("triplet_id").type == pa.int64()
        geo = json.loads(schema.metadata[b"geo"])
        assert geo.keys() == {"version", "primary_column", "columns"}
        assert (geo["version"], geo["primary_column"]) == ("1.1.0", "geometry")
        column = geo["columns"]["geometry"]
        assert (column["encoding"], column["orientation"], column["edges"]) == ("WKB", "counterclockwise", "planar")
        assert column["geometry_types"] == ["Polygon"]
        assert "crs" not in column  # which means OGC:CRS84
        index = read_index(tmp_path / "i.parquet")
        np.testing.assert_array_equal(column["bbox"], index.total_bounds)
        assert index.crs.to_string() == "OGC:CRS84"
        assert index["time"].iloc[0].isoformat() == "2020-02-02T14:00:20.800000+00:00"

    @pytest.mark.parametrize("longitude", [-57.72, 179.95, -179.9])
    def test_outlines_are_those_of_the_tiles(self, tmp_path: Path, longitude: float) -> None:
        made = Made(tmp_path / "a", longitude)
        made.keep_all()
        write_index(made.store, tmp_path / "i.parquet")
        index = read_index(tmp_path / "i.parquet")
        crossing = index.geometry.geom_type == "MultiPolygon"
        assert crossing.any() == (abs(longitude) > 100)
        assert index.geometry.is_valid.all()
        assert (index.total_bounds[[0, 2]] <= 180).all()
        assert (index.total_bounds[[0, 2]] >= -180).all()
        for row in index.itertuples():
            # The plane keeps areas, and sides of many short edges lose little; where a tile is cut, nothing.
            np.testing.assert_allclose(area_on_earth(row.geometry), LENGTH**2, rtol=2e-5)
            centre = shapely.Point(row.central_longitude, row.central_latitude)
            assert row.geometry.buffer(1e-9).contains(centre)

    def test_outlines_hold_the_cells_and_nothing_beyond(self, made: Made, tmp_path: Path) -> None:
        """Of tiles on planes of their own, and of windows of the scene."""
        write_index(made.store, tmp_path / "i.parquet")
        index = read_index(tmp_path / "i.parquet").set_index("id")
        domain = made.store.dataset.domain
        for tile, folder in ((made.triplets[0], "triplets/train"), (made.windows[3], "rect-slidingwindow")):
            (name,) = [name for name in index.index if name.startswith(folder) and name.endswith(tile.name)]
            outline = index.loc[name].geometry
            for reach, inside in ((0.4999, True), (0.5001, False)):
                along = np.linspace(-reach, reach, 9) * LENGTH
                x, y = np.concatenate([along, along]), np.repeat([-reach * LENGTH, reach * LENGTH], 9)
                if tile.window is None:
                    lon, lat = tile.grid.domain.to_world(x, y)
                else:
                    lon, lat = domain.to_world(x + tile.x_c, y + tile.y_c)
                assert (shapely.contains_xy(outline, lon, lat) == inside).all()

    def test_only_tiles_that_are_there_are_listed(self, tmp_path: Path) -> None:
        made = Made(tmp_path / "a")
        made.keep("triplet_tiles", made.triplets[4])
        # One that waits for the others of its triplet.
        waiting = made.store.tiles("triplet_tiles", "study", waiting=True).folder
        made.store.files.write_bytes(f"{waiting}/00000_anchor.yml", b"{}")
        assert write_index(made.store, tmp_path / "i.parquet") == 1
        assert list(read_index(tmp_path / "i.parquet")["id"]) == ["triplets/train/00001_neighbor"]

    def test_a_dataset_without_tiles(self, tmp_path: Path) -> None:
        made = Made(tmp_path / "a")
        with pytest.raises(StoreError, match="the dataset has no tiles to list"):
            write_index(made.store, tmp_path / "i.parquet")
        assert not (tmp_path / "i.parquet").exists()

    def test_a_tile_of_an_earlier_plan_is_refused(self, made: Made, tmp_path: Path) -> None:
        made.keep("triplet_tiles", replace(made.triplets[2], x_c=5.0))
        with pytest.raises(StoreError, match=r"00000_distant\.yml: this tile is another one than the plan's"):
            write_index(made.store, tmp_path / "i.parquet")

    @pytest.mark.parametrize("text", ["", "a: [", "3", "loc: {}\nscene_time: 5\n"])
    def test_a_damaged_description_is_named(self, made: Made, tmp_path: Path, text: str) -> None:
        made.store.files.write_bytes("triplets/train/00000_distant.yml", text.encode())
        with pytest.raises(StoreError, match=r"00000_distant\.yml: this does not describe a tile"):
            write_index(made.store, tmp_path / "i.parquet")

    def test_two_runs_write_the_same(self, made: Made, tmp_path: Path) -> None:
        for name in "ab":
            write_index(made.store, tmp_path / name)
        assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()

    def test_a_failed_write_leaves_what_was_there(
        self, made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        import pyarrow.parquet as pq

        def fail(_: object, path: Path) -> None:
            path.write_bytes(b"half")
            raise OSError(28, "No space left on device")

        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "i.parquet").write_bytes(b"old")
        monkeypatch.setattr(pq, "write_table", fail)
        with pytest.raises(StoreError, match=r"i\.parquet: this cannot be written \(No space left on device\)"):
            write_index(made.store, tmp_path / "out" / "i.parquet")
        assert [path.read_bytes() for path in (tmp_path / "out").iterdir()] == [b"old"]

    def test_without_pyarrow(self, made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
        with pytest.raises(ConvmlError, match=r"pip install 'convml-data\[export\]'"):
            write_index(made.store, tmp_path / "i.parquet")

    def test_tiles_without_a_place_on_the_earth(self, tmp_path: Path) -> None:
        made = Made(tmp_path / "a")
        tiles = [replace(tile, central_latitude=None, central_longitude=None) for tile in made.triplets]
        store = DatasetStore(
            replace(
                made.store.dataset,
                meta=made.store.dataset.meta.model_copy(
                    update={
                        "domain": None,
                        "sampling": made.store.dataset.meta.sampling.model_copy(
                            update={"trajectories": None, "sliding_window": None}
                        ),
                    }
                ),
                found_domain=PlaneDomain(0.0, 0.0, 60e3, 60e3),
            ),
            "netcdf",
        )
        store.write_tile_plan(replace(store.read_tile_plan(), tiles=tuple(tiles)))
        for tile in tiles:
            made.keep("triplet_tiles", tile)
        assert write_index(store, tmp_path / "i.parquet") == len(tiles)
        index = read_index(tmp_path / "i.parquet")
        assert index[["geometry", "central_latitude", "central_longitude"]].isna().all(axis=None)
        assert sorted(index["x_c"]) == sorted(tile.x_c for tile in tiles)


def ring_of(domain: LocalDomain) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    return domain.to_lonlat(*domain.outline(16))


def across_the_antimeridian() -> Iterator[LocalDomain]:
    for latitude in (0.0, 3.0, -40.0, 70.0):
        for offset in (-9.0, -0.4, 0.0, 1e-9, 0.2, 10.0):
            longitude = 180 + offset
            yield LocalDomain(latitude, longitude - 360 * (longitude >= 180), 2000e3, 2500e3)


class TestPolygons:
    @pytest.mark.parametrize("domain", list(across_the_antimeridian()), ids=str)
    def test_parts_are_valid_and_lose_nothing(self, domain: LocalDomain) -> None:
        rings = polygons(*ring_of(domain))
        geometry = shapely.from_wkb(well_known_binary(rings))
        assert geometry.is_valid
        assert all(shapely.LinearRing(ring).is_ccw for ring in rings)
        west, _, east, _ = geometry.bounds
        assert west >= -180
        assert east <= 180
        np.testing.assert_allclose(area_on_earth(geometry), domain.l_zonal * domain.l_meridional, rtol=3e-3)

    def test_a_hollow_outline_may_be_cut_into_many_parts(self) -> None:
        """A comb whose teeth reach across the antimeridian."""
        lon = np.array([170, 185, 185, 175, 175, 185, 185, 175, 175, 185, 185, 170])
        lat = np.array([0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5])
        rings = polygons((lon + 180.0) % 360 - 180, lat.astype(float))
        geometry = shapely.from_wkb(well_known_binary(rings))
        whole = shapely.Polygon(np.column_stack([lon, lat]))
        expected = whole.intersection(shapely.box(0, -90, 180, 90)), whole.intersection(shapely.box(180, -90, 360, 90))
        assert geometry.is_valid
        assert len(rings) == 4
        assert geometry.intersection(shapely.box(0, -90, 180, 90)).equals(expected[0])
        in_west = shapely.transform(
            geometry.intersection(shapely.box(-180, -90, 0, 90)), lambda at: at + np.array([360, 0])
        )
        assert in_west.equals(expected[1])

    @pytest.mark.parametrize("touching", [180.0, -180.0])
    def test_an_outline_that_touches_the_antimeridian(self, touching: float) -> None:
        for lon in ([170.0, touching, 170.0], [170.0, touching, touching, 170.0]):
            lat = [0.0, 5.0, 10.0] if len(lon) == 3 else [0.0, 0.0, 10.0, 10.0]
            geometry = shapely.from_wkb(well_known_binary(polygons(np.array(lon), np.array(lat))))
            assert geometry.is_valid
            assert geometry.equals(shapely.Polygon(np.column_stack([np.abs(lon), lat])))

    @pytest.mark.parametrize("latitude", [90.0, 88.0, -90.0, -86.0])
    @pytest.mark.parametrize("longitude", [-120.0, 0.0, 179.0])
    def test_a_tile_around_a_pole_holds_the_pole(self, latitude: float, longitude: float) -> None:
        domain = LocalDomain(latitude, longitude, 2000e3, 2000e3)
        rings = polygons(*ring_of(domain))
        geometry = shapely.from_wkb(well_known_binary(rings))
        assert geometry.is_valid
        assert all(shapely.LinearRing(ring).is_ccw for ring in rings)
        assert geometry.bounds[::2] == (-180, 180)
        lon, lat = domain.to_lonlat(*domain.lattice(31))
        x, y = domain.lattice(31)
        within = np.maximum(abs(x), abs(y)) < 0.99e6
        assert shapely.intersects_xy(geometry, lon[within], lat[within]).all()
        away = LocalDomain(latitude, longitude, 2.2e6, 2.2e6)
        assert not shapely.contains_xy(geometry, *ring_of(away)).any()


def front_matter(text: str) -> dict[str, Any]:
    _, head, _ = text.split("---\n", 2)
    return dict(yaml.safe_load(head))


class TestCard:
    def statistics(self, made: Made) -> Statistics:
        tile = made.keep("triplet_tiles", made.triplets[0])
        return statistics_of(tile, "here")

    def test_it_tells_what_is_there(self, made: Made, tmp_path: Path) -> None:
        write_card(made.store, tmp_path / "README.md", [self.statistics(made)])
        text = (tmp_path / "README.md").read_text()
        assert front_matter(text) == {
            "pretty_name": "barbados",
            "license": "other",
            "license_name": "public-domain",
            "license_link": "https://registry.opendata.aws/noaa-goes/",
            "size_categories": ["n<1K"],
            "tags": ["earth observation", "meteorology", "goes16", "truecolor_rgb"],
        }
        for line in (
            "| source | goes16 |",
            "| product | truecolor_rgb |",
            "| time, UTC | 2020-02-02T14:00:00 to 2020-02-02T14:40:00 |",
            "| resolution | 2000 m |",
            "There are 2 scenes; 2 scans were dropped.",
            "| missing channel 2 | 1 |",
            "| night \\| dusk | 1 |",
            "| triplet | train | 6 | 6 |",
            "| triplet | study | 3 | 3 |",
            "| trajectory | – | 1 | 1 |",
            "| sliding_window | – | 8 | 8 |",
        ):
            assert line in text.splitlines()
        assert "60 km from west to east, 60 km from south to north, around 13.3° N, 57.72° W" in text
        assert "shared out by `random_by_relative_sample_size`" in text
        assert "## Statistics of train" in text
        assert text.count("| % |") == 3
        assert 'TripletDataset(".", "train")' in text
        assert (Path(made.store.dataset.directory) / "meta.yaml").read_text().strip() in text

    def test_tiles_that_are_missing_are_not_counted(self, made: Made) -> None:
        made.store.files.remove("triplets/study/00000_anchor.nc")
        assert card_facts(made.store).tiles["triplet", "study"] == 2

    def test_there_is_none_without_scenes(self, made: Made, tmp_path: Path) -> None:
        made.store.files.remove(made.store.layout.ledger)
        with pytest.raises(StoreError, match="no scene ledger yet"):
            write_card(made.store, tmp_path / "README.md")
        assert not (tmp_path / "README.md").exists()

    @pytest.fixture
    def facts(self, made: Made) -> CardFacts:
        return card_facts(made.store)

    def test_a_licence_is_stated_for_goes_alone(self, facts: CardFacts) -> None:
        model = card_text(replace(facts, source="LES", domain=PlaneDomain(0, 0, 5e3, 6e3)))
        assert "license" not in front_matter(model)
        assert "public domain" not in model
        assert "The licence of the data from LES is not recorded" in model
        assert "5 km from west to east, 6 km from south to north, on the plane of the model" in model
        mixed = card_text(replace(facts, aux_products={"toa": ("ceres", "flux"), "height": ("goes16", "ACHA")}))
        assert "license" not in front_matter(mixed)
        assert "public domain" in mixed
        assert "The licence of the data from ceres is not recorded" in mixed
        assert "| auxiliary product toa | flux from ceres |" in mixed

    def test_many_reasons_are_not_all_listed(self, facts: CardFacts) -> None:
        text = card_text(replace(facts, drops={f"reason {number}": 2 for number in range(MOST_REASONS + 3)}, unread=1))
        assert f"{2 * (MOST_REASONS + 3)} scans were dropped" in text
        assert f"| reason {MOST_REASONS - 1} | 2 |" in text
        assert f"| reason {MOST_REASONS} | 2 |" not in text
        assert "| 3 other reasons | 6 |" in text
        assert "1 could not be read" in text

    def test_a_dataset_of_scenes_alone(self, facts: CardFacts) -> None:
        text = card_text(replace(facts, tiles={}, planned={}, splitting=None, drops={}, domain=None))
        assert "There are none: the dataset is one of whole scenes." in text
        assert 'xr.open_dataset("rect/<scene ID>.nc"' in text
        of_aux = card_text(replace(facts, tiles={}, planned={}, splitting=None, scenes_folder="rect/aux/height"))
        assert 'xr.open_dataset("rect/aux/height/<scene ID>.nc"' in of_aux
        assert "`rect/aux/height.zarr/`" in of_aux
        assert "shared out" not in text
        assert "| domain |" not in text

    @pytest.mark.parametrize(("count", "size"), [(999, "n<1K"), (1000, "1K<n<10K"), (10**10, "1B<n<10B")])
    def test_the_size_is_one_of_the_hubs(self, facts: CardFacts, count: int, size: str) -> None:
        head = front_matter(card_text(replace(facts, tiles={("triplet", "train"): count})))
        assert head["size_categories"] == [size]

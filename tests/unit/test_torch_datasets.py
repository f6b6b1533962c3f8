"""Datasets of PyTorch: the values of the files, north up, in the order of the names, in workers too."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import xarray as xr

pytest.importorskip("torch", reason="PyTorch is not installed; `pip install 'convml-data[torch]'`")

import torch
from torch.utils.data import DataLoader

from convml_data.errors import PlanError, StoreError
from convml_data.report.statistics import Statistics, collection_statistics
from convml_data.store.arrays import ArrayStore, Format
from convml_data.store.files import Files
from convml_data.tiles.plan import TILE_TYPES
from convml_data.torch import SlidingWindowDataset, TileDataset, TripletDataset

pytestmark = pytest.mark.torch

BANDS = ("R", "G", "B")
TILE_N = 12
N_TRIPLETS = 5
SCENES = ("goes17__202002021420", "goes16__202002021400", "goes16__202002021410")
SCENE_SHAPE = (23, 31)


def field(values: npt.ArrayLike, attributes: Mapping[str, Any] | None = None) -> xr.Dataset:
    """A field as tiles and scenes have it: y ascending to the north."""
    array = np.asarray(values, np.float32)
    ny, nx = array.shape[-2:]
    coords: dict[str, Any] = {"y": np.arange(ny) * 1e3, "x": np.arange(nx) * 1e3}
    if array.ndim == 3:
        coords["bands"] = list(BANDS[: len(array)])
    return xr.Dataset({"image": (("bands", "y", "x")[-array.ndim :], array)}, coords, dict(attributes or {}))


def random_values(*key: int, shape: tuple[int, ...] = (3, TILE_N, TILE_N)) -> npt.NDArray[np.float32]:
    return np.random.default_rng(key).normal(40, 12, shape).astype(np.float32)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Triplets, tiles along trajectories and scenes."""
    files = Files(str(tmp_path))
    for number in range(N_TRIPLETS):
        for kind, tile_type in enumerate(TILE_TYPES):
            name = f"{number:05d}_{tile_type}"
            attributes = {"tile": name, "triplet_collection": "train", "fingerprint": f"{number:012x}"}
            tiles = ArrayStore(files, "triplets/train", "netcdf")
            tiles.write(name, field(random_values(number, kind), attributes))
    for number, scene_id in enumerate(SCENES):
        ArrayStore(files, "trajectories", "netcdf").write(scene_id, field(random_values(9, number)[0]))
        write_scene(files, "rect", "netcdf", scene_id, number)
    return tmp_path


def write_scene(files: Files, folder: str, format_: Format, scene_id: str, number: int) -> None:
    ArrayStore(files, folder, format_).write(scene_id, field(random_values(number, shape=(3, *SCENE_SHAPE))))


def north_up(path: Path) -> npt.NDArray[np.float32]:
    """What xarray reads, rows from north to south by their coordinate."""
    with xr.open_dataset(path, engine="h5netcdf") as data:
        values = data["image"].sortby("y", ascending=False).values
    return np.asarray(values.reshape(-1, *values.shape[-2:]))


def doubled(value: torch.Tensor) -> torch.Tensor:
    return value * 2


class TestTriplets:
    def test_they_are_what_xarray_reads_with_north_up(self, root: Path) -> None:
        dataset = TripletDataset(root, "train")
        assert len(dataset) == N_TRIPLETS
        for number in range(N_TRIPLETS):
            for tile_type, tensor in zip(TILE_TYPES, dataset[number], strict=True):
                assert tensor.dtype == torch.float32
                assert tensor.shape == (3, TILE_N, TILE_N)
                expected = north_up(root / f"triplets/train/{number:05d}_{tile_type}.nc")
                np.testing.assert_array_equal(tensor.numpy(), expected)

    def test_workers_give_the_same_in_the_same_order(self, root: Path) -> None:
        dataset = TripletDataset(root, "train", transform=doubled)
        expected = [[tensor.numpy() for tensor in dataset[index]] for index in range(len(dataset))]
        batches = DataLoader(dataset, batch_size=2, num_workers=2, multiprocessing_context="fork")
        found = [torch.stack(batch, dim=1).numpy() for batch in batches]
        np.testing.assert_array_equal(np.concatenate(found), np.array(expected))

    def test_numbers_may_have_gaps_and_many_digits(self, root: Path) -> None:
        tiles = ArrayStore(Files(str(root)), "triplets/train", "netcdf")
        for tile_type in TILE_TYPES:
            tiles.write(f"123456_{tile_type}", field(random_values(1)))
            (root / f"triplets/train/00002_{tile_type}.nc").unlink()
        assert [number for number, _ in TripletDataset(root, "train").triplets] == [0, 1, 3, 4, 123456]

    def test_one_that_is_not_complete_is_named(self, root: Path) -> None:
        (root / "triplets/train/00003_neighbor.nc").unlink()
        with pytest.raises(StoreError, match=r"triplets/train: triplet 3 has no neighbor tile"):
            TripletDataset(root, "train")

    def test_a_collection_without_tiles(self, root: Path) -> None:
        with pytest.raises(StoreError, match=r"triplets/study: there are no tiles here"):
            TripletDataset(root, "study")

    def test_a_file_that_is_no_tile_of_a_triplet(self, root: Path) -> None:
        ArrayStore(Files(str(root)), "triplets/train", "netcdf").write("other", field(random_values(1)))
        with pytest.raises(StoreError, match=r"other\.nc is no tile of a triplet"):
            TripletDataset(root, "train")

    @pytest.mark.parametrize(
        ("damage", "problem"),
        [
            (lambda path: path.unlink(), "this tile cannot be read"),
            (lambda path: path.write_bytes(path.read_bytes()[:2000]), "this tile cannot be read"),
            (lambda path: path.write_bytes(b""), "this tile cannot be read"),
        ],
    )
    def test_damage_is_an_error_that_says_where(self, root: Path, damage: Callable[[Path], None], problem: str) -> None:
        dataset = TripletDataset(root, "train")
        damage(root / "triplets/train/00001_distant.nc")
        dataset[0]
        with pytest.raises(StoreError, match=rf"00001_distant\.nc: {problem}"):
            dataset[1]

    def test_a_tile_of_another_size(self, root: Path) -> None:
        tiles = ArrayStore(Files(str(root)), "triplets/train", "netcdf")
        tiles.write("00004_anchor", field(random_values(1, shape=(3, 8, 8))))
        with pytest.raises(StoreError, match=r"00004_anchor\.nc: this tile has the shape \(3, 8, 8\)"):
            TripletDataset(root, "train")[4]


def train_statistics(root: Path) -> Statistics:
    return collection_statistics(sorted((root / "triplets/train").glob("*.nc")))


class TestPreparation:
    @pytest.mark.parametrize("as_file", [True, False])
    def test_normalised_tiles_have_mean_0_and_deviation_1(self, root: Path, as_file: bool) -> None:
        statistics = train_statistics(root)
        (root / "statistics.json").write_text(statistics.to_json())
        dataset = TripletDataset(root, "train", normalise=root / "statistics.json" if as_file else statistics)
        values = np.array([[tile.numpy() for tile in triplet] for triplet in dataset], np.float64)
        np.testing.assert_allclose(values.mean((0, 1, 3, 4)), 0, atol=1e-6)
        np.testing.assert_allclose(values.std((0, 1, 3, 4)), 1, atol=1e-6)

    def test_statistics_of_other_bands(self, root: Path) -> None:
        with pytest.raises(StoreError, match=r"the statistics are of the bands R, G, B, and the tiles have image"):
            TileDataset(root, "trajectories", normalise=train_statistics(root))

    def test_a_constant_band_cannot_be_normalised(self, root: Path) -> None:
        attributes = {"tile": "a", "fingerprint": "0"}
        ArrayStore(Files(str(root)), "flat", "netcdf").write("a", field(np.ones((2, 4, 4)), attributes))
        statistics = collection_statistics([root / "flat" / "a.nc"])
        with pytest.raises(StoreError, match="R, G has no two values that differ"):
            TileDataset(root, "flat", normalise=statistics)

    @pytest.fixture
    def holed(self, root: Path) -> Path:
        values = random_values(1)
        values[1, :3] = np.nan  # in the south
        tiles = ArrayStore(Files(str(root)), "triplets/train", "netcdf")
        tiles.write("00002_neighbor", field(values, {"tile": "b", "triplet_collection": "train", "fingerprint": "0"}))
        return root

    def test_missing_values_are_an_error_that_names_the_tile(self, holed: Path) -> None:
        dataset = TripletDataset(holed, "train")
        dataset[1]
        with pytest.raises(StoreError, match=r"00002_neighbor\.nc: 8\.3% of the values are missing"):
            dataset[2]

    def test_missing_values_are_what_is_asked_for(self, holed: Path) -> None:
        statistics = train_statistics(holed)
        plain = TripletDataset(holed, "train", missing=-9.0)[2][1].numpy()
        normalised = TripletDataset(holed, "train", missing=0.0, normalise=statistics)[2][1].numpy()
        assert (plain[1, -3:] == -9).all()
        assert (normalised[1, -3:] == 0).all()
        expected = north_up(holed / "triplets/train/00002_neighbor.nc")
        there = ~np.isnan(expected)
        assert (~there).sum() == 3 * TILE_N
        np.testing.assert_array_equal(plain[there], expected[there])
        scaled = (expected - statistics.mean[:, None, None]) / statistics.std[:, None, None]
        np.testing.assert_allclose(normalised[there], scaled[there], rtol=1e-4, atol=1e-5)

    def test_an_error_in_a_worker_names_the_tile(self, holed: Path) -> None:
        with pytest.raises(StoreError, match=r"00002_neighbor\.nc: 8\.3% of the values are missing"):
            list(DataLoader(TripletDataset(holed, "train"), num_workers=1))


class TestTiles:
    def test_all_tiles_of_a_folder_by_name(self, root: Path) -> None:
        dataset = TileDataset(root, "triplets/train")
        assert dataset.names == sorted(path.stem for path in (root / "triplets/train").glob("*.nc"))
        for name, tensor in zip(dataset.names, dataset, strict=True):
            np.testing.assert_array_equal(tensor.numpy(), north_up(root / f"triplets/train/{name}.nc"))

    def test_tiles_of_one_type(self, root: Path) -> None:
        dataset = TileDataset(root, "triplets/train", tile_type="anchor")
        assert dataset.names == [f"{number:05d}_anchor" for number in range(N_TRIPLETS)]
        assert len(dataset) == N_TRIPLETS
        with pytest.raises(PlanError, match="no tiles of the type 'Anchor'"):
            TileDataset(root, "triplets/train", tile_type="Anchor")

    def test_a_type_without_tiles(self, root: Path) -> None:
        for path in (root / "triplets/train").glob("*_distant.nc"):
            path.unlink()
        with pytest.raises(StoreError, match="there are no distant tiles here"):
            TileDataset(root, "triplets/train", tile_type="distant")

    def test_a_field_without_bands_is_one_band(self, root: Path) -> None:
        dataset = TileDataset(root, "trajectories")
        assert dataset[0].shape == (1, TILE_N, TILE_N)
        np.testing.assert_array_equal(dataset[0].numpy(), north_up(root / f"trajectories/{dataset.names[0]}.nc"))

    def test_a_remote_root(self, root: Path) -> None:
        remote = Files("memory://torch-test")
        for path in root.glob("trajectories/*.nc"):
            remote.write_bytes(f"trajectories/{path.name}", path.read_bytes())
        here, there = TileDataset(root, "trajectories"), TileDataset("memory://torch-test", "trajectories")
        assert here.names == there.names
        assert all(torch.equal(a, b) for a, b in zip(here, there, strict=True))


class TestSlidingWindows:
    def expected(self, root: Path, tile_n: int, step: int) -> list[npt.NDArray[np.float32]]:
        scenes = [north_up(root / f"rect/{scene_id}.nc") for scene_id in (*SCENES[1:], SCENES[0])]
        ny, nx = SCENE_SHAPE
        return [
            scene[:, top : top + tile_n, left : left + tile_n]
            for scene in scenes
            for top in range(0, ny - tile_n + 1, step)
            for left in range(0, nx - tile_n + 1, step)
        ]

    @pytest.mark.parametrize(("tile_n", "step"), [(8, 5), (23, 1), (4, 10), (1, 30)])
    @pytest.mark.parametrize("array_format", ["netcdf", "zarr"])
    def test_they_are_slices_from_the_north_west_on(
        self, root: Path, tile_n: int, step: int, array_format: Format
    ) -> None:
        expected = self.expected(root, tile_n, step)
        if array_format == "zarr":
            for number, scene_id in enumerate(SCENES):
                write_scene(Files(str(root)), "rect", "zarr", scene_id, number)
                (root / f"rect/{scene_id}.nc").unlink()
        dataset = SlidingWindowDataset(root, tile_n, step)
        assert dataset.scene_ids == [*SCENES[1:], SCENES[0]]
        assert len(dataset) == len(expected)
        for index in (*range(len(expected)), -1, 0):
            np.testing.assert_array_equal(dataset[index].numpy(), expected[index])

    @pytest.mark.parametrize("method", ["fork", "spawn"])
    def test_workers_give_the_same_after_the_parent_has_read(self, root: Path, method: str) -> None:
        dataset = SlidingWindowDataset(root, 8, 5)
        first = dataset[0].numpy()
        found = torch.cat(list(DataLoader(dataset, batch_size=5, num_workers=2, multiprocessing_context=method)))
        np.testing.assert_array_equal(found.numpy(), np.array(self.expected(root, 8, 5)))
        np.testing.assert_array_equal(dataset[0].numpy(), first)

    def test_one_scene_at_a_time_is_open(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        opened: list[str] = []
        original = ArrayStore.open

        def counting(arrays: ArrayStore, key: str) -> xr.Dataset:
            opened.append(key)
            return original(arrays, key)

        dataset = SlidingWindowDataset(root, 8, 5)
        monkeypatch.setattr(ArrayStore, "open", counting)
        for _ in dataset:
            pass
        assert opened == dataset.scene_ids

    def test_the_place_of_a_tile(self, root: Path) -> None:
        dataset = SlidingWindowDataset(root, 8, 5)
        for index in (0, 7, len(dataset) - 1):
            scene_id, window = dataset.location(index)
            with xr.open_dataset(root / f"rect/{scene_id}.nc", engine="h5netcdf") as scene:
                cells = scene["image"].values[:, window.row0 : window.row1, window.col0 : window.col1]
            np.testing.assert_array_equal(dataset[index].numpy(), cells[:, ::-1])
        with pytest.raises(IndexError):
            dataset.location(len(dataset))

    def test_an_open_scene_is_not_pickled(self, root: Path) -> None:
        dataset = SlidingWindowDataset(root, 8, 5)
        dataset[3]
        again = pickle.loads(pickle.dumps(dataset))
        assert again._open is None
        np.testing.assert_array_equal(again[3].numpy(), dataset[3].numpy())

    def test_a_scene_of_another_shape(self, root: Path) -> None:
        ArrayStore(Files(str(root)), "rect", "netcdf").write(SCENES[0], field(random_values(1)))
        dataset = SlidingWindowDataset(root, 8, 5)
        with pytest.raises(StoreError, match=rf"{SCENES[0]}\.nc: this scene has another field"):
            dataset[-1]

    def test_what_cannot_be_sliced(self, root: Path) -> None:
        with pytest.raises(PlanError, match=r"tiles of 24 x 24 cells do not fit into scenes of 31 x 23"):
            SlidingWindowDataset(root, 24, 5)
        with pytest.raises(PlanError, match="step 0 must be 1 or more"):
            SlidingWindowDataset(root, 4, 0)
        with pytest.raises(StoreError, match="there are no scenes here"):
            SlidingWindowDataset(root, 4, 4, scenes="rect/aux/cloud")
        write_scene(Files(str(root)), "rect", "zarr", SCENES[0], 0)
        with pytest.raises(StoreError, match=r"scenes both in rect and in rect\.zarr"):
            SlidingWindowDataset(root, 4, 4)


def test_a_network_learns_from_triplets(tmp_path: Path) -> None:
    """Anchor and neighbor are streaks in one direction, the distant tile is in the other."""
    rng = np.random.default_rng(0)
    tiles = ArrayStore(Files(str(tmp_path)), "triplets/train", "netcdf")
    for number in range(8):
        along = int(rng.integers(2))
        for tile_type in TILE_TYPES:
            streaks = np.broadcast_to(rng.normal(50, 20, (1, 1, TILE_N)), (1, TILE_N, TILE_N))
            turned = (along + (tile_type == "distant")) % 2
            values = np.swapaxes(streaks, 1, 2) if turned else streaks
            attributes = {"tile": f"{number:05d}_{tile_type}", "triplet_collection": "train", "fingerprint": "0"}
            tiles.write(attributes["tile"], field(values, attributes))
    dataset = TripletDataset(tmp_path, "train", normalise=train_statistics(tmp_path))
    torch.manual_seed(0)
    network = torch.nn.Sequential(
        torch.nn.Conv2d(1, 8, 3),
        torch.nn.ReLU(),
        torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(),
        torch.nn.Linear(8, 4),
    )
    optimizer = torch.optim.Adam(network.parameters(), lr=0.02)
    loss_of = torch.nn.TripletMarginLoss()
    losses = []
    for _ in range(15):
        for batch in DataLoader(dataset, batch_size=8):
            loss = loss_of(*(network(tile) for tile in batch))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    assert losses[-1] < losses[0] / 2

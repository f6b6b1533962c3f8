"""Tiles in one Zarr store for each collection: what comes back, what is shown, and what a run that ended leaves."""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest
import xarray as xr
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from convml_data.errors import StoreError
from convml_data.store import packed_tiles
from convml_data.store.arrays import ArrayStore
from convml_data.store.files import Files
from convml_data.store.packed_tiles import PackedTile, PackedTiles
from convml_data.store.shown_tiles import TileFolder, tiles_there
from convml_data.tiles.plan import TILE_TYPES

TILE_N = 8
FOLDER = "triplets/train"
SCENES = ("goes16__202002021400", "goes16__202002021410", "goes16__202002021420")


class EndedError(Exception):
    """In place of the end of a process."""


def dataset(name: str, version: int = 0, tile_n: int = TILE_N) -> xr.Dataset:
    """A tile with all that tiles may have, other values for each name and version."""
    number = 3 * int(name.partition("_")[0]) + TILE_TYPES.index(name.partition("_")[2])
    random = np.random.default_rng([number, version])
    field = random.normal(size=(3, tile_n, tile_n)).astype(np.float32)
    field[:, 0, : number % tile_n] = np.nan
    return xr.Dataset(
        {
            "rgb": (("bands", "y", "x"), field, {"units": "%", "grid_mapping": "crs"}),
            "pixels": (("y", "x"), random.integers(0, 3, (tile_n, tile_n)).astype(np.int16)),
        },
        {
            "bands": ["R", "Grün", "B"],
            "x": ("x", np.arange(tile_n) + 0.1 * number, {"units": "m"}),
            "y": ("y", np.arange(tile_n) + 1 / 3),
            "crs": ((), np.int32(0), {"semi_major_axis": 6378137.0, "standard_parallel": np.array([1.5, 2.5])}),
            "height": np.float32(0.1),
        },
        {"tile": name, "i0": number, "valid_share": 1 / 3, "who": "Bjørn", "fingerprint": f"{number:06x}{version:06x}"},
    )


def names(*triplets: int) -> list[str]:
    return [f"{number:05d}_{kind}" for number in triplets for kind in TILE_TYPES]


def put(
    packed: PackedTiles, scene: int, of: Iterable[str], version: int = 0, *, whole: bool = True, tile_n: int = TILE_N
) -> None:
    """Pack tiles of a scene."""
    tiles = {name: dataset(name, version, tile_n) for name in of}
    packed.prepare(whole_triplets=whole)
    packed.scene(SCENES[scene]).write(
        {name: data.attrs["fingerprint"] for name, data in tiles.items()},
        (PackedTile(data, f"name: {name}\n") for name, data in tiles.items()),
    )


def assert_there(packed: PackedTiles, expected: Mapping[str, int]) -> None:
    """That these tiles are shown to whoever looks now, each of its version, and no others."""
    packed = PackedTiles(packed.files, packed.folder)
    assert packed.stored() == sorted(expected)
    for name, version in expected.items():
        tile, made = packed.open(name), dataset(name, version)
        np.testing.assert_array_equal(tile["rgb"], made["rgb"])
        assert tile.attrs == made.attrs


@pytest.fixture(name="packed", params=["local", "remote"])
def packed_fixture(request: pytest.FixtureRequest, tmp_path: Path) -> PackedTiles:
    """A collection without tiles."""
    root = str(tmp_path) if request.param == "local" else f"memory://{uuid4().hex}"
    return PackedTiles(Files(root), FOLDER)


@pytest.fixture(name="local")
def local_fixture(tmp_path: Path) -> PackedTiles:
    return PackedTiles(Files(str(tmp_path)), FOLDER)


@pytest.fixture(name="shards_of_two")
def shards_of_two_fixture(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed_tiles, "SHARD_VALUES", 2 * 3 * TILE_N**2)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_tile_is_that_of_its_file(packed: PackedTiles, tmp_path: Path, dtype: str) -> None:
    in_files = TileFolder(Files(str(tmp_path / "files")), FOLDER, "netcdf")
    tiles = {}
    for name in names(0, 1):
        data = dataset(name)
        data = data.assign(rgb=data["rgb"].astype(dtype))
        in_files.write(name, data)
        in_files.files.write_bytes(f"{FOLDER}/{name}.yml", f"name: {name}\n".encode())
        tiles[name] = PackedTile(data, f"name: {name}\n")
    packed.prepare(whole_triplets=True)
    packed.scene(SCENES[0]).write(dict.fromkeys(tiles, "as it is"), tiles.values())
    assert packed.stored() == in_files.stored()
    for name in packed.stored():
        with in_files.open(name) as expected:
            tile = packed.open(name)
            xr.testing.assert_identical(tile, expected)
            assert {key: value.dtype for key, value in tile.variables.items()} == {
                key: value.dtype for key, value in expected.variables.items()
            }
            assert tile["rgb"].attrs["grid_mapping"] == "crs" == expected["rgb"].attrs["grid_mapping"]
        assert packed.attributes(name) == in_files.attributes(name)
        assert packed.yml(name) == in_files.yml(name)
        np.testing.assert_array_equal(packed.values(name, "rgb"), in_files.values(name, "rgb"))


@settings(max_examples=40)
@given(
    values=st.lists(st.floats(width=32), min_size=4, max_size=4),
    attribute=st.one_of(st.text(), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False), st.booleans()),
    number=st.floats(allow_nan=False),
    yml=st.text(),
)
def test_what_is_packed_comes_back(
    tmp_path_factory: pytest.TempPathFactory, values: list[float], attribute: object, number: float, yml: str
) -> None:
    data = xr.Dataset(
        {"a": (("y", "x"), np.array(values, np.float32).reshape(2, 2), {"of": attribute})},
        {"x": [number, number + 1], "time": np.datetime64("2020-02-02T14:00:00.123456789", "ns"), "b": number},
        {"attribute": attribute},
    )
    packed = PackedTiles(Files(str(tmp_path_factory.mktemp("packed"))), "trajectories")
    packed.prepare(whole_triplets=False)
    packed.scene(SCENES[0]).write({"one": "f"}, [PackedTile(data, yml)])
    tile = packed.open("one")
    xr.testing.assert_identical(tile, data)
    assert tile["a"].values.tobytes() == data["a"].values.tobytes()
    assert packed.yml("one") == yml


class TestWhatIsShown:
    def test_complete_triplets(self, packed: PackedTiles) -> None:
        put(packed, 0, names(0, 2)[:-1])
        assert packed.stored() == sorted(names(0))
        assert list(packed.scene(SCENES[0]).made_from()) == names(0, 2)[:-1]
        put(packed, 1, names(2)[-1:])
        assert_there(packed, dict.fromkeys(names(0, 2), 0))
        assert packed.scene_ids() == list(SCENES[:2])

    def test_single_tiles(self, packed: PackedTiles) -> None:
        put(packed, 0, names(4)[1:2], whole=False)
        assert_there(packed, dict.fromkeys(names(4)[1:2], 0))

    def test_a_tile_without_values_is_a_tile(self, packed: PackedTiles) -> None:
        name, absent = names(1)[:2]
        data = dataset(name)
        data["rgb"][:] = np.nan
        data["pixels"][:] = 0
        packed.prepare(whole_triplets=False)
        packed.scene(SCENES[0]).write({name: "f"}, [PackedTile(data, "")])
        assert packed.open(name)["rgb"].isnull().all()
        for missing in (absent, "other"):
            assert packed.attributes(missing) is None
            with pytest.raises(StoreError, match="no such tile"):
                packed.open(missing)
            with pytest.raises(StoreError, match="no such tile"):
                packed.values(missing, "rgb")

    def test_none_without_a_store(self, packed: PackedTiles) -> None:
        assert packed.stored() == packed.scene_ids() == []
        assert packed.scene(SCENES[0]).whole() == {}
        assert packed.attributes(names(0)[0]) is None
        assert not packed.is_there

    def test_a_scene_is_replaced_whole(self, packed: PackedTiles) -> None:
        put(packed, 0, names(0, 1))
        put(packed, 1, names(5))
        put(packed, 0, names(1, 7), version=1)
        assert_there(packed, dict.fromkeys(names(5), 0) | dict.fromkeys(names(1, 7), 1))

    def test_a_tile_of_two_scenes_is_neither(self, packed: PackedTiles) -> None:
        put(packed, 0, names(0))
        put(packed, 1, names(0)[:1], version=1)
        with pytest.raises(StoreError, match=f"00000_anchor is there twice, of the scenes {SCENES[0]} and {SCENES[1]}"):
            packed.stored()

    def test_a_scene_is_removed(self, packed: PackedTiles) -> None:
        put(packed, 0, names(0))
        put(packed, 1, names(1))
        packed.scene(SCENES[0]).remove()
        assert_there(packed, dict.fromkeys(names(1), 0))


@pytest.mark.usefixtures("shards_of_two")
class TestShards:
    def test_one_is_held_at_a_time(self, local: PackedTiles) -> None:
        made = 0

        def tiles() -> Iterator[PackedTile]:
            nonlocal made
            for name in names(0, 1)[:5]:
                made += 1
                yield PackedTile(dataset(name), "")
                shards = list(Path(local.files.path(".partial")).glob("*/rgb/c/*/0/0/0"))
                assert len(shards) == made // 2

        local.prepare(whole_triplets=False)
        local.scene(SCENES[0]).write(dict.fromkeys(names(0, 1)[:5], "f"), tiles())
        assert made == 5
        assert_there(local, dict.fromkeys(names(0, 1)[:5], 0))

    def test_the_store_is_one_that_zarr_opens(self, local: PackedTiles) -> None:
        put(local, 0, names(0))
        group = zarr.open_group(local.files.path(local.place), mode="r")
        array = group[f"{SCENES[0]}/rgb"]
        assert isinstance(array, zarr.Array)
        assert (array.shape, array.chunks, array.shards) == ((3, 3, 8, 8), (1, 3, 8, 8), (2, 3, 8, 8))
        np.testing.assert_array_equal(np.asarray(array[1]), dataset(names(0)[1])["rgb"])
        with xr.open_zarr(local.files.path(f"{local.place}/{SCENES[0]}"), consolidated=False) as opened:
            assert opened["rgb"].dims == ("tile", "bands", "y", "x")


def test_tiles_of_other_shapes_are_an_error_and_take_nothing_away(local: PackedTiles) -> None:
    put(local, 0, names(0))
    tiles = [PackedTile(dataset(name, tile_n=tile_n), "") for name, tile_n in zip(names(1)[:2], (8, 4), strict=True)]
    with pytest.raises(StoreError, match=r"differ in their variables.*\(3, 8, 8\).*\(3, 4, 4\)"):
        local.scene(SCENES[0]).write(dict.fromkeys(names(1)[:2], "f"), tiles)
    assert_there(local, dict.fromkeys(names(0), 0))
    assert not list(Path(local.files.path(".partial")).iterdir())


@pytest.mark.usefixtures("shards_of_two")
class TestDamage:
    @pytest.mark.parametrize("how", ["missing", "cut"])
    def test_a_shard_that_is_not_whole_is_no_tile_of_nan(self, packed: PackedTiles, how: str) -> None:
        put(packed, 0, names(0))
        shard = f"{packed.place}/{SCENES[0]}/rgb/c/1/0/0/0"
        content = packed.files.read_bytes(shard)
        if how == "missing":
            packed.files.remove(shard)
        else:
            packed.files.write_bytes(shard, content[:-1])
        for read in (packed.open, lambda name: packed.values(name, "rgb"), packed.yml):
            with pytest.raises(StoreError, match=r"rgb/c/1/0/0/0 is (missing|not as long as it was)"):
                read(names(0)[0])
        assert packed.scene(SCENES[0]).whole() == {}

    @pytest.mark.parametrize("array", ["rgb/c/0/0/0/0", "description/c/0", "x/c/0/0"])
    def test_changed_bytes(self, local: PackedTiles, array: str) -> None:
        put(local, 0, names(0))
        path = Path(local.files.path(f"{local.place}/{SCENES[0]}/{array}"))
        content = bytearray(path.read_bytes())
        for i in range(30, len(content) - 30, 7):
            content[i] ^= 0xFF
        path.write_bytes(content)
        with pytest.raises(StoreError, match=rf"{SCENES[0]}: .* cannot be read .* delete them"):
            local.open(names(0)[0])

    @pytest.mark.parametrize("content", [b"{", b"{}", b'{"attributes": {"tiles": ["a"], "fingerprints": []}}'])
    def test_a_group_whose_list_is_damaged_is_an_error(self, packed: PackedTiles, content: bytes) -> None:
        put(packed, 0, names(0))
        packed.files.write_bytes(f"{packed.place}/{SCENES[0]}/zarr.json", content)
        assert packed.scene(SCENES[0]).whole() == {}
        with pytest.raises(StoreError, match=f"{SCENES[0]}: these packed tiles cannot be read"):
            packed.stored()

    @pytest.mark.parametrize(
        "content", [None, b"[]", b'{"attributes": {"format_version": 99, "whole_triplets": true}}']
    )
    def test_a_head_that_is_missing_or_of_another_form(self, packed: PackedTiles, content: bytes | None) -> None:
        put(packed, 0, names(0))
        head = f"{packed.place}/zarr.json"
        packed.files.remove(head) if content is None else packed.files.write_bytes(head, content)
        with pytest.raises(StoreError, match=r"no whole store of tiles|format version 99"):
            packed.stored()
        packed.prepare(whole_triplets=True)
        assert_there(packed, dict.fromkeys(names(0), 0) if content is None else {})


@pytest.mark.parametrize("after", range(3))
def test_a_run_that_ended_leaves_what_was_there(packed: PackedTiles, after: int) -> None:
    put(packed, 0, names(0))

    def tiles() -> Iterator[PackedTile]:
        for number, name in enumerate(names(0)):
            if number == after:
                raise EndedError
            yield PackedTile(dataset(name, version=1), "")

    with pytest.raises(EndedError):
        packed.scene(SCENES[0]).write(dict.fromkeys(names(0), "f"), tiles())
    assert_there(packed, dict.fromkeys(names(0), 0))


def test_runs_at_once_lose_nothing(packed: PackedTiles) -> None:
    def add(number: int) -> None:
        scene = number % 3
        put(PackedTiles(packed.files, FOLDER), scene, [f"{scene:05d}_{kind}" for kind in TILE_TYPES])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(add, range(24 if packed.files.is_local else 3)))
    assert_there(packed, dict.fromkeys(names(0, 1, 2), 0))


def test_what_a_run_keeps_costs_the_same_whatever_other_scenes_there_are(
    local: PackedTiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    for scene in range(3):
        put(local, scene, names(scene))
    read: list[str] = []
    read_bytes = Files.read_bytes
    monkeypatch.setattr(Files, "read_bytes", lambda files, name: read.append(name) or read_bytes(files, name))
    scene = local.scene(SCENES[0])
    assert list(scene.whole()) == names(0)
    assert [scene.described(name)["attributes"]["tile"] for name in names(0)] == names(0)
    assert read == [f"{local.place}/{SCENES[0]}/zarr.json"]


def test_it_can_be_handed_to_other_processes(local: PackedTiles) -> None:
    put(local, 0, names(0))
    name = names(0)[0]
    local.open(name)
    handed: PackedTiles = pickle.loads(pickle.dumps(local))
    xr.testing.assert_identical(handed.open(name), local.open(name))


def test_tiles_in_both_forms_are_an_error(local: PackedTiles) -> None:
    assert isinstance(tiles_there(local.files, FOLDER), TileFolder)
    put(local, 0, names(0))
    assert isinstance(tiles_there(local.files, FOLDER), PackedTiles)
    ArrayStore(local.files, FOLDER, "netcdf").write(names(0)[0], dataset(names(0)[0]))
    with pytest.raises(StoreError, match=r"both in triplets/train and in triplets/train\.zarr"):
        tiles_there(local.files, FOLDER)

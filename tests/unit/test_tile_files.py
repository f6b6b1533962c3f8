from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import yaml

from convml_data.tiles.files import tile_attributes, tile_yml
from convml_data.tiles.plan import TileSpec

TILE = TileSpec(
    collection="train",
    triplet_id=3,
    tile_type="distant",
    scene_id="goes16__202002021400",
    x_c=1000.5,
    y_c=-2e-5,
    central_latitude=13.2,
    central_longitude=-57.7,
    length=25600.0,
    resolution=100.0,
    distant_from_same_scene=True,
)
OTHER = TileSpec("study", 0, "anchor", "goes16__202002021410", 0.0, 0.0, 1.0, 2.0, 500.0, 50.0, False)


def attributes_of(tile: TileSpec) -> dict[str, object]:
    # As they come back from a file: numpy's types.
    return {
        "scene_time": np.str_("2020-02-02T14:00:16"),
        "valid_share": np.float64(0.5),
        **tile_attributes(tile, "123456789012"),
    }


@pytest.mark.parametrize("tile", [TILE, OTHER])
def test_the_text_is_the_same_whichever_emitter_wrote_it(tile: TileSpec) -> None:
    text = tile_yml(tile, attributes_of(tile) | {"aux_name": "Wolken: 2° über", "aux_offset_s": -12.5})
    assert text == yaml.safe_dump(yaml.safe_load(text), sort_keys=False, allow_unicode=True)


def test_the_yml_says_where_the_tile_is_in_plain_types():
    assert yaml.safe_load(tile_yml(TILE, attributes_of(TILE))) == {
        "loc": {
            "x_c": 1000.5,
            "y_c": -2e-5,
            "l_zonal": 25600.0,
            "l_meridional": 25600.0,
            "central_latitude": 13.2,
            "central_longitude": -57.7,
        },
        "tile_type": "distant",
        "triplet_id": 3,
        "triplet_collection": "train",
        "scene_id": "goes16__202002021400",
        "scene_time": "2020-02-02T14:00:16",
        "distant_from_same_scene": True,
        "resolution": 100.0,
        "tile_N": 256,
        "valid_share": 0.5,
        "fingerprint": "123456789012",
    }


def test_all_tiles_have_the_same_keys():
    def keys(tile: TileSpec) -> list[str]:
        return list(yaml.safe_load(tile_yml(tile, attributes_of(tile))))

    assert keys(TILE) == keys(OTHER)
    assert list(tile_attributes(TILE, "a")) == list(tile_attributes(OTHER, "b"))


def test_a_tile_without_a_scene_time_is_not_described():
    with pytest.raises(KeyError):
        tile_yml(TILE, tile_attributes(TILE, "a"))


def test_attributes_survive_a_netcdf_file_as_scalars(tmp_path: Path):
    attributes = tile_attributes(TILE, "123456789012")
    path = tmp_path / "tile.nc"
    xr.Dataset({"a": ("x", [1.0])}, attrs=attributes).to_netcdf(path, engine="h5netcdf")

    with xr.open_dataset(path, engine="h5netcdf") as read:
        assert read.attrs == attributes
        assert all(np.ndim(value) == 0 for value in read.attrs.values())
    assert attributes["tile"] == "00003_distant"
    # The reader's own columns.
    assert not {"triplet_id", "tile_type", "filepath"} & set(attributes)

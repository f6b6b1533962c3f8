"""Statistics of tiles on disk, and their file."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import xarray as xr

from convml_data.errors import StoreError
from convml_data.report import statistics as statistics_module
from convml_data.report.statistics import (
    MAX_BINS,
    BandStatistics,
    Histogram,
    Statistics,
    collection_statistics,
    fingerprint_of_tiles,
    read_statistics,
    tile_statistics,
)
from convml_data.store.own_netcdf import write_netcdf


def tile(values: npt.ArrayLike, name: str = "00000_anchor", **attributes: Any) -> xr.Dataset:
    array = np.asarray(values, np.float32)
    bands = {"bands": ["C01", "C13"][: len(array)]} if array.ndim == 3 else {}
    return xr.Dataset(
        {"image": (("bands", "y", "x")[-array.ndim :], array, {"units": "%"})},
        {"y": np.arange(array.shape[-2]), "x": np.arange(array.shape[-1]), **bands},
        {"tile": name, "triplet_collection": "train", "fingerprint": f"of {name}", **attributes},
    )


@pytest.fixture
def tiles(tmp_path: Path) -> list[Path]:
    """Three of two bands, with a missing row in the second band of the last."""
    paths = []
    for number in range(3):
        values = np.random.default_rng(number).normal((([[20.0]]), [[280.0]]), 5 + number, (2, 9, 7))
        if number == 2:
            values[1, 0] = np.nan
        paths.append(tmp_path / f"{number:05d}_anchor.nc")
        write_netcdf(paths[-1], tile(values, paths[-1].stem))
    return paths


def values_of(paths: list[Path], band: int) -> npt.NDArray[np.float64]:
    parts = []
    for path in paths:
        with xr.open_dataset(path, engine="h5netcdf") as data:
            parts.append(data["image"].values[band].ravel().astype(np.float64))
    everything = np.concatenate(parts)
    return everything[~np.isnan(everything)]


def test_those_of_a_collection_are_those_of_all_its_values(tiles: list[Path]) -> None:
    found = collection_statistics(tiles)
    assert (found.collection, found.tiles, list(found.bands)) == ("train", 3, ["C01", "C13"])
    assert found.units == {"C01": "%", "C13": "%"}
    assert [band.missing for band in found.bands.values()] == [0, 7]
    for index, band in enumerate(found.bands.values()):
        expected = values_of(tiles, index)
        assert (band.count, band.min, band.max) == (expected.size, expected.min(), expected.max())
        np.testing.assert_allclose([band.mean, band.std], [expected.mean(), expected.std()], rtol=1e-12)
        counts, _ = np.histogram(expected, band.histogram.edges)
        assert band.histogram.counts == tuple(counts)
        assert MAX_BINS / 4 < len(counts) <= MAX_BINS
    assert collection_statistics(tiles[::-1]).fingerprint == found.fingerprint
    assert collection_statistics(tiles[1:]).fingerprint != found.fingerprint
    assert found.fingerprint == fingerprint_of_tiles([(path.stem, f"of {path.stem}") for path in tiles])


def test_the_histogram_has_edges_that_people_can_read() -> None:
    histogram = Histogram.of(np.array([0.0, 0.5, 99.9, 100.0]))
    assert histogram.edges[[0, 1, -1]].tolist() == [0.0, 0.5, 100.5]
    assert histogram.counts[:2] == (1, 1)
    assert histogram.counts[-2:] == (1, 1)
    assert histogram.to_dict() == {"first_edge": 0.0, "bin_width": 0.5, "counts": list(histogram.counts)}


def test_edges_below_zero_are_multiples_of_the_width_too() -> None:
    histogram = Histogram.of(np.array([-300.0, -299.0, 200.0]))
    assert (histogram.edges[0], histogram.edges[-1]) == (-300.0, 202.0)
    assert histogram.exponent == 1
    assert histogram.counts[0] == 2


def test_an_empty_band() -> None:
    nothing, some = BandStatistics.of(np.full((3, 4), np.nan)), BandStatistics.of([1.0, 2.0])
    assert (nothing.count, nothing.missing) == (0, 12)
    assert all(math.isnan(value) for value in (nothing.mean, nothing.std, nothing.min, nothing.max))
    assert nothing.to_dict()["mean"] is None
    for merged in (nothing.merged(some), some.merged(nothing)):
        assert (merged.count, merged.missing, merged.mean) == (2, 12, 1.5)
    assert nothing.merged(nothing).missing == 24


def test_a_constant_band_has_no_deviation() -> None:
    band = BandStatistics.of(np.full(10, 0.1)).merged(BandStatistics.of(np.full(7, 0.1)))
    assert (band.mean, band.std, band.min, band.max) == (0.1, 0.0, 0.1, 0.1)
    assert band.histogram.counts == (17,)


def test_small_deviations_on_large_values_are_kept() -> None:
    values = 1e6 + np.random.default_rng(0).normal(0, 1e-2, 4000)
    parts = [BandStatistics.of(part) for part in np.split(values, 40)]
    merged = parts[0]
    for part in parts[1:]:
        merged = merged.merged(part)
    np.testing.assert_allclose(merged.std, values.std(), rtol=1e-6)


def test_infinite_values_are_refused(tmp_path: Path) -> None:
    write_netcdf(tmp_path / "a.nc", tile([[1.0, np.inf]]))
    with pytest.raises(StoreError, match=r"a\.nc: image: there are infinite values"):
        tile_statistics(tmp_path / "a.nc")


def test_a_field_without_bands_and_bands_with_their_own_units(tmp_path: Path) -> None:
    write_netcdf(tmp_path / "a.nc", tile([[1.0, 2.0]]))
    assert tile_statistics(tmp_path / "a.nc").units == {"image": "%"}
    both = tile(np.ones((2, 3, 3))).assign_coords(band_units=("bands", ["%", "K"]))
    del both["image"].attrs["units"]
    write_netcdf(tmp_path / "b.nc", both)
    assert tile_statistics(tmp_path / "b.nc").units == {"C01": "%", "C13": "K"}


def test_tiles_that_do_not_belong_together(tmp_path: Path) -> None:
    write_netcdf(tmp_path / "a.nc", tile(np.ones((2, 3, 3))))
    write_netcdf(tmp_path / "study.nc", tile(np.ones((2, 3, 3)), triplet_collection="study"))
    write_netcdf(tmp_path / "one.nc", tile(np.ones((1, 3, 3))))
    kelvin = tile(np.ones((2, 3, 3)))
    kelvin["image"].attrs["units"] = "K"
    write_netcdf(tmp_path / "kelvin.nc", kelvin)
    for name, what in (("study", "collection"), ("one", "bands"), ("kelvin", "units")):
        with pytest.raises(StoreError, match=f"tiles of different {what} have no statistics in common"):
            collection_statistics([tmp_path / "a.nc", tmp_path / f"{name}.nc"])


def test_what_is_no_tile(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there are no tiles to make statistics of"):
        collection_statistics([])
    with pytest.raises(StoreError, match=r"absent\.nc: this cannot be opened"):
        tile_statistics(tmp_path / "absent.nc")
    (tmp_path / "text.nc").write_text("text")
    with pytest.raises(StoreError, match=r"text\.nc: this cannot be opened"):
        tile_statistics(tmp_path / "text.nc")
    write_netcdf(tmp_path / "scene.nc", tile([[1.0]]).drop_attrs())
    with pytest.raises(StoreError, match=r"scene\.nc: this is no tile"):
        tile_statistics(tmp_path / "scene.nc")
    write_netcdf(tmp_path / "turned.nc", tile([[1.0]]).transpose("x", "y"))
    with pytest.raises(StoreError, match=r"turned\.nc: the field image is \('x', 'y'\)"):
        tile_statistics(tmp_path / "turned.nc")
    write_netcdf(tmp_path / "twins.nc", tile(np.ones((2, 3, 3))).assign_coords(bands=["A", "A"]))
    with pytest.raises(StoreError, match=r"twins\.nc: bands of the field image share a name: A, A"):
        tile_statistics(tmp_path / "twins.nc")


class TestFile:
    @pytest.fixture
    def found(self, tiles: list[Path]) -> Statistics:
        return collection_statistics(tiles)

    def test_what_is_written_is_read(self, found: Statistics, tmp_path: Path) -> None:
        path = tmp_path / "statistics.json"
        path.write_text(found.to_json())
        assert read_statistics(path) == found
        assert read_statistics(path).to_json() == found.to_json()

    def test_without_values_too(self) -> None:
        empty = Statistics("", 1, "0" * 12, {"a": BandStatistics.of([np.nan])}, {"a": None})
        again = Statistics.from_json(empty.to_json(), "here")
        assert again.to_json() == empty.to_json()
        assert np.isnan(again.mean).all()

    def test_it_loads_as_documented(self, found: Statistics, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "statistics.json").write_text(found.to_json())
        monkeypatch.chdir(tmp_path)
        documented = (statistics_module.__doc__ or "").partition("::")[2]
        names: dict[str, Any] = {"json": json, "np": np, "tile": np.full((2, 4, 4), 25.0)}
        exec("\n".join(line.strip() for line in documented.splitlines()), names)
        np.testing.assert_array_equal(names["mean"], found.mean)
        np.testing.assert_array_equal(names["std"], found.std)
        np.testing.assert_allclose(names["normalised"][1], (25.0 - found.mean[1]) / found.std[1])

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "{",
            "[]",
            "{}",
            "3",
            '{"format_version": 1}',
            '{"format_version": 1, "collection": "", "tiles": 1, "fingerprint": "", "bands": [{"name": "a"}]}',
        ],
    )
    def test_what_is_none_is_refused(self, text: str) -> None:
        with pytest.raises(StoreError, match=r"here: these are no statistics"):
            Statistics.from_json(text, "here")

    def test_damage_is_refused(self, found: Statistics) -> None:
        text = found.to_json()
        width = f'"bin_width": {found.bands["C01"].histogram.to_dict()["bin_width"]}'
        assert width in text
        for other in ("0.0", "0.3", "-1.0"):
            with pytest.raises(StoreError, match=f"these are no statistics .*{other} is no power of two"):
                Statistics.from_json(text.replace(width, f'"bin_width": {other}'), "here")
        with pytest.raises(StoreError, match="format version 2, not 1"):
            Statistics.from_json(text.replace('"format_version": 1', '"format_version": 2'), "here")

    def test_a_file_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(StoreError, match=r"none\.json: these statistics cannot be read \(No such file"):
            read_statistics(tmp_path / "none.json")

"""Data of many scenes in one store: what it holds is the parts as they are, however they came, and old ones stay."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from convml_data.store.files import Files
from convml_data.store.growing import Parts, grow, write_whole

X = np.array([-5.0, 0.0, 5.0])


def part(key: str, value: int, rows: int) -> xr.Dataset:
    """Rows of one key that hold its value; of no value where that is 0."""
    emb = np.full((rows, 4, 3), value or np.nan, np.float32)
    return xr.Dataset(
        {"emb": (("tile_id", "emb_dim", "x"), emb, {"units": "1"})},
        {
            "tile_id": [f"{key}_{row}" for row in range(rows)],
            "time": ("tile_id", np.full(rows, np.datetime64("2020-02-02T14:00:00") + value, "datetime64[ns]")),
            "x": ("x", X, {"units": "m"}),
            "height": 2.5,
        },
    )


def parts_of(values: dict[str, tuple[int, int]], settings: str = "a", dim: str = "tile_id") -> Parts:
    return Parts(
        dim,
        {key: f"{value}.{rows}" for key, (value, rows) in values.items()},
        settings,
        lambda key: part(key, *values[key]),
        {"model": "net"},
    )


def opened(folder: Path, name: str = "all.zarr") -> xr.Dataset:
    suffix = name.rpartition(".")[2]
    if suffix == "zarr":
        return xr.open_zarr(folder / name, consolidated=False).load()
    with xr.open_dataset(folder / name, engine="h5netcdf") as data:
        return data.load()


def rows_of(data: xr.Dataset) -> dict[str, Any]:
    values = data["emb"].values
    assert values.shape[1:] == (4, 3)
    np.testing.assert_array_equal(data["x"], X)
    assert data["height"].item() == 2.5
    assert "time" in data.coords
    assert data["x"].attrs["units"] == "m"
    same = np.array([(np.isnan(row) == np.isnan(row[0, 0])).all() and np.nanmin([*row.flat, 1e9]) for row in values])
    assert len(same) == len(values)
    return {
        str(name): (0 if np.isnan(row[0, 0]) else int(row[0, 0]), str(time))
        for name, row, time in zip(data["tile_id"].values, values, data["time"].values, strict=True)
    }


def expected(values: dict[str, tuple[int, int]]) -> dict[str, Any]:
    return {
        f"{key}_{row}": (value, str(np.datetime64("2020-02-02T14:00:00", "ns") + np.timedelta64(value, "s")))
        for key, (value, rows) in values.items()
        for row in range(rows)
    }


SOME = st.dictionaries(st.sampled_from("abcdef"), st.tuples(st.integers(0, 9), st.integers(1, 3)), min_size=1)


@settings(max_examples=25, deadline=None)
@given(st.lists(SOME, min_size=1, max_size=4))
def test_whatever_happened_before_the_store_holds_what_there_is(
    tmp_path_factory: pytest.TempPathFactory, states: list[dict[str, tuple[int, int]]]
) -> None:
    folder = tmp_path_factory.mktemp("growing")
    for state in states:
        grow(Files(str(folder)), "all.zarr", parts_of(state))
        assert rows_of(opened(folder)) == expected(state)
    write_whole(Files(str(folder)), "all.nc", parts_of(states[-1]))
    assert rows_of(opened(folder, "all.nc")) == expected(states[-1])


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(str(tmp_path))


def chunks(folder: Path) -> dict[str, int]:
    """When each chunk of embeddings was written, nanoseconds."""
    files = [path for path in (folder / "all.zarr/emb/c").rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.stat().st_mtime_ns for path in files}


def test_new_parts_do_not_touch_old_ones(files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("convml_data.store.growing.CHUNK_VALUES", 12)  # a row
    state = {"a": (1, 2), "b": (2, 1)}
    first = grow(files, "all.zarr", parts_of(state))
    assert (first.added, first.kept, first.rewritten) == (2, 0, True)
    before = chunks(tmp_path)
    assert len(before) == 3
    second = grow(files, "all.zarr", parts_of(state | {"c": (3, 1)}))
    assert (second.added, second.replaced, second.kept, second.rewritten) == (1, 0, 2, False)
    after = chunks(tmp_path)
    assert {name: after[name] for name in before} == before
    assert len(after) == 4
    third = grow(files, "all.zarr", parts_of(state | {"b": (7, 1), "c": (3, 1)}))
    assert (third.added, third.replaced, third.kept, third.rewritten) == (0, 1, 2, False)
    last = chunks(tmp_path)
    assert [name for name in after if last[name] != after[name]] == ["all.zarr/emb/c/2/0/0"]
    assert rows_of(opened(tmp_path)) == expected(state | {"b": (7, 1), "c": (3, 1)})


def test_what_a_killed_run_left_is_made_anew(files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = {"a": (1, 2)}
    grow(files, "all.zarr", parts_of(state))

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("convml_data.store.growing._note", killed)
        with pytest.raises(KeyboardInterrupt):
            grow(files, "all.zarr", parts_of(state | {"b": (2, 1)}))
    growth = grow(files, "all.zarr", parts_of(state | {"b": (2, 1)}))
    assert growth.rewritten
    assert rows_of(opened(tmp_path)) == expected(state | {"b": (2, 1)})


def test_other_settings_make_all_of_it_anew(files: Files) -> None:
    grow(files, "all.zarr", parts_of({"a": (1, 2)}))
    assert not grow(files, "all.zarr", parts_of({"a": (1, 2)})).rewritten
    assert grow(files, "all.zarr", parts_of({"a": (1, 2)}, settings="b")).rewritten


def test_a_damaged_store_is_made_anew(files: Files, tmp_path: Path) -> None:
    grow(files, "all.zarr", parts_of({"a": (1, 2)}))
    (tmp_path / "all.zarr/emb/zarr.json").write_text("{")
    assert grow(files, "all.zarr", parts_of({"a": (1, 2)})).rewritten
    assert rows_of(opened(tmp_path)) == expected({"a": (1, 2)})

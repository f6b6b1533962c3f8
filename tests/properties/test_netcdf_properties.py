"""netCDF files of our own: what is written is what every program reads, and the same each time."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from convml_data.errors import StoreError
from convml_data.store.own_netcdf import CHUNK_SIDE, open_own_netcdf, write_netcdf

TEXTS = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=12)
NAMES = st.text("abcdefgh_", min_size=1, max_size=8).filter(lambda name: name[0] != "_")
ATTRIBUTES = st.dictionaries(
    NAMES.map(lambda name: f"a_{name}"),
    st.one_of(
        TEXTS,
        st.integers(-(2**63), 2**63 - 1),
        st.floats(allow_nan=False),
        st.lists(st.floats(allow_nan=False), min_size=2, max_size=4),
    ),
    max_size=4,
)
DTYPES = st.sampled_from(["f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", ">f4", ">i2"])
SIDES = st.sampled_from([1, 2, 3, CHUNK_SIDE - 1, CHUNK_SIDE, CHUNK_SIDE + 1, 2 * CHUNK_SIDE + 3])

PARTS = st.builds(
    lambda first, length, step: slice(first, first + length, step),
    st.integers(0, 2 * CHUNK_SIDE),
    st.integers(1, 2 * CHUNK_SIDE),
    st.integers(1, 5),
)


@st.composite
def datasets(draw: st.DrawFn) -> xr.Dataset:
    """Up to three variables of up to three dimensions, some with coordinates; times, text and numbers among them."""
    sizes = dict(zip(("bands", "y", "x"), (draw(st.integers(1, 3)), draw(SIDES), draw(SIDES)), strict=True))
    coordinates: dict[str, Any] = {"projection": ((), np.int32(0), {"grid_mapping_name": "made_up"})}
    if draw(st.booleans()):
        coordinates["bands"] = [f"{draw(TEXTS)}{number}" for number in range(sizes["bands"])]
    if draw(st.booleans()):
        coordinates["y"] = ("y", np.arange(sizes["y"]) * -1.5, draw(ATTRIBUTES))
    if draw(st.booleans()):
        coordinates["time"] = ("x", np.datetime64("2020-02-02T14:00", "ns") + np.arange(sizes["x"]) * 10**9)
    if draw(st.booleans()):
        coordinates["note"] = ("bands", np.array([draw(TEXTS) for _ in range(sizes["bands"])], object))
    variables = {}
    for name in draw(st.lists(NAMES.map(lambda name: f"v_{name}"), min_size=1, max_size=3, unique=True)):
        dims = draw(st.sampled_from([("bands", "y", "x"), ("y", "x"), ("x",), ()]))
        shape = tuple(sizes[dim] for dim in dims)
        of_few = draw(arrays_of.arrays(draw(DTYPES), tuple(min(side, 3) for side in shape)))
        values = np.resize(of_few, shape)
        variables[name] = (dims, values, {"grid_mapping": "projection", **draw(ATTRIBUTES)})
    return xr.Dataset(variables, coordinates, draw(ATTRIBUTES))


def as_read(data: xr.Dataset) -> xr.Dataset:
    """Without what decoding puts elsewhere."""
    data = data.load()
    for variable in data.variables.values():
        variable.attrs.pop("grid_mapping", None)
        variable.attrs = {name: np.asarray(value).tolist() for name, value in variable.attrs.items()}
    return data.assign_attrs({name: np.asarray(value).tolist() for name, value in data.attrs.items()}).drop_encoding()


@given(data=datasets())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_reader_finds_what_was_written(tmp_path: Path, data: xr.Dataset) -> None:
    path, expected = tmp_path / "x.nc", as_read(data.copy(deep=True))
    write_netcdf(path, data)
    content = path.read_bytes()
    with open_own_netcdf(str(path)) as found:
        xr.testing.assert_identical(as_read(found), expected)
        assert {name: variable.dtype.kind for name, variable in found.data_vars.items()} == {
            name: variable.dtype.kind for name, variable in data.data_vars.items()
        }
    for engine in ("h5netcdf", "netcdf4"):
        with xr.open_dataset(path, engine=engine, decode_coords="all") as found:  # type: ignore[arg-type]
            xr.testing.assert_identical(as_read(found), expected)
    write_netcdf(path, data)
    assert path.read_bytes() == content


@given(data=datasets(), engine=st.sampled_from(["h5netcdf", "netcdf4"]))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_other_writers_wrote_is_read(tmp_path: Path, data: xr.Dataset, engine: Any) -> None:
    """Such as earlier versions of this program."""
    data.to_netcdf(tmp_path / "x.nc", engine=engine)
    with open_own_netcdf(str(tmp_path / "x.nc")) as found:
        xr.testing.assert_identical(as_read(found), as_read(data))


@given(data=datasets(), rows=PARTS, columns=PARTS)
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_parts_are_read_without_the_rest(tmp_path: Path, data: xr.Dataset, rows: slice, columns: slice) -> None:
    write_netcdf(tmp_path / "x.nc", data)
    part = {"y": rows, "x": columns}
    with open_own_netcdf(str(tmp_path / "x.nc")) as found:
        read, expected = found.isel(part, missing_dims="ignore"), data.isel(part, missing_dims="ignore")
        for name in data.data_vars:
            np.testing.assert_array_equal(read[name].values, expected[name].values)


def test_scales_are_those_of_hdf5_and_other_programs_may_add_to_the_file(tmp_path: Path) -> None:
    import netCDF4

    path = tmp_path / "x.nc"
    write_netcdf(path, xr.Dataset({"v": (("y", "x"), np.ones((4, 5), np.float32))}, {"y": np.arange(4.0)}))
    with h5py.File(path) as file:
        assert [file["v"].dims[axis][0].name for axis in (0, 1)] == ["/y", "/x"]
        assert (file["v"].compression, file["v"].shuffle, file["v"].chunks) == ("gzip", True, (4, 5))
    with netCDF4.Dataset(path, "a") as file:
        assert {name: len(dimension) for name, dimension in file.dimensions.items()} == {"y": 4, "x": 5}
        assert list(file.variables) == ["y", "v"]
        file.history = "changed"
        file.variables["v"][0, 0] = 7
    with open_own_netcdf(str(path)) as found:
        assert found.attrs == {"history": "changed"}
        assert found["v"].values[0].tolist() == [7, 1, 1, 1, 1]


def test_groups_and_types_that_others_have_added_are_not_looked_at(tmp_path: Path) -> None:
    import netCDF4

    path = tmp_path / "x.nc"
    data = xr.Dataset({"v": (("y", "x"), np.ones((4, 5), np.float32))})
    write_netcdf(path, data)
    with netCDF4.Dataset(path, "a") as file:
        file.createGroup("notes").createVariable("n", "f4", ("x",))
        file.createEnumType("i1", "answer", {"no": 0, "yes": 1})
    with open_own_netcdf(str(path)) as found:
        xr.testing.assert_identical(found.load(), data)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (xr.Dataset({"v": ("x", np.ones(2, complex))}), "v is of type complex128"),
        (xr.Dataset({"v": ("x", np.ones(2, np.float16))}), "v is of type float16"),
        (xr.Dataset({"v": ("x", np.ones(2, np.longdouble))}), f"v is of type {np.dtype(np.longdouble)}"),
        (xr.Dataset({"v": ("x", np.array([1, "a"], object))}), "v holds other things"),
        (xr.Dataset({"v": ("x", np.ones(2))}, attrs={"odd": None}), "the attribute odd is None"),
        (xr.Dataset({"v": ("x", np.ones(2), {"odd": {"a": 1}})}), "the attribute odd is"),
        (xr.Dataset({"v": ("x", np.ones(2), {"odd": np.ones((2, 2))})}), "the attribute odd is"),
        (xr.Dataset({"v": ("x", np.ones(2), {"odd": [["a"], ["b"]]})}), "the attribute odd is"),
        (xr.Dataset({"v": ("x", np.ones(2), {"odd": np.float16(1)})}), "the attribute odd is"),
    ],
)
def test_what_netcdf_has_not_is_refused(tmp_path: Path, data: xr.Dataset, why: str) -> None:
    with pytest.raises((StoreError, ValueError, TypeError), match=why):
        write_netcdf(tmp_path / "x.nc", data)


FILLS_THE_DISK = """
import resource, signal, sys
from pathlib import Path
import numpy as np, xarray as xr
from convml_data.errors import StoreError
from convml_data.store.arrays import ArrayStore
from convml_data.store.files import Files

data = xr.Dataset({"v": (("y", "x"), np.random.default_rng(0).random((600, 600)))})
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
try:
    ArrayStore(Files(sys.argv[1]), "rect", "netcdf").write("key", data)
except StoreError as error:
    print(error)
"""


@pytest.mark.skipif(not hasattr(resource, "RLIMIT_FSIZE"), reason="no such limits here")
@pytest.mark.parametrize("space", [100, 5_000, 1_000_000])
def test_a_full_disk_is_an_error_that_says_so(tmp_path: Path, space: int) -> None:
    done = subprocess.run([sys.executable, "-c", FILLS_THE_DISK, tmp_path, str(space)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "rect/key.nc: this cannot be written" in done.stdout
    assert list((tmp_path / "rect").glob("*")) == list((tmp_path / ".partial").glob("*")) == []

"""Files and arrays of a dataset: whole or not there, the same on this machine and remote."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import fsspec
import numpy as np
import pytest
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from convml_data.errors import StoreError
from convml_data.store.arrays import ArrayStore, Format
from convml_data.store.files import PARTIAL, Files

KINDS = ("local", "memory")


def new_root(kind: str, folder: Path) -> str:
    name = uuid4().hex
    return str(folder / name) if kind == "local" else f"memory://{name}"


@pytest.fixture(params=KINDS)
def files(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Files]:
    yield Files(new_root(request.param, tmp_path))
    fsspec.filesystem("memory").store.clear()


@pytest.fixture
def local(tmp_path: Path) -> Files:
    return Files(str(tmp_path / "root"))


def half_write(path: Path) -> None:
    path.write_bytes(b"half")
    raise RuntimeError("stop")


class TestFiles:
    def test_what_is_written_is_read(self, files: Files) -> None:
        assert not files.exists("a/b.bin")
        files.write_bytes("a/b.bin", b"first")
        files.write_bytes("a/b.bin", b"second")
        assert files.exists("a/b.bin")
        assert files.read_bytes("a/b.bin") == b"second"

    def test_what_is_not_there(self, files: Files) -> None:
        with pytest.raises(StoreError, match=r"a/b\.bin: there is no such file"):
            files.read_bytes("a/b.bin")
        files.remove("a/b.bin")
        assert files.names("a/*") == []

    def test_moving_replaces(self, files: Files) -> None:
        files.write_bytes("waiting/x.png", b"new")
        files.write_bytes("shown/x.png", b"old")
        files.move("waiting/x.png", "shown/x.png")
        assert files.read_bytes("shown/x.png") == b"new"
        assert not files.exists("waiting/x.png")
        files.move("shown/x.png", "elsewhere/below/y.png")
        assert files.names("elsewhere/*/*") == ["elsewhere/below/y.png"]

    def test_names_are_those_of_the_pattern(self, files: Files) -> None:
        for name in ("t/train/1.nc", "t/train/1.png", "t/study/2.nc", "t/.incomplete/train/3.nc", "u/4.nc"):
            files.write_bytes(name, b"x")
        assert files.names("t/*/*.nc") == ["t/study/2.nc", "t/train/1.nc"]
        assert files.names("t/.incomplete/*/*") == ["t/.incomplete/train/3.nc"]
        assert files.names("nothing/*") == []

    def test_a_folder_is_replaced_as_a_whole(self, files: Files) -> None:
        for content in ({"zarr.json": b"1", "c/0": b"a", "c/1": b"b"}, {"zarr.json": b"2", "c/0": b"c"}):
            with files.writing("group") as path:
                for name, values in content.items():
                    (path / name).parent.mkdir(parents=True, exist_ok=True)
                    (path / name).write_bytes(values)
        assert files.read_bytes("group/zarr.json") == b"2"
        assert files.names("group/c/*") == ["group/c/0"]
        files.remove("group")
        assert not files.exists("group/zarr.json")

    def test_nothing_appears_where_the_block_fails(self, files: Files) -> None:
        files.write_bytes("kept.bin", b"old")
        for name in ("kept.bin", "new.bin"):
            with pytest.raises(RuntimeError, match="stop"), files.writing(name) as path:
                half_write(path)
        assert files.read_bytes("kept.bin") == b"old"
        assert not files.exists("new.bin")
        assert files.names(f"{PARTIAL}/*") == []

    def test_nothing_of_that_name_is_there_while_it_is_written(self, files: Files) -> None:
        with files.writing("new.bin") as path:
            path.write_bytes(b"half")
            assert not files.exists("new.bin")
        assert files.exists("new.bin")

    def test_a_root_may_have_the_signs_of_patterns(self, tmp_path: Path) -> None:
        files = Files(str(tmp_path / "[a]*?{b}"))
        (tmp_path / "axb").mkdir()
        files.write_bytes("t/x.nc", b"x")
        assert files.names("t/*.nc") == ["t/x.nc"]

    @given(
        operations=st.lists(
            st.tuples(
                st.sampled_from(["write", "move", "remove"]),
                st.sampled_from("abc"),
                st.sampled_from("abc"),
                st.binary(max_size=8),
            ),
            max_size=12,
        ),
        kind=st.sampled_from(KINDS),
    )
    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    def test_files_are_like_a_mapping(
        self, tmp_path: Path, operations: list[tuple[str, str, str, bytes]], kind: str
    ) -> None:
        files, model = Files(new_root(kind, tmp_path)), dict[str, bytes]()
        for operation, name, other, content in operations:
            if operation == "write":
                files.write_bytes(f"f/{name}", content)
                model[name] = content
            elif operation == "remove":
                files.remove(f"f/{name}")
                model.pop(name, None)
            elif name in model and name != other:
                files.move(f"f/{name}", f"f/{other}")
                model[other] = model.pop(name)
        assert {name: files.read_bytes(name) for name in files.names("f/*")} == {
            f"f/{name}": content for name, content in model.items()
        }

    @pytest.mark.parametrize(
        "attempt",
        [
            lambda files: files.write_bytes("x/y.bin", b""),
            lambda files: files.move("a", "x/y.bin"),
            lambda files: files.writing("x/y.bin").__enter__(),
        ],
        ids=["write", "move", "writing"],
    )
    def test_a_root_below_a_file(self, tmp_path: Path, attempt: Callable[[Files], Any]) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(StoreError, match=r"file/root/x/y\.bin: this cannot be written \(Not a directory\)"):
            attempt(Files(str(tmp_path / "file" / "root")))

    @pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
    def test_a_folder_without_permission(self, local: Files) -> None:
        local.write_bytes("a/b.bin", b"x")
        folder = Path(local.path("a"))
        folder.chmod(0o500)
        try:
            with pytest.raises(StoreError, match=r"a/c\.bin: this cannot be written \(Permission denied\)"):
                local.write_bytes("a/c.bin", b"x")
        finally:
            folder.chmod(0o700)

    def test_a_full_disk(self, local: Files) -> None:
        full = pytest.raises(StoreError, match=r"b\.bin: this cannot be written \(No space left on device\)")
        with full, local.writing("b.bin"):
            Path("/dev/full").write_bytes(b"x")
        assert local.names("*.bin") == []

    def test_a_root_of_no_known_kind(self) -> None:
        with pytest.raises(StoreError, match=r"nope://x: there is no way to write to this root .*storage\.root"):
            Files("nope://x").exists("a")

    def test_remote_errors_are_explained(self, monkeypatch: pytest.MonkeyPatch) -> None:
        files = Files("memory://bucket")

        def refuse(*_: object, **__: object) -> None:
            raise RuntimeError("AccessDenied")

        monkeypatch.setattr(type(files.filesystem), "put_file", refuse)
        with pytest.raises(StoreError, match=r"memory:///?/?bucket/a: this cannot be written \(AccessDenied\)"):
            files.write_bytes("a", b"x")

    def test_readers_see_one_content_or_the_other(self, local: Files) -> None:
        """While four threads replace a file without a pause."""
        contents = [bytes([number]) * 100_000 for number in range(4)]
        local.write_bytes("shared.bin", contents[0])
        stop = threading.Event()

        def replace(content: bytes) -> None:
            while not stop.is_set():
                local.write_bytes("shared.bin", content)

        with ThreadPoolExecutor(4) as pool:
            writers = [pool.submit(replace, content) for content in contents]
            try:
                seen = {local.read_bytes("shared.bin") for _ in range(200)}
            finally:
                stop.set()
        for writer in writers:
            writer.result()
        assert seen <= set(contents)


ATTRIBUTES = st.dictionaries(
    st.text("abcdefgh_", min_size=1, max_size=8).filter(lambda name: name[0] != "_"),
    st.one_of(
        st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=20),
        st.integers(-(2**53), 2**53),
        st.floats(allow_nan=False, allow_infinity=False),
    ),
    max_size=5,
)


@st.composite
def fields(draw: st.DrawFn) -> xr.Dataset:
    """A variable (y, x) or (bands, y, x) of any numeric type, with its coordinates and attributes."""
    shape = draw(arrays_of.array_shapes(min_dims=2, max_dims=3, max_side=5))
    dtype = draw(st.sampled_from(["f4", "f8", "i2", "i4", "i8", "u1", "u2"]))
    values = draw(arrays_of.arrays(dtype, shape))
    dims = ("bands", "y", "x")[-len(shape) :]
    coords: dict[str, Any] = {
        dim: (dim, draw(arrays_of.arrays("f8", size, elements=st.floats(-1e9, 1e9))))
        for dim, size in zip(dims, shape, strict=True)
        if dim != "bands"
    }
    if len(shape) == 3:
        coords["bands"] = [f"band {number}" for number in range(shape[0])]
    coords["projection"] = xr.DataArray(np.int32(0), attrs={"grid_mapping_name": "made_up"})
    variable = xr.Variable(dims, values, {"units": "%", "grid_mapping": "projection"})
    return xr.Dataset({"field": variable}, coords, draw(ATTRIBUTES))


class TestArrays:
    @pytest.mark.filterwarnings("error")
    @pytest.mark.parametrize("array_format", ["netcdf", "zarr"])
    @pytest.mark.parametrize("kind", KINDS)
    @given(data=fields())
    @settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    def test_what_is_written_is_read(self, tmp_path: Path, kind: str, array_format: Format, data: xr.Dataset) -> None:
        store = ArrayStore(Files(new_root(kind, tmp_path)), "some/folder", array_format)
        assert store.attributes("key") is None
        store.write("key", data)
        with store.open("key") as opened:
            found = opened.load()
        xr.testing.assert_identical(found, data)
        assert found["field"].dtype == data["field"].dtype
        assert store.attributes("key").items() >= data.attrs.items()  # type: ignore[union-attr]
        assert {name: type(value) for name, value in found.attrs.items()} == {
            name: type(value) for name, value in data.attrs.items()
        }
        assert store.stored() == ["key"]

    @pytest.mark.parametrize("array_format", ["netcdf", "zarr"])
    @pytest.mark.parametrize("kind", KINDS)
    def test_a_later_one_replaces_an_earlier_one(self, tmp_path: Path, kind: str, array_format: Format) -> None:
        store = ArrayStore(Files(new_root(kind, tmp_path)), "folder", array_format)
        for value in (1.0, 2.0):
            store.write("key", field_of(value))
        store.write("other", field_of(3.0))
        assert store.stored() == ["key", "other"]
        with store.open("key") as opened:
            assert (opened["field"] == 2).all()

    @pytest.mark.parametrize("array_format", ["netcdf", "zarr"])
    @pytest.mark.parametrize("kind", KINDS)
    def test_what_is_not_there(self, tmp_path: Path, kind: str, array_format: Format) -> None:
        store = ArrayStore(Files(new_root(kind, tmp_path)), "folder", array_format)
        assert store.attributes("key") is None
        assert store.stored() == []
        with pytest.raises(StoreError, match=r"folder(\.zarr)?/key(\.nc)?: this cannot be opened"):
            store.open("key")

    def test_a_reader_is_not_disturbed_by_a_replacement(self, local: Files) -> None:
        store = ArrayStore(local, "folder", "netcdf")
        store.write("key", field_of(1.0))
        with store.open("key") as opened:
            store.write("key", field_of(2.0))
            assert (opened["field"] == 1).all()

    @pytest.mark.parametrize("array_format", ["netcdf", "zarr"])
    def test_files_without_a_value_have_nan_and_no_zero(self, local: Files, array_format: Format) -> None:
        store = ArrayStore(local, "folder", array_format)
        data = field_of(1.0)
        data["field"][0] = np.nan
        store.write("key", data)
        with store.open("key") as opened:
            assert np.isnan(opened["field"][0]).all()
            assert (opened["field"][1:] == 1).all()

    @given(share=st.floats(0, 1, exclude_max=True))
    @settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    def test_a_cut_off_file_counts_as_none(self, tmp_path: Path, share: float) -> None:
        store = ArrayStore(Files(new_root("local", tmp_path)), "folder", "netcdf")
        store.write("key", field_of(1.0))
        path = Path(store.url("key"))
        content = path.read_bytes()
        path.write_bytes(content[: int(share * len(content))])
        assert store.attributes("key") is None
        with pytest.raises(StoreError, match=r"key\.nc: this cannot be opened"):
            store.open("key")

    @pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # of h5netcdf's own cleaning up
    @given(
        array_format=st.sampled_from(["netcdf", "zarr"]),
        damage=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(1, 255)), min_size=1, max_size=4),
    )
    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    def test_damage_is_an_error_that_says_where(
        self, tmp_path: Path, array_format: Format, damage: list[tuple[float, int]]
    ) -> None:
        """Or is not noticed, where it is in the values; but it is no other kind of error."""
        store = ArrayStore(Files(new_root("local", tmp_path)), "folder", array_format)
        store.write("key", field_of(1.0))
        path = Path(store.url("key"))
        path = path if path.is_file() else path / "zarr.json"
        content = bytearray(path.read_bytes())
        for place, change in damage:
            content[int(place * len(content))] ^= change
        path.write_bytes(content)
        store.attributes("key")
        with contextlib.suppress(StoreError):
            store.open("key").close()

    @pytest.mark.parametrize("array_format", ["netcdf", "zarr"])
    def test_four_threads_write_and_read_at_once(self, local: Files, array_format: Format) -> None:
        store = ArrayStore(local, "folder", array_format)

        def work(number: int) -> None:
            for turn in range(10):
                store.write(f"own_{number}", field_of(float(turn)))
                store.write("shared", field_of(float(number)))
                with store.open(f"own_{number}") as opened:
                    assert (opened["field"] == turn).all()
                if array_format == "netcdf":  # a folder cannot be replaced in one step
                    with store.open("shared") as opened:
                        assert len(np.unique(opened["field"])) == 1
                    attributes = store.attributes("shared")
                    assert attributes is not None
                    assert attributes["scene_id"] == "a"

        if array_format == "zarr":
            work = _each_its_own(store)
        with ThreadPoolExecutor(4) as pool:
            for done in [pool.submit(work, number) for number in range(4)]:
                done.result()


def _each_its_own(store: ArrayStore) -> Callable[[int], None]:
    def work(number: int) -> None:
        for turn in range(10):
            store.write(f"own_{number}", field_of(float(turn)))
            with store.open(f"own_{number}") as opened:
                assert (opened["field"] == turn).all()

    return work


def field_of(value: float) -> xr.Dataset:
    return xr.Dataset(
        {"field": (("y", "x"), np.full((40, 30), value, np.float32))},
        {"y": np.arange(40.0), "x": np.arange(30.0)},
        {"scene_id": "a", "valid_share": 1.0, "bytes_read": 12345},
    )

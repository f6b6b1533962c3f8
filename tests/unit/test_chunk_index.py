"""Chunks of images found and read without HDF5: the same values as h5py's, from any file that is understood."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import fsspec
import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convml_data.geometry.windows import Window
from convml_data.sources.goes.chunk_index import StoredImage, find_chunks, read_chunks, stored_image
from convml_data.sources.goes.parts import Span
from convml_data.sources.goes.range_sources import FsspecRanges
from convml_data.sources.goes.ranges import RangeFile

SHAPE = (90, 70)
VALUES = np.random.default_rng(5).integers(0, 9000, SHAPE).astype(np.int16)


@contextmanager
def opened(path: Path) -> Iterator[tuple[h5py.File, RangeFile]]:
    """The file for h5py, and for reading without it."""
    with h5py.File(path, "r") as hdf5:
        yield hdf5, RangeFile(FsspecRanges(fsspec.filesystem("file"), str(path)), path.stat().st_size)


def image_of(hdf5: h5py.File, name: str, ranges: RangeFile) -> StoredImage | None:
    def read(span: Span) -> bytes:
        ranges.require([Span(span.start, min(span.stop, ranges.size))])
        return ranges.part(span)

    return stored_image(hdf5[name], read)


def values_of(hdf5: h5py.File, window: Window, ranges: RangeFile, *names: str) -> dict[str, np.ndarray]:
    images = {name: image for name in names if (image := image_of(hdf5, name, ranges)) is not None}
    assert len(images) == len(names)
    return read_chunks(images, find_chunks(images, window, ranges), window, ranges)


def written(path: Path, libver: str = "v108", attributes: int = 0, **options: Any) -> Path:
    with h5py.File(path, "w", libver=(libver, libver if libver != "earliest" else "v108")) as hdf5:
        options = {"chunks": (7, 11), "fillvalue": -1, "compression": "gzip", "compression_opts": 1} | options
        image = hdf5.create_dataset("image", SHAPE, np.int16, **options)
        for number in range(attributes):  # so that the header goes on elsewhere
            hdf5["image"].attrs[f"attribute {number}"] = "x" * 200
        image[:] = VALUES
    return path


@pytest.mark.parametrize("libver", ["earliest", "v108"])
@pytest.mark.parametrize("attributes", [0, 40])
@pytest.mark.parametrize("options", [{}, {"shuffle": True}, {"compression": None, "compression_opts": None}])
def test_values_are_those_that_were_written(
    tmp_path: Path, libver: str, attributes: int, options: dict[str, Any]
) -> None:
    with opened(written(tmp_path / "file.h5", libver, attributes, **options)) as (hdf5, ranges):
        window = Window(3, 88, 0, 63)
        np.testing.assert_array_equal(values_of(hdf5, window, ranges, "image")["image"], VALUES[window.slices])


@pytest.mark.parametrize("userblock", [0, 512])
def test_addresses_that_are_not_those_in_the_file_are_left_to_hdf5(tmp_path: Path, userblock: int) -> None:
    path = tmp_path / "file.h5"
    with h5py.File(path, "w", userblock_size=userblock) as hdf5:
        hdf5.create_dataset("image", data=VALUES, chunks=(7, 11))
        hdf5["link"] = h5py.SoftLink("/image")
    with opened(path) as (hdf5, ranges):
        assert image_of(hdf5, "link", ranges) is None
        assert (image_of(hdf5, "image", ranges) is None) == bool(userblock)


@pytest.mark.parametrize(
    "options",
    [
        {"libver": "latest"},
        {"chunks": None, "compression": None, "compression_opts": None},
        {"fletcher32": True},
        {"compression": "lzf", "compression_opts": None},
        {"scaleoffset": 0},
    ],
    ids=str,
)
def test_other_ways_of_storing_are_left_to_hdf5(tmp_path: Path, options: dict[str, Any]) -> None:
    with opened(written(tmp_path / "file.h5", **options)) as (hdf5, ranges):
        assert image_of(hdf5, "image", ranges) is None


@pytest.fixture(scope="module")
def sparse(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray]:
    """Thousands of chunks in three levels of an index, in a mixed order, of which a third is not stored."""
    path = tmp_path_factory.mktemp("sparse") / "file.h5"
    generator = np.random.default_rng(8)
    expected = np.full((400, 300), -1, np.int16)
    with h5py.File(path, "w", libver=("v108", "v108")) as hdf5:
        kind = {"chunks": (4, 4), "compression": "gzip", "compression_opts": 1}
        image = hdf5.create_dataset("image", expected.shape, np.int16, fillvalue=-1, **kind)
        flags = hdf5.create_dataset("flags", expected.shape, np.int8, fillvalue=9, **kind)
        for number in generator.permutation(7500)[:5000]:
            row, column = divmod(int(number), 75)
            part = slice(4 * row, 4 * row + 4), slice(4 * column, 4 * column + 4)
            expected[part] = generator.integers(0, 100, (4, 4))
            image[part] = expected[part]
            flags[part] = 1
    return path, expected


@settings(max_examples=40, deadline=None)
@given(st.tuples(st.integers(0, 399), st.integers(1, 60), st.integers(0, 299), st.integers(1, 60)))
def test_any_window_of_a_file_with_many_levels(
    sparse: tuple[Path, np.ndarray], place: tuple[int, int, int, int]
) -> None:
    path, expected = sparse
    row, height, column, width = place
    window = Window(row, min(row + height, 400), column, min(column + width, 300))
    with opened(path) as (hdf5, ranges):
        values = values_of(hdf5, window, ranges, "image", "flags")
        np.testing.assert_array_equal(values["image"], expected[window.slices])
        np.testing.assert_array_equal(values["flags"], hdf5["flags"][window.slices])
        assert values["flags"].dtype == np.int8


def test_a_chunk_that_was_not_compressed(tmp_path: Path) -> None:
    path = written(tmp_path / "file.h5", shuffle=True)
    raw = np.arange(77, dtype=np.int16).reshape(7, 11)
    with h5py.File(path, "r+") as hdf5:
        hdf5["image"].id.write_direct_chunk((7, 11), raw.tobytes(), filter_mask=0b11)
    with opened(path) as (hdf5, ranges):
        window = Window(5, 16, 10, 25)
        np.testing.assert_array_equal(values_of(hdf5, window, ranges, "image")["image"], hdf5["image"][window.slices])


def test_an_image_of_which_nothing_is_stored(tmp_path: Path) -> None:
    path = tmp_path / "file.h5"
    with h5py.File(path, "w", libver=("v108", "v108")) as hdf5:
        hdf5.create_dataset("image", SHAPE, np.int16, chunks=(7, 11), fillvalue=-5, compression="gzip")
    with opened(path) as (hdf5, ranges):
        assert (values_of(hdf5, Window(0, 9, 0, 9), ranges, "image")["image"] == -5).all()
        assert ranges.requests <= 2


def damaged_chunk(hdf5: h5py.File, content: bytearray) -> None:
    chunk = hdf5["image"].id.get_chunk_info(0)
    content[chunk.byte_offset + chunk.size - 1] ^= 1  # of the checksum: the values themselves come out unharmed


def damaged_node(hdf5: h5py.File, content: bytearray) -> None:
    content[content.index(b"TREE\x01")] = 0


def damaged_level(hdf5: h5py.File, content: bytearray) -> None:
    content[content.rindex(b"TREE\x01\x00") + 5] = 1


def damaged_size(hdf5: h5py.File, content: bytearray) -> None:
    node = content.rindex(b"TREE\x01\x00")
    content[node + 24 : node + 28] = b"\xff\xff\xff\x7f"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (damaged_chunk, "cannot be decompressed"),
        (damaged_node, "no node of a chunk index"),
        (damaged_level, "of level 1, not 0"),
        (damaged_size, "beyond the end"),
    ],
)
def test_damage_is_an_error(tmp_path: Path, damage: Any, message: str) -> None:
    path = written(tmp_path / "file.h5", chunks=(2, 2))
    content = bytearray(path.read_bytes())
    with opened(path) as (hdf5, ranges):
        damage(hdf5, content)
        path.write_bytes(content)
        with pytest.raises(ValueError, match=message):
            values_of(hdf5, Window(0, *SHAPE[:1], 0, SHAPE[1]), ranges, "image")


def test_every_real_file_gives_what_h5py_gives(shared_data: Path) -> None:
    generator = np.random.default_rng(2)
    seen = 0
    for path in sorted(shared_data.glob("noaa-goes1*/**/*.nc")):
        with opened(path) as (hdf5, ranges):
            names = [name for name in hdf5 if isinstance(hdf5[name], h5py.Dataset) and hdf5[name].ndim == 2]
            images = [name for name in names if hdf5[name].chunks is not None and min(hdf5[name].shape) > 2]
            assert images
            for name in images:
                rows, columns = hdf5[name].shape
                row, column = int(generator.integers(0, rows - 40)), int(generator.integers(0, columns - 40))
                window = Window(row, min(row + 400, rows), column, min(column + 300, columns))
                stored = values_of(hdf5, window, ranges, name)[name]
                np.testing.assert_array_equal(stored, hdf5[name][window.slices])
                assert stored.dtype == hdf5[name].dtype
                seen += 1
    assert seen > 50

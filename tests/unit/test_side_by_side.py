"""Large arrays in parts: the same as in one piece, whatever the number of threads."""

from __future__ import annotations

import io
import os

import numpy as np
import pytest
from PIL import Image

from convml_data import side_by_side
from convml_data.images.picture import png_bytes, truecolor_picture
from convml_data.regrid.apply import Method, apply_index_map
from convml_data.regrid.index_map import IndexMap
from convml_data.side_by_side import blocks_of_rows, each_of


@pytest.mark.parametrize(("rows", "size"), [(1, 10), (7, 2**24), (1000, 2**26), (2, 2**30), (0, 0)])
def test_blocks_are_all_rows_once_and_in_order(rows: int, size: int) -> None:
    blocks = blocks_of_rows(rows, size)
    assert [row for block in blocks for row in range(block.start, block.stop)] == list(range(rows))
    assert (len(blocks) > 1) == (size >= side_by_side.LARGE and rows > 1)


@pytest.mark.parametrize("size", [0, side_by_side.LARGE])
def test_results_come_in_order(size: int) -> None:
    assert list(each_of(range(50), lambda number: number**2, size)) == [number**2 for number in range(50)]


@pytest.mark.parametrize("cores", [1, 3])
def test_a_large_picture_is_the_same_png_whatever_the_processors(cores: int, monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(1).integers(0, 50, (2500, 2501, 3)).astype(np.uint8)
    at_once = png_bytes(Image.fromarray(values))
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    assert png_bytes(Image.fromarray(values)) == at_once
    read = Image.open(io.BytesIO(at_once))
    read.load()
    np.testing.assert_array_equal(np.asarray(read), values)


@pytest.mark.parametrize("method", ["bilinear", "nearest"])
@pytest.mark.parametrize("side", [1, 3])
def test_a_large_map_gives_what_its_parts_give(method: Method, side: int) -> None:
    generator = np.random.default_rng(2)
    image = generator.normal(size=(2, 90, 80)).astype(np.float32)
    image[:, 40:43, 20:60] = np.nan
    rows = generator.uniform(-1, 91, (1203, 1803))
    columns = generator.uniform(-1, 81, (1203, 1803))
    whole = apply_index_map(image, IndexMap(rows, columns, side), method)
    first = apply_index_map(image, IndexMap(rows[: 6 * side], columns[: 6 * side], side), method)
    last = apply_index_map(image, IndexMap(rows[-3 * side :], columns[-3 * side :], side), method)
    assert rows.nbytes > side_by_side.LARGE
    np.testing.assert_array_equal(whole[:, :6], first)
    np.testing.assert_array_equal(whole[:, -3:], last)


@pytest.mark.parametrize("y_ascending", [True, False])
def test_a_large_picture_shows_each_row_where_it_belongs(y_ascending: bool) -> None:
    rgb = np.random.default_rng(3).uniform(0, 60, (3, 1301, 1201)).astype(np.float32)
    rgb[1, 700:703, 5:9] = np.nan
    assert rgb.nbytes > side_by_side.LARGE
    whole = np.asarray(truecolor_picture(rgb, y_ascending=y_ascending))
    for rows in (slice(0, 40), slice(650, 720), slice(1280, 1301)):
        shown = slice(1301 - rows.stop, 1301 - rows.start) if y_ascending else rows
        part = np.asarray(truecolor_picture(rgb[:, rows], y_ascending=y_ascending))
        np.testing.assert_array_equal(whole[shown], part)

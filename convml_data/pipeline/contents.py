"""What the rules are held against, of data in memory or on disk."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from hashlib import sha256
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr
from isal import isal_zlib

from convml_data.errors import StoreError
from convml_data.geometry.local import LocalDomain, LocalGrid
from convml_data.meta.dataset import Dataset
from convml_data.pipeline.made_from import SceneStage
from convml_data.rules import Asked, Content, Form, asked_of
from convml_data.scenes.ledger import LedgerRow
from convml_data.scenes.matching import limit_of
from convml_data.store.arrays import UNREADABLE, ArrayStore
from convml_data.store.shown_tiles import ShownTiles
from convml_data.tiles.tile import Tile

#: Attribute of cropped scenes and tiles by which equal ones are found without reading their values.
DIGEST = "values_digest"

#: Bytes that have a checksum of their own in a digest.
_PART = 1 << 20

#: Every so many values are looked at first to see whether there are different ones; a prime number.
_SAMPLE = 4099

_ORIGIN = ("latitude_of_projection_origin", "longitude_of_projection_origin")


def values_digest(data: xr.Dataset) -> str:
    """16 hexadecimal digits, the same for the same values; empty where all are alike or missing.

    A field without any structure, such as a mask without a cloud, tells nothing of where it comes from.
    """
    (field,) = data.data_vars.values()
    values = np.ascontiguousarray(field.values).ravel()
    if not (_differ(values[::_SAMPLE]) or _differ(values)):
        return ""
    # A checksum finds every change of one value, and takes a twentieth of the time of a hash of all values.
    content = memoryview(values).cast("B")  # type: ignore[arg-type]  # an array is a buffer
    checksums = [isal_zlib.crc32(content[start : start + _PART]) for start in range(0, len(content), _PART)]
    return sha256(np.array(checksums, "<u4").tobytes()).hexdigest()[:16]


def _differ(values: npt.NDArray[Any]) -> bool:
    # NaN compares as false.
    return bool(np.fmin.reduce(values) < np.fmax.reduce(values))


def content_of(row: LedgerRow, attributes: Mapping[str, Any], tile: Tile | None = None) -> Content:
    """What the attributes of a scene's data, or of a tile's, say of it."""
    match = row.match
    return Content(
        name=row.scene_id if tile is None else f"{tile.collection}/{tile.name}".lstrip("/"),
        image=row.scan.start,
        place=None if tile is None else (tile.x_c, tile.y_c),
        valid_share=float(attributes.get("valid_share", 1)),
        digest=str(attributes.get(DIGEST, "")),
        offset_s=None if match is None else match.offset_s,
        limit_s=None if match is None else limit_of(match.rule).total_seconds(),
    )


def content_of_data(
    dataset: Dataset, stage: SceneStage, row: LedgerRow, data: xr.Dataset, tile: Tile | None = None
) -> Content:
    """What there is to know of a scene's data, or of a tile's, and how it was to lie in its file.

    ``stage`` is that of the grid, which tiles have as regridded scenes have.
    """
    asked = asked_of(dataset)
    if tile is not None:
        asked = _on(asked, dataset.grid if tile.window is not None else tile.grid, tile.grid.shape)
    elif stage == "regridded":
        asked = _on(asked, dataset.grid, dataset.grid.shape)
    return replace(content_of(row, data.attrs, tile), form=form_of(data), asked=asked)


def stored_content(
    dataset: Dataset, stage: SceneStage, row: LedgerRow, arrays: ArrayStore | ShownTiles, tile: Tile | None = None
) -> Content:
    """As :func:`content_of_data`, of a file; of one that does not open, only why."""
    key = row.scene_id if tile is None else tile.name
    try:
        with arrays.open(key) as data:
            return content_of_data(dataset, stage, row, data, tile)
    except UNREADABLE as error:
        why = error.what if isinstance(error, StoreError) else f"this cannot be opened ({error})"
        return replace(content_of(row, {}, tile), problem=f"{arrays.url(key)}: {why}")


def form_of(data: xr.Dataset) -> Form:
    """How a field lies in its file."""
    (field,) = data.data_vars.values()
    bands = data.coords.get("band_units")
    units = [field.attrs.get("units", "")] if bands is None else bands.values
    grid = data.attrs.get("local_grid")
    projection = data.coords.get(field.attrs.get("grid_mapping", ""))
    origin = None if projection is None else tuple(projection.attrs.get(name) for name in _ORIGIN)
    y = data.coords.get("y")
    return Form(
        dims=tuple(map(str, field.dims)),
        shape=(field.sizes.get("y", 0), field.sizes.get("x", 0)),
        bands=field.sizes.get("bands"),
        units=tuple(map(str, units)),
        y_ascending=y is not None and bool((np.diff(y.values) > 0).all()),
        grid=None if grid is None else json.loads(grid),
        centre=None if origin is None or None in origin else (float(origin[0]), float(origin[1])),
    )


def _on(asked: Asked, grid: LocalGrid, shape: tuple[int, int]) -> Asked:
    domain = grid.domain
    centre = (domain.central_latitude, domain.central_longitude) if isinstance(domain, LocalDomain) else None
    return replace(asked, shape=shape, grid=grid.to_dict(), centre=centre)

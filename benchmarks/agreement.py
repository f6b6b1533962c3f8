"""The numbers are the same: against satpy's composites and temperatures, and against another interpolation."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks import data, ours
from benchmarks.child import run
from benchmarks.rows import Row, at_most

_FIELDS = {
    "truecolor_rgb": ("true_color_raw", (1, 2, 3), "reflectance-%", at_most(0.02)),
    "singlechannel__bt_13": ("C13", (13,), "K", at_most(0.01)),
}
#: The local range is that of so many pixels squared: that of the four around a point may be less than single
#: precision tells apart.
_NEIGHBOURS = 9


def measure() -> Iterator[Row]:
    """Largest differences over two domains."""
    for domain in (data.SMALL, data.LARGE):
        for product, (name, channels, unit, goal) in _FIELDS.items():
            folder = data.dataset(f"agreement-{domain.width}-{name}", domain, product=product)
            run(ours.list_scenes, folder=str(folder))
            run(ours.scene, folder=str(folder), times=1)
            files = [str(path) for path in data.first_scan(*channels)]
            found = run(differences, folder=str(folder), files=files, name=name).result
            yield Row(f"{product}, {domain}", "largest difference to satpy", found["satpy"], unit, goal)
            yield Row(f"{product}, {domain}", "pixels that only one of both has", found["only_one"])
            yield Row(
                f"{product}, {domain}, regridded",
                f"largest difference to scipy's interpolation, of the range of {_NEIGHBOURS} × {_NEIGHBOURS} pixels",
                found["interpolation"],
                "",
                at_most(1e-3),
            )


def differences(folder: str, files: list[str], name: str) -> dict[str, Any]:
    """Of a cropped scene to satpy's, on the same pixels, and of bilinear samples of it to scipy's."""
    import numpy as np
    import xarray as xr
    from scipy import ndimage

    from benchmarks.opponents import tuned_crop
    from convml_data.geometry.fixed_grid import FixedGrid
    from convml_data.geometry.local import LocalDomain
    from convml_data.geometry.source_grids import grid_of
    from convml_data.meta.dataset import load_dataset
    from convml_data.regrid.apply import apply_index_map
    from convml_data.regrid.index_map import build_index_map

    dataset = load_dataset(Path(folder))
    path = next(Path(folder).glob("source_data/goes16/*/cropped/*.nc"))
    with xr.open_dataset(path, engine="h5netcdf", mask_and_scale=True) as scene:
        grid = grid_of(scene.load())
        (field,) = scene.data_vars.values()
    assert isinstance(grid, FixedGrid)
    assert isinstance(dataset.read_domain, LocalDomain)
    theirs = tuned_crop(files, name, dataset.read_domain)[name].compute()
    column = np.abs(theirs["x"].values - grid.x[:, None]).argmin(axis=1)
    row = np.abs(theirs["y"].values - grid.y[:, None]).argmin(axis=1)
    # satpy's crop to a box of latitude and longitude lacks some of ours at the edges.
    columns = np.abs(theirs["x"].values[column] - grid.x) < 1
    rows = np.abs(theirs["y"].values[row] - grid.y) < 1
    assert columns.mean() > 0.8
    assert rows.mean() > 0.8
    theirs = theirs.transpose(..., "y", "x").values[..., row[rows], :][..., column[columns]]
    values = field.values.reshape(-1, *field.shape[-2:])
    both = values[:, rows][:, :, columns], theirs.reshape(-1, rows.sum(), columns.sum())
    only_one = np.isnan(both[0]) != np.isnan(both[1])

    index_map = build_index_map(grid, dataset.grid, 1)
    largest = 0.0
    for band in values:
        ours_ = apply_index_map(band, index_map, "bilinear")
        positions = [index_map.rows, index_map.cols]
        expected = ndimage.map_coordinates(band.astype(np.float64), positions, order=1, cval=np.nan)
        span = ndimage.maximum_filter(band, _NEIGHBOURS) - ndimage.minimum_filter(band, _NEIGHBOURS)
        span = span[np.rint(positions[0]).astype(int), np.rint(positions[1]).astype(int)]
        largest = max(largest, float(np.nanmax(np.abs(ours_ - expected) / span)))
    return {
        "satpy": float(np.nanmax(np.abs(both[0] - both[1]))),
        "only_one": int(only_one.sum()),
        "interpolation": largest,
    }

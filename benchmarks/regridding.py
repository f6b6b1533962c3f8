"""Three bands on a grid of 400 × 400 cells, by our index map and by pyresample, from the same crop."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks import data, ours
from benchmarks.child import repeated, run
from benchmarks.rows import Row, at_most

#: Cells of half a kilometre are no coarser than the pixels there, so that no cell averages several points.
_RESOLUTION = 500.0
_TIMES = 30


def measure() -> Iterator[Row]:
    """What a scene costs once the grid is known, and what the grid costs once."""
    folder = data.dataset("regridding", data.SMALL, sampling={"resolution": _RESOLUTION})
    run(ours.list_scenes, folder=str(folder))
    run(ours.scenes, folder=str(folder), count=2, workers=1, kind="threads")
    case = "regridding 3 bands to 400 × 400 cells"
    for name, took in run(compare, folder=str(folder)).result.items():
        goal = at_most(5) if name == "ours, bilinear" else None
        best_of = f"best of {took['apply']['times']}"
        yield Row(case, f"{name}, grid known, {best_of}", 1e3 * took["apply"]["best_s"], "ms", goal)
        yield Row(case, f"{name}, preparing the grid", 1e3 * took["prepare"]["best_s"], "ms")


def compare(folder: str) -> dict[str, Any]:
    """Times of each method, preparing and applying."""
    import numpy as np
    import xarray as xr
    from pyresample import AreaDefinition
    from pyresample.bilinear import NumpyBilinearResampler
    from pyresample.gradient import create_gradient_search_resampler
    from pyresample.kd_tree import get_neighbour_info, get_sample_from_neighbour_info

    from convml_data.geometry.fixed_grid import FixedGrid
    from convml_data.geometry.source_grids import grid_of
    from convml_data.meta.dataset import load_dataset
    from convml_data.regrid.apply import apply_index_map
    from convml_data.regrid.index_map import build_index_map

    target = load_dataset(Path(folder)).grid
    with xr.open_dataset(next(Path(folder).glob("source_data/goes16/*/cropped/*.nc")), engine="h5netcdf") as scene:
        grid, values = grid_of(scene.load()), scene["rgb_truecolor"].values
    assert isinstance(grid, FixedGrid)
    assert target.crs is not None
    half = target.domain.l_zonal / 2
    area = AreaDefinition("to", "", "", target.crs.to_dict(), 400, 400, (-half, -half, half, half))
    (rows, columns), pixel = grid.shape, grid.dx * grid.view.perspective_height
    outline = (grid.x[0] - pixel / 2, grid.y[-1] - pixel / 2, grid.x[-1] + pixel / 2, grid.y[0] + pixel / 2)
    source = AreaDefinition("from", "", "", grid.crs.to_dict(), columns, rows, outline)
    by_pixel = np.moveaxis(values, 0, -1)
    bands = xr.DataArray(values, dims=("bands", "y", "x")).chunk()

    def timed(prepare: Callable[[], Any], apply: Callable[[Any], Any], times: int = _TIMES) -> dict[str, Any]:
        prepared = prepare()
        return {"prepare": repeated(prepare, 2), "apply": repeated(lambda: apply(prepared), times)}

    def bilinear() -> NumpyBilinearResampler:
        resampler = NumpyBilinearResampler(source, area, 5000.0)
        resampler.get_bil_info()
        return resampler

    def nearest(prepared: Any) -> Any:
        return get_sample_from_neighbour_info("nn", area.shape, by_pixel, *prepared[:3], fill_value=None)

    def gradient() -> Any:
        resampler = create_gradient_search_resampler(source, area)
        resampler.precompute()
        return resampler

    index_map = lambda: build_index_map(grid, target, 1)  # noqa: E731  # two methods have it in common
    return {
        "ours, bilinear": timed(index_map, lambda made: apply_index_map(values, made, "bilinear")),
        "ours, nearest": timed(index_map, lambda made: apply_index_map(values, made, "nearest")),
        "pyresample, nearest": timed(lambda: get_neighbour_info(source, area, 5000.0, neighbours=1), nearest),
        "pyresample, bilinear": timed(
            bilinear, lambda made: [made.get_sample_from_bil_info(band) for band in values], times=5
        ),
        "pyresample, gradient search": timed(
            gradient, lambda made: made.compute(bands, method="bilinear").compute(), times=5
        ),
    }

"""Which pixels of a source a domain needs."""

from __future__ import annotations

import math

import numpy as np

from convml_data.geometry.fixed_grid import FixedGrid
from convml_data.geometry.local import Domain
from convml_data.geometry.model_grids import ModelGrid
from convml_data.geometry.windows import Window

#: Sample points along a side of the domain, on its outline and across it.
OUTLINE_POINTS = 256
LATTICE_POINTS = 65


def window_over(domain: Domain, grid: FixedGrid | ModelGrid, margin: int) -> Window | None:
    """The pixels that cover a domain, with ``margin`` pixels more on each side.

    Parameters
    ----------
    domain
        What to cover.
    grid
        Of the source.
    margin
        Pixels beyond the domain, for interpolation.

    Returns
    -------
    Window clipped to the source, or None where no pixel of it is in the domain.
    """
    bounds = _bounds_on_image(domain, grid) if isinstance(grid, FixedGrid) else _bounds_on_model(domain, grid)
    if bounds is None or bounds.clipped(grid.shape).is_empty:
        return None
    return bounds.padded(margin).clipped(grid.shape)


def _bounds_on_image(domain: Domain, grid: FixedGrid) -> Window | None:
    """Bounds in a satellite's image, not clipped to it.

    They come from the densely sampled outline of the domain. Where part of the domain is out of
    the satellite's sight, the outline does not bound the visible part; the bounds then come from
    points across the domain too, grown by the largest scan angle that two neighbouring points can
    differ by (their distance over the height of the satellite).
    """
    rows, cols = grid.pixel_of(*domain.to_world(*domain.outline(OUTLINE_POINTS)))
    grow_rows = grow_cols = 0
    if not np.isfinite(rows).all():
        inner_rows, inner_cols = grid.pixel_of(*domain.to_world(*domain.lattice(LATTICE_POINTS)))
        rows, cols = np.concatenate([rows, inner_rows]), np.concatenate([cols, inner_cols])
        seen = np.isfinite(rows)
        if not seen.any():
            return None
        rows, cols = rows[seen], cols[seen]
        spacing = max(domain.l_zonal, domain.l_meridional) / (LATTICE_POINTS - 1)
        angle = spacing / grid.view.perspective_height
        grow_rows, grow_cols = math.ceil(angle / abs(grid.dy)), math.ceil(angle / abs(grid.dx))
    return Window(
        math.floor(rows.min()) - grow_rows,
        math.ceil(rows.max()) + 1 + grow_rows,
        math.floor(cols.min()) - grow_cols,
        math.ceil(cols.max()) + 1 + grow_cols,
    )


def _bounds_on_model(domain: Domain, grid: ModelGrid) -> Window | None:
    """Bounds on a model's grid, which may be smaller than the domain or lie partly beside it.

    They hold the pixels whose centres are in the domain and those around the points of its outline:
    a point of the domain that has none of the former next to it has the outline there.
    """
    x, y = domain.from_world(*grid.world())
    inside = (np.abs(x) <= domain.l_zonal / 2) & (np.abs(y) <= domain.l_meridional / 2)
    outline_rows, outline_cols = grid.pixel_of(*domain.to_world(*domain.outline(OUTLINE_POINTS)))
    rows = np.concatenate([np.flatnonzero(inside.any(axis=1)), outline_rows[np.isfinite(outline_rows)]])
    cols = np.concatenate([np.flatnonzero(inside.any(axis=0)), outline_cols[np.isfinite(outline_cols)]])
    if not rows.size:
        return None
    return Window(math.floor(rows.min()), math.ceil(rows.max()) + 1, math.floor(cols.min()), math.ceil(cols.max()) + 1)

"""Which pixels of a satellite image a local domain needs."""

from __future__ import annotations

import math

import numpy as np

from convml_data.geometry.fixed_grid import FixedGrid
from convml_data.geometry.local import LocalDomain
from convml_data.geometry.windows import Window

#: Sample points along a side of the domain, on its outline and across it.
OUTLINE_POINTS = 256
LATTICE_POINTS = 65


def window_over(domain: LocalDomain, grid: FixedGrid, margin: int) -> Window | None:
    """The pixels that cover a domain, with ``margin`` pixels more on each side.

    The bounds come from the densely sampled outline of the domain. Where part of the domain is out
    of the satellite's sight, the outline does not bound the visible part; the bounds then come
    from points across the domain too, grown by the largest scan angle that two neighbouring
    points can differ by (their distance over the height of the satellite).

    Parameters
    ----------
    domain
        What to cover.
    grid
        The image.
    margin
        Pixels beyond the domain, for interpolation.

    Returns
    -------
    Window clipped to the image, or None where no pixel of the image sees the domain.
    """
    rows, cols = grid.pixel_of(*domain.to_lonlat(*domain.outline(OUTLINE_POINTS)))
    grow_rows = grow_cols = 0
    if not np.isfinite(rows).all():
        inner_rows, inner_cols = grid.pixel_of(*domain.to_lonlat(*domain.lattice(LATTICE_POINTS)))
        rows, cols = np.concatenate([rows, inner_rows]), np.concatenate([cols, inner_cols])
        seen = np.isfinite(rows)
        if not seen.any():
            return None
        rows, cols = rows[seen], cols[seen]
        spacing = max(domain.l_zonal, domain.l_meridional) / (LATTICE_POINTS - 1)
        angle = spacing / grid.view.perspective_height
        grow_rows, grow_cols = math.ceil(angle / abs(grid.dy)), math.ceil(angle / abs(grid.dx))

    bounds = Window(
        math.floor(rows.min()) - grow_rows,
        math.ceil(rows.max()) + 1 + grow_rows,
        math.floor(cols.min()) - grow_cols,
        math.ceil(cols.max()) + 1 + grow_cols,
    )
    if bounds.clipped(grid.shape).is_empty:
        return None
    return bounds.padded(margin).clipped(grid.shape)

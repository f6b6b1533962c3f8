"""A look at embeddings: their length, by where their tiles lie."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np
import xarray as xr

#: Height of a plot, inches, and its resolution, dots an inch: small, since each is kept with a record.
HEIGHT = 2.6
DPI = 80


def embedding_map(data: xr.Dataset, title: str) -> bytes:
    """The length of each embedding at the place of its tile, as PNG; grey where there is none.

    Parameters
    ----------
    data
        ``emb`` of windows (emb_dim, y, x) or of tiles (tile_id, emb_dim), with x and y in metres.
    title
        Over the plot.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    length = (data["emb"] ** 2).sum("emb_dim", skipna=False) ** 0.5
    x, y = data["x"].values / 1e3, data["y"].values / 1e3
    across = max(np.ptp(x), 1.0) / max(np.ptp(y), 1.0)
    figure = Figure(figsize=(HEIGHT * min(max(across, 0.7), 3) + 1.2, HEIGHT), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)  # no window, and safe in threads
    axes = figure.subplots()
    axes.set_facecolor("0.5")
    if "y" in length.dims:
        shown: Any = axes.imshow(length.values, extent=_extent(x, y), origin="lower", interpolation="none")
    else:
        shown = axes.scatter(x, y, c=length.values, s=12)
        axes.set_aspect("equal", adjustable="datalim")
    axes.set(xlabel="x [km]", ylabel="y [km]")
    axes.set_title(title, fontsize="small")
    figure.colorbar(shown, ax=axes, label="length of embedding [1]")
    buffer = BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})  # the same plot gives the same bytes
    return buffer.getvalue()


def _extent(x: Any, y: Any) -> tuple[float, float, float, float]:
    half_x, half_y = (float(axis[1] - axis[0]) / 2 if axis.size > 1 else 0.5 for axis in (x, y))
    return x[0] - half_x, x[-1] + half_x, y[0] - half_y, y[-1] + half_y

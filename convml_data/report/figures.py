"""Figures of Matplotlib as PNG: without a window, safe in threads, the same figure the same bytes."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Resolution of figures, dots an inch.
DPI = 100

#: West, east, south and north edge of a map, km.
Extent = tuple[float, float, float, float]


def new_figure(width: float, height: float, layout: Literal["constrained", "compressed"] = "constrained") -> Figure:
    """An empty figure of a size in inches, its parts arranged so that no words overlap.

    Compressed, panels of a fixed aspect stand close together.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=DPI, layout=layout)
    FigureCanvasAgg(figure)
    return figure


def png_of(figure: Figure) -> bytes:
    """A figure as PNG."""
    buffer = BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def extent_km(x: npt.NDArray[np.floating], y: npt.NDArray[np.floating]) -> Extent:
    """The edges of cells of which the centres are given in metres, in km."""
    x, y = x / 1e3, y / 1e3
    half_x, half_y = (abs(axis[1] - axis[0]) / 2 if axis.size > 1 else 0.5 for axis in (x, y))
    return (float(x.min() - half_x), float(x.max() + half_x), float(y.min() - half_y), float(y.max() + half_y))


def map_axes(axes: Any, extent: Extent, *, left: bool = True, below: bool = True) -> None:
    """Let axes show an area, in km."""
    axes.set_xlim(extent[0], extent[1])
    axes.set_ylim(extent[2], extent[3])
    axes.set_aspect("equal")
    if left:
        axes.set_ylabel("y [km]")
    if below:
        axes.set_xlabel("x [km]")

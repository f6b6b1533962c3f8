"""A scene and the trajectories through it: where they come from, and where they go to."""

from __future__ import annotations

from datetime import timedelta
from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr
from PIL import Image

from convml_data.geometry.local import LocalGrid
from convml_data.images.picture import STYLE_KEY

#: Width of a plot, inches, and its resolution, dots an inch.
WIDTH = 8.0
DPI = 100

#: How opaque the way ahead is.
AHEAD = 0.35

#: Of all speeds of a file, the percentile that has the last colour.
TOP = 99.0


def flow_plot(
    picture: Image.Image, grid: LocalGrid, flow: xr.Dataset, scene: int, dt_max: timedelta, made_from: str | None = None
) -> bytes:
    """The plot as PNG: a dot on each trajectory that is in the scene, its way there opaque and its way ahead faint.

    Parameters
    ----------
    picture
        Of the scene, row 0 in the north.
    grid
        The dataset's.
    flow
        Trajectories as :func:`~convml_data.flow.files.to_dataset` gives them, times decoded.
    scene
        Its number in the file.
    dt_max
        How far back and ahead.
    made_from
        Fingerprint to be kept in the file.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.collections import LineCollection
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure

    ny, nx = grid.shape
    half_x, half_y = (grid.resolution * count / 2e3 for count in (nx, ny))
    figure = Figure(figsize=(WIDTH, _even(min(0.8 * WIDTH * ny / nx + 1.1, 2 * WIDTH))), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)  # no window, and safe in threads
    axes = figure.subplots()
    axes.imshow(np.asarray(picture), extent=(-half_x, half_x, -half_y, half_y))
    axes.set(xlabel="x [km]", ylabel="y [km]", xlim=(-half_x, half_x), ylim=(-half_y, half_y))

    x, y, speed = flow["x"].values / 1e3, flow["y"].values / 1e3, np.hypot(flow["u"].values, flow["v"].values)
    here = np.flatnonzero(flow["scene"].values == scene)
    colours: dict[str, Any] = {"norm": Normalize(0, top_speed(flow)), "cmap": "turbo"}
    for lines, opacity in zip(_ways(flow, here, scene, dt_max), (1.0, AHEAD), strict=True):
        ways = [np.stack([x[points], y[points]], axis=1) for points in lines]
        drawn = LineCollection(ways, linewidths=1.2, alpha=opacity, **colours)
        drawn.set_array(speed[here])
        axes.add_collection(drawn)
    dots = axes.scatter(x[here], y[here], s=16, c=speed[here], edgecolors="white", linewidths=0.6, zorder=3, **colours)
    figure.colorbar(dots, ax=axes, label="speed [m s$^{-1}$]", shrink=0.9)
    moment = np.datetime_as_string(flow["scene_time"].values[scene], unit="s").replace("T", " ")
    shown = f"{dt_max.total_seconds() / 60:g} min back (opaque) and ahead (faint)"
    axes.set_title(f"{flow['scene_id'].values[scene]}   {moment} UTC\n{shown}", size=10)
    buffer = BytesIO()
    # The same plot gives the same bytes.
    figure.savefig(buffer, format="png", metadata={"Software": None, STYLE_KEY: made_from})
    return buffer.getvalue()


def top_speed(flow: xr.Dataset) -> float:
    """The speed in m/s that has the last colour, in all plots of a file."""
    speed = np.hypot(flow["u"].values, flow["v"].values)
    return float(max(1, np.ceil(np.percentile(speed, TOP)))) if speed.size else 1.0


def _ways(
    flow: xr.Dataset, here: npt.NDArray[np.intp], scene: int, dt_max: timedelta
) -> tuple[list[slice], list[slice]]:
    """For each point of a scene, the points of its trajectory up to it, and those from it on."""
    row_size = flow["row_size"].values
    stop = np.cumsum(row_size)
    trajectory = np.searchsorted(stop, here, side="right")
    away = flow["time"].values - flow["scene_time"].values[scene]
    near = np.abs(away) <= np.timedelta64(int(dt_max.total_seconds() * 1e6), "us")
    back, ahead = [], []
    for point, first, last in zip(here, (stop - row_size)[trajectory], stop[trajectory], strict=True):
        back.append(slice(first + int(np.argmax(near[first:last])), point + 1))
        ahead.append(slice(point, point + int(near[point:last].sum())))
    return back, ahead


def _even(inches: float) -> float:
    """A length that is an even number of dots, as films need it."""
    return 2 * round(inches * DPI / 2) / DPI

"""A scene above and an auxiliary field below, over one x axis."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from convml_data.images.picture import scene_picture
from convml_data.images.style import GREY, FieldStyle, Style
from convml_data.report.figures import extent_km, new_figure, png_of

#: Width of a plot, inches.
WIDTH = 7.0

#: The colours of auxiliary fields that ``meta.yaml`` draws in grey: next to a picture, grey would be mistaken for one.
COLOURS = "viridis"


def aux_plot(scene: xr.Dataset, field: xr.Dataset, scene_style: Style, field_style: Style) -> bytes:
    """The plot as PNG.

    Parameters
    ----------
    scene, field
        Of one scene on the dataset's grid, as they lie on disk.
    scene_style
        How the scene is drawn.
    field_style
        Of the auxiliary product: the limits of its first band are those of the colours; without such
        limits the field is drawn as the picture that it is.
    """
    extent = extent_km(scene["x"].values, scene["y"].values)
    height = 2 * WIDTH * 0.8 * (extent[3] - extent[2]) / (extent[1] - extent[0]) + 1.5
    figure = new_figure(WIDTH, min(height, 3 * WIDTH))
    above, below = figure.subplots(2, 1, sharex=True, sharey=True)
    above.imshow(np.asarray(scene_picture(scene, scene_style)), extent=extent)
    above.set_title(str(scene.attrs.get("scene_id", "")))
    _draw_field(figure, below, field, field_style, extent)
    for axes in (above, below):
        axes.set_ylabel("y [km]")
    below.set_xlabel("x [km]")
    return png_of(figure)


def _draw_field(figure: Any, axes: Any, field: xr.Dataset, style: Style, extent: tuple[float, ...]) -> None:
    (variable,) = field.data_vars.values()
    offset = field.attrs.get("aux_offset_s")
    name = str(field.attrs.get("aux_name", variable.name))
    axes.set_title(name if offset is None else f"{name}, {float(offset):+.0f} s")
    if not isinstance(style, FieldStyle) or variable.ndim != 2:
        axes.imshow(np.asarray(scene_picture(field, style)), extent=extent)
        return
    band = style.bands[0]
    low, high = sorted((band.dark, band.bright))
    axes.set_facecolor("0.5")  # where there is no value
    colours = COLOURS if style.colours == GREY else style.colours
    image = axes.imshow(
        variable.values, extent=extent, origin="lower", vmin=low, vmax=high, cmap=colours, interpolation="none"
    )
    units = variable.attrs.get("units")
    label = str(variable.attrs.get("long_name", variable.name))
    figure.colorbar(image, ax=axes, label=f"{label} [{units}]" if units else label)

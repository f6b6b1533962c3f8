"""Pictures of fields: 8-bit RGB, row 0 in the north, and never a hole that looks like data."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from PIL import Image

from convml_data.errors import SceneError
from convml_data.images.stretch import cira_stretch

if TYPE_CHECKING:
    import xarray as xr

#: Grey of pixels without a value, of 255: neither the black of deep space nor the white of cloud.
MISSING_GREY = 128


def scene_picture(data: xr.Dataset) -> Image.Image:
    """The picture of a scene or tile, whichever way its rows run.

    Parameters
    ----------
    data
        One variable (3, y, x) of reflectances in percent, with the coordinate y, metres.

    Raises
    ------
    SceneError
        The data are no truecolor reflectances.
    """
    (field,) = data.data_vars.values()
    units = field.attrs.get("units")
    if field.ndim != 3 or field.shape[0] != 3 or units != "%":
        raise SceneError(
            f"the variable {field.name!r} of shape {field.shape} in units of {units!r} has no picture",
            remedy="Only red, green and blue reflectances in % can be shown",
        )
    y = field["y"].values
    return truecolor_picture(field.values, y_ascending=bool(y[-1] > y[0]))


def truecolor_picture(rgb: npt.NDArray[np.floating], *, y_ascending: bool) -> Image.Image:
    """A truecolor scene or tile as it is looked at.

    Parameters
    ----------
    rgb
        Reflectances in percent of red, green and blue, shape (3, ny, nx).
    y_ascending
        Whether the rows run from south to north, as on local grids, or from north to south, as in
        satellite images.

    Returns
    -------
    Image of mode RGB with row 0 in the north; pixels without a value (:func:`missing_pixels`) are
    grey.
    """
    levels = np.rint(np.nan_to_num(cira_stretch(rgb)) * 255).astype(np.uint8)
    levels[:, missing_pixels(rgb)] = MISSING_GREY
    if y_ascending:
        levels = levels[:, ::-1, :]
    return Image.fromarray(np.ascontiguousarray(np.moveaxis(levels, 0, -1)))


def missing_pixels(rgb: npt.NDArray[np.floating]) -> npt.NDArray[np.bool_]:
    """Where any band of an array of shape (3, ny, nx) has no finite value, shape (ny, nx)."""
    if rgb.ndim != 3 or rgb.shape[0] != 3:
        raise ValueError(f"expected red, green and blue as (3, ny, nx), not an array of shape {rgb.shape}")
    return np.asarray(~np.isfinite(rgb).all(axis=0))


def png_bytes(image: Image.Image) -> bytes:
    """The image as PNG: the same pixels give the same bytes."""
    buffer = BytesIO()
    # Level 1 takes half the time of the default, for pictures of clouds that are 8 % larger.
    image.save(buffer, format="PNG", optimize=False, compress_level=1)
    return buffer.getvalue()


def thumbnail(image: Image.Image, max_side: int) -> bytes:
    """The image as PNG, shrunk to sides of at most ``max_side`` pixels, never enlarged."""
    small = image.copy()
    small.thumbnail((max_side, max_side), Image.Resampling.LANCZOS, reducing_gap=None)
    return png_bytes(small)

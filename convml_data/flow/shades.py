"""The grey image that a scene is followed in: of its values, on a scale that all scenes share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from convml_data.errors import MetaError
from convml_data.images.stretch import cira_stretch
from convml_data.images.style import CompositeStyle, FieldStyle, Style, TruecolorStyle

if TYPE_CHECKING:
    import xarray as xr


def shades(scene: xr.Dataset, style: Style, band: str | None) -> npt.NDArray[np.float32]:
    """Shades of a scene from 0 to 1, NaN where it has no value.

    Fields are scaled from the darkest to the brightest value of pictures. Of truecolor it is the red band, in which the
    air scatters least, on the scale of truecolor pictures; of composites with colours of their own the mean of
    red, green and blue.

    Parameters
    ----------
    scene
        One variable (y, x) or (bands, y, x) on the dataset's grid.
    style
        How the dataset's default pictures are drawn.
    band
        Name of the band to take of several fields, None for the first.

    Returns
    -------
    Shape (ny, nx), rows as in the scene.

    Raises
    ------
    MetaError
        There is no such band.
    """
    (field,) = scene.data_vars.values()
    match style:
        case TruecolorStyle():
            _require_no_band(band, "truecolor, of which the red band is followed")
            grey = cira_stretch(field.values[0])
            # A pixel that lacks another band is drawn as missing too.
            grey = np.where(np.isfinite(field.values).all(axis=0), grey, np.nan)
        case FieldStyle(bands=bands):
            names = [each.name for each in bands]
            if band is not None and band not in names:
                raise MetaError(
                    f"there is no band {band!r}", where="meta.yaml: flow.band", remedy=f"Write {' or '.join(names)}"
                )
            index = 0 if band is None else names.index(band)
            values = field.values.reshape(-1, *field.shape[-2:])[index]
            limits = bands[index]
            grey = np.clip((values - limits.dark) / (limits.bright - limits.dark), 0, 1)
        case CompositeStyle():
            from convml_data.sources.goes.composites import composite_picture

            _require_no_band(band, "a composite, of which the mean of its colours is followed")
            levels, missing = composite_picture(scene)
            grey = np.where(missing, np.nan, levels.mean(axis=-1) / 255)
        case _:
            raise ValueError(f"scenes are not followed in the style {style}")
    return np.asarray(grey, np.float32)


def _require_no_band(band: str | None, what: str) -> None:
    if band is not None:
        raise MetaError(f"{band!r} names a band of {what}", where="meta.yaml: flow.band", remedy="Leave it out")

"""What a product makes of the channels' windows: values on one grid, and what they mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr

from convml_data.geometry.fixed_grid import FixedGrid
from convml_data.geometry.model_grids import LatLonGrid
from convml_data.meta.level2 import Level2
from convml_data.meta.products import ChannelField, Channels
from convml_data.sources.base import CATEGORICAL
from convml_data.sources.goes import rayleigh, truecolor
from convml_data.sources.goes.calibration import Float32Array
from convml_data.sources.goes.crops import Crop
from convml_data.sources.goes.level2 import Level2Crop


@dataclass(frozen=True)
class Made:
    """A product over a window.

    Parameters
    ----------
    name
        Of the variable.
    grid
        Of the pixels.
    variable
        Dims (bands, y, x) or (y, x), float32, NaN where missing.
    coordinates
        Along ``bands``, none for a field without bands.
    attributes
        What was applied.
    """

    name: str
    grid: FixedGrid | LatLonGrid
    variable: xr.Variable
    coordinates: Mapping[str, xr.Variable]
    attributes: Mapping[str, str]


def make_truecolor(crops: Sequence[Crop], satellite: str, correct_rayleigh: bool) -> Made:
    """Red, green and blue on the grid of channel 2, from channels 1, 2 and 3."""
    blue, red, vegetation = (
        truecolor.Reflectances(crop.reflectance(), crop.grid, crop.channel.start) for crop in crops
    )
    scattering = rayleigh.Scattering(satellite, crops[1].channel.position) if correct_rayleigh else None
    return Made(
        "rgb_truecolor",
        red.grid,
        xr.Variable(
            ("bands", "y", "x"),
            truecolor.truecolor(blue, red, vegetation, scattering),
            {
                "standard_name": "toa_bidirectional_reflectance",
                "long_name": "truecolor reflectance before enhancement",
                "units": "%",
            },
        ),
        {"bands": xr.Variable("bands", ["R", "G", "B"])},
        {
            "sun_zenith_correction": truecolor.SUN_ZENITH_CORRECTION,
            "rayleigh_correction": rayleigh.DESCRIPTION if scattering else "not applied",
        },
    )


def make_channels(crops: Sequence[Crop], product: Channels) -> Made:
    """Fields of channels; several are stacked on the finest grid among theirs, pixels repeated, not interpolated."""
    crop_of = {crop.channel.number: crop for crop in crops}
    ordered = [crop_of[field.channel] for field in product.fields]
    values = [_values(crop, field) for crop, field in zip(ordered, product.fields, strict=True)]
    attributes = [_attributes(crop, field) for crop, field in zip(ordered, product.fields, strict=True)]
    if not product.stacked:
        return Made(product.fields[0].name, ordered[0].grid, xr.Variable(("y", "x"), values[0], attributes[0]), {}, {})

    finest = min((crop.grid for crop in ordered), key=lambda grid: grid.dx)
    stacked = np.stack([_refined(array, finest.shape) for array in values])
    units = [attrs["units"] for attrs in attributes]
    common = {"units": units[0]} if len(set(units)) == 1 else {}
    return Made(
        "multichannel",
        finest,
        xr.Variable(("bands", "y", "x"), stacked, {"long_name": "fields of several channels, one a band"} | common),
        {
            "bands": xr.Variable("bands", [field.name for field in product.fields]),
            "band_units": xr.Variable("bands", units),
            "band_long_name": xr.Variable("bands", [attrs["long_name"] for attrs in attributes]),
        },
        {},
    )


def make_level2(crop: Level2Crop, level2: Level2) -> Made:
    """A variable of a level 2 product; the attribute ``categorical`` tells that its values are codes."""
    attributes = {"long_name": level2.product.title} | crop.attributes
    if level2.variable.categories:
        attributes |= CATEGORICAL
    return Made(level2.name, crop.grid, xr.Variable(("y", "x"), crop.values, attributes), {}, {})


def _values(crop: Crop, field: ChannelField) -> Float32Array:
    if field.quantity == "bt":
        return crop.brightness_temperature()
    return crop.reflectance() if field.quantity == "refl" else crop.radiance()


def _attributes(crop: Crop, field: ChannelField) -> dict[str, str]:
    band = f"ABI channel {field.channel} ({crop.channel.wavelength:g} um)"
    if field.quantity == "bt":
        return {
            "standard_name": "toa_brightness_temperature",
            "long_name": f"brightness temperature, {band}",
            "units": field.units,
        }
    if field.quantity == "refl":
        return {
            "standard_name": "toa_lambertian_equivalent_albedo_multiplied_by_cosine_solar_zenith_angle",
            "long_name": f"reflectance factor, not corrected for the height of the sun, {band}",
            "units": field.units,
        }
    per = "wavelength" if crop.channel.esun is not None else "wavenumber"
    return {
        "standard_name": f"toa_outgoing_radiance_per_unit_{per}",
        "long_name": f"spectral radiance, {band}",
        "units": field.units,
    }


def _refined(values: Float32Array, shape: tuple[int, int]) -> Float32Array:
    """Each pixel repeated over the pixels of a finer grid of ``shape`` over the same area."""
    factor = shape[0] // values.shape[0]
    return values if factor == 1 else values.repeat(factor, axis=0).repeat(factor, axis=1)

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
import xarray as xr
from PIL import Image

from convml_data.images.picture import (
    MISSING_GREY,
    field_picture,
    missing_pixels,
    png_bytes,
    scene_picture,
    thumbnail,
    truecolor_picture,
)
from convml_data.images.stretch import cira_stretch
from convml_data.images.style import GREY, Band, FieldStyle, TruecolorStyle


def reflectances(ny: int = 40, nx: int = 60) -> np.ndarray:
    rng = np.random.default_rng(2)
    return rng.uniform(-3.0, 130.0, (3, ny, nx)).astype(np.float32)


def scene(rgb: np.ndarray, y: np.ndarray, units: str = "%") -> xr.Dataset:
    return xr.Dataset(
        {"rgb": (("bands", "y", "x"), rgb, {"units": units})},
        coords={"y": y, "grid": 0},
    )


@pytest.mark.parametrize(
    ("reflectance", "expected"),
    [
        (-1.0, 0.0),
        (0.0, 0.0),
        (2.23, 0.0),
        (100 * 0.0223**0.625 * 10**0.375, 0.5),
        (100 * 0.0223**0.25 * 10**0.75, 1.0),
        (400.0, 1.0),
    ],
)
def test_stretch_of_known_reflectances(reflectance, expected):
    assert cira_stretch(np.array([reflectance]))[0] == pytest.approx(expected, abs=1e-12)


def test_stretch_keeps_type_and_holes():
    stretched = cira_stretch(np.array([10.0, np.nan], np.float32))

    assert stretched.dtype == np.float32
    assert 0 < stretched[0] < 1
    assert np.isnan(stretched[1])


def test_picture_equals_satpys_enhanced_image():
    enhancer = pytest.importorskip("satpy.enhancements.enhancer")
    rgb = reflectances()
    rgb[:, 0, :6] = [0.0, 1e-6, 2.23, 2.3, 100.0, 400.0]
    data = xr.DataArray(
        rgb.copy(),
        dims=("bands", "y", "x"),
        coords={"bands": ["R", "G", "B"]},
        attrs={"name": "true_color", "standard_name": "true_color", "sensor": "abi"},
    )

    enhanced = np.asarray(enhancer.get_enhanced_image(data).pil_image())
    ours = np.asarray(truecolor_picture(rgb, y_ascending=False))

    # satpy has a fourth channel for what is missing, which is nothing here.
    assert enhanced.shape == (40, 60, 4)
    assert (enhanced[:, :, 3] == 255).all()
    enhanced = enhanced[:, :, :3]
    assert np.abs(enhanced.astype(int) - ours.astype(int)).max() <= 1
    assert (enhanced == ours).mean() > 0.999


def test_row_0_is_in_the_north_whichever_way_the_rows_run():
    rgb = np.full((3, 4, 5), 3.0)
    rgb[:, 0] = 100.0
    bright_first, bright_last = (
        np.asarray(scene_picture(scene(rgb, y), TruecolorStyle()))[:, :, 0]
        for y in (np.array([40.0, 30.0, 20.0, 10.0]), np.array([10.0, 20.0, 30.0, 40.0]))
    )

    assert (bright_first[0] > 200).all()
    assert (bright_first[1:] < 100).all()
    assert (bright_last[-1] > 200).all()
    assert (bright_last[:-1] < 100).all()


def test_red_is_red():
    rgb = np.zeros((3, 2, 2))
    rgb[0] = 300.0

    image = truecolor_picture(rgb, y_ascending=True)

    assert image.mode == "RGB"
    assert image.getpixel((0, 0)) == (255, 0, 0)


def test_pixels_without_a_value_in_any_band_are_grey_and_counted():
    rgb = reflectances()
    rgb[0, 3, 4] = np.nan
    rgb[:, 10:12, :] = np.nan
    rgb[2, 0, 0] = np.inf

    pixels = np.asarray(truecolor_picture(rgb, y_ascending=False))
    missing = missing_pixels(rgb)

    assert missing.sum() == 1 + 2 * 60 + 1
    assert (pixels[missing] == MISSING_GREY).all()
    untouched = np.asarray(truecolor_picture(reflectances(), y_ascending=False))
    assert (pixels[~missing] == untouched[~missing]).all()


def test_a_scene_without_any_value_is_grey_not_black():
    pixels = np.asarray(truecolor_picture(np.full((3, 4, 4), np.nan), y_ascending=True))

    assert (pixels == MISSING_GREY).all()


def test_the_data_are_not_changed():
    rgb = reflectances()
    rgb[0, 0, 0] = np.nan
    before = rgb.copy()

    truecolor_picture(rgb, y_ascending=True)

    assert np.array_equal(rgb, before, equal_nan=True)


@pytest.mark.parametrize("shape", [(4, 5), (4, 5, 3), (1, 4, 5)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(ValueError, match="ny, nx"):
        truecolor_picture(np.zeros(shape), y_ascending=True)


def test_a_single_field_is_grey_between_its_limits_and_cold_is_bright():
    kelvin = np.array([[300.0, 250.0], [200.0, 180.0], [np.nan, 320.0]], np.float32)
    data = xr.Dataset({"bt_13": (("y", "x"), kelvin, {"units": "K"})}, coords={"y": [0.0, 1.0, 2.0]})

    pixels = np.asarray(scene_picture(data, FieldStyle((Band("bt_13", dark=300.0, bright=200.0),), GREY)))

    assert (pixels[..., 0] == pixels[..., 1]).all()
    assert (pixels[..., 0] == pixels[..., 2]).all()
    # row 0 is the north, which the last row of the data is
    assert pixels[..., 0].tolist() == [[MISSING_GREY, 0], [255, 255], [0, 128]]


@pytest.mark.parametrize(("n_bands", "shades"), [(2, [255, 128, 0]), (3, [255, 128, 0]), (4, [255, 128, 0])])
def test_the_first_three_bands_are_red_green_and_blue(n_bands, shades):
    values = np.array([4.0, 2.0, 0.0, 3.0])[:n_bands, np.newaxis, np.newaxis]
    bands = tuple(Band(str(number), dark=0.0, bright=4.0) for number in range(n_bands))

    pixels = np.asarray(field_picture(values, bands, y_ascending=True))

    assert pixels[0, 0].tolist() == shades


def test_png_is_the_picture_and_its_bytes_depend_on_the_pixels_alone():
    image = truecolor_picture(reflectances(), y_ascending=False)
    image.info["comment"] = "not in the file"
    png = png_bytes(image)

    reread = Image.open(BytesIO(png))
    assert (reread.format, reread.mode, reread.size) == ("PNG", "RGB", (60, 40))
    assert np.array_equal(np.asarray(reread), np.asarray(image))
    assert reread.info == {}
    assert png == png_bytes(reread)


@pytest.mark.parametrize(("max_side", "size"), [(30, (30, 20)), (60, (60, 40)), (500, (60, 40))])
def test_thumbnails_keep_the_aspect_and_never_grow(max_side, size):
    image = truecolor_picture(reflectances(), y_ascending=False)

    small = Image.open(BytesIO(thumbnail(image, max_side)))

    assert (small.format, small.mode, small.size) == ("PNG", "RGB", size)
    assert image.size == (60, 40)

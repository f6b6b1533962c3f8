"""The compiled loops against the same in plain NumPy, on whatever hypothesis thinks of."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import plain
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from convml_data.images.picture import MISSING_GREY, field_picture, truecolor_picture
from convml_data.images.stretch import cira_levels, cira_stretch
from convml_data.images.style import Band
from convml_data.kernels import composite, counts, scattering
from convml_data.regrid.apply import apply_index_map
from convml_data.regrid.index_map import IndexMap
from convml_data.sources.goes import calibration
from convml_data.sources.goes.nodes import sun_direction

FULL, NIGHT = np.radians(88), np.radians(95)
SIDES = st.integers(1, 12)

#: Reflectances in percent, noise around zero and holes among them.
PERCENT = st.one_of(
    st.floats(-5, 150, width=32, allow_subnormal=False), st.sampled_from([0.0, -0.0, 20.0, 100.0, np.nan])
)


def fields(shape: tuple[int, int], values: st.SearchStrategy[float] = PERCENT) -> st.SearchStrategy[np.ndarray]:
    return arrays(np.float32, shape, elements=values, fill=st.nothing())


@settings(deadline=None)  # the first may have to wait for the compiler
@given(st.data(), st.sampled_from([1, 8]), SIDES, SIDES)
def test_nodes_are_interpolated(data: st.DataObject, step: int, rows: int, columns: int) -> None:
    shape = (max(2, -(-(rows - 1) // step) + 1), max(2, -(-(columns - 1) // step) + 1))
    nodes = data.draw(fields(shape, st.floats(-1, 1, width=32)))
    found = np.empty((rows, columns), np.float32)
    for row in range(rows):
        composite.interpolate_row(nodes, step, row, np.empty(shape[1] + 1, np.float32), found[row])
    np.testing.assert_allclose(found, plain.between_nodes(nodes, step, (rows, columns)), atol=1e-6)


@settings(deadline=None)  # the first may have to wait for the compiler
@given(arrays(np.float32, st.integers(1, 40), elements=st.one_of(st.floats(-1, 1, width=32), st.just(np.nan))))
@example(np.array([1.0000001], np.float32))
@example(np.cos(np.radians([88.0, 88.00001, 95.0, 180.0])).astype(np.float32))
def test_the_sun_is_corrected_for(cosines: np.ndarray) -> None:
    found = cosines.copy()
    composite.sun_zenith_factors(FULL, NIGHT, found)
    np.testing.assert_allclose(found, plain.sun_zenith_factor(cosines.astype(float), FULL, NIGHT), rtol=1e-5, atol=1e-3)


@settings(deadline=None)  # the first may have to wait for the compiler
@given(st.integers(1, 5).flatmap(lambda half: fields((2, 2 * half))))
def test_sharpening_ratios(red: np.ndarray) -> None:
    found = np.empty_like(red)
    composite.sharpening_ratios(red, 1.5, found)
    blocks = red.reshape(1, 2, -1, 2).astype(float)
    with np.errstate(invalid="ignore"):
        size, mean = np.nansum(np.abs(blocks), axis=(1, 3)), np.nansum(blocks, axis=(1, 3))
    steady = plain.doubled(np.abs(mean) > 1e-3 * size + 1e-30)  # elsewhere a mean of almost nothing decides
    expected = plain.sharpening_ratio(red.astype(float), 1.5)
    np.testing.assert_allclose(found[steady], expected[steady], rtol=1e-3)
    assert ((found >= 0) & (found <= 1.5)).all()


@settings(max_examples=60, deadline=None)
@given(st.data(), st.integers(1, 6), st.integers(1, 6), st.sampled_from([1, 8]))
def test_the_composite(data: st.DataObject, rows: int, columns: int, step: int) -> None:
    coarse, fine = (rows, columns), (2 * rows, 2 * columns)
    blue, vegetation = data.draw(fields(coarse)), data.draw(fields(coarse))
    red = data.draw(fields(fine, st.one_of(st.floats(5, 150, width=32), st.just(np.nan))))

    def nodes(shape: tuple[int, int], low: float, high: float) -> np.ndarray:
        of_nodes = tuple(max(2, -(-(n - 1) // step) + 1) for n in shape)
        return data.draw(fields(of_nodes, st.floats(low, high, width=32)))

    suns = [nodes(shape, 0.25, 1.0) for shape in (coarse, fine, coarse)]
    airs = [nodes(fine, 0.0, 1.0) for _ in range(2)]
    fractions = np.array([0.465, 0.465, 0.07], np.float32)
    found = np.empty((3, *fine), np.float32)
    composite.compose(blue, red, vegetation, *suns, *airs, step, step, FULL, NIGHT, fractions, 1.5, found)

    factors = [
        plain.sun_zenith_factor(plain.between_nodes(sun, step, shape), FULL, NIGHT)
        for sun, shape in zip(suns, (coarse, fine, coarse), strict=True)
    ]
    r = red * factors[1]
    clear = plain.share_of_clear_sky(r)
    b = plain.doubled(blue * factors[0]) - plain.between_nodes(airs[0], step, fine) * clear
    v = plain.doubled(vegetation * factors[2])
    r = r - plain.between_nodes(airs[1], step, fine) * clear
    ratio = plain.sharpening_ratio(r, 1.5)
    g = fractions[0] * b + fractions[1] * r + fractions[2] * v
    expected = np.where(np.isfinite(b + r + v), [r, g * ratio, b * ratio], np.nan)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-3)


@settings(deadline=None)  # the first may have to wait for the compiler
@given(
    arrays(np.uint16, st.integers(1, 50), elements=st.sampled_from([0, 7, 1023, 40_000])),
    st.data(),
    st.sets(st.integers(0, 255)),
)
def test_counts_are_sorted_out(stored: np.ndarray, data: st.DataObject, good: set[int]) -> None:
    flags = data.draw(arrays(np.uint8, stored.shape, elements=st.sampled_from([0, 1, 2, 3, 255])))
    kept = np.isin(np.arange(256), list(good))
    told = calibration.sort_out(stored, flags, calibration.Packing(0.5, -10.0, 1023), kept)
    missing = (stored == 1023) | (flags == 3)
    np.testing.assert_array_equal(told.missing, missing)
    np.testing.assert_array_equal(told.rejected, ~missing & ~kept[flags])
    np.testing.assert_array_equal(told.counts, np.where(~missing & kept[flags], stored, 1023))
    for share, flag in zip(told.dqf_shares.values(), range(5), strict=True):
        assert share == (flags == flag).mean()


@settings(deadline=None)  # the first may have to wait for the compiler
@given(arrays(st.sampled_from([np.uint16, np.int16, np.dtype(">u2")]), st.integers(1, 50)), st.integers(-1, 1023))
def test_values_of_counts_are_those_of_the_formula(stored: np.ndarray, fill: int) -> None:
    packing = calibration.Packing(0.25, -10.0, fill)
    told = calibration.sort_out(stored, np.zeros(stored.shape, np.uint8), packing, np.ones(256, bool))
    found = calibration.looked_up(told.counts, calibration.radiance_table(packing, told.counts.dtype))
    np.testing.assert_array_equal(found, np.where(stored == fill, np.nan, stored.astype(float) * 0.25 - 10))


def test_tables_are_of_all_counts() -> None:
    every = np.arange(1 << 16, dtype=np.uint16)
    values = np.empty(every.shape, np.float32)
    counts.look_up(every, every.astype(np.float32), values)
    np.testing.assert_array_equal(values, every)


@settings(max_examples=60, deadline=None)
@given(
    st.data(),
    SIDES,
    SIDES,
    st.integers(1, 3),
    st.sampled_from(["bilinear", "nearest"]),
    st.sampled_from([(1, 2), (3, 1)]),
)
def test_points_are_gathered(
    data: st.DataObject, height: int, width: int, side: int, method: str, cells: tuple[int, int]
) -> None:
    images = np.stack([data.draw(fields((height, width))) for _ in range(2)])
    points = (cells[0] * side, cells[1] * side)

    def positions(size: int) -> np.ndarray:
        whole, beside = st.integers(-1, size).map(float), st.sampled_from([size - 0.5, np.nan, np.inf])
        at = st.one_of(st.floats(-1, size), whole, beside)
        return data.draw(arrays(np.float64, points, elements=at, fill=st.nothing()))

    index_map = IndexMap(positions(height), positions(width), side)
    found = apply_index_map(images, index_map, method)  # type: ignore[arg-type]
    for band, image in zip(found, images, strict=True):
        expected = plain.gathered(image, index_map.rows, index_map.cols, side, method)
        np.testing.assert_allclose(band, expected, rtol=1e-4, atol=1e-3)


@settings(deadline=None)  # the first may have to wait for the compiler
@given(arrays(np.float32, (3, 2, 5), elements=st.floats(width=32)), st.booleans())
def test_levels_are_those_of_the_stretch(rgb: np.ndarray, ascending: bool) -> None:
    found = np.asarray(truecolor_picture(rgb, y_ascending=ascending))
    there = np.isfinite(rgb).all(axis=0)
    levels = np.rint(cira_stretch(np.where(there, rgb, 0)) * 255)
    expected = np.moveaxis(np.where(there, levels, MISSING_GREY), 0, -1)
    np.testing.assert_array_equal(found, expected[::-1] if ascending else expected)


@settings(deadline=None)  # the first may have to wait for the compiler
@given(st.integers(1, 4).flatmap(lambda bands: arrays(np.float32, (bands, 2, 5), elements=PERCENT)), st.booleans())
def test_shades_are_those_between_the_limits(values: np.ndarray, ascending: bool) -> None:
    limits = [(10.0, 90.0), (90.0, 10.0), (0.0, 1.0), (0.0, 1.0)][: len(values)]
    bands = tuple(Band(str(number), *ends) for number, ends in enumerate(limits))
    found = np.asarray(field_picture(values, bands, y_ascending=ascending))[:: -1 if ascending else 1]
    shares = [(band - dark) / (bright - dark) for band, (dark, bright) in zip(values, limits, strict=True)]
    rgb = [shares * 3, [*shares, np.zeros_like(values[0])]][len(values) > 1][:3]
    there = np.isfinite(rgb).all(axis=0)
    exact = np.clip(rgb, 0, 1) * 255
    np.testing.assert_allclose(found[there], np.moveaxis(exact, 0, -1)[there], atol=0.5001)
    assert (found[~there] == MISSING_GREY).all()


def test_levels_change_at_the_very_number_at_which_the_stretch_does() -> None:
    thresholds = np.unique(cira_levels().thresholds[:-1])
    assert thresholds.size >= 254
    near = (thresholds + np.arange(-40, 40)[:, np.newaxis]).astype(np.int32).view(np.float32)
    found = np.asarray(truecolor_picture(np.stack([near] * 3), y_ascending=False))
    np.testing.assert_array_equal(found[..., 0], np.rint(cira_stretch(near) * 255))


@settings(deadline=None)  # the first may have to wait for the compiler
@given(
    st.floats(-80, 80),
    st.floats(-179, 179),
    st.floats(0, 2 * np.pi),
    st.floats(1, 12),
    st.datetimes(datetime(2017, 1, 1), datetime(2030, 1, 1)),
)
def test_scattering_is_interpolated_by_the_angles(
    lat: float, lon: float, azimuth: float, secant: float, time: datetime
) -> None:
    from pyorbital import astronomy

    axes = [np.linspace(1, 20, 7), np.linspace(0, 180, 5), np.linspace(1, 9, 4)]
    # Linear in each of the angles, which interpolation keeps.
    table = axes[0][:, None, None] + axes[1][:, None] / 9 + axes[2]
    latitude, longitude = np.radians(lat), np.radians(lon)
    up = [np.cos(latitude) * np.cos(longitude), np.cos(latitude) * np.sin(longitude), np.sin(latitude)]
    east = np.array([-np.sin(longitude), np.cos(longitude), 0.0])
    towards = np.sin(azimuth) * east + np.cos(azimuth) * np.cross(up, east)
    found = np.empty(1, np.float32)
    ends = [np.array([axis[at] for axis in axes]) for at in (0, -1)]
    scattering.scattered(
        np.array(up)[:, None], towards[:, None], np.array([secant]), np.array(sun_direction(time)), table, *ends, found
    )
    zenith = astronomy.sun_zenith_angle(time, np.array([lon]), np.array([lat]))[0]
    between = abs(np.degrees(astronomy.get_alt_az(time, np.array([lon]), np.array([lat]))[1][0] - azimuth)) % 360
    sun_secant = 1 / np.cos(np.radians(zenith)) if zenith < np.degrees(np.arccos(1 / 20)) else 20
    expected = sun_secant + (180 - min(between, 360 - between)) / 9 + min(secant, 9)
    assume(0.01 < zenith < 179.99)  # elsewhere the sun has no azimuth
    assert found[0] == pytest.approx(expected, abs=1e-3)

"""Level 2 products: their names, and windows of files that encode them in every way."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest
import xarray as xr
from abi_files import source_file
from hypothesis import given
from hypothesis import strategies as st
from level2_files import ACHA_FLAGS, AOD_FLAGS, Stored, enumeration, write_level2

from convml_data.errors import ArchiveError, SceneError
from convml_data.geometry.local import LocalDomain
from convml_data.geometry.source_grids import grid_of
from convml_data.meta.level2 import LEVEL2_PATTERN, LEVEL2_PRODUCTS, is_level2, parse_level2
from convml_data.scenes.ledger import Scan
from convml_data.sources.base import Interval
from convml_data.sources.goes.granule import Granule
from convml_data.sources.goes.level2 import Encoding
from convml_data.sources.goes.quality import Quality
from convml_data.sources.goes.source import GoesSource

START = datetime(2020, 2, 2, 15, 1, 17)
DOMAIN = LocalDomain(25.5, -68.7, 300e3, 200e3)
#: Of the small files: more than the domain on pixels of 10 km.
SHAPE = (52, 64)


# --- names ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "product", "variable", "channels", "name"),
    [
        ("ACHA", "ACHA", "HT", (), "HT"),
        ("ACHT", "ACHT", "TEMP", (), "TEMP"),
        ("CMIP__13", "CMIP", "CMI", (13,), "CMI_13"),
        ("CPS", "CPS", "PSD", (), "PSD"),
        ("CPS__CPS", "CPS", "PSD", (), "PSD"),
        ("TPW", "TPW", "TPW", (), "TPW"),
        ("RSR", "RSR", "RSR", (), "RSR"),
        ("ACM", "ACM", "BCM", (), "BCM"),
        ("ACM__Cloud_Probabilities", "ACM", "Cloud_Probabilities", (), "Cloud_Probabilities"),
        ("AOD", "AOD", "AOD", (), "AOD"),
        ("DSI__CAPE", "DSI", "CAPE", (), "CAPE"),
        ("FDC__Mask", "FDC", "Mask", (), "Mask"),
    ],
)
def test_products_and_their_variables(
    text: str, product: str, variable: str, channels: tuple[int, ...], name: str
) -> None:
    level2 = parse_level2(text)
    assert (level2.product.name, level2.variable.name, level2.channels, level2.name) == (
        product,
        variable,
        channels,
        name,
    )


@pytest.mark.parametrize(
    ("text", "what", "remedy"),
    [
        ("ACHX", "'ACHX' is no level 2 product", "write ACHT or ACHA if that"),
        ("acha", "'acha' is no level 2 product", "write ACHA"),
        ("ACHAF", "'ACHAF' is no level 2 product", "write ACHA, and `sector` apart from it"),
        ("CMIPC", "'CMIPC' is no level 2 product", "write CMIP__<n> with n from 1 to 16, and `sector`"),
        ("ZZZZ", "'ZZZZ' is no level 2 product", "use one of ACHA, "),
        ("DMW", "'DMW' is no level 2 product", "winds at scattered places"),
        ("LVTP", "'LVTP' is no level 2 product", "profiles on pressure levels"),
        ("MCMIP", "'MCMIP' is no level 2 product", "write CMIP__<n>"),
        ("CMIP", "'CMIP' does not say which channel", "write CMIP__<n> with n from 1 to 16"),
        ("CMIP__17", "asks for channel '17'", "n from 1 to 16"),
        ("CMIP__07", "asks for channel '07'", "n from 1 to 16"),
        ("DSI", "'DSI' does not say which variable", "write DSI__CAPE or DSI__LI or"),
        ("ACM__PBL", "asks for the variable 'PBL', which ACM does not have", "write ACM or ACM__BCM or ACM__ACM"),
        ("ACHA__HT__HT", "names 2 variables of ACHA", "write ACHA"),
    ],
)
def test_what_is_no_product_says_what_to_write(text: str, what: str, remedy: str) -> None:
    assert is_level2(text)
    with pytest.raises(ValueError, match=re.escape(what)) as caught:
        parse_level2(text)
    assert remedy in caught.value.args[1]


def test_other_products_are_not_meant_to_be_level_2() -> None:
    assert not any(map(is_level2, ("truecolor_rgb", "singlechannel__13", "composite__ash", "goes16n__ACHA", "")))


@given(
    st.sampled_from(sorted(LEVEL2_PRODUCTS)), st.sampled_from(["", "__13", "__0", "__HT", "__CAPE", "__Smoke", "__"])
)
def test_the_pattern_of_the_schema_and_the_parser_agree(name: str, rest: str) -> None:
    try:
        parse_level2(name + rest)
    except ValueError:
        assert re.fullmatch(LEVEL2_PATTERN, name + rest) is None
    else:
        assert re.fullmatch(LEVEL2_PATTERN, name + rest) is not None


# --- how values are stored -----------------------------------------------------------------------


@given(
    scale=st.floats(1e-5, 10),
    offset=st.floats(-300, 300),
    counts=st.lists(st.integers(0, 65534), min_size=1, max_size=50),
)
def test_values_are_what_was_packed(scale: float, offset: float, counts: list[int]) -> None:
    stored = np.array(counts, np.uint16)
    values = Encoding(scale, offset, 65535, (0, 65534)).values(stored)
    assert values.dtype == np.float32
    np.testing.assert_array_equal(values, (np.array(counts) * scale + offset).astype(np.float32))


def test_fill_and_what_is_out_of_range_have_no_value() -> None:
    values = Encoding(2.0, 1.0, 4, (1, 6)).values(np.array([0, 1, 4, 6, 7], np.uint8))
    np.testing.assert_array_equal(values, [np.nan, 3, np.nan, 13, np.nan])
    floats = Encoding(1.0, 0.0, -999.0, (-np.inf, np.inf)).values(np.array([-999.0, np.nan, 5.5], np.float32))
    np.testing.assert_array_equal(floats, [np.nan, np.nan, 5.5])


def counts() -> np.ndarray:
    values = np.random.default_rng(1).integers(0, 65531, SHAPE).astype(np.uint16)
    values[20:24, 30:36] = 65535
    return values


PACKED = {"scale_factor": np.float32(0.3052037), "add_offset": np.float32(-100)}
ENCODINGS = {
    "unsigned": Stored(counts(), {**PACKED, "_FillValue": np.uint16(65535), "valid_range": np.uint16([0, 65530])}),
    "signed, meant as unsigned": Stored(
        counts().view(np.int16),
        {**PACKED, "_FillValue": np.int16(-1), "_Unsigned": "true", "valid_range": np.int16([0, -6])},
    ),
    "signed": Stored((counts() // 4).astype(np.int16), {**PACKED, "_FillValue": np.int16(16383)}),
    "range": Stored(counts(), {**PACKED, "_FillValue": np.uint16(65535), "valid_range": np.uint16([1000, 60000])}),
    "floats": Stored(
        np.where(counts() == 65535, -999, counts() / 7).astype(np.float32), {"_FillValue": np.float32(-999)}
    ),
}


def read(archive: Path, product: str, quality: Quality = "good", domain: LocalDomain = DOMAIN) -> xr.Dataset:
    source = source_of(archive, product, quality)
    return source.read(scan_of(source), domain)


def source_of(archive: Path, product: str, quality: Quality = "good") -> GoesSource:
    return GoesSource("goes16", product, "C", f"file://{archive}", quality=quality)


def scan_of(source: GoesSource) -> Scan:
    (scan,) = source.find([Interval(START, START)])
    assert scan.reason is None
    return scan


def decoded_by_netcdf(path: Path, variable: str) -> np.ndarray:
    with netCDF4.Dataset(path) as dataset:
        return np.ma.filled(dataset[variable][:].astype(np.float64), np.nan)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_windows_are_those_of_another_decoder(tmp_path: Path, encoding: str) -> None:
    dqf = np.random.default_rng(2).integers(0, 7, SHAPE)
    file = write_level2(tmp_path, "ACHA", {"HT": ENCODINGS[encoding], "DQF": enumeration(dqf, ACHA_FLAGS)}, START)
    theirs = decoded_by_netcdf(Path(file.url.removeprefix("file://")), "HT")
    for quality, keeps in (("any", dqf >= 0), ("good", dqf == 0), (("good_quality_qf",), dqf == 0)):
        data = read(tmp_path, "ACHA", quality)
        field = data["HT"]
        assert field.dims == ("y", "x")
        assert field.dtype == np.float32
        window = window_of(data)
        expected = np.where(keeps, theirs, np.nan)[window]
        tolerance = 1e-5 * float(ENCODINGS[encoding].attributes.get("scale_factor", 1))
        np.testing.assert_allclose(field.values, expected, rtol=1e-6, atol=tolerance)
        assert np.isfinite(field).any()
        assert data.attrs["rejected_share"] == pytest.approx((~keeps & np.isfinite(theirs))[window].mean())


def window_of(data: xr.Dataset) -> tuple[slice, slice]:
    """Of a crop in its file, from what the crop says of its place."""
    grid = json.loads(data.attrs["source_grid"])
    row = round((80080e-6 - 140e-6 - grid["y0"]) / 280e-6)
    column = round((grid["x0"] - 9968e-6 - 140e-6) / 280e-6)
    return slice(row, row + grid["rows"]), slice(column, column + grid["columns"])


def test_the_dataset_is_what_a_source_promises(tmp_path: Path) -> None:
    attributes = {"long_name": "ABI L2+ Cloud Top Height", "units": "m", "standard_name": "geopotential_height"}
    variable = Stored(ENCODINGS["unsigned"].values, {**ENCODINGS["unsigned"].attributes, **attributes})
    file = write_level2(tmp_path, "ACHA", {"HT": variable, "DQF": enumeration(np.zeros(SHAPE, int), ACHA_FLAGS)}, START)
    data = read(tmp_path, "ACHA")
    assert data["HT"].attrs == {**attributes, "grid_mapping": "goes_imager_projection"}
    assert (np.diff(data["y"]) < 0).all()
    assert data.attrs["satellite"] == "goes16"
    assert data.attrs["product"] == "ACHA"
    assert data.attrs["scan_mode"] == 6
    assert data.attrs["quality_flags"] == "good_quality_qf"
    assert data.attrs["file"] == file.url.rpartition("/")[2]
    assert data.attrs["bytes_whole_files"] == file.size
    assert datetime.fromisoformat(data.attrs["scene_time"]) == START
    assert grid_of(data).shape == data["HT"].shape
    # a hole of 60 x 40 km or so in the middle of 300 x 200 km, which no flag marks
    assert 0 < data.attrs["missing_on_earth_share"] < 0.15
    assert data.attrs["on_earth_share"] == 1
    assert data.attrs["valid_share"] == pytest.approx(1 - data.attrs["missing_on_earth_share"])
    data.to_netcdf(tmp_path / "crop.nc", engine="h5netcdf")
    with xr.open_dataset(tmp_path / "crop.nc", engine="h5netcdf") as again:
        xr.testing.assert_identical(again.load(), data)


def test_what_quality_rejects_is_not_called_missing(tmp_path: Path) -> None:
    write_level2(tmp_path, "AOD", {"AOD": full(), "DQF": enumeration(np.full(SHAPE, 2), AOD_FLAGS)}, START)
    data = read(tmp_path, "AOD")
    assert (data.attrs["valid_share"], data.attrs["missing_on_earth_share"]) == (0, 0)
    assert (data.attrs["rejected_share"], data.attrs["on_earth_share"]) == (1, 1)
    kept = read(
        tmp_path, "AOD", ("high_quality_retrieval_qf", "medium_quality_retrieval_qf", "low_quality_retrieval_qf")
    )
    assert (kept.attrs["valid_share"], kept.attrs["rejected_share"]) == (1, 0)


def full() -> Stored:
    return Stored(np.full(SHAPE, 300, np.uint16), {**PACKED, "_FillValue": np.uint16(65535)})


def test_categories_keep_their_meanings(tmp_path: Path) -> None:
    mask = np.arange(np.prod(SHAPE)).reshape(SHAPE) % 2
    written = {
        "BCM": Stored(
            mask.astype(np.int8),
            {
                "_FillValue": np.int8(-1),
                "_Unsigned": "true",
                "valid_range": np.int8([0, 1]),
                "flag_values": np.int8([0, 1]),
                "flag_meanings": "clear_or_probably_clear cloudy_or_probably_cloudy",
            },
        ),
        "DQF": enumeration(np.zeros(SHAPE, int), "good_quality_qf invalid_due_to_not_geolocated_qf"),
    }
    write_level2(tmp_path, "ACM", written, START)
    field = read(tmp_path, "ACM")["BCM"]
    assert set(np.unique(field)) == {0, 1}
    assert field.attrs["flag_meanings"] == "clear_or_probably_clear cloudy_or_probably_cloudy"
    np.testing.assert_array_equal(field.attrs["flag_values"], np.float32([0, 1]))
    assert parse_level2("ACM").variable.categories
    with pytest.raises(SceneError, match="no variable Cloud_Probabilities"):
        read(tmp_path, "ACM__Cloud_Probabilities")


def test_files_along_latitude_and_longitude(tmp_path: Path) -> None:
    lon, lat = np.arange(-75, -60, 0.25, np.float32), np.arange(32, 20, -0.25, np.float32)
    values = (lat[:, None] * 10 + lon[None, :]).astype(np.float32)
    dqf = np.where(lon < -72, 1, 0) * np.ones((lat.size, 1), int)
    flags = enumeration(dqf, "good_quality_qf degraded_quality_or_invalid_qf")
    write_level2(tmp_path, "RSR", {"RSR": Stored(values, {"units": "W m-2"}), "DQF": flags}, START, lon=lon, lat=lat)
    data = read(tmp_path, "RSR")
    field = data["RSR"]
    np.testing.assert_allclose(field, field["y"] * 10 + field["x"], rtol=1e-6)
    assert field["x"].attrs["standard_name"] == "longitude"
    assert "grid_mapping" not in field.attrs
    assert grid_of(data).to_dict() == json.loads(data.attrs["source_grid"])
    assert (data.attrs["valid_share"], data.attrs["on_earth_share"]) == (1, 1)
    rows, columns = grid_of(data).pixel_of(*DOMAIN.to_lonlat(*DOMAIN.outline(40)))
    assert 1 <= rows.min() < 2.01  # a pixel around the domain
    assert 1 <= columns.min() < 2.01
    partly = read(tmp_path, "RSR", domain=LocalDomain(25.5, -75, 300e3, 200e3))
    assert 0.45 < partly.attrs["on_earth_share"] < 0.6
    assert partly.attrs["missing_on_earth_share"] == 0
    assert partly.attrs["rejected_share"] == 1
    with pytest.raises(SceneError, match=r"lies outside of sector C, which shows 20\.2N to 32\.0N, -75\.0E to -60\.2E"):
        read(tmp_path, "RSR", domain=LocalDomain(-20, 30, 300e3, 200e3))


def test_other_names_of_variables_and_flags(tmp_path: Path) -> None:
    good = enumeration(np.zeros(SHAPE, int), "good_quality_qf bad_qf")
    write_level2(tmp_path, "CPS", {"CPS": full(), "DQF": good}, START)
    write_level2(tmp_path, "TPW", {"TPW": full(), "DQF_Overall": good}, START)
    assert np.isfinite(read(tmp_path, "CPS")["PSD"]).all()
    assert np.isfinite(read(tmp_path, "TPW")["TPW"]).all()


def test_one_channel_of_the_imagery(tmp_path: Path) -> None:
    flags = enumeration(np.zeros(SHAPE, int), "good_pixel_qf conditionally_usable_pixel_qf")
    for channel in (2, 13):
        write_level2(tmp_path, "CMIP", {"CMI": full(), "DQF": flags}, START, channel=channel)
    source = source_of(tmp_path, "CMIP__13")
    scan = scan_of(source)
    assert list(scan.files) == ["13"]
    assert list(source.read(scan, DOMAIN).data_vars) == ["CMI_13"]
    other = source_of(tmp_path, "CMIP__2").find([Interval(START, START)])[0]
    with pytest.raises(SceneError, match=r"sector C, channel 2, not goes16, CMIP, sector C, channel 13"):
        source.read(replace(scan, files={"13": other.files["2"]}), DOMAIN)
    assert source_of(tmp_path, "CMIP__7").find([Interval(START, START)])[0].reason == "missing channel 7"


# --- what is refused -----------------------------------------------------------------------------


def test_without_flags_only_any_reads(tmp_path: Path) -> None:
    write_level2(tmp_path, "ACHA", {"HT": full()}, START)
    with pytest.raises(SceneError, match="no data quality flags DQF") as caught:
        read(tmp_path, "ACHA")
    assert "flags: any" in str(caught.value.remedy)
    data = read(tmp_path, "ACHA", "any")
    assert np.isfinite(data["HT"]).all()
    assert data.attrs["quality_flags"] == "any"


@pytest.mark.parametrize(
    ("attributes", "found"),
    [
        ({"platform_ID": "G17"}, "goes17, ACHA, sector C"),
        (
            {"dataset_name": "OR_ABI-L2-ACHTF-M6_G16_s20200331501170_e20200331503170_c20200331503170.nc"},
            "ACHT, sector F",
        ),
    ],
)
def test_a_file_that_is_not_what_its_name_says_is_refused(
    tmp_path: Path, attributes: dict[str, str], found: str
) -> None:
    written = {"HT": full(), "DQF": enumeration(np.zeros(SHAPE, int), ACHA_FLAGS)}
    write_level2(tmp_path, "ACHA", written, START, attributes=attributes)
    with pytest.raises(SceneError, match=rf"{found}, not goes16, ACHA, sector C"):
        read(tmp_path, "ACHA")


@pytest.mark.parametrize("flags", [("good_pixel_qf",), "nonsense"])
def test_flags_that_the_file_lacks_are_named(tmp_path: Path, flags: Quality) -> None:
    write_level2(tmp_path, "ACHA", {"HT": full(), "DQF": enumeration(np.zeros(SHAPE, int), ACHA_FLAGS)}, START)
    with pytest.raises(SceneError, match="its flags are good_quality_qf, invalid_due_to_not_geolocated_qf"):
        read(tmp_path, "ACHA", flags)


BROKEN: dict[str, dict[str, Any]] = {
    "levels": {"HT": Stored(np.zeros((4, 5, 6), np.float32))},
    "other flags": {"HT": full(), "DQF": enumeration(np.zeros((5, 5), int), ACHA_FLAGS)},
    "text for flags": {"HT": full(), "DQF": Stored(np.zeros(SHAPE, np.float32))},
}


@pytest.mark.parametrize("how", BROKEN)
def test_files_of_another_form_are_errors(tmp_path: Path, how: str) -> None:
    write_level2(tmp_path, "ACHA", BROKEN[how], START)
    with pytest.raises(SceneError, match="no readable ABI level 2 file"):
        read(tmp_path, "ACHA")


@pytest.mark.parametrize("share", [0.02, 0.5, 0.97])
def test_a_truncated_file_is_an_error_of_its_scene(tmp_path: Path, share: float) -> None:
    file = write_level2(
        tmp_path, "ACHA", {"HT": ENCODINGS["unsigned"], "DQF": enumeration(np.zeros(SHAPE, int), ACHA_FLAGS)}, START
    )
    path = Path(file.url.removeprefix("file://"))
    path.write_bytes(path.read_bytes()[: int(share * file.size)])
    source = source_of(tmp_path, "ACHA")
    scan = replace(scan_of(source), files={"ACHA": source_file(path)})
    with pytest.raises(SceneError) as caught:
        source.read(scan, DOMAIN)
    assert caught.value.where == file.url


def test_an_empty_file_is_a_reason_in_the_ledger(tmp_path: Path) -> None:
    file = write_level2(tmp_path, "ACHA", {"HT": full()}, START)
    Path(file.url.removeprefix("file://")).write_bytes(b"")
    (scan,) = source_of(tmp_path, "ACHA").find([Interval(START, START)])
    assert scan.reason == f"ACHA is an empty object (0 bytes): {file.url.rpartition('/')[2]}"


def test_a_domain_beside_the_sector_is_refused_before_the_image_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> None:
        raise AssertionError("an image was read")

    monkeypatch.setattr(Granule, "read", never)
    write_level2(tmp_path, "ACHA", {"HT": full(), "DQF": enumeration(np.zeros(SHAPE, int), ACHA_FLAGS)}, START)
    for domain in (LocalDomain(-10, -50, 150e3, 100e3), LocalDomain(0, 105, 150e3, 100e3)):
        with pytest.raises(SceneError, match="lies outside of sector C"):
            read(tmp_path, "ACHA", domain=domain)


def test_the_whole_sector_is_a_domain(tmp_path: Path) -> None:
    write_level2(tmp_path, "ACHA", {"HT": full(), "DQF": enumeration(np.zeros(SHAPE, int), ACHA_FLAGS)}, START)
    source = source_of(tmp_path, "ACHA")
    scan = scan_of(source)
    data = source.read(scan, source.whole_domain(scan))
    assert data["HT"].shape == SHAPE
    assert data.attrs["valid_share"] == data.attrs["on_earth_share"] > 0.8


def test_a_product_that_the_archive_lacks_is_an_error(tmp_path: Path) -> None:
    write_level2(tmp_path, "ACHA", {"HT": full()}, START)
    with pytest.raises(ArchiveError, match="no folder ABI-L2-ACTPC"):
        source_of(tmp_path, "ACTP").find([Interval(START, START)])

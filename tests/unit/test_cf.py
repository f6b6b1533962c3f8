"""Stored numbers become values as another reader of netCDF has them, and codes are told from quantities."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest

from convml_data.sources import cf

NAN = np.nan
INTEGERS = ("i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8")
FLOATS = ("f4", "f8")


def as_netcdf4(path: Path, stored: np.ndarray[Any, Any], attributes: dict[str, Any]) -> np.ndarray[Any, Any]:
    """Values by netCDF4-python, which masks and scales by itself; NaN where it masks, or where a number is not finite.

    Filling is off, without which it takes default fills of bytes for missing, which the netCDF documentation
    says no reader should.
    """
    attributes = dict(attributes)
    with netCDF4.Dataset(path, "w") as file:
        file.createDimension("x", stored.size)
        variable = file.createVariable("v", stored.dtype, ("x",), fill_value=attributes.pop("_FillValue", False))
        variable.setncatts(attributes)
        variable.set_auto_maskandscale(False)
        variable[:] = stored
    with netCDF4.Dataset(path) as file:
        masked = np.ma.asarray(file["v"][:])
        values = np.ma.filled(masked.astype(np.float64), NAN)
    return np.where(np.isfinite(values), values, NAN)


def both(path: Path, stored: np.ndarray[Any, Any], attributes: dict[str, Any]) -> np.ndarray[Any, Any]:
    """Values by both readers, which agree."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = as_netcdf4(path, stored, attributes)
    values = cf.decode(stored, attributes)
    assert values.dtype == np.float64
    np.testing.assert_allclose(values, expected, rtol=1e-6)
    return values


def extremes(dtype: str) -> list[int]:
    info = np.iinfo(dtype)
    fill = int(netCDF4.default_fillvals[dtype])
    return [info.min, info.min + 1, 0, 1, 100, fill, info.max - 1, info.max]


@pytest.mark.parametrize("dtype", INTEGERS)
def test_integers_that_were_never_written(tmp_path: Path, dtype: str) -> None:
    stored = np.array(extremes(dtype), dtype)
    values = both(tmp_path / "a.nc", stored, {})
    of_fill = stored == netCDF4.default_fillvals[dtype]
    assert np.array_equal(np.isnan(values), of_fill & (dtype[1] != "1"))  # no number of a byte can be spared
    # A file that names its own fill has none other.
    own = both(tmp_path / "b.nc", stored, {"_FillValue": stored.dtype.type(100)})
    assert np.flatnonzero(np.isnan(own)).tolist() == [4]


@pytest.mark.parametrize("dtype", FLOATS)
def test_floats_that_were_never_written(tmp_path: Path, dtype: str) -> None:
    stored = np.array([0, -1e30, 9.969209968386869e36, NAN, np.inf, 5], dtype)
    for attributes in ({}, {"scale_factor": 1e-3}, {"add_offset": -5.0, "scale_factor": np.float32(0.5)}):
        values = both(tmp_path / "a.nc", stored, attributes)
        assert np.flatnonzero(np.isnan(values)).tolist() == [2, 3, 4]
    # Also where the file names another fill, since no value of a field comes near.
    assert np.isnan(cf.decode(stored, {"_FillValue": np.array(5, dtype)}))[[2, 5]].all()


def test_numbers_in_another_byte_order_are_the_same() -> None:
    stored = np.array([1, -32767, 7], ">i2")
    np.testing.assert_array_equal(cf.decode(stored, {"missing_value": np.int16(7)}), [1, NAN, NAN])


@pytest.mark.parametrize("dtype", [*INTEGERS, *FLOATS])
@pytest.mark.parametrize("packing", [{}, {"scale_factor": 0.5, "add_offset": 10.0}, {"scale_factor": np.float32(0.1)}])
@pytest.mark.parametrize(
    ("attributes", "missing"),
    [
        ({"_FillValue": 7}, [7]),
        ({"missing_value": 7}, [7]),
        ({"missing_value": [7, 9]}, [7, 9]),
        ({"_FillValue": 3, "missing_value": 9}, [3, 9]),
        ({"valid_min": 5}, [0, 3]),
        ({"valid_max": 8}, [9, 100]),
        ({"valid_range": [3, 9]}, [0, 100]),
        ({"valid_range": [3, 9], "_FillValue": 7}, [0, 7, 100]),
        ({"valid_range": [3, 9], "valid_min": 7}, [0, 100]),
    ],
)
def test_missing_numbers_and_ranges_are_of_what_is_stored(
    tmp_path: Path, dtype: str, packing: dict[str, Any], attributes: dict[str, Any], missing: list[int]
) -> None:
    stored = np.array([0, 3, 5, 7, 8, 9, 100], dtype)
    typed = {name: np.array(value, dtype) for name, value in attributes.items()}
    values = both(tmp_path / "a.nc", stored, typed | packing)
    assert stored[np.isnan(values)].tolist() == missing


@pytest.mark.parametrize(
    ("stored", "attributes", "expected"),
    [
        # Missing numbers in another type, and those of single precision written with more digits.
        (np.int16([1, -9999]), {"missing_value": np.float32(-9999), "add_offset": 3.0}, [4, NAN]),
        (np.int16([1, -9999]), {"missing_value": -9999}, [1, NAN]),
        (np.float32([1, -999]), {"missing_value": np.int32(-999)}, [1, NAN]),
        (np.float32([1, 3.402823e38, NAN]), {"_FillValue": np.float32([3.402823e38])}, [1, NAN, NAN]),
        (np.float32([2, NAN]), {"_FillValue": np.float32(NAN)}, [2, NAN]),
        # Signed numbers that stand for unsigned ones.
        (np.int8([-1, -2, 5]), {"_Unsigned": "true", "_FillValue": np.int8(-1)}, [NAN, 254, 5]),
        (np.int64([-1, 5]), {"_Unsigned": "true", "missing_value": np.int64(-1)}, [NAN, 5]),
        (np.int16([-1, -2, 5]), {"_Unsigned": "true", "scale_factor": 0.5}, [32767.5, 32767, 2.5]),
    ],
)  # fmt: skip
def test_other_ways_to_say_what_is_missing(
    tmp_path: Path, stored: np.ndarray[Any, Any], attributes: dict[str, Any], expected: list[float]
) -> None:
    np.testing.assert_allclose(both(tmp_path / "a.nc", stored, attributes), expected)


@pytest.mark.parametrize(
    ("stored", "attributes", "expected"),
    [
        # -999.9 has no exact form in single precision; the other reader only warns.
        (np.float32([1, -999.9]), {"missing_value": -999.9}, [1, NAN]),
        (np.float32([0.1, 0.3]), {"valid_max": 0.1}, [0.1, NAN]),
        (np.int16([1, -9999]), {"missing_value": "-9999"}, [1, NAN]),
        (np.int16([7, 8]), {"valid_max": np.float32([7.5])}, [7, NAN]),
        (np.uint8([255, 254]), {"_Unsigned": "false"}, [-1, -2]),
        (np.int8([-1, 5]), {"_Unsigned": b"true", "missing_value": np.int16(255)}, [NAN, 5]),
        # The other reader raises an error of its own.
        (np.int8([-1, -2, 5]), {"_Unsigned": "true", "valid_range": np.int8([6, -2])}, [NAN, 254, NAN]),
        (np.uint8([0, 5]), {"valid_min": np.int8(-1)}, [0, 5]),
        # A range that can only be of the values: the stored numbers are no floats (NetCDF Users Guide, appendix A).
        (np.int16([0, 4000, 4001]), {"valid_range": np.float32([0, 400]), "scale_factor": np.float32(0.1)},
         [0, 400, NAN]),
        (np.int16([0, 4000, 4001]), {"valid_range": np.float64([0, 400]), "scale_factor": 0.1}, [0, 400, NAN]),
        (np.int16([-1, 0, 100, 101]), {"valid_range": np.int16([0, 100]), "scale_factor": 0.1}, [NAN, 0, 10, NAN]),
        (np.array([True, False]), {}, [1, 0]),
    ],
)  # fmt: skip
def test_what_the_other_reader_does_not_understand(
    stored: np.ndarray[Any, Any], attributes: dict[str, Any], expected: list[float]
) -> None:
    np.testing.assert_allclose(cf.decode(stored, attributes), expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"_FillValue": "none"}, "_FillValue is 'none'"),
        ({"valid_range": np.int16([1])}, "valid_range is"),
        ({"valid_max": np.int16([1, 2])}, "valid_max is"),
        ({"scale_factor": "x"}, "scale_factor is 'x'"),
        ({"add_offset": [1.0, 2.0]}, "add_offset is"),
    ],
)
def test_attributes_that_are_no_numbers_are_not_passed_over(attributes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        cf.decode(np.int16([1, 2]), attributes)


def test_codes_say_so_and_keep_their_meaning() -> None:
    attributes = {"flag_values": np.int8([0, -1]), "flag_meanings": "clear cloudy", "_Unsigned": "true"}
    assert cf.code_attributes(np.dtype("i1"), attributes).keys() == {"flag_values", "flag_meanings", "categorical"}
    kept = cf.code_attributes(np.dtype("i1"), attributes)
    assert kept["flag_values"].tolist() == [0.0, 255.0]
    assert kept["flag_values"].dtype == np.float32
    assert cf.code_attributes(np.dtype("i2"), {"flag_masks": np.int16([1, 2])})["flag_masks"].tolist() == [1, 2]
    assert cf.code_attributes(np.dtype("i1"), {"flag_values": "0b, 1b"})["flag_values"] == "0b, 1b"
    assert cf.code_attributes(np.dtype("i2"), {"units": "K"}) == {}


def test_a_single_number_is_a_value_too() -> None:
    assert cf.decode(np.array(4, np.int16), {"scale_factor": 0.5}) == 2
    assert np.isnan(cf.decode(np.array(4, np.int16), {"_FillValue": np.int16(4)}))

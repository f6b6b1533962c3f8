"""From numbers as they are stored in a netCDF variable to values, by the conventions that its attributes follow.

NetCDF Users Guide, appendix A (attribute conventions), and CF Conventions, sections 2.5.1 (missing data),
3.5 (flags) and 8.1 (packed data).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from convml_data.sources.base import CATEGORICAL

FloatArray = npt.NDArray[np.float64]

_MISSING = ("_FillValue", "missing_value")
_FLAG_NUMBERS = ("flag_values", "flag_masks")

#: Attributes that say how values are stored, and hold no longer once they are decoded.
STORAGE_ATTRIBUTES = frozenset(
    {*_MISSING, "scale_factor", "add_offset", "valid_min", "valid_max", "valid_range", "_Unsigned"}
)

#: What the library writes where nothing else was written (NC_FILL_… of netcdf.h). For bytes no reader should take
#: its fill for missing, since they have no number to spare (NetCDF documentation, Known Problems).
_DEFAULT_FILLS = {
    "i2": -32767,
    "u2": 65535,
    "i4": -2147483647,
    "u4": 4294967295,
    "i8": -9223372036854775806,
    "u8": 18446744073709551614,
}

#: NC_FILL_FLOAT and NC_FILL_DOUBLE are 9.969209968386869e36; no value of a field comes near, so that what is as
#: large is missing whatever a file says, as are the other large numbers that programs write for it.
_LEAST_FLOAT_FILL = 9.9692e36


def decode(stored: npt.NDArray[Any], attributes: Mapping[str, Any]) -> FloatArray:
    """Values of stored numbers, NaN where there is none.

    Missing are ``_FillValue``, every ``missing_value``, what was never written, what is not finite and what
    lies outside of the valid range. All of these are of the stored numbers. Only a range of floating point
    numbers of a variable of packed integers is of the values, since it can be nothing else.

    Parameters
    ----------
    stored
        As read, of integers, floating point numbers or truth values.
    attributes
        Of the variable.

    Raises
    ------
    ValueError
        An attribute that says how values are stored is no number, or not as many as it takes.
    """
    numbers = _declared(stored, attributes)
    missing = _missing(numbers, attributes)
    scale, offset = (_single(attributes, name) for name in ("scale_factor", "add_offset"))
    values = numbers.astype(np.float64)
    if scale is not None:
        values *= float(scale)
    if offset is not None:
        values += float(offset)
    is_packed = not (scale is None and offset is None)
    for bound, is_beyond in zip(_valid_range(numbers.dtype.itemsize, attributes), (np.less, np.greater), strict=True):
        if bound is None:
            continue
        if numbers.dtype.kind == "f":
            # In its own precision: a value on a bound is not to fall outside by rounding.
            missing |= is_beyond(numbers, bound.astype(numbers.dtype))
        elif bound.dtype.kind == "f" and is_packed:
            missing |= is_beyond(values.astype(np.float32), bound.astype(np.float32))
        else:
            missing |= is_beyond(numbers, bound)
    values[missing] = np.nan
    return values


def code_attributes(dtype: np.dtype[Any], attributes: Mapping[str, Any]) -> dict[str, Any]:
    """What a variable's attributes say of codes and what they mean; nothing where values are quantities.

    Parameters
    ----------
    dtype
        Of the stored numbers.
    attributes
        Of the variable.

    Returns
    -------
    dict
        The attributes of flags, their numbers in single precision as the values are, and
        :data:`~convml_data.sources.base.CATEGORICAL`.
    """
    kept: dict[str, Any] = {}
    if "flag_meanings" in attributes:
        kept["flag_meanings"] = _text(attributes["flag_meanings"])
    for name in _FLAG_NUMBERS:
        if name in attributes:
            try:
                kept[name] = _numbers(attributes, name, dtype.itemsize).astype(np.float32)
            except ValueError:  # numbers in a notation of their own
                kept[name] = _text(attributes[name])
    return kept | CATEGORICAL if kept else {}


def _declared(stored: npt.NDArray[Any], attributes: Mapping[str, Any]) -> npt.NDArray[Any]:
    """The integers that those stored stand for: classic files have no unsigned ones."""
    kind = _signs(attributes)
    if kind is None or stored.dtype.kind not in "iu":
        return stored
    return stored.view(np.dtype(f"{stored.dtype.byteorder}{kind}{stored.dtype.itemsize}"))


def _missing(numbers: npt.NDArray[Any], attributes: Mapping[str, Any]) -> npt.NDArray[np.bool_]:
    """Where nothing was measured or written."""
    missing: npt.NDArray[np.bool_] = ~np.isfinite(numbers)
    if numbers.dtype.kind == "f":
        with np.errstate(invalid="ignore"):
            missing |= np.abs(numbers) >= _LEAST_FLOAT_FILL
    elif "_FillValue" not in attributes and "_Unsigned" not in attributes:
        default = _DEFAULT_FILLS.get(f"{numbers.dtype.kind}{numbers.dtype.itemsize}")
        if default is not None:
            missing |= numbers == default
    for name in _MISSING:
        if name in attributes:
            fills = _numbers(attributes, name, numbers.dtype.itemsize)
            if numbers.dtype.kind == "f":
                with np.errstate(over="ignore"):  # of numbers that none that is stored can be
                    fills = fills.astype(numbers.dtype)
            missing |= np.isin(numbers, fills)
    return missing


def _valid_range(itemsize: int, attributes: Mapping[str, Any]) -> tuple[Any, Any]:
    """The least and the largest number, each None where there is no such bound."""
    if "valid_range" in attributes:
        lowest, highest = _numbers(attributes, "valid_range", itemsize, count=2)
        return lowest, highest
    lowest, highest = (
        _numbers(attributes, name, itemsize, count=1)[0] if name in attributes else None
        for name in ("valid_min", "valid_max")
    )
    return lowest, highest


def _single(attributes: Mapping[str, Any], name: str) -> Any:
    return _numbers(attributes, name, count=1)[0] if name in attributes else None


def _numbers(
    attributes: Mapping[str, Any], name: str, itemsize: int | None = None, count: int | None = None
) -> npt.NDArray[Any]:
    """Numbers of an attribute; of integers of ``itemsize`` bytes that stand for unsigned ones, without a sign."""
    given = attributes[name]
    try:
        numbers = np.ravel(np.asarray(_text(given) if isinstance(given, bytes) else given))
        if numbers.dtype.kind not in "iuf":
            numbers = numbers.astype(np.float64)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{name} is {given!r}, which is no number") from error
    if not numbers.size or count not in (None, numbers.size):
        raise ValueError(f"{name} is {given!r}, not {'one number' if count == 1 else 'two numbers'}")
    if itemsize is not None and _signs(attributes) == "u" and numbers.dtype.kind == "i":
        without_sign = numbers.astype(f"i{itemsize}").view(f"u{itemsize}")
        numbers = np.where(numbers < 0, without_sign, numbers.astype(np.uint64))
    return numbers


def _signs(attributes: Mapping[str, Any]) -> str | None:
    """Kind of the integers that those stored stand for, None where they are what they are."""
    return {"true": "u", "false": "i"}.get(_text(attributes.get("_Unsigned", "")).lower())


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)

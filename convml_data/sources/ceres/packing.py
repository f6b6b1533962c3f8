"""From numbers as they are stored in a netCDF variable to values, NaN where there is none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

#: Attributes that say how values are stored, and hold no longer once they are decoded.
ATTRIBUTES = frozenset(
    {"_FillValue", "missing_value", "scale_factor", "add_offset", "valid_min", "valid_max", "valid_range"}
)


def decode(stored: npt.NDArray[Any], attributes: Mapping[str, Any]) -> FloatArray:
    """Values of stored numbers by the conventions of netCDF.

    Missing are ``_FillValue``, every ``missing_value``, what is not finite and what lies outside of
    the valid range. A range of an integer type bounds the stored numbers; one of floating point bounds
    the values (NetCDF Users Guide, appendix A, attribute conventions).

    Parameters
    ----------
    stored
        As read.
    attributes
        Of the variable.
    """
    missing = ~np.isfinite(stored)
    for name in ("_FillValue", "missing_value"):
        if name in attributes:
            missing |= np.isin(stored, np.asarray(attributes[name]))
    values = stored.astype(np.float64) * _number(attributes, "scale_factor", 1) + _number(attributes, "add_offset", 0)

    # In the precision of bounds and scales: a value on a bound is not to fall outside by rounding.
    rounded = values.astype(np.float32)
    lowest, highest = _valid_range(attributes)
    for bound, is_beyond in ((lowest, np.less), (highest, np.greater)):
        if bound is None:
            continue
        if np.issubdtype(np.asarray(bound).dtype, np.integer):
            missing |= is_beyond(stored, np.ravel(bound)[0])
        else:
            missing |= is_beyond(rounded, np.float32(np.ravel(bound)[0]))
    values[missing] = np.nan
    return values


def _valid_range(attributes: Mapping[str, Any]) -> tuple[Any, Any]:
    lowest, highest = attributes.get("valid_range", (None, None))
    return attributes.get("valid_min", lowest), attributes.get("valid_max", highest)


def _number(attributes: Mapping[str, Any], name: str, neutral: float) -> float:
    return float(np.ravel(attributes.get(name, neutral))[0])

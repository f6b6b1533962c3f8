"""One number for the field of a tile: means, percentiles, shares, and functions of any package."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from convml_data.errors import PlanError

FloatArray = npt.NDArray[np.floating]

#: A percentile, such as ``p90``.
_PERCENTILE = re.compile(r"p(\d{1,2}(?:\.\d+)?|100)")

#: A function of a package, ``package.module.function`` or with ``__`` between the parts.
_FUNCTION = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+")


def _cloud_fraction(values: FloatArray) -> float:
    if not np.isin(values, (0, 1)).all():
        raise ValueError(f"its values are from {values.min():g} to {values.max():g}, and a mask has 0 and 1 alone")
    return float(values.mean())


#: Of the values that are there, shape (n,), one or more.
_OF_VALUES: dict[str, Callable[[FloatArray], float]] = {
    "mean": lambda values: float(values.mean()),
    "std": lambda values: float(values.std()),
    "min": lambda values: float(values.min()),
    "max": lambda values: float(values.max()),
    "median": lambda values: float(np.median(values)),
    "cloud_fraction": _cloud_fraction,
}


@dataclass(frozen=True)
class Reduction:
    """A way to make one number of a tile's field.

    Parameters
    ----------
    name
        As it is asked for: ``mean``, ``p90``, ``cloud_fraction``, ``numpy.nanmean``, …
    """

    name: str

    @classmethod
    def of(cls, name: str) -> Reduction:
        """The reduction of that name; ValueError of what is wrong and a remedy where there is none of such a form."""
        dotted = name if "." in name and not _PERCENTILE.fullmatch(name) else name.replace("__", ".")
        if name not in _OF_VALUES and not _PERCENTILE.fullmatch(name) and not _FUNCTION.fullmatch(dotted):
            raise ValueError(
                f"there is no reduction {name!r}",
                f"there are {', '.join(_OF_VALUES)}, p0 to p100, and functions as package.module.function",
            )
        return cls(dotted)

    @property
    def variable(self) -> str:
        """What it is called in names of variables."""
        return self.name.replace(".", "__" if self.is_function else "_")

    @property
    def is_function(self) -> bool:
        """Whether it is a function of some package, whose units nobody knows."""
        return _FUNCTION.fullmatch(self.name) is not None

    def units(self, of_field: str | None) -> str | None:
        """Of the number, None where they are unknown."""
        if self.is_function:
            return None
        return "1" if self.name == "cloud_fraction" else of_field

    def function(self) -> Callable[[FloatArray], float]:
        """What makes a number of a field (y, x), NaN where it has no value, of which one or more are there.

        Raises
        ------
        PlanError
            The package or the function is not there.
        """
        percentile = _PERCENTILE.fullmatch(self.name)
        if percentile is not None:
            share = float(percentile[1])
            return lambda field: float(np.percentile(field[np.isfinite(field)], share))
        if not self.is_function:
            of_values = _OF_VALUES[self.name]
            return lambda field: of_values(field[np.isfinite(field)])
        return _imported(self.name)


def _imported(name: str) -> Callable[[FloatArray], float]:
    module, _, attribute = name.rpartition(".")
    try:
        function: Any = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise PlanError(
            f"there is no function {name} ({error})",
            where="the reductions of tiles",
            remedy="Install its package here, or correct the name",
        ) from error
    if not callable(function):
        raise PlanError(f"{name} is no function but a {type(function).__name__}", where="the reductions of tiles")
    options: dict[str, Any] = {}
    try:
        # What measures shapes of clouds takes the edges of tiles for neighbours unless it is told.
        if "periodic_domain" in inspect.signature(function).parameters:
            options["periodic_domain"] = False
    except ValueError:  # of functions in C
        pass
    return lambda field: float(function(field, **options))

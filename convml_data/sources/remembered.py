"""What is worked out once for the many scenes that share it.

It is kept by keys that are small: a grid's digest instead of its arrays, so that nothing here holds on to
grids, whose arrays and search trees may take hundreds of megabytes.
"""

from __future__ import annotations

import copy
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from convml_data.geometry.cover import window_over
from convml_data.geometry.local import Domain
from convml_data.geometry.model_grids import ModelGrid
from convml_data.geometry.source_grids import SourceGrid
from convml_data.geometry.windows import Window

Value = TypeVar("Value")


class Remembered(Generic[Value]):
    """The values that were asked for last.

    Parameters
    ----------
    size
        How many are kept.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._values: OrderedDict[Hashable, Value] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """The value of a key, made where it is not at hand; several threads may make it at once."""
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
                return self._values[key]
        value = make()
        with self._lock:
            self._values[key] = value
            self._values.move_to_end(key)
            while len(self._values) > self._size:
                self._values.popitem(last=False)
        return value


def key_of(grid: SourceGrid) -> Hashable:
    """What tells a grid from others and holds none of its arrays."""
    return (grid.kind, grid.digest) if isinstance(grid, ModelGrid) else grid


_WINDOWS: Remembered[Window | None] = Remembered(16)


def remembered_window(domain: Domain, grid: ModelGrid, margin: int) -> Window | None:
    """As :func:`~convml_data.geometry.cover.window_over`."""
    # Of a copy, so that the search tree goes when the window is found, and does not stay with the grid.
    return _WINDOWS.get((domain, key_of(grid), margin), lambda: window_over(domain, copy.copy(grid), margin))

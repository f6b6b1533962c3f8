"""Rectangular windows of an image, counted in whole pixels."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Window:
    """Rows ``row0:row1`` and columns ``col0:col1`` of an image, half open, in pixels."""

    row0: int
    row1: int
    col0: int
    col1: int

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns)."""
        return self.row1 - self.row0, self.col1 - self.col0

    @property
    def slices(self) -> tuple[slice, slice]:
        """Index of the window into a (y, x) array."""
        return slice(self.row0, self.row1), slice(self.col0, self.col1)

    @property
    def is_empty(self) -> bool:
        """Whether the window holds no pixel."""
        return self.row1 <= self.row0 or self.col1 <= self.col0

    def padded(self, pixels: int) -> Window:
        """Grown by ``pixels`` on each side."""
        return Window(self.row0 - pixels, self.row1 + pixels, self.col0 - pixels, self.col1 + pixels)

    def clipped(self, shape: tuple[int, int]) -> Window:
        """The part inside an image of ``shape`` (rows, columns)."""
        rows, cols = shape
        return Window(
            min(max(self.row0, 0), rows),
            min(max(self.row1, 0), rows),
            min(max(self.col0, 0), cols),
            min(max(self.col1, 0), cols),
        )

    def refined(self, factor: int) -> Window:
        """The same area in an image whose pixels are ``factor`` times smaller."""
        return Window(self.row0 * factor, self.row1 * factor, self.col0 * factor, self.col1 * factor)

"""Grids, domains and windows: immutable values and pure functions, no input or output."""

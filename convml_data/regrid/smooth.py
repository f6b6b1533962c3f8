"""Positions that vary smoothly over a grid, worked out at few of its points.

A satellite's scan angles are analytic functions of the place on a plane that touches the earth, so polynomials
through Chebyshev points come closer to them by a factor with each degree: 9 × 9 points are enough for a tile.
Whether they are is seen at the points in between.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

#: Positions at points of a plane in metres.
Positions = Callable[[FloatArray, FloatArray], tuple[FloatArray, FloatArray]]

#: How far positions may be off, pixels: 5 mm of the smallest. Around its origin PROJ's equal-area projection is
#: itself 1 mm off.
TOLERANCE = 1e-5

_DEGREES = (8, 16, 32)


def smooth_positions(positions: Positions, x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray] | None:
    """Positions (rows, columns) at the points of a grid, None where they do not vary smoothly enough over it.

    Parameters
    ----------
    positions
        What works them out, NaN where there is none.
    x, y
        Ascending coordinates of the grid's columns and rows.

    Returns
    -------
    Two arrays of shape (y, x), or None.
    """
    for degree in _DEGREES:
        if degree**2 * 8 > x.size * y.size:
            return None  # to work them out at all points costs no more
        at_x, at_y = _chebyshev(x, degree), _chebyshev(y, degree)
        nodes = positions(*np.meshgrid(at_x, at_y))
        between = _chebyshev(x, 2 * degree)[1::2], _chebyshev(y, 2 * degree)[1::2]
        expected = positions(*np.meshgrid(*between))
        found = _through(nodes, at_x, at_y, *between)
        off = max(float(np.abs(a - b).max()) for a, b in zip(found, expected, strict=True))
        if np.isnan(off):
            return None
        if off <= TOLERANCE:
            return _through(nodes, at_x, at_y, x, y)
    return None


def _through(
    nodes: tuple[FloatArray, FloatArray], at_x: FloatArray, at_y: FloatArray, x: FloatArray, y: FloatArray
) -> tuple[FloatArray, FloatArray]:
    from convml_data.kernels.polynomials import evaluate

    of_rows, of_columns = _weights(at_y, y), np.ascontiguousarray(_weights(at_x, x).T)
    rows, columns = np.empty((y.size, x.size)), np.empty((y.size, x.size))
    for values, into in zip(nodes, (rows, columns), strict=True):
        evaluate(of_rows, values, of_columns, into)
    return rows, columns


def _chebyshev(along: FloatArray, degree: int) -> FloatArray:
    """Chebyshev points of the second kind from the first to the last coordinate."""
    middle, half = (along[0] + along[-1]) / 2, (along[-1] - along[0]) / 2
    return np.asarray(middle - half * np.cos(np.pi * np.arange(degree + 1) / degree), np.float64)


def _weights(nodes: FloatArray, at: FloatArray) -> FloatArray:
    """Weights of nodes in the polynomial through them, by the barycentric formula; shape (points, nodes)."""
    signs = np.where(np.arange(nodes.size) % 2, -1.0, 1.0)
    signs[[0, -1]] /= 2
    distance = at[:, np.newaxis] - nodes
    on_node = distance == 0
    weights = signs / np.where(on_node, 1, distance)
    exact = on_node.any(axis=1)
    weights[exact] = on_node[exact]
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), np.float64)

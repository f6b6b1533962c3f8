"""Polynomials in two coordinates, from their values at nodes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from convml_data.kernels.compiled import compiled, filled, given

Float64Array = npt.NDArray[np.float64]


@compiled(given("f8", 2), given("f8", 2), given("f8", 2), filled("f8", 2))
def evaluate(of_rows: Float64Array, nodes: Float64Array, of_columns: Float64Array, values: Float64Array) -> None:
    """At the points of a grid, by the weight of each node for each row and, transposed, for each column."""
    along = np.empty(nodes.shape[1], np.float64)
    for row in range(values.shape[0]):
        along[:] = 0
        for node in range(nodes.shape[0]):
            for column in range(along.size):
                along[column] += of_rows[row, node] * nodes[node, column]
        values[row] = 0
        for node in range(along.size):
            for column in range(values.shape[1]):
                values[row, column] += along[node] * of_columns[node, column]

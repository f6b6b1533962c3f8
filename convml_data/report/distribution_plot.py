"""How a quantity of tiles is distributed over the plane of two components."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from convml_data.report.figures import new_figure, png_of

FloatArray = npt.NDArray[np.floating]

#: Bins along each component, at least and at most: as many as there are ten tiles in a bin on average.
FEWEST_BINS, MOST_BINS = 5, 30

#: Tiles that a bin needs for its statistics to be shown, at most; half of the average where tiles are few.
LEAST = 10

#: What is shown of the values in a bin.
STATISTICS: Mapping[str, Callable[[FloatArray], float]] = {
    "mean": lambda values: float(values.mean()),
    "sem": lambda values: float(values.std(ddof=1) / np.sqrt(values.size)),
    "min": lambda values: float(values.min()),
    "max": lambda values: float(values.max()),
    "std": lambda values: float(values.std(ddof=1)),
    "median": lambda values: float(np.median(values)),
}

#: What those that need words are called on the plot.
_WORDS = {"sem": "standard error of the mean", "std": "standard deviation"}


def distribution_plot(positions: FloatArray, values: FloatArray, label: str, title: str, axes: Sequence[str]) -> bytes:
    """Statistics of a quantity in bins of two components, a panel for each, and how many tiles a bin has, as PNG.

    Parameters
    ----------
    positions
        Shape (n, 2).
    values
        Of the quantity, shape (n,); tiles without one are left out, and there is one with one.
    label
        What it is called, with its units.
    title
        Which embeddings these are.
    axes
        Labels of the components.
    """
    there = np.isfinite(values) & np.isfinite(positions).all(axis=1)
    positions, values = positions[there], values[there]
    along = int(np.clip(np.sqrt(len(values) / LEAST), FEWEST_BINS, MOST_BINS))
    least = min(LEAST, max(2, len(values) // (2 * along**2)))
    edges, bins = _bins(positions, along)
    order = np.argsort(bins, kind="stable")
    numbers, starts = np.unique(bins[order], return_index=True)
    groups = dict(zip(numbers.tolist(), np.split(order, starts[1:]), strict=True))
    figure = new_figure(12.5, 6.8)
    panels = figure.subplots(2, 4, sharex=True, sharey=True).ravel()
    counts = np.full(along * along, np.nan)
    for number, members in groups.items():
        counts[number] = len(members)
    _draw(figure, panels[0], edges, counts, "tiles in a bin", "tiles [1]")
    for panel, (name, statistic) in zip(panels[1:], STATISTICS.items(), strict=False):
        field = np.full(along * along, np.nan)
        for number, members in groups.items():
            if len(members) >= least:
                field[number] = statistic(values[members])
        _draw(figure, panel, edges, field, _WORDS.get(name, name), label)
    panels[0].locator_params(axis="x", nbins=4)  # of all panels; more labels would run into each other
    panels[-1].axis("off")
    for panel in panels[[0, 4]]:
        panel.set_ylabel(axes[1])
    for panel in panels[3:7]:
        panel.set_xlabel(axes[0])
        panel.tick_params(labelbottom=True)
    figure.suptitle(f"{title}\n{len(values)} tiles; bins of fewer than {least} are left empty", fontsize="medium")
    return png_of(figure)


def _bins(positions: FloatArray, along: int) -> tuple[tuple[FloatArray, FloatArray], npt.NDArray[np.intp]]:
    """Edges of bins along both components, and the number of the bin of each point."""
    edges, numbers = [], []
    for axis in positions.T:
        low, high = float(axis.min()), float(axis.max())
        of_axis = np.linspace(low, high if high > low else low + 1.0, along + 1)
        edges.append(of_axis)
        numbers.append(np.clip(np.searchsorted(of_axis, axis, side="right") - 1, 0, along - 1))
    return (edges[0], edges[1]), numbers[1] * along + numbers[0]


def _draw(
    figure: Any, panel: Any, edges: tuple[FloatArray, FloatArray], field: FloatArray, title: str, label: str
) -> None:
    panel.set_facecolor("0.9")
    mesh = panel.pcolormesh(*edges, np.ma.masked_invalid(field.reshape(len(edges[1]) - 1, -1)), cmap="viridis")
    figure.colorbar(mesh, ax=panel, label=label)
    panel.set_title(title, fontsize="medium")

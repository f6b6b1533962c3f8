"""Tiles where a network sees them: in a tree of clusters, beside points in a plane, and on a grid over the plane."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from convml_data.report.figures import new_figure, png_of

FloatArray = npt.NDArray[np.floating]

#: The picture of a tile by its number, shape (rows, columns, 3), 0 to 255, row 0 in the north.
Picture = Callable[[int], npt.NDArray[np.uint8]]

#: Clusters that a tree ends in, at most.
MOST_CLUSTERS = 14

#: Tiles that are shown of each cluster.
SAMPLES = 10

#: Sides of the tiles below a tree, inches.
THUMBNAIL = 0.8

#: Sides of the tiles beside points, inches, and how many are shown at most.
BESIDE = 0.55
MOST_BESIDE = 60

#: Cells of the grid of tiles from one side of the plane to the other, and side of a cell, pixels.
CELLS = 20
CELL = 32


def dendrogram(embeddings: FloatArray, picture: Picture, title: str) -> bytes:
    """The tree of clusters that join where that spreads them least (Ward 1963), with tiles of each, as PNG.

    Parameters
    ----------
    embeddings
        Shape (n, emb_dim), two or more, without missing values.
    picture
        Of each.
    title
        Which embeddings these are.
    """
    from scipy.cluster.hierarchy import dendrogram as draw
    from scipy.cluster.hierarchy import fcluster, linkage

    tree = linkage(embeddings.astype(np.float64), "ward")
    count = min(MOST_CLUSTERS, len(embeddings))
    cut = fcluster(tree, count, "maxclust")
    count = len(np.unique(cut))
    rows = min(SAMPLES, len(embeddings))
    heights = [2.5, THUMBNAIL * (rows + 0.9)]
    figure = new_figure(THUMBNAIL * count + 0.8, sum(heights) + 0.7)
    above, below = figure.subplots(2, 1, height_ratios=heights, sharex=True)
    drawn = draw(tree, p=count, truncate_mode="lastp", ax=above, no_labels=True, color_threshold=0)
    members = [_leaves(tree, node, len(embeddings)) for node in drawn["leaves"]]
    for leaf, of_leaf in enumerate(members):
        middle = embeddings[of_leaf].mean(axis=0)
        nearest = of_leaf[np.argsort(((embeddings[of_leaf] - middle) ** 2).sum(axis=1), kind="stable")[:SAMPLES]]
        for row, number in enumerate(nearest):
            # Leaves stand at 5, 15, 25, …
            place = (10 * leaf + 0.5, 10 * leaf + 9.5, -10 * row - 9.5, -10 * row - 0.5)
            below.imshow(picture(int(number)), extent=place, aspect="auto", interpolation="antialiased")
        below.text(10 * leaf + 5, 1, f"{leaf}\n{len(of_leaf)}", ha="center", va="bottom", fontsize="small")
    above.set_ylabel("distance of clusters [1]")
    below.set_xlim(0, 10 * count)
    below.set_ylim(-10 * rows, 9)
    below.set_aspect("auto")
    below.axis("off")
    below.set_title("cluster and number of its tiles; those nearest to its middle", fontsize="small")
    figure.suptitle(title, fontsize="medium")
    return png_of(figure)


def annotated_scatter(
    positions: FloatArray, picture: Picture, title: str, labels: Sequence[str], groups: Sequence[str] | None = None
) -> bytes:
    """Points in a plane, with the tiles of those that are far enough apart beside them, as PNG.

    Parameters
    ----------
    positions
        Shape (n, 2), without missing values.
    picture
        Of each.
    title
        Which embeddings these are.
    labels
        Of the two axes.
    groups
        What each is one of, by which points are coloured.
    """
    from matplotlib.offsetbox import AnnotationBbox, OffsetImage

    side = 8.0
    figure = new_figure(side, side)
    axes = figure.add_subplot()
    names = sorted(set(groups or ()))
    if groups is None:
        axes.scatter(positions[:, 0], positions[:, 1], s=6, color="0.4")
    for name in names:
        some = np.array([group == name for group in groups or ()])
        axes.scatter(positions[some, 0], positions[some, 1], s=6, label=name)
    if names:
        axes.legend(loc="upper left", fontsize="small")
    span = np.ptp(positions, axis=0)
    span[span == 0] = 1.0
    shown = spread_out(positions / span, BESIDE * 1.3 / (side - 1.2), MOST_BESIDE)
    for number in shown:
        image = picture(int(number))
        box = OffsetImage(image, zoom=BESIDE * 72 / max(image.shape[:2]))
        x, y = positions[number].tolist()
        axes.add_artist(AnnotationBbox(box, (x, y), pad=0.1, bboxprops={"linewidth": 0.5}))
    axes.margins(0.06)
    axes.set_xlabel(labels[0])
    axes.set_ylabel(labels[1])
    axes.set_title(f"{title}\n{len(shown)} of {len(positions)} tiles, each on its point", fontsize="medium")
    return png_of(figure)


def manifold_grid(positions: FloatArray, picture: Picture, title: str, labels: Sequence[str]) -> bytes:
    """A grid over a plane, in each cell the tile whose point is nearest to its middle, as PNG.

    Parameters
    ----------
    positions, picture, title, labels
        As of :func:`annotated_scatter`.
    """
    from PIL import Image

    low, high = positions.min(axis=0), positions.max(axis=0)
    step = max(float(np.max(high - low)), float(np.finfo(np.float32).tiny)) / CELLS
    cells = np.minimum(((positions - low) / step).astype(int), CELLS - 1)
    nx, ny = (cells.max(axis=0) + 1).tolist()
    away = (((positions - low) / step - cells - 0.5) ** 2).sum(axis=1)
    canvas = np.full((ny * CELL, nx * CELL, 3), 255, np.uint8)
    taken: set[tuple[int, int]] = set()
    for number in np.argsort(away, kind="stable"):
        column, row = map(int, cells[number])
        if (column, row) in taken:
            continue
        taken.add((column, row))
        tile = Image.fromarray(picture(int(number))).resize((CELL, CELL), Image.Resampling.LANCZOS)
        top = (ny - 1 - row) * CELL
        canvas[top : top + CELL, column * CELL : (column + 1) * CELL] = np.asarray(tile)
    figure = new_figure(8.0, 8.0 * min(max(ny / nx, 0.35), 1.6) + 0.7)
    axes = figure.add_subplot()
    east, north = low + step * np.array([nx, ny])
    axes.imshow(canvas, extent=(float(low[0]), float(east), float(low[1]), float(north)), interpolation="antialiased")
    axes.set_xlabel(labels[0])
    axes.set_ylabel(labels[1])
    axes.set_title(
        f"{title}\n{len(taken)} of {len(positions)} tiles, the nearest to each cell's middle", fontsize="medium"
    )
    return png_of(figure)


def spread_out(positions: FloatArray, apart: float, most: int) -> list[int]:
    """Numbers of points at least ``apart`` from each other in x or in y, each the farthest from those before it.

    Parameters
    ----------
    positions
        Shape (n, 2).
    apart
        In the units of the positions.
    most
        How many, at most.
    """
    first = int(np.argmin(((positions - positions.mean(axis=0)) ** 2).sum(axis=1)))
    shown, nearest = [first], np.abs(positions - positions[first]).max(axis=1)
    while len(shown) < min(most, len(positions)):
        farthest = int(nearest.argmax())
        if nearest[farthest] < apart:
            break
        shown.append(farthest)
        nearest = np.minimum(nearest, np.abs(positions - positions[farthest]).max(axis=1))
    return shown


def _leaves(tree: FloatArray, node: int, count: int) -> npt.NDArray[np.intp]:
    """Numbers of the embeddings below a node of a tree of ``count`` embeddings."""
    found, waiting = [], [node]
    while waiting:
        at: Any = waiting.pop()
        if at < count:
            found.append(at)
        else:
            waiting += [int(tree[at - count, 0]), int(tree[at - count, 1])]
    return np.array(sorted(found), np.intp)

"""Maps of what a transform made of the windows over a scene: components, their mixture as colours, clusters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from convml_data.report.figures import Extent, extent_km, map_axes, new_figure, png_of

if TYPE_CHECKING:
    from PIL.Image import Image

FloatArray = npt.NDArray[np.floating]

#: Width of a panel, inches.
PANEL = 4.6

#: How much of what lies below shows through.
ALPHA = 0.5

#: Colours of components; they are centred on their own middle, since their signs mean nothing.
COLOURS = "RdBu_r"

#: Colours of clusters, again from the first where there are more clusters than colours.
CLUSTER_COLOURS = "tab20"

#: Clusters that the legend names.
MOST_NAMED = 20


@dataclass(frozen=True)
class WindowMap:
    """The windows over a scene, and the picture of it.

    Parameters
    ----------
    picture
        Of the scene, row 0 in the north.
    scene_x, scene_y
        Centres of the scene's cells, metres.
    x, y
        Centres of the windows, metres, y ascending.
    lx_tile, ly_tile
        Sides of a window, metres.
    title
        Which scene, when, and by which network and transform.
    """

    picture: Image
    scene_x: FloatArray
    scene_y: FloatArray
    x: FloatArray
    y: FloatArray
    lx_tile: float
    ly_tile: float
    title: str

    @property
    def scene_extent(self) -> Extent:
        """Edges of the scene."""
        return extent_km(self.scene_x, self.scene_y)

    @property
    def extent(self) -> Extent:
        """Edges of the cells around the windows' centres."""
        return extent_km(self.x, self.y)


@dataclass(frozen=True)
class Component:
    """A component over all scenes.

    Parameters
    ----------
    number
        From 0.
    low, high
        Limits of its colours, the same for all scenes.
    explained
        Which share of the variance it explains, None where the transform does not say.
    """

    number: int
    low: float
    high: float
    explained: float | None = None

    @property
    def label(self) -> str:
        """Its name, and what it explains."""
        share = "" if self.explained is None else f", {self.explained:.1%} of the variance"
        return f"component {self.number}{share}"


def components_map(windows: WindowMap, components: Sequence[Component], values: FloatArray) -> bytes:
    """The scene, and each component over it, as PNG.

    Parameters
    ----------
    windows
        Of the scene.
    components
        What they are.
    values
        Of each, shape (components, y, x); nothing is drawn where there is none.
    """
    from matplotlib.cm import ScalarMappable

    figure, panels = _panels(windows, 1 + len(components))
    for axes, component, field in zip(panels[1:], components, values, strict=True):
        image = axes.imshow(
            field,
            extent=windows.extent,
            origin="lower",
            vmin=component.low,
            vmax=component.high,
            cmap=COLOURS,
            alpha=ALPHA,
            interpolation="none",
        )
        axes.set_title(component.label, fontsize="medium")
        colours = ScalarMappable(image.norm, image.cmap)  # through which nothing shows
        figure.colorbar(colours, ax=axes, label=f"component {component.number} [1]", extend="both")
        map_axes(axes, windows.scene_extent)
    explained = [component.explained for component in components if component.explained is not None]
    together = f"; together {sum(explained):.1%} of the variance" if len(explained) == len(components) else ""
    figure.suptitle(f"{windows.title}{together}", fontsize="medium")
    return png_of(figure)


def rgb_map(windows: WindowMap, components: Sequence[Component], values: FloatArray) -> bytes:
    """The scene, and up to three components as red, green and blue over it and alone, as PNG.

    Parameters
    ----------
    windows
        Of the scene.
    components
        One to three; where there are fewer than three, there is no blue, or neither green nor blue.
    values
        Of each, shape (components, y, x).
    """
    scaled = [
        np.clip((field - each.low) / max(each.high - each.low, np.finfo(np.float32).tiny), 0, 1)
        for each, field in zip(components, values, strict=True)
    ]
    there = np.asarray(np.isfinite(values).all(axis=0))
    rgb = np.stack([*scaled, *[np.zeros_like(scaled[0])] * (3 - len(scaled))], axis=-1)
    names = ", ".join(
        f"{colour}: component {each.number} from {each.low:.3g} to {each.high:.3g}"
        for colour, each in zip(("red", "green", "blue"), components, strict=False)
    )
    return _overlay(windows, np.concatenate([np.where(there[..., None], rgb, 0), there[..., None]], axis=-1), names)


def cluster_map(windows: WindowMap, labels: npt.NDArray[np.integer], count: int) -> bytes:
    """The scene, and the clusters of its windows over it and alone, as PNG.

    Parameters
    ----------
    windows
        Of the scene.
    labels
        Number of each window's cluster, shape (y, x); nothing is drawn where it is below 0.
    count
        Of clusters in all scenes.
    """
    colours = cluster_colours(count)
    rgba = np.zeros((*labels.shape, 4))
    rgba[labels >= 0, :3] = colours[labels[labels >= 0]]
    rgba[labels >= 0, 3] = 1
    return _overlay(windows, rgba, "no colour: in no cluster, or no embedding", colours)


def cluster_colours(count: int) -> FloatArray:
    """Colours of clusters by their numbers, shape (count, 3)."""
    import matplotlib

    table = np.array(matplotlib.colormaps[CLUSTER_COLOURS].colors)  # type: ignore[attr-defined]  # of listed colours
    # Every other first: those beside each other are shades of one colour.
    order = np.concatenate([np.arange(0, len(table), 2), np.arange(1, len(table), 2)])
    return np.asarray(table[order[np.arange(count) % len(table)]])


def _overlay(windows: WindowMap, rgba: FloatArray, words: str, colours: FloatArray | None = None) -> bytes:
    """Three panels: the scene, colours over it, and the colours alone with a window outlined."""
    from matplotlib.patches import Patch, Rectangle

    figure, panels = _panels(windows, 3, columns=3, width=0.82 * PANEL)
    through = rgba * np.array([1, 1, 1, ALPHA])
    panels[1].imshow(through, extent=windows.extent, origin="lower", interpolation="none")
    panels[2].clear()
    panels[2].set_facecolor("0.5")
    panels[2].imshow(rgba, extent=windows.extent, origin="lower", interpolation="none")
    row, column = len(windows.y) // 2, len(windows.x) // 2
    corner = ((windows.x[column] - windows.lx_tile / 2) / 1e3, (windows.y[row] - windows.ly_tile / 2) / 1e3)
    panels[2].add_patch(
        Rectangle(corner, windows.lx_tile / 1e3, windows.ly_tile / 1e3, fill=False, edgecolor="black", linewidth=1.5)
    )
    panels[1].set_title("over the scene", fontsize="medium")
    panels[2].set_title("alone, and the outline of a tile", fontsize="medium")
    for axes in panels[1:]:
        map_axes(axes, windows.scene_extent, left=False)
    if colours is not None:
        handles = [Patch(color=tuple(colour), label=str(number)) for number, colour in enumerate(colours[:MOST_NAMED])]
        title = "cluster" if len(colours) <= MOST_NAMED else f"cluster (first {MOST_NAMED} of {len(colours)})"
        panels[2].legend(handles=handles, title=title, loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize="small")
    figure.suptitle(f"{windows.title}\n{words}", fontsize="medium")
    return png_of(figure)


def _panels(windows: WindowMap, count: int, columns: int = 2, width: float = PANEL) -> tuple[Any, list[Any]]:
    """A figure of panels of a width in inches that all show the scene."""
    west, east, south, north = windows.scene_extent
    columns = min(columns, count)
    rows = -(-count // columns)
    height = min(max(0.8 * PANEL * (north - south) / (east - west), 1.5), 2 * PANEL)
    figure = new_figure(columns * width, rows * height + 1.0, "compressed")
    panels = [figure.add_subplot(rows, columns, number + 1) for number in range(count)]
    for axes in panels:
        axes.imshow(np.asarray(windows.picture), extent=windows.scene_extent)
        map_axes(axes, windows.scene_extent)
    panels[0].set_title("scene", fontsize="medium")
    return figure, panels

"""Pictures of what transforms made of embeddings: maps over scenes, and tiles where a network sees them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from convml_data.draws import named_hash64
from convml_data.embeddings.transforms.rows import EmbeddingRows, texts, whole
from convml_data.errors import ConvmlError, PlanError, StoreError
from convml_data.images.picture import scene_picture
from convml_data.images.style import Style
from convml_data.pipeline.embeddings import TILE_STAGE
from convml_data.pipeline.plots import regridded_scene
from convml_data.pipeline.style import dataset_style
from convml_data.report.tile_plots import annotated_scatter, dendrogram, manifold_grid
from convml_data.report.transform_maps import Component, WindowMap, cluster_map, components_map, rgb_map
from convml_data.store.arrays import DAMAGED
from convml_data.store.dataset import DatasetStore
from convml_data.store.embeddings import EmbeddingStore
from convml_data.store.transforms import TransformStore

if TYPE_CHECKING:
    from PIL.Image import Image

FloatArray = npt.NDArray[np.floating]

#: Components that maps show unless others are named.
COMPONENTS = (0, 1, 2)

#: Values beyond these percentiles of all scenes have the colours at the ends.
PERCENTILES = (1.0, 99.0)

#: Embeddings that are drawn at random for trees and planes where there are more.
MOST_TILES = 5_000

#: Pictures of scenes that are kept while tiles are taken from them.
SCENES_KEPT = 64


@dataclass(frozen=True)
class Drawn:
    """A picture on disk, or why there is none.

    Parameters
    ----------
    name
        Of the picture, after that of its scene if it has one.
    scene_id
        Of the scene, None for pictures of all.
    url
        Of the picture.
    content
        The picture as PNG.
    problem
        Why there is none.
    """

    name: str
    scene_id: str | None = None
    url: str | None = None
    content: bytes | None = None
    problem: str | None = None


def draw_maps(
    store: DatasetStore,
    embeddings: EmbeddingStore,
    transform: str,
    scene_ids: Sequence[str],
    components: Sequence[int] | None = None,
) -> Iterator[Drawn]:
    """Maps of a transform over scenes: two of each scene, of components and of their mixture, or one of clusters.

    Parameters
    ----------
    store
        Of the dataset.
    embeddings
        The set.
    transform
        Name of the result.
    scene_ids
        Of the scenes.
    components
        Which to show, by default the first three.

    Raises
    ------
    PlanError
        The embeddings are not of windows, the transform has no such component, or the dataset has no pictures.
    StoreError
        The result is not there.
    """
    transforms = TransformStore.of(embeddings)
    with transforms.open_result(transform) as result:
        if "y" not in result.dims:
            raise PlanError(
                "maps are of windows over scenes, and these embeddings are of tiles",
                where=store.files.url(embeddings.folder),
                remedy="Make embeddings of windows: --tiles-kind rect-slidingwindow",
            )
        store = _pictured(store, result.attrs)
        style = _style(store)
        numbers = {scene_id: number for number, scene_id in enumerate(texts(result["scene_id"]))}
        draw = _clusters(result) if "label" in result else _mixtures(result, components, transform)
        for scene_id in scene_ids:
            if scene_id not in numbers:
                yield Drawn("map", scene_id, problem="it has no embeddings")
                continue
            try:
                windows = _window_map(store, style, result, scene_id, transform)
            except ConvmlError as error:
                yield Drawn("map", scene_id, problem=str(error))
                continue
            for name, content in draw(windows, numbers[scene_id]).items():
                yield keep_picture(transforms, transform, name, content, scene_id)


def draw_tiles(store: DatasetStore, embeddings: EmbeddingStore, transform: str | None) -> Iterator[Drawn]:
    """The tiles in a tree of their embeddings, and in the plane of a transform's first two components.

    Parameters
    ----------
    store
        Of the dataset.
    embeddings
        The set.
    transform
        Name of the result that has the plane; None for the tree alone.

    Raises
    ------
    PlanError
        There are fewer than two embeddings, or the dataset has no pictures.
    StoreError
        The embeddings or the result are not there.
    """
    transforms = TransformStore.of(embeddings)
    with embeddings.open_all() as data:
        rows = EmbeddingRows(data, embeddings.files.url(embeddings.folder))
        there = np.concatenate([whole(rows.read(part)) for part in rows.parts()])
        chosen = _some(np.flatnonzero(there), store.dataset.meta.sampling.seed)
        if len(chosen) < 2:
            raise PlanError("there are fewer than two embeddings to draw", where=rows.where, remedy="Make more of them")
        picture = _tile_pictures(_pictured(store, data.attrs), data)
        values = _rows(rows, chosen)
        words = about(data.attrs)
        tree = dendrogram(values, lambda number: picture(int(chosen[number])), words)
        yield keep_picture(transforms, "embeddings", "dendrogram", tree)
        if transform is None:
            return
        with transforms.open_result(transform) as result:
            if "emb" not in result or result["emb"].shape[1] < 2:
                return
            placed = _result_rows(result)[chosen]
            at = np.isfinite(placed).all(axis=1)
            placed, chosen = placed[at], chosen[at]
            if len(chosen) < 2:
                raise PlanError(
                    f"{transform} places fewer than two embeddings", where=rows.where, remedy="Fit it on more of them"
                )
            groups = [texts(data["collection"])[number] for number in chosen] if "collection" in data.coords else None
            labels = [_component(result, number).label for number in (0, 1)]
            title = f"{words}; {transform}"
            scatter = annotated_scatter(placed, lambda number: picture(int(chosen[number])), title, labels, groups)
            yield keep_picture(transforms, transform, "scatter", scatter)
            grid = manifold_grid(placed, lambda number: picture(int(chosen[number])), title, labels)
            yield keep_picture(transforms, transform, "grid", grid)


Draw = Callable[[WindowMap, int], dict[str, bytes]]


def _mixtures(result: xr.Dataset, components: Sequence[int] | None, transform: str) -> Draw:
    """Maps of components and of their mixture, whose limits are the same for all scenes."""
    emb = result["emb"]
    count = emb.shape[1]
    shown = tuple(range(min(count, len(COMPONENTS)))) if components is None else tuple(components)
    for number in shown:
        if not 0 <= number < count:
            raise PlanError(
                f"there is no component {number}, since {transform} has {count}",
                where=transform,
                remedy=f"Name components from 0 to {count - 1}",
            )
    limits, ranges = [], []
    for number in shown:
        values = np.concatenate([emb[scene, number].values.ravel() for scene in range(emb.shape[0])])
        values = values[np.isfinite(values)]
        if not values.size:
            raise PlanError("there is nothing to draw, since no embedding has a value", where=transform)
        low, high = np.percentile(values, PERCENTILES)
        limits.append(_component(result, number, float(low), float(high)))
        ranges.append(_component(result, number, float(values.min()), float(values.max())))
    names = "_".join(map(str, shown))

    def draw(windows: WindowMap, scene: int) -> dict[str, bytes]:
        values = emb[scene].values[list(shown)]
        mixed = min(3, len(shown))
        return {
            f"components_{names}": components_map(windows, limits, values),
            f"rgb_{'_'.join(map(str, shown[:mixed]))}": rgb_map(windows, ranges[:mixed], values[:mixed]),
        }

    return draw


def _clusters(result: xr.Dataset) -> Draw:
    count = max(1, int(result["label"].max()) + 1)
    return lambda windows, scene: {"clusters": cluster_map(windows, result["label"][scene].values, count)}


def _component(result: xr.Dataset, number: int, low: float = 0.0, high: float = 0.0) -> Component:
    explained = result.coords.get("explained_variance_ratio")
    return Component(number, low, high, None if explained is None else float(explained[number]))


def _window_map(store: DatasetStore, style: Style, result: xr.Dataset, scene_id: str, transform: str) -> WindowMap:
    scene = regridded_scene(store, scene_id)
    time = str(scene.attrs.get("scene_time", "")).replace("T", " ")[:16]
    return WindowMap(
        picture=scene_picture(scene, style),
        scene_x=scene["x"].values,
        scene_y=scene["y"].values,
        x=result["x"].values,
        y=result["y"].values,
        lx_tile=float(result.attrs["lx_tile"]),
        ly_tile=float(result.attrs["ly_tile"]),
        title=f"{scene_id}, {time} UTC\n{about(result.attrs)}; {transform}",
    )


def about(attributes: Mapping[str, Any]) -> str:
    """Which embeddings these are, in words, by their attributes."""
    cells, length = int(attributes["tile_nx"]), float(attributes["lx_tile"])
    words = f"{attributes['model']}, tiles of {length / 1e3:g} km ({cells} cells)"
    if "step_size" in attributes:
        step = int(attributes["step_size"])
        words += f" every {step * length / cells / 1e3:g} km ({step} cells)"
    return words


def _pictured(store: DatasetStore, attributes: Mapping[str, Any]) -> DatasetStore:
    """The store of the product whose pictures the network was given."""
    return store.aux(str(attributes["aux_name"])) if "aux_name" in attributes else store


def _style(store: DatasetStore) -> Style:
    style = dataset_style(store)
    if style is None:
        raise PlanError(
            "there is nothing to draw on, since `image_function: null` asks for no pictures",
            where=str(store.dataset.directory / "meta.yaml"),
            remedy="Take it out",
        )
    return style


def _some(numbers: npt.NDArray[np.intp], seed: int) -> npt.NDArray[np.intp]:
    if len(numbers) <= MOST_TILES:
        return numbers
    rng = np.random.default_rng(named_hash64(seed, "embedding plots"))
    return np.sort(rng.choice(numbers, MOST_TILES, replace=False))


def _rows(rows: EmbeddingRows, chosen: npt.NDArray[np.intp]) -> FloatArray:
    """Those embeddings, shape (n, emb_dim)."""
    found, start = [], 0
    for part in rows.parts():
        values = rows.read(part)
        found.append(values[chosen[(chosen >= start) & (chosen < start + len(values))] - start])
        start += len(values)
    return np.concatenate(found)


def _result_rows(result: xr.Dataset) -> FloatArray:
    """The first two components of all embeddings, shape (n, 2)."""
    values = result["emb"][:, :2].values
    return np.moveaxis(values, 1, -1).reshape(-1, 2)


def _tile_pictures(store: DatasetStore, data: xr.Dataset) -> Callable[[int], npt.NDArray[np.uint8]]:
    """What gives the picture of a tile by its number in a set of embeddings."""
    style = _style(store)
    if "y" not in data.dims:
        stage, tile_ids = TILE_STAGE[data.attrs["tiles_kind"]], texts(data["tile_id"])

        def of_tile(number: int) -> npt.NDArray[np.uint8]:
            collection, _, name = tile_ids[number].rpartition("/")
            shown = store.shown_tiles(stage, collection)
            try:
                with shown.open(name) as tile:
                    return np.asarray(scene_picture(tile.load(), style))
            except DAMAGED as error:
                raise StoreError(
                    f"this tile cannot be read ({error})", where=shown.url(name), remedy="Run `convml-data tiles`"
                ) from error

        return of_tile
    scene_ids, n = texts(data["scene_id"]), int(data.attrs["tile_nx"])
    shape = tuple(data.sizes[dim] for dim in ("scene_id", "y", "x"))
    columns, rows = data["i0"].values - n // 2, data["j0"].values - n // 2

    @lru_cache(maxsize=SCENES_KEPT)
    def of_scene(scene_id: str) -> Image:
        return scene_picture(regridded_scene(store, scene_id), style)

    def of_window(number: int) -> npt.NDArray[np.uint8]:
        scene, row, column = np.unravel_index(number, shape)
        left, top = int(columns[column]), int(rows[row])
        return np.asarray(of_scene(scene_ids[scene]).crop((left, top, left + n, top + n)))

    return of_window


def keep_picture(
    transforms: TransformStore, transform: str, name: str, content: bytes, scene_id: str | None = None
) -> Drawn:
    """Write a picture of what a transform made, of a scene or of all."""
    path = transforms.plot(transform, name if scene_id is None else f"{scene_id}.{name}")
    transforms.files.write_bytes(path, content)
    return Drawn(name, scene_id, transforms.files.url(path), content)

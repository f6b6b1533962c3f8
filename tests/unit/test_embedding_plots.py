"""Maps and tiles of transforms, and auxiliary fields in tiles: what is drawn and what is counted."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from made_embeddings import (
    META,
    N_SCENES,
    NX,
    NY,
    TRIPLETS,
    WINDOWS,
    keep,
    made_dataset,
    points,
    scene_ids,
    triplets,
    windows,
)
from PIL import Image

from convml_data.embeddings.reductions import Reduction
from convml_data.errors import PlanError, StoreError
from convml_data.meta.aux_values import AuxValues
from convml_data.meta.transforms import Transform
from convml_data.pipeline.aux_values import draw_distributions, make_aux_values
from convml_data.pipeline.embedding_plots import Drawn, draw_maps, draw_tiles
from convml_data.pipeline.made_from import scene_fingerprint, tile_fingerprint
from convml_data.pipeline.transforms import make_transform
from convml_data.report.tile_plots import dendrogram, spread_out
from convml_data.report.transform_maps import Component, WindowMap, cluster_map, components_map, rgb_map
from convml_data.sources import source_of
from convml_data.store.dataset import DatasetStore
from convml_data.store.embeddings import EmbeddingStore
from convml_data.store.transforms import TransformStore

AUX = "tops"
WITH_AUX = META | {
    "image": {"vmin": 200.0, "vmax": 300.0},
    "aux_products": {AUX: {"source": "goes16", "type": "singlechannel__bt_14", "image": {"vmin": 0.0, "vmax": 1.0}}},
}
#: Of windows of the scenes here, as their centres are in the made embeddings: cells of 2 km, tiles of 16.
CELL = 2000.0


def regridded(store: DatasetStore, field: Any = None) -> None:
    """Regridded scenes of a dataset or auxiliary product: a ramp, or a field by the number of the scene."""
    grid = store.dataset.grid
    for number, row in enumerate(store.read_ledger().scenes):
        values = np.broadcast_to(200.0 + np.arange(grid.shape[1]), grid.shape) if field is None else field(number, grid)
        data = xr.Dataset(
            {"bt": (("y", "x"), np.asarray(values, np.float32), {"units": "K", "long_name": "temperature"})},
            {"y": grid.y, "x": grid.x},
            {
                "scene_id": row.scene_id,
                "scene_time": row.scan.start.isoformat(),
                "fingerprint": scene_fingerprint(store.dataset, "regridded", row),
            },
        )
        store.scenes(["regridded"]).write(row.scene_id, data)


def centred(data: xr.Dataset) -> xr.Dataset:
    """Windows whose centres and columns are those of a grid of 60 cells of 2 km."""
    first_x, first_y = np.arange(NX) * 10, np.arange(NY) * 10
    middle = (np.arange(60) - 29.5) * CELL
    x, y = ([middle[first : first + 16].mean() for first in firsts] for firsts in (first_x, first_y))
    return data.assign_coords(x=("x", x), y=("y", y), i0=("x", first_x + 8), j0=("y", 60 - (first_y + 16) + 8))


@pytest.fixture
def store(tmp_path: Path) -> DatasetStore:
    found = made_dataset(tmp_path / "made", WITH_AUX)
    regridded(found)
    return found


@pytest.fixture
def embeddings(store: DatasetStore) -> EmbeddingStore:
    return keep(store, WINDOWS, centred(windows()))


def size(drawn: Drawn) -> tuple[int, int]:
    assert drawn.content is not None
    assert drawn.url is not None
    assert Path(drawn.url).read_bytes() == drawn.content
    with Image.open(io.BytesIO(drawn.content)) as image:
        return image.size


def test_maps_are_of_each_scene_and_the_same_when_drawn_again(store: DatasetStore, embeddings: EmbeddingStore) -> None:
    made = make_transform(store, embeddings, Transform(type="pca", args={"n_components": 4}))
    drawn = list(draw_maps(store, embeddings, made.name, [*scene_ids()[:2], "goes16__202101010000"]))
    assert [(each.scene_id, each.name) for each in drawn[:4]] == [
        (scene_id, name) for scene_id in scene_ids()[:2] for name in ("components_0_1_2", "rgb_0_1_2")
    ]
    assert drawn[4].problem == "it has no embeddings"
    assert all(min(size(each)) > 300 for each in drawn[:4])
    again = list(draw_maps(store, embeddings, made.name, scene_ids()[:1]))
    assert [each.content for each in again] == [each.content for each in drawn[:2]]
    other = list(draw_maps(store, embeddings, made.name, scene_ids()[:1], components=[3]))
    assert [each.name for each in other] == ["components_3", "rgb_3"]
    with pytest.raises(PlanError, match=r"there is no component 4, since .* has 4"):
        list(draw_maps(store, embeddings, made.name, scene_ids()[:1], components=[4]))


def test_clusters_have_one_map_a_scene(store: DatasetStore, embeddings: EmbeddingStore) -> None:
    made = make_transform(store, embeddings, Transform(type="kmeans", args={"n_clusters": 3}))
    (drawn,) = draw_maps(store, embeddings, made.name, scene_ids()[:1])
    assert drawn.name == "clusters"
    names = [each.name for each in draw_tiles(store, embeddings, made.name)]
    assert names == ["dendrogram"]


def test_tiles_are_drawn_of_windows(store: DatasetStore, embeddings: EmbeddingStore) -> None:
    made = make_transform(store, embeddings, Transform(type="pca", args={"n_components": 2}))
    drawn = list(draw_tiles(store, embeddings, made.name))
    assert [each.name for each in drawn] == ["dendrogram", "scatter", "grid"]
    assert all(min(size(each)) > 300 for each in drawn)


def test_scenes_that_are_not_there_are_named(store: DatasetStore, embeddings: EmbeddingStore) -> None:
    made = make_transform(store, embeddings, Transform(type="pca"))
    store.files.remove(store.scenes(["regridded"]).name(scene_ids()[0]))
    (drawn,) = draw_maps(store, embeddings, made.name, scene_ids()[:1])
    assert "Run `convml-data regrid`" in str(drawn.problem)


def test_there_are_no_maps_of_tiles_nor_of_what_is_not_made(store: DatasetStore, embeddings: EmbeddingStore) -> None:
    with pytest.raises(StoreError, match="no embeddings transformed by pca_transform"):
        list(draw_maps(store, embeddings, "pca_transform", scene_ids()))
    of_tiles = keep(store, TRIPLETS, triplets(store))
    made = make_transform(store, of_tiles, Transform(type="pca"))
    with pytest.raises(PlanError, match="rect-slidingwindow"):
        list(draw_maps(store, of_tiles, made.name, scene_ids()))


# What the colours say


def window_map(picture: Image.Image | None = None) -> WindowMap:
    x = (np.arange(60) - 29.5) * CELL
    centres = np.linspace(-40e3, 40e3, 5)
    return WindowMap(picture or Image.new("RGB", (60, 60)), x, x, centres, centres, 32e3, 32e3, "a scene")


def pixels(content: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(content)) as image:
        return np.asarray(image.convert("RGB")).reshape(-1, 3)


def has(content: bytes, colour: tuple[int, int, int]) -> bool:
    return bool((pixels(content) == colour).all(axis=1).any())


def test_three_components_are_red_green_and_blue() -> None:
    components = [Component(number, 0.0, 2.0) for number in range(3)]
    values = np.zeros((3, 5, 5))
    for band in range(3):
        values[band, band, 0] = 2
    content = rgb_map(window_map(), components, values)
    assert all(has(content, colour) for colour in ((255, 0, 0), (0, 255, 0), (0, 0, 255)))
    values[0, 0, 0] = np.nan
    assert not has(rgb_map(window_map(), components, values), (255, 0, 0))


def test_windows_without_a_cluster_have_no_colour() -> None:
    labels = np.zeros((5, 5), int)
    first = cluster_map(window_map(), labels, 2)
    assert has(first, (31, 119, 180))
    # The legend alone is left.
    blue = [
        (pixels(content) == (31, 119, 180)).all(axis=1).sum()
        for content in (first, cluster_map(window_map(), labels - 1, 2))
    ]
    assert blue[1] < blue[0] / 10


def test_components_have_limits_of_all_scenes() -> None:
    values = np.full((1, 5, 5), 5.0)
    alike = [components_map(window_map(), [Component(0, low, 5.0)], values) for low in (0.0, -5.0)]
    assert alike[0] != alike[1]


def test_points_that_are_shown_are_apart() -> None:
    positions = np.random.default_rng(0).random((500, 2))
    shown = positions[spread_out(positions, 0.2, 60)]
    away = np.abs(shown[:, None] - shown[None]).max(axis=2)
    assert (away[~np.eye(len(shown), dtype=bool)] >= 0.2).all()
    assert len(shown) > 10


def test_a_tree_shows_tiles_of_every_cluster() -> None:
    asked: list[int] = []

    def picture(number: int) -> np.ndarray:
        asked.append(number)
        return np.zeros((4, 4, 3), np.uint8)

    assert dendrogram(points(60), picture, "a tree")
    assert len(asked) == len(set(asked))
    assert {number % 3 for number in asked} == {0, 1, 2}
    assert dendrogram(points(2), picture, "two")


# Auxiliary fields


def with_field(store: DatasetStore, field: Any) -> None:
    """Matches, and regridded scenes of the auxiliary product."""
    aux = store.aux(AUX)
    archive, settings = source_of(aux.dataset).archive, aux.dataset.fingerprint("scene_ids")
    aux.write_ledger(replace(store.read_ledger(), archive=archive, fingerprint=settings))
    regridded(aux, field)


def test_a_field_is_reduced_in_each_window(store: DatasetStore, embeddings: EmbeddingStore) -> None:
    with_field(
        store, lambda number, grid: number + np.add.outer(np.arange(grid.shape[0]) * 100.0, np.arange(grid.shape[1]))
    )
    asked = AuxValues(aux_name=AUX, reduce=("mean", "p0", "numpy.nanmax"))
    made = make_aux_values(store, embeddings, asked)
    with TransformStore.of(embeddings).aux_values.open(AUX) as values:
        found = values.load()
    assert found[f"{AUX}__mean"].dims == ("scene_id", "y", "x")
    # Windows begin every 10 cells and have 16.
    rows, columns = np.arange(NY) * 10, np.arange(NX) * 10
    first = np.arange(N_SCENES)[:, None, None] + np.add.outer(rows * 100.0, columns)
    np.testing.assert_allclose(found[f"{AUX}__p0"], first)
    np.testing.assert_allclose(found[f"{AUX}__mean"], first + 7.5 * 101)
    np.testing.assert_allclose(found[f"{AUX}__numpy__nanmax"], first + 15 * 101)
    assert found[f"{AUX}__mean"].attrs == {"long_name": "tile mean of temperature", "units": "K"}
    assert "units" not in found[f"{AUX}__numpy__nanmax"].attrs
    assert not made.kept
    assert make_aux_values(store, embeddings, asked).kept
    with embeddings.open_all() as data:
        assert xr.merge([data.load(), found], compat="override")["emb"].sizes["scene_id"] == N_SCENES


def test_too_few_values_give_none_and_are_counted(store: DatasetStore, embeddings: EmbeddingStore) -> None:
    def field(number: int, grid: Any) -> np.ndarray:
        values = np.full(grid.shape, 3.0)
        values[:, 30:] = np.nan  # half of the columns
        return values

    with_field(store, field)
    made = make_aux_values(store, embeddings, AuxValues(aux_name=AUX, min_valid_share=0.8))
    with TransformStore.of(embeddings).aux_values.open(AUX) as values:
        share, mean = values[f"{AUX}__valid_share"].values, values[f"{AUX}__mean"].values
    # Windows begin at columns 0, 10, 20, 30, 40.
    np.testing.assert_allclose(share[0, 0], [1, 1, 10 / 16, 0, 0])
    np.testing.assert_array_equal(np.isfinite(mean[0, 0]), [True, True, False, False, False])
    assert made.attributes["tiles_with_too_few_values"] == N_SCENES * NY * 3
    drawn = list(draw_distributions(store, embeddings, AuxValues(aux_name=AUX, min_valid_share=0.8)))
    assert [each.name for each in drawn] == [f"{AUX}__mean.distribution"]
    assert min(size(drawn[0])) > 300


def test_scenes_without_the_field_have_no_numbers(store: DatasetStore, embeddings: EmbeddingStore) -> None:
    with pytest.raises(PlanError, match=f"no scene of the set has a field of {AUX}"):
        make_aux_values(store, embeddings, AuxValues(aux_name=AUX))
    with_field(store, lambda number, grid: np.ones(grid.shape))
    aux = store.aux(AUX)
    aux.files.remove(aux.scenes(["regridded"]).name(scene_ids()[2]))
    made = make_aux_values(store, embeddings, AuxValues(aux_name=AUX, reduce=("cloud_fraction",)))
    assert made.attributes["tiles_without_field"] == NY * NX
    with TransformStore.of(embeddings).aux_values.open(AUX) as values:
        assert values[f"{AUX}__cloud_fraction"].isnull().sum() == NY * NX


def test_what_is_no_mask_has_no_cloud_fraction(store: DatasetStore, embeddings: EmbeddingStore) -> None:
    with_field(store, lambda number, grid: np.full(grid.shape, 2.0))
    with pytest.raises(PlanError, match=r"cloud_fraction of bt failed.*a mask has 0 and 1 alone"):
        make_aux_values(store, embeddings, AuxValues(aux_name=AUX, reduce=("cloud_fraction",)))


def test_tiles_of_triplets_are_reduced_too(store: DatasetStore) -> None:
    of_tiles, aux = keep(store, TRIPLETS, triplets(store)), store.aux(AUX)
    plan, rows = store.read_tile_plan(), {row.scene_id: row for row in store.read_ledger().scenes}
    with_field(store, lambda number, grid: np.ones(grid.shape))
    for number, tile in enumerate(plan.tiles[:-1]):
        data = xr.Dataset(
            {"bt": (("y", "x"), np.full((16, 16), number, np.float32))},
            attrs={"fingerprint": tile_fingerprint(aux.dataset, rows[tile.scene_id], "triplet_tiles", tile)},
        )
        aux.tiles("triplet_tiles", tile.collection, waiting=False).write(tile.name, data)
    made = make_aux_values(store, of_tiles, AuxValues(aux_name=AUX, reduce=("median",)))
    assert made.attributes["tiles_without_field"] == 1
    with TransformStore.of(of_tiles).aux_values.open(AUX) as values:
        np.testing.assert_array_equal(values[f"{AUX}__median"], [*range(len(plan.tiles) - 1), np.nan])


def periodic(field: np.ndarray, periodic_domain: bool = True) -> float:
    return float(periodic_domain)


def test_functions_of_packages_are_called_as_the_older_ones_were() -> None:
    field = np.array([[1.0, np.nan], [3.0, 2.0]])
    assert Reduction.of("numpy__nanmax").function()(field) == 3
    assert Reduction.of("numpy__nanmax").variable == "numpy__nanmax"
    assert Reduction.of(f"{__name__}.periodic").function()(field) == 0
    assert Reduction.of("p50").function()(field) == 2
    with pytest.raises(PlanError, match=r"there is no function numpy\.nanmox"):
        Reduction.of("numpy.nanmox").function()
    for name in ("foobar", "p101", "", "a-b.c"):
        with pytest.raises(ValueError, match="there is no reduction"):
            Reduction.of(name)

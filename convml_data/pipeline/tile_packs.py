"""The tiles of a scene in the stores of their collections."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import xarray as xr

from convml_data.errors import StoreError
from convml_data.images.picture import scene_picture
from convml_data.images.style import Style
from convml_data.pipeline.tile_files import CutTile
from convml_data.store.dataset import DatasetStore
from convml_data.store.packed_tiles import PackedScene, PackedTile, PackedTiles
from convml_data.tiles.files import tile_yml
from convml_data.tiles.tile import Tile, TileStage


@dataclass(frozen=True)
class TilePacks:
    """Where the tiles of a kind are packed. The first of each scene is drawn, for the record only."""

    store: DatasetStore
    stage: TileStage
    style: Style

    def cut(self, tiles: Mapping[Tile, str], make: Callable[[Tile], xr.Dataset]) -> list[CutTile]:
        """Keep the tiles of a scene: those packed with these fingerprints, and what ``make`` gives of the others."""
        collections: defaultdict[str, dict[Tile, str]] = defaultdict(dict)
        for tile, made_from in tiles.items():
            collections[tile.collection][tile] = made_from
        cut: dict[Tile, CutTile] = {}
        for collection, of_collection in collections.items():
            cut |= self._cut_of(self.store.packed(self.stage, collection), of_collection, make)
        return [cut[tile] for tile in tiles]

    def _cut_of(
        self, packed: PackedTiles, tiles: Mapping[Tile, str], make: Callable[[Tile], xr.Dataset]
    ) -> dict[Tile, CutTile]:
        """Those of a collection, whose store is left as it is where nothing has to be made."""
        scene = packed.scene(next(iter(tiles)).scene_id)
        there = scene.whole()
        names = {tile.name: made_from for tile, made_from in tiles.items()}
        if there == names:
            try:
                return {tile: CutTile(scene.described(tile.name)["attributes"], None, kept=True) for tile in tiles}
            except StoreError:
                there = {}
        cut: dict[Tile, CutTile] = {}

        def in_order() -> Iterator[PackedTile]:
            for tile, made_from in tiles.items():
                kept = _read(scene, tile) if there.get(tile.name) == made_from else None
                data = make(tile) if kept is None else kept
                picture = scene_picture(data, self.style) if self.store.has_pictures and not cut else None
                cut[tile] = CutTile(data.attrs, picture, kept=kept is not None)
                yield PackedTile(data, tile_yml(tile, data.attrs))

        scene.write(names, in_order())
        return cut


def _read(scene: PackedScene, tile: Tile) -> xr.Dataset | None:
    """A tile that is packed, None where it is damaged."""
    try:
        return scene.open(tile.name)
    except StoreError:
        return None

"""The files of a tile: its data, its description and its picture."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import xarray as xr
from PIL import Image

from convml_data.errors import StoreError
from convml_data.images.picture import png_bytes, scene_picture
from convml_data.images.style import Style, style_fingerprint
from convml_data.pipeline.made_from import whole_picture
from convml_data.store.arrays import DAMAGED, ArrayStore
from convml_data.store.dataset import DatasetStore
from convml_data.tiles.files import tile_yml
from convml_data.tiles.tile import Tile, TileStage


@dataclass(frozen=True)
class CutTile:
    """The attributes of a tile's data, its picture if it has one, and whether the data were there already."""

    attributes: Mapping[str, Any]
    picture: Image.Image | None
    kept: bool


@dataclass(frozen=True)
class TileFiles:
    """Where the tiles of a kind are kept, and how their pictures are drawn."""

    store: DatasetStore
    stage: TileStage
    style: Style

    def cut(self, tiles: Mapping[Tile, str], make: Callable[[Tile], xr.Dataset]) -> list[CutTile]:
        """Keep the tiles of a scene: those on disk with these fingerprints, and what ``make`` gives of the others."""
        return [self._kept(tile, made_from) or self._write(tile, make(tile)) for tile, made_from in tiles.items()]

    def attributes(self, tile: Tile, expected: str) -> Mapping[str, Any] | None:
        """Those of a tile on disk, None unless its data and description are whole and of the expected fingerprint.

        A run that was ended while it moved a triplet leaves some files shown and others waiting.
        """
        attributes = self.on_disk(tile) or {}
        if attributes.get("fingerprint") != expected:
            return None
        description = self._place_of(tile, ".yml")
        try:
            text = self.store.files.read_bytes(f"{description.folder}/{tile.name}.yml")
        except StoreError:
            return None
        return attributes if expected.encode() in text else None

    def on_disk(self, tile: Tile) -> Mapping[str, Any] | None:
        """Attributes of the data of that name, whatever they were made from; None where there are none that open."""
        return self._place_of(tile, ".nc").attributes(tile.name)

    def picture(self, tile: Tile) -> Image.Image | None:
        """The picture of a tile on disk, None where there is none, it is damaged or it is of another style."""
        folder = self._place_of(tile, ".png").folder
        return whole_picture(self.store.files, f"{folder}/{tile.name}.png", style_fingerprint(self.style))

    def _kept(self, tile: Tile, expected: str) -> CutTile | None:
        """A tile on disk, of the expected fingerprint. Its picture is drawn again where it has to be."""
        attributes = self.attributes(tile, expected)
        if attributes is None:
            return None
        if not self.store.has_pictures:
            return CutTile(attributes, None, kept=True)
        image = self.picture(tile)
        if image is None:
            data = self._place_of(tile, ".nc")
            try:
                with data.open(tile.name) as stored:
                    # Beside the data, so that a shown tile stays shown.
                    image = self._draw(stored.load(), f"{data.folder}/{tile.name}.png")
            except DAMAGED:
                return None
        return CutTile(attributes, image, kept=True)

    def _write(self, tile: Tile, data: xr.Dataset) -> CutTile:
        """Write a tile's files, where they wait for others if they have to."""
        arrays = self.store.tiles(self.stage, tile.collection, waiting=True)
        stem = f"{arrays.folder}/{tile.name}"
        self.store.files.write_bytes(f"{stem}.yml", tile_yml(tile, data.attrs).encode())
        picture = self._draw(data, f"{stem}.png") if self.store.has_pictures else None
        arrays.write(tile.name, data)
        return CutTile(data.attrs, picture, kept=False)

    def _place_of(self, tile: Tile, suffix: str) -> ArrayStore:
        shown, waiting = (self.store.tiles(self.stage, tile.collection, waiting=waits) for waits in (False, True))
        return waiting if self.store.files.exists(f"{waiting.folder}/{tile.name}{suffix}") else shown

    def _draw(self, data: xr.Dataset, name: str) -> Image.Image:
        image = scene_picture(data, self.style)
        self.store.files.write_bytes(name, png_bytes(image, style_fingerprint(self.style)))
        return image

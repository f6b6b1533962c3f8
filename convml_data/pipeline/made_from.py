"""What the files of a scene are made from, and whether those on disk still are."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from PIL import Image

from convml_data.errors import StoreError
from convml_data.fingerprints import fingerprint
from convml_data.images.picture import STYLE_KEY
from convml_data.meta.dataset import Dataset
from convml_data.scenes.ledger import LedgerRow
from convml_data.store.dataset import DatasetStore
from convml_data.store.files import Files
from convml_data.store.layout import TILE_SUFFIXES
from convml_data.tiles.plan import TileSpec

#: Stages that keep one gridded dataset and one picture for each scene.
SceneStage = Literal["cropped", "regridded"]
SCENE_STAGES: tuple[SceneStage, ...] = ("cropped", "regridded")


def scene_fingerprint(dataset: Dataset, stage: str, row: LedgerRow) -> str:
    """What a scene's files of a stage are made from: settings, and the source files by name, size and version.

    Names of archive files hold the time of their processing, so a reprocessed scene is made anew,
    and one from a mirror of the archive is not.
    """
    files = sorted([file.url.rpartition("/")[2], file.size, file.version or ""] for file in row.scan.files.values())
    return fingerprint([dataset.fingerprint(stage), files])


def outdated_scenes(store: DatasetStore, stage: SceneStage, scene_ids: Sequence[str]) -> list[str]:
    """Those whose files of a stage were made from other settings or source files, or that are scenes no longer."""
    expected = {row.scene_id: scene_fingerprint(store.dataset, stage, row) for row in store.read_ledger().scenes}
    arrays = store.scenes([stage])

    def is_outdated(scene_id: str) -> bool:
        attributes = arrays.attributes(scene_id)
        # A file that does not open says so itself when it is read.
        return scene_id not in expected or (
            attributes is not None and attributes.get("fingerprint") != expected[scene_id]
        )

    return [scene_id for scene_id in scene_ids if is_outdated(scene_id)]


def tile_fingerprint(dataset: Dataset, row: LedgerRow, tile: TileSpec) -> str:
    """What a tile is made from: its place and shape, its scene and the interpolation."""
    return tile.fingerprint(scene_fingerprint(dataset, "triplet_tiles", row))


@dataclass(frozen=True)
class Tile:
    """A tile: the attributes of its data, its picture if it has one, and whether it was there already."""

    attributes: Mapping[str, Any]
    picture: Image.Image | None
    kept: bool


def complete_tile(store: DatasetStore, tile: TileSpec, expected: str, style: str) -> Tile | None:
    """A tile on disk, None unless all of its files are whole, of the expected fingerprint and style.

    A run that was ended while it moved a triplet leaves some files shown and others waiting.
    """
    files, shown, waiting = store.files, *(store.tiles(tile.collection, waiting=waits) for waits in (False, True))
    data, description, picture = (
        waiting if files.exists(f"{waiting.folder}/{tile.name}{suffix}") else shown for suffix in TILE_SUFFIXES
    )
    attributes = data.attributes(tile.name) or {}
    if attributes.get("fingerprint") != expected:
        return None
    try:
        if expected.encode() not in files.read_bytes(f"{description.folder}/{tile.name}.yml"):
            return None
    except StoreError:
        return None
    if not store.has_pictures:
        return Tile(attributes, None, kept=True)
    image = whole_picture(files, f"{picture.folder}/{tile.name}.png", style)
    return None if image is None else Tile(attributes, image, kept=True)


def whole_picture(files: Files, name: str, style: str) -> Image.Image | None:
    """A picture on disk, None where there is none, it is damaged or it was drawn in another style."""
    try:
        content = io.BytesIO(files.read_bytes(name))
        Image.open(content).verify()  # reads it all, after which it must be opened anew
        image = Image.open(content)
    except (StoreError, OSError, SyntaxError):
        return None
    return image if image.info.get(STYLE_KEY) == style else None

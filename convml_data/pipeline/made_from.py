"""What the files of a scene are made from, and whether those on disk still are."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Literal

from PIL import Image

from convml_data.errors import StoreError
from convml_data.fingerprints import fingerprint
from convml_data.images.picture import STYLE_KEY
from convml_data.meta.dataset import Dataset
from convml_data.scenes.ledger import LedgerRow
from convml_data.store.dataset import DatasetStore
from convml_data.store.files import Files
from convml_data.tiles.tile import Tile, TileStage

#: Stages that keep one gridded dataset and one picture for each scene.
SceneStage = Literal["cropped", "regridded"]
SCENE_STAGES: tuple[SceneStage, ...] = ("cropped", "regridded")


def scene_fingerprint(dataset: Dataset, stage: str, row: LedgerRow) -> str:
    """What a scene's files of a stage are made from: settings, its start, and its source files.

    Files count by name, size, version and which of their times is meant.
    Names of archive files hold the time of their processing, so a reprocessed scene is made anew,
    and one from a mirror of the archive is not.
    """
    return fingerprint_of_scene(dataset.fingerprint(stage), row)


def fingerprint_of_scene(settings: str, row: LedgerRow) -> str:
    """As :func:`scene_fingerprint`, of settings by their fingerprint."""
    files = sorted(
        [file.url.rpartition("/")[2], file.size, file.version or "", -1 if file.number is None else file.number]
        for file in row.scan.files.values()
    )
    return fingerprint([settings, row.scan.start.isoformat(), files])


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


def tile_fingerprint(dataset: Dataset, row: LedgerRow, stage: TileStage, tile: Tile) -> str:
    """What a tile is made from: its place and shape, its scene and the interpolation."""
    return tile.fingerprint(scene_fingerprint(dataset, stage, row))


def whole_picture(files: Files, name: str, style: str) -> Image.Image | None:
    """A picture on disk, None where there is none, it is damaged or it was drawn in another style."""
    try:
        content = io.BytesIO(files.read_bytes(name))
        Image.open(content).verify()  # reads it all, after which it must be opened anew
        image = Image.open(content)
    except (StoreError, OSError, SyntaxError):
        return None
    return image if image.info.get(STYLE_KEY) == style else None

"""Where everything of a dataset lies below its root.

These names are a contract with users and with the neural-network side, which reads ``triplets/``
and ``rect/`` as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

TILE_SUFFIXES = (".nc", ".yml", ".png")


@dataclass(frozen=True)
class Layout:
    """Names of files and folders, relative to the root, of a dataset of ``source`` and ``product``."""

    source: str
    product: str

    @property
    def ledger(self) -> str:
        """The scene ledger."""
        return f"source_data/{self.source}/{self.product}/scene_ids.json"

    @property
    def domain(self) -> str:
        """The area of a domain that follows from the source or from trajectories."""
        return f"source_data/{self.source}/{self.product}/domain.json"

    @property
    def picture_style(self) -> str:
        """Which values are dark and bright in pictures."""
        return f"source_data/{self.source}/{self.product}/picture_style.json"

    @property
    def tile_plan(self) -> str:
        """Which scene gives which tile, where."""
        return "triplets/tile_plan.json"

    def made_from(self, folder: str) -> str:
        """What the files of a folder were last made from."""
        return f".made_from/{folder}"

    def folder(self, stage: Sequence[str]) -> str:
        """Folder of an asset's per-scene files, by the parts of its key below the dataset's name.

        Assets that users add lie in a folder of their own name.
        """
        known: dict[tuple[str, ...], str] = {
            ("cropped",): f"source_data/{self.source}/{self.product}/cropped",
            ("regridded",): "rect",
        }
        return known.get(tuple(stage), "/".join(stage))

    def tiles(self, collection: str) -> str:
        """Folder of a collection's complete triplets."""
        return f"triplets/{collection}"

    def waiting_tiles(self, collection: str) -> str:
        """Folder of a collection's tiles while other tiles of their triplets are missing."""
        return f"triplets/.incomplete/{collection}"

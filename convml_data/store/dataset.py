"""What a dataset keeps: its ledger, its tile plan and its scenes' files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from convml_data.errors import StoreError
from convml_data.meta.dataset import Dataset
from convml_data.scenes.ledger import Ledger
from convml_data.store.arrays import ArrayStore, Format
from convml_data.store.files import Files
from convml_data.store.layout import Layout
from convml_data.tiles.plan import TilePlan


@dataclass(frozen=True)
class DatasetStore:
    """Reads and writes a dataset's files by their meaning.

    Parameters
    ----------
    dataset
        Whose files.
    format
        Of the per-scene data.
    """

    dataset: Dataset
    format: Format

    @classmethod
    def of(cls, dataset: Dataset) -> DatasetStore:
        """The store in the format that ``meta.yaml`` asks for."""
        return cls(dataset, dataset.meta.storage.format)

    @cached_property
    def files(self) -> Files:
        """The root."""
        return Files(self.dataset.root)

    @cached_property
    def layout(self) -> Layout:
        """Names below the root."""
        return Layout(self.dataset.meta.source, self.dataset.meta.product)

    @property
    def index_maps(self) -> Path:
        """Cache of index maps, on this machine beside meta.yaml whatever the root."""
        return self.dataset.directory / ".cache" / "index-maps"

    def scenes(self, stage: Sequence[str]) -> ArrayStore:
        """The per-scene data of an asset, named by the parts of its key below the dataset's name."""
        return ArrayStore(self.files, self.layout.folder(stage), self.format)

    def picture(self, stage: str, scene_id: str) -> str:
        """Name of a scene's picture."""
        return f"{self.layout.folder([stage])}/{scene_id}.png"

    def tiles(self, collection: str, *, waiting: bool) -> ArrayStore:
        """The tiles of a collection: those of complete triplets, or those that wait for the others.

        Always netCDF, which is what the neural-network side reads.
        """
        folder = self.layout.waiting_tiles(collection) if waiting else self.layout.tiles(collection)
        return ArrayStore(self.files, folder, "netcdf")

    def read_ledger(self) -> Ledger:
        """The scene ledger; StoreError where it has not been made."""
        return Ledger.from_json(
            self._text(self.layout.ledger, "scene ledger", "scene-ids"), self.files.url(self.layout.ledger)
        )

    def write_ledger(self, ledger: Ledger) -> None:
        """Keep a scene ledger."""
        self.files.write_bytes(self.layout.ledger, ledger.to_json().encode())

    def read_tile_plan(self) -> TilePlan:
        """The tile plan; StoreError where it has not been made."""
        return TilePlan.from_json(
            self._text(self.layout.tile_plan, "tile plan", "tiles"), self.files.url(self.layout.tile_plan)
        )

    def write_tile_plan(self, plan: TilePlan) -> None:
        """Keep a tile plan."""
        self.files.write_bytes(self.layout.tile_plan, plan.to_json().encode())

    def _text(self, name: str, what: str, command: str) -> str:
        if not self.files.exists(name):
            raise StoreError(
                f"the dataset has no {what} yet",
                where=self.files.url(name),
                remedy=f"Run `convml-data {command}` or materialize the asset in the Dagster UI",
            )
        return self.files.read_bytes(name).decode()

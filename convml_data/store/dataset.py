"""What a dataset keeps: its ledger, its tile plan and its scenes' files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from convml_data.errors import StoreError
from convml_data.geometry.local import Domain, domain_from_dict
from convml_data.meta.dataset import Dataset
from convml_data.scenes.ledger import Ledger
from convml_data.store.arrays import ArrayStore, Format
from convml_data.store.files import Files
from convml_data.store.layout import TILE_SUFFIXES, Layout
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
    def of(cls, dataset: Dataset, format_: Format | None = None) -> DatasetStore:
        """The store of a dataset, which learns its domain where that was found out and kept.

        Parameters
        ----------
        dataset
            Whose files.
        format_
            Of the per-scene data, by default what ``meta.yaml`` asks for.
        """
        store = cls(dataset, format_ or dataset.meta.storage.format)
        found = None if dataset.is_located else store._read_domain()
        return store if found is None else cls(replace(dataset, found_domain=found), store.format)

    def located(self, domain: Domain) -> DatasetStore:
        """The store of the dataset at a domain that was found out, which is kept."""
        values = {"found_from": self.dataset.domain_fingerprint, "domain": domain.to_dict()}
        self.files.write_bytes(self.layout.domain, (json.dumps(values, indent=1) + "\n").encode())
        return DatasetStore(replace(self.dataset, found_domain=domain), self.format)

    def _read_domain(self) -> Domain | None:
        """The domain that was found out from the present ``meta.yaml``, None where there is none."""
        if not self.files.exists(self.layout.domain):
            return None
        try:
            values = json.loads(self.files.read_bytes(self.layout.domain))
            current = values["found_from"] == self.dataset.domain_fingerprint
            return domain_from_dict(values["domain"]) if current else None
        except (ValueError, KeyError, TypeError) as error:
            raise StoreError(
                f"this does not describe a domain ({error})",
                where=self.files.url(self.layout.domain),
                remedy="Delete it and run `convml-data scene-ids`",
            ) from error

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

    @property
    def tile_suffixes(self) -> tuple[str, ...]:
        """Endings of the files of a tile, in the order in which they appear."""
        return TILE_SUFFIXES if self.has_pictures else TILE_SUFFIXES[:-1]

    @property
    def has_pictures(self) -> bool:
        """Whether scenes and tiles have pictures."""
        return self.dataset.meta.image_function is not None

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

"""What a dataset keeps: its ledger, its tile plan and its scenes' files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path

from convml_data.errors import StoreError
from convml_data.geometry.local import Domain, domain_from_dict
from convml_data.meta.changes import Settings
from convml_data.meta.dataset import Dataset
from convml_data.scenes.ledger import Ledger
from convml_data.store.arrays import ArrayStore, Format
from convml_data.store.files import Files
from convml_data.store.layout import TILE_SUFFIXES, Layout, folder_of_tiles, layout_of, place_of_tiles
from convml_data.store.packed_tiles import PackedTiles
from convml_data.store.shown_tiles import ShownTiles, TileFolder
from convml_data.tiles.plan import TilePlan
from convml_data.tiles.tile import TileStage
from convml_data.tiles.trajectory_tiles import TrajectoryPlan


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

    def claim_root(self) -> None:
        """Note that the root, where ``storage.root`` names one, is this dataset's.

        Raises
        ------
        StoreError
            It is another dataset's, whose files would be taken for outdated ones of this.
        """
        if self.dataset.meta.storage.root is None:
            return
        if not self.files.exists(self.layout.owner):
            self.files.write_bytes(self.layout.owner, self.dataset.name.encode())
        owner = self.files.read_bytes(self.layout.owner).decode()
        if owner != self.dataset.name:
            raise StoreError(
                f"this root holds the dataset {owner}, not {self.dataset.name}",
                where=self.dataset.root,
                remedy=f"Give each dataset a `storage.root` of its own, or delete {self.layout.owner} there if "
                "the dataset was renamed",
            )

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
        return layout_of(self.dataset)

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

    def tile_folder(self, stage: TileStage) -> str:
        """Folder of the tiles of a kind."""
        return folder_of_tiles(self.dataset, stage)

    @property
    def packs(self) -> bool:
        """Whether tiles are kept in one store for each collection, and not as files."""
        return self.dataset.meta.sampling.format == "zarr"

    def packed(self, stage: TileStage, collection: str) -> PackedTiles:
        """The store of the tiles of a collection."""
        return PackedTiles(self.files, self._collection_folder(stage, collection))

    def shown_tiles(self, stage: TileStage, collection: str) -> ShownTiles:
        """The tiles of a collection for those who read them, whichever way they are kept."""
        if self.packs:
            return self.packed(stage, collection)
        return TileFolder(self.files, self._collection_folder(stage, collection), "netcdf")

    def tiles_place(self, stage: TileStage) -> str:
        """Where the tiles of a kind lie: the folder of its collections, or the store of a kind without any."""
        return place_of_tiles(self.dataset, stage)

    def _collection_folder(self, stage: TileStage, collection: str) -> str:
        folder = self.tile_folder(stage)
        return f"{folder}/{collection}" if collection else folder

    def shows_whole_triplets(self, stage: TileStage) -> bool:
        """Whether tiles wait for the others of their triplet, which those of auxiliary products do not."""
        return stage == "triplet_tiles" and self.dataset.aux_name is None

    @property
    def primary(self) -> DatasetStore:
        """The store of the dataset itself, without an auxiliary product."""
        return DatasetStore(self.dataset.primary, self.format)

    def aux(self, name: str) -> DatasetStore:
        """The store of an auxiliary product; PlanError where there is none of that name."""
        return DatasetStore(self.dataset.aux(name), self.format)

    def tiles(self, stage: TileStage, collection: str, *, waiting: bool) -> ArrayStore:
        """Files of tiles of a collection: those that are shown, or those that wait for others of their triplet.

        Always netCDF, which is what the neural-network side reads.
        """
        folder = self.tile_folder(stage)
        if waiting and self.shows_whole_triplets(stage):
            folder = f"{folder}/.incomplete"
        return ArrayStore(self.files, f"{folder}/{collection}" if collection else folder, "netcdf")

    def note_settings(self, stage: str) -> None:
        """Keep what the stage's present fingerprint is made of, for those who ask later what has changed."""
        name = self.layout.settings(stage, self.dataset.fingerprint(stage))
        if not self.files.exists(name):
            self.files.write_bytes(name, Settings.of(self.dataset).to_json().encode())

    def noted_settings(self, stage: str) -> dict[str, Settings]:
        """What fingerprints of a stage were made of, as far as that was kept."""
        found = {}
        for name in self.files.names(self.layout.settings(stage, "*")):
            try:
                found[Path(name).stem] = Settings.from_json(self.files.read_bytes(name).decode())
            except (StoreError, ValueError, KeyError, TypeError):  # of another version
                continue
        return found

    def read_ledger(self) -> Ledger:
        """The scene ledger, or the matches of an auxiliary product; StoreError where it has not been made."""
        aux = self.dataset.aux_name
        what, command = "scene ledger", "scene-ids"
        if aux is not None:
            what, command = f"list of scenes matched to {aux}", f"scene-ids --aux-name {aux}"
        return _ledger(self._text(self.layout.ledger, what, command), self.files.url(self.layout.ledger))

    def write_ledger(self, ledger: Ledger) -> None:
        """Keep a scene ledger."""
        self.files.write_bytes(self.layout.ledger, ledger.to_json().encode())

    def read_tile_plan(self) -> TilePlan:
        """The plan of the triplets; StoreError where it has not been made."""
        name = self.layout.tile_plan
        return _tile_plan(self._text(name, "tile plan", "tiles"), self.files.url(name))

    def read_trajectory_plan(self) -> TrajectoryPlan:
        """The plan of the tiles around trajectories; StoreError where it has not been made."""
        name = self.layout.trajectory_plan
        text = self._text(name, "plan of tiles around trajectories", "tiles --tiles-kind trajectories")
        return _trajectory_plan(text, self.files.url(name))

    def write_tile_plan(self, plan: TilePlan) -> None:
        """Keep a plan of triplets."""
        self.files.write_bytes(self.layout.tile_plan, plan.to_json().encode())

    def write_trajectory_plan(self, plan: TrajectoryPlan) -> None:
        """Keep a plan of tiles around trajectories."""
        self.files.write_bytes(self.layout.trajectory_plan, plan.to_json().encode())

    def _text(self, name: str, what: str, command: str) -> str:
        if not self.files.exists(name):
            raise StoreError(
                f"the dataset has no {what} yet",
                where=self.files.url(name),
                remedy=f"Run `convml-data {command}` or materialize the asset in the Dagster UI",
            )
        return self.files.read_bytes(name).decode()


# A run asks for the same ledger and plan many times, and making objects of a long text takes a second. The last ones
# are kept, by their text; two ledgers, since that of an auxiliary product goes with the dataset's own.


@lru_cache(2)
def _ledger(text: str, where: str) -> Ledger:
    return Ledger.from_json(text, where)


@lru_cache(1)
def _tile_plan(text: str, where: str) -> TilePlan:
    return TilePlan.from_json(text, where)


@lru_cache(1)
def _trajectory_plan(text: str, where: str) -> TrajectoryPlan:
    return TrajectoryPlan.from_json(text, where)

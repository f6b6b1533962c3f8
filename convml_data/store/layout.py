"""Where everything of a dataset lies below its root.

These names are a contract with users and with the neural-network side, which reads ``triplets/``
and ``rect/`` as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from convml_data.meta.dataset import Dataset
from convml_data.tiles.tile import TileStage

TILE_SUFFIXES = (".nc", ".yml", ".png")


@dataclass(frozen=True)
class Layout:
    """Names of files and folders, relative to the root, of a dataset or of one of its auxiliary products.

    Parameters
    ----------
    source, product
        Of the data.
    aux_name
        Of the auxiliary product, None for the dataset's own.
    """

    source: str
    product: str
    aux_name: str | None = None

    @property
    def _data(self) -> str:
        own = f"source_data/{self.source}/{self.product}"
        return own if self.aux_name is None else f"{own}/aux/{self.aux_name}"

    @property
    def ledger(self) -> str:
        """The scene ledger; of an auxiliary product, which of its images goes with which scene."""
        return f"{self._data}/{'scene_ids' if self.aux_name is None else 'matches'}.json"

    @property
    def domain(self) -> str:
        """The area of a domain that follows from the source or from trajectories."""
        return f"{self._data}/domain.json"

    @property
    def picture_style(self) -> str:
        """Which values are dark and bright in pictures."""
        return f"{self._data}/picture_style.json"

    @property
    def tile_plan(self) -> str:
        """Which scene gives which tile, where."""
        return "triplets/tile_plan.json"

    @property
    def owner(self) -> str:
        """Which dataset the root belongs to."""
        return ".made_from/dataset"

    def made_from(self, folder: str) -> str:
        """What the files of a folder were last made from."""
        return f".made_from/{folder.replace('/', '.')}"

    def settings(self, stage: str, fingerprint: str) -> str:
        """What in ``meta.yaml`` a fingerprint of a stage was made of; ``*`` for all of the stage."""
        product = stage if self.aux_name is None else f"{self.aux_name}.{stage}"
        return f".made_from/settings/{product}/{fingerprint}.json"

    def folder(self, stage: Sequence[str]) -> str:
        """Folder of an asset's per-scene files, by the parts of its key below the dataset's or product's own.

        Assets that users add lie in a folder of their own name.
        """
        known: dict[tuple[str, ...], str] = {
            ("cropped",): f"{self._data}/cropped",
            ("regridded",): "rect" if self.aux_name is None else f"rect/aux/{self.aux_name}",
        }
        return known.get(tuple(stage), "/".join(stage))

    def statistics(self, collection: str) -> str:
        """Statistics of the tiles of a collection."""
        return f"{self.of_product('report/statistics')}/{collection}.json"

    @property
    def completeness(self) -> str:
        """What is there of the scans that were expected, as JSON."""
        return "report/completeness.json"

    @property
    def files_report(self) -> str:
        """What breaks the rules of all that is on disk, as JSON."""
        return "report/files.json"

    @property
    def leakage_report(self) -> str:
        """How far the collections of triplets lie apart."""
        return "report/leakage.json"

    def plot(self, scene_id: str) -> str:
        """The plot of an auxiliary field below its scene."""
        return f"report/aux/{self.aux_name}/{scene_id}.png"

    def flow(self, prefix: str) -> str:
        """Trajectories of the clouds in scenes whose IDs begin alike."""
        return f"flow/{prefix}.nc"

    def flow_plots(self, prefix: str) -> str:
        """Folder of the plots of these trajectories; their film lies beside it."""
        return f"flow/plots/{prefix}"

    @property
    def trajectory_plan(self) -> str:
        """Which scene gives which tile around a trajectory, where."""
        return "trajectories/tile_plan.json"

    def sliding_windows(self, tile_n: int, step: int) -> str:
        """Folder of tiles at equal steps, one for each way of placing them."""
        return f"rect-slidingwindow/tile_N_{tile_n}__step_{step}"

    def of_product(self, folder: str) -> str:
        """A folder of tiles, or the one in it that an auxiliary product has."""
        return folder if self.aux_name is None else f"{folder}/{self.aux_name}"


def layout_of(dataset: Dataset) -> Layout:
    """The names of a dataset or of an auxiliary product."""
    return Layout(dataset.meta.source, dataset.meta.product, dataset.aux_name)


def folder_of_tiles(dataset: Dataset, stage: TileStage) -> str:
    """Folder of the tiles of a kind."""
    layout = layout_of(dataset)
    if stage == "triplet_tiles":
        return layout.of_product("triplets")
    if stage == "trajectory_tiles":
        return layout.of_product("trajectories")
    window = dataset.sliding_window
    return layout.of_product(layout.sliding_windows(window.tile_n, window.step))


def place_of_tiles(dataset: Dataset, stage: TileStage) -> str:
    """Where the tiles of a kind lie: the folder of its collections, or the store of a kind without any."""
    folder = folder_of_tiles(dataset, stage)
    return f"{folder}.zarr" if dataset.meta.sampling.format == "zarr" and stage != "triplet_tiles" else folder


def place_of_scenes(dataset: Dataset, stage: str) -> str:
    """Folder or Zarr store of a dataset's scenes of a stage."""
    folder = layout_of(dataset).folder([stage])
    return folder if dataset.meta.storage.format == "netcdf" else f"{folder}.zarr"

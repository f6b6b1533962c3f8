"""Embeddings of scenes: a network applied to their windows or tiles, scene after scene in one stream.

Pictures are read ahead by one thread while the network works on those before. What is there and was made from the same
scene, settings and network is kept. What is wrong with a scene ends that scene.
"""

from __future__ import annotations

import traceback
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from convml_data.embeddings.batches import embedded, normalised
from convml_data.embeddings.encoder import FloatArray, open_encoder
from convml_data.embeddings.model_file import ModelFile, read_model_file
from convml_data.embeddings.scene_data import of_tiles, of_windows
from convml_data.errors import ConvmlError, PlanError, StoreError
from convml_data.fingerprints import fingerprint
from convml_data.images.picture import scene_levels
from convml_data.images.style import Style, style_fingerprint
from convml_data.meta.dataset import Dataset
from convml_data.meta.embeddings import Embeddings, TilesKind
from convml_data.meta.load import META_NAME
from convml_data.meta.sampling import SlidingWindow
from convml_data.pipeline.discovery import current_ledger
from convml_data.pipeline.made_from import scene_fingerprint, tile_fingerprint
from convml_data.pipeline.style import dataset_style
from convml_data.pipeline.tiles import require_planned, tiles_of_scenes
from convml_data.scenes.ledger import LedgerRow
from convml_data.store.arrays import DAMAGED
from convml_data.store.dataset import DatasetStore
from convml_data.store.embeddings import EmbeddingStore
from convml_data.tiles.sliding_window import require_fit, windows_over
from convml_data.tiles.tile import Tile, TileStage

#: Raised whenever the same network and the same scenes would give other embeddings, or files of another form.
CODE_VERSION = 1

#: Scenes that are read before the network comes to them.
AHEAD = 2

#: The stage that gives the tiles of a kind; windows are of the regridded scene.
TILE_STAGE: dict[TilesKind, TileStage] = {"triplets": "triplet_tiles", "trajectories": "trajectory_tiles"}

T = TypeVar("T")


@dataclass(frozen=True)
class SceneEmbeddings:
    """What came of a scene.

    Parameters
    ----------
    scene_id
        Of the scene.
    url
        Where its embeddings lie, None where there are none.
    made_from
        Their fingerprint.
    kept
        Whether they were there already.
    tiles, missing
        Windows or tiles, and those of them without an embedding since cells have no value or files are not there.
    seconds
        That the network took.
    error, traceback
        Why there are none.
    dropped
        Why there are to be none, which is no error.
    records
        Of stages: none, these are not among them.
    """

    scene_id: str
    url: str | None = None
    made_from: str = ""
    kept: bool = False
    tiles: int = 0
    missing: int = 0
    seconds: float = 0.0
    error: str | None = None
    traceback: str | None = None
    dropped: str | None = None
    records: tuple[()] = ()

    @property
    def failed_stage(self) -> str | None:
        """Where it ended, if it failed."""
        return None if self.error is None else "embeddings"


@dataclass(frozen=True)
class EmbeddingTask:
    """A set of embeddings that is to be made: what of, by which network, to where.

    Parameters
    ----------
    store
        Of the dataset, or of the auxiliary product that the set is of.
    entry
        As ``meta.yaml`` or the command asks for it.
    model
        The network's file.
    """

    store: DatasetStore
    entry: Embeddings
    model: ModelFile

    @classmethod
    def of(cls, store: DatasetStore, entry: Embeddings) -> EmbeddingTask:
        """The task of a set, once it is seen that it fits the dataset.

        Parameters
        ----------
        store
            Of the dataset itself.
        entry
            As ``meta.yaml`` or the command asks for it.

        Raises
        ------
        ModelError, MetaError
            The network's file is not there, is not trusted, or its sidecar is wrong.
        PlanError
            The dataset has no such tiles or no pictures, or they are of another size than the network takes.
        """
        if entry.aux_name is not None:
            store = store.aux(entry.aux_name)
        task = cls(store, entry, read_model(store.dataset, entry))
        task._require_pictures()
        task._require_size()
        return task

    @property
    def dataset(self) -> Dataset:
        """Whose scenes."""
        return self.store.dataset

    @property
    def kept_in(self) -> EmbeddingStore:
        """Where the set lies."""
        return EmbeddingStore(self.store.files, self.entry.set_name)

    @property
    def tile_n(self) -> int:
        """Cells along a side of a tile."""
        return self.model.sidecar.tile_N

    @property
    def settings(self) -> str:
        """What all embeddings of the set follow from besides their scenes."""
        entry = self.entry
        placed = {"kind": entry.tiles_kind, "step_size": entry.step_size, "grid": self.dataset.grid.to_dict()}
        return fingerprint([CODE_VERSION, self.model.facts(), placed])

    def attributes(self, dims: int) -> dict[str, str | int | float]:
        """What files of the set say about themselves."""
        entry, model, n = self.entry, self.model, self.tile_n
        normalisation = model.normalisation
        length = n * self.dataset.meta.sampling.resolution
        found: dict[str, str | int | float] = {
            "dataset": self.dataset.name,
            "model": model.name,
            "model_sha256": model.sha256,
            "model_format": model.format,
            "precision": model.sidecar.precision,
            "normalisation": f"mean {_listed(normalisation.mean)} std {_listed(normalisation.std)}",
            "tiles_kind": entry.tiles_kind,
            "tile_nx": n,
            "tile_ny": n,
            "lx_tile": length,
            "ly_tile": length,
            "embedding_dims": dims,
        }
        if entry.step_size is not None:
            found["step_size"] = entry.step_size
        if entry.aux_name is not None:
            found["aux_name"] = entry.aux_name
        return found

    def _require_pictures(self) -> None:
        if not self.store.has_pictures:
            raise PlanError(
                "networks are applied to pictures, and `image_function: null` asks for none",
                where=str(self.dataset.directory / META_NAME),
                remedy="Take it out",
            )

    def _require_size(self) -> None:
        """See that the tiles of the dataset are of the size that the network takes."""
        remedy = (
            f"Give `tile_N: {{}}` (`--tile-N {{}}`) if the network takes such tiles too; "
            f"{self.model.name}.yaml beside it may say so"
        )
        if self.entry.tiles_kind == "rect-slidingwindow":
            ny, nx = self.dataset.grid.shape
            if self.tile_n > min(ny, nx):
                raise PlanError(
                    f"tiles of {self.tile_n} x {self.tile_n} cells do not fit into the domain's {nx} x {ny}",
                    where=self.entry.set_name,
                    remedy=remedy.format(min(ny, nx), min(ny, nx)),
                )
            return
        stage = TILE_STAGE[self.entry.tiles_kind]
        wanted = self.dataset.wanted_tiles(stage)
        assert not isinstance(wanted, SlidingWindow)
        if wanted.tile_N != self.tile_n:
            raise PlanError(
                f"the tiles are of {wanted.tile_N} x {wanted.tile_N} cells, and the network takes {self.tile_n}",
                where=self.entry.set_name,
                remedy=remedy.format(wanted.tile_N, wanted.tile_N),
            )


def read_model(dataset: Dataset, entry: Embeddings) -> ModelFile:
    """The network of a set, fed as the set says; errors as of :func:`read_model_file`."""
    return read_model_file(
        dataset.directory / entry.model_path,
        trust_pickle=entry.trust_pickle,
        tile_n=entry.tile_N,
        normalisation=entry.normalisation,
    )


@dataclass(frozen=True)
class _Work:
    """A scene that is to be embedded: what its pictures are made of, and what its embeddings are made from."""

    row: LedgerRow
    made_from: str
    tiles: tuple[Tile, ...]
    absent: int


@dataclass(frozen=True)
class _Read:
    """The normalised pictures of a scene's tiles, for those without gaps; ``error`` why there are none."""

    work: _Work
    pictures: Sequence[FloatArray] = ()
    valid_share: npt.NDArray[np.floating] = field(default_factory=lambda: np.empty(0))
    error: str | None = None
    traceback: str | None = None


def make_embeddings(task: EmbeddingTask, scene_ids: Sequence[str]) -> Generator[SceneEmbeddings, None, None]:
    """Embed the windows or tiles of scenes, and give what came of each.

    Errors are raised only for what concerns all scenes: no ledger or plan of the present settings, or a network that
    cannot be applied.
    """
    store = task.store
    ledger = current_ledger(store)
    rows = {row.scene_id: row for row in ledger.scenes}
    reasons = {row.scene_id: row.reason for row in ledger.rows if row.reason is not None}
    style = dataset_style(store)
    expected = _expectations(task, style, [rows[scene_id] for scene_id in scene_ids if scene_id in rows])
    work = []
    for scene_id in scene_ids:
        if scene_id not in rows:
            dropped = reasons.get(scene_id)
            error = None if dropped is not None else "not in the scene ledger: the archive showed no such scan"
            yield SceneEmbeddings(scene_id, dropped=dropped, error=error)
            continue
        try:
            due = expected(scene_id)
        except ConvmlError as error:
            yield SceneEmbeddings(scene_id, error=str(error))
            continue
        kept = _kept(task, due)
        if kept is None:
            work.append(due)
        else:
            yield kept
    if work:
        yield from _made(task, style, work)


def due_embeddings(task: EmbeddingTask) -> dict[str, str | ConvmlError]:
    """For each scene what its embeddings would be made from now, or why there can be none."""
    rows = current_ledger(task.store).scenes
    expected = _expectations(task, dataset_style(task.store), rows)
    due: dict[str, str | ConvmlError] = {}
    for row in rows:
        try:
            work = expected(row.scene_id)
            has_tiles = bool(work.tiles) or task.entry.tiles_kind == "rect-slidingwindow"
            due[row.scene_id] = work.made_from if has_tiles else PlanError("no tile is planned in it")
        except ConvmlError as error:
            due[row.scene_id] = error
    return due


def _expectations(task: EmbeddingTask, style: Style, rows: Sequence[LedgerRow]) -> Callable[[str], _Work]:
    """What a scene's embeddings are to be made from, by its ID; ConvmlError where that is not there."""
    store, dataset, kind = task.store, task.dataset, task.entry.tiles_kind
    settings, look, by_id = task.settings, style_fingerprint(style), {row.scene_id: row for row in rows}
    if kind == "rect-slidingwindow":
        require_fit(dataset.grid, task.tile_n, task.entry.set_name)
        scenes = store.scenes(["regridded"])

        def of_scene(scene_id: str) -> _Work:
            row = by_id[scene_id]
            made_from = scene_fingerprint(dataset, "regridded", row)
            if (scenes.attributes(scene_id) or {}).get("fingerprint") != made_from:
                raise StoreError(
                    "the scene is not there, or was made from other settings",
                    where=scenes.url(scene_id),
                    remedy=f"Run `convml-data regrid{_of_aux(dataset)}`, or materialize `regridded` first",
                )
            return _Work(row, fingerprint([settings, look, made_from]), (), 0)

        return of_scene
    stage = TILE_STAGE[kind]
    require_planned(store, stage, by_id)
    tiles = tiles_of_scenes(store, stage, by_id)

    def of_tiles_there(scene_id: str) -> _Work:
        row = by_id[scene_id]
        there: dict[Tile, str] = {}
        for tile in tiles[scene_id]:
            shown = store.shown_tiles(stage, tile.collection)
            made_from = tile_fingerprint(dataset, row, stage, tile)
            if (shown.attributes(tile.name) or {}).get("fingerprint") == made_from:
                there[tile] = made_from
        if tiles[scene_id] and not there:
            raise StoreError(
                f"none of the {len(tiles[scene_id])} tiles of this scene is there that is of the present settings",
                where=store.files.url(store.tiles_place(stage)),
                remedy=f"Run `convml-data tiles --tiles-kind {kind}{_of_aux(dataset)}`, or materialize the tiles first",
            )
        made_from = fingerprint([settings, look, [[tile.collection, tile.name, of] for tile, of in there.items()]])
        return _Work(row, made_from, tuple(there), len(tiles[scene_id]) - len(there))

    return of_tiles_there


def _kept(task: EmbeddingTask, work: _Work) -> SceneEmbeddings | None:
    """A scene whose embeddings are there and made from the same, or that has no tiles; None where they are due."""
    scenes, scene_id = task.kept_in.scenes, work.row.scene_id
    if task.entry.tiles_kind != "rect-slidingwindow" and not work.tiles:
        task.store.files.remove(scenes.name(scene_id))  # of a plan in which it had some
        return SceneEmbeddings(scene_id, made_from=work.made_from, kept=True)
    attributes = scenes.attributes(scene_id) or {}
    if attributes.get("fingerprint") != work.made_from:
        return None
    tiles, missing = int(attributes["tiles"]), int(attributes["tiles_without_embedding"])
    return SceneEmbeddings(scene_id, scenes.url(scene_id), work.made_from, True, tiles, missing)


def _made(task: EmbeddingTask, style: Style, work: Sequence[_Work]) -> Iterator[SceneEmbeddings]:
    encoder, dims = open_encoder(task.model)
    failed: deque[SceneEmbeddings] = deque()

    def readable() -> Iterator[tuple[_Read, Sequence[FloatArray]]]:
        for read in _ahead(lambda each: _read(task, style, each), work):
            if read.error is None:
                yield read, read.pictures
            else:
                failed.append(SceneEmbeddings(read.work.row.scene_id, error=read.error, traceback=read.traceback))

    for of_scene in embedded(encoder, dims, readable()):
        while failed:
            yield failed.popleft()
        yield _write(task, of_scene.key, of_scene.embeddings, of_scene.seconds, dims)
    yield from failed


def _read(task: EmbeddingTask, style: Style, work: _Work) -> _Read:
    """The pictures of a scene's windows or tiles; what is wrong with it is in what is returned."""
    try:
        if task.entry.tiles_kind == "rect-slidingwindow":
            pictures, valid = _windows(task, style, work.row.scene_id)
        else:
            pictures, valid = _tiles(task, style, work.tiles)
        return _Read(work, pictures, valid)
    except ConvmlError as error:
        return _Read(work, error=str(error))
    except Exception as error:
        return _Read(work, error=f"{type(error).__name__}: {error}", traceback=traceback.format_exc())


def _windows(task: EmbeddingTask, style: Style, scene_id: str) -> tuple[list[FloatArray], npt.NDArray[np.floating]]:
    """Views of a scene's picture, for windows without gaps, and the share of cells with a value of every window."""
    scenes, step = task.store.scenes(["regridded"]), task.entry.step_size
    assert step is not None  # which windows have
    try:
        with scenes.open(scene_id) as scene:
            levels, missing = scene_levels(scene.load(), style)
    except DAMAGED as error:
        raise StoreError(
            f"this scene cannot be read ({error})",
            where=scenes.url(scene_id),
            remedy="Delete it and run `convml-data regrid`",
        ) from error
    picture, ny = normalised(levels, task.model.normalisation), missing.shape[0]
    pictures, valid = [], []
    for window in windows_over((missing.shape[0], missing.shape[1]), task.tile_n, step):
        # Windows count rows from the south, and pictures from the north.
        rows, columns = slice(ny - window.row1, ny - window.row0), slice(window.col0, window.col1)
        valid.append(1 - missing[rows, columns].mean())
        if valid[-1] == 1:
            pictures.append(picture[:, rows, columns])
    return pictures, np.array(valid)


def _tiles(
    task: EmbeddingTask, style: Style, tiles: Iterable[Tile]
) -> tuple[list[FloatArray], npt.NDArray[np.floating]]:
    """Pictures of tiles that were cut, for those without gaps, and the share of cells with a value of every tile."""
    pictures, valid = [], []
    for tile in tiles:
        shown = task.store.shown_tiles(TILE_STAGE[task.entry.tiles_kind], tile.collection)
        try:
            with shown.open(tile.name) as data:
                levels, missing = scene_levels(data.load(), style)
        except DAMAGED as error:
            raise StoreError(
                f"this tile cannot be read ({error})",
                where=shown.url(tile.name),
                remedy="Delete it and run `convml-data tiles`",
            ) from error
        valid.append(1 - missing.mean())
        if valid[-1] == 1:
            pictures.append(normalised(levels, task.model.normalisation))
    return pictures, np.array(valid)


def _write(task: EmbeddingTask, read: _Read, found: FloatArray, seconds: float, dims: int) -> SceneEmbeddings:
    work, row = read.work, read.work.row
    embeddings = np.full((len(read.valid_share), dims), np.nan, np.float32)
    embeddings[read.valid_share == 1] = found
    if task.entry.step_size is not None:
        data = of_windows(task.dataset.grid, task.tile_n, task.entry.step_size, embeddings, read.valid_share)
        data = data.assign_coords(scene_id=row.scene_id)
    else:
        data = of_tiles(work.tiles, embeddings, read.valid_share)
    start = np.datetime64(row.scan.start.replace(tzinfo=None), "ns")
    dim = () if "y" in data.dims else "tile_id"
    time = start if dim == () else np.full(data.sizes["tile_id"], start)
    data = data.assign_coords(scene_time=(dim, time, {"long_name": "start of the scan"}))
    missing = int((read.valid_share < 1).sum())
    data = data.assign_attrs(
        task.attributes(dims)
        | {
            "fingerprint": work.made_from,
            "tiles": len(embeddings),
            "tiles_without_embedding": missing,
            "why_without": f"{missing} have cells without a value" if missing else "",
            "tiles_not_cut": work.absent,
        }
    )
    scenes = task.kept_in.scenes
    scenes.write(row.scene_id, data)
    return SceneEmbeddings(
        row.scene_id, scenes.url(row.scene_id), work.made_from, False, len(embeddings), missing, seconds
    )


def _ahead(do: Callable[[_Work], T], work: Sequence[_Work]) -> Iterator[T]:
    """What ``do`` makes of each, in order, a few of them before they are asked for."""
    with ThreadPoolExecutor(1) as pool:
        under_way: deque[Future[T]] = deque()
        for each in work:
            under_way.append(pool.submit(do, each))
            if len(under_way) > AHEAD:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()


def _of_aux(dataset: Dataset) -> str:
    return "" if dataset.aux_name is None else f" --aux-name {dataset.aux_name}"


def _listed(numbers: Iterable[Any]) -> str:
    return ", ".join(f"{number:g}" for number in numbers)

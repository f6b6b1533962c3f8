"""A dataset: a folder with a ``meta.yaml``, and what follows from it."""

from __future__ import annotations

import math
import os
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from convml_data.errors import MetaError, PlanError
from convml_data.fingerprints import fingerprint, fingerprint_of_file
from convml_data.geometry.local import Domain, LocalDomain, LocalGrid
from convml_data.meta.data import DataSection
from convml_data.meta.embeddings import Embeddings
from convml_data.meta.flow import Flow
from convml_data.meta.load import META_NAME, read_meta
from convml_data.meta.models import Meta
from convml_data.meta.products import USER_FUNCTION, Product, UserFunction, parse_product
from convml_data.meta.sampling import SlidingWindow, TrajectoryTiles, Triplets
from convml_data.tiles.placement import centre_box
from convml_data.tiles.tile import TileStage

#: The file of the user's own functions, beside ``meta.yaml``.
FUNCTIONS_NAME = "user_functions.py"

#: Part of every fingerprint of a stage. Raise a stage's number whenever the same meta.yaml and the
#: same source files would give other values or pictures in its files than before, so that files of
#: older code are made anew. ``regridded`` and ``triplet_tiles`` include ``cropped``, and tiles include
#: the regridding. New attributes or metadata are no reason.
CODE_VERSIONS = {
    "scene_ids": 3,
    "cropped": 3,
    "regridded": 3,
    "tile_plan": 2,
    "triplet_tiles": 1,
    "trajectory_plan": 1,
    "trajectory_tiles": 1,
    "sliding_window_tiles": 1,
    "statistics": 1,
    "flow": 2,
    "flow_plots": 2,
}

#: Key of each kind of tiles in ``sampling``, and what to write there.
TILE_KEYS: Mapping[TileStage, tuple[str, str]] = {
    "triplet_tiles": ("triplets", "{N_triplets: {train: 10, study: 2}, tile_N: 256}"),
    "trajectory_tiles": ("trajectories", "{tile_N: 256}"),
    "sliding_window_tiles": ("sliding_window", "{tile_N: 256, step: 128}"),
}


class SlidingWindowShape(NamedTuple):
    """Cells along a side of a tile, and from one tile to the next."""

    tile_n: int
    step: int


@dataclass(frozen=True)
class Dataset:
    """What a folder's ``meta.yaml`` describes.

    Parameters
    ----------
    name
        The folder's name with ``_`` for whatever is no letter, digit or ``_``.
    directory
        The folder, absolute.
    meta
        The description.
    functions_hash, trajectories_hash
        Of the contents of ``user_functions.py`` and of the trajectories' file, None where the
        dataset does not use them.
    found_domain
        The area, where it follows from the source or from trajectories and has been found out.
    aux_name
        The auxiliary product that is meant, None for the dataset's own; ``meta`` then has its keys, and
        ``primary_meta`` is the description.
    """

    name: str
    directory: Path
    meta: Meta
    functions_hash: str | None = None
    trajectories_hash: str | None = None
    found_domain: Domain | None = None
    aux_name: str | None = None
    primary_meta: Meta | None = None

    def aux(self, name: str) -> Dataset:
        """The auxiliary product of that name, as a dataset at the times and places of this one.

        Raises
        ------
        PlanError
            There is none.
        """
        products = self.meta.aux_products
        if name not in products:
            known = f"It knows {', '.join(products)}" if products else "Add it there"
            raise PlanError(
                f"there is no auxiliary product {name!r}",
                where=f"{self.directory / META_NAME}: aux_products",
                remedy=known,
            )
        product = products[name]
        keys = {key: getattr(product, key) for key in DataSection.model_fields}
        return replace(self, meta=self.meta.model_copy(update=keys), aux_name=name, primary_meta=self.meta)

    @property
    def primary(self) -> Dataset:
        """The dataset itself, without an auxiliary product."""
        return (
            self
            if self.primary_meta is None
            else replace(self, meta=self.primary_meta, aux_name=None, primary_meta=None)
        )

    def with_embeddings(self, embeddings: Sequence[Embeddings]) -> Dataset:
        """The dataset with sets of embeddings as though ``meta.yaml`` named them, in place of those called the same."""
        sets = {entry.set_name: entry for entry in (*self.meta.embeddings, *embeddings)}
        return replace(self, meta=self.meta.model_copy(update={"embeddings": tuple(sets.values())}))

    @property
    def function_name(self) -> str:
        """What the user's function that makes the product is called."""
        return self.name if self.aux_name is None else self.aux_name

    @property
    def product(self) -> Product:
        """What is made of the source's data."""
        return parse_product(self.meta.source, self.meta.product, tuple(self.meta.input or ()))

    @property
    def is_ongoing(self) -> bool:
        """Whether its time goes on, so that scenes keep coming."""
        return self.meta.time is not None and self.meta.time.is_open

    @property
    def domain_kind(self) -> str:
        """Where the area comes from: ``rect``, ``as_source`` or ``spanning_trajectories``."""
        return "as_source" if self.meta.domain is None else self.meta.domain.kind

    @property
    def is_located(self) -> bool:
        """Whether the area is known."""
        return self.domain_kind == "rect" or self.found_domain is not None

    @cached_property
    def domain(self) -> Domain:
        """The area of the dataset.

        Raises
        ------
        PlanError
            It follows from the source or from trajectories, and has not been found out yet.
        """
        given = self.meta.domain
        if given is not None and given.kind == "rect":
            sides = (given.central_latitude, given.central_longitude, given.l_zonal, given.l_meridional)
            return LocalDomain(*(float(side) for side in sides if side is not None))
        where = f"{self.directory / META_NAME}: domain"
        domain = self.found_domain
        if domain is None:
            raise PlanError(
                f"the area of a domain of kind {self.domain_kind} is known once the scene IDs are",
                where=where,
                remedy="Run `convml-data scene-ids`, or materialize `scene_ids` first",
            )
        resolution = self.meta.sampling.resolution
        if resolution > min(domain.l_zonal, domain.l_meridional):
            raise PlanError(
                f"cells of {resolution:.12g} m are longer than the shortest side of the {self.domain_kind} domain "
                f"of {domain.l_zonal:.12g} x {domain.l_meridional:.12g} m",
                where=where,
                remedy="Give a finer `sampling.resolution` or a larger domain",
            )
        return domain

    @property
    def grid(self) -> LocalGrid:
        """The domain at the sampling resolution."""
        return self.domain.grid(self.meta.sampling.resolution)

    @property
    def tile_stages(self) -> tuple[TileStage, ...]:
        """The kinds of tiles that ``meta.yaml`` asks for."""
        return tuple(stage for stage, (key, _) in TILE_KEYS.items() if getattr(self.meta.sampling, key) is not None)

    def wanted_tiles(self, stage: TileStage) -> Triplets | TrajectoryTiles | SlidingWindow:
        """What ``meta.yaml`` says of tiles of a kind; PlanError where it asks for none."""
        key, example = TILE_KEYS[stage]
        wanted: Triplets | TrajectoryTiles | SlidingWindow | None = getattr(self.meta.sampling, key)
        if wanted is None:
            raise PlanError(
                f"the dataset asks for no {stage.replace('_', ' ')}",
                where=f"{self.directory / META_NAME}: sampling.{key}",
                remedy=f"Add `{key}: {example}` to `sampling`",
            )
        return wanted

    @property
    def sliding_window(self) -> SlidingWindowShape:
        """How tiles lie at equal steps; PlanError where ``meta.yaml`` asks for none."""
        asked = self.wanted_tiles("sliding_window_tiles")
        assert isinstance(asked, SlidingWindow)
        return SlidingWindowShape(asked.tile_N, asked.step or asked.tile_N)

    @property
    def flow(self) -> Flow:
        """How clouds are followed."""
        return self.meta.flow or Flow()

    @property
    def tile_length(self) -> float | None:
        """Side of a tile in metres, None where no tiles are asked for."""
        triplets = self.meta.sampling.triplets
        return None if triplets is None else self.meta.sampling.resolution * triplets.tile_N

    @cached_property
    def read_domain(self) -> Domain:
        """The area that must be read from the source: the domain, and how far cells and tiles reach beyond it.

        Tiles that are longer than the domain do, and some that just fit, as north turns from place
        to place; cells do where the domain's sides are no multiples of the resolution. In whole
        kilometres rounded up, so that the last digits of a projection library do not decide which
        files are up to date.
        """
        domain, (ny, nx) = self.domain, self.grid.shape
        zonal = (nx * self.grid.resolution - domain.l_zonal) / 2
        meridional = (ny * self.grid.resolution - domain.l_meridional) / 2
        if self.tile_length is not None:
            box = centre_box(domain, self.tile_length)
            zonal, meridional = max(zonal, box.overlap_zonal), max(meridional, box.overlap_meridional)
        around = self.meta.sampling.trajectories
        if around is not None:
            # A trajectory may be at the domain's edge, and its tile turned against it.
            reach = around.tile_N * self.meta.sampling.resolution * math.sqrt(2) / 2
            zonal, meridional = max(zonal, reach), max(meridional, reach)
        return domain.expanded(_whole_kilometres(zonal), _whole_kilometres(meridional))

    @property
    def archive(self) -> str | None:
        """Folder or URL of the source's files, None for the source's own default.

        ``{satellite}`` is still in it.
        """
        archive = self.meta.archive
        return None if archive is None else self._located(archive)

    @property
    def root(self) -> str:
        """Folder or URL that holds the dataset's files."""
        return self._located(self.meta.storage.root or ".")

    @property
    def trajectories_file(self) -> Path | None:
        """The file of the trajectories, None where there are none."""
        return None if self.meta.trajectories is None else self.directory / self.meta.trajectories.filepath

    @property
    def functions_file(self) -> Path:
        """Where functions of the user are looked for."""
        return self.directory / FUNCTIONS_NAME

    def _located(self, place: str) -> str:
        protocol, separator, rest = place.partition("://")
        if separator:
            return f"{protocol}://{rest.rstrip('/')}"
        return str((self.directory / place).resolve())

    def fingerprint(self, stage: str) -> str:
        """What in ``meta.yaml`` the files of a stage depend on, in 12 hexadecimal digits.

        Made of values, not of text: a ``meta.yaml`` written differently that means the same has the
        same fingerprints. The archive is not part of them: a mirror holds the same files, and files
        of another kind have other names, which is what the pipeline looks at.

        Parameters
        ----------
        stage
            One of :data:`CODE_VERSIONS`.

        Raises
        ------
        KeyError
            There is no such stage.
        """
        if stage not in self._fingerprints:
            of = {"stage": stage, "code_version": CODE_VERSIONS[stage], **self._inputs(stage)}
            self._fingerprints[stage] = fingerprint(of)
        return self._fingerprints[stage]

    @cached_property
    def _fingerprints(self) -> dict[str, str]:
        """Those that were made: each scene and tile of many thousand asks for them."""
        return {}

    def code_version(self, stage: str) -> str:
        """What the files of a stage, their form and pictures depend on; an edit of it marks the stage stale."""
        meta = self.meta
        drawn_by_user = meta.image_function not in ("default", None)
        pictures = {
            "function": meta.image_function,
            "image": meta.image.model_dump(),
            "functions": self.functions_hash if drawn_by_user else None,
        }
        tiles = meta.sampling.format if stage.endswith("_tiles") else None
        return fingerprint([self.fingerprint(stage), pictures, tiles])

    def _inputs(self, stage: str) -> dict[str, Any]:
        meta = self.meta
        if stage == "scene_ids" and self.aux_name is not None:
            product = meta.aux_products[self.aux_name]
            return {
                "source": self._archive_inputs,
                "min_valid_share": meta.quality.min_valid_share,
                **product.model_dump(mode="json", include={"scene_mapping_strategy", "dt_aux"}),
            }
        if stage == "scene_ids":
            return {
                "source": self._archive_inputs,
                "time_source": None if meta.time is None else meta.time.source,
                "spans": None if meta.time is None else [(str(s.start), str(s.end)) for s in meta.time.spans()],
                "filters": None if meta.time is None else meta.time.filters.model_dump(),
                "min_valid_share": meta.quality.min_valid_share,
                "central_longitude": self._domain_inputs.get("central_longitude") if self._filters_by_sun else None,
                "domain": None if self.domain_kind == "rect" else self._domain_description,
                "trajectories": self.trajectories_hash if self._times_follow_trajectories else None,
            }
        if stage == "cropped":
            return {
                "source": self._source_inputs,
                "product_options": meta.product_options.model_dump(),
                "read_domain": self.read_domain.to_dict() if self.is_located else self._domain_description,
            }
        if stage == "triplet_tiles" and meta.sampling.snap_to_grid:
            return {"regridded": self.fingerprint("regridded")}
        if stage in ("triplet_tiles", "trajectory_tiles"):
            return {
                "cropped": self.fingerprint("cropped"),
                "regridding": CODE_VERSIONS["regridded"],
                "method": meta.sampling.method,
            }
        if stage == "sliding_window_tiles":
            window = None if meta.sampling.sliding_window is None else list(self.sliding_window)
            return {"regridded": self.fingerprint("regridded"), "window": window}
        if stage == "flow":
            followed = self.flow.model_dump(mode="json", exclude={"plot_dt_max"})
            return {"regridded": self.fingerprint("regridded"), "flow": followed}
        if stage == "flow_plots":
            return {"flow": self.fingerprint("flow"), "plot_dt_max": self.flow.plot_dt_max.total_seconds()}
        if stage == "statistics":
            return {"plan": self.fingerprint("tile_plan"), "tiles": self.fingerprint("triplet_tiles")}
        grid = {"domain": self._domain_inputs, "resolution": meta.sampling.resolution}
        if stage == "trajectory_plan":
            around = meta.sampling.trajectories
            max_dt = meta.trajectories and meta.trajectories.max_dt
            return grid | {
                "tile_N": around and around.tile_N,
                "max_dt": max_dt and max_dt.total_seconds(),
                "trajectories": self.trajectories_hash,
            }
        if stage == "tile_plan":
            triplets = meta.sampling.triplets
            return grid | {
                "seed": meta.sampling.seed,
                "snap_to_grid": meta.sampling.snap_to_grid,
                "accept": self._accept_inputs,
                "triplets": triplets and triplets.model_dump(mode="json"),
            }
        return grid | {"cropped": self.fingerprint("cropped"), "method": meta.sampling.method}

    @property
    def domain_fingerprint(self) -> str:
        """What in ``meta.yaml`` a domain that is found out depends on."""
        return fingerprint({"domain": self._domain_description, "source": self._archive_inputs})

    @property
    def _source_inputs(self) -> dict[str, Any]:
        """What a scene's data depends on besides its files and its area."""
        flags = self.meta.quality.flags
        by_function = isinstance(self.product, UserFunction)
        # Which files are taken is in each scene's own fingerprint.
        return {name: value for name, value in self._archive_inputs.items() if name != "files"} | {
            "function": [self.function_name, self.functions_hash] if by_function else None,
            "flags": flags if isinstance(flags, str) else sorted(flags),
        }

    @property
    def _archive_inputs(self) -> dict[str, Any]:
        """What decides which scans there are."""
        meta = self.meta
        return {
            **meta.model_dump(mode="json", include={"source", "product", "sector", "input", "files", "level"}),
            "coordinates": meta.coordinates and meta.coordinates.model_dump(mode="json"),
        }

    @property
    def _accept_inputs(self) -> dict[str, Any] | None:
        accept = self.primary.meta.sampling.accept
        if accept is None:
            return None
        mask = accept.cloud_mask
        of_mask = (
            self.primary.aux(mask).fingerprint("regridded") if mask in self.meta.aux_products else self.functions_hash
        )
        return accept.model_dump() | {
            "regridded": self.primary.fingerprint("regridded"),
            "mask": None if mask is None else of_mask,
        }

    @property
    def _domain_inputs(self) -> dict[str, Any]:
        return self.domain.to_dict() if self.is_located else self._domain_description

    @property
    def _domain_description(self) -> dict[str, Any]:
        """Of a domain that is found out, what it is found out from besides the source's files."""
        given = self.meta.domain
        padding = None if given is None else given.padding
        trajectories = self.trajectories_hash if self.domain_kind == "spanning_trajectories" else None
        return {"kind": self.domain_kind, "padding": padding, "trajectories": trajectories}

    @property
    def _times_follow_trajectories(self) -> bool:
        time = self.meta.time
        return time is not None and (time.source is not None or time.filters.using_trajectory_sampling)

    @property
    def _filters_by_sun(self) -> bool:
        return self.meta.time is not None and self.meta.time.filters.N_hours_from_zenith is not None


def _whole_kilometres(length: float) -> float:
    """A length in metres rounded up to kilometres, where less than a metre does not count."""
    return 1e3 * math.ceil((length - 1) / 1e3) if length > 1 else 0.0


def dataset_name(directory: Path) -> str:
    """The name of the dataset in a folder: the folder's, with ``_`` for all but letters, digits and ``_``."""
    return re.sub(r"[^A-Za-z0-9_]", "_", directory.name)


def load_dataset(directory: Path) -> Dataset:
    """The dataset in a folder.

    Raises
    ------
    MetaError
        The folder has no ``meta.yaml``, or it does not describe a dataset.
    """
    directory = directory.resolve()
    name = dataset_name(directory)
    if not name:
        raise MetaError(
            "a dataset is named after its folder, and this one has no name",
            where=str(directory),
            remedy="Put meta.yaml into a folder of its own",
        )
    meta = read_meta(directory / META_NAME)
    sections: list[DataSection] = [meta, *meta.aux_products.values()]
    uses_functions = any(
        section.product == USER_FUNCTION or section.image_function not in ("default", None) for section in sections
    )
    accept = meta.sampling.accept
    if accept is not None and accept.cloud_mask is not None and accept.cloud_mask not in meta.aux_products:
        uses_functions = True
    trajectories = meta.trajectories and directory / meta.trajectories.filepath
    return Dataset(
        name,
        directory,
        meta,
        functions_hash=_fingerprint_of(directory / FUNCTIONS_NAME) if uses_functions else None,
        trajectories_hash=_fingerprint_of(trajectories) if trajectories else None,
    )


def _fingerprint_of(path: Path) -> str:
    try:
        return fingerprint_of_file(path)
    except OSError as error:
        raise MetaError(
            f"{META_NAME} asks for this file, which cannot be read ({error.strerror})",
            where=str(path),
            remedy="Put it there, or change what asks for it",
        ) from error


def load_datasets(paths: Sequence[Path]) -> tuple[list[Dataset], list[MetaError]]:
    """All datasets at or directly below the paths, and an error for each that cannot be served.

    Of folders that give the same name none is served, since their scenes and records would mix.
    """
    errors: list[MetaError] = []
    by_name: defaultdict[str, list[Dataset]] = defaultdict(list)
    directories: dict[Path, None] = {}
    for path in paths:
        try:
            directories |= dict.fromkeys(find_datasets([path]))
        except MetaError as error:
            errors.append(error)
    for directory in directories:
        try:
            dataset = load_dataset(directory)
        except MetaError as error:
            errors.append(error)
        else:
            by_name[dataset.name].append(dataset)
    for name, namesakes in by_name.items():
        if len(namesakes) > 1:
            folders = " and ".join(str(dataset.directory) for dataset in namesakes)
            errors.append(
                MetaError(
                    f"{folders} would both be the dataset {name}",
                    remedy="Rename one of the folders; all but letters, digits and _ counts as _",
                )
            )
    return [namesakes[0] for namesakes in by_name.values() if len(namesakes) == 1], errors


def find_datasets(paths: Sequence[Path]) -> list[Path]:
    """The folders that hold a ``meta.yaml``: each path itself, or else its children, sorted.

    Raises
    ------
    MetaError
        A path is no folder or cannot be listed.
    """
    found: dict[Path, None] = {}
    for path in paths:
        folder = path.resolve()
        if _holds_meta(folder):
            found[folder] = None
            continue
        try:
            children = sorted(folder.iterdir())
        except OSError as error:
            raise MetaError(
                f"datasets cannot be looked for here ({error.strerror})",
                where=str(folder),
                remedy="Name folders that hold a meta.yaml, or folders of such folders",
            ) from error
        found |= dict.fromkeys(child.resolve() for child in children if _holds_meta(child))
    return list(found)


def _holds_meta(folder: Path) -> bool:
    try:
        return (folder / META_NAME).is_file()
    except PermissionError:
        return False


def dataset_paths_from_environment() -> list[Path]:
    """The paths that ``CONVML_DATASETS`` lists, or the current directory."""
    listed = os.environ.get("CONVML_DATASETS", "").split(os.pathsep)
    return [Path(path) for path in listed if path] or [Path()]

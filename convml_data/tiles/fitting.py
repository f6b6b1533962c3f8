"""Whether the tiles that a dataset asks for fit into its domain, found out before any scene is known."""

from __future__ import annotations

from convml_data.errors import PlanError
from convml_data.meta.dataset import Dataset
from convml_data.meta.load import META_NAME
from convml_data.tiles.plan import box_for_triplets
from convml_data.tiles.sliding_window import require_fit


def check_tiles_fit(dataset: Dataset) -> None:
    """See that tiles of all kinds can be placed in a domain that is known.

    Tiles around trajectories always can: their points are inside, and what lies beyond is read too.

    Raises
    ------
    PlanError
        Some cannot.
    """
    sampling = dataset.meta.sampling
    try:
        if sampling.triplets is not None:
            length = sampling.triplets.tile_N * sampling.resolution
            box_for_triplets(dataset.domain, length, sampling.triplets.neigh_dist_scaling * length)
            if sampling.snap_to_grid:
                require_fit(dataset.grid, sampling.triplets.tile_N, "sampling.snap_to_grid")
        if sampling.sliding_window is not None:
            require_fit(dataset.grid, sampling.sliding_window.tile_N, "sampling.sliding_window.tile_N")
    except PlanError as error:
        where = f"{dataset.directory / META_NAME}: {error.where}"
        raise PlanError(error.what, where=where, remedy=error.remedy) from error

"""Where data come from: one module or package for each source, behind one protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from convml_data.meta.dataset import Dataset
    from convml_data.sources.base import Source


def source_of(dataset: Dataset) -> Source:
    """The source that ``meta.yaml`` names, set up for the dataset's product."""
    from convml_data.sources.goes.archive import archive_url
    from convml_data.sources.goes.source import GoesSource

    meta = dataset.meta
    return GoesSource(
        satellite=meta.source,
        product=meta.product,
        sector=meta.sector,
        archive=archive_url(meta.source, dataset.archive),
        rayleigh_correction=meta.product_options.rayleigh_correction,
    )

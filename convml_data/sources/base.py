"""What every source offers: finding the scans that exist and reading a domain of one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:  # so that describing a dataset does not load what only reading one needs
    import xarray as xr

    from convml_data.geometry.local import Domain
    from convml_data.scenes.ledger import Scan


#: Attribute of a variable whose values are codes, which nothing but the nearest pixel can stand for.
CATEGORICAL = {"categorical": "values are codes"}


@dataclass(frozen=True)
class Interval:
    """A span of time, both ends included, UTC."""

    start: datetime
    end: datetime

    def __contains__(self, time: datetime) -> bool:
        return self.start <= time <= self.end


class Source(Protocol):
    """An archive of one kind, set up for one dataset's product.

    Both methods raise :class:`~convml_data.errors.ArchiveError` where the archive cannot be
    reached, and :meth:`read` raises :class:`~convml_data.errors.SceneError` where a file of the
    scene is broken or does not show the domain.
    """

    @property
    def archive(self) -> str:
        """Where the files lie, for messages and the ledger."""

    def find(self, intervals: Sequence[Interval] | None) -> list[Scan]:
        """All scans the archive holds in and next to the intervals, by start time.

        Scans that start outside of every interval may be among them; scans that cannot give the
        product carry their reason. Sources whose archive is a folder of the dataset take None for
        all times.
        """

    def read(self, scan: Scan, domain: Domain) -> xr.Dataset:
        """The product over the domain on the source's own grid, NaN where there is no value.

        The dataset has one data variable with dims (…, y, x), whose ``x``/``y`` coordinates, and
        ``grid_mapping`` where the grid is a projection's, follow CF, and attributes that describe
        the scene: ``satellite``, ``scene_time`` (ISO 8601), ``bytes_read``, ``valid_share``,
        ``source_grid`` (see :func:`~convml_data.geometry.source_grids.grid_of`) and whatever was
        applied to it.
        """

    def whole_domain(self, scan: Scan) -> Domain:
        """The smallest domain that holds all that the source shows in a scan."""

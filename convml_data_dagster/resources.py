"""Resources of the scene chain: who works, and who is told how far it is."""

from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import TYPE_CHECKING, TypeVar

import dagster as dg
from pydantic import Field

if TYPE_CHECKING:
    from convml_data.meta.dataset import Dataset
    from convml_data.pipeline.workers import Workers

T = TypeVar("T")


class Kind(StrEnum):
    """What works on this machine; an enumeration, since Dagster takes no literals that may be left out."""

    threads = "threads"
    processes = "processes"


class WorkersResource(dg.ConfigurableResource):
    """Who works on the scenes of a run; what is left open is decided by ``dask`` in the meta.yaml."""

    count: int | None = Field(None, ge=1, description="Scenes at a time; by default one for each processor.")
    kind: Kind | None = Field(None, description="What works on this machine.")
    address: str | None = Field(None, description="Address of a running Dask scheduler, instead of both.")

    def workers(self, dataset: "Dataset") -> "Workers":
        """The same in the pipeline's terms."""
        from convml_data.pipeline.workers import Workers, workers_for

        return workers_for(dataset, Workers(self.count, None if self.kind is None else self.kind.value, self.address))


class Progress:
    """Is told of each scene as it is done; shows nothing, since the UI shows the run's log.

    Nobody waits for the run, so that an archive that does not answer is tried again for a while.
    """

    archive_retries = 4
    first_wait_s = 30.0

    def track(self, outcomes: Iterable[T], total: int) -> Iterator[T]:
        """Pass the outcomes on."""
        yield from outcomes

    def note(self, warnings: Iterable[str]) -> None:
        """What the run's log says is amiss with its scenes."""

"""Resources of the scene chain: who works, and who is told how far it is."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Literal, TypeVar

import dagster as dg
from pydantic import Field

if TYPE_CHECKING:
    from convml_data.pipeline.run import Workers

T = TypeVar("T")


class WorkersResource(dg.ConfigurableResource):
    """How many scenes a run works on at a time, and where."""

    count: int | None = Field(None, ge=1, description="Scenes at a time; by default one for each processor.")
    kind: Literal["threads", "processes"] = Field("threads", description="What works on this machine.")
    address: str | None = Field(None, description="Address of a running Dask scheduler, instead of both.")

    def workers(self) -> "Workers":
        """The same in the pipeline's terms."""
        from convml_data.pipeline.run import Workers

        return Workers(self.count, self.kind, self.address)


class Progress:
    """Is told of each scene as it is done; shows nothing, since the UI shows the run's log."""

    def track(self, outcomes: Iterable[T], total: int) -> Iterator[T]:
        """Pass the outcomes on."""
        yield from outcomes

"""The section ``dask``: who works on the scenes."""

from __future__ import annotations

import os
import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationInfo, WithJsonSchema, field_validator

from convml_data.meta import values
from convml_data.meta.fields import Given, PositiveInteger, Section

#: Where a Dask cluster is waited for, if meta.yaml does not say who works.
SCHEDULER_VARIABLE = "DASK_SCHEDULER_ADDRESS"

#: Protocol, host and port.
ADDRESS_PATTERN = r"^[a-z]+://[^ /]+:[0-9]+$"


def _as_address(value: Any) -> str:
    if not isinstance(value, str) or not re.match(ADDRESS_PATTERN, value):
        raise ValueError(
            f"{values.show(value)} is no address of a Dask scheduler",
            "write protocol, host and port as the scheduler says them: tcp://scheduler:8786",
        )
    return value


class DaskOptions(Section):
    """Who works on the scenes: threads or processes of the machine, or a cluster."""

    kind: Annotated[Literal["threads", "processes"] | None, Given] = Field(
        default=None,
        description="What works on the machine of a run (default: threads).",
        examples=["processes"],
    )
    count: Annotated[PositiveInteger | None, Given] = Field(
        default=None,
        description="Scenes that are worked on at a time (default: one for each processor).",
        examples=[4],
    )
    address: Annotated[
        str | None,
        BeforeValidator(_as_address),
        WithJsonSchema({"type": "string", "pattern": ADDRESS_PATTERN}),
    ] = Field(
        default=None,
        description="Of the scheduler of a running Dask cluster, instead of both.",
        examples=["tcp://scheduler:8786"],
    )

    @field_validator("address")
    @classmethod
    def _cluster_has_its_own_workers(cls, address: str, info: ValidationInfo) -> str:
        for key in ("kind", "count"):
            if info.data.get(key) is not None:
                raise ValueError(
                    f"{values.show(address)} names a cluster, and {key} is for workers of this machine",
                    "leave one of them out",
                )
        return address

    @property
    def cluster(self) -> str | None:
        """Address of the scheduler, by the section or else by the environment; None for workers of the machine."""
        return self.address if self.model_fields_set else os.environ.get(SCHEDULER_VARIABLE) or None

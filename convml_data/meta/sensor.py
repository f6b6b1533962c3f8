"""The section ``sensor``: how new scans are noticed."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from convml_data.meta import values
from convml_data.meta.fields import Given, Section

#: How often the archive is listed by itself, and where messages say what is new.
LIST_EVERY = timedelta(minutes=1)
LIST_EVERY_BESIDE_QUEUE = timedelta(hours=3)


def _queue_url(value: Any) -> str:
    if not isinstance(value, str) or not value.startswith(("https://", "http://")):
        raise ValueError(
            f"{values.show(value)} is not the URL of a queue", "copy the URL, not the ARN, that AWS shows for it"
        )
    return value


_DURATION: dict[str, Any] = {"type": "string", "format": "duration"}


class Sensor(Section):
    """How the sensor looks for new scans."""

    wait_for_channels: Annotated[timedelta, BeforeValidator(values.duration)] = Field(
        default=timedelta(hours=2),
        description="How long after its end a scan is waited for whose channels are not all there, ISO 8601.",
        examples=["PT2H"],
        json_schema_extra=_DURATION,
    )
    list_every: Annotated[timedelta | None, BeforeValidator(values.duration), Given] = Field(
        default=None,
        description="How often the archive is listed, ISO 8601 (default: PT1M, and PT3H with queue_url).",
        examples=["PT5M"],
        json_schema_extra=_DURATION,
    )
    queue_url: Annotated[str | None, BeforeValidator(_queue_url), Given] = Field(
        default=None,
        description="An SQS queue that gets the archive's SNS notifications of new files.",
        examples=["https://sqs.us-east-1.amazonaws.com/123456789012/new-goes16-files"],
        json_schema_extra={"type": "string", "pattern": "^https?://"},
    )

    @property
    def listing_interval(self) -> timedelta:
        """The time from one listing of the archive to the next."""
        return self.list_every or (LIST_EVERY if self.queue_url is None else LIST_EVERY_BESIDE_QUEUE)

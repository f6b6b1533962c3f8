"""How errors look in Dagster, and which of them are worth another attempt."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from convml_data.errors import ArchiveUnreachableError, ConvmlError


@contextmanager
def errors_as_failures() -> Iterator[None]:
    """What a user can mend reads as a sentence in the UI, not as a traceback."""
    try:
        yield
    except ConvmlError as error:
        raise dg.Failure(str(error), allow_retries=False) from error


@contextmanager
def archive_errors_retried(context: dg.AssetExecutionContext) -> Iterator[None]:
    """As :func:`errors_as_failures`, and a step whose archive does not answer is tried again later."""
    with errors_as_failures():
        try:
            yield
        except ArchiveUnreachableError as error:
            retry_later(context, str(error))
            raise


def retry_later(context: dg.AssetExecutionContext, why: str) -> None:
    """Ask Dagster to run the step again, each time after twice as long; goes on where it has been often enough."""
    retries: int = context.resources.progress.archive_retries
    if context.retry_number >= retries:
        return
    wait = context.resources.progress.first_wait_s * 2**context.retry_number
    context.log.warning(f"The archive does not answer; the rest is tried again in {wait:g} s. {why}")
    raise dg.RetryRequested(max_retries=retries, seconds_to_wait=wait)

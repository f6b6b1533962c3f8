"""Notifications of new files in a public bucket: SNS messages that an SQS queue of one's own receives.

A message says which file is new. That is taken as a hint which hour to list: whether the scan is complete
and how large its files are is seen there, together with all files that came at the same time.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import unquote_plus, urlsplit

from convml_data.errors import ArchiveError
from convml_data.meta.dataset import Dataset
from convml_data.meta.level2 import Level2
from convml_data.sources.base import Interval
from convml_data.sources.goes.names import AbiFileName

#: How many messages SQS hands out at most in one call.
_AT_ONCE = 10


@dataclass(frozen=True)
class Message:
    """A message as the queue gave it; the receipt is what it is deleted by."""

    receipt: str
    body: str


def new_files(body: str) -> tuple[str, ...]:
    """Keys of the files that a message says are new: S3's own records, or these in an SNS message.

    Raises
    ------
    ValueError
        The message is none of S3.
    """
    try:
        content = json.loads(body)
        if "Message" in content:
            content = json.loads(content["Message"])
        records = content["Records"]
        return tuple(
            unquote_plus(record["s3"]["object"]["key"])
            for record in records
            if record["eventName"].startswith("ObjectCreated")
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"no notification of S3 ({type(error).__name__}: {error}): {body[:200]!r}") from error


def moments_of(dataset: Dataset, keys: Sequence[str]) -> tuple[Interval, ...]:
    """When the scans start that files of the dataset's product and sector are of, each once, in time order."""
    product = dataset.product
    wanted = ("L2", product.product.name) if isinstance(product, Level2) else ("L1b", "Rad")
    starts = set()
    for key in keys:
        try:
            name = AbiFileName.parse(key.rpartition("/")[2])
        except ValueError:
            continue  # other instruments share the buckets
        if (name.level, name.product, name.sector) == (*wanted, dataset.meta.sector):
            starts.add(name.start)
    return tuple(Interval(start, start) for start in sorted(starts))


@dataclass(frozen=True)
class Queue:
    """An SQS queue.

    Parameters
    ----------
    url
        As AWS shows it.
    """

    url: str

    def receive(self, at_most: int) -> list[Message]:
        """Messages that nobody else works on; they come again later unless they are deleted.

        Raises
        ------
        ArchiveError
            The queue does not answer.
        """
        messages: list[Message] = []
        while len(messages) < at_most:
            answer = self._call("receive_message", MaxNumberOfMessages=_AT_ONCE)
            some = [Message(entry["ReceiptHandle"], entry["Body"]) for entry in answer.get("Messages", ())]
            if not some:
                break
            messages += some
        return messages

    def delete(self, messages: Sequence[Message]) -> None:
        """Say that messages are done with; ArchiveError where the queue does not answer."""
        for first in range(0, len(messages), _AT_ONCE):
            entries = [
                {"Id": str(number), "ReceiptHandle": message.receipt}
                for number, message in enumerate(messages[first : first + _AT_ONCE])
            ]
            self._call("delete_message_batch", Entries=entries)

    def _call(self, method: str, **arguments: Any) -> dict[str, Any]:
        try:
            answer: dict[str, Any] = getattr(self._client, method)(QueueUrl=self.url, **arguments)
        except Exception as error:  # whatever the client library raises
            raise ArchiveError(
                f"the queue does not answer ({type(error).__name__}: {error})",
                where=self.url,
                remedy="Check `sensor.queue_url` in meta.yaml, the network, and the credentials that AWS_PROFILE or "
                "AWS_ACCESS_KEY_ID give",
            ) from error
        return answer

    @cached_property
    def _client(self) -> Any:
        try:
            import botocore.session
            from botocore.config import Config
        except ImportError as error:
            raise ArchiveError(
                "SQS queues cannot be read", where=self.url, remedy="Install `pip install 'convml-data[s3]'`"
            ) from error
        parts = urlsplit(self.url)
        host = (parts.hostname or "").split(".")
        session = botocore.session.get_session()
        region = host[1] if host[0] == "sqs" and len(host) > 2 else session.get_config_variable("region")
        return session.create_client(
            "sqs",
            region_name=region or "us-east-1",
            endpoint_url=f"{parts.scheme}://{parts.netloc}",
            config=Config(connect_timeout=3, read_timeout=10, retries={"mode": "standard", "max_attempts": 3}),
        )

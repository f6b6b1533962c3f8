"""Notifications of new files, from an SNS topic like the public one through a queue to the sensor."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

import boto3
import pytest
from botocore.config import Config
from fake_archive import TRUECOLOR, abi_name, put_scan
from moto.server import ThreadedMotoServer
from watched import Watched, at, instance_fixture, scene_id, watched_fixture  # noqa: F401

from convml_data_dagster import sensors


class Topic:
    """A topic that tells of new files, and the queue that has subscribed to it."""

    def __init__(self, endpoint: str) -> None:
        settings: dict[str, Any] = {
            "endpoint_url": endpoint,
            "region_name": "us-east-1",
            "aws_access_key_id": "tests",
            "aws_secret_access_key": "tests",
            "config": Config(proxies={}),
        }
        self._sns, self._sqs = boto3.client("sns", **settings), boto3.client("sqs", **settings)
        self.url = self._sqs.create_queue(QueueName="new-files", Attributes={"VisibilityTimeout": "1"})["QueueUrl"]
        self._arn = self._sns.create_topic(Name="NewGOES16Object")["TopicArn"]
        queue = self._sqs.get_queue_attributes(QueueUrl=self.url, AttributeNames=["QueueArn"])["Attributes"]
        self._sns.subscribe(TopicArn=self._arn, Protocol="sqs", Endpoint=queue["QueueArn"])

    def tell(self, text: str) -> None:
        self._sns.publish(TopicArn=self._arn, Message=text)

    def tell_of(self, start: datetime, channels: Sequence[int] = TRUECOLOR, **changes: Any) -> None:
        """What S3 tells of the files of a scan."""
        for channel in channels:
            key = abi_name(start, channel, **changes).path
            record = {
                "eventName": "ObjectCreated:Put",
                "s3": {"bucket": {"name": "noaa-goes16"}, "object": {"key": key, "size": 9}},
            }
            self.tell(json.dumps({"Records": [record]}))

    def left(self) -> int:
        """Messages in the queue, those included that somebody is working on."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self._sqs.get_queue_attributes(QueueUrl=self.url, AttributeNames=names)["Attributes"]
        return sum(int(number) for number in found.values())


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def topic(server: str, watched: Watched, without_s3_settings: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Topic]:
    """Its queue is the one that the dataset names; a first listing has been done."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "tests")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "tests")
    topic = Topic(server)
    watched.describe(sensor={"queue_url": topic.url})
    put_scan(watched.archive, at(0))
    watched.tick(at(0, 11))
    watched.made(scene_id(at(0)))
    yield topic
    topic._sqs.delete_queue(QueueUrl=topic.url)
    topic._sns.delete_topic(TopicArn=topic._arn)


def test_a_message_is_deleted_once_its_scene_is_in_the_ledger(watched: Watched, topic: Topic) -> None:
    put_scan(watched.archive, at(0, 10))
    topic.tell_of(at(0, 10))
    assert topic.left() == 3
    assert watched.requested(at(0, 21)) == [(scene_id(at(0, 10)), scene_id(at(0, 10)))]
    assert [row["scene_id"] for row in watched.rows] == [scene_id(at(0)), scene_id(at(0, 10))]
    assert topic.left() == 0


def test_without_a_message_the_archive_is_listed_rarely(watched: Watched, topic: Topic) -> None:
    put_scan(watched.archive, at(0, 10))  # nobody tells
    assert watched.skipped(at(0, 21)) == "No message tells of a new scene."
    assert watched.skipped(at(3, 10)) == "No message tells of a new scene."
    assert watched.requested(at(3, 11)) == [(scene_id(at(0, 10)), scene_id(at(0, 10)))]


def test_messages_list_their_hours_and_no_others(
    watched: Watched, topic: Topic, monkeypatch: pytest.MonkeyPatch
) -> None:
    from convml_data.sources.goes import archive

    listed: list[str] = []
    really = archive._list_folder

    def noted(filesystem: Any, folder: str) -> Any:
        listed.append(folder.partition("noaa-goes16/")[2])
        return really(filesystem, folder)

    monkeypatch.setattr(archive, "_list_folder", noted)
    put_scan(watched.archive, at(2, 30))
    topic.tell_of(at(2, 30))
    topic.tell_of(at(1, 30), sector="C")  # of another sector: in the topic, not in the dataset
    watched.tick(at(2, 41))
    assert [folder for folder in listed if folder.count("/") == 3] == ["ABI-L1b-RadF/2026/060/02"]
    assert topic.left() == 0


def test_a_scan_is_complete_with_the_message_of_its_last_channel(watched: Watched, topic: Topic) -> None:
    put_scan(watched.archive, at(0, 10), channels=(1, 3))
    topic.tell_of(at(0, 10), channels=(1, 3))
    assert "missing channel 2" in watched.skipped(at(0, 20))
    put_scan(watched.archive, at(0, 10), channels=(2,))
    topic.tell_of(at(0, 10), channels=(2,))
    assert watched.requested(at(0, 21)) == [(scene_id(at(0, 10)), scene_id(at(0, 10)))]


@pytest.mark.parametrize("text", ["not JSON", "{}", "[]", '{"Records": [{"eventName": "ObjectCreated:Put"}]}'])
def test_what_is_no_notification_stays_in_the_queue(
    watched: Watched, topic: Topic, text: str, capfd: pytest.CaptureFixture[str]
) -> None:
    topic.tell(text)
    put_scan(watched.archive, at(0, 10))
    topic.tell_of(at(0, 10))
    assert watched.requested(at(0, 21)) == [(scene_id(at(0, 10)), scene_id(at(0, 10)))]
    assert topic.left() == 1
    assert "This message is left in the queue: no notification of S3" in capfd.readouterr().err


def test_nothing_is_deleted_where_the_archive_does_not_answer(watched: Watched, topic: Topic) -> None:
    topic.tell_of(at(0, 10))
    before = watched.cursor
    watched.archive.rename(watched.archive.with_name("away"))
    assert "this archive does not exist" in watched.skipped(at(0, 21))
    assert (topic.left(), watched.cursor) == (3, before)


def test_nothing_is_received_while_runs_wait(watched: Watched, topic: Topic, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sensors, "MAX_RUNS", 0)
    topic.tell_of(at(0, 10))
    assert "waiting or running" in watched.skipped(at(0, 21))
    monkeypatch.setattr(sensors, "MAX_RUNS", 4)
    put_scan(watched.archive, at(0, 10))
    assert watched.requested(at(0, 22)) == [(scene_id(at(0, 10)), scene_id(at(0, 10)))]


def test_a_queue_that_does_not_exist_is_said_in_the_tick(watched: Watched, topic: Topic) -> None:
    before = watched.cursor
    watched.describe(sensor={"queue_url": f"{topic.url}-other"})
    reason = watched.skipped(at(0, 21))
    assert reason.startswith(f"{topic.url}-other: the queue does not answer")
    assert "sensor.queue_url" in reason
    assert watched.cursor == before

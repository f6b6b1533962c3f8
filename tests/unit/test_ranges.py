"""Parts of a file in an archive: right bytes, few requests, and no answer of another length that becomes data."""

from __future__ import annotations

import io
import pickle
import threading
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest

from convml_data.errors import ArchiveError, ArchiveUnreachableError, SceneError
from convml_data.sources.goes.parts import Parts, Span
from convml_data.sources.goes.range_sources import FsspecRanges
from convml_data.sources.goes.ranges import NotFetchedError, RangeFile

CONTENT = np.random.default_rng(1).bytes(10_000)
LARGE = np.random.default_rng(2).bytes(1 << 20)


class Archive(fsspec.AbstractFileSystem):
    """Answers from memory, and keeps what it was asked for."""

    protocol = "toy"
    cachable = False

    def __init__(self, answer: Any = None, content: bytes = CONTENT) -> None:
        super().__init__()
        self.asked: list[tuple[int, int]] = []
        self.content = content
        self.answer = answer or (lambda start, end: content[start:end])

    def cat_file(self, path: str, start: int = 0, end: int = 0, **_: Any) -> bytes:
        self.asked.append((start, end))
        return self.answer(start, end)


def opened(archive: Archive, known: Parts | None = None) -> RangeFile:
    return RangeFile(FsspecRanges(archive, "bucket/file.nc"), len(archive.content), known)


def read(file: RangeFile, offset: int, length: int, page: int = 100) -> bytes:
    """Read, fetching what is not there."""
    file.seek(offset)
    try:
        return file.read(length)
    except NotFetchedError:
        file.fetch_missing(page)
        file.seek(offset)
        return file.read(length)


def test_any_sequence_of_reads_gives_the_bytes_of_the_file() -> None:
    file = opened(Archive())
    oracle = io.BytesIO(CONTENT)
    generator = np.random.default_rng(7)
    for _ in range(500):
        offset, length = int(generator.integers(0, 10_100)), int(generator.integers(0, 700))
        oracle.seek(offset)
        assert read(file, offset, length, page=64) == oracle.read(length)
    assert file.seek(-5, io.SEEK_END) == len(CONTENT) - 5
    assert file.read() == CONTENT[-5:]
    file.seek(10)
    assert file.seek(5, io.SEEK_CUR) == file.tell() == 15


def test_what_has_not_been_fetched_raises_and_moves_nothing() -> None:
    file = opened(Archive())
    file.seek(50)
    for misses in (1, 2):
        with pytest.raises(NotFetchedError):
            file.read(10)
        assert (file.tell(), file.misses, file.requests) == (50, misses, 0)


def test_what_lies_beyond_the_end_is_not_waited_for() -> None:
    file = opened(Archive())
    with pytest.raises(ValueError, match="bytes 9990 to 10001 lie beyond the end"):
        file.part(Span(9990, 10_001))
    assert file.misses == 0


def test_what_was_missed_comes_with_the_pages_around_it_and_once() -> None:
    archive = Archive()
    file = opened(archive)
    assert read(file, 3500, 1000, page=1000) == CONTENT[3500:4500]
    assert archive.asked == [(2000, 6000)]
    assert read(file, 2000, 4000) == CONTENT[2000:6000]
    assert (file.requests, file.bytes_fetched) == (1, 4000)
    assert read(file, 9500, 5000, page=1000) == CONTENT[9500:]
    assert archive.asked[1:] == [(8000, 10_000)]
    assert (file.requests, file.bytes_fetched) == (2, 6000)


def test_what_several_reads_lack_comes_together() -> None:
    archive = Archive(content=LARGE)
    file = opened(archive)
    for offset in (900_000, 100, 500_000, 516_000):
        file.seek(offset)
        with pytest.raises(NotFetchedError):
            file.read(10)
    file.fetch_missing(10)
    assert sorted(archive.asked) == [(90, 120), (499_990, 516_020), (899_990, 900_020)]
    file.fetch_missing()
    assert file.requests == 3


def test_requests_are_made_side_by_side() -> None:
    all_at_once = threading.Barrier(5, timeout=10)

    def answer(start: int, end: int) -> bytes:
        all_at_once.wait()
        return LARGE[start:end]

    spans = [Span(i * 200_000, i * 200_000 + 1000) for i in range(5)]
    came: dict[Span, bytes] = {}
    opened(Archive(answer, LARGE)).fetch(spans, lambda span, content: came.update({span: bytes(content)}))
    assert came == {span: LARGE[slice(*span)] for span in spans}


def test_only_what_is_not_known_is_fetched() -> None:
    archive = Archive(content=LARGE)
    file = opened(archive, Parts([(0, LARGE[:1000])]))
    file.require([Span(10, 20), Span(500_000, 500_100), Span(990, 1010)])
    assert sorted(archive.asked) == [(990, 1010), (500_000, 500_100)]
    assert file.part(Span(985, 1005)) == LARGE[985:1005]
    assert list(file.parts_read) == [(985, LARGE[985:1005])]
    assert file.bytes_read == 20


def test_the_ends_of_a_file_come_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("convml_data.sources.goes.ranges.HEAD", 3000)
    monkeypatch.setattr("convml_data.sources.goes.ranges.TAIL", 4000)
    archive = Archive()
    file = opened(archive)
    file.fetch_ends()
    assert sorted(archive.asked) == [(0, 3000), (6000, 10_000)]
    assert file.read(3000) == CONTENT[:3000]
    small = Archive(content=CONTENT[:10])
    opened(small).fetch_ends()
    assert small.asked == [(0, 10)]


def test_nothing_is_kept_when_told_to_forget() -> None:
    archive = Archive()
    file = opened(archive)
    read(file, 200, 10)
    file.forget()
    assert read(file, 200, 10) == CONTENT[200:210]
    assert archive.asked == [(100, 400), (100, 400)]


def test_a_short_answer_raises() -> None:
    file = opened(Archive(lambda start, end: CONTENT[start : end - 1]))
    with pytest.raises(SceneError, match=r"199 bytes came where 200 were asked for at byte 0") as caught:
        read(file, 0, 10)
    assert "toy://bucket/file.nc" in str(caught.value)


def test_a_long_answer_raises() -> None:
    with pytest.raises(SceneError, match="201 bytes"):
        read(opened(Archive(lambda start, end: CONTENT[start : end + 1])), 0, 10)


def test_a_server_without_ranges_is_told_of() -> None:
    with pytest.raises(ArchiveError, match="whole file where a range"):
        read(opened(Archive(lambda start, end: CONTENT)), 0, 10)


def test_an_archive_that_fails_is_named() -> None:
    def refuse(start: int, end: int) -> bytes:
        raise RuntimeError("slow down")

    with pytest.raises(ArchiveError, match="RuntimeError: slow down") as caught:
        read(opened(Archive(refuse)), 0, 1)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


@pytest.mark.parametrize("failures", [2, 3])
def test_what_passes_by_itself_is_tried_again(failures: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("convml_data.sources.goes.range_sources._PAUSES_S", (0.0, 0.0))
    left = failures

    def answer(start: int, end: int) -> bytes:
        nonlocal left
        left -= 1
        if left >= 0:
            raise ConnectionResetError("gone")
        return CONTENT[start:end]

    file = opened(Archive(answer))
    if failures == 2:
        assert read(file, 0, 10) == CONTENT[:10]
    else:
        with pytest.raises(ArchiveUnreachableError, match="gone"):
            read(file, 0, 10)


def test_a_file_that_is_gone_is_a_matter_of_its_scene(tmp_path: Path) -> None:
    path = str(tmp_path / "gone.nc")
    with pytest.raises(SceneError, match="no longer there"):
        read(RangeFile(FsspecRanges(fsspec.filesystem("file"), path), 10), 0, 1)

"""What is new in an archive since a position in time, and how a ledger grows by it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from convml_data.scenes.ledger import LedgerRow, Scan
from convml_data.sources.base import CLOCK_SKEW, Interval, clipped

#: How far before the position archives are listed again, for files that come late.
LOOK_BACK = timedelta(hours=6)

#: How much of the past is listed at a time: 168 folders of an hour, which takes seconds.
STRIDE = timedelta(days=7)

#: Decides which of some scans are scenes, beside those that have the scene IDs given with their starts.
Choose = Callable[[Sequence[Scan], Mapping[str, datetime]], tuple[LedgerRow, ...]]


@dataclass(frozen=True)
class Window:
    """What to list next.

    Parameters
    ----------
    spans
        The intervals to list.
    until
        UTC, how far the archive is listed after that.
    is_last
        Whether that is as far as there is anything by now.
    """

    spans: tuple[Interval, ...]
    until: datetime
    is_last: bool


def next_window(
    spans: Sequence[Interval], position: datetime | None, now: datetime, stride: timedelta = STRIDE
) -> Window:
    """What can hold something new since a position.

    Parameters
    ----------
    spans
        Of the dataset, in time order.
    position
        UTC, where listing goes on; None where nothing has been listed.
    now
        UTC.
    stride
        How much time to list at most, beside what is listed again.
    """
    soon = now + CLOCK_SKEW
    ahead = clipped(spans, position or datetime.min, soon)
    if ahead:
        last = min(ahead[-1].end, now)
        until = min(ahead[0].start + stride, last)
        start = ahead[0].start if position is None else position - LOOK_BACK
        return Window(clipped(spans, start, until + CLOCK_SKEW), until, until == last)
    return Window((), position or now, is_last=True)  # none has begun


def next_position(window: Window, latest: datetime) -> datetime:
    """Where listing goes on after a window, when the latest scan that is known started at ``latest``, UTC.

    That is no later than this scan, so that nothing is missed in an archive that lags behind. Only a past of a
    whole stride is left behind even if it is empty.
    """
    return min(latest, window.until) if window.is_last else window.until


@dataclass(frozen=True)
class Arrivals:
    """A ledger's rows with what is new among them.

    Parameters
    ----------
    rows
        All, by start.
    new
        IDs of the scenes that were none before, in time order.
    waiting
        Why scans that may still become scenes are none yet, by scan start.
    """

    rows: tuple[LedgerRow, ...]
    new: tuple[str, ...]
    waiting: Mapping[datetime, str]


def what_is_new(
    earlier: Sequence[LedgerRow], scans: Sequence[Scan], *, choose: Choose, now: datetime, wait: timedelta
) -> Arrivals:
    """Add scans to the rows of a ledger.

    Scenes stay as they are, whatever the archive shows of them now. A scan that the source speaks against (a
    channel is missing) is decided on once it ended ``wait`` ago, and anew whenever it has changed.

    Parameters
    ----------
    earlier
        Rows of the ledger, by start.
    scans
        What a listing found, of any part of the time.
    choose
        Which of them are scenes.
    now
        UTC.
    wait
        How long after its end a scan may become complete.
    """
    waiting = {scan.start: scan.reason for scan in scans if scan.reason is not None and now < scan.end + wait}
    decided = [row for row in earlier if row.reason is None or row.coverage is not None]
    known = {mark for row in decided for mark in _marks(row.scan)}
    fresh = [scan for scan in scans if scan.start not in waiting and not known & _marks(scan)]
    chosen = choose(fresh, {row.scene_id: row.scan.start for row in decided})
    again = {mark for row in chosen for mark in _marks(row.scan)}
    staying = [row for row in earlier if not again & _marks(row.scan)]
    rows = sorted((*staying, *chosen), key=lambda row: row.scan.start)
    scenes = {row.scene_id for row in earlier if row.reason is None}
    new = [row.scene_id for row in rows if row.reason is None and row.scene_id not in scenes]
    return Arrivals(tuple(rows), tuple(new), waiting)


def _marks(scan: Scan) -> set[object]:
    """What tells a scan from others: its start, which a channel that comes late may move by seconds, and its files."""
    return {scan.start, *((file.url, file.number) for file in scan.files.values())}

"""Dagster's record in SQLite, with an event log whose databases stay open between events.

Dagster's own event log opens a database for each event and closes it again, by which SQLite brings the log of what was
written into the database and waits for the disk, three times for each scene and asset: `docs/decisions/010-writing.md`.
The databases are the same and lie in the same place, so that a home can change from one to the other.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy
from dagster._core.events.log import EventLogEntry
from dagster._core.storage.event_log import SqliteEventLogStorage
from dagster._core.storage.sqlite import create_db_conn_string
from dagster._core.storage.sqlite_storage import DagsterSqliteStorage
from sqlalchemy.pool import QueuePool

#: Databases of an event log that are open at a time: the index, and those of the last runs.
OPEN_DATABASES = 4

#: For how long a database may be another process's, seconds.
_PATIENCE_S = 15


class SqliteStorage(DagsterSqliteStorage):
    """All of the record; ``base_dir`` is ``DAGSTER_HOME``."""

    def __init__(self, base_dir: str, inst_data: Any = None) -> None:
        super().__init__(base_dir, inst_data)
        self._event_log_storage = SqliteEventLog(self._event_log_storage._base_dir)

    @classmethod
    def from_config_value(cls, inst_data: Any, config_value: Any) -> SqliteStorage:
        """As Dagster makes it of its settings."""
        return cls.from_local(inst_data=inst_data, **config_value)


class SqliteEventLog(SqliteEventLogStorage):
    """The event log, used by one thread at a time as Dagster's own is."""

    def __init__(self, base_dir: str) -> None:
        self._open: OrderedDict[str, sqlalchemy.Engine] = OrderedDict()
        super().__init__(base_dir)

    def store_event(self, event: EventLogEntry) -> None:
        """Keep an event, and let those know who watch the run."""
        super().store_event(event)
        # They look at the database, which SQLite writes to later.
        os.utime(self.path_for_shard(event.run_id))

    def wipe(self) -> None:
        """Delete all events."""
        self._close_all()
        super().wipe()

    def dispose(self) -> None:
        """Close everything."""
        super().dispose()
        self._close_all()

    @contextmanager
    def _connect(self, shard: str) -> Iterator[sqlalchemy.Connection]:
        with self._db_lock:
            engine = self._engine(shard)
            if shard not in self._initialized_dbs:
                self._initdb(engine)
                self._initialized_dbs.add(shard)
            with engine.begin() as connection:
                yield connection

    def _engine(self, shard: str) -> sqlalchemy.Engine:
        if shard not in self._open:
            engine = sqlalchemy.create_engine(
                create_db_conn_string(self._base_dir, shard),
                poolclass=QueuePool,
                pool_size=1,
                connect_args={"timeout": _PATIENCE_S, "check_same_thread": False},
            )
            sqlalchemy.event.listen(engine, "connect", _do_not_wait_for_the_disk)
            self._open[shard] = engine
        self._open.move_to_end(shard)
        while len(self._open) > OPEN_DATABASES:
            self._open.popitem(last=False)[1].dispose()
        return self._open[shard]

    def _close_all(self) -> None:
        with self._db_lock:
            while self._open:
                self._open.popitem()[1].dispose()


def _do_not_wait_for_the_disk(connection: Any, _record: Any) -> None:
    # With the write-ahead log that Dagster asks for, a database is whole whenever the power fails; the last events may
    # be lost, which `convml-data reconcile` reports again.
    connection.execute("PRAGMA synchronous = NORMAL")

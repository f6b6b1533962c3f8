"""Claims: what one run works on, another one waits for.

A claim is an advisory lock that the operating system holds for the process that has it and releases
when that ends, however it ends. There is none where the root is not a folder of this machine or the
system has no such locks; runs that overlap there may do the same work twice and write the same bytes.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from convml_data.errors import StoreError
from convml_data.store.files import PARTIAL, Files

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None  # type: ignore[assignment]

#: What file systems say that know no locks, such as some that are shared over a network.
_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS)


@contextmanager
def claimed(files: Files, name: str) -> Iterator[None]:
    """Hold the claim on a name below the root within the block, once whoever has it lets go.

    Parameters
    ----------
    files
        The root.
    name
        Of whatever is claimed; no file of that name is touched.
    """
    if fcntl is None or not files.is_local:
        yield
        return
    path = Path(files.path(f"{PARTIAL}/{name.replace('/', '.')}.claim"))
    held = _lock(path)
    try:
        yield
    finally:
        if held is not None:
            path.unlink(missing_ok=True)  # before it is released: see below
            os.close(held)


def _lock(path: Path) -> int | None:
    """An open file that is locked, None where the file system has no locks."""
    while True:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            held = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except FileNotFoundError:  # the folder was deleted just now
            continue
        except OSError as error:
            raise _cannot_lock(path, error) from error
        try:
            fcntl.flock(held, fcntl.LOCK_EX)
            # Who had it deleted the file; the lock of a deleted file keeps nobody out.
            if os.fstat(held).st_ino == path.stat().st_ino:
                return held
        except FileNotFoundError:
            pass
        except OSError as error:
            os.close(held)
            if error.errno in _NO_LOCKS:
                return None
            raise _cannot_lock(path, error) from error
        os.close(held)


def _cannot_lock(path: Path, error: OSError) -> StoreError:
    return StoreError(
        f"this cannot be locked ({error.strerror})",
        where=str(path),
        remedy="Check the permissions there and the space left",
    )

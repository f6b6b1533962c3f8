"""Files outside a dataset's root that appear under their name whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from convml_data.errors import StoreError


@contextmanager
def writing(path: Path) -> Iterator[Path]:
    """A path to write a file to, which then replaces ``path``; nothing appears where the block raises.

    Raises
    ------
    StoreError
        There is no space left, no permission, …
    """
    partial = path.with_name(f".{path.name}.{uuid4().hex}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        partial.replace(path)
    except OSError as error:
        raise StoreError(
            f"this cannot be written ({error.strerror or error})",
            where=str(path),
            remedy="Check the permissions there and the space left",
        ) from error
    finally:
        partial.unlink(missing_ok=True)

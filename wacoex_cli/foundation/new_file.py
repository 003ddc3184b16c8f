"""A file that only its owner may read, that appears whole, and that replaces no other."""

from __future__ import annotations

import contextlib
import errno
import os
from typing import TYPE_CHECKING

from wacoex_cli.errors import StateError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_PRIVATE = 0o600


@contextlib.contextmanager
def new_private_file(path: Path) -> Iterator[Path]:
    """Yield an empty file (0600) to be filled; left without an exception, it becomes `path`.

    Raises:
        UsageError: `path` exists, or cannot be made.
        StateError: the disk is full.
    """
    part = path.with_name(f".{path.name}.part")
    with _told(path):
        # The name is taken first, so that nobody else's file can come into it meanwhile.
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _PRIVATE))
        try:
            os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, _PRIVATE))
            yield part
            _flush(part)
            part.replace(path)
        except BaseException:
            part.unlink(missing_ok=True)
            path.unlink(missing_ok=True)
            raise


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except FileExistsError as error:
        raise UsageError(
            f"{path} exists already", hint="choose another name", code="file_exists"
        ) from error
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise StateError(
                f"the disk is full: {path} cannot be written",
                hint="free some space, or choose a place on another disk",
                code="disk_full",
            ) from error
        raise UsageError(
            f"{path} cannot be written: {error.strerror or error}",
            hint="check the directory and its permissions, or choose another place",
            code="unwritable_file",
        ) from error

"""Secrets in files of their own that only their owner may read: not encrypted, hence not liked."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable
from pathlib import Path

from wacoex_cli.errors import WacoexError

LOCAL_KEY = "local-key"


def path_of(directory: Path, name: str, channel: str | None) -> Path:
    """Where a secret lies. No name of a secret holds a dot, so no two secrets share a file."""
    return directory / (f"{channel}.{name}" if channel else name)


def is_there(path: Path) -> bool:
    """Whether there is a file; one that may not be looked at counts, so that reading it tells."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True


def write(path: Path, value: str, *, is_durable: bool = True) -> None:
    """Write a secret to its file, mode 0600 from the first moment, replacing the old one at once.

    Raises WacoexError when that is impossible; the old file is then untouched. Unless it
    `is_durable`, what is written may be lost or damaged when the machine loses its power.
    """
    _put(path, value, lambda new: new.replace(path), is_durable=is_durable)


def write_once(path: Path, value: str) -> None:
    """Write a secret unless somebody else has; of several who try at once, one succeeds.

    Raises WacoexError when that is impossible.
    """

    def link(new: Path) -> None:
        with contextlib.suppress(FileExistsError):
            path.hardlink_to(new)

    _put(path, value, link)


def new_local_key(path: Path) -> None:
    """Make the key of this installation unless there is one. Raises WacoexError."""
    if not is_there(path):
        write_once(path, os.urandom(32).hex())


def remove(path: Path, *, dry_run: bool = False) -> bool:
    """Delete the file of a secret; whether there was one. Raises WacoexError."""
    try:
        path.lstat() if dry_run else path.unlink()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise _impossible(f"cannot delete {path}", error) from error
    return True


def _put(
    path: Path, value: str, take_its_place: Callable[[Path], object], *, is_durable: bool = True
) -> None:
    new = path.with_name(f"{path.name}.{os.getpid()}.{threading.get_ident()}.new")
    try:
        for directory in (path.parent.parent, path.parent):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.parent.chmod(0o700)
        try:
            _write_new(new, value, is_durable=is_durable)
            take_its_place(new)
        finally:
            new.unlink(missing_ok=True)
    except OSError as error:
        raise _impossible(f"cannot write {path}", error) from error


def _write_new(path: Path, value: str, *, is_durable: bool) -> None:
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(f"{value}\n")
        file.flush()
        if is_durable:
            os.fsync(file.fileno())


def _impossible(what: str, error: OSError) -> WacoexError:
    return WacoexError(
        f"{what}: {(error.strerror or 'error').lower()}",
        hint="check the permissions of the directory, and that the disk is not full",
        code="credentials_unwritable",
    )

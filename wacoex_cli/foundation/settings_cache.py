"""Validated settings, kept in the cache directory: reading them back needs no pydantic.

What is kept counts only for the very configuration it was made from. Its name there is an HMAC,
with the local key of this installation, over all that decides the outcome; and each entry carries
an HMAC of its own. So a changed configuration finds nothing, and a damaged or foreign entry is not
taken for one.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import importlib.util
import json
import os
import re
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wacoex_cli import __version__
from wacoex_cli.errors import WacoexError
from wacoex_cli.foundation.clock import is_known_zone
from wacoex_cli.foundation.secrets import LOCAL_KEY, new_local_key, write_secret
from wacoex_cli.foundation.settings import PREFIX, Settings, Sources, user_directories

if TYPE_CHECKING:
    from collections.abc import Mapping

_MOST_KEPT = 16
_MOST_BYTES = 1_000_000
_USER_IN_URL = re.compile(r"://[^/]*@")


def load_settings(sources: Sources, channel: str | None = None) -> Settings:
    """The settings in use; with a channel, its `[channels.NAME]` table goes before the rest
    of config.toml.

    Raises UsageError naming the place, the name and what is allowed.
    """
    table = sources.table_of(channel)
    cache = _Cache(sources, table)
    settings = cache.read()
    if settings is None:
        from wacoex_cli.foundation.settings_model import build

        settings = build(sources, table)
        cache.keep(settings)
    return settings


class _Cache:
    """The kept settings of one configuration: these sources, with one channel's table."""

    def __init__(self, sources: Sources, table: Mapping[str, Any]) -> None:
        self._path = user_directories().user_cache_path / "settings.json"
        self._key_path = sources.toml_path.absolute().parent / "secrets" / LOCAL_KEY
        try:
            self._ingredients: bytes | None = _ingredients(sources, table)
        except (OSError, RuntimeError, AttributeError, TypeError, ValueError):
            self._ingredients = None  # something cannot be named, so nothing can be kept

    def read(self) -> Settings | None:
        """The settings kept for this configuration; None when there are none that can be used."""
        key = _private(self._key_path)
        if key is None or self._ingredients is None:
            return None
        name = _hmac(key, self._ingredients)
        try:
            entry = self._entries()[name]
            kept = entry["settings"]
            if not hmac.compare_digest(entry["mac"], _hmac(key, _signed(name, kept))):
                return None
            found = Settings.from_json(kept)
        except (KeyError, TypeError, ValueError):
            return None
        # The machine knows the zones, and may have forgotten one since.
        return found if found.timezone is None or is_known_zone(found.timezone) else None

    def keep(self, settings: Settings) -> None:
        """Keep the settings of this configuration, if that is safe and possible."""
        kept = settings.to_json()
        if self._ingredients is None or _USER_IN_URL.search(json.dumps(kept)):
            return
        with contextlib.suppress(OSError, WacoexError):
            # With `sudo`, whose home may be another user's, nothing must be left there.
            place = next(path for path in self._key_path.parents if path.exists())
            if place.stat().st_uid == os.geteuid():
                new_local_key(self._key_path)
            key = _private(self._key_path)
            if key is None:
                return
            name = _hmac(key, self._ingredients)
            entries = {other: entry for other, entry in self._entries().items() if other != name}
            newest = list(entries.items())[1 - _MOST_KEPT :]
            entry = {"settings": kept, "mac": _hmac(key, _signed(name, kept))}
            write_secret(self._path, json.dumps({**dict(newest), name: entry}), is_durable=False)

    def _entries(self) -> dict[str, Any]:
        content = _private(self._path)
        try:
            found = json.loads(content or "{}")
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}


def _private(path: Path) -> bytes | None:
    """What a file holds; None unless it is a plain file that only this user can read and write."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        seen = os.fstat(descriptor)
        is_ours = stat.S_ISREG(seen.st_mode) and seen.st_uid == os.geteuid()
        if not is_ours or seen.st_mode & 0o077 or not 0 < seen.st_size <= _MOST_BYTES:
            return None
        return file.read()


def _ingredients(sources: Sources, table: Mapping[str, Any]) -> bytes:
    """All that decides how these settings come out: what was read, where, by which program."""
    environ = sources.environ
    paths = [
        place.get(name)
        for name in ("WACOEX_STATE", "WACOEX_CONFIG_DIR", "state")
        for place in (environ, sources.dotenv, sources.toml)
    ]
    code = Path(__file__).parent
    files = [code / "settings.py", code / "settings_model.py", code / "clock.py"]
    for library in ("pydantic", "pydantic_settings"):
        found = importlib.util.find_spec(library)
        files.append(Path(found.origin).with_name("version.py"))  # type: ignore[union-attr, arg-type]
    everything = (
        __version__,
        sys.version,
        *(hashlib.sha256(file.read_bytes()).hexdigest() for file in files),
        os.geteuid(),
        str(Path.cwd()),
        str(Path.home()),
        str(user_directories().user_config_path),
        str(user_directories().user_state_path),
        # `~name` is looked up in the machine's list of users.
        [str(Path(path).expanduser()) for path in paths if isinstance(path, str)],
        sorted(item for item in environ.items() if item[0].startswith((PREFIX, "XDG_"))),
        str(sources.dotenv_path),
        sorted(sources.dotenv.items()),
        str(sources.toml_path),
        sources.toml,
        table,
    )
    return repr(everything).encode(errors="backslashreplace")


def _hmac(key: bytes, content: bytes) -> str:
    return hmac.new(key, b"wacoex settings\n" + content, "sha256").hexdigest()


def _signed(name: str, kept: object) -> bytes:
    return f"{name} {json.dumps(kept, sort_keys=True)}".encode()

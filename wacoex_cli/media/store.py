"""Files and their ids at Meta, in the state file. Writers need a transaction."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from wacoex_cli.foundation.clock import from_text, to_text
from wacoex_cli.media.model import RENEWED_BEFORE, sha256_of
from wacoex_cli.templates.components import FILE

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from wacoex_cli.foundation.state import Row, State
    from wacoex_cli.media.model import MediaFile

_KEEP_FILE = (
    "INSERT INTO media_files (sha256, mime, size, path, seen_at) VALUES (?, ?, ?, ?, ?)"
    " ON CONFLICT (sha256) DO UPDATE SET mime = excluded.mime, size = excluded.size,"
    " path = COALESCE(excluded.path, path), seen_at = excluded.seen_at"
)
_KEEP_ID = (
    "INSERT INTO media_ids (sha256, phone_number_id, media_id, uploaded_at, ends_at)"
    " VALUES (?, ?, ?, ?, ?) ON CONFLICT (sha256, phone_number_id) DO UPDATE SET"
    " media_id = excluded.media_id, uploaded_at = excluded.uploaded_at, ends_at = excluded.ends_at"
)
_UNSENT = (
    "SELECT broadcast_id, template, parameter_sources FROM broadcasts"
    " WHERE status IN ('planned', 'sending', 'paused')"
)


class KnownFile(NamedTuple):
    """A file that was looked at. `path` is where, None for one that is known only at Meta."""

    sha256: str
    mime: str
    size: int
    path: Path | None
    seen_at: str

    @property
    def name(self) -> str:
        """Its name for people."""
        return self.path.name if self.path else f"file {self.sha256[:12]}"


class MediaId(NamedTuple):
    """The id of a file for one number at Meta. Moments are RFC 3339, UTC.

    `ends_at` is None for an id that somebody else uploaded: nobody says when.
    """

    sha256: str
    phone_number_id: str
    media_id: str
    uploaded_at: str
    ends_at: str | None

    def is_usable(self, now: datetime) -> bool:
        """Whether it still lives for at least a day."""
        return self.ends_at is None or from_text(self.ends_at) - now > RENEWED_BEFORE


class FirstReference(NamedTuple):
    """What the first recipient sees; `is_shared` when somebody else gets the same."""

    reference: str
    is_shared: bool


class MediaStore:
    """All files, and the ids that they have."""

    def __init__(self, state: State) -> None:
        self._state = state

    def keep(self, file: MediaFile, now: datetime) -> None:
        """Remember a file, or where it is now."""
        content = file.content
        self._state.execute(
            _KEEP_FILE, [file.sha256, content.mime, content.size, str(file.path), to_text(now)]
        )

    def keep_known(self, sha256: str, mime: str, size: int, now: datetime) -> None:
        """Remember a file that only Meta has."""
        self._state.execute(_KEEP_FILE, [sha256, mime, size, None, to_text(now)])

    def keep_id(self, media_id: MediaId) -> None:
        """Remember the id that a file has for a number from now on."""
        self._state.execute(_KEEP_ID, list(media_id))

    def drop_id(self, media_id: MediaId) -> bool:
        """Forget an id that can no longer be used; False when there is a newer one already."""
        return (
            self._state.execute(
                "DELETE FROM media_ids WHERE sha256 = ? AND phone_number_id = ? AND media_id = ?",
                list(media_id[:3]),
            )
            == 1
        )

    def file(self, sha256: str) -> KnownFile | None:
        """The file with that content, if it was ever looked at."""
        row = self._state.row("SELECT * FROM media_files WHERE sha256 = ?", [sha256])
        return _file(row) if row else None

    def files(self) -> list[KnownFile]:
        """Every file, the newest first."""
        rows = self._state.rows("SELECT * FROM media_files ORDER BY seen_at DESC, sha256")
        return [_file(row) for row in rows]

    def id_of(self, sha256: str, phone_number_id: str) -> MediaId | None:
        """The id of a file for a number, whatever its age."""
        row = self._state.row(
            "SELECT * FROM media_ids WHERE sha256 = ? AND phone_number_id = ?",
            [sha256, phone_number_id],
        )
        return MediaId(**row) if row else None

    def ids(self) -> list[MediaId]:
        """Every id, those that end first before others."""
        rows = self._state.rows("SELECT * FROM media_ids ORDER BY ends_at IS NULL, ends_at, sha256")
        return [MediaId(**row) for row in rows]

    def forget(self, sha256: str) -> None:
        """Forget a file, and its ids."""
        self._state.execute("DELETE FROM media_ids WHERE sha256 = ?", [sha256])
        self._state.execute("DELETE FROM media_files WHERE sha256 = ?", [sha256])

    def named_in(
        self, broadcast_id: int, places: Iterable[int], states: Sequence[str] = ()
    ) -> set[str]:
        """The hashes of the files that rows of a broadcast show.

        `places` are those of its media among the values of a row, `states` those of the rows; none
        means all.
        """
        references = self._references(broadcast_id, places, states, f"{FILE}%", -1)
        return {sha256 for reference in references if (sha256 := sha256_of(reference))}

    def first_in(self, broadcast_id: int, place: int) -> FirstReference | None:
        """The reference that the first recipient's row holds at that place among its values."""
        value = f"json_extract(parameters, '$[{int(place)}]')"
        people = "FROM recipients WHERE broadcast_id = ? AND state <> 'skipped'"
        first = self._state.row(
            f"SELECT {value} AS reference {people} ORDER BY row LIMIT 1", [broadcast_id]
        )
        if first is None or not first["reference"]:
            return None
        reference = first["reference"]
        same = self._state.rows(
            f"SELECT 1 {people} AND {value} = ? LIMIT 2", [broadcast_id, reference]
        )
        return FirstReference(reference, len(same) > 1)

    def links_in(
        self, broadcast_id: int, place: int, states: Sequence[str], most: int
    ) -> list[str]:
        """This many different links at most that rows in these states hold at that place."""
        return self._references(broadcast_id, (place,), states, "http%://%", most)

    def _references(
        self,
        broadcast_id: int,
        places: Iterable[int],
        states: Sequence[str],
        pattern: str,
        most: int,
    ) -> list[str]:
        found: list[str] = []
        among = f" AND state IN ({', '.join('?' * len(states))})" if states else ""
        for place in places:
            value = f"json_extract(parameters, '$[{int(place)}]')"
            rows = self._state.rows(
                f"SELECT DISTINCT {value} AS reference FROM recipients WHERE broadcast_id = ?"
                f"{among} AND {value} LIKE ? LIMIT ?",
                [broadcast_id, *states, pattern, most],
            )
            found += [row["reference"] for row in rows]
        return found

    def unsent(self) -> list[tuple[int, str, str]]:
        """The broadcasts that are still to be sent: id, frozen template and sources (JSON)."""
        return [
            (row["broadcast_id"], row["template"], row["parameter_sources"])
            for row in self._state.rows(_UNSENT)
        ]


def _file(row: Row) -> KnownFile:
    path = row["path"]
    return KnownFile(
        row["sha256"], row["mime"], row["size"], Path(path) if path else None, row["seen_at"]
    )

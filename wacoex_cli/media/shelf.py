"""The files and ids of a state file as people see them; uploading and forgetting by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from wacoex_cli.channels.registry import choose_channel, meta_for
from wacoex_cli.channels.store import Channels
from wacoex_cli.errors import (
    CredentialError,
    DeclinedError,
    RefusedError,
    UsageError,
    counted,
)
from wacoex_cli.foundation.clock import from_text, to_text
from wacoex_cli.media.checks import why_refused
from wacoex_cli.media.files import look_at
from wacoex_cli.media.model import LIMITS, formats_of, size_text
from wacoex_cli.media.places import places_in
from wacoex_cli.media.store import KnownFile, MediaId, MediaStore
from wacoex_cli.media.upload import MediaDesk
from wacoex_cli.terminal.dialogue import TerminalDialogue

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from pathlib import Path

    from wacoex_cli.foundation.state import State
    from wacoex_cli.foundation.workspace import Workspace
    from wacoex_cli.platforms.meta import Meta
    from wacoex_cli.terminal.options import Invocation

_UNKNOWN_ID = 100


class MediaRow(NamedTuple):
    """One file with its id for one number; `media_id` None while it has none."""

    file: KnownFile
    media_id: str | None
    number: str | None
    ends_at: str | None
    is_usable: bool

    @property
    def name(self) -> str:
        """The file's name."""
        return self.file.name

    def cells(self) -> tuple[str | None, ...]:
        """The cells of a table row."""
        ends = None
        if self.media_id:
            ends = (self.ends_at or "nobody says")[:16].replace("T", " ")
            ends = ends if self.is_usable else "ended"
        size = size_text(self.file.size)
        return (self.name, self.file.mime, size, self.number, self.media_id, ends)

    def to_json(self) -> dict[str, Any]:
        """The entry of JSON output."""
        file = self.file
        return {
            "file": file.name,
            "path": str(file.path) if file.path else None,
            "sha256": file.sha256,
            "mime": file.mime,
            "size": file.size,
            "phone_number_id": self.number,
            "media_id": self.media_id,
            "ends_at": self.ends_at,
            "usable": self.is_usable,
        }


def rows(state: State, now: datetime) -> list[MediaRow]:
    """Every file, with each of its ids; a file without any has a row of its own."""
    store = MediaStore(state)
    ids: dict[str, list[MediaId | None]] = {}
    for known in store.ids():
        ids.setdefault(known.sha256, []).append(known)
    return [
        _row(file, known, now) for file in store.files() for known in ids.get(file.sha256) or [None]
    ]


def upload_files(
    workspace: Workspace, invocation: Invocation, paths: Sequence[Path], *, dry_run: bool
) -> list[MediaRow]:
    """Look at files, upload those that have no id yet for the number of the channel in use.

    Raises:
        UsageError: a file cannot be read, or no header takes it.
        CredentialError, RefusedError, TemporaryError: Meta does not take it.
    """
    state, clock = workspace.state, workspace.clock
    channel = choose_channel(workspace, invocation)
    number = channel.demand_phone_number_id()
    found = [look_at(path) for path in paths]
    for file in found:
        forms = formats_of(file.content.mime) or tuple(LIMITS)
        reasons = [why_refused(form, file.content) for form in forms]
        if None not in reasons:
            raise UsageError(
                f"{file.path.name} cannot be uploaded: {reasons[0]}",
                hint="`wacoex docs broadcast` says what each header takes",
                code="media_refused",
            )
    store, now = MediaStore(state), clock.now()
    if not dry_run:
        with state.transaction():
            for file in found:
                store.keep(file, now)
        desk = MediaDesk(state, meta_for(workspace, channel), number, clock)
        workspace.run(desk.prepare(file.sha256 for file in found))
    return [
        _row(
            KnownFile(file.sha256, file.content.mime, file.content.size, file.path, to_text(now)),
            store.id_of(file.sha256, number),
            now,
        )
        for file in found
    ]


def prune_files(
    workspace: Workspace, invocation: Invocation, *, yes: bool, dry_run: bool
) -> list[MediaRow]:
    """Forget every file that no broadcast still has to send; returns their rows.

    What Meta has of them is deleted, as far as there is a token for the number.

    Raises:
        DeclinedError: nobody said yes.
        CredentialError, TemporaryError: Meta could not be asked to delete one.
    """
    state, now = workspace.state, workspace.clock.now()
    needed = _needed(state)
    found = [row for row in rows(state, now) if row.file.sha256 not in needed]
    if dry_run or not found:
        return found
    question = f"forget {counted(len({row.file.sha256 for row in found}), 'file')}, also at Meta?"
    if not yes and not TerminalDialogue(invocation).confirm(question, flag="--yes"):
        raise DeclinedError("nothing changed")
    channels = {channel.phone_number_id: channel for channel in Channels(state).all_channels()}
    for row in found:
        channel = channels.get(row.number) if row.number else None
        if row.is_usable and row.media_id and row.number and channel:
            workspace.run(_delete(meta_for(workspace, channel), row.media_id, row.number))
        with state.transaction():
            if row.file.sha256 not in _needed(state):
                MediaStore(state).forget(row.file.sha256)
    return found


def _needed(state: State) -> set[str]:
    """The hashes of the files that broadcasts show which are still to be sent."""
    store, found = MediaStore(state), set[str]()
    for broadcast_id, template, sources in store.unsent():
        places = places_in(template, sources)
        found |= places.hashes | store.named_in(broadcast_id, places.in_rows)
    return found


async def _delete(meta: Meta, media_id: str, phone_number_id: str) -> None:
    try:
        await meta.delete_media(media_id, phone_number_id)
    except (CredentialError, RefusedError) as error:
        # Meta has it no more: that is what was wanted.
        if error.details.get("code") != _UNKNOWN_ID:
            raise


def _row(file: KnownFile, known: MediaId | None, now: datetime) -> MediaRow:
    if known is None:
        return MediaRow(file, None, None, None, is_usable=False)
    is_usable = known.ends_at is None or from_text(known.ends_at) > now
    return MediaRow(file, known.media_id, known.phone_number_id, known.ends_at, is_usable)

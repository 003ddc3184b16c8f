"""What was told to whom, and the links that went with it: the only SQL about them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wacoex_cli.foundation.clock import from_text, to_text
from wacoex_cli.inactivity.model import LastNotice, NoticeKind, Stage

if TYPE_CHECKING:
    from datetime import datetime

    from wacoex_cli.foundation.state import Row, State


def last_notices(state: State) -> dict[tuple[int, str], LastNotice]:
    """The last notice of each channel (its id) and target."""
    rows = state.rows(
        "SELECT channel_id, target, kind, stage, sent_at FROM notices WHERE notice_id IN"
        " (SELECT MAX(notice_id) FROM notices GROUP BY channel_id, target)"
    )
    return {
        (row["channel_id"], row["target"]): LastNotice(
            NoticeKind(row["kind"]), Stage(row["stage"]), from_text(row["sent_at"])
        )
        for row in rows
    }


def record(
    state: State,
    *,
    channel_id: int,
    target: str,
    shown_target: str,
    kind: NoticeKind,
    stage: Stage,
    deadline_at: datetime | None,
    now: datetime,
) -> None:
    """Record a notice that was sent, inside a transaction."""
    state.execute(
        "INSERT INTO notices (notice_id, channel_id, target, shown_target, kind, stage,"
        " deadline_at, sent_at)"
        " SELECT COALESCE(MAX(notice_id), 0) + 1, ?, ?, ?, ?, ?, ?, ? FROM notices",
        [
            channel_id,
            target,
            shown_target,
            kind.value,
            stage.value,
            to_text(deadline_at) if deadline_at else None,
            to_text(now),
        ],
    )


def add_link(
    state: State,
    token_hash: str,
    *,
    channel_id: int,
    sent_to: str,
    now: datetime,
    expires_at: datetime,
) -> None:
    """Keep a confirmation link by the hash of its token, inside a transaction."""
    state.execute(
        "INSERT INTO confirmation_links (token_hash, channel_id, sent_to, created_at, expires_at)"
        " VALUES (?, ?, ?, ?, ?)",
        [token_hash, channel_id, sent_to, to_text(now), to_text(expires_at)],
    )


def find_link(state: State, token_hash: str) -> Row | None:
    """A link with the name and phone of its channel, and when that was archived."""
    return state.row(
        "SELECT l.*, c.name, c.phone, c.archived_at FROM confirmation_links l"
        " JOIN channels c ON c.channel_id = l.channel_id WHERE l.token_hash = ?",
        [token_hash],
    )


def use_link(state: State, token_hash: str, now: datetime) -> None:
    """Mark a link as used, inside a transaction."""
    state.execute(
        "UPDATE confirmation_links SET used_at = ? WHERE token_hash = ?",
        [to_text(now), token_hash],
    )


def forget_links(state: State, expired_before: datetime) -> None:
    """Delete links that have been invalid for long, inside a transaction."""
    state.execute("DELETE FROM confirmation_links WHERE expires_at < ?", [to_text(expired_before)])

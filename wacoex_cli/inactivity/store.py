"""The tables of the reminder: its runs and schedules, the notices that were sent, and the links."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wacoex_cli.foundation.clock import from_text, to_text
from wacoex_cli.inactivity.model import LastNotice, NoticeAddress, NoticeKind, Stage

if TYPE_CHECKING:
    from datetime import datetime

    from wacoex_cli.foundation.state import Row, State


class Reminders:
    """What the reminder keeps.

    Runs and schedules are written in transactions of their own, notices and links in the caller's.
    """

    def __init__(self, state: State) -> None:
        self._state = state

    def start_run(self, now: datetime) -> int:
        """Record that a run of `reminder notify` begins; returns its number."""
        with self._state.transaction():
            run_id = int(
                self._state.value("SELECT COALESCE(MAX(run_id), 0) + 1 FROM reminder_runs")
            )
            self._state.execute(
                "INSERT INTO reminder_runs (run_id, started_at) VALUES (?, ?)",
                [run_id, to_text(now)],
            )
        return run_id

    def finish_run(
        self, run_id: int, now: datetime, *, exit_status: int, sent: int, failed: int
    ) -> None:
        """Record how a run ended."""
        with self._state.transaction():
            self._state.execute(
                "UPDATE reminder_runs SET finished_at = ?, exit_status = ?, sent = ?, failed = ?"
                " WHERE run_id = ?",
                [to_text(now), exit_status, sent, failed, run_id],
            )

    def last_run(self) -> Row | None:
        """The last run: run_id, started_at, finished_at, exit_status, sent, failed.

        `finished_at` and `exit_status` are None while it runs, and for ever when it was killed.
        """
        return self._state.row("SELECT * FROM reminder_runs ORDER BY run_id DESC LIMIT 1")

    def schedule(self) -> Row | None:
        """The most frequent one that was installed: host, kind, every_seconds, installed_at."""
        return self._state.row(
            "SELECT * FROM reminder_schedules ORDER BY every_seconds, host, kind LIMIT 1"
        )

    def keep_schedule(self, host: str, kind: str, every_seconds: int, now: datetime) -> None:
        """Remember that a schedule is installed, since when it was so first."""
        with self._state.transaction():
            self._state.execute(
                "INSERT INTO reminder_schedules (host, kind, every_seconds, installed_at)"
                " VALUES (?, ?, ?, ?) ON CONFLICT (host, kind)"
                " DO UPDATE SET every_seconds = excluded.every_seconds",
                [host, kind, every_seconds, to_text(now)],
            )

    def forget_schedule(self, host: str, kind: str) -> None:
        """Remember that a schedule is no longer installed."""
        with self._state.transaction():
            self._state.execute(
                "DELETE FROM reminder_schedules WHERE host = ? AND kind = ?", [host, kind]
            )

    def last_notices(self) -> dict[tuple[int, str], LastNotice]:
        """The last notice of each channel (its id) and target."""
        rows = self._state.rows(
            "SELECT channel_id, target, kind, stage, sent_at FROM notices WHERE notice_id IN"
            " (SELECT MAX(notice_id) FROM notices GROUP BY channel_id, target)"
        )
        return {
            (row["channel_id"], row["target"]): LastNotice(
                NoticeKind(row["kind"]), Stage(row["stage"]), from_text(row["sent_at"])
            )
            for row in rows
        }

    def add_notice(
        self,
        channel_id: int,
        target: str,
        shown_target: str,
        notice: LastNotice,
        deadline_at: datetime | None,
    ) -> None:
        """Record a notice that was sent, as the last one of this channel and target."""
        self._state.execute(
            "INSERT INTO notices (notice_id, channel_id, target, shown_target, kind, stage,"
            " deadline_at, sent_at)"
            " SELECT COALESCE(MAX(notice_id), 0) + 1, ?, ?, ?, ?, ?, ?, ? FROM notices",
            [
                channel_id,
                target,
                shown_target,
                notice.kind.value,
                notice.stage.value,
                to_text(deadline_at) if deadline_at else None,
                to_text(notice.sent_at),
            ],
        )

    def add_test(self, target: str, shown_target: str, now: datetime, reason: str | None) -> None:
        """Record a test notice to a target; `reason` says why it failed, None when it was taken."""
        at = to_text(now)
        self._state.execute(
            "INSERT INTO test_notices (target, shown_target, tried_at, taken_at, reason)"
            " VALUES (?, ?, ?, ?, ?) ON CONFLICT (target) DO UPDATE SET"
            " tried_at = excluded.tried_at, reason = excluded.reason,"
            " taken_at = COALESCE(excluded.taken_at, test_notices.taken_at)",
            [target, shown_target, at, None if reason else at, reason],
        )

    def deliveries(self) -> dict[str, NoticeAddress]:
        """What is known of each target that a notice or a test was sent to."""
        rows = self._state.rows(
            "SELECT target, shown_target, MAX(taken_at) AS taken_at, MAX(reason) AS reason FROM"
            " (SELECT target, shown_target, taken_at, reason FROM test_notices"
            " UNION ALL SELECT target, shown_target, sent_at, NULL FROM notices)"
            " AS every GROUP BY target, shown_target ORDER BY target"
        )
        return {
            row["target"]: NoticeAddress(row["shown_target"], row["taken_at"], row["reason"])
            for row in rows
        }

    def add_link(
        self, token_hash: str, channel_id: int, sent_to: str, now: datetime, expires_at: datetime
    ) -> None:
        """Keep a confirmation link by the hash of its token."""
        self._state.execute(
            "INSERT INTO confirmation_links"
            " (token_hash, channel_id, sent_to, created_at, expires_at) VALUES (?, ?, ?, ?, ?)",
            [token_hash, channel_id, sent_to, to_text(now), to_text(expires_at)],
        )

    def find_link(self, token_hash: str) -> Row | None:
        """A link with the name and phone of its channel, and when that was archived."""
        return self._state.row(
            "SELECT l.*, c.name, c.phone, c.archived_at FROM confirmation_links l"
            " JOIN channels c ON c.channel_id = l.channel_id WHERE l.token_hash = ?",
            [token_hash],
        )

    def mark_link_used(self, token_hash: str, now: datetime) -> None:
        """Mark a link as used."""
        self._state.execute(
            "UPDATE confirmation_links SET used_at = ? WHERE token_hash = ?",
            [to_text(now), token_hash],
        )

    def remind_again(self, token_hash: str, at: datetime) -> None:
        """Keep that the person with a link wants another notice from a moment on."""
        self._state.execute(
            "UPDATE confirmation_links SET remind_at = ? WHERE token_hash = ?",
            [to_text(at), token_hash],
        )

    def wanted_reminders(self) -> dict[tuple[int, str], datetime]:
        """From when on another notice is wanted, by channel (its id) and shown target."""
        rows = self._state.rows(
            "SELECT channel_id, sent_to, MAX(remind_at) AS remind_at FROM confirmation_links"
            " WHERE remind_at IS NOT NULL GROUP BY channel_id, sent_to"
        )
        return {(row["channel_id"], row["sent_to"]): from_text(row["remind_at"]) for row in rows}

    def forget_links(self, expired_before: datetime) -> None:
        """Delete links that have been invalid for a long time."""
        self._state.execute(
            "DELETE FROM confirmation_links WHERE expires_at < ?", [to_text(expired_before)]
        )

"""The schema of the state file, as steps that are only ever appended to.

Wall times are RFC 3339 text in UTC, pacing times are seconds of the monotonic clock.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from wacoex_cli.foundation import migrations_watching as watching

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlite_utils import Database

SET_NAME = "wacoex"


def m001_channels(db: Database) -> None:
    db.execute(
        """
        CREATE TABLE channels (
            channel_id INTEGER PRIMARY KEY,
            name TEXT NOT NULL UNIQUE,
            phone TEXT NOT NULL UNIQUE,
            phone_number_id TEXT UNIQUE,
            waba_id TEXT,
            respondio_channel_id INTEGER,
            provider TEXT NOT NULL,
            owner TEXT,
            timezone TEXT,
            partner_app_id TEXT,
            is_in_use INTEGER NOT NULL DEFAULT 0,
            created_at TEXT NOT NULL,
            archived_at TEXT
        )
        """
    )


def m002_locks_and_pace(db: Database) -> None:
    db.execute("CREATE TABLE about (key TEXT PRIMARY KEY, value TEXT NOT NULL)")
    # Attempt ids must be unique beyond this file: they travel to Meta and come back in webhooks.
    db.execute("INSERT INTO about VALUES ('state_id', ?)", [uuid.uuid4().hex[:12]])
    db.execute(
        """
        CREATE TABLE locks (
            purpose TEXT PRIMARY KEY,
            holder TEXT NOT NULL,
            host TEXT NOT NULL,
            pid INTEGER NOT NULL,
            boot_id TEXT NOT NULL,
            acquired_at TEXT NOT NULL,
            heartbeat_at TEXT NOT NULL
        )
        """
    )
    db.execute(
        """
        CREATE TABLE paces (
            pace_key TEXT PRIMARY KEY,
            boot_id TEXT NOT NULL,
            next_slot REAL NOT NULL,
            slot_interval REAL NOT NULL,
            anchor_interval REAL NOT NULL,
            refused_share REAL NOT NULL,
            quiet_answers INTEGER NOT NULL,
            changed_at REAL NOT NULL,
            hold_until REAL NOT NULL
        )
        """
    )


def m003_broadcasts(db: Database) -> None:
    db.execute(
        """
        CREATE TABLE optouts (
            phone TEXT PRIMARY KEY,
            source TEXT NOT NULL,
            note TEXT,
            added_at TEXT NOT NULL
        )
        """
    )
    db.execute(
        """
        CREATE TABLE broadcasts (
            broadcast_id INTEGER PRIMARY KEY,
            channel_id INTEGER NOT NULL REFERENCES channels (channel_id),
            name TEXT,
            status TEXT NOT NULL,
            reason TEXT,
            reason_code INTEGER,
            template TEXT NOT NULL,
            parameter_sources TEXT NOT NULL,
            recipients_file TEXT NOT NULL,
            api_base_url TEXT NOT NULL,
            rate REAL NOT NULL,
            recipients INTEGER NOT NULL DEFAULT 0,
            skipped INTEGER NOT NULL DEFAULT 0,
            planned_at TEXT NOT NULL,
            started_at TEXT,
            finished_at TEXT,
            peak_in_one_second INTEGER NOT NULL DEFAULT 0
        )
        """
    )
    db.execute(
        """
        CREATE TABLE recipients (
            broadcast_id INTEGER NOT NULL REFERENCES broadcasts (broadcast_id),
            row INTEGER NOT NULL,
            line INTEGER NOT NULL,
            phone TEXT NOT NULL,
            parameters TEXT NOT NULL,
            state TEXT NOT NULL,
            reason TEXT,
            code INTEGER,
            detail TEXT,
            attempts INTEGER NOT NULL DEFAULT 0,
            tries_in_run INTEGER NOT NULL DEFAULT 0,
            first_try_in_run_at TEXT,
            not_before TEXT,
            holder TEXT,
            message_id TEXT,
            message_status TEXT,
            claimed_at TEXT,
            answered_at TEXT,
            PRIMARY KEY (broadcast_id, row)
        )
        """
    )
    # The last line of defence: the file itself refuses a second sendable row for one person.
    db.execute(
        "CREATE UNIQUE INDEX one_row_per_person ON recipients (broadcast_id, phone)"
        " WHERE state <> 'skipped'"
    )
    db.execute("CREATE INDEX recipients_by_state ON recipients (broadcast_id, state, row)")
    db.execute("CREATE INDEX recipients_cooling ON recipients (phone) WHERE code = 131049")
    db.execute(
        """
        CREATE TABLE broadcast_runs (
            run_id INTEGER PRIMARY KEY,
            broadcast_id INTEGER NOT NULL REFERENCES broadcasts (broadcast_id),
            holder TEXT NOT NULL,
            host TEXT NOT NULL,
            pid INTEGER NOT NULL,
            rate REAL NOT NULL,
            started_at TEXT NOT NULL,
            last_active_at TEXT NOT NULL,
            active_seconds REAL NOT NULL DEFAULT 0,
            ended_as TEXT
        )
        """
    )
    db.execute(
        """
        CREATE TABLE decisions (
            decision_id INTEGER PRIMARY KEY,
            broadcast_id INTEGER NOT NULL REFERENCES broadcasts (broadcast_id),
            row INTEGER,
            decided_at TEXT NOT NULL,
            decided_by TEXT NOT NULL,
            decision TEXT NOT NULL
        )
        """
    )


def m004_facts(db: Database) -> None:
    # A value without a reason is JSON; with a reason the access could not give it.
    db.execute(
        """
        CREATE TABLE facts (
            channel_id INTEGER NOT NULL REFERENCES channels (channel_id),
            name TEXT NOT NULL,
            value TEXT NOT NULL,
            source TEXT NOT NULL,
            observed_at TEXT NOT NULL,
            reason TEXT,
            PRIMARY KEY (channel_id, name)
        )
        """
    )
    db.execute(
        """
        CREATE TABLE reads (
            waba_id TEXT NOT NULL,
            hour TEXT NOT NULL,
            calls INTEGER NOT NULL,
            PRIMARY KEY (waba_id, hour)
        )
        """
    )


def m012_throttled(db: Database) -> None:
    # A row that is taken in the end forgets that it was refused for being too fast.
    db.execute("ALTER TABLE broadcast_runs ADD COLUMN throttled INTEGER NOT NULL DEFAULT 0")
    db.execute("ALTER TABLE broadcast_runs ADD COLUMN throttled_at TEXT")


def m013_providers_and_guards(db: Database) -> None:
    db.execute("ALTER TABLE broadcasts ADD COLUMN provider TEXT NOT NULL DEFAULT 'meta'")
    db.execute("ALTER TABLE broadcasts ADD COLUMN guards TEXT NOT NULL DEFAULT '{}'")
    # The first broadcast whose failed rows this one sends again; the one that this is a test of.
    db.execute("ALTER TABLE broadcasts ADD COLUMN retry_of INTEGER")
    db.execute("ALTER TABLE broadcasts ADD COLUMN test_of INTEGER")
    # The first name of a contact that respond.io has to be given before this row can be sent.
    db.execute("ALTER TABLE recipients ADD COLUMN new_contact TEXT")
    # When the request of the last try began; it was claimed a little earlier.
    db.execute("ALTER TABLE recipients ADD COLUMN left_at TEXT")
    # Statuses of respond.io name the message only; Meta's name the attempt.
    db.execute(
        "CREATE INDEX recipients_by_message ON recipients (message_id)"
        " WHERE message_id NOT LIKE 'wamid.%'"
    )
    # A million rows may wait for the morning; looking whose turn it is must not read them all.
    db.execute(
        "CREATE INDEX recipients_due ON recipients (broadcast_id, not_before, row)"
        " WHERE state = 'retry'"
    )
    # A limit that a server told about, in calls per second.
    db.execute("ALTER TABLE paces ADD COLUMN told_limit REAL")
    db.execute("ALTER TABLE optouts ADD COLUMN scope TEXT NOT NULL DEFAULT 'all'")


STEPS: tuple[Callable[[Database], None], ...] = (
    m001_channels,
    m002_locks_and_pace,
    m003_broadcasts,
    m004_facts,
    watching.m005_events,
    watching.m006_evidence,
    watching.m007_devices,
    watching.m008_reminders,
    watching.m009_pulling,
    watching.m010_onboarding,
    watching.m011_probes,
    m012_throttled,
    m013_providers_and_guards,
)

"""The tables of the first version: steps 1 to 11. A step that was published never changes."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlite_utils import Database


def m001_channels(db: Database) -> None:
    db.execute("""
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
        """)


def m002_locks_and_pace(db: Database) -> None:
    db.execute("CREATE TABLE about (key TEXT PRIMARY KEY, value TEXT NOT NULL)")
    # Attempt ids must be unique beyond this file: they travel to Meta and come back in webhooks.
    db.execute("INSERT INTO about VALUES ('state_id', ?)", [uuid.uuid4().hex[:12]])
    db.execute("""
        CREATE TABLE locks (
            purpose TEXT PRIMARY KEY,
            holder TEXT NOT NULL,
            host TEXT NOT NULL,
            pid INTEGER NOT NULL,
            boot_id TEXT NOT NULL,
            acquired_at TEXT NOT NULL,
            heartbeat_at TEXT NOT NULL
        )
        """)
    db.execute("""
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
        """)


def m003_broadcasts(db: Database) -> None:
    db.execute("""
        CREATE TABLE optouts (
            phone TEXT PRIMARY KEY,
            source TEXT NOT NULL,
            note TEXT,
            added_at TEXT NOT NULL
        )
        """)
    db.execute("""
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
        """)
    db.execute("""
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
        """)
    # The last line of defence: the file itself refuses a second sendable row for one person.
    db.execute(
        "CREATE UNIQUE INDEX one_row_per_person ON recipients (broadcast_id, phone)"
        " WHERE state <> 'skipped'"
    )
    db.execute("CREATE INDEX recipients_by_state ON recipients (broadcast_id, state, row)")
    db.execute("CREATE INDEX recipients_cooling ON recipients (phone) WHERE code = 131049")
    db.execute("""
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
        """)
    db.execute("""
        CREATE TABLE decisions (
            decision_id INTEGER PRIMARY KEY,
            broadcast_id INTEGER NOT NULL REFERENCES broadcasts (broadcast_id),
            row INTEGER,
            decided_at TEXT NOT NULL,
            decided_by TEXT NOT NULL,
            decision TEXT NOT NULL
        )
        """)


def m004_facts(db: Database) -> None:
    # A value without a reason is JSON; with a reason the access could not give it.
    db.execute("""
        CREATE TABLE facts (
            channel_id INTEGER NOT NULL REFERENCES channels (channel_id),
            name TEXT NOT NULL,
            value TEXT NOT NULL,
            source TEXT NOT NULL,
            observed_at TEXT NOT NULL,
            reason TEXT,
            PRIMARY KEY (channel_id, name)
        )
        """)
    db.execute("""
        CREATE TABLE reads (
            waba_id TEXT NOT NULL,
            hour TEXT NOT NULL,
            calls INTEGER NOT NULL,
            PRIMARY KEY (waba_id, hour)
        )
        """)


def m005_events(db: Database) -> None:
    # Payloads lie here without the content of messages, events are what was read out of them.
    db.execute("""
        CREATE TABLE payloads (
            payload_id INTEGER PRIMARY KEY,
            digest TEXT NOT NULL UNIQUE,
            source TEXT NOT NULL,
            via TEXT NOT NULL,
            received_at TEXT NOT NULL,
            size INTEGER NOT NULL,
            body TEXT NOT NULL
        )
        """)
    db.execute("""
        CREATE TABLE events (
            event_id INTEGER PRIMARY KEY,
            event_key TEXT NOT NULL UNIQUE,
            payload_id INTEGER NOT NULL,
            kind TEXT NOT NULL,
            source TEXT NOT NULL,
            at TEXT NOT NULL,
            phone_number_id TEXT,
            phone TEXT,
            waba_id TEXT,
            respondio_channel_id INTEGER,
            contact TEXT,
            message_id TEXT,
            data TEXT NOT NULL
        )
        """)
    db.execute("CREATE INDEX events_by_time ON events (at, event_id)")
    db.execute("CREATE INDEX events_by_kind ON events (kind, at, event_id)")
    db.execute("CREATE TABLE cursors (consumer TEXT PRIMARY KEY, event_id INTEGER NOT NULL)")
    db.execute("""
        CREATE TABLE arrivals (
            source TEXT NOT NULL,
            hour TEXT NOT NULL,
            payloads INTEGER NOT NULL,
            newest_at TEXT NOT NULL,
            PRIMARY KEY (source, hour)
        )
        """)
    db.execute("""
        CREATE TABLE numbers_seen (
            phone TEXT NOT NULL,
            phone_number_id TEXT NOT NULL,
            PRIMARY KEY (phone, phone_number_id)
        )
        """)
    db.execute("""
        CREATE TABLE active_contacts (
            month TEXT NOT NULL,
            address TEXT NOT NULL,
            contact TEXT NOT NULL,
            by_message INTEGER NOT NULL,
            by_echo INTEGER NOT NULL,
            PRIMARY KEY (month, address, contact)
        )
        """)


def m006_evidence(db: Database) -> None:
    # By address, not by channel: what comes in before a channel is added is not lost to it.
    db.execute("""
        CREATE TABLE evidence (
            address TEXT NOT NULL,
            kind TEXT NOT NULL,
            at TEXT NOT NULL,
            source TEXT NOT NULL,
            said_by TEXT NOT NULL,
            PRIMARY KEY (address, kind, at, source, said_by)
        )
        """)
    db.execute("""
        CREATE TABLE account_events (
            event_key TEXT PRIMARY KEY,
            event TEXT NOT NULL,
            at TEXT NOT NULL,
            source TEXT NOT NULL,
            waba_id TEXT,
            phone_number_id TEXT,
            phone TEXT,
            entry_id TEXT,
            reason TEXT,
            initiated_by TEXT,
            data TEXT NOT NULL
        )
        """)


def m007_devices(db: Database) -> None:
    db.execute("""
        CREATE TABLE devices (
            device_id INTEGER PRIMARY KEY,
            channel_id INTEGER NOT NULL REFERENCES channels (channel_id),
            kind TEXT NOT NULL,
            name TEXT NOT NULL,
            linked_at TEXT NOT NULL,
            relinked_at TEXT,
            last_used_at TEXT,
            visible INTEGER,
            removed_at TEXT
        )
        """)
    db.execute("""
        CREATE TABLE device_confirmations (
            channel_id INTEGER NOT NULL REFERENCES channels (channel_id),
            confirmed_at TEXT NOT NULL,
            confirmed_by TEXT NOT NULL,
            companions INTEGER NOT NULL,
            last_device_id INTEGER NOT NULL,
            PRIMARY KEY (channel_id, confirmed_at)
        )
        """)


def m008_reminders(db: Database) -> None:
    # `target` is a hash: an address such as a mail server's URL may hold a password.
    db.execute("""
        CREATE TABLE notices (
            notice_id INTEGER PRIMARY KEY,
            channel_id INTEGER NOT NULL REFERENCES channels (channel_id),
            target TEXT NOT NULL,
            shown_target TEXT NOT NULL,
            kind TEXT NOT NULL,
            stage TEXT NOT NULL,
            deadline_at TEXT,
            sent_at TEXT NOT NULL
        )
        """)
    db.execute("CREATE INDEX notices_by_target ON notices (channel_id, target, notice_id)")
    db.execute("""
        CREATE TABLE reminder_runs (
            run_id INTEGER PRIMARY KEY,
            started_at TEXT NOT NULL,
            finished_at TEXT,
            exit_status INTEGER,
            sent INTEGER NOT NULL DEFAULT 0,
            failed INTEGER NOT NULL DEFAULT 0
        )
        """)
    db.execute("""
        CREATE TABLE reminder_schedules (
            host TEXT NOT NULL,
            kind TEXT NOT NULL,
            every_seconds INTEGER NOT NULL,
            installed_at TEXT NOT NULL,
            PRIMARY KEY (host, kind)
        )
        """)
    db.execute("""
        CREATE TABLE confirmation_links (
            token_hash TEXT PRIMARY KEY,
            channel_id INTEGER NOT NULL REFERENCES channels (channel_id),
            sent_to TEXT NOT NULL,
            created_at TEXT NOT NULL,
            expires_at TEXT NOT NULL,
            used_at TEXT
        )
        """)


def m009_pulling(db: Database) -> None:
    db.execute("""
        CREATE TABLE pull_watermarks (
            respondio_channel_id INTEGER NOT NULL,
            contact TEXT NOT NULL,
            message_id INTEGER NOT NULL,
            read_from TEXT NOT NULL,
            pulled_at TEXT NOT NULL,
            PRIMARY KEY (respondio_channel_id, contact)
        )
        """)
    db.execute("""
        CREATE TABLE pull_sweeps (
            respondio_channel_id INTEGER PRIMARY KEY,
            started_at TEXT NOT NULL,
            cursor TEXT,
            contacts_done INTEGER NOT NULL DEFAULT 0,
            finished_at TEXT
        )
        """)


def m010_onboarding(db: Database) -> None:
    db.execute("""
        CREATE TABLE journeys (
            journey_id INTEGER PRIMARY KEY,
            channel_id INTEGER NOT NULL REFERENCES channels (channel_id),
            kind TEXT NOT NULL,
            via TEXT NOT NULL,
            started_at TEXT NOT NULL,
            finished_at TEXT
        )
        """)
    db.execute("""
        CREATE TABLE journey_steps (
            journey_id INTEGER NOT NULL REFERENCES journeys (journey_id),
            step TEXT NOT NULL,
            state TEXT NOT NULL,
            at TEXT NOT NULL,
            said_by TEXT,
            answer TEXT NOT NULL,
            PRIMARY KEY (journey_id, step)
        )
        """)
    # A call that Meta takes only once is claimed here before it leaves.
    db.execute("""
        CREATE TABLE one_shots (
            journey_id INTEGER NOT NULL REFERENCES journeys (journey_id),
            action TEXT NOT NULL,
            claimed_at TEXT NOT NULL,
            answered_at TEXT,
            answer TEXT,
            PRIMARY KEY (journey_id, action)
        )
        """)
    # The ids a channel had before: a number that is connected again gets new ones.
    db.execute("""
        CREATE TABLE former_ids (
            channel_id INTEGER NOT NULL REFERENCES channels (channel_id),
            name TEXT NOT NULL,
            value TEXT NOT NULL,
            until TEXT NOT NULL,
            PRIMARY KEY (channel_id, name, value, until)
        )
        """)


def m011_probes(db: Database) -> None:
    db.execute("""
        CREATE TABLE probes (
            probe_id INTEGER PRIMARY KEY,
            channel_id INTEGER NOT NULL REFERENCES channels (channel_id),
            contact TEXT NOT NULL,
            began_at TEXT NOT NULL,
            ended_at TEXT,
            heard INTEGER
        )
        """)
    # The phone itself is device 0.
    db.execute("""
        CREATE TABLE probe_words (
            probe_id INTEGER NOT NULL REFERENCES probes (probe_id),
            device_id INTEGER NOT NULL,
            word TEXT NOT NULL,
            outcome TEXT,
            seen_at TEXT,
            PRIMARY KEY (probe_id, device_id)
        )
        """)


FIRST_STEPS: tuple[Callable[[Database], None], ...] = (
    m001_channels,
    m002_locks_and_pace,
    m003_broadcasts,
    m004_facts,
    m005_events,
    m006_evidence,
    m007_devices,
    m008_reminders,
    m009_pulling,
    m010_onboarding,
    m011_probes,
)

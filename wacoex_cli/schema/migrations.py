"""The steps of the schema, from an empty file on. A step that was published never changes."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from wacoex_cli.schema.first_tables import FIRST_STEPS

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlite_utils import Database


SET_NAME = "wacoex"


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
    # A limit that a server stated, in calls per second.
    db.execute("ALTER TABLE paces ADD COLUMN told_limit REAL")
    db.execute("ALTER TABLE optouts ADD COLUMN scope TEXT NOT NULL DEFAULT 'all'")


_M014_HOURS = 72


def m014_already_sent(db: Database) -> None:
    # Who gets which message, as a number: a message that somebody has is found by it.
    db.execute("ALTER TABLE recipients ADD COLUMN sent_key INTEGER")
    db.execute(
        "CREATE INDEX recipients_by_sent_key ON recipients (sent_key)"
        " WHERE claimed_at IS NOT NULL AND sent_key IS NOT NULL"
    )
    # What becomes of people who have the message already, and whether that was looked at.
    db.execute("ALTER TABLE broadcasts ADD COLUMN repeats TEXT NOT NULL DEFAULT 'refused'")
    db.execute("ALTER TABLE broadcasts ADD COLUMN is_compared INTEGER NOT NULL DEFAULT 0")
    db.execute("ALTER TABLE broadcasts ADD COLUMN has_keys INTEGER NOT NULL DEFAULT 0")
    db.execute("UPDATE broadcasts SET is_compared = 1 WHERE started_at IS NOT NULL")
    db.execute("INSERT INTO about VALUES ('starts', '0')")
    since = datetime.now(UTC) - timedelta(hours=_M014_HOURS)
    moment = since.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    started = (
        "SELECT broadcast_id, template, parameter_sources FROM broadcasts"
        " WHERE started_at IS NOT NULL AND (finished_at IS NULL OR finished_at >= ?)"
    )
    for broadcast_id, template, sources in db.execute(started, [moment]).fetchall():
        base = _m014_base(template, sources)
        claimed = (
            "SELECT row, phone, parameters FROM recipients"
            " WHERE broadcast_id = ? AND row > ? AND claimed_at >= ? ORDER BY row LIMIT 5000"
        )
        last = -1
        while page := db.execute(claimed, [broadcast_id, last, moment]).fetchall():
            last = page[-1][0]
            db.conn.executemany(
                "UPDATE recipients SET sent_key = ? WHERE broadcast_id = ? AND row = ?",
                [(_m014_key(base, *rest), broadcast_id, row) for row, *rest in page],
            )


def _m014_base(template: str, sources: str) -> str:
    keys = [source["key"] for source in json.loads(sources)]
    return json.dumps([json.loads(template)["name"], *keys], ensure_ascii=False)


def _m014_key(base: str, phone: str, parameters: str) -> int:
    if len(phone) == 14:
        if phone.startswith(("+549", "+521")):
            phone = phone[:3] + phone[4:]
        elif phone.startswith("+55") and phone[5] == "9" and phone[6] in "6789":
            phone = phone[:5] + phone[6:]
    text = f"{base}\n{phone}\n{parameters}".encode()
    digest = hashlib.blake2b(text, digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


def m015_generation(db: Database) -> None:
    # A file that has broadcasts already is at 1, and `unsealed` until its sidecar is written.
    used = "EXISTS (SELECT 1 FROM broadcasts)"
    db.execute(f"INSERT INTO about SELECT 'generation', CASE WHEN {used} THEN '1' ELSE '0' END")
    db.execute(f"INSERT INTO about SELECT 'unsealed', '1' WHERE {used}")
    db.execute("""
        CREATE TABLE adoptions (
            adoption_id INTEGER PRIMARY KEY,
            adopted_at TEXT NOT NULL,
            adopted_by TEXT NOT NULL,
            reason TEXT NOT NULL,
            ambiguous INTEGER NOT NULL
        )
        """)


def m016_output(db: Database) -> None:
    db.execute("""
        CREATE TABLE lost_output (
            command TEXT NOT NULL,
            stream TEXT NOT NULL,
            reason TEXT NOT NULL,
            at TEXT NOT NULL,
            is_failure INTEGER NOT NULL,
            ended_with TEXT,
            PRIMARY KEY (command, stream)
        )
        """)


def m017_pace(db: Database) -> None:
    # The guard against bunching, and what the way back to the full pace needs to know.
    db.execute("ALTER TABLE paces ADD COLUMN quiet_seconds REAL NOT NULL DEFAULT 0")
    db.execute("ALTER TABLE paces ADD COLUMN stray_share REAL NOT NULL DEFAULT 0")
    db.execute("ALTER TABLE paces ADD COLUMN counted_from REAL NOT NULL DEFAULT 0")
    db.execute("ALTER TABLE paces ADD COLUMN last_left_at REAL NOT NULL DEFAULT 0")
    db.execute("ALTER TABLE paces ADD COLUMN taken REAL NOT NULL DEFAULT 0")
    db.execute("ALTER TABLE paces ADD COLUMN counted_seconds REAL NOT NULL DEFAULT 0")
    db.execute("ALTER TABLE paces ADD COLUMN guard REAL NOT NULL DEFAULT 0.025")
    # How our own messages left: the most in a second, and how many too close to the one before.
    db.execute("ALTER TABLE broadcast_runs ADD COLUMN peak INTEGER NOT NULL DEFAULT 0")
    db.execute("ALTER TABLE broadcast_runs ADD COLUMN bunched INTEGER NOT NULL DEFAULT 0")


def m018_persons(db: Database) -> None:
    # A number and a user id that were seen together: first, last, and until when if that was said.
    # `account` is the WhatsApp Business Account where it is known, else the number of ours.
    db.execute("""
        CREATE TABLE person_pairs (
            account TEXT NOT NULL,
            phone TEXT NOT NULL,
            user_id TEXT NOT NULL,
            source TEXT NOT NULL,
            since TEXT NOT NULL,
            seen_at TEXT NOT NULL,
            until TEXT,
            PRIMARY KEY (account, phone, user_id)
        )
        """)
    db.execute("CREATE INDEX person_pairs_by_phone ON person_pairs (phone)")
    db.execute("CREATE INDEX person_pairs_by_user_id ON person_pairs (user_id)")
    # A person got another number, or another id: both are E.164 or `user_id:...`.
    db.execute("""
        CREATE TABLE person_moves (
            account TEXT NOT NULL,
            before TEXT NOT NULL,
            after TEXT NOT NULL,
            at TEXT NOT NULL,
            PRIMARY KEY (account, before, after, at)
        )
        """)
    db.execute("CREATE INDEX person_moves_by_before ON person_moves (before)")
    db.execute("CREATE INDEX person_moves_by_after ON person_moves (after)")
    # Which of our numbers belongs to which account, as events say.
    db.execute("""
        CREATE TABLE accounts_seen (
            address TEXT NOT NULL,
            waba_id TEXT NOT NULL,
            PRIMARY KEY (address, waba_id)
        )
        """)
    # Opt-outs of before hold for every business: their account is ''.
    db.execute("""
        CREATE TABLE optouts_by_business (
            phone TEXT NOT NULL,
            source TEXT NOT NULL,
            note TEXT,
            added_at TEXT NOT NULL,
            scope TEXT NOT NULL DEFAULT 'all',
            account TEXT NOT NULL DEFAULT '',
            PRIMARY KEY (phone, account)
        )
        """)
    db.execute(
        "INSERT INTO optouts_by_business (phone, source, note, added_at, scope)"
        " SELECT phone, source, note, added_at, scope FROM optouts"
    )
    db.execute("DROP TABLE optouts")
    db.execute("ALTER TABLE optouts_by_business RENAME TO optouts")
    db.execute("""
        CREATE TABLE optouts_by_id (
            user_id TEXT NOT NULL,
            source TEXT NOT NULL,
            note TEXT,
            added_at TEXT NOT NULL,
            scope TEXT NOT NULL,
            account TEXT NOT NULL,
            PRIMARY KEY (user_id, account)
        )
        """)
    # What people said, as they said it; the list follows from it and from who is who.
    db.execute("""
        CREATE TABLE stops_said (
            who TEXT NOT NULL,
            account TEXT NOT NULL,
            scope TEXT NOT NULL,
            source TEXT NOT NULL,
            at TEXT NOT NULL,
            PRIMARY KEY (who, account, scope, source, at)
        )
        """)
    # A stop of before somebody was taken off the list does not put them on it again.
    db.execute("CREATE TABLE optouts_removed (who TEXT PRIMARY KEY, removed_at TEXT NOT NULL)")
    # Events of before hold no id beside a number; of ids alone what was said to Meta is taken over.
    account = (
        "CASE WHEN waba_id IS NOT NULL THEN 'waba_id:' || waba_id"
        " WHEN phone_number_id IS NOT NULL THEN 'phone_number_id:' || phone_number_id ELSE '' END"
    )
    said = (
        f"SELECT contact, {account} AS account, MIN(at) AS at FROM events"
        " WHERE kind = 'user_preference' AND contact LIKE 'user_id:%'"
        """ AND data LIKE '%"value":"stop"%' GROUP BY contact, account"""
    )
    db.execute(
        "INSERT INTO stops_said (who, account, scope, source, at) SELECT contact, account,"
        f" 'marketing', 'meta-user_preferences', at FROM ({said}) AS said"
    )
    db.execute(
        "INSERT INTO optouts_by_id (user_id, source, note, added_at, scope, account)"
        " SELECT substr(who, 9), source, 'said at ' || at, at, scope, account FROM stops_said"
    )
    db.execute(
        "INSERT INTO cursors (consumer, event_id)"
        " SELECT 'persons', event_id FROM cursors WHERE consumer = 'opt-outs'"
    )
    db.execute(f"CREATE VIEW channel_accounts AS {_M018_ACCOUNTS}")
    db.execute(f"CREATE VIEW one_business AS {_M018_ONE_BUSINESS}")


_M018_NUMBERS = (
    "SELECT channel_id, 'phone:' || phone AS account FROM channels"
    " UNION SELECT channel_id, 'phone_number_id:' || phone_number_id FROM channels"
    " WHERE phone_number_id IS NOT NULL"
    " UNION SELECT channel_id, 'respondio_channel_id:' || CAST(respondio_channel_id AS TEXT)"
    " FROM channels WHERE respondio_channel_id IS NOT NULL"
    " UNION SELECT channel_id, name || ':' || value FROM former_ids WHERE name <> 'waba_id'"
    " UNION SELECT c.channel_id, 'phone_number_id:' || n.phone_number_id FROM channels c"
    " JOIN numbers_seen n ON n.phone = c.phone"
)
_M018_ACCOUNTS = (
    f"{_M018_NUMBERS}"
    " UNION SELECT channel_id, 'waba_id:' || waba_id FROM channels WHERE waba_id IS NOT NULL"
    " UNION SELECT channel_id, 'waba_id:' || value FROM former_ids WHERE name = 'waba_id'"
    " UNION SELECT n.channel_id, 'waba_id:' || s.waba_id"
    f" FROM ({_M018_NUMBERS}) n JOIN accounts_seen s ON s.address = n.account"
)
_M018_OWNED = (
    "SELECT channel_id, json_extract(value, '$.id') AS owner FROM facts"
    " WHERE name = 'waba.owner_business_info' AND reason IS NULL AND value LIKE '{%'"
)
_M018_ONE_BUSINESS = (
    "SELECT channel_id, channel_id AS other_id FROM channels"
    " UNION SELECT a.channel_id, b.channel_id FROM channels a"
    " JOIN channels b ON a.waba_id = b.waba_id"
    f" UNION SELECT a.channel_id, b.channel_id FROM ({_M018_OWNED}) a"
    f" JOIN ({_M018_OWNED}) b ON a.owner = b.owner"
)


def m019_recipients_by_id(db: Database) -> None:
    db.execute("ALTER TABLE recipients ADD COLUMN user_id TEXT")
    table = "recipients (user_id) WHERE user_id IS NOT NULL"
    db.execute(f"CREATE INDEX recipients_by_user_id ON {table}")


def m020_message_ids(db: Database) -> None:
    # What Meta held back or paused is a state of its own; a word beside `accepted` said so before.
    held = "CASE message_status WHEN 'paused' THEN 'paused_by_meta' ELSE 'held_by_meta' END"
    db.execute(
        f"UPDATE recipients SET state = {held} WHERE state = 'accepted'"
        " AND message_status IN ('held_for_quality_assessment', 'paused')"
    )
    db.execute("ALTER TABLE recipients DROP COLUMN message_status")
    # Statuses of Meta that name no attempt join by the message; those of before are read again.
    db.execute("DROP INDEX recipients_by_message")
    db.execute(
        "CREATE INDEX recipients_by_message ON recipients (message_id) WHERE message_id IS NOT NULL"
    )
    db.execute(
        "UPDATE cursors SET event_id = (SELECT MIN(e.event_id) - 1 FROM events e"
        f" WHERE {_M020_LEFT_OUT}) WHERE consumer = 'deliveries'"
        f" AND event_id >= (SELECT MIN(e.event_id) FROM events e WHERE {_M020_LEFT_OUT})"
    )


_M020_LEFT_OUT = (
    "e.kind = 'status' AND e.data NOT LIKE '%\"attempt_id\":\"wacoex-%' AND EXISTS"
    " (SELECT 1 FROM recipients r WHERE r.message_id = e.message_id"
    " AND r.state IN ('accepted', 'sent', 'held_by_meta', 'paused_by_meta'))"
)


def m021_unplaced_events(db: Database) -> None:
    ours = "phone_number_id, phone, waba_id, respondio_channel_id"
    names = f"{ours}, source, kind, said".replace(",", " TEXT NOT NULL,")
    counts = "events INTEGER NOT NULL, newest_at TEXT NOT NULL, last_event_id INTEGER NOT NULL"
    key = f"PRIMARY KEY ({ours}, source, kind, said)"
    db.execute(f"CREATE TABLE unplaced_events ({names} TEXT NOT NULL, {counts}, {key})")
    names = f"{ours}, kind, subject, what, at, unclear".replace(",", " TEXT NOT NULL,")
    more = f"{names} TEXT NOT NULL, look INTEGER NOT NULL"
    db.execute(f"CREATE TABLE unclear_events (event_key TEXT PRIMARY KEY, {more})")
    # A long log is not read again as a whole: of what was there the last counts.
    begin = "MAX(event_id) - 10000 FROM events HAVING MAX(event_id) > 10000"
    for reader in ("unplaced", "unclear"):
        db.execute(f"INSERT INTO cursors (consumer, event_id) SELECT '{reader}', {begin}")


def m022_reread(db: Database) -> None:
    """When the category of a broadcast's template was learned last; NULL: when it was planned."""
    db.execute("ALTER TABLE broadcasts ADD COLUMN category_at TEXT")


def m023_old_logs(db: Database) -> None:
    db.execute("CREATE INDEX optouts_by_added_at ON optouts (added_at)")
    db.execute("CREATE INDEX optouts_by_id_by_added_at ON optouts_by_id (added_at)")
    columns = "who TEXT NOT NULL, account TEXT NOT NULL, at TEXT NOT NULL"
    db.execute(f"CREATE TABLE stops_resumed ({columns}, PRIMARY KEY (who, account, at))")
    db.execute("DELETE FROM about WHERE key = 'consent'")


def m024_test_notices(db: Database) -> None:
    db.execute("""
        CREATE TABLE test_notices (
            target TEXT PRIMARY KEY,
            shown_target TEXT NOT NULL,
            tried_at TEXT NOT NULL,
            taken_at TEXT,
            reason TEXT
        )
        """)


def m025_remind_tomorrow(db: Database) -> None:
    """When the person with a link asked to be reminded again; NULL: nobody did."""
    db.execute("ALTER TABLE confirmation_links ADD COLUMN remind_at TEXT")


def m026_media(db: Database) -> None:
    """Files that messages show, by the SHA-256 of their content, and their ids at Meta."""
    db.execute("""
        CREATE TABLE media_files (
            sha256 TEXT PRIMARY KEY,
            mime TEXT NOT NULL,
            size INTEGER NOT NULL,
            path TEXT,
            seen_at TEXT NOT NULL
        )
        """)
    # `ends_at` is NULL for an id that wacoex did not upload: nobody says when that was.
    db.execute("""
        CREATE TABLE media_ids (
            sha256 TEXT NOT NULL,
            phone_number_id TEXT NOT NULL,
            media_id TEXT NOT NULL,
            uploaded_at TEXT NOT NULL,
            ends_at TEXT,
            PRIMARY KEY (sha256, phone_number_id)
        )
        """)


def m027_template_writes(db: Database) -> None:
    """Templates that were created or edited from here: Meta limits both, and counts for itself."""
    db.execute("""
        CREATE TABLE template_writes (
            waba_id TEXT NOT NULL,
            template_id TEXT NOT NULL,
            kind TEXT NOT NULL,
            at TEXT NOT NULL
        )
        """)
    db.execute("CREATE INDEX template_writes_by_waba ON template_writes (waba_id, at)")


def m028_pressure(db: Database) -> None:
    """The limits that were given for a broadcast (JSON), and when one of a day lets it go on."""
    db.execute("ALTER TABLE broadcasts ADD COLUMN pressure TEXT NOT NULL DEFAULT '{}'")
    db.execute("ALTER TABLE broadcasts ADD COLUMN continues_at TEXT")
    # What left in the last 24 hours, and when the first message of a number did.
    db.execute(
        "CREATE INDEX recipients_by_claim ON recipients (broadcast_id, claimed_at)"
        " WHERE claimed_at IS NOT NULL"
    )
    # What a person got before, from any broadcast, and whether they have answered since.
    db.execute(
        "CREATE INDEX recipients_by_phone ON recipients (phone) WHERE claimed_at IS NOT NULL"
    )
    db.execute(
        "CREATE INDEX events_by_contact ON events (contact, at)"
        " WHERE kind IN ('message', 'unsupported')"
    )


def m029_audience(db: Database) -> None:
    """To whom a broadcast was meant: its list and sources, its condition and exclusions."""
    db.execute("ALTER TABLE broadcasts ADD COLUMN audience TEXT NOT NULL DEFAULT '{}'")


def m030_many_channels(db: Database) -> None:
    """Events by number, and how much came in for each number on each day."""
    db.execute(f"CREATE INDEX events_by_number ON events ({_M030_NUMBER}, kind, at, event_id)")
    # Beside `events_by_contact`, which has what people wrote: what else was seen of them.
    db.execute(
        "CREATE INDEX echoes_by_contact ON events (contact, at)"
        " WHERE kind IN ('echo', 'standby', 'edit')"
    )
    db.execute("""
        CREATE TABLE traffic (
            number TEXT NOT NULL,
            kind TEXT NOT NULL,
            day TEXT NOT NULL,
            phone_number_id TEXT NOT NULL,
            phone TEXT NOT NULL,
            respondio_channel_id TEXT NOT NULL,
            messages INTEGER NOT NULL,
            newest_at TEXT NOT NULL,
            last_event_id INTEGER NOT NULL,
            PRIMARY KEY (number, kind, day, phone_number_id, phone, respondio_channel_id)
        )
        """)
    # What the projection would make of the events that are there, in a fraction of its time.
    db.execute(
        f"INSERT INTO traffic SELECT COALESCE({_M030_NUMBER}, ''), kind, SUBSTR(at, 1, 10),"
        " COALESCE(phone_number_id, ''), COALESCE(phone, ''),"
        " COALESCE(CAST(respondio_channel_id AS TEXT), ''), COUNT(*), MAX(at), MAX(event_id)"
        """ FROM events WHERE kind = 'echo' OR (kind IN ('message', 'standby')"""
        """ AND data LIKE '%"direction":"in"%') GROUP BY 1, 2, 3, 4, 5, 6"""
    )
    newest = "MAX(event_id) FROM events HAVING MAX(event_id) IS NOT NULL"
    db.execute(f"INSERT INTO cursors (consumer, event_id) SELECT 'traffic', {newest}")


_M030_NUMBER = (
    "COALESCE(NULLIF(phone_number_id, ''), NULLIF(phone, ''), CAST(respondio_channel_id AS TEXT),"
    " waba_id)"
)


STEPS: tuple[Callable[[Database], None], ...] = (
    *FIRST_STEPS,
    m012_throttled,
    m013_providers_and_guards,
    m014_already_sent,
    m015_generation,
    m016_output,
    m017_pace,
    m018_persons,
    m019_recipients_by_id,
    m020_message_ids,
    m021_unplaced_events,
    m022_reread,
    m023_old_logs,
    m024_test_notices,
    m025_remind_tomorrow,
    m026_media,
    m027_template_writes,
    m028_pressure,
    m029_audience,
    m030_many_channels,
)

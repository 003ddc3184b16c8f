"""`wacoex events import`: each payload once, and in any order it comes to the same."""

from __future__ import annotations

import contextlib
import gzip
import json
import tempfile
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.state_files import make_empty
from wacoex_cli.app import projections
from wacoex_cli.events import import_file
from wacoex_cli.events.import_file import Item, import_items, reader, storing
from wacoex_cli.events.store import EventLog, catch_up
from wacoex_cli.foundation.clock import SystemClock
from wacoex_cli.foundation.state import Row, State, open_state
from wacoex_cli.ledger.model import attempt_id
from wacoex_cli.platforms.events import Kind

FIXTURES = Path(__file__).parent / "fixtures"
BODIES = {path.stem: json.loads(path.read_text()) for path in sorted(FIXTURES.glob("*.json"))}
TEXT, ECHO = BODIES["meta_message_text"], BODIES["meta_echo_text"]


@pytest.fixture
def imported(run, state):
    """Import some content: `imported(text, "--dry-run")`; `-` is fed, everything else a file."""

    def call(content: str | bytes, *options: str, **more: Any):
        return run(
            *("events", "import", "-", "--json", *options),
            stdin=content,
            env={"WACOEX_STATE": str(state.path)},
            **more,
        )

    return call


def lines(*bodies: object) -> str:
    return "".join(f"{json.dumps(body)}\n" for body in bodies)


def test_an_archive_of_lines_is_stored_and_counted_by_kind(imported):
    done = imported(lines(TEXT, ECHO, TEXT))

    assert done.code == 0
    assert {name: done.data[name] for name in ("read", "stored", "duplicates", "invalid")} == {
        "read": 3,
        "stored": 2,
        "duplicates": 1,
        "invalid": 0,
    }
    assert done.data["by_kind"]["echo"] == 1
    assert set(done.data["by_kind"]) == {kind.value for kind in Kind}


def test_a_second_import_stores_nothing(imported, state):
    content = lines(*BODIES.values())

    first, second = imported(content), imported(content)

    assert first.code == second.code == 0
    assert (second.data["stored"], second.data["duplicates"]) == (0, len(BODIES))
    assert sum(second.data["by_kind"].values()) == 0
    assert first.data["stored"] > 40


@pytest.mark.parametrize("indent", [None, 2])
def test_one_json_array_is_read_like_lines(imported, state, indent):
    done = imported(json.dumps(list(BODIES.values()), indent=indent))

    assert (done.code, done.data["read"]) == (0, len(BODIES))
    again = imported(lines(*BODIES.values()))
    assert again.data["stored"] == 0


def test_objects_laid_out_over_several_lines_are_read_too(imported):
    done = imported(f"{json.dumps(TEXT, indent=4)}\n{json.dumps(ECHO, indent=4)}\n")

    assert (done.code, done.data["stored"]) == (0, 2)


def test_broken_lines_are_named_by_number_and_stop_nothing(imported):
    cut_short = json.dumps(TEXT)[:80]
    content = f"\n{lines(TEXT)}{cut_short}\n\n[1]\n{lines(ECHO)}" + '{"object": "page"}\n'

    done = imported(content)

    assert done.code == 7
    assert done.envelope["status"] == "partial"
    assert (done.data["read"], done.data["stored"], done.data["invalid"]) == (5, 2, 3)
    assert done.data["invalid_lines"] == [
        {"line": 3, "reason": "it is not JSON, or was cut short"},
        {"line": 5, "reason": "neither Meta nor respond.io sends such an object"},
        {"line": 7, "reason": "neither Meta nor respond.io sends such an object"},
    ]
    assert "line 3: it is not JSON, or was cut short" in done.err


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"\xff\xfe{}\n", "it is not UTF-8"),
        (b'{"a": NaN}\n', "it is not JSON, or was cut short"),
        (b'{"object": "whatsapp_business_account"}\n', "it has no list `entry`"),
        (b"[" * 100_000, "it is nested too deep; reading ends here"),
        (b'{"a":' + b"[" * 100_000 + b"\n", "it is nested too deep"),
        (b'[{"a": "\xff"}]', "neither Meta nor respond.io sends such an object"),
    ],
    ids=["bytes", "constant", "shape", "deep array", "deep line", "bytes in an array"],
)
def test_a_file_without_a_usable_line_is_an_error_with_the_first_reason(imported, content, reason):
    done = imported(content)

    assert done.code == 2
    assert done.envelope["status"] == "error"
    assert reason in done.envelope["errors"][0]["message"]
    assert done.data["invalid_lines"][0]["reason"] == reason


def test_an_array_is_read_up_to_where_it_breaks(imported):
    content = json.dumps([TEXT, ECHO, BODIES["meta_edit"]], indent=1)

    done = imported(content[:-40])

    assert (done.code, done.data["stored"]) == (7, 2)
    [answer] = done.data["invalid_lines"]
    assert answer["reason"] == "it is not JSON, or was cut short; reading ends here"
    assert answer["line"] == len(json.dumps([TEXT, ECHO], indent=1).splitlines())


def test_at_most_a_hundred_broken_lines_are_named(imported):
    done = imported("broken\n" * 250 + lines(TEXT))

    assert (done.data["invalid"], len(done.data["invalid_lines"])) == (250, 100)
    assert done.err.count("cut short") == 100


def test_an_empty_file_is_not_a_failure(imported):
    assert imported("").data["read"] == 0
    assert imported("\n\n").code == 0
    assert imported("[]").code == 0


def test_a_byte_order_mark_is_passed_over(imported):
    assert imported(b"\xef\xbb\xbf" + lines(TEXT).encode()).data["stored"] == 1
    assert imported(b"\xef\xbb\xbf[" + json.dumps(ECHO).encode() + b"]").data["stored"] == 1


def test_a_dry_run_says_the_same_and_stores_nothing(imported, state):
    imported(lines(TEXT))
    content = lines(TEXT, ECHO, ECHO, *([BODIES["meta_several_entries"]] * 600), "broken")

    tried = imported(content, "--dry-run")
    before = state.value("SELECT COUNT(*) FROM events")
    done = imported(content)

    assert before == 1
    assert tried.code == done.code == 7
    assert tried.data.pop("dry_run") is True
    assert {**tried.data, "dry_run": False} == done.data


def test_a_payload_of_a_thousand_updates_is_one_payload(imported, state):
    [change] = TEXT["entry"][0]["changes"]
    [message] = change["value"]["messages"]
    messages = [{**message, "id": f"wamid.{number}"} for number in range(1_000)]
    value = {**change["value"], "messages": messages}
    body = {**TEXT, "entry": [{**TEXT["entry"][0], "changes": [{**change, "value": value}]}]}

    done = imported(lines(body))

    assert (done.data["stored"], done.data["by_kind"]["message"]) == (1, 1_000)


def test_a_payload_of_three_megabytes_is_read_and_a_longer_line_is_not(imported):
    [change] = TEXT["entry"][0]["changes"]
    [message] = change["value"]["messages"]
    long = {**message, "id": "wamid.L", "text": {"body": "x" * 3 * 1024**2}}
    value = {**change["value"], "messages": [long]}
    body = {**TEXT, "entry": [{**TEXT["entry"][0], "changes": [{**change, "value": value}]}]}
    too_long = '{"object": "' + "x" * (import_file.LARGEST_BYTES * 2) + '"}\n'

    done = imported(lines(body) + too_long + lines(ECHO))

    assert (done.data["stored"], done.data["invalid"]) == (2, 1)
    assert done.data["invalid_lines"] == [{"line": 2, "reason": "it is longer than 8 MiB"}]


def test_texts_and_names_do_not_reach_the_state_file(imported, state):
    imported(lines(*BODIES.values()))

    name = TEXT["entry"][0]["changes"][0]["value"]["contacts"][0]["profile"]["name"]
    text = TEXT["entry"][0]["changes"][0]["value"]["messages"][0]["text"]["body"]
    stored = state.rows("SELECT body FROM payloads") + state.rows("SELECT data FROM events")
    assert not any(name in str(row) or text in str(row) for row in stored)


def test_imported_events_reach_the_projections(imported, state):
    imported(lines(ECHO, BODIES["meta_user_preference_stop"]))

    assert state.value("SELECT COUNT(*) FROM evidence WHERE kind = 'echo'") == 1
    assert state.value("SELECT COUNT(*) FROM optouts") == 1
    assert state.value("SELECT COUNT(*) FROM active_contacts WHERE by_echo = 1") == 1


def test_an_import_says_nothing_about_when_webhooks_come_in(imported, state):
    imported(lines(TEXT))

    assert state.value("SELECT COUNT(*) FROM arrivals") == 0


def as_n8n_logs_it(body: object, *, is_text: bool = False) -> dict[str, object]:
    about = {"headers": {"x-hub-signature-256": "sha256=0"}, "params": {}, "query": {}}
    more = {"webhookUrl": "https://n8n.example/webhook/x", "executionMode": "production"}
    return {**about, "body": json.dumps(body) if is_text else body, **more}


@pytest.mark.parametrize(
    "content",
    [
        json.dumps([as_n8n_logs_it(TEXT), as_n8n_logs_it(ECHO)]),
        lines([as_n8n_logs_it(TEXT)], [as_n8n_logs_it(ECHO)]),
        lines([TEXT], [], [ECHO]).replace("[]\n", ""),
        lines(as_n8n_logs_it(TEXT, is_text=True), {"body": [ECHO]}),
        lines([TEXT, ECHO]),
        json.dumps([[TEXT], [ECHO]]),
    ],
)
def test_an_archive_of_another_program_is_the_same_as_the_payloads_in_it(
    imported, state, content: str
) -> None:
    done = imported(content)

    assert (done.code, done.data["read"], done.data["stored"]) == (0, 2, 2)
    assert imported(lines(TEXT, ECHO)).data["stored"] == 0


def test_a_wrapper_around_something_else_is_named_by_its_line(imported) -> None:
    done = imported(lines(TEXT, as_n8n_logs_it({"hello": 1})))

    assert (done.code, done.data["stored"], done.data["invalid"]) == (7, 1, 1)
    assert done.data["invalid_lines"][0]["line"] == 2


def test_a_packed_file_is_read_like_a_plain_one(run, state, tmp_path) -> None:
    path = tmp_path / "webhooks.ndjson.gz"
    path.write_bytes(gzip.compress(lines(TEXT, ECHO).encode()))

    done = run("events", "import", str(path), "--json", env={"WACOEX_STATE": str(state.path)})

    assert (done.code, done.data["stored"]) == (0, 2)


def test_the_readable_part_of_a_cut_packed_file_is_kept(run, state, tmp_path) -> None:
    path = tmp_path / "webhooks.ndjson.gz"
    whole = gzip.compress(lines(TEXT, ECHO).encode())
    path.write_bytes(whole + gzip.compress(lines(TEXT, ECHO).encode())[:40])

    done = run("events", "import", str(path), "--json", env={"WACOEX_STATE": str(state.path)})

    assert (done.code, done.data["stored"], done.data["invalid"]) == (7, 2, 1)
    assert "its gzip is broken or was cut short" in done.data["invalid_lines"][0]["reason"]


def test_a_file_is_imported_and_a_missing_one_refused(run, state, tmp_path):
    file = tmp_path / "webhooks.ndjson"
    file.write_text(lines(TEXT, ECHO))
    env = {"WACOEX_STATE": str(state.path)}

    done = run("events", "import", str(file), env=env)
    missing = run("events", "import", str(tmp_path / "no.json"), env=env)
    terminal = run("events", "import", "-", tty=True, env=env)

    assert done.code == 0
    assert "2 payloads read: 2 stored, 0 known already, 0 unreadable" in done.out
    assert missing.code == terminal.code == 2
    assert "no such file" in missing.err
    assert list(EventLog(state).find(kinds={Kind.ECHO}))


NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
ARCHIVE = [
    json.loads(path.read_text())
    for path in sorted((Path(__file__).parent / "fixtures").glob("*.json"))
]
PROJECTED = ("active_contacts", "evidence", "account_events", "numbers_seen", "optouts")
PHONE, PHONE_NUMBER_ID, WABA = "6563210000", "106540352242922", "102290129340398"
STATE_ID = "abc123"
PEOPLE = [f"65910000{number:02}" for number in range(4)]
# From the edge of one month to that of the next, so that ties and months both come up.
TIMES = st.sampled_from([1793491199, 1793491200, 1793880000, 1793880000, 1796083199, 1796083200])


def webhook(field: str, **value: Any) -> dict[str, Any]:
    metadata = {"display_phone_number": PHONE, "phone_number_id": PHONE_NUMBER_ID}
    change = {"field": field, "value": {"metadata": metadata, **value}}
    entry = {"id": WABA, "time": 1793880000, "changes": [change]}
    return {"object": "whatsapp_business_account", "entry": [entry]}


@st.composite
def statuses(draw: st.DrawFn) -> dict[str, Any]:
    """The statuses of one of our three messages; each has one time."""
    row = draw(st.integers(0, 2))
    word = draw(st.sampled_from(["sent", "delivered", "read", "failed", "played"]))
    answer: dict[str, Any] = {
        "id": f"wamid.OURS{row}",
        "status": word,
        "timestamp": str(1793880000 + len(word) * 100_000 + row),
        "recipient_id": PEOPLE[row],
        "biz_opaque_callback_data": attempt_id(STATE_ID, 1, row, 1),
    }
    if word == "failed":
        answer["errors"] = [{"code": (131026, 131050, 131049)[row], "title": "-"}]
    return webhook("messages", statuses=[answer])


@st.composite
def echoes(draw: st.DrawFn) -> dict[str, Any]:
    at, person = draw(TIMES), draw(st.sampled_from(PEOPLE))
    answer = {"from": PHONE, "to": person, "id": f"wamid.E{at}{person}", "timestamp": str(at)}
    return webhook("smb_message_echoes", message_echoes=[{**answer, "type": "image"}])


@st.composite
def messages(draw: st.DrawFn) -> dict[str, Any]:
    at, person = draw(TIMES), draw(st.sampled_from(PEOPLE))
    answer = {"from": person, "id": f"wamid.M{at}{person}", "timestamp": str(at), "type": "text"}
    return webhook("messages", messages=[{**answer, "text": {"body": "hello"}}])


@st.composite
def preferences(draw: st.DrawFn) -> dict[str, Any]:
    answer = {
        "wa_id": draw(st.sampled_from(PEOPLE)),
        "category": "marketing_messages",
        "value": draw(st.sampled_from(["stop", "resume"])),
        "timestamp": draw(TIMES),
    }
    return webhook("user_preferences", user_preferences=[answer])


PAYLOADS = st.lists(
    st.one_of(st.sampled_from(ARCHIVE), statuses(), echoes(), messages(), preferences()),
    min_size=1,
    max_size=12,
)


def end_of(deliveries: Sequence[Iterable[dict[str, Any]]]) -> dict[str, list[str]]:
    """Everything there is after the deliveries, each of them projected before the next comes."""
    with tempfile.TemporaryDirectory() as directory:
        state = open_state(make_empty(Path(directory) / "wacoex.db"))
        with contextlib.closing(state):
            plan_three_rows(state)
            for bodies in deliveries:
                items = (Item(line, 1, body) for line, body in enumerate(bodies))
                import_items(
                    items,
                    reader(b"key", NOW, store_bodies=False),
                    storing(state, NOW),
                    on_invalid=lambda line, reason: None,
                    on_batch=lambda done: None,
                )
                catch_up(state, projections(), SystemClock(), events_at_once=3)
            return everything(state)


def plan_three_rows(state: State) -> None:
    with state.transaction():
        state.execute("UPDATE about SET value = ? WHERE key = 'state_id'", [STATE_ID])
        state.execute(
            "INSERT INTO channels (channel_id, name, phone, waba_id, provider, created_at)"
            " VALUES (1, 'shop', ?, ?, 'meta', '')",
            [f"+{PHONE}", WABA],
        )
        state.execute(
            "INSERT INTO broadcasts (broadcast_id, channel_id, status, template,"
            " parameter_sources, recipients_file, api_base_url, rate, planned_at, recipients)"
            " VALUES (1, 1, 'completed', '{}', '{}', '', '', 20, '', 3)"
        )
        for row, found in enumerate(("ambiguous", "accepted", "accepted")):
            state.execute(
                "INSERT INTO recipients (broadcast_id, row, line, phone, parameters, state,"
                " attempts, claimed_at) VALUES (1, ?, ?, ?, '[]', ?, 1, ?)",
                [row, row, f"+{PEOPLE[row]}", found, "2026-11-01T00:00:00.000Z"],
            )


def everything(state: State) -> dict[str, list[str]]:
    tables = {table: state.rows(f"SELECT * FROM {table}") for table in PROJECTED}
    tables["events"] = state.rows("SELECT event_key, kind, at, contact, data FROM events")
    tables["recipients"] = state.rows("SELECT row, state, code, message_id FROM recipients")
    return {name: sorted(map(comparable, rows)) for name, rows in tables.items()}


def comparable(row: Row) -> str:
    # When somebody was noted is not what was noted.
    return json.dumps({name: value for name, value in row.items() if name != "added_at"})


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(PAYLOADS, st.data())
def test_any_order_and_any_number_of_deliveries_end_the_same(
    payloads: list[dict[str, Any]], data: st.DataObject
) -> None:
    again = data.draw(st.lists(st.sampled_from(payloads), max_size=6))
    shuffled = data.draw(st.permutations([*payloads, *again]))
    cut = data.draw(st.integers(0, len(shuffled)))

    assert end_of([shuffled[:cut], shuffled[cut:]]) == end_of([payloads])


def status(word: str, *codes: int) -> dict[str, Any]:
    answer = {
        "id": "wamid.OURS1",
        "status": word,
        "timestamp": "1793880000",
        "recipient_id": PEOPLE[1],
        "biz_opaque_callback_data": attempt_id(STATE_ID, 1, 1, 1),
        "errors": [{"code": code, "title": "-"} for code in codes],
    }
    return webhook("messages", statuses=[answer])


STOP = webhook(
    "user_preferences",
    user_preferences=[{"wa_id": PEOPLE[1], "value": "stop", "timestamp": 1793880000}],
)


@pytest.mark.parametrize("other", [status("delivered"), STOP], ids=["delivered", "stop"])
def test_a_person_who_refused_a_message_is_opted_out_in_any_order_of_events(other) -> None:
    refused = status("failed", 131050)

    first, another = end_of([[refused], [other]]), end_of([[other], [refused]])

    assert first == another
    assert PEOPLE[1] in str(first["optouts"])


def test_all_fixtures_backwards_twice_and_one_by_one_end_the_same() -> None:
    forwards = end_of([ARCHIVE])

    assert end_of([[*reversed(ARCHIVE), *ARCHIVE]]) == forwards
    assert end_of([[entry] for entry in reversed(ARCHIVE)]) == forwards
    assert len(forwards["events"]) > len(ARCHIVE)


def test_batches_have_no_say_in_it(monkeypatch) -> None:
    forwards = end_of([ARCHIVE])
    monkeypatch.setattr(import_file, "_PAYLOADS_AT_ONCE", 1)

    assert end_of([ARCHIVE]) == forwards

"""People whose number is not known: in lists, plans and sends they go by their user id."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from datetime import timedelta
from random import Random

import openpyxl  # type: ignore[import-untyped]
import pytest

from wacoex_cli.channels.model import Provider
from wacoex_cli.contacts import store
from wacoex_cli.contacts.quiet_hours import QuietHours
from wacoex_cli.errors import UsageError
from wacoex_cli.events.store import EventLog
from wacoex_cli.foundation.phone_numbers import one_spelling
from wacoex_cli.ledger.projection import bring_up_to_date
from wacoex_cli.ledger.rows import Rows
from wacoex_cli.platforms.events import Source, Via
from wacoex_cli.platforms.payloads import read_payload
from wacoex_cli.sandbox.faults import Fault
from wacoex_cli.sandbox.world import PHONE_NUMBER_ID, WABA_ID
from wacoex_cli.sending.guards import Guards, Run, RunGuard, SendOrder
from wacoex_cli.templates import rule
from wacoex_cli.templates.model import Template

ANA, BEN = "SG.13491208655302741918", "US.22491208655302741919"
NUMBER = "+6591234567"
SALE = {"template": "spring_sale", "parameters": {"first_name": "name"}}
PLAN = ("broadcast", "plan", "--template", "opening_hours", "--lang", "en_US")
SEND = ("--template", "opening_hours", "--lang", "en_US", "--yes")


def arrived(shop, field="messages", **value):
    """Store what Meta delivers, and let everybody look at it."""
    change = {"field": field, "value": {"metadata": {"phone_number_id": PHONE_NUMBER_ID}, **value}}
    entry = {"id": WABA_ID, "time": int(shop.clock.now().timestamp()), "changes": [change]}
    body = json.dumps({"object": "whatsapp_business_account", "entry": [entry]}).encode()
    payload = read_payload(Source.META, body, key=b"k" * 32, received_at=shop.clock.now())
    with shop.state.transaction():
        EventLog(shop.state).store([payload], Via.LISTEN, shop.clock.now())
    bring_up_to_date(shop.state, shop.clock)


def wrote(shop, *, phone=None, user_id=None, later=0, **content):
    """A person writes; Meta names them by the number, the id, or both."""
    moment = str(int(shop.clock.now().timestamp()) + later)
    named = {"from": phone and phone.removeprefix("+"), "from_user_id": user_id}
    said = {name: value for name, value in named.items() if value}
    content = content or {"type": "text", "text": {"body": "hello"}}
    message = {"id": f"wamid.{phone}.{user_id}.{moment}", "timestamp": moment, **said, **content}
    arrived(shop, messages=[message])


def reasons(shop, broadcast):
    return [row["reason"] or row["state"] for row in shop.rows(broadcast).values()]


def reached(shop):
    return [arrival.recipient for arrival in shop.world.log.accepted()]


def known_to_meta(shop, *user_ids):
    shop.world.user_ids |= dict.fromkeys(user_ids)


@pytest.mark.parametrize("column", ["user_id", "bsuid", "BSUID", "wa_user_id", "User ID"])
def test_a_list_of_ids_alone_is_sent_to_by_recipient(shop, column):
    known_to_meta(shop, ANA, BEN)
    people = shop.file("ids.csv", [(ANA,), (BEN,)], (column,))

    planned = shop.plan(people)
    shop.send(planned.broadcast)

    assert planned.notes.user_id_column == column
    assert [row["phone"] for row in shop.rows(planned.broadcast).values()] == [
        f"user_id:{ANA}",
        f"user_id:{BEN}",
    ]
    assert reached(shop) == [ANA, BEN]
    assert shop.counts(planned.broadcast) == {"accepted": 2}


def test_an_id_in_the_column_of_numbers_is_an_id(shop):
    known_to_meta(shop, ANA, BEN)
    people = shop.file("mixed.csv", [(NUMBER,), (ANA,), (f"user_id:{BEN}",)])

    broadcast = shop.planned(people)
    shop.send(broadcast)

    assert reached(shop) == [NUMBER, ANA, BEN]


def test_ids_come_as_ndjson_and_as_a_workbook_too(shop):
    lines = [{"phone": None, "user_id": ANA}, {"phone": NUMBER, "user_id": None}]
    ndjson = shop.directory / "people.ndjson"
    ndjson.write_text("\n".join(map(json.dumps, lines)))
    book = openpyxl.Workbook()
    for row in (["Name", "BSUID"], ["Ana", ANA], ["Ben", BEN]):
        book.active.append(row)
    book.save(shop.directory / "people.xlsx")

    named = [
        [row["phone"] for row in shop.rows(shop.planned(path)).values()]
        for path in (ndjson, shop.directory / "people.xlsx")
    ]

    assert named == [[f"user_id:{ANA}", NUMBER], [f"user_id:{ANA}", f"user_id:{BEN}"]]


def test_a_row_with_both_is_one_person_and_goes_by_the_number(shop):
    rows = [("+6591234567", ANA), ("", ANA), ("+65 9123 4567", ""), ("+6591234568", "")]
    broadcast = shop.planned(shop.file("both.csv", rows, ("phone", "user_id")))

    shop.send(broadcast)

    assert reasons(shop, broadcast) == ["accepted", "duplicate", "duplicate", "accepted"]
    assert reached(shop) == [NUMBER, "+6591234568"]


def test_a_row_with_both_joins_rows_with_either_at_any_place(shop):
    rows = [("", ANA), ("+5531988888888", ""), ("+553188888888", ANA)]
    broadcast = shop.planned(shop.file("both.csv", rows, ("phone", "user_id")))

    assert reasons(shop, broadcast) == ["pending", "duplicate", "duplicate"]


def test_a_column_of_a_programs_own_user_numbers_changes_nothing(shop):
    rows = [(NUMBER, "10234"), ("+6591234568", "10234")]
    broadcast = shop.planned(shop.file("crm.csv", rows, ("phone", "user_id")))

    assert reasons(shop, broadcast) == ["pending", "pending"]


def test_a_row_that_cannot_be_sent_to_is_named_by_its_kind(shop):
    rows = [("@ana.shop", ""), ("", "@ana"), ("", "SG.ENT.9812345678"), ("", "10234"), (NUMBER, "")]
    planned = shop.plan(shop.file("odd.csv", rows, ("phone", "user_id")))

    found = [(row["reason"], row["detail"]) for row in planned.skipped_rows]
    assert found == [
        ("username", "a username (@ana.shop): wacoex cannot send to it"),
        ("username", "a username (@ana): wacoex cannot send to it"),
        ("invalid", "the id of a parent business (SG.ENT.9812345678): wacoex cannot send to it"),
        ("invalid", "not a user id of Meta (10234), such as US.13491208655302741918"),
    ]


def test_a_list_of_usernames_alone_plans_nothing_and_says_what_would_help(shop, cli):
    result = cli(*PLAN, shop.file("names.csv", [("@ana",), ("@ben",)]))

    assert result.code == 2
    assert "username 2" in result.err
    assert "explain usernames" in result.err


def test_a_number_known_by_a_pair_is_written_to_and_counts_as_one_person(shop):
    wrote(shop, phone=NUMBER, user_id=ANA)
    people = shop.file("people.csv", [(ANA,), (NUMBER,)])

    broadcast = shop.planned(people)
    shop.send(broadcast)

    first = shop.rows(broadcast)[1]
    assert (first["phone"], first["user_id"]) == (NUMBER, ANA)
    assert reasons(shop, broadcast) == ["accepted", "duplicate"]
    assert reached(shop) == [NUMBER]


def test_a_pair_that_ended_joins_nobody(shop):
    wrote(shop, phone=NUMBER, user_id=ANA)
    wrote(shop, phone=NUMBER, user_id=BEN, later=60)
    known_to_meta(shop, ANA)

    broadcast = shop.planned(shop.file("people.csv", [(ANA,), (BEN,)]))

    rows = shop.rows(broadcast).values()
    assert [row["phone"] for row in rows] == [f"user_id:{ANA}", NUMBER]


def test_a_row_whose_number_is_somebody_elses_now_is_not_sent_to(shop):
    wrote(shop, phone=NUMBER, user_id=BEN)
    rows = [(NUMBER, ANA), ("+6591234568", BEN), ("+6591234569", "")]

    planned = shop.plan(shop.file("old.csv", rows, ("phone", "user_id")))

    assert reasons(shop, planned.broadcast) == ["invalid", "invalid", "pending"]
    assert "two people" in planned.skipped_rows[0]["detail"]


def test_an_id_that_was_changed_is_the_one_it_became(shop):
    change = {"type": "user_changed_user_id", "user_id": BEN, "previous_user_id": ANA}
    wrote(shop, user_id=ANA, type="system", system=change)

    broadcast = shop.planned(shop.file("people.csv", [(ANA,), (BEN,)]))

    assert [row["phone"] for row in shop.rows(broadcast).values()] == [f"user_id:{BEN}"] * 2
    assert reasons(shop, broadcast) == ["pending", "duplicate"]


@pytest.mark.parametrize("provider", [Provider.RESPONDIO])
def test_respondio_sends_to_no_id_but_to_the_number_where_it_is_known(shop):
    shop.world.respondio.add_contact(NUMBER, "Ana")
    wrote(shop, phone=NUMBER, user_id=ANA)

    planned = shop.plan(shop.file("people.csv", [(ANA,), (BEN,)]))

    assert reasons(shop, planned.broadcast) == ["pending", "no_number"]
    assert "respond.io sends to numbers only" in planned.skipped_rows[0]["detail"]


def test_a_login_code_goes_to_numbers_only():
    template = Template("code", "en_US", "APPROVED", "AUTHENTICATION", "POSITIONAL", (), "1")

    why = rule.why_not_to_user_ids(template, Provider.META)

    assert why is not None
    assert "131062" in why
    sale = replace(template, category="MARKETING")
    assert rule.why_not_to_user_ids(sale, Provider.META) is None


def test_a_refusal_of_an_id_by_meta_is_the_same_reason(shop):
    known_to_meta(shop, ANA)
    broadcast = shop.planned(shop.file("people.csv", [(ANA,), (NUMBER,)]))
    shop.faults(Fault("refuse", code=131062, recipients=frozenset({ANA})))

    sent = shop.send(broadcast)

    row = shop.rows(broadcast)[1]
    assert (row["state"], row["reason"], row["code"]) == ("skipped", "no_number", 131062)
    assert sent.exit_status == 0
    current = shop.current(broadcast)
    assert (current.recipients, current.skipped) == (1, 1)


def test_an_id_that_meta_does_not_know_is_refused_only_for_its_row(shop):
    known_to_meta(shop, ANA)
    broadcast = shop.planned(shop.file("people.csv", [(ANA,), (BEN,)]))

    shop.send(broadcast)

    assert shop.states(broadcast) == ["accepted", "rejected"]
    assert shop.rows(broadcast)[2]["code"] == 131026


def test_an_opt_out_by_id_skips_the_row_by_id_and_that_of_the_number(shop):
    with shop.state.transaction():
        store.add_optout(shop.state, f"user_id:{ANA}", "test", None, shop.clock.now())
    rows = [("", ANA), ("+6591234568", ANA), ("+6591234569", BEN)]

    broadcast = shop.planned(shop.file("people.csv", rows, ("phone", "user_id")))

    assert reasons(shop, broadcast) == ["opted_out", "opted_out", "pending"]


def test_an_opt_out_by_the_number_of_a_row_skips_the_rows_of_the_same_person_by_id(shop):
    with shop.state.transaction():
        store.add_optout(shop.state, NUMBER, "test", None, shop.clock.now())
    rows = [("", ANA), (NUMBER, ANA), ("+6591234569", "")]

    broadcast = shop.planned(shop.file("people.csv", rows, ("phone", "user_id")))

    assert reasons(shop, broadcast) == ["opted_out", "opted_out", "pending"]


def test_a_person_who_says_stop_by_id_during_the_broadcast_is_not_written_to(shop, eventually):
    ids = [f"SG.{10**18 + row}" for row in range(200)]
    known_to_meta(shop, *ids)
    broadcast = shop.planned(shop.file("people.csv", [(each,) for each in ids]))

    async def say_stop():
        await eventually(lambda: len(shop.world.log.accepted()) >= 5)
        wrote(shop, user_id=ids[-1], type="text", text={"body": "STOP"})

    shop.send(broadcast, during=say_stop, rate=60.0)

    assert shop.counts(broadcast) == {"accepted": 199, "skipped": 1}
    assert ids[-1] not in reached(shop)


def test_an_opt_out_of_the_number_reaches_a_row_by_id_when_the_pair_comes_after_the_plan(shop):
    known_to_meta(shop, ANA, BEN)
    broadcast = shop.planned(shop.file("people.csv", [(ANA,), (BEN,)]))
    with shop.state.transaction():
        store.add_optout(shop.state, NUMBER, "test", None, shop.clock.now())
    wrote(shop, phone=NUMBER, user_id=ANA)

    shop.send(broadcast)

    assert reasons(shop, broadcast) == ["opted_out", "accepted"]


def test_two_rows_that_turn_out_to_be_one_person_after_the_plan_get_one_message(shop):
    known_to_meta(shop, ANA)
    broadcast = shop.planned(shop.file("people.csv", [(ANA,), (NUMBER,)]))
    wrote(shop, phone=NUMBER, user_id=ANA)

    shop.send(broadcast)

    assert reasons(shop, broadcast) == ["accepted", "duplicate"]
    assert reached(shop) == [ANA]


@pytest.mark.parametrize(("first", "second"), [(ANA, NUMBER), (NUMBER, ANA), (ANA, ANA)])
def test_a_message_sent_to_the_other_name_of_a_person_counts(shop, first, second):
    known_to_meta(shop, ANA)
    single = shop.planned(shop.file("one.csv", [(first,)]))
    two = shop.planned(shop.file("two.csv", [(second,), (BEN,)]))
    shop.send(single)
    wrote(shop, phone=NUMBER, user_id=ANA)

    with pytest.raises(Exception, match="already have this message"):
        shop.send(two)

    assert len(reached(shop)) == 1


@pytest.mark.parametrize("later", [60, -60])
def test_a_message_to_the_old_number_counts_after_a_change(shop, later):
    old, new = NUMBER, "+6591234599"
    shop.send(shop.plan(shop.file("old.csv", [(old,)], ("phone",))).broadcast)
    system = {"type": "user_changed_number", "wa_id": new.removeprefix("+")}
    wrote(shop, phone=old, later=later, type="system", system=system)
    people = shop.file("new.csv", [(new,)], ("phone",))

    if later > 0:
        with pytest.raises(Exception, match="already have this message"):
            shop.send(shop.plan(people).broadcast)
    else:
        # The old number was somebody else's when it was written to.
        shop.send(shop.plan(people).broadcast)
    assert reached(shop) == ([old] if later > 0 else [old, new])


def test_a_message_to_the_first_number_counts_after_several_changes(shop):
    numbers = [NUMBER, "+6591234597", "+6591234598", "+6591234599"]
    shop.send(shop.plan(shop.file("old.csv", [(NUMBER,)], ("phone",))).broadcast)
    for later, (old, new) in enumerate(itertools.pairwise(numbers), start=1):
        system = {"type": "user_changed_number", "wa_id": new.removeprefix("+")}
        wrote(shop, phone=old, later=60 * later, type="system", system=system)

    with pytest.raises(Exception, match="already have this message"):
        shop.send(shop.plan(shop.file("new.csv", [(numbers[-1],)], ("phone",))).broadcast)

    assert reached(shop) == [NUMBER]


def test_another_list_finds_people_who_still_lack_the_message(shop):
    known_to_meta(shop, ANA)
    shop.send(shop.planned(shop.file("one.csv", [(ANA,)])))
    wrote(shop, phone=NUMBER, user_id=ANA)

    planned = shop.plan(shop.file("two.csv", [(NUMBER,)]))

    assert "WX507" in [finding.id for finding in planned.findings]


def test_a_cooldown_by_id_applies_to_the_number(shop):
    known_to_meta(shop, ANA)
    shop.faults(Fault("refuse", code=131049))
    shop.send(shop.planned(shop.file("one.csv", [(ANA,)])))
    shop.faults()
    wrote(shop, phone=NUMBER, user_id=ANA)

    planned = shop.planned(shop.file("two.csv", [(NUMBER,), (ANA,), ("+6591234569",)]))

    assert reasons(shop, planned) == ["cooling_down", "duplicate", "pending"]


@pytest.mark.parametrize(
    ("excluded", "header"), [(NUMBER, "phone"), (ANA, "bsuid"), (f"user_id:{ANA}", "phone")]
)
def test_a_file_of_excluded_people_names_them_by_either(shop, excluded, header):
    wrote(shop, phone=NUMBER, user_id=ANA)
    left_out = shop.file("left_out.csv", [(excluded,)], (header,))

    broadcast = shop.planned(
        shop.file("people.csv", [(ANA,), ("+6591234569",)]), exclude=[left_out]
    )

    assert reasons(shop, broadcast) == ["excluded", "pending"]


def test_the_estimate_knows_people_active_under_the_other_name(shop):
    wrote(shop, phone=NUMBER, user_id=ANA)
    wrote(shop, user_id=BEN)
    people = shop.file("people.csv", [(ANA,), (BEN,), ("+6591234569",)])

    planned = shop.plan(people)

    assert planned.estimate["new_macs"] == 1


def test_marketing_to_the_united_states_counts_ids_of_there(shop):
    rows = [(ANA, "Ana"), (BEN, "Ben")]
    planned = shop.plan(shop.file("people.csv", rows, ("bsuid", "name")), **SALE)

    found = [finding for finding in planned.findings if finding.id == "WX506"]
    assert "1 recipient with a US number" in found[0].evidence[0].text


def test_a_status_by_id_alone_moves_the_row_and_131050_opts_the_person_out(shop):
    known_to_meta(shop, ANA, BEN)
    broadcast = shop.planned(shop.file("people.csv", [(ANA,), (BEN,)]))
    shop.send(broadcast)
    moment = str(int(shop.clock.now().timestamp()))
    state_id = shop.state.value("SELECT value FROM about WHERE key = 'state_id'")
    for row, user_id, said in (
        (1, ANA, {"status": "read"}),
        (2, BEN, {"status": "failed", "errors": [{"code": 131050, "title": "stopped"}]}),
    ):
        status = {
            "id": shop.rows(broadcast)[row]["message_id"],
            "timestamp": moment,
            "recipient_user_id": user_id,
            "biz_opaque_callback_data": f"wacoex-{state_id}-{broadcast.broadcast_id}-{row}-1",
            **said,
        }
        arrived(shop, statuses=[status])

    assert shop.states(broadcast) == ["read", "failed"]
    assert [optout.phone for optout in store.list_optouts(shop.state)] == [f"user_id:{BEN}"]


def test_quiet_hours_of_an_id_are_those_of_the_channel(shop):
    known_to_meta(shop, ANA)
    broadcast = shop.planned(shop.file("people.csv", [(ANA,)]))

    begins = shop.clock.now() - timedelta(hours=1)
    hours = QuietHours(begins.time().replace(second=0), (begins + timedelta(hours=3)).time())
    order = SendOrder(guards=Guards(quiet_hours=hours), zone="UTC")
    run = Run(broadcast.broadcast_id, NUMBER, 1, 0.0, order)
    with shop.state.transaction():
        claims = RunGuard(shop.state, shop.clock, run).claim("test", 1)

    assert claims == ()
    assert shop.rows(broadcast)[1]["reason"] == "quiet_hours"


def test_a_retry_and_a_report_keep_the_id(shop, cli):
    known_to_meta(shop, ANA)
    broadcast = shop.planned(shop.file("people.csv", [(ANA,), (BEN,)]))
    shop.send(broadcast)
    out = shop.directory / "rows.csv"

    report = cli("broadcast", "report", broadcast.broadcast_id, "--csv", out)
    again = cli("broadcast", "send", broadcast.broadcast_id, "--retry-failed", "all", "--dry-run")

    assert report.code == again.code == 0, again.err
    assert f"user_id:{BEN}" in out.read_text()
    assert BEN in again.out


def test_a_page_of_a_report_masks_ids(shop, cli):
    broadcast = shop.planned(shop.file("people.csv", [(ANA,)]))
    shop.send(broadcast)
    page = shop.directory / "report.html"

    cli("broadcast", "report", broadcast.broadcast_id, "--html", page)

    text = page.read_text()
    assert "user_id:SG.****1918" in text
    assert ANA not in text


def test_the_whole_way_by_the_command_line(shop, cli):
    known_to_meta(shop, ANA, BEN)
    people = shop.file("people.csv", [(ANA, "Ana"), (BEN, "Ben")], ("bsuid", "name"))

    tried = cli("broadcast", "send", "--to", people, *SEND, "--dry-run", "--json")
    sent = cli("broadcast", "send", "--to", people, *SEND, "--json")
    shown = cli("broadcast", "show", "1", "--json")

    assert f'"recipient": "{ANA}"' in tried.out
    assert '"to"' not in tried.out
    assert sent.code == 0, sent.err
    assert json.loads(shown.out)["data"]["counts"]["accepted"] == 2
    assert reached(shop) == [ANA, BEN]


def test_a_plan_shows_each_person_by_number_or_id(shop, cli):
    rows = [("", ANA), (NUMBER, ""), ("@ana", "")]
    result = cli(*PLAN, shop.file("people.csv", rows, ("phone", "user_id")), "--json")

    data = json.loads(result.out)["data"]
    assert data["user_id_column"] == "user_id"
    assert data["skipped"] == {"username": 1}
    assert data["recipients"] == 2
    assert data["preview"][0]["phone"] == f"user_id:{ANA}"


@pytest.mark.parametrize("seed", range(8))
def test_in_any_order_nobody_gets_two_messages_and_no_opted_out_person_gets_one(shop, seed):
    random = Random(seed)
    people = [(f"+5531988880{n:03}", f"BR.{10**15 + n}") for n in range(6)]
    known_to_meta(shop, *(user_id for _, user_id in people))
    rows = [
        (name, "") if random.random() < 0.5 else ("", user_id)
        for phone, user_id in people
        for name in (phone, one_spelling(phone))
        for _ in range(2)
    ]
    rows += [person for person in people if random.random() < 0.7]
    random.shuffle(rows)
    pairs = list(people)
    random.shuffle(pairs)
    no = dict(random.sample(people, 2))

    def say_no():
        for phone, user_id in no.items():
            name = random.choice((phone, f"user_id:{user_id}"))
            with shop.state.transaction():
                store.add_optout(shop.state, name, "test", None, shop.clock.now())

    # Pairs, the plan and the two who say no come in any order; all of it is known at the send.
    for happens in random.sample((say_no, None, *pairs), len(pairs) + 2):
        if happens is None:
            broadcast = shop.planned(shop.file("people.csv", rows, ("phone", "user_id")))
        elif isinstance(happens, tuple):
            wrote(shop, phone=happens[0], user_id=happens[1])
        else:
            say_no()
    shop.send(broadcast)

    numbers = {user_id: one_spelling(phone) for phone, user_id in people}
    whom = [numbers.get(name) or one_spelling(name) for name in reached(shop)]
    assert len(whom) == len(set(whom))
    assert not {one_spelling(phone) for phone in no} & set(whom)
    assert {one_spelling(phone) for phone, _ in people if phone not in no} == set(whom)


def test_a_plan_without_ids_stays_as_it_was(shop):
    broadcast = shop.planned(3)

    assert not Rows(shop.state, broadcast.broadcast_id).has_ids()
    assert {row["user_id"] for row in shop.rows(broadcast).values()} == {None}


def test_a_file_with_neither_numbers_nor_ids_is_refused(shop):
    with pytest.raises(UsageError, match="no phone column"):
        shop.plan(shop.file("people.csv", [("Ana",)], ("first",)))

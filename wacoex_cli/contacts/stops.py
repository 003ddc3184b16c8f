"""How people say stop, and whom it is said for: what events change about persons and opt-outs.

A stop holds for the business it was said to. It is kept on the number and the id of the person, and
goes with them to a new number or id. One whose id has no known number waits for the pair.

Sources: Meta, user_preferences webhook; error 131050; business-scoped user ids. Functions that
change something are called inside a transaction of the state.
"""

from __future__ import annotations

import contextlib
import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from wacoex_cli.contacts.persons import (
    EVERY_BUSINESS,
    USER_ID_PREFIX,
    Pair,
    Persons,
    account_of,
    account_of_channel,
    identity_of,
    other_spelling,
)
from wacoex_cli.contacts.store import (
    SAID_AT,
    OptOut,
    Scope,
    add_entry,
    entries_of,
    remove_entry,
)
from wacoex_cli.errors import counted
from wacoex_cli.findings.model import Evidence, Finding, Severity
from wacoex_cli.foundation.clock import from_text, to_text
from wacoex_cli.platforms.error_codes import classify
from wacoex_cli.platforms.events import Event, Kind, Projection, Source
from wacoex_cli.platforms.stop_words import StopWords, usual

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from datetime import datetime

    from wacoex_cli.contacts.persons import PersonMove, Relatives
    from wacoex_cli.foundation.settings import ConsentSettings
    from wacoex_cli.foundation.state import Row, State

_PREFERENCE = "meta-user_preferences"
_REFUSAL = "meta-131050"
_SOURCES = (_PREFERENCE, "stop-word", "stop-button", _REFUSAL)
"""How a stop comes in by itself; of two that say the same, the first in this order is shown."""
_DERIVED = re.compile(rf"{SAID_AT}[0-9T:.-]+Z")
_NEVER = "9999"
_OLD_AT_ONCE = 200
_USUAL_CONSENT = {"stop_scope": "as_said", "resume": False}
_CHANGES = frozenset({"user_changed_number", "user_changed_user_id"})


class SaidStop(NamedTuple):
    """Somebody said stop. `who` is a number (E.164, one spelling) or `user_id:...`.

    `account` is where it was said, `at` when (RFC 3339, UTC), `source` names how.
    """

    who: str
    account: str
    scope: Scope
    source: str
    at: str


def note_stop(state: State, stop: SaidStop, now: datetime) -> None:
    """Keep what somebody said, and put them on the list by everything that names them."""
    _keep_stop(state, stop)
    apply_stops(state, [(stop.who, stop.account)], now)


def _keep_stop(state: State, stop: SaidStop) -> None:
    state.execute(
        "INSERT INTO stops_said (who, account, scope, source, at) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT (who, account, scope, source, at) DO NOTHING",
        list(stop),
    )


def apply_stops(state: State, touched: Iterable[tuple[str, str]], now: datetime) -> None:
    """Bring the list in line with what the persons around numbers or ids have said.

    `touched` are these, each with an account. What comes of it depends on what is known, and never
    on the order in which it came in. What a person or a file put on the list stays, and goes with
    the person as what they said does.
    """
    persons, done = Persons(state), set[tuple[frozenset[str], str]]()
    for identity, account in touched:
        for whose in sorted({account, EVERY_BUSINESS}):
            business = frozenset({EVERY_BUSINESS})
            if whose != EVERY_BUSINESS:
                business = persons.accounts_like(whose) - business
            if (business, identity) not in done:
                names = _apply(persons, identity, business, now)
                done |= {(business, name) for name in names}


def _apply(
    persons: Persons, identity: str, accounts: frozenset[str], now: datetime
) -> frozenset[str]:
    state = persons.state
    names, around = persons.relatives(identity, accounts)
    said = _said_by(state, names, accounts)
    if not said:
        return names
    lifted = _lifted(state, names)
    resumed = _resumed(state, names, accounts)
    wanted: dict[tuple[str, str], tuple[tuple[bool, int, str], OptOut]] = {}
    for stop in said:
        reached = reached_by(stop, around, lifted)
        if stop.source == _PREFERENCE and any(
            at >= max(stop.at, reached.get(who, _NEVER)) and _is_theirs(who, at, around, reached)
            for who, at in resumed
        ):
            continue
        for name, since in reached.items():
            if since <= lifted.get(name, ""):
                continue
            scope = Scope.ALL if _covers_all(state, stop) else stop.scope
            note = f"{SAID_AT}{stop.at}"
            entry = OptOut(name, scope, stop.source, note, to_text(now), stop.account)
            rank = (scope is not Scope.ALL, _place(stop.source), note)
            known = wanted.get((name, stop.account))
            if known is None or rank < known[0]:
                wanted[name, stop.account] = rank, entry
    for name in sorted(names):
        for entry in entries_of(state, name, accounts):
            if entry.account not in accounts or not _is_derived(entry):
                continue
            kept = wanted.get((name, entry.account))
            if kept is not None and _says_the_same(kept[1], entry):
                del wanted[name, entry.account]
                continue
            remove_entry(state, entry)
            if kept is not None:
                first = min(kept[1].added_at, entry.added_at)
                wanted[name, entry.account] = kept[0], replace(kept[1], added_at=first)
    for _, entry in wanted.values():
        add_entry(state, entry)
    return names


def _says_the_same(wanted: OptOut, entry: OptOut) -> bool:
    return replace(wanted, phone=entry.phone, added_at=entry.added_at) == entry


def _is_derived(entry: OptOut) -> bool:
    """Whether it follows from what was said, and was not put on the list as it stands."""
    return _DERIVED.fullmatch(entry.note or "") is not None


def _covers_all(state: State, stop: SaidStop) -> bool:
    return stop.source in _SOURCES and _consent(state).get("stop_scope") == "all"


def _place(source: str) -> int:
    return _SOURCES.index(source) if source in _SOURCES else len(_SOURCES)


def reached_by(
    stop: SaidStop, around: Iterable[Relatives], lifted: Mapping[str, str]
) -> dict[str, str]:
    """Every number and id that has named the person of a stop since, and from when on.

    A name that was taken off the list (`lifted`, when) leads no further after that.
    """
    around = tuple(around)
    found: dict[str, str] = {}
    waiting = [(stop.who, stop.at)]
    for business in around:
        waiting += [(name, stop.at) for name in _names_at(stop.who, stop.at, business)]
    while waiting:
        name, since = waiting.pop()
        if name in found and found[name] <= since:
            continue
        found[name] = since
        until = lifted.get(name, "")
        until = until if until >= since else _NEVER
        for business in around:
            waiting += [
                (move.after, move.at)
                for move in _moves_from(name, since, business, found)
                if move.at <= until
            ]
            # What an id says holds for each number that it has; a number may have a new owner.
            waiting += [
                (pair.phone, max(pair.since, since))
                for pair in business.pairs_of(name)
                if f"{USER_ID_PREFIX}{pair.user_id}" == name
                and (pair.seen_at >= since or not _has_left(pair, business))
                and pair.since <= until
            ]
    return found


def _is_theirs(who: str, at: str, around: Iterable[Relatives], names: Collection[str]) -> bool:
    """Whether a number or id of a person was still theirs at a moment."""
    for business in around:
        if owner := _names_at(who, at, business):
            return all(name in names for name in owner)
        if any(move.at <= at for move in business.moves_from(who)):
            return False
    return True


def _has_left(pair: Pair, business: Relatives) -> bool:
    """Whether an id was seen with another number later, or was said to have left this one."""
    return pair.is_ended or any(
        other.user_id == pair.user_id and other.seen_at > pair.seen_at
        for other in business.pairs_of(f"{USER_ID_PREFIX}{pair.user_id}")
    )


def _moves_from(
    name: str, since: str, business: Relatives, names: Collection[str]
) -> list[PersonMove]:
    """The moves of who had a number or id at a moment: who leaves it later is somebody else."""
    later = sorted(
        (move for move in business.moves_from(name) if move.at >= since),
        key=lambda move: (move.at, move.after),
    )
    first = [move for move in later if move.at == later[0].at]
    has_new_owner = any(
        pair.phone == name
        and since < pair.since <= move.at
        and f"{USER_ID_PREFIX}{pair.user_id}" not in names
        for pair in business.pairs_of(name)
        for move in first[:1]
    )
    return [] if has_new_owner else first


def _names_at(who: str, at: str, business: Relatives) -> frozenset[str]:
    """The pair that a number or id belonged to at a moment, or else the first one after it.

    Of a pair only its first and its last moment are known. Where a number was with somebody else in
    between, both may have had it: who may have said stop is on the list.
    """
    own = sorted(business.pairs_of(who), key=lambda it: it[:3])
    before = [
        pair for pair in own if pair.since <= at and not (pair.is_ended and str(pair.until) < at)
    ]
    if spanning := [pair for pair in before if pair.seen_at >= at]:
        newest = max(before, key=lambda it: it.since)
        return frozenset().union(*(pair.identities for pair in (newest, *spanning)))
    if before:
        return max(before, key=lambda it: it.seen_at).identities
    if any(pair.since <= at for pair in own) or not own:
        return frozenset()
    first = min(own, key=lambda it: it.since)
    has_moved = any(at <= move.at < first.since for move in business.moves_from(who))
    return frozenset() if has_moved else first.identities


def _said_by(state: State, names: Iterable[str], accounts: Collection[str]) -> list[SaidStop]:
    """What these have said, and what a person or a file put on the list for them."""
    found = []
    for name in sorted(names):
        rows = state.rows(
            "SELECT who, account, scope, source, at FROM stops_said WHERE who = ?"
            " ORDER BY at, account, source",
            [name],
        )
        found += [
            SaidStop(**{**row, "scope": Scope(row["scope"])})
            for row in rows
            if row["account"] in accounts
        ]
        if EVERY_BUSINESS in accounts:
            found += [
                SaidStop(name, EVERY_BUSINESS, entry.scope, entry.source, entry.added_at)
                for entry in entries_of(state, name, ())
                if not _is_derived(entry)
            ]
    return found


def _lifted(state: State, names: Iterable[str]) -> dict[str, str]:
    """When a person took these off the list (RFC 3339, UTC), of those that were."""
    sql = "SELECT removed_at FROM optouts_removed WHERE who = ?"
    found = {name: state.value(sql, [name]) for name in names}
    return {name: str(at) for name, at in found.items() if at}


def _resumed(
    state: State, names: Iterable[str], accounts: Collection[str]
) -> list[tuple[str, str]]:
    """By which names and when people took back what they had said to Meta."""
    sql = "SELECT account, at FROM stops_resumed WHERE who = ?"
    return [
        (name, row["at"])
        for name in names
        for row in state.rows(sql, [name])
        if row["account"] in accounts
    ]


def settle_by_hand(state: State, now: datetime) -> None:
    """Let what a person or a file put on the list hold for ids too; opens a transaction."""
    with state.transaction():
        rows = state.rows(
            "SELECT DISTINCT p.phone FROM person_pairs p JOIN optouts o"
            f" ON o.phone IN (p.phone, {other_spelling('p.phone')}) AND o.account = ''"
            " WHERE NOT EXISTS (SELECT 1 FROM optouts_by_id i WHERE i.user_id = p.user_id"
            " AND i.account = '')"
        )
        apply_stops(state, [(row["phone"], EVERY_BUSINESS) for row in rows], now)


def note_refusal(state: State, phone: str, channel_id: int, at: str, now: datetime) -> None:
    """Put somebody on the list for whom Meta refused a marketing message of a channel (131050).

    `at` is when it said so (RFC 3339, UTC).
    """
    who, account = identity_of(phone) or phone, account_of_channel(state, channel_id)
    stop = SaidStop(who, account, Scope.MARKETING, _REFUSAL, at)
    note_stop(state, stop, now)


def stop_of(state: State, event: Event) -> SaidStop | None:
    """The stop that an event says; None when it says none, or nobody knows whose."""
    found = _scope_and_source(state, event)
    identity = identity_of(event.contact or "") if found else None
    if identity is None or found is None:
        return None
    return SaidStop(identity, account_of(event), *found, event.at)


def _scope_and_source(state: State, event: Event) -> tuple[Scope, str] | None:
    said, code = event.data.get("stop"), event.data.get("code")
    if event.data.get("value") == "stop":
        return Scope.MARKETING, _PREFERENCE
    if event.kind is Kind.STATUS and code is not None and classify(code).opts_out:
        return Scope.MARKETING, _REFUSAL
    if said == "button":
        return _scope_of_button(state, event), "stop-button"
    return (Scope.ALL, "stop-word") if said == "word" else None


def _scope_of_button(state: State, event: Event) -> Scope:
    """A button of a MARKETING template stops marketing; any other, or one unknown, everything."""
    message_id = event.data.get("original_message_id")
    template = message_id and state.value(
        "SELECT b.template FROM recipients r JOIN broadcasts b ON b.broadcast_id = r.broadcast_id"
        " WHERE r.message_id = ?",
        [message_id],
    )
    is_marketing = template and json.loads(template).get("category") == "MARKETING"
    return Scope.MARKETING if is_marketing else Scope.ALL


def pairs_in(events: Iterable[Event]) -> list[Pair]:
    """Each number and id that these events show together, from the first to the last time."""
    found: dict[tuple[str, str, str], Pair] = {}
    for event in events:
        user_id, contact = event.data.get("user_id"), event.contact or ""
        if user_id is None or not contact.startswith("+") or event.data.get("event") in _CHANGES:
            continue
        pair = _pair(event, contact, user_id, event.kind.value)
        known = found.get(pair[:3])
        if known is not None:
            since, seen_at = min(known.since, pair.since), max(known.seen_at, pair.seen_at)
            pair = (known if known.since <= pair.since else pair)._replace(
                since=since, seen_at=seen_at
            )
        found[pair[:3]] = pair
    return list(found.values())


def _pair(event: Event, phone: str, user_id: str, source: str) -> Pair:
    identity = identity_of(phone) or phone
    return Pair(account_of(event), identity, user_id, source, event.at, event.at)


def project_persons(state: State, events: Sequence[Event], now: datetime) -> None:
    """Learn who is who, and put on the list who said stop."""
    persons = Persons(state)
    persons.note_account(events)
    pairs = pairs_in(events)
    news = [pair for pair in pairs if not persons.is_known_well(pair)]
    persons.note(pairs)
    touched = [(pair.phone, pair.account) for pair in news]
    for event in events:
        if event.data.get("event") in _CHANGES:
            touched += _note_change(persons, event)
    for event in events:
        # Stops by number that came before there were persons were taken in by `opt-outs`.
        is_old_way = event.kind is Kind.USER_PREFERENCE and (event.contact or "").startswith("+")
        if not is_old_way and (stop := stop_of(state, event)):
            _keep_stop(state, stop)
            touched.append((stop.who, stop.account))
    apply_stops(state, touched, now)


def project_preferences(state: State, events: Sequence[Event], now: datetime) -> None:
    """Put on the list who said stop to Meta (user_preferences), and off it who may come back."""
    touched = []
    for event in events:
        if stop := stop_of(state, event):
            _keep_stop(state, stop)
            touched.append((stop.who, stop.account))
        elif event.data.get("value") == "resume":
            touched += _note_resume(state, event)
    apply_stops(state, touched, now)


def _note_change(persons: Persons, event: Event) -> list[tuple[str, str]]:
    """A person has another number, or another id: what they said goes with them.

    Gives the names of before and after, each with the account.
    """
    account, data = account_of(event), event.data
    contact = identity_of(event.contact or "")
    new_id, old_id = data.get("user_id"), data.get("previous_user_id")
    new_phone = identity_of(data.get("new_phone") or "")
    old_phone = contact if contact and contact.startswith("+") else None
    if data.get("event") == "user_changed_user_id":
        # The number stays; a message may name it beside the new id.
        new_phone = new_phone or old_phone
    before = {old_phone, f"{USER_ID_PREFIX}{old_id}" if old_id else None}
    after = {new_phone, f"{USER_ID_PREFIX}{new_id}" if new_id else None}
    reached = sorted(filter(None, after - before))
    if old_phone and old_id and reached:
        moment = event.at
        persons.end(Pair(account, old_phone, old_id, event.kind.value, moment, moment, moment))
    for known in sorted(filter(None, before - after)):
        for other in reached:
            persons.note_move(account, known, other, event.at)
    if new_phone and new_id:
        pair = Pair(account, new_phone, new_id, event.kind.value, event.at, event.at)
        persons.note([pair])
    return [(name, account) for name in sorted(filter(None, before | after))]


def _note_resume(state: State, event: Event) -> list[tuple[str, str]]:
    """Keep what somebody took back, where the setting allows it (`[consent] resume`).

    Gives their names, each with the account.
    """
    identity = identity_of(event.contact or "")
    if identity is None or not _consent(state).get("resume"):
        return []
    account, user_id = account_of(event), event.data.get("user_id")
    names = {identity, f"{USER_ID_PREFIX}{user_id}" if user_id else identity}
    for name in sorted(names):
        state.execute(
            "INSERT INTO stops_resumed (who, account, at) VALUES (?, ?, ?)"
            " ON CONFLICT (who, account, at) DO NOTHING",
            [name, account, event.at],
        )
    return [(name, account) for name in sorted(names)]


def ids_without_number(state: State) -> list[OptOut]:
    """The opt-outs that wait for a number: nobody can be skipped by them yet."""
    rows = state.rows(
        "SELECT user_id, scope, source, note, added_at, account FROM optouts_by_id"
        " WHERE NOT EXISTS (SELECT 1 FROM person_pairs p WHERE p.user_id = optouts_by_id.user_id"
        " AND (p.until IS NULL OR p.seen_at > p.until)) ORDER BY added_at, user_id"
    )
    return [
        OptOut(f"{USER_ID_PREFIX}{row.pop('user_id')}", Scope(row.pop("scope")), **row)
        for row in rows
    ]


def check_unplaced(waiting: Sequence[OptOut]) -> list[Finding]:
    """WX508: people said stop by an id, and nobody knows their number (Meta: user ids)."""
    if not waiting:
        return []
    ids = {optout.phone for optout in waiting}
    people = counted(len(ids), "person")
    text = f"{len(ids)} user id{'' if len(ids) == 1 else 's'} on the opt-out list without a number"
    evidence = Evidence(text, "wacoex", max(optout.added_at for optout in waiting))
    return [Finding("WX508", Severity.WARNING, None, evidence, people=people)]


def follow(state: State, consent: ConsentSettings, now: datetime) -> None:
    """Let the list follow the settings from now on, in every process; opens a transaction.

    What a stop covers (`stop_scope`) holds for what was said before, too.
    """
    kept = {"stop_scope": consent.stop_scope, "resume": consent.resume}
    wanted = json.dumps(kept, sort_keys=True)
    before = state.value("SELECT value FROM about WHERE key = 'consent'")
    is_first = before is None
    if before == wanted or (is_first and kept == _USUAL_CONSENT and _has_no_log(state)):
        return
    if is_first:
        _learn_from_old_logs(state, now)
    with state.transaction():
        state.execute(
            "INSERT INTO about (key, value) VALUES ('consent', ?)"
            " ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            [wanted],
        )
        said = state.rows("SELECT DISTINCT who, account FROM stops_said")
        apply_stops(state, [(row["who"], row["account"]) for row in said], now)


def _has_no_log(state: State) -> bool:
    return state.value("SELECT payload_id FROM payloads LIMIT 1") is None


def _learn_from_old_logs(state: State, now: datetime) -> None:
    """Learn who is who from what was delivered before there were persons.

    Events of then name one of number and id; what was delivered is kept with both. Opens
    transactions of some milliseconds; to do so again changes nothing.
    """
    from wacoex_cli.platforms.payloads import payload_of  # it is heavy

    last = 0

    def events_of(row: Row) -> Sequence[Event]:
        with contextlib.suppress(ValueError, RecursionError):  # UnreadablePayload is a ValueError
            return payload_of(
                *(Source.META, json.loads(row["body"]), row["size"]),
                key=b"",
                received_at=from_text(row["received_at"]),
            ).events
        return ()

    while rows := state.rows(
        "SELECT payload_id, body, size, received_at FROM payloads"
        " WHERE source = 'meta' AND payload_id > ? AND body LIKE '%user_id%'"
        " ORDER BY payload_id LIMIT ?",
        [last, _OLD_AT_ONCE],
    ):
        last = rows[-1]["payload_id"]
        events = [event for row in rows for event in events_of(row)]
        with state.transaction():
            persons = Persons(state)
            persons.note_account(events)
            pairs = pairs_in(events)
            persons.note(pairs)
            touched = [(pair.phone, pair.account) for pair in pairs]
            for event in events:
                if event.data.get("event") in _CHANGES:
                    touched += _note_change(persons, event)
            apply_stops(state, touched, now)


def words_of(consent: ConsentSettings) -> StopWords:
    """The words and buttons that say stop by these settings."""
    return usual().changed(consent.stop_words, consent.no_stop_words)


def _consent(state: State) -> dict[str, object]:
    kept = state.value("SELECT value FROM about WHERE key = 'consent'")
    found: dict[str, object] = json.loads(kept) if kept else {}
    return found


OPTOUTS = Projection("opt-outs", frozenset({Kind.USER_PREFERENCE}), project_preferences)
"""What people said to Meta, by number or id."""
PERSONS = Projection(
    "persons",
    frozenset(
        {
            Kind.MESSAGE,
            Kind.UNSUPPORTED,
            Kind.EDIT,
            Kind.REVOKE,
            Kind.STATUS,
            Kind.ECHO,
            Kind.CONTACT_SYNC,
            Kind.USER_PREFERENCE,
            Kind.STANDBY,
            Kind.HANDOVER,
            Kind.OTHER,
        }
    ),
    project_persons,
)
"""Who is who, and every other way in which people say stop."""

"""Random lives of people: new numbers and ids, numbers given on, two spellings, stops by any name.

What holds after every delivery: who said stop is on the list by the number they have now, and
nobody is who never said stop and never had the number of somebody who did.
"""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import pytest

from wacoex_cli.contacts.stops import OPTOUTS, PERSONS
from wacoex_cli.contacts.store import list_optouts
from wacoex_cli.events.store import EventLog, catch_up
from wacoex_cli.foundation.clock import SystemClock
from wacoex_cli.foundation.phone_numbers import one_spelling
from wacoex_cli.foundation.state import State, open_state
from wacoex_cli.platforms.events import Source, Via
from wacoex_cli.platforms.payloads import read_payload

NOON = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)
FIRST_SECOND = 1_795_000_000
STEPS = 14
TABLES = (
    *("events", "payloads", "cursors", "person_pairs", "person_moves", "accounts_seen"),
    *("stops_said", "optouts", "optouts_by_id", "optouts_removed"),
)


@dataclass
class Somebody:
    """A person as they are: `was` are numbers they had."""

    phone: str
    user_id: str
    said_stop: bool = False
    was: tuple[str, ...] = ()


class Life:
    """Three people of a country whose numbers have two spellings, and what Meta tells of them."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.ids = iter(f"BR.{n}" for n in range(1, 1000))
        self.free = [f"+5531988880{n:03}" for n in range(20)]
        self.people = [Somebody(self.free.pop(), next(self.ids)) for _ in range(3)]
        self.seconds = FIRST_SECOND
        self.number = 0
        self.tainted: set[str] = set()

    def step(self) -> list[str]:
        """Something happens; gives what Meta delivers."""
        person = self.random.choice(self.people)
        happens = (self.writes, self.writes, self.stops, self.gets_number, self.gets_id)
        return self.random.choice(happens)(person)

    def writes(self, person: Somebody) -> list[str]:
        who = self.random.choice(("both", "number", "id"))
        return [self.message(person, who, {"type": "text", "text": {"body": "hello"}})]

    def stops(self, person: Somebody) -> list[str]:
        person.said_stop = True
        self.tainted |= {person.phone, *person.was}
        who = self.random.choice(("both", "number", "id"))
        if self.random.random() < 0.5:
            return [self.message(person, who, {"type": "text", "text": {"body": "Sair"}})]
        named = self.named(person, who)
        keys = {"from": "wa_id", "from_user_id": "user_id"}
        said = {keys[key]: value for key, value in named.items()}
        moment = {"value": "stop", "timestamp": str(self.later())}
        return [self.delivery("user_preferences", {"user_preferences": [{**said, **moment}]})]

    def gets_number(self, person: Somebody) -> list[str]:
        """A new number comes with a new id; the old one may be somebody else's at once."""
        before = self.named(person, "both")
        old = person.phone
        person.was += (old,)
        person.phone, new_id = self.free.pop(0), next(self.ids)
        self.free.insert(self.random.randint(0, 2), old)
        if person.said_stop:
            self.tainted.add(person.phone)
        change = {"type": "user_changed_number", "wa_id": person.phone[1:], "user_id": new_id}
        system = {**change, "previous_user_id": person.user_id}
        person.user_id = new_id
        return [self.told({**before, "type": "system", "system": system})]

    def gets_id(self, person: Somebody) -> list[str]:
        before, new_id = self.named(person, "both"), next(self.ids)
        change = {"type": "user_changed_user_id", "user_id": new_id}
        system = {**change, "previous_user_id": person.user_id}
        person.user_id = new_id
        return [self.told({**before, "type": "system", "system": system})]

    def message(self, person: Somebody, who: str, content: dict[str, object]) -> str:
        return self.told({**self.named(person, who), **content})

    def named(self, person: Somebody, who: str) -> dict[str, str]:
        phone = self.random.choice((person.phone, one_spelling(person.phone)))
        names = {"from": phone[1:], "from_user_id": person.user_id}
        left_out = {"number": "from_user_id", "id": "from"}.get(who)
        return {key: value for key, value in names.items() if key != left_out}

    def told(self, message: dict[str, object]) -> str:
        self.number += 1
        named = {"id": f"wamid.{self.number}", "timestamp": str(self.later())}
        return self.delivery("messages", {"messages": [{**named, **message}]})

    def later(self) -> int:
        self.seconds += self.random.randint(1, 100)
        return self.seconds

    def delivery(self, field: str, value: dict[str, object]) -> str:
        change = {"field": field, "value": {"metadata": {"phone_number_id": "1"}, **value}}
        entry = {"id": "2", "time": self.seconds, "changes": [change]}
        return json.dumps({"object": "whatsapp_business_account", "entry": [entry]})


def deliver(state: State, lines: list[str]) -> None:
    for line in lines:
        read = read_payload(Source.META, line.encode(), key=b"k" * 32, received_at=NOON)
        with state.transaction():
            EventLog(state).store([read], Via.LISTEN, NOON)
    catch_up(state, (PERSONS, OPTOUTS), SystemClock())


def lives(path: Path, seeds: range) -> None:
    with closing(open_state(path)) as state:
        for seed in seeds:
            with state.transaction():
                for table in TABLES:
                    state.execute(f"DELETE FROM {table}")
            live(state, seed)


def live(state: State, seed: int) -> None:
    life = Life(Random(seed))
    # Everybody is known to us by both names once.
    hello: dict[str, object] = {"type": "text", "text": {"body": "hello"}}
    deliver(state, [life.message(person, "both", hello) for person in life.people])
    for step in range(STEPS):
        deliver(state, life.step())
        listed = {one_spelling(entry.phone) for entry in list_optouts(state)}
        stopped = {one_spelling(person.phone) for person in life.people if person.said_stop}
        assert stopped <= listed, f"seed {seed}, step {step}"
        numbers = {name for name in listed if name.startswith("+")}
        assert numbers <= set(map(one_spelling, life.tainted)), f"seed {seed}, step {step}"


def test_who_said_stop_is_never_written_to_again_and_nobody_else_is_left_out(
    tmp_path: Path,
) -> None:
    lives(tmp_path / "wacoex.db", range(60))


@pytest.mark.slow
def test_a_thousand_lives(tmp_path: Path) -> None:
    lives(tmp_path / "wacoex.db", range(1000))

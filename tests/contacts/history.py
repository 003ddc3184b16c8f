"""A history: people of two businesses, what Meta reports of them, and a separate book of consent.

The book follows the people themselves, who had which number and when, and what they said. It knows
nothing of how the program keeps pairs, moves and stops. Commands are real processes, see `stage`.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, cast

from tests.broadcast.stage import (
    CHANNELS,
    STOPPED_MARKETING,
    Command,
    Ended,
    Machine,
    Taken,
    furnish,
)
from wacoex_cli.contacts.stops import OPTOUTS, PERSONS, SaidStop, note_stop, settle_by_hand
from wacoex_cli.contacts.store import OptOut, Scope, add_optout, list_optouts, remove_optout
from wacoex_cli.events.store import EventLog, catch_up
from wacoex_cli.foundation.clock import from_text
from wacoex_cli.foundation.phone_numbers import one_spelling
from wacoex_cli.foundation.state import State, open_state
from wacoex_cli.platforms.events import Source, Via
from wacoex_cli.platforms.payloads import read_payload
from wacoex_cli.platforms.stop_words import languages
from wacoex_cli.sandbox.world import FOREIGN_WABA_ID, WABA_ID

if TYPE_CHECKING:
    from wacoex_cli.foundation.clock import Clock

TABLES = (
    *("events", "payloads", "cursors", "person_pairs", "person_moves", "accounts_seen"),
    *("stops_said", "stops_resumed", "optouts", "optouts_by_id", "optouts_removed"),
)
"""What is known of persons and their consent, and where it comes from."""
BUSINESSES = (WABA_ID, FOREIGN_WABA_ID)
ANY = None
"""The business of what holds for all of them."""
SECONDS_TO_SKIP = 1.1
"""A row that waits is skipped within a second; the message is then on its way for a moment."""
SPELLINGS = {
    "BR": ("+5531988880{:03}", "+553188880{:03}"),
    "AR": ("+5491123456{:03}", "+541123456{:03}"),
    "MX": ("+5215512345{:03}", "+525512345{:03}"),
    "SG": ("+6591234{:03}", "+6591234{:03}"),
}
TEMPLATES = {
    "opening_hours": ("UTILITY", ()),
    "spring_sale": ("MARKETING", ("--param", "first_name=name")),
}
WORDS = [texts[0] for texts in languages()["words"].values()]
BUTTONS = [texts[0] for texts in languages()["buttons"].values()]


@dataclass
class Line:
    """One delivery of Meta; `stored` is when the file had it (seconds of the machine)."""

    at: int
    text: str = field(repr=False)
    stored: float | None = None

    def is_known(self, before: float) -> bool:
        return self.stored is not None and self.stored <= before


@dataclass(eq=False)
class Person:
    """Somebody with a phone: their number, and their id at each business."""

    phone: str
    ids: dict[str, str]
    stops: list[Stop] = field(default_factory=list, repr=False)
    lines: list[Line] = field(default_factory=list, repr=False)


@dataclass(eq=False)
class Stop:
    """Somebody said stop to a business. `named` are numbers that stood beside it.

    `carried` are the numbers that the person has had since, `unsure` those that the book does not
    judge, `over` says that a later number of the person is not concerned any more.
    """

    person: Person | None
    business: str | None
    scope: Scope
    source: str
    named: frozenset[str]
    line: Line
    carried: set[str] = field(default_factory=set)
    unsure: set[str] = field(default_factory=set)
    over: bool = False

    def holds_back(self, phone: str, business: str, category: str) -> bool:
        """Whether a message may not go to that number because of it."""
        return (
            phone in self.carried
            and self.business in (ANY, business)
            and (self.scope is Scope.ALL or category == "MARKETING")
        )


class History:
    """What happens to some people, and what the program makes of it."""

    def __init__(self, seed: int, directory: Path, empty: Path) -> None:
        self.seed = seed
        self.random = Random(seed)
        self.directory = directory
        self.home = directory / "home"
        shutil.copytree(empty, self.home)
        self.path = self.home / "wacoex.db"
        self.machine = Machine()
        furnish(self.machine.world)
        self.stop_scope = self.random.choice(["as_said", "as_said", "all"])
        self.resume = self.random.random() < 0.5
        config = self.home / "config"
        config.mkdir(exist_ok=True)
        (config / "config.toml").write_text(
            f'[consent]\nstop_scope = "{self.stop_scope}"\nresume = {str(self.resume).lower()}\n'
        )
        self.numbers = iter(range(1, 1000))
        self.free = [SPELLINGS[country][0].format(n) for n in range(1, 4) for country in SPELLINGS]
        self.random.shuffle(self.free)
        self.stops: list[Stop] = []
        self.lines: list[Line] = []
        self.by_hand: list[tuple[datetime, Callable[[State, datetime], object]]] = []
        self.waiting: list[Line] = []
        self.luck_stops = 0
        self.refused: set[str] = set()
        self.owners: dict[str, list[Person]] = {}
        self.came_back: set[str] = set()
        self.taken_seen = 0
        self.seen_in: dict[str, set[str]] = {}
        self.sent_category: dict[str, str] = {}
        self.lists = 0
        self.story: list[str] = []
        self.people = [self.somebody() for _ in range(4)]

    def close(self) -> None:
        self.machine.close()

    # People

    def somebody(self) -> Person:
        person = Person("", {b: self.new_id() for b in BUSINESSES})
        person.phone = self.taken_by(person)
        return person

    def new_id(self) -> str:
        return f"BR.{next(self.numbers)}"

    def owner(self, phone: str) -> Person | None:
        return next((each for each in self.people if each.phone == phone), None)

    def spelling_of(self, phone: str) -> str:
        """A number in one of its spellings."""
        for first, second in SPELLINGS.values():
            for n in range(1, 4):
                both = (first.format(n), second.format(n))
                if phone in {one_spelling(each) for each in both}:
                    return self.random.choice(both)
        raise AssertionError(phone)

    def taken_by(self, person: Person) -> str:
        """A number for somebody; who had it before is noted, and whether they had it themselves."""
        phone = one_spelling(self.free.pop())
        owners = self.owners.setdefault(phone, [])
        if person in owners:
            self.came_back |= {number for each in owners for number in self.had(each)}
        owners.append(person)
        return phone

    def had(self, person: Person) -> set[str]:
        return {phone for phone, owners in self.owners.items() if person in owners}

    # What Meta delivers

    def later(self) -> int:
        self.machine.advance(self.random.randint(1, 100))
        return int(self.machine.moment.timestamp())

    def line(self, field_: str, value: dict[str, Any], business: str, at: int) -> Line:
        channel = next(each for each in CHANNELS.values() if each[2] == business)
        change = {"field": field_, "value": {"metadata": {"phone_number_id": channel[1]}, **value}}
        entry = {"id": business, "time": at, "changes": [change]}
        text = json.dumps({"object": "whatsapp_business_account", "entry": [entry]})
        line = Line(at, text)
        self.story.append(f"{at} {field_}: {json.dumps(value)}")
        self.lines.append(line)
        self.waiting.append(line)
        return line

    def named(self, person: Person, business: str, how: str) -> dict[str, str]:
        names = {"from": self.spelling_of(person.phone)[1:], "from_user_id": person.ids[business]}
        left_out = {"number": "from_user_id", "id": "from"}.get(how)
        return {key: value for key, value in names.items() if key != left_out}

    def message(self, names: dict[str, str], business: str, at: int, **content: Any) -> Line:
        head = {"id": f"wamid.IN{next(self.numbers)}", "timestamp": str(at)}
        return self.line("messages", {"messages": [{**names, **head, **content}]}, business, at)

    def seen(self, person: Person, business: str, how: str = "both") -> None:
        at = self.later()
        hello = {"type": "text", "text": {"body": "hello"}}
        person.lines.append(self.message(self.named(person, business, how), business, at, **hello))

    # What people do

    def says_stop(self) -> None:
        person, business = self.random.choice(self.people), self.random.choice(BUSINESSES)
        how = self.random.choice(("both", "number", "id"))
        at, names = self.later(), self.named(person, business, how)
        kind = self.random.choice(("word", "button", "preference", "refusal", "our refusal"))
        scope, source = Scope.MARKETING, {"preference": "meta-user_preferences"}.get(kind, "")
        if kind == "word":
            scope, source = Scope.ALL, "stop-word"
            text = {"type": "text", "text": {"body": self.random.choice(WORDS)}}
            line = self.message(names, business, at, **text)
        elif kind == "button":
            source = "stop-button"
            scope, context = self.tapped(person, business)
            words = {"text": self.random.choice(BUTTONS), "payload": "1"}
            line = self.message(names, business, at, type="button", button=words, context=context)
        elif kind == "preference":
            line = self.preference("stop", names, business, at)
        else:
            source = "meta-131050"
            line = self.refusal(person, names, business, at, ours=kind == "our refusal")
        if self.stop_scope == "all":
            scope = Scope.ALL
        number = frozenset({person.phone} if how != "id" else ())
        stop = Stop(person, business, scope, source, number, line, {person.phone})
        person.lines.append(line)
        person.stops.append(stop)
        self.stops.append(stop)

    def tapped(self, person: Person, business: str) -> tuple[Scope, dict[str, str]]:
        """A button of a message that this person got, where there is one."""
        for taken in self.machine.taken:
            is_theirs = one_spelling(taken.to) == person.phone
            if is_theirs and self.business_of(taken) == business:
                is_marketing = self.category_of(taken) == "MARKETING"
                scope = Scope.MARKETING if is_marketing else Scope.ALL
                return scope, {"id": taken.message_id}
        return Scope.ALL, {"id": "wamid.ELSEWHERE"}

    def preference(self, value: str, names: dict[str, str], business: str, at: int) -> Line:
        keys = {"from": "wa_id", "from_user_id": "user_id"}
        said = {keys[key]: name for key, name in names.items()}
        said |= {"value": value, "timestamp": str(at), "category": "marketing_messages"}
        return self.line("user_preferences", {"user_preferences": [said]}, business, at)

    def refusal(
        self, person: Person, names: dict[str, str], business: str, at: int, *, ours: bool
    ) -> Line:
        keys = {"from": "recipient_id", "from_user_id": "recipient_user_id"}
        status: dict[str, Any] = {keys[key]: name for key, name in names.items()}
        status |= {"id": f"wamid.OUT{next(self.numbers)}", "status": "failed"}
        status |= {"timestamp": str(at), "errors": [{"code": 131050, "title": "stopped"}]}
        mine = [
            each
            for each in self.machine.taken
            if one_spelling(each.to) == person.phone
            and self.business_of(each) == business
            and each.attempt not in self.refused
        ]
        if ours and mine:
            self.refused.add(mine[0].attempt)
            status |= {"id": mine[0].message_id, "biz_opaque_callback_data": mine[0].attempt}
        return self.line("messages", {"statuses": [status]}, business, at)

    def writes(self) -> None:
        how = self.random.choice(("both", "number", "id"))
        self.seen(self.random.choice(self.people), self.random.choice(BUSINESSES), how)

    def gets_number(self) -> None:
        """Meta tells it; the old number may be somebody else's soon."""
        person = self.random.choice(self.people)
        before = {b: (self.named(person, b, "both"), person.ids[b]) for b in BUSINESSES}
        self.renumber(person)
        for business, (names, old_id) in before.items():
            at, new_id = self.later(), self.new_id()
            person.ids[business] = new_id
            system = {"type": "user_changed_number", "wa_id": self.spelling_of(person.phone)[1:]}
            system |= {"user_id": new_id, "previous_user_id": old_id}
            line = self.message(names, business, at, type="system", system=system)
            person.lines.append(line)

    def loses_number(self) -> None:
        """Nobody tells it: the number is with somebody else when that one writes."""
        person = self.random.choice(self.people)
        self.renumber(person)
        for business in BUSINESSES:
            self.seen(person, business)

    def gets_id(self) -> None:
        person, business = self.random.choice(self.people), self.random.choice(BUSINESSES)
        names, at, new_id = self.named(person, business, "both"), self.later(), self.new_id()
        system = {"type": "user_changed_user_id", "user_id": new_id}
        system |= {"previous_user_id": person.ids[business]}
        person.ids[business] = new_id
        person.lines.append(self.message(names, business, at, type="system", system=system))

    def renumber(self, person: Person) -> None:
        old = person.phone
        person.phone = self.taken_by(person)
        # A number that was given up soon has another owner.
        self.free.insert(max(0, len(self.free) - self.random.randint(0, 2)), old)
        for stop in person.stops:
            if not stop.over:
                stop.carried.add(person.phone)

    def somebody_new(self) -> None:
        """The number may have had an owner before."""
        person = self.somebody()
        self.people.append(person)
        for business in BUSINESSES:
            self.seen(person, business)

    def resumes(self) -> None:
        person, business = self.random.choice(self.people), self.random.choice(BUSINESSES)
        how = self.random.choice(("both", "number", "id"))
        at = self.later()
        line = self.preference("resume", self.named(person, business, how), business, at)
        person.lines.append(line)
        if self.resume:
            for stop in person.stops:
                if stop.source == "meta-user_preferences" and stop.business == business:
                    stop.unsure |= stop.carried - {person.phone}
                    stop.carried.clear()
                    stop.over = True

    # What the shop does

    def is_settled(self, person: Person) -> bool:
        return all(line.stored is not None for line in person.lines)

    def takes_off(self) -> None:
        """`optout remove`, when everything about these people has come in."""
        listed = sorted({phone for stop in self.stops for phone in stop.carried})
        if not listed or self.waiting:
            return
        phone = self.random.choice(listed)
        self.later()
        spelling, now = self.spelling_of(phone), self.machine.moment
        self.by_hand.append((now, lambda state, at: remove_optout(state, spelling, at)))
        ended = self.do("optout", "remove", spelling, "--yes")
        assert ended.code == 0, ended
        owner = self.owner(phone)
        for stop in self.stops:
            if phone in stop.carried:
                stop.carried.discard(phone)
                if stop.person is owner:
                    stop.over = True

    def puts_on(self) -> None:
        """`optout add` and `optout import`."""
        if self.waiting:
            return
        person = self.random.choice(self.people)
        scope = self.random.choice(list(Scope))
        at = self.later()
        source = "operator"
        spelling, now = self.spelling_of(person.phone), self.machine.moment
        if self.random.random() < 0.5:
            source = "import"
            path = str(self.write([spelling]))
            ended = self.do("optout", "import", path, "--scope", scope.value)
        else:
            ended = self.do("optout", "add", spelling, "--scope", scope.value)
        assert ended.code == 0, ended
        self.by_hand.append(
            (now, lambda state, _: add_optout(state, spelling, source, None, now, scope))
        )
        line = Line(at, "", self.machine.seconds)
        number = frozenset({person.phone})
        stop = Stop(person, ANY, scope, source, number, line, {person.phone})
        person.stops.append(stop)
        self.stops.append(stop)

    def write(self, numbers: Sequence[str]) -> Path:
        self.lists += 1
        path = self.directory / f"list-{self.lists}.csv"
        path.write_text("\n".join(["phone,name", *(f"{each},Ana" for each in numbers), ""]))
        return path

    def do(self, *arguments: str) -> Ended:
        self.story.append(f"{self.machine.moment}: {' '.join(arguments)}")
        (ended,) = self.machine.run(Command(self.path, arguments))
        return ended

    def chosen(self) -> list[Line]:
        """Some of what waits, in any order, and something that came before."""
        self.random.shuffle(self.waiting)
        count = self.random.randint(1, len(self.waiting)) if self.waiting else 0
        chosen, self.waiting = self.waiting[:count], self.waiting[count:]
        known = [line for line in self.lines if line.stored is not None]
        return chosen + self.random.sample(known, min(2, len(known)))

    def archive(self, lines: Sequence[Line]) -> Command:
        self.lists += 1
        path = self.directory / f"archive-{self.lists}.jsonl"
        path.write_text("".join(f"{line.text}\n" for line in lines))
        return Command(self.path, ("events", "import", str(path)))

    def imports(self) -> None:
        """`events import`, or a listener that stores and looks at nothing."""
        lines = self.chosen()
        if self.random.random() < 0.5:
            ended = self.machine.run(self.archive(lines))[0]
            assert ended.code == 0, ended
        else:
            self.machine.do(self.path, lambda workspace: self.listen(workspace, lines))
        self.note_stored(lines, self.machine.seconds)

    def listen(self, workspace: Any, lines: Sequence[Line]) -> None:
        now = workspace.clock.now()
        read = [
            read_payload(Source.META, line.text.encode(), key=b"k" * 32, received_at=now)
            for line in lines
        ]
        with workspace.state.transaction():
            EventLog(workspace.state).store(read, Via.LISTEN, now)

    def note_stored(self, lines: Sequence[Line], seconds: float) -> None:
        self.story.append(f"stored: {[line.at for line in lines]}")
        for line in lines:
            if line.stored is None:
                line.stored = seconds

    def sends(self) -> None:
        """A broadcast to everybody who ever had a number; meanwhile events come in."""
        template = self.random.choice(list(TEMPLATES))
        channel = self.random.choice(list(CHANNELS))
        everybody = {person.phone for person in self.people}
        everybody |= {phone for stop in self.stops for phone in stop.carried | stop.named}
        numbers = [self.spelling_of(phone) for phone in sorted(everybody)]
        numbers += [self.spelling_of(phone) for phone in self.random.sample(sorted(everybody), 2)]
        self.random.shuffle(numbers)
        luck: tuple[str, ...] = ()
        if template == "spring_sale" and self.random.random() < 0.3:
            luck = ("fine",) * self.random.randint(0, 3) + (STOPPED_MARKETING,)
        order = ["--to", str(self.write(numbers)), "--template", template, "--lang", "en_US"]
        order += ["--channel", channel, *TEMPLATES[template][1], "--rate", "2", "--again", "--yes"]
        commands = [Command(self.path, ("broadcast", "send", *order), luck)]
        while len(self.waiting) < 2:
            self.random.choice((self.says_stop, self.says_stop, self.writes))()
        lines = self.chosen()
        commands.append(self.archive(lines))
        turns = [self.random.randint(0, 1) for _ in range(200)]
        ended = self.machine.run(*commands, turns=turns, late=self.random.randint(10, 150))
        self.note_stored(lines, ended[1].seconds)
        assert ended[1].code == 0, ended[1]
        assert ended[0].code in {0, 1, 7} or ended[0].errors == ["no_recipients"], ended[0]
        self.judge_taken()
        self.note_luck()

    def note_luck(self) -> None:
        """Whom Meta refused at once has stopped marketing too."""
        with_luck = [
            arrival for arrival in self.machine.world.log.arrivals if arrival.code == 131050
        ]
        for arrival in with_luck[self.luck_stops :]:
            phone = one_spelling(str(arrival.recipient))
            person = self.owner(phone)
            business = next(
                each[2] for each in CHANNELS.values() if each[1] == arrival.phone_number_id
            )
            scope = Scope.ALL if self.stop_scope == "all" else Scope.MARKETING
            line = Line(int(self.machine.moment.timestamp()), "", self.machine.seconds)
            found = Stop(person, business, scope, "meta-131050", frozenset({phone}), line, {phone})
            self.stops.append(found)
            if person:
                person.stops.append(found)
        self.luck_stops = len(with_luck)

    # The judge

    def business_of(self, taken: Taken) -> str:
        return next(each[2] for each in CHANNELS.values() if each[1] == taken.phone_number_id)

    def category_of(self, taken: Taken) -> str:
        name, _ = json.loads(taken.message)
        return TEMPLATES[name][0]

    def judge_taken(self) -> None:
        """Nobody is written to a second after their stop was stored, and nobody twice."""
        began = self.machine.moment.timestamp() - self.machine.seconds
        for taken in self.machine.taken[self.taken_seen :]:
            phone = one_spelling(taken.to)
            before = taken.at.timestamp() - began - SECONDS_TO_SKIP
            self.judge(taken, phone, before)
            got = self.seen_in.setdefault(taken.attempt.rsplit("-", 2)[0], set())
            assert phone not in got, f"seed {self.seed}: {taken} twice"
            got.add(phone)
        self.taken_seen = len(self.machine.taken)

    def judge(self, taken: Taken, phone: str, before: float) -> None:
        business, category = self.business_of(taken), self.category_of(taken)
        for stop in self.stops:
            if not stop.line.is_known(before) or not stop.holds_back(phone, business, category):
                continue
            is_clear = phone in stop.named or (
                stop.person is not None and all(line.is_known(before) for line in stop.person.lines)
            )
            assert not is_clear, f"seed {self.seed}: {taken} although {stop}"

    def judge_list(self, entries: Sequence[Any]) -> None:
        """When everything is known: who must be on the list is, and nobody else."""
        listed: dict[str, list[Any]] = {}
        for entry in entries:
            if entry.phone.startswith("+"):
                listed.setdefault(one_spelling(entry.phone), []).append(entry)
        for stop in self.stops:
            for phone in stop.carried:
                found = [
                    entry
                    for entry in listed.get(phone, ())
                    if entry.account in ("", f"waba_id:{stop.business}")
                    and entry.scope.covers(stop.scope)
                ]
                assert found, f"seed {self.seed}: {phone} is not on the list although {stop}"
        for phone, of_phone in listed.items():
            # Whose number came back is not known for all times between.
            for entry in of_phone if phone not in self.came_back else ():
                reasons = [
                    stop
                    for stop in self.stops
                    if phone in stop.carried | stop.unsure
                    and entry.account == (f"waba_id:{stop.business}" if stop.business else "")
                    and stop.scope.covers(entry.scope)
                ]
                assert reasons, f"seed {self.seed}: {entry} for no reason"

    # The play

    def play(self) -> None:
        for person in self.people:
            for business in BUSINESSES:
                self.seen(person, business)
        self.machine.do(self.path, lambda workspace: self.listen(workspace, self.lines))
        self.note_stored(self.waiting, self.machine.seconds)
        self.waiting.clear()
        deeds: list[Callable[[], None]] = [
            *(self.says_stop,) * 4,
            *(self.writes, self.gets_number, self.gets_number, self.loses_number, self.gets_id),
            *(self.resumes, self.somebody_new, self.puts_on, self.takes_off, self.imports),
        ]
        for chapter in range(2):
            for _ in range(self.random.randint(5, 9)):
                self.random.choice(deeds)()
            self.sends()
            if chapter:
                self.finish()

    def finish(self) -> None:
        while self.waiting:
            self.imports()
        self.do("optout", "list")

    # The same again, in the order in which it happened

    def in_order(self) -> list[OptOut]:
        """The list that comes of it when everything is known as soon as it happens."""
        path = self.directory / "in-order.db"
        shutil.copy(self.path, path)
        with closing(open_state(path)) as state:
            refused = state.rows("SELECT * FROM stops_said WHERE source = 'meta-131050'")
            with state.transaction():
                for table in TABLES:
                    state.execute(f"DELETE FROM {table}")
            deeds = [*self.by_hand]
            for line in self.lines:
                deeds.append((datetime.fromtimestamp(line.at, UTC), partial(_hear, line.text)))
            for row in refused:
                said = SaidStop(**{**row, "scope": Scope(row["scope"])})
                deeds.append((from_text(said.at), partial(_note, said)))
            for moment, deed in sorted(deeds, key=lambda each: each[0]):
                with state.transaction():
                    deed(state, moment)
                clock = cast("Clock", _Clock(moment))
                catch_up(state, (PERSONS, OPTOUTS), clock)
                settle_by_hand(state, moment)
            return list_optouts(state)


@dataclass(frozen=True)
class _Clock:
    moment: datetime

    def now(self) -> datetime:
        return self.moment


def _hear(text: str, state: State, now: datetime) -> None:
    read = read_payload(Source.META, text.encode(), key=b"k" * 32, received_at=now)
    EventLog(state).store([read], Via.LISTEN, now)


def _note(said: SaidStop, state: State, now: datetime) -> None:
    note_stop(state, said, now)

"""What a push does when somebody else writes too, when it is killed, and at Meta's limits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from wacoex_cli.errors import CredentialError, TemporaryError
from wacoex_cli.templates.files import Draft, read_directory, text_of, write_file
from wacoex_cli.templates.push import (
    CREATE,
    EDIT,
    Differences,
    Spent,
    WriteLog,
    Written,
    compare,
    push,
    wait_for_review,
)

WABA = "waba"


def draft(name: str, text: str = "We are open today.") -> Draft:
    body = {"type": "BODY", "text": text}
    return Draft(name, "en_US", "UTILITY", "POSITIONAL", (body,))


class Killed(BaseException):
    """The process ends in the middle, as with SIGKILL."""


class Shelf:
    """Meta's templates in memory; `on_write` is called before each write is carried out."""

    def __init__(self, *drafts: Draft, status: str = "APPROVED") -> None:
        self.records: list[dict[str, Any]] = []
        self.writes: list[str] = []
        self.on_write: Callable[[], None] = lambda: None
        self.after_write: Callable[[], None] = lambda: None
        for each in drafts:
            self._add(each.name, each.to_json(), status)

    def _add(self, name: str, body: Mapping[str, object], status: str) -> dict[str, Any]:
        number = str(len(self.records) + 1)
        record = {"name": name, **body, "status": status, "id": number}
        self.records.append(record)
        return record

    async def templates(self, waba_id: str, /, *, name: str | None = None) -> list[dict[str, Any]]:
        assert waba_id == WABA
        return [dict(record) for record in self.records if (name or "") in record["name"]]

    async def create_template(self, waba_id: str, body: Mapping[str, object], /) -> dict[str, Any]:
        self.on_write()
        record = self._add(str(body["name"]), body, "PENDING")
        self.writes.append(f"create {body['name']}")
        self.after_write()
        return {key: record[key] for key in ("id", "status", "category")}

    async def edit_template(self, template_id: str, body: Mapping[str, object], /) -> None:
        self.on_write()
        [record] = [record for record in self.records if record["id"] == template_id]
        record.update({**body, "status": "PENDING"})
        self.writes.append(f"edit {record['name']}")
        self.after_write()


async def no_upload(example: object) -> str:
    raise AssertionError("no template here has an example")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "templates"


def put(directory: Path, *drafts: Draft) -> None:
    for each in drafts:
        write_file(directory / f"{each.name}.toml", text_of([each]))


def shown(directory: Path, shelf: Shelf, log: WriteLog, clock) -> Differences:
    records = asyncio.run(shelf.templates(WABA))
    return compare(read_directory(directory), records, log.spent(clock.now()), clock.now())


def pushed(shelf: Shelf, comparison: Differences, log: WriteLog, clock) -> list[Written]:
    done: list[Written] = []
    return asyncio.run(push(shelf, WABA, comparison.possible, log, clock, done.append, no_upload))


def test_a_template_changed_at_meta_since_it_was_shown_is_left(directory, state, clock) -> None:
    shelf, log = Shelf(draft("hours")), WriteLog(state, WABA)
    put(directory, draft("hours", "We are open on Monday."))
    comparison = shown(directory, shelf, log, clock)
    shelf.records[0]["components"] = [{"type": "BODY", "text": "Somebody else wrote this."}]

    [result] = pushed(shelf, comparison, log, clock)

    assert (result.outcome, shelf.writes) == ("changed", [])
    assert result.why == "somebody changed it at Meta since it was shown"


@pytest.mark.parametrize(
    ("after", "why"),
    [
        (draft("hours", "Another text of ours."), "hours.toml has changed since it was shown"),
        (None, "there is no such file"),
    ],
)
def test_a_file_that_changed_since_it_was_shown_is_left(
    directory, state, clock, after, why
) -> None:
    shelf, log = Shelf(draft("hours")), WriteLog(state, WABA)
    put(directory, draft("hours", "We are open on Monday."))
    comparison = shown(directory, shelf, log, clock)
    if after is None:
        (directory / "hours.toml").unlink()
    else:
        put(directory, after)

    [result] = pushed(shelf, comparison, log, clock)

    assert (result.outcome, shelf.writes) == ("changed", [])
    assert result.why is not None
    assert why in result.why


def test_a_template_that_somebody_made_meanwhile_is_not_made_again(directory, state, clock) -> None:
    shelf, log = Shelf(), WriteLog(state, WABA)
    put(directory, draft("hours"))
    comparison = shown(directory, shelf, log, clock)
    asyncio.run(shelf.create_template(WABA, {"name": "hours", **draft("hours").to_json()}))

    [result] = pushed(shelf, comparison, log, clock)

    assert (result.outcome, shelf.writes) == ("there", ["create hours"])


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_killed_push_continues_without_a_second_creation(
    directory, state, clock, moment, number
) -> None:
    shelf, log = Shelf(), WriteLog(state, WABA)
    put(directory, draft("a"), draft("b"), draft("c"))
    calls = 0

    def kill() -> None:
        nonlocal calls
        calls += 1
        if calls == number:
            raise Killed

    setattr(shelf, "on_write" if moment == "before" else "after_write", kill)
    with pytest.raises(Killed):
        pushed(shelf, shown(directory, shelf, log, clock), log, clock)
    pushed(shelf, shown(directory, shelf, log, clock), log, clock)

    assert sorted(shelf.writes) == ["create a", "create b", "create c"]
    assert shown(directory, shelf, log, clock).writes == ()


def test_a_push_stops_when_the_token_ends(directory, state, clock) -> None:
    shelf, log = Shelf(), WriteLog(state, WABA)
    put(directory, draft("a"), draft("b"))

    def end() -> None:
        raise CredentialError("the token has ended")

    shelf.on_write = end
    [result] = pushed(shelf, shown(directory, shelf, log, clock), log, clock)

    assert (result.outcome, result.why) == ("stopped", "the token has ended")


def test_a_write_without_answer_or_result_is_unclear_and_the_others_continue(
    directory, state, clock
) -> None:
    shelf, log = Shelf(), WriteLog(state, WABA)
    put(directory, draft("a"), draft("b"))
    failures = [TemporaryError("Meta gives no answer", code="unclear")]

    def fail_once() -> None:
        if failures:
            raise failures.pop()

    shelf.on_write = fail_once
    first, second = pushed(shelf, shown(directory, shelf, log, clock), log, clock)

    assert (first.outcome, second.outcome) == ("unclear", "created")


def test_meta_takes_a_hundred_new_templates_an_hour(directory, state, clock) -> None:
    shelf, log = Shelf(), WriteLog(state, WABA)
    put(directory, *(draft(f"t_{number:03}") for number in range(102)))

    first = shown(directory, shelf, log, clock)
    pushed(shelf, first, log, clock)
    again = shown(directory, shelf, log, clock)
    clock.advance(3_601)
    later = shown(directory, shelf, log, clock)

    assert len(first.possible) == 100
    assert (len(again.writes), len(again.possible)) == (2, 0)
    assert again.writes[0].why_not is not None
    assert again.writes[0].why_not.startswith("Meta takes 100 new templates an hour; push again")
    assert len(later.possible) == 2


def test_an_approved_template_is_edited_ten_times_in_thirty_days(directory, state, clock) -> None:
    shelf, log = Shelf(draft("hours")), WriteLog(state, WABA)
    for number in range(10):
        put(directory, draft("hours", f"We are open on day {number}."))
        assert [
            each.outcome for each in pushed(shelf, shown(directory, shelf, log, clock), log, clock)
        ]
        shelf.records[0]["status"] = "APPROVED"
        clock.advance(86_401)
    put(directory, draft("hours", "We are open every day."))

    eleventh = shown(directory, shelf, log, clock)
    clock.advance(21 * 86_400)
    later = shown(directory, shelf, log, clock)

    assert eleventh.possible == ()
    assert len(later.possible) == 1
    assert len(shelf.writes) == 10


@pytest.mark.parametrize("status", ["REJECTED", "PAUSED"])
def test_a_rejected_or_paused_template_is_edited_without_a_limit(
    directory, state, clock, status
) -> None:
    shelf, log = Shelf(draft("hours"), status=status), WriteLog(state, WABA)
    for _ in range(12):
        log.add("1", EDIT, clock.now())
    put(directory, replace(draft("hours", "We are open on Monday."), category="MARKETING"))

    [write] = shown(directory, shelf, log, clock).possible

    assert write.notes == ("the category changes from UTILITY to MARKETING",)


def test_a_template_in_review_is_not_edited(directory, state, clock) -> None:
    shelf, log = Shelf(draft("hours"), status="PENDING"), WriteLog(state, WABA)
    put(directory, draft("hours", "We are open on Monday."))

    [write] = shown(directory, shelf, log, clock).writes

    assert write.why_not == (
        "its status is PENDING: Meta edits APPROVED, REJECTED and PAUSED ones only"
    )


def test_numbered_variables_do_not_become_named_ones(directory, state, clock) -> None:
    shelf, log = Shelf(draft("hours")), WriteLog(state, WABA)
    put(directory, replace(draft("hours"), parameter_format="NAMED"))

    [write] = shown(directory, shelf, log, clock).writes

    assert write.why_not == "Meta keeps POSITIONAL variables; use a new name"


def test_waiting_reports_each_verdict_and_ends(directory, state, clock) -> None:
    shelf, log = Shelf(), WriteLog(state, WABA)
    put(directory, draft("a"), draft("b"))
    written = pushed(shelf, shown(directory, shelf, log, clock), log, clock)
    shelf.records[0] |= {"status": "APPROVED"}
    shelf.records[1] |= {"status": "REJECTED", "rejected_reason": "SCAM"}
    reported: list[Written] = []

    first, second = asyncio.run(wait_for_review(shelf, WABA, written, clock, reported.append))

    assert (first.status, first.why) == ("APPROVED", None)
    assert (second.status, second.why) == ("REJECTED", "SCAM")
    assert reported == [first, second]


def test_waiting_ends_after_a_day(directory, state, clock) -> None:
    shelf, log = Shelf(), WriteLog(state, WABA)
    put(directory, draft("a"))
    written = pushed(shelf, shown(directory, shelf, log, clock), log, clock)
    began = clock.now()

    [result] = asyncio.run(wait_for_review(shelf, WABA, written, clock, lambda _: None))

    assert result.status == "PENDING"
    assert timedelta(days=1) <= clock.now() - began < timedelta(days=1, minutes=2)


def test_writes_of_another_account_do_not_count(state, clock) -> None:
    WriteLog(state, "other").add("1", EDIT, clock.now())
    WriteLog(state, "other").add("2", CREATE, clock.now())

    assert WriteLog(state, WABA).spent(clock.now()) == Spent({}, [])

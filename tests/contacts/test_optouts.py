"""The people who want no more messages: the list, and the commands that change it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from wacoex_cli.contacts import store
from wacoex_cli.contacts.store import ImportCounts, OptOut, Scope
from wacoex_cli.foundation.state import State

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
LATER = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)

Run = Callable[..., Any]


def test_somebody_added_twice_stays_as_first_written(state: State) -> None:
    with state.transaction():
        assert store.add_optout(state, "+6591234567", "operator", "in the shop", NOON)
        assert not store.add_optout(state, "+6591234567", "meta-131050", None, LATER)
    assert store.list_optouts(state) == [
        OptOut("+6591234567", Scope.ALL, "operator", "in the shop", "2026-11-23T12:00:00.000Z")
    ]


def test_somebody_removed_is_no_longer_on_the_list(state: State) -> None:
    with state.transaction():
        store.add_optout(state, "+6591234567", "operator", None, NOON)
        assert store.remove_optout(state, "+6591234567", LATER)
        assert not store.remove_optout(state, "+6591234567", LATER)
    assert not store.is_opted_out(state, "+6591234567")


@pytest.mark.parametrize(
    ("webhook", "typed"),
    [
        ("+5215512345678", "+52 1 55 1234 5678"),
        ("+551187654321", "+55 11 98765-4321"),
        ("+5491123456789", "+54 11 2345-6789"),
    ],
)
def test_somebody_is_found_and_removed_by_either_spelling(
    run: Run, state: State, webhook: str, typed: str
) -> None:
    with state.transaction():
        store.add_optout(state, webhook, "meta-user_preferences", None, NOON)
    env = {"WACOEX_STATE": str(state.path)}
    assert "on the opt-out list already" in run("optout", "add", typed, env=env).out
    assert run("optout", "remove", typed, "--yes", env=env).code == 0
    assert store.list_optouts(state) == []


def test_a_wider_scope_takes_the_place_of_a_narrower_one_and_never_the_other_way_round(
    state: State,
) -> None:
    phone = "+6591234567"
    with state.transaction():
        store.add_optout(state, phone, "operator", None, NOON, Scope.MARKETING)
        assert not store.add_optout(state, phone, "import", None, LATER, Scope.MARKETING)
        assert not store.is_opted_out(state, phone, Scope.ALL)
        assert store.is_opted_out(state, phone)

        assert store.add_optout(state, phone, "meta-131050", None, LATER)
        assert not store.add_optout(state, phone, "operator", None, LATER, Scope.MARKETING)
    assert store.list_optouts(state) == [
        OptOut(phone, Scope.ALL, "meta-131050", None, "2026-11-24T12:00:00.000Z")
    ]


def test_an_import_counts_each_person_once(state: State) -> None:
    with state.transaction():
        store.add_optout(state, "+651", "operator", None, NOON)
        counts = store.import_optouts(state, ["+651", "+652", "+653", "+652"], "import", LATER)
        nobody = store.import_optouts(state, [], "import", LATER)
    assert counts == ImportCounts(added=2, known=1)
    assert nobody == ImportCounts(added=0, known=0)
    assert [optout.phone for optout in store.list_optouts(state)] == ["+652", "+653", "+651"]


def listed(run: Run) -> list[str]:
    return [optout["phone"] for optout in run("optout", "list", "--json").data["optouts"]]


def test_add_says_whether_the_list_changed(run: Run) -> None:
    first = run("optout", "add", "+65 9123 4567", "--note", "in the shop")
    again = run("optout", "add", "91234567", "--country", "sg")
    assert (first.code, first.out) == (0, "+6591234567 added to the opt-out list\n")
    assert (again.code, again.out) == (0, "+6591234567 is on the opt-out list already\n")
    assert listed(run) == ["+6591234567"]


def test_the_list_in_a_pipe_is_plain_columns(run: Run) -> None:
    run("optout", "add", "+6591234567", "--note", "in the shop")
    phone, scope, source, note, added_at = run("optout", "list").out.rstrip("\n").split("\t")
    assert (phone, scope, source, note) == ("+6591234567", "all", "operator", "in the shop")
    assert added_at.endswith("Z")


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["add", "91234567"], "invalid_phone"),
        (["add", "hello", "--country", "SG"], "invalid_phone"),
        (["add", "91234567", "--country", "UK"], "unknown_country"),
        (["remove", "+6591234567", "--yes"], "not_opted_out"),
        (["import", "missing.csv"], "unreadable_file"),
        (["import", "-"], "no_header"),
    ],
)
def test_bad_input_is_a_usage_error(run: Run, arguments: list[str], code: str) -> None:
    outcome = run("optout", *arguments, "--json")
    assert outcome.code == 2
    assert outcome.envelope["errors"][0]["code"] == code
    assert listed(run) == []


def test_the_scope_is_shown_and_never_narrowed(run: Run) -> None:
    narrow = run("optout", "add", "+6591234567", "--scope", "marketing", "--json")
    same = run("optout", "add", "+6591234567", "--scope", "marketing")
    wide = run("optout", "add", "+6591234567")
    back = run("optout", "add", "+6591234567", "--scope", "marketing", "--json")
    assert (narrow.data["scope"], narrow.data["added"]) == ("marketing", True)
    assert same.out == "+6591234567 is on the opt-out list for marketing already\n"
    assert wide.out == "+6591234567 added to the opt-out list\n"
    assert (back.data["scope"], back.data["added"]) == ("all", False)
    assert run("optout", "add", "+6591230000", "--scope", "some").code == 2


def test_an_import_has_one_scope_and_counts_whom_it_widens_as_added(run: Run) -> None:
    content = "phone\n+6591234567\n+6591230000\n"
    run("optout", "import", "-", "--scope", "marketing", stdin=content)
    run("optout", "add", "+6591230000")
    dry = run("optout", "import", "-", "--dry-run", "--json", stdin=content)
    again = run("optout", "import", "-", "--json", stdin=content)
    assert (dry.data["added"], dry.data["known"]) == (1, 1)
    assert (again.data["added"], again.data["known"]) == (1, 1)
    listed = run("optout", "list", "--json").data["optouts"]
    assert [entry["scope"] for entry in listed] == ["all", "all"]


def test_remove_asks_first(run: Run) -> None:
    run("optout", "add", "+6591234567")
    declined = run("optout", "remove", "+6591234567", tty=True, stdin="n\n")
    unanswered = run("optout", "remove", "+6591234567")
    assert (declined.code, unanswered.code) == (1, 2)
    assert "--yes" in unanswered.err
    assert listed(run) == ["+6591234567"]

    agreed = run("optout", "remove", "+6591234567", tty=True, stdin="y\n")
    assert (agreed.code, listed(run)) == (0, [])


def test_remove_needs_no_question_with_yes(run: Run) -> None:
    run("optout", "add", "+6591234567")
    outcome = run("optout", "remove", "+6591234567", "--yes", "--json")
    assert outcome.data == {"phone": "+6591234567", "removed": True, "dry_run": False}
    assert listed(run) == []


def test_import_adds_readable_rows_and_names_the_other_lines(run: Run) -> None:
    run("optout", "add", "+6591234567")
    content = "phone,why\n+6591234567,a\n91230000,b\nnobody,c\n+65 9123 0000,d\n"
    outcome = run("optout", "import", "-", "--country", "SG", stdin=content)
    assert outcome.code == 7
    assert outcome.out == ("1 added, 1 on the list already\n1 not readable and not added: line 4\n")
    assert sorted(listed(run)) == ["+6591230000", "+6591234567"]


def test_a_clean_import_ends_well(run: Run) -> None:
    outcome = run("optout", "import", "-", "--json", stdin="phone\n+6591234567\n+6591230000\n")
    assert outcome.code == 0
    assert outcome.data == {
        "added": 2,
        "known": 0,
        "invalid": 0,
        "invalid_lines": [],
        "dry_run": False,
    }


def test_an_import_without_a_single_number_is_refused(run: Run) -> None:
    outcome = run("optout", "import", "-", stdin="phone\n91234567\n")
    assert outcome.code == 2
    assert "--country" in outcome.err


def test_a_dry_run_says_the_same_and_changes_nothing(run: Run) -> None:
    run("optout", "add", "+6591234567")
    content = "phone\n+6591234567\n+6591230000\n"
    add = run("optout", "add", "+6591230000", "--dry-run")
    remove = run("optout", "remove", "+6591234567", "--dry-run")
    imported = run("optout", "import", "-", "--dry-run", "--json", stdin=content)
    assert add.out == "+6591230000 would be added to the opt-out list\n"
    assert remove.out == "+6591234567 would be removed from the opt-out list\n"
    assert (imported.data["added"], imported.data["known"]) == (1, 1)
    assert listed(run) == ["+6591234567"]


USER_ID = "SG.13491208655302741918"


@pytest.mark.parametrize("typed", [USER_ID, f"user_id:{USER_ID}"])
def test_somebody_without_a_known_number_is_added_and_removed_by_the_user_id(
    run: Run, state: State, typed: str
) -> None:
    env = {"WACOEX_STATE": str(state.path)}

    added = run("optout", "add", typed, env=env)
    again = run("optout", "add", USER_ID, env=env)

    assert added.out == f"user_id:{USER_ID} added to the opt-out list\n"
    assert "already" in again.out
    assert [optout.phone for optout in store.list_optouts(state)] == [f"user_id:{USER_ID}"]
    assert run("optout", "remove", typed, "--yes", env=env).code == 0
    assert store.list_optouts(state) == []


def test_a_file_of_opt_outs_may_hold_numbers_and_user_ids(
    run: Run, state: State, tmp_path: Path
) -> None:
    path = tmp_path / "stop.csv"
    path.write_text(f"phone,bsuid\n+6591234567,{USER_ID}\n,US.1234\n@ana,\n+6591234568,\n")

    done = run("optout", "import", str(path), "--json", env={"WACOEX_STATE": str(state.path)})

    data = done.envelope["data"]
    assert (done.code, data["added"], data["invalid_lines"]) == (7, 4, [4])
    assert {optout.phone for optout in store.list_optouts(state)} == {
        *("+6591234567", "+6591234568", f"user_id:{USER_ID}", "user_id:US.1234")
    }


def test_a_username_cannot_be_added_and_is_named_as_what_it_is(run: Run, state: State) -> None:
    refused = run("optout", "add", "@ana", env={"WACOEX_STATE": str(state.path)})

    assert refused.code == 2
    assert "a username (@ana): wacoex cannot send to it" in refused.err

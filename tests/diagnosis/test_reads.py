"""How often commands ask Meta: as often for a hundred channels as for ten."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.statements import Work, watched
from wacoex_cli.sandbox.faults import Fault
from wacoex_cli.sandbox.world import PHONE_NUMBER_ID, WABA_ID, Node


@pytest.fixture
def fill(clinic: Any) -> Callable[[int], None]:
    """Let there be this many channels in one account; a second call adds those that lack."""
    there = 1

    def add(count: int) -> None:
        nonlocal there
        pattern = clinic.world.nodes[PHONE_NUMBER_ID]
        lines = ["name,phone,phone_number_id,waba_id"]
        first, there = there, count
        for place in range(first - 1, count - 1):
            node_id, phone = str(10**14 + place), f"+65800{place:05}"
            values = {**copy.deepcopy(pattern.values), "display_phone_number": phone}
            clinic.world.nodes[node_id] = Node(pattern.kind, node_id, WABA_ID, values)
            lines.append(f"shop-{place},{phone},{node_id},{WABA_ID}")
        stdin = "\n".join(lines) + "\n"
        assert clinic.run("channel", "import", "-", stdin=stdin).code == 0

    return add


# Token, list of numbers (a further page for each hundred), a number by itself, account, its apps;
# for `doctor` also the webhooks of our app, for `partner check` the users of the account, for
# `auth status` the kind of the account and of 50 numbers in a request.
FOR_ALL = {
    "status": (5, 6),
    "doctor": (6, 7),
    "partner check": (6, 7),
    "auth status": (3, 4),
    "channel discover --dry-run": (2, 3),
    "reminder check": (0, 0),
    "channel list": (0, 0),
    "events list": (0, 0),
    "mac": (0, 0),
}
FOR_A_CHANNEL = {
    "status shop-3": 4,
    "doctor shop-3": 5,
    "partner check shop-3": 5,
    "auth status --channel shop-3": 3,
    "template list --channel shop-3": 1,
    "template pull there --channel shop-3": 1,
    "template push there --channel shop-3 --dry-run": 1,
    "events subscribe --check --channel shop-3": 2,
    "channel show shop-3": 0,
    "media list --channel shop-3": 0,
    "events pull --channel shop-3 --dry-run": 0,
    "template diff there --channel shop-3": 1,
}


def reads_of(clinic: Any, words: str) -> int:
    clinic.world.log.reads.clear()
    outcome = clinic.run(*words.split(), "--json")
    assert outcome.envelope["errors"] == []
    total: int = clinic.world.log.reads.total()
    return total


def test_every_command_asks_an_account_once_however_many_channels_it_has(
    clinic: Any, fill: Callable[[int], None]
) -> None:
    counts = []
    for channels in (10, 100):
        fill(channels)
        counts.append({words: reads_of(clinic, words) for words in FOR_ALL})

    assert {words: (few[words], many[words]) for few, many in [counts] for words in few} == FOR_ALL


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Work:
    """Every statement that the state file is given."""
    return watched(monkeypatch)


def queries(work: Work) -> list[str]:
    """Every question among them."""
    return [text for text in work.statements if text.startswith(("SELECT", "WITH"))]


@pytest.mark.parametrize("words", [words for words, reads in FOR_ALL.items() if any(reads)])
def test_online_reads_need_no_query_for_each_channel(
    clinic: Any, fill: Callable[[int], None], work: Work, words: str
) -> None:
    counts = []
    for channels in (10, 100):
        fill(channels)
        clinic.run(*words.split(), "--json")
        work.begin()
        clinic.run(*words.split(), "--json")
        counts.append(len(queries(work)))

    assert counts[0] == counts[1] > 0


def test_a_command_about_a_channel_asks_nothing_about_the_others(
    clinic: Any, fill: Callable[[int], None]
) -> None:
    fill(100)

    assert {words: reads_of(clinic, words) for words in FOR_A_CHANNEL} == FOR_A_CHANNEL


@pytest.mark.parametrize("verb", ["doctor", "status"])
def test_each_of_a_hundred_channels_gets_a_verdict(
    clinic: Any, fill: Callable[[int], None], verb: str
) -> None:
    fill(100)

    outcome = clinic.run(verb, "--json")

    verdicts = [channel["verdict"] for channel in outcome.data["channels"]]
    assert len(verdicts) == 100
    assert "unknown" not in verdicts


def test_a_field_that_is_read_for_each_number_is_named(
    clinic: Any, fill: Callable[[int], None]
) -> None:
    fill(10)
    clinic.world.patch_settings({"list_refuses": frozenset({"health_status"})})

    outcome = clinic.doctor()
    shown = clinic.run("doctor")

    [meta] = [source for source in outcome.data["sources"] if source["name"] == "meta"]
    note = f"the list of account {WABA_ID} does not give `health_status`: read for each number"
    assert (meta["ok"], meta["reason"]) == (True, note)
    assert f"Meta: answered ({note})" in shown.out


@pytest.mark.parametrize("words", ["status", "partner check"])
def test_commands_that_show_facts_say_which_were_read_for_each_number(
    clinic: Any, fill: Callable[[int], None], words: str
) -> None:
    fill(10)
    clinic.world.patch_settings({"list_refuses": frozenset({"health_status"})})

    found = clinic.run(*words.split(), "--json")
    piped = clinic.run(*words.split())

    note = "does not give `health_status`: read for each number"
    assert [text for text in found.data["notes"] if note in text]
    assert note in piped.err
    assert clinic.run("status", "--offline", "--json").data["notes"] == []


def test_doctor_of_a_channel_reads_no_broadcasts_of_others(
    clinic: Any, fill: Callable[[int], None], work: Work
) -> None:
    fill(10)

    clinic.doctor("shop-3")

    to_be_sent = [text for text in queries(work) if "b.status IN" in text]
    assert to_be_sent
    assert all("b.channel_id IN" in text for text in to_be_sent)


def test_a_meta_without_combined_requests_is_reported(
    clinic: Any, fill: Callable[[int], None]
) -> None:
    fill(10)
    clinic.world.patch_settings(
        {"list_refuses": frozenset({"health_status"}), "takes_batches": False}
    )

    outcome = clinic.doctor()

    [meta] = [source for source in outcome.data["sources"] if source["name"] == "meta"]
    assert meta["ok"] is True
    assert "Meta takes no request for several numbers" in meta["reason"]
    assert "unknown" not in [channel["verdict"] for channel in outcome.data["channels"]]


@pytest.mark.parametrize("path", ["?batch", f"/{10**14 + 3}"])
def test_too_many_calls_make_channels_unknown_and_are_reported(
    clinic: Any, fill: Callable[[int], None], path: str
) -> None:
    fill(10)
    clinic.world.patch_settings({"list_refuses": frozenset({"health_status"})})
    clinic.world.faults.replace([Fault("refuse", on="reads", path=path, code=80008)])

    outcome = clinic.doctor()

    [meta] = [source for source in outcome.data["sources"] if source["name"] == "meta"]
    assert "code 80008" in meta["reason"]
    verdicts = {it["channel"]: it["verdict"] for it in outcome.data["channels"]}
    assert verdicts["shop-3"] == "unknown"
    assert outcome.code == 3


def test_templates_to_be_sent_are_asked_for_once_for_an_account(
    clinic: Any, fill: Callable[[int], None]
) -> None:
    fill(10)
    for place in range(4):
        words = ("broadcast", "plan", "-c", f"shop-{place}", "--template", "opening_hours")
        assert clinic.run(*words, "--lang", "en_US", "-", stdin="phone\n+6591234567\n").code == 0
    clinic.world.log.reads.clear()

    outcome = clinic.doctor()

    assert clinic.world.log.reads[f"GET /v26.0/{WABA_ID}/message_templates"] == 1
    assert "WX608" not in [finding["id"] for finding in outcome.data["findings"]]


def test_numbers_that_meta_does_not_answer_for_spoil_no_other(
    clinic: Any, fill: Callable[[int], None]
) -> None:
    fill(10)
    clinic.world.patch_settings({"list_refuses": frozenset({"health_status"})})
    broken = str(10**14 + 3)
    clinic.world.faults.replace([Fault("html", on="reads", path=f"/{broken}")])

    outcome = clinic.doctor()

    unknown = [it["channel"] for it in outcome.data["channels"] if it["verdict"] == "unknown"]
    assert unknown == ["shop-3"]

"""A number that Meta showed to a token before and hides now, and what looks alike but is not that.

The number leaves the API of the sandbox without a webhook; everything runs through the command.
"""

from __future__ import annotations

from typing import Any

import pytest

from wacoex_cli.platforms.error_codes import classify
from wacoex_cli.sandbox.account import come_back, leave, move
from wacoex_cli.sandbox.faults import Fault
from wacoex_cli.sandbox.world import (
    APP_ID,
    BUSINESS_ID,
    DEFAULT_TOKEN,
    FOREIGN_WABA_ID,
    PHONE,
    PHONE_NUMBER_ID,
    SECOND_PHONE_NUMBER_ID,
    WABA_ID,
)

OTHER_TOKEN = "sandbox-token-of-somebody-else"


def status(clinic: Any, *arguments: str) -> tuple[int, list[str], dict[str, Any]]:
    outcome = clinic.run("status", "shop", "--json", *arguments)
    [channel] = outcome.data["channels"]
    return outcome.code, [found["id"] for found in channel["findings"]], channel


@pytest.fixture
def seen(clinic: Any) -> Any:
    """A channel whose number Meta has shown, and whose phone somebody has confirmed."""
    assert status(clinic)[:2] == (0, [])
    assert clinic.run("reminder", "confirm", "shop", "--by", "Ana").code == 0
    return clinic


def test_a_number_that_was_shown_and_is_gone_is_critical_everywhere(seen: Any) -> None:
    leave(seen.world)

    code, ids, channel = status(seen)
    assert (code, ids, channel["verdict"]) == (2, ["WX215"], "critical")
    assert channel["findings"][0]["title"].endswith("probably disconnected")
    assert (channel["connection"], channel["failures"]) == ("gone", [])
    doctor = seen.doctor("shop")
    assert doctor.code == 2
    assert "WX215" in [found["id"] for found in doctor.data["findings"]]
    assert "WX709" not in [found["id"] for found in doctor.data["findings"]]
    partner = seen.run("partner", "check", "shop", "--json")
    assert (partner.code, "WX215" in partner.out) == (2, True)
    # What was seen is enough for a command that asks nobody.
    assert status(seen, "--offline")[:2] == (2, ["WX215"])
    assert seen.run("channel", "list", "--json").data["channels"][0]["connection"] == "gone"


def test_the_reminder_does_not_stay_ok(seen: Any) -> None:
    assert seen.run("reminder", "check").code == 0
    leave(seen.world)
    status(seen)

    check = seen.run("reminder", "check", "--json")
    [channel] = check.data["channels"]
    assert (check.code, channel["severity"], channel["stage"]) == (2, "critical", "ok")
    nagios = seen.run("reminder", "check", "--nagios")
    assert (nagios.code, nagios.out.splitlines()[0][:24]) == (2, "WACOEX CRITICAL - 1 gone")
    assert "WX215" in nagios.out
    confirmed = seen.run("reminder", "confirm", "shop", "--by", "Ana")
    assert "is not connected any more" in confirmed.err


def test_the_person_who_looks_after_the_phone_gets_a_notice(seen: Any) -> None:
    notify = ("reminder", "notify", "--to", "json://127.0.0.1:9/", "--dry-run", "--json")
    leave(seen.world)
    status(seen)

    [notice] = seen.run(*notify).data["would_send"]
    assert notice["kind"] == "removed"
    shown = seen.run("reminder", "notify", "--to", "json://127.0.0.1:9/", "--dry-run", tty=True)
    assert "shop: the channel is probably disconnected" in shown.out
    assert "wacoex explain WX215" in shown.out


def test_the_finding_ends_when_the_number_is_shown_again(seen: Any) -> None:
    leave(seen.world)
    assert status(seen)[0] == 2
    come_back(seen.world)

    code, ids, channel = status(seen)
    assert (code, ids, channel["connection"]) == (0, [], "connected")
    assert seen.run("reminder", "check").code == 0


def test_the_finding_ends_when_meta_reports_a_connection(seen: Any) -> None:
    leave(seen.world)
    status(seen)

    seen.account_update("PARTNER_ADDED", days_ago=-0.001)

    assert "WX215" not in status(seen, "--offline")[1]


def test_a_number_that_was_never_shown_may_be_a_wrong_id(clinic: Any) -> None:
    leave(clinic.world)

    code, ids, channel = status(clinic)
    assert (code, "WX215" in ids, channel["verdict"]) == (3, False, "unknown")
    assert channel["failures"][0]["code"] == "meta_100"


def test_another_token_makes_it_uncertain(seen: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    seen.world.patch_token(OTHER_TOKEN, {})
    leave(seen.world)
    monkeypatch.setenv("WACOEX_META_TOKEN", OTHER_TOKEN)

    code, ids, channel = status(seen)
    assert (code, "WX215" in ids) == (3, False)
    assert "another token saw it at 20" in channel["failures"][0]["message"]
    assert seen.run("reminder", "check").code == 0
    # The token that saw it decides, and its answer applies to another one too.
    monkeypatch.setenv("WACOEX_META_TOKEN", DEFAULT_TOKEN)
    assert status(seen)[1] == ["WX215"]
    monkeypatch.setenv("WACOEX_META_TOKEN", OTHER_TOKEN)
    assert status(seen)[:2] == (2, ["WX215"])
    assert OTHER_TOKEN.encode() not in seen.state_path.read_bytes()
    assert DEFAULT_TOKEN.encode() not in seen.state_path.read_bytes()


def test_a_bad_token_at_the_same_time_is_its_own_finding(seen: Any) -> None:
    leave(seen.world)
    seen.world.patch_token(DEFAULT_TOKEN, {"revoked": True})
    # Meta may refuse the token and still say that the number does not exist.
    hidden = Fault("refuse", on="all", path=PHONE_NUMBER_ID, code=100, subcode=33)
    seen.world.faults.replace([hidden])

    assert status(seen)[:2] == (3, ["WX701"])
    assert seen.run("reminder", "check").code == 0


@pytest.mark.parametrize("kind", ["server_error", "html", "reset_before"])
def test_a_missing_or_broken_answer_proves_nothing(seen: Any, kind: str) -> None:
    seen.world.faults.replace([Fault(kind, on="all")])

    code, ids, channel = status(seen)
    assert (code, "WX215" in ids) == (3, False)
    assert channel["failures"]
    assert seen.run("reminder", "check").code == 0


def test_an_event_about_the_loss_knows_more(seen: Any) -> None:
    leave(seen.world)
    seen.account_update("PARTNER_REMOVED", disconnection_info={"reason": "PRIMARY_INACTIVITY"})

    code, ids, channel = status(seen)
    assert (code, channel["connection"]) == (2, "removed")
    assert "WX203" in ids
    assert "WX215" not in ids


def test_a_number_under_another_id_has_moved(seen: Any) -> None:
    seen.world.patch_token(DEFAULT_TOKEN, {"waba_ids": frozenset({WABA_ID, FOREIGN_WABA_ID})})
    move(seen.world, waba_id=FOREIGN_WABA_ID, new_id="106000000000077")

    code, ids, channel = status(seen)
    assert (code, ids) == (1, ["WX215"])
    [step] = channel["findings"][0]["remedy"]
    command = f"channel edit shop --waba-id {FOREIGN_WABA_ID} --phone-number-id 106000000000077"
    assert command in step
    assert seen.run("reminder", "check").code == 0
    assert seen.run(*command.split()).code == 0
    assert "WX215" not in status(seen)[1]


def test_an_account_that_is_gone_while_the_number_stays_is_a_warning(seen: Any) -> None:
    seen.world.hidden.add(WABA_ID)

    code, ids, channel = status(seen)
    assert (code, ids, channel["connection"]) == (1, ["WX215"], "connected")
    assert "the number is still there" in channel["findings"][0]["title"]
    seen.world.hidden.clear()
    assert status(seen)[:2] == (0, [])


def test_number_and_account_may_go_together(seen: Any) -> None:
    leave(seen.world)
    seen.world.hidden.add(WABA_ID)

    assert status(seen)[:2] == (2, ["WX215"])
    assert "WX709" not in seen.ids("shop")


@pytest.mark.parametrize("subcode", [458, 460, 463, 467])
def test_each_reason_why_a_token_is_refused_has_its_own_words(seen: Any, subcode: int) -> None:
    meant = classify(190, subcode)
    seen.world.faults.replace([Fault("refuse", on="all", code=190, subcode=subcode)])

    _, ids, channel = status(seen)
    assert ids == ["WX701"]
    assert channel["findings"][0]["remedy"][0] == meant.hint
    assert meant.meaning in channel["findings"][0]["evidence"][0]["text"]
    [finding] = [it for it in seen.doctor().data["findings"] if it["id"] == "WX701"]
    assert finding["remedy"][0] == meant.hint
    tokens = seen.run("auth", "status", "--json")
    assert tokens.code != 0
    assert meant.meaning in tokens.out
    assert meant.hint in tokens.out


WRONG = {
    "a portfolio": ("--waba-id", BUSINESS_ID, "a business portfolio", "WhatsApp accounts"),
    "a number": ("--waba-id", SECOND_PHONE_NUMBER_ID, "a phone number", "WhatsApp accounts"),
    "an app": ("--waba-id", APP_ID, "an app", "WhatsApp accounts"),
    "an account": ("--phone-number-id", WABA_ID, "a WhatsApp Business Account", "Phone numbers"),
    "a portfolio as a number": (
        *("--phone-number-id", BUSINESS_ID),
        *("a business portfolio", "Phone numbers"),
    ),
}


@pytest.mark.parametrize(("option", "value", "kind", "place"), WRONG.values(), ids=WRONG)
def test_an_id_of_another_kind_is_named_as_such(
    world: Any, run: Any, option: str, value: str, kind: str, place: str
) -> None:
    ids = {"--phone-number-id": PHONE_NUMBER_ID, "--waba-id": WABA_ID, option: value}
    words = [word for pair in ids.items() for word in pair]
    if option == "--phone-number-id" and value == WABA_ID:
        # The same id twice in one command needs nobody to be asked.
        assert run("channel", "add", "shop", "--phone", PHONE, *words).code == 2
        words = words[:2]
    assert run("channel", "add", "shop", "--phone", PHONE, *words).code == 0

    outcome = run("status", "shop", "--json")
    [found] = [it for it in outcome.data["channels"][0]["findings"] if it["id"] == "WX207"]
    assert outcome.code in {1, 3}
    assert f"{value} is the id of {kind}, not of" in found["evidence"][0]["text"]
    assert place in found["remedy"][0]
    assert f"channel edit shop {option} ID" in found["remedy"][1]
    tokens = run("auth", "status", "--json")
    assert f"{value} is the id of {kind}, not of" in tokens.out
    if option == "--waba-id":
        templates = run(
            "broadcast", "plan", "-", "--template", "x", "--lang", "en", stdin="phone\n"
        )
        assert templates.code != 0
        discovered = run("channel", "discover", "--dry-run", "--json")
        assert f"{value} is the id of {kind}" in discovered.out


def test_ids_that_meta_reported_before_are_known_when_a_channel_is_added_or_changed(
    seen: Any,
) -> None:
    edited = seen.run("channel", "edit", "shop", "--waba-id", BUSINESS_ID)
    assert edited.code == 2
    assert f"error: {BUSINESS_ID} is the id of a business portfolio, not of" in edited.err
    assert "hint: its id is in Business settings, Accounts, WhatsApp accounts" in edited.err
    more = ("channel", "add", "second", "--phone", "+6560000002")
    assert seen.run(*more, "--waba-id", PHONE_NUMBER_ID).code == 2
    assert seen.run(*more, "--phone-number-id", WABA_ID).code == 2
    assert seen.run(*more, "--phone-number-id", APP_ID).code == 2
    listed = f"name,phone,waba_id\nsecond,+6560000002,{BUSINESS_ID}\n"
    imported = seen.run("channel", "import", "-", stdin=listed)
    assert "is the id of a business portfolio" in imported.out + imported.err
    assert seen.run(*more, "--waba-id", WABA_ID).code == 0

"""What a user of the sandbox reads while they work: each statement on the screen it belongs to.

A row is a statement (F: of the help article, news: of Meta's newest pages) and the words on the
screen. The pages of `explain` are tested in `tests/findings`; here the commands run, so that a text
that is somewhere and is never shown does not count.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from wacoex_cli.sandbox.world import WABA_ID


def typed(*answers: str) -> dict[str, Any]:
    """What a person types at a terminal."""
    return {"tty": True, "stdin": "".join(f"{each}\n" for each in answers)}


def shown(outcome: Any) -> str:
    """The whole screen in one line."""
    return " ".join(f"{outcome.err} {outcome.out}".split())


def connecting(clinic: Any) -> str:
    """Connecting, up to the place where respond.io's part is done."""
    answers = ("2.25.3", "yes", "yes", "no", "yes", "no")
    return shown(clinic.run("connect", "shop", **typed(*answers)))


def linking(clinic: Any) -> str:
    """Connecting a number that Meta does not show yet: it is linked by hand."""
    clinic.run("channel", "add", "cafe", "--phone", "+6591234567")
    return shown(clinic.run("connect", "cafe", **typed("2.25.3", "yes", "yes", "no", "")))


def switching(clinic: Any) -> str:
    """Connecting a number that another partner has."""
    return shown(clinic.run("connect", "shop", **typed("2.25.3", "yes", "no", "yes", "no")))


def offboarding(clinic: Any) -> str:
    """The plan of letting a channel go."""
    return shown(clinic.run("offboard", "shop", "--dry-run", tty=True))


def symptom(name: str, *answers: str) -> Callable[[Any], str]:
    """The questions of a symptom and what follows from the answers."""

    def screen(clinic: Any) -> str:
        return shown(clinic.run("doctor", "shop", "--symptom", name, **typed(*answers)))

    return screen


def symptom_of_a_removed_partner(clinic: Any) -> str:
    """Messages are missing, and Meta does not show the partner either."""
    clinic.world.subscribed_apps[WABA_ID].pop(0)
    return symptom("missing-messages", "yes", "no", "no", "no", "no")(clinic)


def removed(clinic: Any) -> str:
    """Meta reports that the partner was removed."""
    clinic.account_update("PARTNER_REMOVED", disconnection_info={"reason": "PRIMARY_INACTIVITY"})
    return shown(clinic.run("status", "-v", tty=True))


def unlinked(clinic: Any) -> str:
    """The devices of a channel that was connected three days ago."""
    clinic.onboarded(3)
    clinic.run("device", "add", "web", "--name", "desk")
    clinic.sql("UPDATE devices SET linked_at = '2026-01-01T00:00:00.000Z'")
    return shown(clinic.run("status", "-v", tty=True))


def an_unsupported_device(clinic: Any) -> str:
    """A companion of a kind that is not mirrored is put on the list."""
    return shown(clinic.run("device", "add", "desktop-windows", "--name", "desk", tty=True))


def too_many_devices(clinic: Any) -> str:
    """A fifth companion."""
    for number in range(4):
        clinic.run("device", "add", "web", "--name", f"desk {number}")
    return shown(clinic.run("device", "add", "web", "--name", "desk 5", tty=True))


def attaching(clinic: Any) -> str:
    """The app of the test is attached to the account."""
    clinic.world.subscribed_apps[WABA_ID].pop()
    return shown(clinic.run("events", "subscribe", "-c", "shop", **typed("yes")))


def overridden(clinic: Any) -> str:
    """The partner's app has a callback that leads elsewhere."""
    app = clinic.world.subscribed_apps[WABA_ID][0]
    app["override_callback_uri"] = "https://elsewhere.example/hook"
    return shown(clinic.run("partner", "check", "shop", tty=True))


def closed_for(days: float) -> Callable[[Any], str]:
    """Nobody has opened the app for this many days, as far as we know."""

    def screen(clinic: Any) -> str:
        clinic.onboarded(40)
        opened = datetime.now(UTC) - timedelta(days=days)
        confirmed = ("reminder", "confirm", "shop", "--at", f"{opened:%Y-%m-%d %H:%M}")
        assert clinic.run(*confirmed).code == 0
        return shown(clinic.run("status", "-v", tty=True))

    return screen


def mac(clinic: Any) -> str:
    """The month's active contacts."""
    return shown(clinic.run("mac", tty=True))


SCREENS: dict[Callable[[Any], str], dict[str, str]] = {
    connecting: {
        "F04 the app every 14 days": "must be opened on the phone at least every 14 days",
        "F07 no import": "respond.io imports neither",
        "F09 where": "Settings > Channels > Add Channel > WhatsApp",
        "F09 the link": "to connect a WhatsApp Business App",
        "F09 with Facebook": "Connect With Facebook; log in with the Facebook account",
        "F09 to the end": "complete the embedded sign-up",
        "F21 broadcast lists": "no new ones and no sending; the old ones are read-only",
        "F21 instead": "respond.io's Broadcast module",
        "F23 edit and revoke": "respond.io's older help article: no longer supported",
        "F24 disappearing": "disappearing messages: off in all chats with one person",
        "F25 view once": "view once: off in chats with one person",
        "F26 live location": "live location: off in chats with one person",
        "F28 groups": "go on in the app and are not seen through the API",
        "F31 F69 companions": "all are unlinked; link them again by hand, up to 24 hours later",
        "F32 the rate": "20 messages a second: in and out together, fixed by Meta",
        "F42 blue tick": "a Meta Verified badge (a blue tick)",
        "F50 F58 not a closed list": "some, such as WhatsApp for Windows and Wear OS, do not work",
    },
    linking: {
        "F08 where": "Settings",
        "F08 the clicks": "Link a WhatsApp Business account (newer screens: WhatsApp account)",
        "WX604 leads on": "then continue: `wacoex connect cafe`",
        "WX607": "check the Meta Verified badge after connecting",
    },
    switching: {
        "F46": "1. back up the chats on the phone",
        "F47": "2. disconnect in the app",
        "F48": "3. connect the business to Meta again in the app",
        "F49 F45": "4. connect the number to the new partner: it gets a new WABA id",
    },
    offboarding: {
        "F78 F79": "b. Settings, Account, Business Platform",
        "F80": "choose the partner, then Disconnect Account",
        "F81": "open Meta Business Settings, WhatsApp Accounts (newer screens: Messaging accounts)",
        "F82 F83": "open WhatsApp Manager, then Manage",
        "F84": "c. remove the partner",
        "F85": "loses the number: nothing comes in or goes out through the API",
        "F86 F87": "Meta deletes neither the WhatsApp Business Account nor the phone number",
        "F70": "all companion devices are unlinked",
    },
    symptom("missing-messages", "yes", "yes", "yes", "yes", "yes"): {
        "F50 asked": "were they sent from WhatsApp for Windows or from a watch with Wear OS?",
        "F51 asked": "was the app on the primary phone not opened for more than 14 days?",
        "F51 said": "WhatsApp logs companions out when the app on the phone stays closed",
        "F51 next": "record it: `wacoex reminder confirm shop`",
        "F53": "is it in the app on the phone, and not in the inbox?",
        "F54": "see in WhatsApp Manager that respond.io is listed as an active partner",
        "news 1 asked": "did somebody connect another partner, or switch on Meta Business Agent?",
        "news 1 said": "another partner, or Meta Business Agent, may get the messages",
    },
    symptom_of_a_removed_partner: {
        "F55": "delete the channel in respond.io, then connect again: `wacoex connect shop`",
    },
    symptom("unsupported-messages", "", "", "", ""): {
        "F59 F66": "the contact probably wrote on WhatsApp for Windows or a watch",
        "F61 F67": "the app was catching up: this ends by itself",
        "F63": "something that the Cloud API does not support",
        "F64": "it was the first message of a contact",
        "F65": "the contact edited a message",
        "F68": "read it in the WhatsApp Business app on the phone",
    },
    symptom("unlinked-devices", "yes", "no", "no"): {
        "F69 F70": "companions are unlinked when a number is connected, disconnected or registered",
        "F71 F73": "linking may fail until the sync is done (up to 24 hours)",
        "F72": "then record it: `wacoex device relink ID`",
    },
    symptom("cannot-connect", "this number is not eligible", "2.25.1", "no", "no", "yes"): {
        "F74": "Meta does not take this number for Coexistence now",
        "F75": "keep the quality of its messages good",
        "F76 F77": "or take another number, or use this one with the Cloud API alone",
        "F08": "Add, Link a WhatsApp Business account (newer screens: WhatsApp account)",
    },
    symptom("cannot-connect", "already has an existing payment method", "", "", "", ""): {
        "F43": "the account has the payment method of an earlier partner",
        "F46": "1. back up the chats on the phone",
    },
    removed: {
        "F52 F40": "the partner was removed",
        "WX203 leads on": "as a new channel of the partner: `wacoex connect shop`",
    },
    unlinked: {
        "F69": "companions were unlinked by connecting: link them again now",
        "WX303 leads on": "`wacoex device relink 1`",
    },
    an_unsupported_device: {"F50 F58": "reaches no partner"},
    too_many_devices: {"F57": "4 companions are linked already, WhatsApp allows no more"},
    attaching: {
        "news 1": "may count as one more responder of the number",
        "news 1 next": "`wacoex explain WX211`",
    },
    overridden: {
        "news 2": "messages, echoes, contact sync and history of respond.io WA BSP",
        "news 2 where to": "go to elsewhere.example, by an override",
    },
    closed_for(13): {
        "F04 F40": "the app must be opened now",
        "F04 next": "open the WhatsApp Business app on the primary phone",
    },
    closed_for(15): {"F41 F55 look": "if not, connect it again"},
    mac: {
        "F15 F88 F89": "also from the app (an echo)",
        "F16 to F20": "edits and deletions by a contact; respond.io does not say if they count",
    },
}


@pytest.mark.parametrize(
    "screen", SCREENS, ids=[f"{number} {name.__name__}" for number, name in enumerate(SCREENS)]
)
def test_each_statement_is_on_the_screen_it_belongs_to(
    clinic: Any, screen: Callable[[Any], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Without it a person decides about the channel at respond.io, and nothing is waited for.
    monkeypatch.delenv("WACOEX_RESPONDIO_TOKEN")

    text = screen(clinic)

    missing = {name: words for name, words in SCREENS[screen].items() if words not in text}
    assert not missing, text

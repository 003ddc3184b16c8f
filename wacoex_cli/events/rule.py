"""What each kind of event does to a conversation, as far as anybody has said so.

Sources: respond.io: WhatsApp Coexistence (echoes, edited messages); Meta: customer service window.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from wacoex_cli.events.model import Kind

if TYPE_CHECKING:
    from wacoex_cli.events.model import Event


@dataclass(frozen=True, slots=True)
class Effect:
    """What an event of a kind does; None where neither Meta nor respond.io states it.

    `creates_contact` means: if there is none yet. `note` is the sentence that explains it.
    """

    opens_window: bool | None
    triggers_automation: bool | None
    starts_conversation: bool | None
    creates_contact: bool | None
    counts_as_mac: bool | None
    note: str


_INBOUND = Effect(
    True,
    True,
    True,
    True,
    True,
    "a message from a contact opens the 24-hour window in which answers need no template",
)
_OUTBOUND = Effect(
    False,
    None,
    None,
    None,
    True,
    "a message sent through the API or respond.io opens no window; only the contact's answer does",
)
_EFFECTS = {
    Kind.ECHO: Effect(
        False,
        False,
        False,
        True,
        True,
        "sent in the WhatsApp Business app; it counts as MAC even when the contact is new",
    ),
    Kind.EDIT: Effect(
        False,
        False,
        False,
        True,
        None,
        "the contact changed a message; respond.io shows it as edited, or as unsupported",
    ),
    Kind.REVOKE: Effect(
        None, None, None, None, None, "the contact took a message back; respond.io is silent on it"
    ),
    Kind.UNSUPPORTED: Effect(
        None,
        None,
        None,
        None,
        None,
        "its content did not pass; read it in the app on the phone. wacoex counts it as MAC",
    ),
    Kind.STATUS: Effect(
        False,
        False,
        False,
        False,
        True,
        "news of a message of ours; the contact it was sent or delivered to counts as MAC",
    ),
    Kind.HISTORY: Effect(
        False, False, False, None, None, "older messages, told once after connecting"
    ),
    Kind.CONTACT_SYNC: Effect(
        False,
        False,
        False,
        None,
        False,
        "a change in the phone book of the phone; respond.io takes nothing from it",
    ),
}
OF_THE_ACCOUNT = Effect(
    False, False, False, False, False, "about the account or its settings, not a message"
)


def effect(event: Event) -> Effect:
    """What that event does to the conversation with its contact."""
    if event.kind is Kind.MESSAGE:
        return _OUTBOUND if event.data.get("direction") == "out" else _INBOUND
    return _EFFECTS.get(event.kind, OF_THE_ACCOUNT)


def label(event: Event) -> str:
    """What the effect depends on: the kind, and the direction of an ordinary message."""
    if event.kind is Kind.MESSAGE:
        return "message out" if event.data.get("direction") == "out" else "message in"
    return event.kind.value

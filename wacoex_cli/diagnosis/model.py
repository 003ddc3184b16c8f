"""What somebody sees, and what is asked about it: only a person can answer that."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple


class Symptom(StrEnum):
    """What somebody sees, as `--symptom` spells it."""

    MISSING_MESSAGES = "missing-messages"
    UNSUPPORTED_MESSAGES = "unsupported-messages"
    UNLINKED_DEVICES = "unlinked-devices"
    CANNOT_SEND = "cannot-send"
    CANNOT_CONNECT = "cannot-connect"
    RATE_LIMITED = "rate-limited"


class Question(NamedTuple):
    """What only a person can answer: yes or no, or a text. `unknown` names it unanswered."""

    id: str
    text: str
    unknown: str
    is_text: bool = False


class Answers(NamedTuple):
    """What was answered, by the id of the question; what nobody knows is left out."""

    given: Mapping[str, bool | str] = {}

    def says(self, question: str, answer: bool = True) -> bool:
        """Whether that was the answer to a question of yes or no."""
        return self.given.get(question) is answer

    def text(self, question: str) -> str:
        """The answer to a question for a text; empty when there is none."""
        found = self.given.get(question, "")
        return found if isinstance(found, str) else ""


QUESTIONS: Mapping[Symptom, tuple[Question, ...]] = {
    Symptom.MISSING_MESSAGES: (
        Question(
            "on_phone",
            "are the missing messages on the primary phone, in the WhatsApp Business app?",
            "whether the messages are on the primary phone",
        ),
        Question(
            "from_unsupported",
            "were they sent from WhatsApp for Windows or from a watch with Wear OS?",
            "from which device they were sent",
        ),
        Question(
            "partner_listed",
            "does WhatsApp Manager (Account settings, Partners) list the partner as active?",
            "whether WhatsApp Manager lists the partner as active",
        ),
        Question(
            "app_was_closed",
            "was the app on the primary phone not opened for more than 14 days?",
            "whether the app was opened within 14 days",
        ),
        Question(
            "other_responder",
            "did somebody connect another partner, or switch on Meta Business Agent?",
            "whether another partner or Meta Business Agent was switched on",
        ),
    ),
    Symptom.UNSUPPORTED_MESSAGES: (
        Question(
            "after_silence",
            "was the app on the phone closed for days before these messages came?",
            "whether the app was closed for days before",
        ),
        Question(
            "first_message",
            "are they first messages of contacts, perhaps after a click on an ad?",
            "whether they are first messages of contacts",
        ),
        Question(
            "was_edited", "had the contact edited the message?", "whether the contact edited them"
        ),
        Question(
            "contact_unsupported",
            "does the contact write from WhatsApp for Windows or a watch with Wear OS?",
            "which device the contact uses",
        ),
    ),
    Symptom.UNLINKED_DEVICES: (
        Question(
            "was_connected",
            "was the number connected, disconnected or registered on a phone in the last days?",
            "whether the number was connected or disconnected lately",
        ),
        Question(
            "app_was_closed",
            "was the app on the primary phone closed for 14 days or longer?",
            "how long the app on the phone was closed",
        ),
        Question(
            "was_unused",
            "was the unlinked device itself not used for about 30 days?",
            "when the device was last used",
        ),
    ),
    Symptom.CANNOT_SEND: (
        Question(
            "error", "which error is shown (its code, or its text)", "which error is shown", True
        ),
    ),
    Symptom.CANNOT_CONNECT: (
        Question(
            "error", "which error does Meta's window show (its text)", "which error is shown", True
        ),
        Question(
            "app_version",
            "which version of the app is on the phone (Settings, Help, App info)",
            "which version of the app is on the phone",
            True,
        ),
        Question(
            "in_real_use",
            "is the number in real use with the app, on most days of the week?",
            "whether the number is in real use",
        ),
        Question(
            "linked",
            "is the number linked in Meta Business Suite (Settings, WhatsApp accounts)?",
            "whether the number is linked in Meta Business Suite",
        ),
        Question(
            "other_partner",
            "is or was it connected to another partner, or does one pay for it?",
            "whether another partner has the number or pays for it",
        ),
    ),
    Symptom.RATE_LIMITED: (
        Question(
            "others_send",
            "does anybody else send on this number: respond.io, another tool, the app's own lists?",
            "who else sends on this number",
        ),
    ),
}
"""What is asked for each symptom, in this order."""

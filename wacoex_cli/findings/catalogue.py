"""Every finding there is: its id, what it says, and how bad it can be. Ids never change."""

from __future__ import annotations

from dataclasses import dataclass

from wacoex_cli.findings.model import Severity

_INFO, _WARNING = Severity.INFO, Severity.WARNING
_UNKNOWN, _CRITICAL = Severity.UNKNOWN, Severity.CRITICAL


@dataclass(frozen=True)
class Entry:
    """One finding as the catalogue lists it."""

    id: str
    title: str
    severities: tuple[Severity, ...]


CATALOGUE = (
    Entry("WX101", "The app was not opened for long", (_WARNING,)),
    Entry("WX102", "The app must be opened now", (_CRITICAL,)),
    Entry("WX103", "The app was not opened in time", (_CRITICAL,)),
    Entry("WX104", "Nothing says when the app was last opened", (_UNKNOWN,)),
    Entry("WX105", "Only weak evidence says that the app was opened", (_UNKNOWN,)),
    Entry("WX106", "The reminder itself is not running", (_WARNING,)),
    Entry("WX107", "A companion unused for almost 30 days", (_WARNING,)),
    Entry("WX108", "Nothing has come in for longer than usual", (_WARNING,)),
    Entry("WX201", "The number is not in Coexistence", (_INFO, _UNKNOWN, _CRITICAL)),
    Entry("WX202", "The expected partner is not connected", (_INFO, _UNKNOWN, _CRITICAL)),
    Entry("WX203", "The partner was removed", (_CRITICAL,)),
    Entry("WX204", "Offboarded, WhatsApp is reconnecting", (_CRITICAL,)),
    Entry("WX205", "A webhook override sends messages elsewhere", (_INFO, _WARNING)),
    Entry("WX206", "Meta limits or blocks sending", (_INFO, _WARNING, _UNKNOWN, _CRITICAL)),
    Entry(
        "WX207",
        "The channel is not in respond.io any more, or is another one",
        (_WARNING, _UNKNOWN, _CRITICAL),
    ),
    Entry("WX208", "Settling after connecting", (_INFO,)),
    Entry(
        "WX209",
        "The account is restricted or disabled, or broke a policy",
        (_INFO, _WARNING, _UNKNOWN, _CRITICAL),
    ),
    Entry(
        "WX210",
        "Webhook fields are missing, or the WABA is not subscribed",
        (_INFO, _WARNING, _UNKNOWN, _CRITICAL),
    ),
    Entry("WX301", "An unsupported companion is linked", (_WARNING,)),
    Entry("WX302", "More than four companions", (_WARNING,)),
    Entry(
        "WX303",
        "Companions were unlinked by connecting or offboarding",
        (_INFO, _WARNING, _UNKNOWN),
    ),
    Entry("WX304", "A probe word never came back", (_WARNING,)),
    Entry("WX401", "Unsupported: the contact wrote on a device that is not carried", (_INFO,)),
    Entry("WX402", "Unsupported: the app was catching up after a silence", (_INFO,)),
    Entry("WX403", "Unsupported: a type that the Cloud API does not carry", (_INFO,)),
    Entry("WX404", "Unsupported: the first message of a contact", (_INFO, _WARNING)),
    Entry("WX405", "Unsupported: the contact edited a message", (_INFO,)),
    Entry("WX406", "Messages sent in the app do not appear", (_INFO, _WARNING)),
    Entry("WX501", "The quality rating is yellow or red", (_WARNING, _UNKNOWN)),
    Entry(
        "WX502",
        "The messaging limit is smaller than the plan, or used up",
        (_WARNING, _UNKNOWN, _CRITICAL),
    ),
    Entry("WX503", "Meta throttled the number", (_INFO, _WARNING, _UNKNOWN)),
    Entry("WX504", "The template cannot be sent as planned", (_CRITICAL,)),
    Entry("WX505", "It is not known whether some messages went out", (_WARNING,)),
    Entry("WX506", "Marketing messages are refused for some people", (_INFO, _WARNING)),
    Entry(
        "WX601",
        "The number may not be eligible for Coexistence",
        (_INFO, _WARNING, _UNKNOWN, _CRITICAL),
    ),
    Entry("WX602", "An earlier partner's payment method stands in the way", (_WARNING, _CRITICAL)),
    Entry("WX603", "The WhatsApp Business app is too old", (_CRITICAL,)),
    Entry("WX604", "The number is not linked in Meta Business Suite yet", (_WARNING,)),
    Entry("WX605", "Contacts and history are copied once, within 24 hours", (_INFO, _WARNING)),
    Entry("WX606", "Features of the app change with connecting", (_INFO,)),
    Entry("WX607", "A Meta Verified badge should be looked after", (_INFO,)),
    Entry("WX608", "The signup did not finish", (_WARNING, _CRITICAL)),
    Entry("WX609", "The signup does not show the number of the channel", (_CRITICAL,)),
    Entry(
        "WX701", "The token is missing, refused, ends soon or lacks a right", (_WARNING, _UNKNOWN)
    ),
    Entry("WX702", "There is no app secret", (_INFO,)),
    Entry("WX703", "The Graph version has ended or ends soon", (_WARNING,)),
    Entry("WX704", "Private files are open to others", (_WARNING,)),
    Entry("WX705", "The clock is wrong or was moved", (_WARNING,)),
    Entry("WX706", "The keyring cannot be used", (_WARNING,)),
    Entry("WX707", "The disk is nearly full", (_WARNING, _CRITICAL)),
    Entry("WX708", "The state file is newer than this program", (_UNKNOWN,)),
    Entry("WX709", "Meta or respond.io did not tell", (_UNKNOWN,)),
)

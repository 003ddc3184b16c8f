"""Every statement of the help article behind wacoex is on one of the pages.

A number is a statement of the article; the words are ours. Where Meta says something else now,
the page says that too, as Meta's rule. Deleting a statement from its page breaks its test. That
people find these pages by their own words is in `test_statements`, and what commands show in
`tests/diagnosis/test_statements_on_screen`.
"""

from __future__ import annotations

import itertools

import pytest

from wacoex_cli.diagnosis.explain import explain, whole_text

PLACES = {
    # Purpose and capabilities
    1: ("coexistence", "linked to a partner such as respond.io through the WhatsApp API, with"),
    2: ("coexistence", "The partner adds automation, CRM sync and reporting"),
    3: ("coexistence", "suits teams that move to the API step by step"),
    4: (
        "inactivity",
        "once every 14 days. Otherwise Meta may remove the connection, and deliverability",
    ),
    5: ("coexistence", "Both sides send and receive messages"),
    6: ("echoes", "Messages sent from the app show up in respond.io as echo messages"),
    7: ("history", "respond.io's rule: contact and message history sync is not supported"),
    # Setting up
    8: ("coexistence", "Settings, WhatsApp Accounts, Add, Link a WhatsApp Business account"),
    9: (
        "coexistence",
        "Settings, Channels, Add Channel, WhatsApp, the link for a WhatsApp Business",
    ),
    10: ("coexistence", "After this setup the app keeps working and the channel is active"),
    # Echo messages
    11: ("echoes", "It does not open a customer service window"),
    12: ("echoes", "It does not trigger an automation"),
    13: ("echoes", "It does not start a conversation"),
    14: ("echoes", "It creates a contact if none exists"),
    15: (
        "echoes",
        "It counts as MAC (monthly active contact), for a new contact and for an existing one",
    ),
    # Edited messages
    16: ("edited-messages", 'respond.io shows it with the label "Edited"'),
    17: ("edited-messages", "An edit opens no service window"),
    18: ("edited-messages", "An edit triggers no automation"),
    19: ("edited-messages", "An edit starts no conversation"),
    20: ("edited-messages", "An edit creates a contact if none exists"),
    # What changes in the app after connecting
    21: ("features", "no new ones, no sending; old ones are read-only"),
    22: ("rate-limit", 'messages fail with errors such as "rate limit hit"'),
    23: (
        "features",
        "respond.io's rule: editing and deleting are no longer supported after connect",
    ),
    24: ("features", "disappearing messages turned off in all of them"),
    25: ("features", "view once disabled"),
    26: ("features", "live location disabled"),
    # Known limitations
    27: ("limitations", "Message and contact history is not imported by respond.io"),
    28: ("limitations", "There are no groups, calls or status updates on respond.io"),
    29: ("limitations", "Past chats stay viewable in the app"),
    30: ("limitations", "CRM and automation work on respond.io"),
    31: ("companion-devices", "companion devices must be connected again after setup"),
    32: ("limitations", "The rate is capped by Meta at 20 messages per second"),
    # Questions
    33: ("coexistence", "You keep using the app"),
    34: ("fees", "Messages sent in the app cost no WhatsApp fee"),
    35: ("fees", "may count towards MAC (monthly active contact) and so affect the plan"),
    36: ("history", "Past conversations are not shown there in what the article calls Phase 1"),
    37: ("echoes", "a message from the app appears as an echo, opens no window and triggers no"),
    38: (
        "messaging-limits",
        "do not count toward the messaging limits of the WhatsApp API, and carry",
    ),
    39: ("mac", "may still count toward MAC"),
    40: ("WX103", "Not opening the app for 14 days may remove the connection and disrupt delivery"),
    41: (
        "WX103",
        "a lost connection means connecting the number again as a new Coexistence channel",
    ),
    42: ("WX607", "the badge is not lost; the subscription is transferred"),
    # "The WABA already has an existing payment method"
    43: ("WX602", "Meta sets this limit"),
    44: ("WX602", "nobody can remove a credit line or move it to another provider"),
    45: ("WX602", "cannot get a credit line from another provider (BSP). You need a new WABA id"),
    46: ("WX602", "1. Back up the messages"),
    47: ("WX602", "2. Disconnect the business account from the app"),
    48: ("WX602", "3. Reconnect the business account in the app"),
    49: ("WX602", "4. Start the Coexistence onboarding at the new partner"),
    # Messages sent from WhatsApp for Windows are missing
    50: ("WX301", "trigger no webhook: they are visible in the app and missing in respond.io"),
    51: ("WX406", "not opened for more than 14 days, so its linked devices were logged out"),
    52: (
        "WX406",
        "the partner's connection to the WABA (WhatsApp Business Account) was removed or disturbed",
    ),
    53: ("WX406", "Is it on the primary phone and not in respond.io"),
    54: ("WX406", "that respond.io is listed as an active partner"),
    55: ("WX406", "delete the channel in respond.io and connect it again through embedded signup"),
    56: ("WX406", "WhatsApp enforces this"),
    # Companion devices
    57: ("companion-devices", "Up to four companion devices can be linked"),
    58: (
        "companion-devices",
        "Most kinds are supported; the exceptions are WhatsApp for Windows and",
    ),
    # "Message received during sync and not available"
    59: ("unsupported-messages", "wrote on a companion that is not supported"),
    60: (
        "unsupported-messages",
        "an unsupported companion sends no webhook, and its messages cannot be mirrored",
    ),
    61: (
        "unsupported-messages",
        "after a long inactivity the connection is refreshed, which takes time",
    ),
    62: ("unsupported-messages", "during the refresh some events appear as unsupported"),
    63: ("unsupported-messages", "of a type that the Cloud API does not support"),
    64: (
        "unsupported-messages",
        "a contact's first message to the number, above all through a click-to",
    ),
    65: ("unsupported-messages", "an edit by the contact"),
    66: ("unsupported-messages", "After cause 1: read it in the app on the primary phone"),
    67: (
        "unsupported-messages",
        "After cause 2: wait for the refresh; later messages arrive as expected",
    ),
    68: (
        "unsupported-messages",
        "After causes 3, 4 and 5: read it in the app; there is no workaround",
    ),
    # Why was a companion unlinked?
    69: ("WX303", "onboarding and"),
    70: ("WX303", "offboarding unlink all companions"),
    71: ("WX303", "Wait up to 24 hours for data and history to sync"),
    72: ("WX303", ", then link again;"),
    73: ("WX303", "linking may not work before the sync is done"),
    # Why can the number not be used?
    74: ("WX601", "respond.io's rule: the number is not eligible at present"),
    75: ("WX601", "Keep using the number in the app and keep the quality of its messages good"),
    76: ("WX601", "Or try another number"),
    77: ("WX601", "Or connect this one to the WhatsApp Business Platform (API) instead"),
    # Offboarding
    78: ("offboarding", "in the app: Account Settings"),
    79: ("offboarding", "Account), Business Platform"),
    80: ("offboarding", "and there disconnect or remove respond.io as partner"),
    81: ("offboarding", "in Meta Business Settings: WhatsApp Accounts"),
    82: ("offboarding", "open WhatsApp Manager"),
    83: ("offboarding", "then Manage"),
    84: ("offboarding", "and there remove respond.io from the partners"),
    85: ("offboarding", "offboarding removes the partner connection"),
    86: ("offboarding", "It does not delete the WhatsApp Business account"),
    87: ("offboarding", "nor does it delete the phone number"),
    # Billing, once more
    88: ("mac", "to a new contact counts"),
    89: ("mac", "an echo to an existing contact counts"),
    90: ("mac", "No WhatsApp fee applies to either"),
    # Where to go on
    91: ("coexistence", "Meta's documentation is the authority on Coexistence and linked devices"),
    92: ("coexistence", "and says how changing the partner and credit lines work"),
    # Two more
    93: (
        "echoes",
        "An echo shows the message. Automation can use the contact later",
    ),
    94: ("features", "applies to every integration with a third-party platform, not to respond.io"),
}
# Where Meta's own pages say something else by now.
META_SAYS = {
    7: ("history", "Meta's rule: offers both, once for each onboarding and within 24 hours"),
    23: ("features", "Meta's rule: editing and deleting are supported and mirrored"),
    27: ("limitations", "A partner can copy history and contacts"),
    28: ("limitations", "groups, calls and status updates still work in the app"),
    36: ("history", "History goes back 180 days"),
    41: ("WX103", "After a new registration of the phone WhatsApp may reconnect by itself"),
    42: ("WX607", "Meta's rule: Meta does not mention Meta Verified here"),
    60: ("unsupported-messages", "it may arrive as unsupported (131060)"),
    71: ("WX303", "you link them again on the phone. Meta names no wait"),
}


def page(name: str) -> str:
    """What `wacoex explain` shows of it, in one line."""
    return " ".join(whole_text(explain(name)).split())


def said_by_meta(name: str) -> str:
    """The paragraph of a page that tells Meta's rule, in one line."""
    [found] = [part for part in explain(name).body.split("\n\n") if part.startswith("Meta's rule:")]
    return " ".join(found.split())


@pytest.mark.parametrize("number", PLACES)
def test_every_statement_of_the_help_article_is_on_a_page(number: int) -> None:
    name, words = PLACES[number]

    assert page(name).count(words) == 1


@pytest.mark.parametrize("number", META_SAYS)
def test_where_meta_contradicts_the_article_a_page_has_both(number: int) -> None:
    name, words = META_SAYS[number]

    assert words in said_by_meta(name)
    assert words not in PLACES[number][1]


def test_no_statement_is_left_out_or_counted_twice() -> None:
    assert list(PLACES) == list(range(1, 95))
    for name in {name for name, _ in PLACES.values()}:
        here = sorted(
            (page(name).find(words), words) for place, words in PLACES.values() if place == name
        )
        for (at, words), (following, _) in itertools.pairwise(here):
            assert at + len(words) <= following, (name, words)

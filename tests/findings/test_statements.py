"""What Meta changed since, and what the help article adds in passing: each is said where it counts.

A row is a statement, where a user looks it up, and the words there: a page of `explain` with its
sources and the texts of its finding, or an error code. The numbered statements of the help article
itself are in `test_help_article`; what commands show and ask is in
`tests/diagnosis/test_statements_on_screen`.
"""

from __future__ import annotations

import pytest

from wacoex_cli.diagnosis.explain import explain, search, whole_text
from wacoex_cli.findings import catalogue

# Where Meta's newest pages say something else than older ones, or something new.
CORRECTIONS = [
    # Conversation Routing
    ("every responder by default", "WX211", "by default every responder gets every message"),
    (
        "one of them with a routing",
        "WX211",
        "each message goes only to the primary responder of its",
    ),
    ("a partner sets up the first", "WX211", "Assigning another partner can set up the first"),
    ("Meta Business Agent", "WX211", "Switching on Meta Business Agent makes it the primary"),
    ("a thread is free after 24 h", "WX211", "free again after 24 hours without a message"),
    ("exempt or not is not said", "WX211", "does not say whether Coexistence numbers are exempt"),
    ("no API names the others", "WX211", "No API names the other responders"),
    ("another app is no fault: gone", "WX202", "a second partner can take the messages away"),
    ("131070", "131070", "another responder owns the conversation"),
    ("2494191", "2494191", "only the escalation partner may take a conversation over"),
    ("138038", "138038", "the primary for calls may call or answer"),
    ("counted as MAC", "mac", "also where another responder has the conversation (WX211)"),
    # Webhook override
    ("an override diverts echoes", "WX205", "contact sync and history go somewhere else"),
    ("it blinds the countdown", "WX205", "a 14-day countdown without any sign of the app"),
    ("account fields are not diverted", "WX205", "account fields always go to the app's own"),
    (
        "it explains missing echoes",
        "WX406",
        "A webhook override sends the echoes elsewhere (WX205)",
    ),
    ("and no sign of the app", "WX104", "(copies of messages sent in the app) elsewhere (WX205)"),
    # Prices
    ("1,000 free", "fees", "1,000 delivered ones are free for each number and month"),
    ("no roll-over, groups too", "fees", "groups included; nothing is carried over"),
    ("utility rate", "fees", "Then the utility rate of the market, no discount"),
    ("utility in a window", "fees", "charged inside an open window too"),
    ("reactions", "fees", "reactions free, and not counted"),
    ("free entry point", "fees", "free for up to 7 days (72 hours before)"),
    ("agent", "fees", "2 USD for a million tokens, free in no window"),
    ("one charge a message", "fees", "one charge for each delivered message"),
    (
        "app free, inbox not",
        "fees",
        "an answer typed in the app is free, and the same answer typed in",
    ),
    ("after 1,000", "fees", "typed in respond.io costs after 1,000 a month"),
    ("governments", "fees", "pay nothing for answers until 31 December 2027"),
    ("without payment method", "fees", "stop at 1,001. A page of Meta says that they stop at once"),
    ("India", "fees", "an account in rupees (INR) by 31 December 2026"),
    ("Brazil", "fees", "the same with its currency by 30 June 2027"),
    (
        "a copied account",
        "fees",
        "a new WABA id (the id of the WhatsApp Business Account) and new templates",
    ),
    ("the program checks it", "WX216", "by 31 December 2026; from 1 January 2027 others"),
    ("the program counts them", "fees", "how many of the 1,000 free answers a number has used"),
    ("rates change quarterly", "fees", "on the first day of a quarter only"),
    # Usernames
    ("a user id", "usernames", "names the person by a user id that only your business sees"),
    ("30 days", "usernames", "had a message or a call in the last 30 days"),
    ("a new number, a new id", "usernames", "A new phone number makes a new user id"),
    ("change of id", "usernames", "(`user_changed_number`, `user_changed_user_id`)"),
    ("stops by id", "usernames", "A stop of marketing may come with the user id alone"),
    (
        "recipient",
        "usernames",
        "as `recipient` instead of `to`. If a request has both, `to` counts",
    ),
    ("lists with ids", "usernames", "in a column `user_id` or `bsuid` or in that of the"),
    ("a username in a list", "usernames", "wacoex skips it in a list as `username`"),
    ("131062, login code", "131062", "a login code, or a template with a max price"),
    ("131061", "131061", "a template with a max price was sent through the ordinary messages"),
    ("131065", "131065", "a max price is not offered in the country"),
    ("147005", "147005", "a username of the business cannot be transferred"),
    ("1752041", "1752041", "an error of the marketing messages API"),
    # Account model, names of screens
    (
        "Coexistence is the exception",
        "coexistence",
        "Meta converts the account, which keeps its id",
    ),
    ("second names", "coexistence", '"Messaging account" for what was the WABA'),
    ("second names in clicks", "WX604", "(newer screens: WhatsApp account)"),
    ("second names in clicks", "offboarding", "(newer screens: Messaging accounts)"),
    ("signup versions", "WX608", "version 5, the newest"),
    ("v2 has ended", "WX608", "Version 2 of the signup ended in October 2026"),
    # Others
    ("US numbers only", "WX506", "Canada and the Caribbean share +1, and get the message"),
    (
        "calls",
        "limitations",
        "Meta's table excludes Coexistence numbers: their calls stay in the app",
    ),
    ("respond.io's rate", "WX709", "Its pages do not say how many calls it allows"),
    (
        "limits rise within 6 hours",
        "messaging-limits",
        "within 6 hours when you used at least half",
    ),
    (
        "token: app removed",
        "190",
        "With the subcode 458: the person or the business has removed the",
    ),
    (
        "token: password",
        "190",
        "With the subcode 460: the password of the token's owner was changed",
    ),
    ("token: expired", "190", "With the subcode 463: the token has expired"),
    ("token: taken back", "190", "With the subcode 467: the token was taken back"),
    ("token: the same in WX701", "WX701", "460 the password was changed"),
    ("2494010", "2494010", "not documented by Meta: a subcode, seen beside several codes"),
    ("2494029", "2494029", "not documented by Meta"),
    ("2655121", "2655121", "the WhatsApp Business account is restricted"),
]
# Details of the help article, by the statement that they belong to.
DETAILS = [
    ("F02 team visibility", "features", "a whole team sees the chats"),
    ("F02 team visibility", "coexistence", "a whole team sees the chats"),
    ("F07 upvote", "history", 'can vote for it (the link "upvote" in its help article'),
    ("F07 where", "history", "https://respond.io/help/whatsapp/whatsapp-coexistence"),
    ("F09 log in", "coexistence", "log in with the Facebook account, and complete Meta's embedded"),
    ("F21 Broadcast module", "features", "respond.io's Broadcast module"),
    ("F42 blue tick", "WX607", "the blue tick"),
    ("F50 not a closed list", "companion-devices", 'respond.io says "such as"'),
    ("F50 not a closed list", "WX301", "Other kinds may be missing too"),
    ("F91 address", "coexistence", "/embedded-signup/onboarding-business-app-users"),
    ("F92 address", "coexistence", "/solution-providers/share-and-revoke-credit-lines"),
    ("the next command", "WX303", "`wacoex device relink {devices}`"),
    ("the next command", "WX303", "then record it: `wacoex device relink ID`"),
    ("the next command", "WX203", "as a new channel of the partner: `wacoex connect {channel}`"),
    ("the next command", "WX604", "then continue: `wacoex connect {channel}`"),
]


def said_at(place: str) -> str:
    """What `explain` shows of it, and what its finding says, in one line."""
    texts: tuple[str, ...] = (whole_text(explain(place)),)
    if place in catalogue.finding_ids():
        texts += tuple(str(dict(face)) for face in catalogue.wording(place).cases.values())
    return " ".join(" ".join(texts).split())


@pytest.mark.parametrize(
    ("statement", "place", "words"),
    [*CORRECTIONS, *DETAILS],
    ids=[f"{place}: {statement}" for statement, place, _ in (*CORRECTIONS, *DETAILS)],
)
def test_every_statement_is_where_a_user_looks_for_it(
    statement: str, place: str, words: str
) -> None:
    assert words in said_at(place), statement


@pytest.mark.parametrize(
    ("wrong", "place"),
    [
        ("beside the partner is no fault", "WX202"),
        ("for the `messages` field alone", "WX205"),
        ("only `messages` is concerned", "WX205"),
        ("United States (+1)", "WX506"),
        ("only version 4", "WX608"),
        ("is not taken from Meta's page", "fees"),
        ("five to twenty calls a second, by endpoint; beyond", "WX709"),
    ],
)
def test_outdated_statements_are_nowhere(wrong: str, place: str) -> None:
    assert wrong not in said_at(place)
    assert wrong not in " ".join(said_at(name) for name in catalogue.names())


@pytest.mark.parametrize(
    ("page", "words"),
    [
        ("coexistence", ["same number app and API", "coexistence"]),
        ("companion-devices", ["linked devices", "companion devices", "WhatsApp Web", "wear os"]),
        ("echoes", ["echo", "echo messages"]),
        ("edited-messages", ["Edited", "edit a message", "delete for everyone"]),
        ("features", ["broadcast list", "view once", "disappearing messages", "live location"]),
        ("fees", ["price", "cost", "free", "service messages", "INR", "India"]),
        ("history", ["chat history", "import history", "past conversations"]),
        ("inactivity", ["14 days", "how often must the app be opened"]),
        ("limitations", ["groups", "calls", "status updates"]),
        ("mac", ["MAC", "monthly active contacts"]),
        ("messaging-limits", ["messaging limits"]),
        ("offboarding", ["offboard", "disconnect", "disconnect respond.io"]),
        ("rate-limit", ["rate limit hit", "20 messages per second"]),
        ("unsupported-messages", ["Message received during sync and not available"]),
        ("usernames", ["username", "@username", "BSUID", "user id"]),
        ("WX205", ["override"]),
        ("WX211", ["Meta Business Agent", "conversation routing", "standby"]),
        ("WX301", ["messages from windows are missing"]),
        ("WX303", ["companions were unlinked", "devices were logged out"]),
        ("WX406", ["missing messages", "messages from the PC are missing"]),
        ("WX506", ["US numbers"]),
        ("WX601", ["not eligible", "number cannot be used"]),
        ("WX602", ["existing payment method", "credit line", "switch BSP"]),
        ("WX607", ["blue tick", "green tick", "verified badge"]),
    ],
)
def test_people_find_it_by_the_words_they_use(page: str, words: list[str]) -> None:
    for text in words:
        assert page in [article.id for article in search(text)][:3], text


@pytest.mark.parametrize(
    ("text", "page"),
    [
        ("blue tick", "WX607"),
        ("Message received during sync and not available", "unsupported-messages"),
        ("Message Undeliverable", "131026"),
        ("36007", "WX608"),
        ("463", "190"),
        ("2494010", "2494010"),
    ],
)
def test_a_text_that_one_page_is_known_by_opens_it(text: str, page: str) -> None:
    assert explain(text).id == page

"""People say stop, in whatever way: who is on the list then, for what, and for whose messages.

Every payload goes in as Meta sends it, by `events import`.
"""

from __future__ import annotations

import gzip
import json
import unicodedata
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import pytest

from wacoex_cli.contacts import store
from wacoex_cli.contacts.stops import OPTOUTS, PERSONS
from wacoex_cli.events.store import EventLog, catch_up
from wacoex_cli.foundation.clock import SystemClock
from wacoex_cli.foundation.state import State, open_state
from wacoex_cli.platforms import stop_words
from wacoex_cli.platforms.events import Source, Via
from wacoex_cli.platforms.payloads import read_payload

WRITTEN = Path(__file__).parents[1] / "support" / "state_690d646.db.gz"
NOON = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)
Run = Callable[..., Any]
ANA, BEN, OLD, NEW = "6591234567", "6591234568", "6590000001", "6590000002"
WABA, NUMBER_ID, OURS = "102290129340398", "106540352242922", "15550783881"


def webhook(field: str, value: dict[str, Any], waba: str = WABA, number: str = NUMBER_ID) -> str:
    """One delivery, on one line."""
    metadata = {"display_phone_number": OURS, "phone_number_id": number}
    change = {"field": field, "value": {"metadata": metadata, **value}}
    entry = {"id": waba, "time": 1795880000, "changes": [change]}
    return json.dumps({"object": "whatsapp_business_account", "entry": [entry]})


def message(
    sender: str | None = None,
    user_id: str | None = None,
    at: int = 1795879000,
    text: str = "hello",
    waba: str = WABA,
    **content: Any,
) -> str:
    """A message of a contact; its id is made of what it says."""
    said = content or {"type": "text", "text": {"body": text}}
    who = {"from": sender, "from_user_id": user_id}
    contact = {"wa_id": sender, "user_id": user_id}
    named = {name: value for name, value in who.items() if value}
    known = {name: value for name, value in contact.items() if value}
    mid = f"wamid.{abs(hash((sender, user_id, at, json.dumps(said, sort_keys=True))))}"
    first = {**named, "id": mid, "timestamp": str(at), **said}
    return webhook("messages", {"contacts": [known], "messages": [first]}, waba)


def button(text: str, sender: str = ANA, replied_to: str = "wamid.OUT1") -> str:
    tapped: dict[str, Any] = {"type": "button", "button": {"payload": text, "text": text}}
    return message(sender, context={"from": OURS, "id": replied_to}, **tapped)


def preference(value: str, at: int = 1795879000, waba: str = WABA, **who: str) -> str:
    said = {**who, "category": "marketing_messages", "value": value, "timestamp": str(at)}
    return webhook("user_preferences", {"contacts": [who], "user_preferences": [said]}, waba)


def changed_number(old: str, new: str, at: int, before: str = "SG.1", after: str = "SG.2") -> str:
    system = {"type": "user_changed_number", "wa_id": new, "user_id": after}
    said: dict[str, Any] = {"type": "system", "system": {**system, "previous_user_id": before}}
    return message(old, before, at, **said)


@pytest.fixture
def reported(run: Run, state: State) -> Callable[..., dict[str, tuple[str, str]]]:
    """Import these payloads; gives what is on the list: scope and source of each."""
    env = {"WACOEX_STATE": str(state.path)}
    ours = ("--phone-number-id", NUMBER_ID, "--waba-id", WABA)
    assert run("channel", "add", "shop", "--phone", f"+{OURS}", *ours, env=env).code == 0

    def tell(*payloads: str) -> dict[str, tuple[str, str]]:
        outcome = run("events", "import", "-", stdin="\n".join(payloads) + "\n", env=env)
        assert outcome.code == 0, outcome.err
        rows = run("optout", "list", "--json", env=env).data["optouts"]
        return {row["phone"]: (row["scope"], row["source"]) for row in rows}

    return tell


Reported = Callable[..., dict[str, tuple[str, str]]]


def test_a_stop_by_id_only_reaches_the_number_that_is_known_for_it(reported: Reported) -> None:
    listed = reported(
        message(ANA, "SG.1000000001", at=1795870000),
        message(None, "SG.1000000001", text="hello again"),
        preference("stop", user_id="SG.1000000001"),
    )
    assert listed[f"+{ANA}"] == ("marketing", "meta-user_preferences")


def test_a_person_is_counted_once_by_number_and_by_id(
    reported: Reported, run: Run, state: State
) -> None:
    reported(
        message("5531988888888", "BR.1", at=1795870000),
        message(None, "BR.1", at=1795871000),
        message("553188888888", at=1795872000),
        message(BEN, at=1795872000),
    )
    found = run("mac", "--month", "2026-11", "--json", env={"WACOEX_STATE": str(state.path)})
    assert found.data["contacts"] == 2


@pytest.mark.parametrize(
    ("lines", "people"),
    [
        pytest.param(
            [message(None, "SG.1", at=1795870000), message(ANA, "SG.1", at=1795871000)],
            1,
            id="the pair comes after the id",
        ),
        pytest.param(
            [
                message(ANA, at=1795870000),
                message(None, "SG.1"),
                message(ANA, "SG.1", at=1795879001),
            ],
            1,
            id="the pair comes after both",
        ),
        pytest.param(
            [message(ANA, "SG.1"), message(None, "SG.9", at=1795879001, waba="999")],
            2,
            id="an id of another business is somebody else",
        ),
        pytest.param(
            [
                message(OLD, "SG.1", at=1795870000),
                changed_number(OLD, NEW, 1795871000),
                message(NEW, at=1795872000),
                message(None, "SG.2", at=1795873000),
            ],
            2,
            id="the old number may be anybody's",
        ),
        pytest.param(
            [
                message(ANA, "SG.1", at=1795870000),
                message(ANA, "SG.2", at=1795871000),
                message(None, "SG.1", at=1795872000),
            ],
            2,
            id="the number has another owner",
        ),
    ],
)
def test_persons_are_counted(
    reported: Reported, run: Run, state: State, lines: list[str], people: int
) -> None:
    reported(*lines)
    found = run("mac", "--month", "2026-11", "--json", env={"WACOEX_STATE": str(state.path)})
    assert found.data["contacts"] == people


def test_an_echo_to_the_id_of_a_person_who_wrote_by_number_counts_that_person_once(
    reported: Reported, run: Run, state: State
) -> None:
    sent = {"id": "wamid.E", "timestamp": "1795873000", "from": OURS, "type": "text"}
    echo = {**sent, "to_user_id": "SG.1", "text": {"body": "hi"}}
    reported(
        message(ANA, "SG.1", at=1795870000),
        webhook("smb_message_echoes", {"message_echoes": [echo]}),
    )
    found = run("mac", "--month", "2026-11", "--json", env={"WACOEX_STATE": str(state.path)})
    assert (found.data["contacts"], found.data["echo_only"]) == (1, 0)


def test_a_stop_whose_id_has_no_number_waits_for_the_pair(reported: Reported) -> None:
    assert set(reported(preference("stop", user_id="SG.7"))) == {"user_id:SG.7"}
    assert reported(message(BEN, "SG.7", at=1795879500))[f"+{BEN}"][0] == "marketing"


@pytest.mark.parametrize("text", ["STOP", " stop. ", "Abmelden", "배신", "停止", "İPTAL", "стоп"])
def test_a_stop_word_alone_stops_everything(reported: Reported, text: str) -> None:
    listed = reported(message(ANA, text=text), message(BEN, text=f"{text} it, I mean go on"))
    is_word = stop_words.usual().is_word(text)
    assert listed == ({f"+{ANA}": ("all", "stop-word")} if is_word else {})


@pytest.mark.parametrize("value", ["STOP", "Stop"])
def test_a_preference_is_read_in_any_letter_case(reported: Reported, value: str) -> None:
    assert reported(preference(value, wa_id=ANA)) == {
        f"+{ANA}": ("marketing", "meta-user_preferences")
    }


def test_a_tap_that_respond_io_reports_by_a_title_stops_too(reported: Reported) -> None:
    def tapped(title: str, phone: str, number: int) -> str:
        content = {"type": "whatsapp_interactive", "title": title}
        heard = {"messageId": number, "channelId": 4242, "traffic": "incoming", "message": content}
        contact = {"id": number, "phone": f"+{phone}"}
        event: dict[str, Any] = {"event_type": "message.received", "event_id": str(number)}
        return json.dumps({**event, "contact": contact, "message": heard})

    listed = reported(tapped("Stop promotions", ANA, 1), tapped("Tell me more", BEN, 2))
    assert set(listed) == {f"+{ANA}"}


def test_a_tap_on_a_stop_button_stops_too(reported: Reported) -> None:
    assert reported(button("Stop promotions"), button("Yes please", BEN)) == {
        f"+{ANA}": ("all", "stop-button")
    }


@pytest.mark.parametrize("kind", ["button_reply", "list_reply"])
def test_an_answer_to_buttons_of_a_message_stops_too(reported: Reported, kind: str) -> None:
    reply = {"type": kind, kind: {"id": "1", "title": "Unsubscribe"}}
    listed = reported(message(ANA, type="interactive", interactive=reply))
    assert listed == {f"+{ANA}": ("all", "stop-button")}


def test_an_edited_message_that_is_a_stop_word_now_counts(reported: Reported) -> None:
    new = {"type": "text", "text": {"body": "stop"}}
    edit = {"original_message_id": "wamid.X", "message": new}
    assert reported(message(ANA, type="edit", edit=edit)) == {f"+{ANA}": ("all", "stop-word")}


def test_a_refusal_of_a_message_of_another_program_counts(reported: Reported) -> None:
    refused = {"id": "wamid.OTHER", "status": "failed", "timestamp": "1795879000"}
    errors = [{"code": 131050, "title": "t"}]
    status = {**refused, "recipient_id": ANA, "errors": errors}
    assert reported(webhook("messages", {"statuses": [status]})) == {
        f"+{ANA}": ("marketing", "meta-131050")
    }


def test_a_stop_that_another_responder_receives_counts(reported: Reported) -> None:
    heard = json.loads(message(ANA, text="Unsubscribe"))["entry"][0]["changes"][0]["value"]
    assert reported(webhook("standby", {"standby": {"messages": heard["messages"]}})) == {
        f"+{ANA}": ("all", "stop-word")
    }


def test_a_stop_moves_to_a_changed_number_and_stays_on_the_old_one(reported: Reported) -> None:
    listed = reported(
        message(OLD, "SG.1", at=1795870000),
        message(OLD, "SG.1", at=1795871000, text="STOP"),
        changed_number(OLD, NEW, 1795872000),
    )
    assert {f"+{OLD}", f"+{NEW}", "user_id:SG.2"} <= set(listed)


def test_a_stop_said_before_the_change_but_reported_after_it_moves_to_the_new_number(
    reported: Reported,
) -> None:
    reported(message(OLD, "SG.1", at=1795870000), changed_number(OLD, NEW, 1795872000))
    listed = reported(message(OLD, "SG.1", at=1795871000, text="STOP"))
    assert {f"+{OLD}", f"+{NEW}"} <= set(listed)


def test_a_stop_of_the_next_owner_does_not_reach_the_former_owner(reported: Reported) -> None:
    listed = reported(
        message(OLD, "SG.1", at=1795870000),
        changed_number(OLD, NEW, 1795872000),
        message(OLD, "SG.3", at=1795873000),
        message(OLD, "SG.3", at=1795874000, text="STOP"),
    )
    assert set(listed) == {f"+{OLD}", "user_id:SG.3"}


STORY = (
    message(OLD, "SG.1", at=1795870000),
    preference("stop", at=1795870500, user_id="SG.1"),
    changed_number(OLD, NEW, 1795872000),
    message(NEW, "SG.2", at=1795872500, text="STOP"),
    message(OLD, "SG.3", at=1795873000),
    message(OLD, "SG.3", at=1795874000, text="baja"),
    message(OLD, at=1795874500),
    message(None, "SG.3", at=1795875000, type="button", button={"text": "Unsubscribe"}),
)
"""A number with two owners, a move, and stops of both, by id, by word and by button."""


@pytest.mark.parametrize("seed", range(20))
def test_the_order_in_which_it_comes_makes_no_difference(tmp_path: Path, seed: int) -> None:
    random = Random(seed)
    mixed = random.sample(STORY, len(STORY)) + random.sample(STORY, 3)
    assert ends(tmp_path / "mixed.db", mixed) == ends(tmp_path / "plain.db", STORY)


def ends(path: Path, story: Sequence[str]) -> list[str]:
    """What is on the list when these came in, one by one."""
    with closing(open_state(path)) as state:
        for line in story:
            read = read_payload(Source.META, line.encode(), key=b"k" * 32, received_at=NOON)
            with state.transaction():
                EventLog(state).store([read], Via.LISTEN, NOON)
            catch_up(state, (PERSONS, OPTOUTS), SystemClock())
        found = store.list_optouts(state)
    return sorted(f"{it.phone} {it.scope} {it.source} {it.note} {it.account}" for it in found)


def test_the_list_after_that_story_names_both_owners(tmp_path: Path) -> None:
    listed = "\n".join(ends(tmp_path / "plain.db", STORY))
    assert f"+{OLD} all" in listed  # the second owner said stop
    assert f"+{NEW} all" in listed
    assert "user_id:SG.3 all" in listed
    assert "user_id:SG.1 marketing" in listed


def test_a_stop_moves_to_a_new_id(reported: Reported) -> None:
    system = {"type": "user_changed_user_id", "previous_user_id": "SG.1", "user_id": "SG.9"}
    listed = reported(
        preference("stop", at=1795870000, user_id="SG.1"),
        message(None, "SG.1", at=1795871000, type="system", system=system),
        message(BEN, "SG.9", at=1795872000),
    )
    assert {"user_id:SG.9", f"+{BEN}"} <= set(listed)


def test_a_resume_removes_nobody_and_only_a_person_can(
    reported: Reported, run: Run, state: State
) -> None:
    env = {"WACOEX_STATE": str(state.path)}
    reported(message(ANA, "SG.1", at=1795870000), preference("stop", wa_id=ANA))
    assert f"+{ANA}" in reported(preference("resume", at=1795879900, wa_id=ANA))
    assert run("optout", "remove", f"+{ANA}", "--yes", env=env).code == 0
    # The same stop in another archive, and the id that came with the number.
    again = preference("stop", at=1795879000, wa_id=ANA, user_id="SG.1")
    assert reported(again, message(ANA, "SG.1", at=1795879950)) == {}


def test_settings_say_what_a_stop_covers_and_which_words_say_it(
    reported: Reported, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = tmp_path / "config"
    config.mkdir()
    monkeypatch.setenv("WACOEX_CONFIG_DIR", str(config))
    (config / "config.toml").write_text(
        '[consent]\nstop_scope = "all"\nresume = true\n'
        'stop_words = ["no quiero"]\nno_stop_words = ["end"]\n'
    )
    listed = reported(
        message(ANA, text="No quiero!"), message(BEN, text="end"), preference("stop", wa_id=OLD)
    )
    assert listed == {
        f"+{ANA}": ("all", "stop-word"),
        f"+{OLD}": ("all", "meta-user_preferences"),
    }
    assert set(reported(preference("resume", at=1795879900, wa_id=OLD))) == {f"+{ANA}"}


def test_no_text_of_a_message_is_in_the_state_file(reported: Reported, state: State) -> None:
    texts = ["Unsubscribe", "Stop promotions", "please never again", "배송 수신거부"]
    reported(message(ANA, text=texts[0]), button(texts[1]), message(BEN, text=texts[2]))
    reported(message(BEN, text=texts[3], at=1795879001))
    state.close()
    held = b"".join(path.read_bytes() for path in Path(state.path).parent.glob("*.db*"))
    for text in texts:
        assert text.encode() not in held
        assert text.lower().encode() not in held


def test_there_are_words_and_buttons_in_many_languages() -> None:
    known = stop_words.languages()
    assert min(len(known["words"]), len(known["buttons"])) >= 12
    for kind in known.values():
        for texts in kind.values():
            assert all(len(text) <= 80 for text in texts)


@pytest.mark.parametrize("language", sorted(stop_words.languages()["words"]))
def test_each_word_is_found_in_capitals_and_with_a_full_stop(language: str) -> None:
    known = stop_words.usual()
    for word in stop_words.languages()["words"][language]:
        assert known.is_word(f" {word} ")
        assert known.is_word(f"{word}.")
        assert not known.is_word(f"{word} {word} 7")


@pytest.mark.parametrize(
    "text",
    [
        *(
            "STOP!",
            "Stop...",
            "(stop)",
            "“stop”",
            "\u00ab\u0441\u0442\u043e\u043f\u00bb",
            "¡Alto!",
            "*stop*",
            "stop,",
        ),
        *("stop 🛑", "❌ stop", "stop 🙏🏽", "Stop :(", "退订，", "停止、", "बंद करें।"),  # noqa: RUF001
        *("ＳＴＯＰ", "Ｓｔｏｐ！", "ｽﾄｯﾌﾟ", "st\u00adop", "stop\u200d", "opt\u2011out"),  # noqa: RUF001
        *("ÇIKIŞ", "çıkış", "IPTAL", "İPTAL", "iptal", "ıptal"),  # noqa: RUF001
        *("STOP STOP", "stop\nSTOP stop!", "Please stop", "拒收", "Odhlásit"),
        *("إِيقَاف", "ايقاف", "أيقاف", "لغو١١", "הָסֵר"),
    ],
)
def test_signs_around_a_word_and_ways_to_write_it_make_no_difference(text: str) -> None:
    known = stop_words.usual()
    assert known.is_word(text)
    assert known.is_button(text)


@pytest.mark.parametrize(
    "text",
    [
        *("stop by tomorrow", "Stop?", "stop؟", "don't stop", "non-stop", "stop 2", "2 stop"),
        *("stop stop?", "stop going", "stop stop now or never"),
        *("", "  ", "🛑", "!!!", "...", "?"),
        *("x" * 81, "stop" + " " * 80),
    ],
)
def test_a_sentence_a_question_and_signs_alone_say_no_stop(text: str) -> None:
    assert not stop_words.usual().is_word(text)


@pytest.mark.parametrize("kind", ["words", "buttons"])
def test_each_usual_text_is_found_in_capitals_and_in_either_form_of_unicode(kind: str) -> None:
    known = stop_words.usual()
    says_stop = known.is_word if kind == "words" else known.is_button
    for texts in stop_words.languages()[kind].values():
        for text in texts:
            for form in ("NFC", "NFD", "NFKC"):
                assert says_stop(unicodedata.normalize(form, text))
            assert says_stop(text.upper())
            assert says_stop(f"{text} 🙏")


def test_an_emoji_can_be_a_stop_word_and_then_no_other_sign_is() -> None:
    known = stop_words.usual().changed(["🛑"], ["stop"])
    assert known.is_word("🛑")
    assert not known.is_word("👍")
    assert not known.is_word("STOP")


@pytest.mark.parametrize(
    "line",
    [
        *('stop_words = ["  "]', 'stop_words = "stop"', "stop_words = [1]", 'stop_word = ["x"]'),
        *('stop_scope = "some"', 'resume = "perhaps"', f'no_stop_words = ["{"x" * 81}"]'),
    ],
)
def test_impossible_settings_of_consent_are_refused(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, line: str
) -> None:
    (tmp_path / "config.toml").write_text(f"[consent]\n{line}\n")
    monkeypatch.setenv("WACOEX_CONFIG_DIR", str(tmp_path))
    refused = run("optout", "list")
    assert refused.code == 2
    assert "`consent`" in refused.err
    assert "stop_scope" in refused.err
    assert "hint:" in refused.err


def test_the_setting_of_what_a_stop_covers_applies_to_earlier_stops(
    reported: Reported, run: Run, state: State, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert reported(preference("stop", wa_id=ANA))[f"+{ANA}"][0] == "marketing"
    config = tmp_path / "config"
    config.mkdir()
    (config / "config.toml").write_text('[consent]\nstop_scope = "all"\n')
    monkeypatch.setenv("WACOEX_CONFIG_DIR", str(config))
    found = run("optout", "list", "--json", env={"WACOEX_STATE": str(state.path)})
    assert [row["scope"] for row in found.data["optouts"]] == ["all"]


def test_the_list_knows_what_a_listener_only_stored(
    reported: Reported, run: Run, state: State
) -> None:
    env = {"WACOEX_STATE": str(state.path)}
    body = message(ANA, text="STOP").encode()
    read = read_payload(Source.META, body, key=b"k" * 32, received_at=NOON)
    with state.transaction():
        EventLog(state).store([read], Via.LISTEN, NOON)
    found = run("optout", "list", "--json", env=env).data["optouts"]
    assert [row["phone"] for row in found] == [f"+{ANA}"]
    assert run("optout", "remove", f"+{ANA}", "--yes", env=env).code == 0


def test_a_person_listed_by_hand_stays_listed_under_an_unannounced_number(
    reported: Reported, run: Run, state: State
) -> None:
    env = {"WACOEX_STATE": str(state.path)}
    reported(message(OLD, "SG.1", at=1795870000))
    assert run("optout", "add", f"+{OLD}", env=env).code == 0
    listed = reported(message(NEW, "SG.1", at=4102444800))
    assert {f"+{OLD}", f"+{NEW}", "user_id:SG.1"} <= set(listed)


def test_a_change_reported_to_another_business_moves_no_stop_here(reported: Reported) -> None:
    reported(message(OLD, "SG.1", at=1795870000), message(OLD, "SG.1", at=1795871000, text="STOP"))
    change = json.loads(changed_number(OLD, NEW, 1795872000))
    change["entry"][0]["id"] = "999"
    change["entry"][0]["changes"][0]["value"]["metadata"] = {"phone_number_id": "998"}
    assert f"+{NEW}" not in reported(json.dumps(change))


@pytest.mark.parametrize("order", [1, -1])
def test_a_resume_takes_back_a_stop_that_comes_in_after_it(
    reported: Reported, order: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = tmp_path / "config"
    config.mkdir()
    (config / "config.toml").write_text("[consent]\nresume = true\n")
    monkeypatch.setenv("WACOEX_CONFIG_DIR", str(config))
    reported(message(OLD, "SG.1", at=1795870000), changed_number(OLD, NEW, 1795872000))
    said = [
        preference("stop", at=1795871000, wa_id=OLD),
        preference("resume", at=1795873000, wa_id=NEW),
    ]
    for line in said[::order]:
        listed = reported(line)
    assert listed == {}
    # The next owner of the old number takes back nothing for the one before.
    assert reported(preference("stop", at=1795874000, wa_id=NEW)) != {}
    reported(message(OLD, "SG.9", at=1795875000))
    assert f"+{NEW}" in reported(preference("resume", at=1795876000, wa_id=OLD))


@pytest.mark.parametrize(
    "odd", ["%", "_", "SG.1' OR '1'='1", 'SG."1', "SG.1 2", "x" * 4000, "user_id:SG.1", "\u0000"]
)
def test_an_odd_id_says_stop_for_nobody_else(reported: Reported, odd: str) -> None:
    reported(message(ANA, "SG.1", at=1795870000), message(BEN, "SG.2", at=1795870000))
    listed = reported(
        preference("stop", user_id=odd), message(None, odd, text="STOP", at=1795879001)
    )
    assert not {f"+{ANA}", f"+{BEN}", "user_id:SG.1", "user_id:SG.2"} & set(listed)


def test_a_circle_of_changes_comes_to_an_end(reported: Reported) -> None:
    numbers = [f"65912300{n:02}" for n in range(10)]
    lines = [message(numbers[0], "SG.0", at=1795870000, text="STOP")]
    for n in range(300):
        old, new = numbers[n % 10], numbers[(n + 1) % 10]
        lines.append(changed_number(old, new, 1795870001 + n, f"SG.{n}", f"SG.{n + 1}"))
    listed = reported(*lines)
    assert {f"+{number}" for number in numbers} <= set(listed)
    assert reported(message(BEN, "SG.999", at=1795879000)) == listed


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("+5531988888888", "553188888888"),
        ("+5491123456789", "541123456789"),
        ("+525512345678", "5215512345678"),
    ],
)
def test_our_own_number_in_the_other_spelling_of_meta_is_ours(
    run: Run, state: State, ours: str, theirs: str
) -> None:
    env = {"WACOEX_STATE": str(state.path)}
    assert run("channel", "add", "shop", "--phone", ours, env=env).code == 0
    gone = {"disconnection_info": {"reason": "PRIMARY_INACTIVITY", "initiated_by": "SYSTEM"}}
    removed = webhook(
        "account_update", {"event": "PARTNER_REMOVED", "phone_number": theirs, **gone}
    )
    run("events", "import", "-", stdin=f"{removed}\n", env=env)
    found = run("doctor", "shop", "--offline", "--json", env=env).data["findings"]
    assert "WX203" in {finding["id"] for finding in found}


def test_an_older_log_shows_which_numbers_and_ids_are_one_person(run: Run, tmp_path: Path) -> None:
    """The number and the id stood together in what was delivered, and in no event."""
    path = tmp_path / "old.db"
    path.write_bytes(gzip.decompress(WRITTEN.read_bytes()))
    env = {"WACOEX_STATE": str(path)}
    phone, user_id = "+6591234567", "SG.13491208655302741918"
    stop = preference("stop", at=1795879000, waba="102290129340398", user_id=user_id)
    assert run("events", "import", "-", stdin=f"{stop}\n", env=env).code == 0
    rows = run("optout", "list", "--json", env=env).data["optouts"]
    assert {phone, f"user_id:{user_id}"} <= {row["phone"] for row in rows}

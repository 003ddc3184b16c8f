"""What a person sees: thirty screens at 40, 80 and 120 columns, kept as text under `screens/`.

`make screens` writes them again; look at the difference before it is committed.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from freezegun import freeze_time

from wacoex_cli.channels.model import EvidenceKind, Fact, Sign, channel_address
from wacoex_cli.channels.store import Channels, Facts, Signs
from wacoex_cli.foundation.clock import to_text
from wacoex_cli.foundation.state import open_state
from wacoex_cli.sandbox.defaults import default_world
from wacoex_cli.sandbox.serve import running
from wacoex_cli.sandbox.world import DEFAULT_TOKEN, PHONE, PHONE_NUMBER_ID, WABA_ID
from wacoex_cli.terminal.layout import cells

SCREENS = Path(__file__).with_name("screens")
WIDTHS = (40, 80, 120)
PLACE = "/home/ana/stuff"
NOW = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)
NOTIFY = ("reminder", "notify", "--dry-run", "--to", "json://127.0.0.1:9/")


class Shown(NamedTuple):
    """A screen: the home it is shown in, what is typed, and how many lines it may have."""

    home: str
    command: tuple[str, ...]
    most_lines: int = 60
    typed: str = ""


TO_SHOW = {
    "auth-status-agency": Shown("agency", ("auth", "status", "--offline")),
    "auth-status-shop": Shown("shop", ("auth", "status", "--offline")),
    "channel-list-agency": Shown("agency", ("channel", "list")),
    "channel-list-none": Shown("empty", ("channel", "list")),
    "channel-list-scripts": Shown("scripts", ("channel", "list")),
    "channel-show": Shown("shop", ("channel", "show", "shop")),
    "channel-unknown": Shown("shop", ("channel", "show", "shpo")),
    "config-show": Shown("shop", ("config", "show"), 200),
    "connect-check": Shown(
        "shop", ("connect", "shop", "--check"), typed="2.25.3\ny\nn\ny\nn\n", most_lines=80
    ),
    "device-add": Shown("shop", ("device", "add", "web", "--name", "front desk", "--dry-run")),
    "device-list": Shown("shop", ("device", "list")),
    "doctor-agency": Shown("agency", ("doctor", "--offline")),
    "doctor-shop": Shown("shop", ("doctor", "shop", "--offline")),
    "doctor-symptom": Shown(
        "shop", ("doctor", "shop", "--offline", "--symptom", "missing-messages", "--no-input"), 120
    ),
    "events-list": Shown("shop", ("events", "list")),
    "explain-finding": Shown("empty", ("explain", "WX102"), 200),
    "explain-search": Shown("empty", ("explain", "--search", "credit line")),
    "mac": Shown("shop", ("mac",)),
    "offboard-preview": Shown("shop", ("offboard", "shop", "--dry-run"), 120),
    "optout-list": Shown("shop", ("optout", "list")),
    "reminder-check-agency": Shown("agency", ("reminder", "check")),
    "reminder-check-scripts": Shown("scripts", ("reminder", "check")),
    "reminder-check-shop": Shown("shop", ("reminder", "check", "shop")),
    "reminder-confirm": Shown("shop", ("reminder", "confirm", "shop", "--by", "Ana", "--dry-run")),
    "reminder-notify-agency": Shown("agency", NOTIFY),
    "reminder-notify-shop": Shown("shop", NOTIFY),
    "status-agency": Shown("agency", ("status", "--offline")),
    "status-shop": Shown("shop", ("status", "shop", "--offline"), 12),
    "status-shop-facts": Shown("shop", ("status", "shop", "--offline", "-v"), 150),
    "status-three": Shown("scripts", ("status", "--offline")),
}


def add(run: Callable[..., Any], name: str, phone: str, *more: str) -> None:
    assert run("channel", "add", name, "--phone", phone, *more).code == 0


def keep_facts(path: Path, days_ago: Callable[[str], float], **changes: Any) -> None:
    """Let every channel have been connected and read this many days ago."""
    node = default_world().nodes[PHONE_NUMBER_ID].values
    state = open_state(path)
    for channel in Channels(state).all_active():
        opened = NOW - timedelta(days=days_ago(channel.name))
        values = {**node, **changes, "last_onboarded_time": to_text(opened)}
        values["display_phone_number"] = channel.phone
        address = channel_address(channel.channel_id)
        read_at = to_text(opened + timedelta(hours=1))
        facts = [Fact(name, value, "meta", read_at) for name, value in values.items()]
        with state.transaction():
            Facts(state).store(channel.channel_id, facts)
            Signs(state).add([Sign(address, EvidenceKind.CONNECTED, to_text(opened), "meta", "")])
    state.close()


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory whose path has the same length on each run, because lines wrap by it."""
    made = Path(tempfile.mkdtemp(prefix="wa", dir="/tmp"))
    assert len(str(made)) == len(PLACE)
    yield made
    shutil.rmtree(made)


@pytest.fixture
def homes(
    run: Callable[..., Any], place: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str], None]]:
    """Goes to the home of that name: `empty`, `shop`, `scripts` or `agency`."""

    def enter(name: str) -> None:
        path = place / name / "wacoex.db"
        monkeypatch.setenv("HOME", str(place))
        monkeypatch.setenv("XDG_CONFIG_HOME", str(place / ".config"))
        monkeypatch.setenv("WACOEX_STATE", str(path))
        monkeypatch.setenv("LOGNAME", "ana")
        if name == "shop":
            ids = ("--phone-number-id", PHONE_NUMBER_ID, "--waba-id", WABA_ID)
            add(run, "shop", PHONE, *ids, "--timezone", "Asia/Singapore", "--owner", "Ana Lim")
            run("device", "add", "web", "--name", "front desk", "-c", "shop")
            run("device", "add", "wear-os", "-c", "shop")
            keep_facts(path, lambda _: 12.2, quality_rating="YELLOW")
            run("optout", "add", "+6591234567", "--note", "asked at the counter on Friday")
            run("events", "import", "-", stdin=_message())
        if name == "scripts":
            add(run, "bakery", "+6560000001", "--owner", "上海市浦东新区世纪大道旗舰店")
            add(run, "flowers", "+97231234567", "--owner", "חנות הפרחים של אבא בתל אביב")
            add(run, "cafe", "+201001234567", "--owner", "متجر القهوة ☕ Cafe\u0301 👩‍👩‍👧")
            keep_facts(path, lambda channel: {"bakery": 3, "flowers": 10.5}.get(channel, 13.5))
        if name == "agency":
            lines = [f"client-{at:03},+65800{at:05},10600000000{at:04}" for at in range(100)]
            listed = "\n".join(["name,phone,phone_number_id", *lines])
            Path("channels.csv").write_text(listed, encoding="utf-8")
            assert run("channel", "import", "channels.csv").code == 0
            keep_facts(path, lambda channel: int(channel[-3:]) % 14 + 0.5, quality_rating="RED")

    with freeze_time(NOW):
        yield enter


def _message() -> str:
    """A webhook of Meta: a customer wrote an hour ago."""
    sent_at = str(int(NOW.timestamp()) - 3_600)
    message = {"from": "6591000001", "id": "wamid.1", "timestamp": sent_at, "type": "text"}
    value = {
        "messaging_product": "whatsapp",
        "metadata": {"display_phone_number": PHONE[1:], "phone_number_id": PHONE_NUMBER_ID},
        "contacts": [{"wa_id": "6591000001"}],
        "messages": [{**message, "text": {"body": "hello"}}],
    }
    entry = {"id": WABA_ID, "changes": [{"field": "messages", "value": value}]}
    return json.dumps({"object": "whatsapp_business_account", "entry": [entry]})


def picture(run: Callable[..., Any], shown: Shown, width: int, place: Path) -> str:
    outcome = run(*shown.command, tty=True, stdin=shown.typed, env={"COLUMNS": str(width)})
    said = outcome.err if shown.typed == "" else ""
    assert "Traceback" not in said
    return str(outcome.out + said).replace(str(place), PLACE)


def demand_fit(text: str, width: int) -> None:
    """No line is wider than the terminal, unless it is a single word; none ends in a blank."""
    for line in text.splitlines():
        assert cells(line) <= width or " " not in line.strip(), (cells(line), line)
        assert line == line.rstrip(), line


def demand_whole_words(text: str, wide: str) -> None:
    """No word of the wide screen begins at the end of a line of this one and goes on below."""
    known = set(wide.split())
    lines = [line.split() for line in text.splitlines() if line.strip()]
    ends = [(before[-1], after[0]) for before, after in pairwise(lines)]
    assert not [pair for pair in ends if "".join(pair) in known]


@pytest.mark.parametrize("name", TO_SHOW)
def test_a_screen(
    name: str, run: Callable[..., Any], homes: Callable[[str], None], place: Path
) -> None:
    shown = TO_SHOW[name]
    homes(shown.home)
    pictures = {width: picture(run, shown, width, place) for width in WIDTHS}

    for width, text in pictures.items():
        demand_fit(text, width)
        demand_whole_words(text, pictures[WIDTHS[-1]])
    assert len(pictures[80].splitlines()) <= shown.most_lines
    if shown.home == "agency" or name == "status-shop":
        assert all(len(text.splitlines()) <= shown.most_lines for text in pictures.values())
    file, whole = SCREENS / f"{name}.txt", _file_text(shown, pictures)
    if os.environ.get("WRITE_SCREENS"):
        file.write_text(whole, encoding="utf-8")
    assert file.read_text(encoding="utf-8") == whole, "see `make screens`"


def _file_text(shown: Shown, pictures: dict[int, str]) -> str:
    command = " ".join(shown.command)
    parts = [f"== {width} columns: wacoex {command}\n{text}" for width, text in pictures.items()]
    return "\n".join(parts)


def test_every_screen_that_is_kept_is_shown() -> None:
    assert {file.stem for file in SCREENS.glob("*.txt")} == set(TO_SHOW)
    assert len(TO_SHOW) >= 30


@pytest.mark.parametrize("width", WIDTHS)
def test_screens_of_a_plan_fit(
    run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    Path("people.csv").write_text("phone,name\n+6591000001,Ana\n+6591000002,Bo\n12,Cy\n")
    ids = ("--phone-number-id", PHONE_NUMBER_ID, "--waba-id", WABA_ID)
    words = ("--template", "order_ready", "--lang", "en_US", "--param", "1=name", "--param", "2=x")
    with running(default_world()) as url:
        monkeypatch.setenv("WACOEX_META_BASE_URL", url)
        monkeypatch.setenv("WACOEX_META_TOKEN", DEFAULT_TOKEN)
        add(run, "shop", PHONE, *ids)
        for command in (
            ("template", "list"),
            ("channel", "discover", "--no-input"),
            ("partner", "check"),
            ("broadcast", "plan", "people.csv", *words),
            ("broadcast", "list"),
        ):
            outcome = run(*command, tty=True, env={"COLUMNS": str(width)})
            demand_fit(outcome.out + outcome.err, width)

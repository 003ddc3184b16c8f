"""`wacoex broadcast report`: totals and every row, as text, JSON and CSV.

The live view of a broadcast: what a person, a log and a program see.
`wacoex broadcast report --html`: one page with pictures that loads nothing.
"""

from __future__ import annotations

import csv
import io
import itertools
import json
import re
import shutil
import stat
from datetime import UTC, datetime
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.pictures import picture
from wacoex_cli.audience import delimited
from wacoex_cli.audience.model import SkipReason
from wacoex_cli.broadcast import report, report_page
from wacoex_cli.channels.model import Fact
from wacoex_cli.channels.store import Facts
from wacoex_cli.events.store import EventLog
from wacoex_cli.foundation.clock import to_text
from wacoex_cli.ledger import every_row
from wacoex_cli.ledger.model import (
    CodeCount,
    Counts,
    Held,
    RowState,
    RunProgress,
    Status,
    attempt_id,
)
from wacoex_cli.ledger.projection import bring_up_to_date
from wacoex_cli.ledger.rows import Rows
from wacoex_cli.ledger.store import Broadcasts
from wacoex_cli.media.sources import given_media
from wacoex_cli.platforms.events import Event, Kind, Payload, Source, Via
from wacoex_cli.sandbox.faults import Fault
from wacoex_cli.sandbox.world import PHONE_NUMBER_ID
from wacoex_cli.sending.exchange import Course
from wacoex_cli.templates.values import given_by

CELLS = (
    st.none()
    | st.integers()
    | st.floats()
    | st.booleans()
    | st.text()
    | st.text(alphabet=" ,\"'\r\n\t=+-@1a\0")
)


@pytest.fixture
def sent(shop):
    """A broadcast of four people: one was rejected, one has no number that can be read."""
    people = [(shop.phone(1),), (shop.phone(2),), ("=1+1",), (shop.phone(3),)]
    broadcast = shop.planned(shop.file("four.csv", people))
    shop.faults(Fault("refuse", code=131026, recipients=frozenset({shop.phone(2)})))
    shop.send(broadcast)
    return broadcast


def lines(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_the_json_has_totals_runs_and_every_row_with_the_meaning_of_its_code(cli, shop, sent):
    data = cli("broadcast", "report", 1, "--json").data

    assert (data["status"], data["recipients"], data["taken"]) == ("completed", 3, 2)
    assert data["rate"]["peak_in_one_second"] >= 1
    assert [run["ended_as"] for run in data["runs"]] == ["completed"]
    assert data["decisions"] == []
    assert [(row["line"], row["state"]) for row in data["rows"]] == [
        (2, "accepted"),
        (3, "rejected"),
        (4, "skipped"),
        (5, "accepted"),
    ]
    accepted, rejected, skipped, _ = data["rows"]
    assert accepted["message_id"].startswith("wamid.")
    assert accepted["answered_at"].endswith("Z")
    assert (rejected["code"], rejected["phone"]) == (131026, shop.phone(2))
    assert rejected["meaning"] == data["codes"][0]["meaning"]
    assert (skipped["reason"], skipped["code"], skipped["meaning"]) == ("invalid", None, None)


def test_a_person_sees_the_totals_and_the_rows_that_went_wrong(cli, shop, sent):
    shown = cli("broadcast", "report", 1, tty=True)

    assert shown.code == 0
    assert "broadcast 1 on shop (opening_hours (en_US)): completed" in shown.out
    assert "run 1: " in shown.out
    assert "code 131026 (1 rejected)" in shown.out
    assert shop.phone(2) in shown.out
    assert shop.phone(1) not in shown.out


def test_decisions_of_people_are_part_of_the_report(cli, shop):
    broadcast = shop.planned(2)
    shop.faults(Fault("reset_after", count=1))
    shop.send(broadcast)
    cli("broadcast", "reconcile", 1, "--as", "sent", "--yes")

    [decision] = cli("broadcast", "report", 1, "--json").data["decisions"]

    assert (decision["decision"], decision["row"]) == ("sent", 1)
    assert "row 1: sent" in cli("broadcast", "report", 1).out


def test_csv_on_standard_output_has_a_header_and_every_row(cli, shop, sent):
    shown = cli("broadcast", "report", 1, "--csv", "-")

    rows = lines(shown.out)
    assert tuple(rows[0]) == every_row.COLUMNS
    assert [row["state"] for row in rows] == ["accepted", "rejected", "skipped", "accepted"]
    assert [row["phone"] for row in rows] == [
        f"'{shop.phone(1)}",
        f"'{shop.phone(2)}",
        "'=1+1",
        f"'{shop.phone(3)}",
    ]


def test_a_csv_file_is_new_private_and_never_replaces_another(cli, shop, sent):
    target = shop.directory / "report.csv"

    written = cli("broadcast", "report", 1, "--csv", target, "--json")
    again = cli("broadcast", "report", 1, "--csv", target, "--json")

    assert (written.code, written.data["rows_written"]) == (0, 4)
    assert len(lines(target.read_text())) == 4
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert (again.code, again.envelope["errors"][0]["code"]) == (2, "file_exists")
    assert cli("broadcast", "report", 1, "--csv", shop.directory / "no" / "x.csv").code == 2
    assert not list(shop.directory.glob(".*.part"))


def test_the_numbers_of_a_report_can_be_planned_again(cli, shop, sent):
    target = shop.directory / "report.csv"
    cli("broadcast", "report", 1, "--csv", target)

    assert shop.planned(target).recipients == 3


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        ("=1+1", "'=1+1"),
        ("+6591234567", "'+6591234567"),
        ("-2", "'-2"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"),
        ("\r=1", "'\r=1"),
        ("  =1", "'  =1"),
        ("\uff1d1", "'\uff1d1"),
        ("a=1", "a=1"),
        ("", ""),
        ("   ", "   "),
        (None, ""),
        (131026, "131026"),
    ],
)
def test_no_cell_is_a_formula(value, cell):
    assert delimited.safe_cell(value) == cell


@given(
    rows=st.lists(
        st.tuples(CELLS, CELLS, st.sampled_from(("accepted", "=1", 'a "b", c'))), min_size=1
    )
)
def test_lines_equal_those_of_a_csv_writer_for_safe_cells(rows):
    by_row = io.StringIO()
    csv.writer(by_row, lineterminator="\n").writerows(
        [delimited.safe_cell(value) for value in row] for row in rows
    )

    assert delimited.csv_lines(zip(*rows, strict=True)) == by_row.getvalue()


def test_a_long_report_is_written_while_it_is_read():
    numbers = itertools.count(1)
    endless = ([(number, number)] * len(every_row.COLUMNS) for number in numbers)

    texts = every_row.json_texts(endless)

    assert json.loads(f"[{next(texts)}]") == [dict.fromkeys(every_row.COLUMNS, 1)] * 2
    assert next(numbers) == 2


def test_rows_of_several_pages_come_in_order_each_once(state, plan_rows):
    broadcast_id = plan_rows(4_500)

    found = list(every_row.pages(state.path, broadcast_id))

    assert [len(page[0]) for page in found] == [2_000, 2_000, 500]
    assert [row for page in found for row in page[0]] == list(range(1, 4_501))


def test_an_impossible_report_is_refused(cli):
    both = cli("broadcast", "report", 1, "--csv", "-", "--json")
    unknown = cli("broadcast", "report", 99, "--json")

    assert (both.code, both.envelope["errors"][0]["code"]) == (2, "two_outputs")
    assert (unknown.code, unknown.envelope["errors"][0]["code"]) == (2, "unknown_broadcast")


MORNING = datetime(2026, 11, 8, 0, 0, tzinfo=UTC)
BUSY = RunProgress(
    counts=Counts(
        {
            RowState.PENDING: 3_000,
            RowState.SENDING: 6,
            RowState.ACCEPTED: 900,
            RowState.DELIVERED: 300,
            RowState.READ: 20,
            RowState.FAILED: 4,
            RowState.AMBIGUOUS: 2,
            RowState.SKIPPED: 11,
        }
    ),
    last_second=19,
    peak=20,
    codes=(CodeCount(131026, RowState.FAILED, 4), CodeCount(1, RowState.AMBIGUOUS, 2)),
    finished_rate=19.4,
)


def test_a_person_sees_the_rate_the_outcomes_and_the_errors_with_their_meaning() -> None:
    assert report.lines(BUSY) == (
        "19/s now, most in one second: 20, about 3 min left",
        "1220 accepted (320 delivered, 20 read), 4 failed, 2 ambiguous",
        "code 131026 (4 failed): the message cannot be delivered: no WhatsApp, an old version, or"
        " terms not accepted",
        "code 1 (2 ambiguous): the request was malformed, or Meta's server failed: the message may"
        " have gone out",
    )


def test_a_log_gets_the_same_on_one_line() -> None:
    assert report.line(BUSY) == (
        "1220 accepted (320 delivered, 20 read), 4 failed, 2 ambiguous, 19/s now, at most 20 in one"
        " second, 4 failed with code 131026, 2 ambiguous with code 1, about 3 min left"
    )


def test_a_program_gets_every_number() -> None:
    answer = report.to_json(BUSY)

    assert answer["counts"]["accepted"] == 900
    assert answer["counts"]["skipped"] == 11
    assert answer["rate"] == {
        "now": 19,
        "last_minute": 19.4,
        "peak_in_one_second": 20,
        "told_limit": None,
    }
    assert answer["codes"][0] == {
        "code": 131026,
        "state": "failed",
        "n": 4,
        "meaning": "the message cannot be delivered: no WhatsApp, an old version, or terms not"
        " accepted",
    }
    assert (answer["held"], answer["seconds_left"]) == ([], 155)
    json.dumps(answer, allow_nan=False)


def test_people_held_by_quiet_hours_are_shown_with_their_local_time_and_nothing_else_waits() -> (
    None
):
    counts = Counts({RowState.PENDING: 194, RowState.RETRY: 1_300})
    held = (
        Held(1_204, MORNING, "Asia/Singapore"),
        Held(88, datetime(2026, 11, 8, 7, tzinfo=UTC), "Europe/Berlin"),
        Held(5, datetime(2026, 11, 8, 13, tzinfo=UTC), "America/New_York"),
    )
    shot = BUSY._replace(counts=counts, codes=(), held=held)

    assert report.lines(shot) == (
        "19/s now, most in one second: 20, about 10 s left",
        "0 accepted, 0 failed, 0 ambiguous, 3 retry",
        "1204 held until 08:00 in Asia/Singapore",
        "88 held until 08:00 in Europe/Berlin",
        "5 held until later",
    )
    assert "1204 held until 08:00 in Asia/Singapore" in report.line(shot)
    assert report.to_json(shot)["held"][0] == {
        "rows": 1_204,
        "until": "2026-11-08T00:00:00.000Z",
        "timezone": "Asia/Singapore",
    }


def test_when_everybody_left_is_held_there_is_no_time_left_to_estimate() -> None:
    counts = Counts({RowState.RETRY: 7, RowState.ACCEPTED: 3})
    shot = BUSY._replace(counts=counts, held=(Held(7, MORNING, "Asia/Singapore"),))

    assert shot.seconds_left is None
    assert report.to_json(shot)["seconds_left"] is None
    assert "left" not in report.line(shot)


def test_a_limit_that_the_api_states_is_shown() -> None:
    shot = BUSY._replace(stated_limit=5.0)

    assert report.lines(shot)[0].startswith(
        "19/s now, most in one second: 20, the API takes 5/s, about"
    )
    assert report.to_json(shot)["rate"]["told_limit"] == 5.0


def test_at_the_end_there_is_no_rate_now() -> None:
    over = RunProgress(Counts({RowState.READ: 3}), last_second=3, peak=3, finished_rate=2.0)

    assert report.lines(over) == (
        "most in one second: 3",
        "3 accepted (3 delivered, 3 read), 0 failed, 0 ambiguous",
    )
    assert report.line(over).endswith("0 ambiguous, at most 3 in one second")


def test_many_codes_are_cut_short_for_a_person_not_for_a_program() -> None:
    codes = tuple(CodeCount(131000 + n, RowState.REJECTED, 20 - n) for n in range(1, 10))
    shot = BUSY._replace(codes=codes)

    assert report.lines(shot)[-1] == "and 50 with other codes"
    assert len([text for text in report.lines(shot) if text.startswith("code ")]) == 5
    assert len(report.to_json(shot)["codes"]) == 9


@pytest.mark.parametrize(
    ("seconds", "reported"),
    [
        (0.2, "about 10 s"),
        (42, "about 40 s"),
        (54, "about 50 s"),
        (58, "about 1 min"),
        (92, "about 2 min"),
        (3_599, "about 1 h 0 min"),
        (52_300, "about 14 h 32 min"),
    ],
)
def test_an_estimate_is_rounded_by_its_size(seconds: float, reported: str) -> None:
    assert report.about(seconds) == reported


def test_the_rate_for_the_estimate_is_that_of_the_last_minute() -> None:
    course = Course()
    assert course.rate(0, 1_000.0) is None
    assert course.rate(40, 1_002.0) is None, "too early to say"
    for second in range(3, 61):
        rate = course.rate(20 * second, 1_000.0 + second)
    assert rate == pytest.approx(20.0)

    for second in range(61, 122):
        rate = course.rate(1_200 + 5 * (second - 60), 1_000.0 + second)
    assert rate == pytest.approx(5.0), "what was before the last minute is forgotten"


def test_rows_that_are_open_again_never_make_the_rate_negative() -> None:
    course = Course()
    course.rate(10, 1_000.0)
    assert course.rate(7, 1_010.0) == 0.0
    assert BUSY._replace(finished_rate=0.0).seconds_left is None


LATER = ("2099-01-01T08:00:00.000Z", "2099-01-01T08:00:01.000Z")
CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
VOID = {"meta", "path", "line", "img"}


class Page(HTMLParser):
    """What a page holds; fails on a tag that is not closed, or closed by another."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, str, str | None]] = []
        self.words: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.attributes += [(tag, name, value) for name, value in attrs]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1:] != ["style"]:
            self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))


@pytest.fixture
def page_of(shop):
    """A broadcast of four people: one was rejected, one has no number that can be read."""
    people = [(shop.phone(1),), (shop.phone(2),), ("=1+1",), (shop.phone(3),)]
    broadcast = shop.planned(
        shop.file("four.csv", people), name=f"<script>alert(1)</script> for {shop.phone(9)}"
    )
    shop.faults(Fault("refuse", code=131026, recipients=frozenset({shop.phone(2)})))
    shop.send(broadcast)
    return broadcast


@pytest.fixture
def page(cli, shop):
    """Write the page of broadcast 1 with these options; gives what is in it."""

    def write(*options: str) -> Page:
        target = shop.directory / f"report{len(options)}.html"
        assert cli("broadcast", "report", 1, "--html", target, *options).code == 0
        return Page(target.read_text())

    return write


def tell(shop, broadcast, row, *words):
    """Status webhooks about one row, a second apart."""
    name = attempt_id(Broadcasts(shop.state).state_id, broadcast.broadcast_id, row, 1)
    events = [
        Event(
            key=f"meta:status:wamid.{row}:{word}",
            kind=Kind.STATUS,
            source=Source.META,
            at=at,
            phone_number_id=PHONE_NUMBER_ID,
            message_id=f"wamid.{row}",
            data={"status": word, "attempt_id": name},
        )
        for word, at in zip(words, LATER, strict=False)
    ]
    with shop.state.transaction():
        payload = Payload(Source.META, f"digest {row}", 1, "{}", tuple(events))
        EventLog(shop.state).store([payload], Via.LISTEN, shop.clock.now())
    bring_up_to_date(shop.state, shop.clock)


def test_the_page_shows_totals_errors_runs_and_failed_rows(page, page_of):
    text = page().text

    assert "Broadcast 1 on shop" in text
    assert "refused 1 person code 131026 The message cannot be delivered" in text
    assert "1 no phone number that can be read" in text
    assert "completed" in text
    assert "What people decided" not in text, "an empty section says nothing"


def test_numbers_are_masked_unless_they_are_asked_for(page, shop, page_of):
    masked, shown = page().text, page("--show-numbers").text

    assert not re.search(r"\+?6591[0-9]{6}", masked)
    assert "+65****0002" in masked
    assert shop.phone(2) in shown
    assert shop.phone(9) in shown


def test_a_number_is_masked_in_any_text(page, shop, masked_texts):
    broadcast = shop.planned(1, name=" | ".join(masked_texts))

    assert broadcast.name in page("--show-numbers").text
    assert " | ".join(masked_texts.values()) in page().text


def test_a_hostile_name_is_only_text(page, page_of):
    made = page()

    assert "<script>alert(1)</script> for" in made.text
    assert not [tag for tag, _, _ in made.attributes if tag == "script"]


def test_the_page_loads_nothing_and_forbids_it_to_the_browser(page, page_of):
    made = page()

    [policy] = [
        value for _, name, value in made.attributes if name == "content" and "-src" in value
    ]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert not [name for _, name, _ in made.attributes if name in ("src", "href", "style")]
    assert not [name for _, name, _ in made.attributes if name.startswith("on")]


def test_each_picture_has_a_text_alternative(page, page_of):
    made = page()

    names = [value for tag, name, value in made.attributes if (tag, name) == ("svg", "aria-label")]
    assert len(names) == 2
    assert "How many messages were accepted, delivered and read over time." in names[0]
    assert "left in any one second; the limit is 20." in names[1]


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed here")
def test_a_browser_shows_it_on_a_small_screen_without_a_complaint_or_a_request(
    cli, shop, page_of, monkeypatch
):
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    monkeypatch.chdir(shop.directory)
    (shop.directory / "red.jpg").write_bytes(picture(colour="red", size=(900, 600)))
    values = {
        "1": "Ana",
        "card.0.1": "50 %",
        "card.1.1": "one",
        "card.0.button.1": "lemon",
        "card.1.button.1": "plum",
    }
    carousel = shop.planned(
        shop.file("cards.csv", [(shop.phone(1),)]),
        template="cake_cards",
        sources=[
            *given_by({}, values),
            *given_media(["card.0.header=red.jpg", "card.1.header=red.jpg"]),
        ],
    )
    whole, cards = shop.directory / "report.html", shop.directory / "cards.html"
    cli("broadcast", "report", 1, "--html", whole)
    cli("broadcast", "report", carousel.broadcast_id, "--html", cards)
    complaints, requests = [], []

    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        tab = browser.new_page(viewport={"width": 390, "height": 844})
        tab.on("console", lambda entry: complaints.append(entry.text))
        tab.on("pageerror", lambda entry: complaints.append(str(entry)))
        tab.on("request", lambda entry: requests.append(entry.url))
        tab.goto(whole.as_uri())
        width = tab.evaluate("document.documentElement.scrollWidth")
        padding = tab.evaluate("getComputedStyle(document.querySelector('figure')).paddingTop")
        tab.goto(cards.as_uri())
        width_of_cards = tab.evaluate("document.documentElement.scrollWidth")
        scrolls = tab.evaluate(
            "(box => box.scrollWidth > box.clientWidth)(document.querySelector('.cards'))"
        )
        shown = tab.evaluate("[...document.images].map(image => image.naturalWidth)")
        browser.close()

    assert complaints == []
    pages = [whole.as_uri(), cards.as_uri()]
    assert [url for url in requests if not url.startswith("data:")] == pages
    assert (width, width_of_cards) == (390, 390)
    assert padding == "18px", "its own style applies"
    assert scrolls, "the cards scroll inside the bubble"
    assert shown == [640, 640], "the policy lets the page show its own pictures"


def test_a_broadcast_that_was_not_sent_has_a_page_too(page, shop):
    shop.planned(2)

    text = page().text

    assert "Nothing was sent to 2 recipients yet" in text
    assert "wacoex broadcast send 1" in text
    assert "Delivery over time" not in text
    assert "Appendix" not in text


def test_a_cancelled_broadcast_is_not_being_sent(page, shop, cli):
    shop.planned(2)
    assert cli("broadcast", "cancel", 1, "--yes").code == 0

    text = page().text

    assert "Nothing was sent to 2 recipients Broadcast 1" in text
    assert "It was cancelled, so no more of it is sent." in text
    assert "being sent now" not in text


def test_the_page_says_why_in_plain_words_for_each_person(page, shop):
    shop.faults(Fault("refuse", code=131026, recipients=frozenset({shop.phone(2)})))
    shop.send(shop.planned(2))

    text = page().text

    assert "+65****0002 refused The message cannot be delivered: no WhatsApp" in text
    assert "(#131026)" not in text


def test_the_page_has_the_name_of_the_business_without_a_look_at_its_status(cli, shop):
    target, list_file = shop.directory / "report.html", shop.file("two.csv", [(shop.phone(1),)])
    planned = cli("broadcast", "plan", list_file, "--template", "opening_hours", "--lang", "en_US")
    assert planned.code == 0
    assert cli("broadcast", "report", 1, "--html", target).code == 0

    assert "Corner Bakery planned" in Page(target.read_text()).text
    [channel] = cli("status", "shop", "--offline", "--json").data["channels"]
    assert channel["connection"] is None, "a name does not prove a connection"


def test_a_part_of_the_people_that_is_empty_has_no_alarming_colour() -> None:
    reach = report.Reach.of({"read": 3}, Status.COMPLETED)

    assert [group.name for group in report_page._groups(reach)] == ["reached", "none", "none"]


def test_the_file_is_private_and_never_replaces_another(cli, shop, page_of):
    target = shop.directory / "report.html"

    written = cli("broadcast", "report", 1, "--html", target, "--json")
    before = target.read_text()
    again = cli("broadcast", "report", 1, "--html", target, "--show-numbers", "--json")

    assert (written.code, written.data["html"]) == (0, str(target))
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert (again.code, again.envelope["errors"][0]["code"]) == (2, "file_exists")
    assert target.read_text() == before


def test_page_and_csv_can_be_written_at_once(cli, shop, page_of):
    html, csv = shop.directory / "a.html", shop.directory / "a.csv"

    shown = cli("broadcast", "report", 1, "--html", html, "--csv", csv)

    assert shown.code == 0
    assert "its numbers are masked" in shown.out
    assert "4 rows written" in shown.out
    assert html.exists()
    assert csv.exists()


@pytest.mark.parametrize(
    ("options", "code"), [(("--html", "-"), "not_a_file"), (("--show-numbers",), "no_page")]
)
def test_options_that_make_no_sense_are_refused(cli, options, code):
    refused = cli("broadcast", "report", 1, *options, "--json")

    assert (refused.code, refused.envelope["errors"][0]["code"]) == (2, code)


def test_the_funnel_counts_read_messages_as_delivered_and_sent(cli, shop):
    broadcast = shop.planned(4)
    shop.send(broadcast)
    tell(shop, broadcast, 1, "read")
    tell(shop, broadcast, 2, "sent", "delivered")
    tell(shop, broadcast, 3, "failed")

    data = cli("broadcast", "report", 1, "--json").data
    shown = cli("broadcast", "report", 1, tty=True).out

    assert data["funnel"] == {
        "recipients": 4,
        "accepted": 4,
        "sent": 2,
        "delivered": 2,
        "read": 1,
        "failed": 1,
    }
    assert "how far 4 messages got: 4 accepted (100 %), 2 sent (50 %)" in shown


def test_each_message_counts_once_for_each_status_in_the_picture(shop):
    broadcast = shop.planned(4)
    shop.send(broadcast)
    tell(shop, broadcast, 1, "read", "delivered")
    tell(shop, broadcast, 2, "sent", "failed")
    tell(shop, broadcast, 3, "failed", "delivered")
    since, attempts = broadcast.planned_at, f"wacoex-{Broadcasts(shop.state).state_id}-1-"

    assert Rows(shop.state, 1).deliveries_end(since, attempts) == LATER[1]
    rows = Rows(shop.state, 1).deliveries(since, attempts, 19)

    first, second = (entry[:19] for entry in LATER)
    assert [
        (row["status"], row["at"], row["n"]) for row in rows if row["status"] != "accepted"
    ] == [
        ("delivered", first, 1),
        ("delivered", second, 1),
        ("failed", second, 1),
        ("read", first, 1),
        ("sent", first, 1),
        ("sent", second, 1),
    ]
    assert sum(row["n"] for row in rows if row["status"] == "accepted") == 4


@pytest.mark.parametrize(
    ("last", "name"),
    [
        ("2026-11-07T12:00:00.000Z", "second"),
        ("2026-11-07T12:10:00.000Z", "second"),
        ("2026-11-07T12:10:01.000Z", "10 seconds"),
        ("2026-11-07T14:00:00.000Z", "minute"),
        ("2026-11-08T12:00:00.000Z", "10 minutes"),
        ("2026-11-20T12:00:00.000Z", "hour"),
        ("2027-11-07T12:00:00.000Z", "day"),
    ],
)
def test_a_picture_stays_small_however_long_it_took(last, name):
    assert report_page.stretch_for("2026-11-07T12:00:00.000Z", last).name == name


def test_the_busiest_second_of_a_stretch_is_kept(state, plan_rows):
    broadcast_id = plan_rows(5)
    for row, moment in enumerate(("00.100", "00.200", "00.900", "01.000", "59.000"), start=1):
        with state.transaction():
            state.execute(
                "UPDATE recipients SET state = 'accepted', claimed_at = ?, answered_at = ?"
                " WHERE row = ?",
                ["2026-11-07T12:00:00.000Z", f"2026-11-07T12:00:{moment}Z", row],
            )

    [minute] = Rows(state, broadcast_id).dispatch(16)

    assert minute == {"at": "2026-11-07T12:00", "n": 5, "busiest": 3}


def test_the_page_answers_in_the_order_of_a_shop_owners_questions(page, shop, cli):
    broadcast = shop.planned(4)
    shop.faults(Fault("refuse", code=131026, recipients=frozenset({shop.phone(4)})))
    shop.send(broadcast)
    tell(shop, broadcast, 1, "read")
    tell(shop, broadcast, 2, "delivered")

    text = page().text
    order = [
        "2 of 4 reached, 1 read (25 %), 1 needs you, 1 not known yet",
        "2 + 1 + 1 = 4 recipients",
        "We are open from 8 to 18 every day.",
        "What to do now",
        "wacoex broadcast retry 1",
        "Delivery over time",
        "Who did not get it",
        "Appendix: how it was sent",
        "1 run, ",
    ]
    places = [text.find(words) for words in order]

    assert -1 not in places
    assert places == sorted(places)
    answer = cli("broadcast", "report", 1, "--json").data
    assert answer["outcome"] == {
        "recipients": 4,
        "reached": 2,
        "read": 1,
        "not_reached": 1,
        "unknown": 1,
        "need_you": 1,
        "handled": 0,
    }
    for command in ("report", "show"):
        shown = cli("broadcast", command, 1).out
        assert "2 of 4 reached, 1 read (25 %), 1 needs you, 1 not known yet" in shown
        assert "not reached: 1 (1 refused)" in shown
        assert "unknown: 1 (1 accepted by Meta, no report since)" in shown


def test_times_are_those_of_the_channel_and_the_business_has_its_name(page, shop):
    shop.planned(1)
    with shop.state.transaction():
        shop.state.execute(
            "UPDATE broadcasts SET planned_at = '2026-11-07T20:30:00.000Z' WHERE broadcast_id = 1"
        )
    in_utc = page().text
    with shop.state.transaction():
        shop.state.execute("UPDATE channels SET timezone = 'Asia/Singapore'")
        now = to_text(shop.clock.now())
        Facts(shop.state).store(1, [Fact("verified_name", "Corner <Bakery>", "meta", now)])
    in_singapore = page("--show-numbers").text

    assert "Planned Sat 7 Nov 2026, 20:30. Times are those of UTC." in in_utc
    assert "Planned Sun 8 Nov 2026, 04:30. Times are those of Asia/Singapore." in in_singapore
    assert "Corner <Bakery> planned" in in_singapore


def test_the_page_of_an_archived_channel_can_be_made(page, shop, cli, page_of):
    assert cli("channel", "remove", "shop", "--yes").code == 0

    assert "Broadcast 1 on shop" in page().text


MENU = ("--template", "new_menu", "--lang", "en_US", "--param", "1=name")
PEOPLE = ("phone", "name", "picture")


@pytest.fixture
def menu_page(cli, shop, page, monkeypatch):
    """Plan with these lines of a list and this `--media`; gives what writes the page."""
    monkeypatch.chdir(shop.directory)
    for colour in ("red", "blue"):
        (shop.directory / f"{colour}.jpg").write_bytes(picture(colour=colour, size=(900, 600)))

    def plan(media, *names):
        lines = [(shop.phone(row), "Ana", name) for row, name in enumerate(names, start=1)]
        people = shop.file("menu.csv", lines, PEOPLE)
        assert cli("broadcast", "plan", people, *MENU, "--media", media).code == 0
        return page

    return plan


def pictures_in(made: Page) -> list[str]:
    return [value or "" for tag, name, value in made.attributes if (tag, name) == ("img", "src")]


def test_a_picture_for_all_is_in_the_page_itself(menu_page):
    made = menu_page("header=red.jpg", "")()

    [source] = pictures_in(made)
    assert source.startswith("data:image/jpeg;base64,")
    assert ("img", "alt", "Picture red.jpg") in made.attributes
    [policy] = [value for _, _, value in made.attributes if value and "default-src" in value]
    assert "; img-src data:; base-uri 'none'" in policy


def test_a_picture_that_has_changed_is_not_shown(menu_page, shop):
    page = menu_page("header=red.jpg", "")
    (shop.directory / "red.jpg").write_bytes(picture(colour="green", size=(900, 600)))

    made = page()

    assert pictures_in(made) == []
    assert "Picture red.jpg JPEG, " in made.text
    assert "the file is not there any more, or has changed" in made.text
    [policy] = [value for _, _, value in made.attributes if value and "default-src" in value]
    assert "img-src" not in policy


def test_a_column_of_pictures_shows_the_first_one_that_others_get_too(menu_page):
    made = menu_page("header=column:picture", "red.jpg", "blue.jpg", "red.jpg")()

    assert len(pictures_in(made)) == 1
    assert ("img", "alt", "Picture red.jpg") in made.attributes
    assert "column picture Hello name , here is our new menu." in made.text


def test_a_picture_of_a_single_person_is_shown_only_with_the_numbers(menu_page):
    page = menu_page("header=column:picture", "red.jpg", "blue.jpg")

    masked, whole = page(), page("--show-numbers")

    assert pictures_in(masked) == []
    assert "Picture another one for each person column picture Hello" in masked.text
    assert "red.jpg" not in masked.text
    assert len(pictures_in(whole)) == 1


@pytest.mark.parametrize("heights", [[100.0] * 4, [0.0, 1.0, 199.0, 200.0], [5.0], []])
def test_labels_of_a_chart_never_cover_one_another(heights):
    placed = report_page.spread([report_page.Label("read", y, "x") for y in heights])
    ys = [label.y for label in placed]

    assert all(lower - upper >= 17.9 for upper, lower in itertools.pairwise(ys))
    assert all(0 < y < 200 for y in ys)


def _luminance(colour: str) -> float:
    digits = colour.lstrip("#")
    parts = [int(digits[place : place + 2], 16) / 255 for place in (0, 2, 4)]
    red, green, blue = (x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(
    ("ink", "ground"),
    [
        *itertools.product(("ink", "soft"), ("paper", "card", "bubble")),
        *((kind, f"{kind}-paper") for kind in ("good", "bad", "warn", "calm")),
        ("link", "bubble"),
        ("ink", "mark"),
        ("soft", "line"),
        ("warn", "paper"),
    ],
)
def test_text_has_enough_contrast_to_its_background(scheme, ink, ground):
    style = files(report_page.__package__).joinpath("report.css").read_text()
    light, _, dark = style.partition("prefers-color-scheme: dark")
    colours = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", light))
    if scheme == "dark":
        colours |= dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", dark))
    darker, lighter = sorted((_luminance(colours[ink]), _luminance(colours[ground])))

    assert (lighter + 0.05) / (darker + 0.05) >= 4.5, "WCAG 2, level AA"


def test_progress_says_that_a_canary_holds_the_others_back() -> None:
    waiting = BUSY._replace(canary_rows=10)

    assert "canary of 10: the others wait until it went well" in report.line(waiting)
    assert "canary of 10: the others wait until it went well" in report.lines(waiting)
    assert "canary" not in report.line(BUSY)


def test_the_page_has_words_for_each_reason_to_leave_somebody_out():
    assert report_page.SKIP_WORDS.keys() == set(SkipReason)
    guide = (Path(__file__).parents[2] / "docs" / "broadcast.md").read_text(encoding="utf-8")
    assert set(SkipReason) <= set(re.findall(r"^\| `(\w+)` \|", guide, re.MULTILINE))

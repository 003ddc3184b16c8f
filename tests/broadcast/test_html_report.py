"""`wacoex broadcast report --html`: one page with pictures that loads nothing."""

from __future__ import annotations

import re
import shutil
import stat
from html.parser import HTMLParser

import pytest

from wacoex_cli.broadcast import html_report, report
from wacoex_cli.broadcast import html_report_pictures as pictures
from wacoex_cli.broadcast.model import attempt_id
from wacoex_cli.broadcast.projection import bring_up_to_date
from wacoex_cli.broadcast.store import Broadcasts, Rows
from wacoex_cli.events.ledger import store
from wacoex_cli.events.model import Event, Kind, Payload, Source, Via
from wacoex_cli.sandbox.faults import Fault
from wacoex_cli.sandbox.world import PHONE_NUMBER_ID

LATER = ("2099-01-01T08:00:00.000Z", "2099-01-01T08:00:01.000Z")
CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
VOID = {"meta", "path", "line"}


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
def sent(shop):
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
        store(shop.state, [payload], Via.LISTEN, shop.clock.now())
    bring_up_to_date(shop.state, shop.clock)


def test_the_page_tells_totals_errors_runs_and_what_went_wrong(page, sent):
    text = page().text

    assert "Broadcast 1 on shop" in text
    assert "131026 rejected 1" in text
    assert "invalid 1" in text
    assert "completed" in text
    assert "Nobody had to decide anything." in text


def test_numbers_are_masked_unless_they_are_asked_for(page, shop, sent):
    masked, shown = page().text, page("--show-numbers").text

    assert not re.search(r"\+?6591[0-9]{6}", masked)
    assert "+65****0002" in masked
    assert shop.phone(2) in shown
    assert shop.phone(9) in shown


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("+6591234567", "+65****4567"),
        ("no answer from +65 9123-4567.", "no answer from +65****4567."),
        ("wa_id 6591234567", "wa_id +65****4567"),
        ("(#2494100) at 2026-11-23 09:00:00", "(#2494100) at 2026-11-23 09:00:00"),
        ("<b>", "&lt;b&gt;"),
        (None, ""),
    ],
)
def test_a_number_is_masked_in_any_text(state, text, said):
    assert html_report.Report(state, {}, shows_numbers=False).said(text) == said


def test_a_hostile_name_is_only_text(page, sent):
    made = page()

    assert "<script>alert(1)</script> for" in made.text
    assert not [tag for tag, _, _ in made.attributes if tag == "script"]


def test_the_page_loads_nothing_and_says_so_to_the_browser(page, sent):
    made = page()

    [policy] = [
        value for _, name, value in made.attributes if name == "content" and "-src" in value
    ]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert not [name for _, name, _ in made.attributes if name in ("src", "href", "style")]
    assert not [name for _, name, _ in made.attributes if name.startswith("on")]


def test_each_picture_has_words_for_those_who_do_not_see_it(page, sent):
    made = page()

    names = [value for tag, name, value in made.attributes if (tag, name) == ("svg", "aria-label")]
    assert len(names) == 2
    assert "messages left in any one second; the cap is 20." in names[0]


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed here")
def test_a_browser_shows_it_on_a_small_screen_without_a_complaint_or_a_request(cli, shop, sent):
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    target = shop.directory / "report.html"
    cli("broadcast", "report", 1, "--html", target)
    complaints, requests = [], []

    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        tab = browser.new_page(viewport={"width": 390, "height": 844})
        tab.on("console", lambda one: complaints.append(one.text))
        tab.on("pageerror", lambda one: complaints.append(str(one)))
        tab.on("request", lambda one: requests.append(one.url))
        tab.goto(target.as_uri())
        width = tab.evaluate("document.documentElement.scrollWidth")
        margin = tab.evaluate("getComputedStyle(document.querySelector('figure')).marginTop")
        browser.close()

    assert complaints == []
    assert requests == [target.as_uri()]
    assert width == 390
    assert margin == "16px", "its own style applies"


def test_a_broadcast_that_was_not_sent_has_a_page_too(page, shop):
    shop.planned(2)

    text = page().text

    assert "Nothing was sent yet." in text
    assert "It was never sent." in text


def test_the_file_is_private_and_never_replaces_another(cli, shop, sent):
    target = shop.directory / "report.html"

    written = cli("broadcast", "report", 1, "--html", target, "--json")
    before = target.read_text()
    again = cli("broadcast", "report", 1, "--html", target, "--show-numbers", "--json")

    assert (written.code, written.data["html"]) == (0, str(target))
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert (again.code, again.envelope["errors"][0]["code"]) == (2, "file_exists")
    assert target.read_text() == before


def test_page_and_csv_can_be_written_at_once(cli, shop, sent):
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


def test_the_funnel_counts_who_read_as_delivered_and_sent(cli, shop):
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
    assert "how far the 4 came: 4 accepted (100.0 %), 2 sent (50.0 %)" in shown


def test_each_message_counts_once_for_each_status_in_the_picture(shop):
    broadcast = shop.planned(4)
    shop.send(broadcast)
    tell(shop, broadcast, 1, "read", "delivered")
    tell(shop, broadcast, 2, "sent", "failed")
    tell(shop, broadcast, 3, "failed", "delivered")
    since, attempts = broadcast.planned_at, f"wacoex-{Broadcasts(shop.state).state_id}-1-"

    assert Rows(shop.state, 1).deliveries_end(since, attempts) == LATER[1]
    rows = Rows(shop.state, 1).deliveries(since, attempts, 19)

    first, second = (one[:19] for one in LATER)
    assert [
        (one["status"], one["at"], one["n"]) for one in rows if one["status"] != "accepted"
    ] == [
        ("delivered", first, 1),
        ("delivered", second, 1),
        ("failed", second, 1),
        ("read", first, 1),
        ("sent", first, 1),
        ("sent", second, 1),
    ]
    assert sum(one["n"] for one in rows if one["status"] == "accepted") == 4


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
    assert pictures.stretch_for("2026-11-07T12:00:00.000Z", last).name == name


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


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [
        (0, 0, "0.0 %"),
        (1, 3, "33.3 %"),
        (3, 3, "100.0 %"),
        (9_999, 10_000, "99.9 %"),
        (1, 10**6, "0.1 %"),
    ],
)
def test_a_share_is_whole_only_when_it_is(part, whole, text):
    assert report.share(part, whole) == text

"""The signup page in a real browser, against the pretend Facebook window of the sandbox."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from wacoex_cli.onboarding.model import StepState
from wacoex_cli.sandbox.world import DEFAULT_TOKEN, PHONE_NUMBER_ID

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed here")

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
BUTTON = "button#begin"
END = "#end-title"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def tab(chromium: Any) -> Iterator[Any]:
    """A tab of a browser that nobody used before; what its console complains about is kept."""
    context = chromium.new_context(viewport={"width": 360, "height": 740})
    context.set_default_timeout(15_000)
    page = context.new_page()
    page.complaints = []
    page.on(
        "console",
        lambda entry: page.complaints.append(entry.text) if entry.type == "error" else None,
    )
    page.on("pageerror", lambda entry: page.complaints.append(str(entry)))
    yield page
    context.close()


@pytest.fixture
def opened(signup: Any, tab: Any) -> Callable[[], tuple[Any, Any]]:
    """Opens the page and presses its button: gives the run and Facebook's window."""

    def open_window() -> tuple[Any, Any]:
        run = signup.start()
        tab.goto(run.url)
        return run, window_after(tab, lambda: tab.click(BUTTON))

    return open_window


def window_after(tab: Any, act: Callable[[], None]) -> Any:
    """Facebook's window that opens, once its buttons do something."""
    with tab.expect_popup() as popup:
        act()
    popup.value.wait_for_load_state()
    return popup.value


def shown_end(tab: Any) -> str:
    """The end as the page shows it."""
    tab.wait_for_selector(END, state="visible")
    return str(tab.inner_text("#end"))


def press(window: Any, button: str) -> None:
    """Press a button of a window that closes itself then, which a click would wait for."""
    window.evaluate("(it) => { setTimeout(() => document.querySelector(it).click()); }", button)


def token_of(signup: Any) -> str:
    tokens: list[str] = [value for value in signup.world.tokens if value != DEFAULT_TOKEN]
    return tokens[0]


def test_a_finished_window_connects_the_channel(signup: Any, tab: Any, opened: Any) -> None:
    run, window = opened()
    assert "not Facebook" in window.inner_text("main")
    press(window, "#finish")

    assert "is signed up" in shown_end(tab)
    assert run.end().state is StepState.SETTLED
    assert signup.channel.phone_number_id == PHONE_NUMBER_ID
    assert token_of(signup) not in tab.content()
    assert token_of(signup) not in str(tab.context.cookies())
    assert tab.evaluate("document.activeElement.id") == "end-title"
    assert tab.complaints == []
    assert signup.world.log.violations == []


def test_a_window_that_is_left_says_where_and_what_to_do(tab: Any, opened: Any) -> None:
    run, window = opened()
    window.select_option("#step", "PHONE_NUMBER_VERIFICATION")
    press(window, "#cancel")

    text = shown_end(tab)
    assert "confirming the number in the app" in text
    assert "Run wacoex connect shop again" in text
    outcome = run.end()
    assert outcome.state is StepState.OPEN
    assert outcome.answer == {"cancelled_at": "PHONE_NUMBER_VERIFICATION"}


@pytest.mark.parametrize(
    ("text", "finding_id"),
    [
        ("This number is not eligible.", "WX601"),
        ("It already has an existing payment method.", "WX602"),
        ("Something else <b>broke</b>.", "WX608"),
    ],
)
def test_an_error_of_the_window_is_shown_with_code_and_session_id(
    tab: Any, opened: Any, text: str, finding_id: str
) -> None:
    run, window = opened()
    window.fill("#code", "1234567")
    window.fill("#text", text)
    press(window, "#error")
    shown_end(tab)
    outcome = run.end()

    assert outcome.state is StepState.FAILED
    assert [finding.id for finding in outcome.findings] == [finding_id]
    assert outcome.answer == {
        "error": text,
        "error_code": "1234567",
        "session_id": "sandbox-session-1",
    }


def test_a_window_closed_on_its_last_screen_counts_when_meta_shows_it(
    signup: Any, tab: Any, opened: Any, keyring_entries: dict[tuple[str, str], str]
) -> None:
    keyring_entries["wacoex", "meta-token"] = DEFAULT_TOKEN
    signup.details["phone_number_id"] = PHONE_NUMBER_ID
    run, window = opened()
    tab.wait_for_timeout(1_500)
    press(window, "#last-screen")

    assert "is signed up" in shown_end(tab)
    assert run.end().state is StepState.SETTLED


def test_a_window_that_is_just_closed_leaves_the_step_open(tab: Any, opened: Any) -> None:
    run, window = opened()
    tab.wait_for_timeout(1_500)
    window.close()

    assert "counts as success" in shown_end(tab)
    assert run.end().state is StepState.OPEN


def test_a_code_that_expires_on_the_way_is_reported_as_expired(
    signup: Any, tab: Any, opened: Any
) -> None:
    run, window = opened()
    tab.route("**/*", lambda route: expire(signup, route))
    press(window, "#finish")

    assert "30 seconds" in shown_end(tab)
    assert run.end().state is StepState.FAILED


def expire(signup: Any, route: Any) -> None:
    """The report of the page is on its way for longer than the code lives."""
    if route.request.method == "POST":
        signup.world.travel(31)
    route.continue_()


FORGED = """() => window.postMessage(JSON.stringify({
  type: "WA_EMBEDDED_SIGNUP", event: "FINISH", version: 3, data: {waba_id: "666"},
}), "*")"""


def test_messages_of_another_origin_are_not_believed(signup: Any, tab: Any, opened: Any) -> None:
    run, window = opened()
    tab.evaluate(FORGED)  # of the page's own origin, which is not Facebook's
    tab.wait_for_timeout(100)
    press(window, "#finish")
    shown_end(tab)

    assert run.end().answer["waba_id"] == signup.channel.waba_id != "666"


STRANGERS = [
    "http://www.facebook.com",
    "https://www.facebook.com.evil.example",
    "https://evilfacebook.com",
    "https://www.facebook.com:8443",
    "https://facebook.com.",
    "null",
]


@pytest.mark.parametrize(
    ("origins", "step"),
    [
        (["https://www.facebook.com", *STRANGERS], "https://www.facebook.com"),
        (["https://business.facebook.com", *STRANGERS], "https://business.facebook.com"),
        (STRANGERS, None),
    ],
)
def test_only_facebooks_own_pages_may_report_the_session(
    tab: Any, opened: Any, origins: list[str], step: str | None
) -> None:
    run, window = opened()
    for origin in origins:
        answer = {"type": "WA_EMBEDDED_SIGNUP", "event": "CANCEL", "data": {"current_step": origin}}
        tab.evaluate(
            "([origin, data]) => window.dispatchEvent(new MessageEvent('message', {origin, data}))",
            [origin, answer],
        )
    tab.wait_for_timeout(1_500)
    window.close()
    shown_end(tab)

    assert run.end().answer.get("cancelled_at") == step


def test_a_second_tab_gets_nothing_and_the_first_continues(tab: Any, opened: Any) -> None:
    run, window = opened()
    second = tab.context.new_page()
    answer = second.goto(tab.url)
    assert answer.status == 410
    assert second.query_selector(BUTTON) is None

    press(window, "#finish")
    shown_end(tab)
    assert run.end().state is StepState.SETTLED


def test_another_site_cannot_frame_it_nor_post_to_it(signup: Any, tab: Any, opened: Any) -> None:
    run, window = opened()
    other = tab.context.new_page()
    other.goto(signup.environ["WACOEX_META_BASE_URL"] + "/dialog/window.css")
    target = tab.url.rpartition("/")[0] + tab.get_attribute("body", "data-report-path")
    forge = """(url) => fetch(url, {method: "POST", mode: "no-cors", credentials: "include",
      headers: {"Content-Type": "text/plain"}, body: '{"kind":"finished","code":"AQforged"}'})
      .then(() => "sent", () => "stopped")"""
    assert other.evaluate(forge, target) in {"sent", "stopped"}

    press(window, "#cancel")
    shown_end(tab)
    assert run.end().answer == {"cancelled_at": "BUSINESS_ACCOUNT_SELECTION"}
    assert signup.world.codes.issued == {}


def test_a_window_that_does_not_open_can_be_tried_again(signup: Any, tab: Any) -> None:
    run = signup.start()
    tab.goto(run.url)
    tab.wait_for_selector(f"{BUTTON}:enabled")
    tab.evaluate("() => { window.realOpen = window.open; window.open = () => null; }")
    tab.click(BUTTON)
    tab.wait_for_selector("#status.problem")
    assert "Allow pop-up windows" in tab.inner_text("#status")

    tab.evaluate("() => { window.open = window.realOpen; }")
    press(window_after(tab, lambda: tab.click(BUTTON)), "#finish")
    shown_end(tab)
    assert run.end().state is StepState.SETTLED


def test_a_script_that_does_not_load_can_be_loaded_again(signup: Any, tab: Any) -> None:
    run = signup.start()
    tab.route("**/sdk.js", lambda route: route.abort())
    tab.goto(run.url)
    tab.wait_for_selector("#status.problem")
    assert "did not load" in tab.inner_text("#status")

    tab.unroute("**/sdk.js")
    tab.click(BUTTON)
    tab.wait_for_selector("text=Continue with Facebook")
    tab.wait_for_selector(f"{BUTTON}:enabled")
    press(window_after(tab, lambda: tab.click(BUTTON)), "#cancel")
    shown_end(tab)
    run.end()


def test_the_keyboard_alone_is_enough(signup: Any, tab: Any) -> None:
    run = signup.start()
    tab.goto(run.url)
    tab.wait_for_selector(f"{BUTTON}:enabled")
    tab.keyboard.press("Tab")
    assert tab.evaluate("document.activeElement.id") == "begin"
    assert tab.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    window = window_after(tab, lambda: tab.keyboard.press("Enter"))
    window.focus("#finish")
    # The window closes at the press: no key comes up in it.
    window.keyboard.down("Enter")

    assert "is signed up" in shown_end(tab)
    assert run.end().state is StepState.SETTLED


def test_it_can_be_read_at_any_width_by_day_and_by_night(signup: Any, tab: Any) -> None:
    run = signup.start()
    tab.goto(run.url)
    tab.wait_for_selector(f"{BUTTON}:enabled")
    tab.evaluate("document.querySelector('#help').open = true")
    for scheme, width in itertools.product(("light", "dark"), (320, 360, 1280)):
        tab.emulate_media(color_scheme=scheme)
        tab.set_viewport_size({"width": width, "height": 740})
        assert tab.evaluate("document.documentElement.scrollWidth") <= width
        assert tab.locator(BUTTON).bounding_box()["height"] >= 44
        for part in (BUTTON, "#data p", "h1"):
            assert contrast(tab, part) >= 4.5

    assert tab.evaluate("document.documentElement.lang") == "en"
    assert tab.get_attribute("#status", "aria-live") == "polite"
    assert "The token never comes to this page" in tab.inner_text("#data")
    press(window_after(tab, lambda: tab.click(BUTTON)), "#cancel")
    shown_end(tab)
    run.end()


def contrast(tab: Any, selector: str) -> float:
    """The contrast of a text with its background (WCAG 2)."""
    colors = tab.evaluate(
        """(selector) => {
          const element = document.querySelector(selector);
          const own = getComputedStyle(element).backgroundColor;
          const behind = own === "rgba(0, 0, 0, 0)"
            ? getComputedStyle(document.body).backgroundColor : own;
          return [getComputedStyle(element).color, behind]
            .map((one) => one.match(/[0-9.]+/g).slice(0, 3).map(Number));
        }""",
        selector,
    )
    lighter, darker = sorted((luminance(color) for color in colors), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def luminance(color: list[float]) -> float:
    parts = [entry / 255 for entry in color]
    linear = [
        part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

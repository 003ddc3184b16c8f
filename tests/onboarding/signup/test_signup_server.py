"""The HTTP side of the signup page: what it may report, who may ask it, what comes of it."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import httpx
import pytest

from wacoex_cli.errors import CredentialError, UsageError, WacoexError
from wacoex_cli.findings.model import Severity
from wacoex_cli.onboarding import checks
from wacoex_cli.onboarding.model import (
    JourneyOptions,
    SignupEnd,
    SignupSetup,
    StepState,
    WindowCancelled,
    WindowClosed,
    WindowFailed,
    WindowFinished,
)
from wacoex_cli.onboarding.signup_page import SignupPage, report_in
from wacoex_cli.sandbox.world import (
    APP_ID,
    APP_SECRET,
    DEFAULT_TOKEN,
    PHONE,
    PHONE_NUMBER_ID,
    SECOND_PHONE,
    SECOND_PHONE_NUMBER_ID,
    WABA_ID,
)

FINISHED = "FINISH_WHATSAPP_BUSINESS_APP_ONBOARDING"


def finding_ids(outcome: Any) -> list[str]:
    return [finding.id for finding in outcome.findings]


def token_of(signup: Any) -> str:
    made = [value for value in signup.world.tokens if value != DEFAULT_TOKEN]
    assert len(made) == 1
    return str(made[0])


def test_a_finished_window_becomes_a_token_the_ids_and_a_subscription(
    signup: Any, browse: Any, finish: Any, keyring_entries: dict[tuple[str, str], str]
) -> None:
    run = signup.start()
    page = browse(run.url)
    signup.world.subscribed_apps[WABA_ID].clear()

    answer = page.report(kind="finished", event=FINISHED, **finish())
    outcome = run.end()

    assert answer.json()["ok"] is True
    assert outcome.state is StepState.SETTLED
    assert outcome.said_by == "meta"
    assert outcome.answer["phone_number_id"] == PHONE_NUMBER_ID
    assert outcome.answer["waba_id"] == WABA_ID
    assert str(outcome.answer["token_expires_at"]) > "2026"
    assert (signup.channel.phone_number_id, signup.channel.waba_id) == (PHONE_NUMBER_ID, WABA_ID)
    assert keyring_entries["wacoex", "shop/meta-token"] == token_of(signup)
    apps = signup.world.subscribed_apps[WABA_ID]
    assert [app["whatsapp_business_api_data"]["id"] for app in apps] == [APP_ID]
    assert signup.world.log.violations == []
    assert [code.tries for code in signup.world.codes.issued.values()] == [1]


def test_token_code_and_secret_are_never_written_sent_or_shown(
    signup: Any, browse: Any, finish: Any
) -> None:
    run = signup.start()
    page = browse(run.url)
    ended = finish()
    answer = page.report(kind="finished", event=FINISHED, **ended)
    outcome = run.end()

    shown = f"{page.answer.text} {page.answer.headers} {answer.text} {outcome} {run.url}"
    for entry in (token_of(signup), ended["code"], APP_SECRET):
        assert entry not in signup.everything_written()
        assert entry not in shown
    assert any("oauth/access_token: 200" in line for line in signup.log)


def test_the_page_is_shown_once(signup: Any, browse: Any) -> None:
    run = signup.start()
    first = browse(run.url)
    again = httpx.get(run.url, trust_env=False)

    assert first.answer.status_code == 200
    assert again.status_code == 410
    assert "begin again" in again.text
    assert "data-state" not in again.text
    assert "set-cookie" not in again.headers
    first.report(kind="cancelled")
    run.end()


def test_the_page_says_what_it_may_load_and_is_kept_nowhere(signup: Any, browse: Any) -> None:
    run = signup.start()
    page = browse(run.url)
    headers = page.answer.headers
    sdk = signup.environ["WACOEX_META_BASE_URL"]

    policy = headers["content-security-policy"]
    assert f"script-src 'self' {sdk};" in policy
    assert "default-src 'none';" in policy
    assert "connect-src 'self';" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert headers["cache-control"] == "no-store"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["x-frame-options"] == "DENY"
    assert "HttpOnly" in headers["set-cookie"]
    assert "samesite=strict" in headers["set-cookie"].lower()
    page.report(kind="cancelled")
    run.end()


def test_a_request_from_elsewhere_gets_nothing_and_breaks_nothing(
    signup: Any, browse: Any, finish: Any
) -> None:
    run = signup.start()
    page = browse(run.url)
    path, port = page.data["report-path"], page.origin.rpartition(":")[2]
    report = {"state": page.data["state"], "kind": "finished", "code": "AQforged"}
    stranger = httpx.Client(base_url=page.origin, trust_env=False)

    forged = [
        page.post(report, Origin="https://evil.example"),
        page.post(report, Origin="null"),
        page.post({**report, "state": "guessed"}),
        page.post({"kind": "finished", "code": "AQforged"}),
        page.post([report]),
        page.post({**report, "kind": "other"}),
        page.post({**report, "code": "x" * 20_000}),
        page.client.post(path, content="state=1", headers={"Origin": page.origin}),
        stranger.post(path, json=report, headers={"Origin": page.origin}),
        stranger.post(path, json=report),
        stranger.get(path),
        stranger.get("/"),
        stranger.get("/page.html"),
        stranger.post(run.url, json=report),
        stranger.get("/page.js", headers={"Host": f"evil.example:{port}"}),
        stranger.get(run.url, headers={"Host": f"evil.example:{port}"}),
    ]
    stranger.close()

    statuses = [answer.status_code for answer in forged]
    assert statuses == [
        403,
        403,
        403,
        403,
        403,
        422,
        413,
        415,
        403,
        403,
        405,
        404,
        404,
        405,
        421,
        421,
    ]
    assert all(page.data["state"] not in answer.text for answer in forged)
    assert signup.world.codes.issued == {}
    assert page.report(kind="finished", event=FINISHED, **finish()).json()["ok"] is True
    assert run.end().state is StepState.SETTLED


def page_alone(take: Any) -> SignupPage:
    sdk_url = "https://connect.facebook.net/en_US/sdk.js"
    return SignupPage(SignupSetup("1", "2", "v26.0", sdk_url, "shop", PHONE, "x"), take)


def test_the_page_is_heard_once_even_by_two_reports_at_the_same_time() -> None:
    heard: list[object] = []

    async def take(report: object) -> SignupEnd:
        heard.append(report)
        await asyncio.sleep(0.05)
        return SignupEnd(ok=True, title="done", lines=())

    async def report_twice() -> list[int]:
        page = page_alone(take)
        transport = httpx.ASGITransport(page)
        origin = "http://localhost:8123"
        headers = {"Origin": origin}
        async with httpx.AsyncClient(
            transport=transport, base_url=origin, headers=headers
        ) as client:
            shown = (await client.get(page.path)).text
            state, path = (attribute(shown, name) for name in ("state", "report-path"))
            body = {"state": state, "kind": "closed"}
            both = await asyncio.gather(*(client.post(path, json=body) for _ in range(2)))
            return [entry.status_code for entry in both]

    assert sorted(asyncio.run(report_twice())) == [200, 410]
    assert heard == [WindowClosed()]


def attribute(shown: str, name: str) -> str:
    return shown.split(f'data-{name}="')[1].split('"')[0]


def test_only_this_machine_can_reach_it() -> None:
    async def nobody(report: object) -> SignupEnd:
        raise AssertionError

    async def ask() -> int:
        page = page_alone(nobody)
        transport = httpx.ASGITransport(page, client=("192.0.2.7", 4711))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return (await client.get(page.path)).status_code

    assert asyncio.run(ask()) == 403


def test_with_metas_own_script_only_facebook_may_report_the_session() -> None:
    setup = SignupSetup(
        "1", "2", "v26.0", "https://connect.facebook.net/en_US/sdk.js", "a", PHONE, "x"
    )

    assert setup.sdk_origin == "https://connect.facebook.net"
    assert setup.extra_origin == ""


@pytest.mark.parametrize("seconds", [31, 3600])
def test_a_code_that_comes_too_late_is_refused_and_the_step_can_be_done_again(
    signup: Any, browse: Any, finish: Any, seconds: float
) -> None:
    run = signup.start()
    page = browse(run.url)
    ended = finish()
    signup.world.travel(seconds)

    answer = page.report(kind="finished", event=FINISHED, **ended)
    outcome = run.end()

    assert answer.json()["ok"] is False
    assert "30 seconds" in answer.text
    assert outcome.state is StepState.FAILED
    assert finding_ids(outcome) == ["WX608"]
    assert "has expired" in outcome.findings[0].evidence[0].text

    run = signup.start()
    assert browse(run.url).report(kind="finished", event=FINISHED, **finish()).json()["ok"]
    assert run.end().state is StepState.SETTLED


def test_a_window_without_an_account_is_matched_by_the_accounts_of_the_token(
    signup: Any, browse: Any, finish: Any
) -> None:
    run = signup.start()

    browse(run.url).report(kind="finished", code=finish()["code"])

    assert run.end().answer["waba_id"] == WABA_ID


def test_another_number_than_that_of_the_channel_is_never_written_down(
    signup: Any, browse: Any, finish: Any
) -> None:
    signup.details = {"phone": "+6560000077"}
    run = signup.start()
    browse(run.url).report(kind="finished", event=FINISHED, **finish(SECOND_PHONE))
    outcome = run.end()

    assert outcome.state is StepState.FAILED
    assert finding_ids(outcome) == ["WX609"]
    listed = outcome.findings[0].evidence[0].text
    assert PHONE_NUMBER_ID in listed
    assert SECOND_PHONE_NUMBER_ID in listed
    assert signup.channel.phone_number_id is None

    signup.edit(phone=SECOND_PHONE)
    again = signup.start().end()

    assert again.state is StepState.SETTLED
    assert again.answer["phone_number_id"] == SECOND_PHONE_NUMBER_ID
    assert len(signup.world.codes.issued) == 1


def test_of_several_numbers_the_one_of_the_channel_is_taken(
    signup: Any, browse: Any, finish: Any
) -> None:
    signup.world.nodes[SECOND_PHONE_NUMBER_ID].values["is_on_biz_app"] = True
    run = signup.start()
    browse(run.url).report(kind="finished", event=FINISHED, **finish())

    assert run.end().answer["phone_number_id"] == PHONE_NUMBER_ID


def test_several_numbers_that_show_no_number_are_listed_and_none_is_guessed(
    signup: Any, browse: Any, finish: Any
) -> None:
    run = signup.start()
    page = browse(run.url)
    ended = finish()
    for node_id in (PHONE_NUMBER_ID, SECOND_PHONE_NUMBER_ID):
        signup.world.nodes[node_id].values.update(display_phone_number="", is_on_biz_app=True)
    page.report(kind="finished", event=FINISHED, **ended)

    assert finding_ids(run.end()) == ["WX609"]


def test_an_account_that_the_token_may_not_see_is_a_lack_of_permission(
    signup: Any, browse: Any, finish: Any
) -> None:
    run = signup.start()
    browse(run.url).report(kind="finished", code=finish()["code"], waba_id="104000000000009")
    outcome = run.end()

    assert outcome.state is StepState.FAILED
    assert finding_ids(outcome) == ["WX701"]


def test_a_wrong_app_secret_is_reported_as_such(signup: Any, browse: Any, finish: Any) -> None:
    signup.environ["WACOEX_META_APP_SECRET"] = "another-secret-0123456789"
    run = signup.start()
    answer = browse(run.url).report(kind="finished", event=FINISHED, **finish())

    assert answer.json()["ok"] is False
    with pytest.raises(CredentialError) as caught:
        run.end()
    assert caught.value.code == "app_secret_wrong"


def test_a_closed_window_is_a_success_when_meta_shows_a_new_connection(
    signup: Any, browse: Any, finish: Any, keyring_entries: dict[tuple[str, str], str]
) -> None:
    keyring_entries["wacoex", "meta-token"] = DEFAULT_TOKEN
    signup.details |= {"phone_number_id": PHONE_NUMBER_ID, "waba_id": WABA_ID}
    run = signup.start()
    page = browse(run.url)
    finish()
    page.report(kind="closed")

    assert run.end().state is StepState.SETTLED


@pytest.mark.parametrize("has_token", [True, False])
def test_any_other_closed_window_leaves_the_step_open_and_says_where_to_look(
    signup: Any, browse: Any, keyring_entries: dict[tuple[str, str], str], has_token: bool
) -> None:
    if has_token:
        keyring_entries["wacoex", "meta-token"] = DEFAULT_TOKEN
    signup.details |= {"phone_number_id": PHONE_NUMBER_ID, "waba_id": WABA_ID}
    run = signup.start()
    answer = browse(run.url).report(kind="closed")
    outcome = run.end()

    assert outcome.state is StepState.OPEN
    assert finding_ids(outcome) == ["WX608"]
    assert "counts as success" in answer.text


def test_after_ten_minutes_the_step_stays_open_and_the_page_is_gone(
    signup: Any, clock: Any
) -> None:
    signup.clock = clock
    run = signup.start()
    outcome = run.end()

    assert outcome.state is StepState.OPEN
    assert "10 minutes" in str(outcome.note)
    with pytest.raises(httpx.ConnectError):
        httpx.get(run.url, trust_env=False)


@pytest.mark.parametrize(
    ("name", "kind", "said"),
    [
        ("WACOEX_META_APP_ID", UsageError, "WACOEX_META_APP_ID"),
        ("WACOEX_META_CONFIG_ID", UsageError, "WACOEX_META_CONFIG_ID"),
        ("WACOEX_META_APP_SECRET", CredentialError, "WACOEX_META_APP_SECRET"),
    ],
)
def test_without_a_meta_app_nothing_is_opened(
    signup: Any, name: str, kind: type[WacoexError], said: str
) -> None:
    del signup.environ[name]
    run = signup.start()

    with pytest.raises(kind) as caught:
        run.end()
    assert said in str(caught.value.hint)
    with pytest.raises(kind):
        _ = run.url


def test_without_a_place_for_the_token_nothing_is_opened(signup: Any) -> None:
    signup.environ["WACOEX_KEYRING"] = "off"

    with pytest.raises(CredentialError) as caught:
        signup.start().end()
    assert caught.value.code == "keyring_unusable"


def test_a_token_that_would_go_before_the_new_one_is_refused_first(signup: Any) -> None:
    signup.environ["WACOEX_META_TOKEN"] = DEFAULT_TOKEN

    with pytest.raises(CredentialError) as caught:
        signup.start().end()
    assert caught.value.code == "credentials_overridden"


def test_the_token_goes_into_a_file_where_secrets_are_in_files(
    signup: Any, browse: Any, finish: Any, keyring_entries: dict[tuple[str, str], str]
) -> None:
    signup.environ["WACOEX_KEYRING"] = "off"
    with signup.workspace() as workspace:
        workspace.secrets.stored.put_in_file("meta-app-secret", None, APP_SECRET)
    del signup.environ["WACOEX_META_APP_SECRET"]
    run = signup.start()
    page = browse(run.url)
    assert "a file that only you may read" in page.answer.text

    page.report(kind="finished", event=FINISHED, **finish())
    path = str(run.end().answer["token_kept_in"])

    assert path.endswith("shop.meta-token")
    with signup.workspace() as workspace:
        assert workspace.secrets.find("meta-token", "shop").reveal() == token_of(signup)
    assert keyring_entries == {}


def test_the_port_is_the_one_that_was_asked_for(signup: Any, browse: Any) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    signup.options = JourneyOptions(port=port)
    run = signup.start()
    page = browse(run.url)

    assert page.origin == f"http://localhost:{port}"
    page.report(kind="cancelled")
    run.end()


def test_without_a_browser_the_address_is_shown(
    signup: Any, browse: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "WSL_DISTRO_NAME"):
        monkeypatch.delenv(name, raising=False)
    run = signup.start()
    while not (lines := [entry for entry in signup.onlooker.shown if "http://localhost:" in entry]):
        pass
    page = browse(lines[0].split()[-1])

    assert page.answer.status_code == 200
    page.report(kind="cancelled", current_step="PHONE_NUMBER_SETUP")
    assert run.end().answer == {"cancelled_at": "PHONE_NUMBER_SETUP"}


AT = "2026-11-07T12:00:00.000Z"
STEPS = (
    "BUSINESS_ACCOUNT_SELECTION",
    "WABA_PHONE_PROFILE_PICKER",
    "WHATSAPP_BUSINESS_PROFILE_SETUP",
    "PHONE_NUMBER_SETUP",
    "PHONE_NUMBER_VERIFICATION",
)


@pytest.mark.parametrize(
    ("values", "report"),
    [
        ({"kind": "finished", "code": "AQ1", "waba_id": "104"}, WindowFinished("AQ1", "104")),
        ({"kind": "finished", "code": "AQ1", "waba_id": 104}, WindowFinished("AQ1", "104")),
        ({"kind": "finished", "code": "AQ1", "waba_id": "../me"}, WindowFinished("AQ1")),
        ({"kind": "cancelled", "current_step": "X"}, WindowCancelled("X")),
        ({"kind": "cancelled"}, WindowCancelled()),
        ({"kind": "error", "error_message": "no", "error_code": 1}, WindowFailed("no", "1")),
        ({"kind": "error", "error_message": "a\x1b[2Jb\nc"}, WindowFailed("a [2Jb c")),
        ({"kind": "closed", "waba_id": "104"}, WindowClosed("104")),
    ],
)
def test_a_report_is_read_leniently(values: dict[str, Any], report: object) -> None:
    assert report_in(values) == report


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"kind": "other"},
        {"kind": "finished"},
        {"kind": "finished", "code": ""},
        {"kind": "finished", "code": 7},
        {"kind": "finished", "code": "x" * 5_000},
    ],
)
def test_an_impossible_report_is_ignored(values: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="no "):
        report_in(values)


def test_a_code_is_not_shown_by_its_report() -> None:
    assert "AQsecret" not in repr(WindowFinished("AQsecret"))


@pytest.mark.parametrize("step", STEPS)
def test_each_screen_on_which_somebody_leaves_has_its_own_advice(step: str) -> None:
    found = checks.signup_cancelled(step, "shop", "+6560000001", AT)

    assert found.id == "WX608"
    assert found.severity is Severity.WARNING
    assert step not in found.title
    assert len(found.remedy) == 2
    assert found.remedy[-1] == "run `wacoex connect shop` again"


@pytest.mark.parametrize("step", ["A_NEW_SCREEN", None])
def test_an_unknown_screen_is_named(step: str | None) -> None:
    found = checks.signup_cancelled(step, "shop", "+6560000001", AT)

    assert (step or "does not name") in found.evidence[0].text
    assert found.remedy == ("run `wacoex connect shop` again",)


@pytest.mark.parametrize(
    ("text", "code", "finding_id"),
    [
        ("This number is not eligible", None, "WX601"),
        ("Something went wrong", "3441041", "WX601"),
        ("Something went wrong", "2655093", "WX601"),
        ("The account already has an existing payment method.", "1", "WX602"),
        ("Something went wrong", "1", "WX608"),
    ],
)
def test_an_error_of_the_window_leads_to_the_finding_that_explains_it(
    text: str, code: str | None, finding_id: str
) -> None:
    found = checks.signup_reported(WindowFailed(text, code, "session-7"), "shop", AT)

    assert found.id == finding_id
    assert found.severity is Severity.CRITICAL
    said = found.evidence[0].text
    assert text in said
    assert "session-7" in said
    assert code is None or code in said


def test_a_missing_number_is_reported_with_the_numbers_that_exist() -> None:
    found = checks.wrong_number("shop", "+6560000001", ["+65 6000 0002 (id 106)"], AT)

    assert found.id == "WX609"
    assert "+65 6000 0002 (id 106)" in found.evidence[0].text
    assert "none" in checks.wrong_number("shop", "+6560000001", [], AT).evidence[0].text

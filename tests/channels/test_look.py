"""Asking about a channel: a field that Meta refuses costs only itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import parse_qs

import httpx
import pytest

from wacoex_cli.channels.look import read_phone_number, read_waba, token_facts
from wacoex_cli.channels.model import PHONE_NUMBER_FIELDS, Channel, Fact, values_of
from wacoex_cli.channels.registry import meta_for
from wacoex_cli.errors import CredentialError, TemporaryError, UsageError, WacoexError
from wacoex_cli.foundation.clock import SystemClock
from wacoex_cli.foundation.http import Http
from wacoex_cli.foundation.secrets import Secret
from wacoex_cli.platforms.meta import Meta
from wacoex_cli.terminal.options import Invocation

NOW = datetime(2026, 11, 7, 12, 0, tzinfo=UTC)
Answer = Callable[[list[str]], httpx.Response]


def meta_that(answer: Answer) -> Meta:
    def respond(request: httpx.Request) -> httpx.Response:
        fields = parse_qs(request.url.query.decode()).get("fields", [""])[0]
        return answer(fields.split(","))

    http = Http(SystemClock(), log=lambda text: None, transport=httpx.MockTransport(respond))
    return Meta(http, Secret("token-0123456789", "test"), "https://meta.example", "v26.0")


def refusal(code: int, message: str = "no") -> httpx.Response:
    return httpx.Response(400, json={"error": {"code": code, "message": message}})


def node(fields: list[str]) -> httpx.Response:
    return httpx.Response(200, json={"id": "1", **{name: f"a {name}" for name in fields}})


def unavailable(facts: list[Fact]) -> set[str]:
    return {fact.name for fact in facts if not fact.is_available}


def read_token(meta: Meta) -> list[Fact]:
    try:
        found = token_facts(asyncio.run(meta.debug_token()), NOW)
    except WacoexError as error:
        found = token_facts(error, NOW)
    assert isinstance(found, list)
    return found


def test_a_field_that_meta_names_as_unknown_is_left_out_and_the_rest_read() -> None:
    def answer(fields: list[str]) -> httpx.Response:
        gone = [name for name in ("username", "account_mode") if name in fields]
        message = f"(#100) Tried accessing nonexisting field ({gone[0]})" if gone else ""
        return refusal(100, message) if gone else node(fields)

    meta = meta_that(answer)
    facts = asyncio.run(read_phone_number(meta.phone_number, "1", NOW))

    assert unavailable(facts) == {"username", "account_mode"}
    assert values_of(facts)["status"] == "a status"
    assert meta.calls == 3


def test_a_field_that_needs_another_right_is_found_by_halving() -> None:
    def answer(fields: list[str]) -> httpx.Response:
        return refusal(10) if "webhook_configuration" in fields else node(fields)

    meta = meta_that(answer)
    facts = asyncio.run(read_phone_number(meta.phone_number, "1", NOW))

    assert unavailable(facts) == {"webhook_configuration"}
    assert len(values_of(facts)) == len(PHONE_NUMBER_FIELDS) - 1
    assert meta.calls <= 16


def test_the_search_for_refused_fields_has_an_end() -> None:
    meta = meta_that(lambda fields: node(fields) if fields == ["id"] else refusal(100))

    facts = asyncio.run(read_phone_number(meta.phone_number, "1", NOW))

    assert unavailable(facts) == set(PHONE_NUMBER_FIELDS)
    assert meta.calls <= 17


@pytest.mark.parametrize("code", [10, 200, 190])
def test_a_number_that_is_refused_as_a_whole_is_not_a_missing_field(code: int) -> None:
    meta = meta_that(lambda fields: refusal(code))

    with pytest.raises(CredentialError):
        asyncio.run(read_phone_number(meta.phone_number, "1", NOW))

    assert meta.calls <= 2


def test_an_account_that_is_refused_is_not_available() -> None:
    facts = asyncio.run(read_waba(meta_that(lambda fields: refusal(200)), "9", NOW))

    assert all(not fact.is_available for fact in facts)


def test_an_answer_without_an_id_is_unusable() -> None:
    with pytest.raises(TemporaryError, match="it holds no id"):
        asyncio.run(
            read_phone_number(
                meta_that(lambda fields: httpx.Response(200, json={})).phone_number, "1", NOW
            )
        )


@pytest.mark.parametrize(
    ("expires_at", "reported"),
    [(0, "never"), (1_800_000_000, "2027-01-15T08:00:00.000Z"), (10**30, str(10**30)), ("x", "x")],
)
def test_the_expiry_of_a_token_is_shown_as_a_time(expires_at: object, reported: str) -> None:
    body = {"data": {"is_valid": True, "expires_at": expires_at}}
    facts = read_token(meta_that(lambda _: httpx.Response(200, json=body)))

    assert values_of(facts)["token.expires_at"] == reported


def test_a_token_that_may_not_ask_about_itself_is_not_available() -> None:
    facts = read_token(meta_that(lambda fields: refusal(100)))

    assert all(not fact.is_available for fact in facts)


SHOP = Channel(phone="+6560000001", name="shop-2", channel_id=1)


def test_a_channel_without_a_token_cannot_reach_meta() -> None:
    with (
        Invocation().open_workspace() as workspace,
        pytest.raises(CredentialError, match="there is no meta-token for channel `shop-2`"),
    ):
        meta_for(workspace, SHOP)


def test_a_channel_with_its_own_server_is_marked(
    monkeypatch: pytest.MonkeyPatch, isolated_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = isolated_home / ".config/wacoex/config.toml"
    config.parent.mkdir(parents=True)
    config.write_text('[channels.shop-2]\nmeta_base_url = "http://localhost:4555/"\n')
    monkeypatch.setenv("WACOEX_META_TOKEN_SHOP_2", "token-0123456789")
    invocation = Invocation()

    with invocation.open_workspace() as workspace:
        assert capsys.readouterr().err == ""
        meta_for(workspace, SHOP)
        meta_for(workspace, SHOP)

    assert capsys.readouterr().err == ("sandbox: talking to http://localhost:4555, not to Meta\n")
    assert invocation.learnt.sandbox_url == "http://localhost:4555"


def test_an_id_that_is_not_known_is_asked_for() -> None:
    with pytest.raises(UsageError, match="channel `shop-2` has no waba_id") as raised:
        SHOP.demand_waba_id()

    assert raised.value.hint == "run `wacoex channel edit shop-2 --waba-id ID`"

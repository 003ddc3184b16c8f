"""Who delivered it: signatures over the raw bytes, under any of the keys."""

from __future__ import annotations

import base64
import hashlib
import hmac

import pytest

from wacoex_cli.events.deliveries import is_same, is_signed
from wacoex_cli.platforms.events import Source

BODY = b'{"object": "whatsapp_business_account",  "entry": []}'
KEYS = ("first-key", "second-key")


def meta(key: str, body: bytes = BODY) -> str:
    return f"sha256={hmac.new(key.encode(), body, hashlib.sha256).hexdigest()}"


def respondio(key: str, body: bytes = BODY) -> str:
    return base64.b64encode(hmac.new(key.encode(), body, hashlib.sha256).digest()).decode()


def test_the_published_example_of_an_hmac_fits() -> None:
    # RFC 4231, test case 2.
    body = b"what do ya want for nothing?"
    digest = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"

    assert is_signed(Source.META, body, f"sha256={digest}", ["Jefe"])
    assert is_signed(
        Source.RESPONDIO, body, base64.b64encode(bytes.fromhex(digest)).decode(), ["Jefe"]
    )


@pytest.mark.parametrize("key", KEYS)
def test_any_of_the_keys_may_have_signed(key: str) -> None:
    assert is_signed(Source.META, BODY, meta(key), KEYS)
    assert is_signed(Source.RESPONDIO, BODY, respondio(key), KEYS)


@pytest.mark.parametrize("source", Source)
@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "sha256=",
        "sha256=zz",
        "sha256=00",
        "sha1=" + "0" * 40,
        "=",
        "nonsense",
        "Ä",
        meta("another-key"),
        respondio("another-key"),
        meta(KEYS[0], BODY + b" "),
        respondio(KEYS[0], BODY.replace(b"  ", b" ")),
        meta(KEYS[0])[:-2],
        respondio(KEYS[0])[:-4],
    ],
)
def test_nothing_else_fits(source: Source, header: str | None) -> None:
    assert not is_signed(source, BODY, header, KEYS)


def test_a_signature_of_one_sender_is_none_of_the_other() -> None:
    assert not is_signed(Source.RESPONDIO, BODY, meta(KEYS[0]), KEYS)
    assert not is_signed(Source.META, BODY, respondio(KEYS[0]), KEYS)


@pytest.mark.parametrize("source", Source)
def test_without_a_key_nothing_fits(source: Source) -> None:
    assert not is_signed(source, BODY, meta(""), ())


def test_verify_tokens_are_compared_whole() -> None:
    assert is_same("token-two", ("token-one", "token-two"))
    assert not is_same("token", ("token-one", "token-two"))
    assert not is_same("", ())
    assert not is_same("tökén", ("token-one",))

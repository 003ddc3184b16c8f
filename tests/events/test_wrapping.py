"""What a proxy or another program has put around a delivery is taken off, and nothing else."""

from __future__ import annotations

import base64
import gzip
import json
from typing import Any

import pytest

from wacoex_cli.events.wrapping import BrokenGzip, TooLarge, unpacked, unwrapped

META = {"object": "whatsapp_business_account", "entry": [{"id": "1", "changes": []}]}
RESPONDIO = {"event_type": "message.received", "contact": {"id": 1}}
TEXT = json.dumps(META)
HEADERS = {"x-hub-signature-256": "sha256=0", "content-type": "application/json"}


@pytest.mark.parametrize(
    ("wrapped", "payloads"),
    [
        (META, [META]),
        ([META, RESPONDIO], [META, RESPONDIO]),
        ([{"headers": HEADERS, "params": {}, "query": {}, "body": META}], [META]),
        ([{"json": {"headers": HEADERS, "body": META}, "pairedItem": {"item": 0}}], [META]),
        ({"body": META}, [META]),
        ({"body": TEXT}, [META]),
        ({"body": f" {TEXT}\n"}, [META]),
        ({"body": [META, META]}, [META, META]),
        ({"headers__Content-Type": "application/json", "raw_body": TEXT}, [META]),
        ({"body": base64.b64encode(TEXT.encode()).decode(), "isBase64Encoded": True}, [META]),
        ({"event": {"method": "POST", "headers": HEADERS, "body": META}}, [META]),
        ({"body": RESPONDIO}, [RESPONDIO]),
    ],
)
def test_payloads_are_found_in_what_is_around_them(wrapped: Any, payloads: list[Any]) -> None:
    assert list(unwrapped(wrapped)) == payloads


@pytest.mark.parametrize(
    "value", [7, "text", None, {}, {"body": "no JSON"}, {"body": 7}, {"other": META}]
)
def test_an_object_that_is_not_a_wrapper_stays_as_it_is(value: Any) -> None:
    assert list(unwrapped(value)) == [value]


def test_wrappers_in_wrappers_come_to_an_end() -> None:
    value: Any = META
    for _ in range(1000):
        value = {"body": value}

    assert META not in list(unwrapped(value))


def test_packed_bytes_in_one_piece_or_several_are_unpacked() -> None:
    packed = gzip.compress(b"one ") + gzip.compress(b"two")

    assert unpacked(packed, 7) == b"one two"


def test_a_small_bomb_stays_small() -> None:
    with pytest.raises(TooLarge):
        unpacked(gzip.compress(b" " * 50_000_000), 1_000_000)


@pytest.mark.parametrize(
    "raw",
    [gzip.compress(b"x" * 99)[:-9], b"{}", b"\x1f\x8bnonsense"],
    ids=["cut short", "plain", "nonsense"],
)
def test_a_file_that_is_not_gzip_or_ends_too_early_is_refused(raw: bytes) -> None:
    with pytest.raises(BrokenGzip):
        unpacked(raw, 1000)

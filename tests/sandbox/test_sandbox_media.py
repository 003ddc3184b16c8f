"""Uploaded files in the sandbox: types, sizes, numbers, and ids that end."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from tests.support.pictures import picture, video
from wacoex_cli.sandbox.wire import DAY_SECONDS
from wacoex_cli.sandbox.world import PHONE_NUMBER_ID, SECOND_PHONE_NUMBER_ID, WABA_ID, World

Call = Callable[..., httpx.Response]
Upload = Callable[..., httpx.Response]
MENU = picture(colour="red")
HEADER = {"type": "HEADER", "format": "IMAGE"}


@pytest.fixture
def upload(call: Call) -> Upload:
    def run(
        content: bytes = MENU,
        media_type: str = "image/jpeg",
        number: str = PHONE_NUMBER_ID,
        **fields: str,
    ) -> httpx.Response:
        data = {"messaging_product": "whatsapp", "type": media_type, **fields}
        files = {"file": ("file", content, media_type)}
        return call("POST", f"/v26.0/{number}/media", data=data, files=files)

    return run


@pytest.fixture
def send_picture(call: Call, send: Call) -> Callable[[str], httpx.Response]:
    body = {"type": "BODY", "text": "Look"}
    template = {"name": "menu", "category": "MARKETING", "components": [HEADER, body]}
    call("POST", "/_sandbox/template", token=None, json=template)

    def run(media_id: str) -> httpx.Response:
        parameter = {"type": "image", "image": {"id": media_id}}
        header = {"type": "header", "parameters": [parameter]}
        language = {"code": "en_US"}
        return send(template={"name": "menu", "language": language, "components": [header]})

    return run


def _error(answer: httpx.Response) -> tuple[int, int, Any]:
    error = answer.json()["error"]
    return (
        answer.status_code,
        error["code"],
        error.get("error_data", {}).get("details") or error["message"],
    )


def test_an_uploaded_file_has_an_id_and_is_known_by_it(call: Call, upload: Upload) -> None:
    media_id = upload().json()["id"]

    known = call("GET", f"/v26.0/{media_id}", params={"phone_number_id": PHONE_NUMBER_ID}).json()

    assert known["sha256"] == hashlib.sha256(MENU).hexdigest()
    assert (known["mime_type"], known["file_size"]) == ("image/jpeg", len(MENU))


@pytest.mark.parametrize(
    ("content", "media_type", "code", "said"),
    [
        (picture("GIF"), "image/gif", 100, "one of the following types"),
        (MENU, "application/octet-stream", 100, "application/octet-stream"),
        (b"", "image/jpeg", 100, "must not be empty"),
        (MENU + bytes(5 * 1024**2), "image/jpeg", 100, "at most 5242880 bytes"),
        (video() + bytes(16 * 1024**2), "video/mp4", 100, "at most 16777216 bytes"),
        (picture("PNG"), "image/jpeg", 131053, "not of type image/jpeg"),
    ],
)
def test_a_file_that_meta_does_not_take_is_refused(
    upload: Upload, content: bytes, media_type: str, code: int, said: str
) -> None:
    answer = upload(content, media_type)

    assert _error(answer)[:2] == (400, code)
    assert said in _error(answer)[2]


def test_an_upload_says_what_it_is_for(call: Call, upload: Upload) -> None:
    assert _error(upload(messaging_product="telegram"))[1] == 100
    assert _error(call("POST", f"/v26.0/{PHONE_NUMBER_ID}/media", json={}))[1] == 100
    assert _error(upload(number=WABA_ID))[1] == 100


def test_a_message_shows_an_uploaded_picture(
    upload: Upload, send_picture: Callable[[str], httpx.Response]
) -> None:
    assert send_picture(upload().json()["id"]).status_code == 200


def test_an_id_that_is_not_there_is_refused(
    send_picture: Callable[[str], httpx.Response],
) -> None:
    status, code, said = _error(send_picture("1037543291543636"))

    assert (status, code) == (400, 100)
    assert said.endswith("is not a valid whatsapp business account media attachment ID")


def test_an_id_belongs_to_one_number(
    upload: Upload, send_picture: Callable[[str], httpx.Response]
) -> None:
    media_id = upload(number=SECOND_PHONE_NUMBER_ID).json()["id"]

    assert _error(send_picture(media_id))[1] == 100


def test_a_document_is_not_a_picture(
    upload: Upload, send_picture: Callable[[str], httpx.Response]
) -> None:
    media_id = upload(b"%PDF-1.7", "application/pdf").json()["id"]

    assert _error(send_picture(media_id))[1] == 131053


def test_an_id_ends_after_30_days(
    call: Call,
    clock: SimpleNamespace,
    upload: Upload,
    send_picture: Callable[[str], httpx.Response],
) -> None:
    media_id = upload().json()["id"]

    clock.now += 30 * DAY_SECONDS

    assert _error(send_picture(media_id))[1] == 100
    assert _error(call("GET", f"/v26.0/{media_id}"))[1] == 100


def test_a_control_call_ends_an_id_before_its_time(
    call: Call, upload: Upload, send_picture: Callable[[str], httpx.Response]
) -> None:
    media_id = upload().json()["id"]

    ended = call("POST", "/_sandbox/media", token=None, json={"ended": [media_id]})

    assert ended.json() == {"ended": [media_id]}
    assert _error(send_picture(media_id))[1] == 100


def test_a_deleted_file_is_gone(
    call: Call, world: World, upload: Upload, send_picture: Callable[[str], httpx.Response]
) -> None:
    media_id = upload().json()["id"]

    assert call("DELETE", f"/v26.0/{media_id}").json() == {"success": True}
    assert _error(send_picture(media_id))[1] == 100
    assert world.media == {}


def test_the_sandbox_counts_uploads_by_content(call: Call, upload: Upload) -> None:
    upload()
    upload()

    shown = call("GET", "/_sandbox/media", token=None).json()

    assert [row["uploads"] for row in shown["uploads"]] == [2]
    assert len(shown["media"]) == 2

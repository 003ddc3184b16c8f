"""Files: uploaded for messages, shown, ended, and as the examples of templates.

Sources: "Meta: media", "Graph API: resumable upload".
"""

from __future__ import annotations

import base64
import email
import hashlib
import re
from collections.abc import Mapping

from wacoex_cli.sandbox.faults import GraphError, nonexisting_field, unknown_object, wrong_parameter
from wacoex_cli.sandbox.wire import Call
from wacoex_cli.sandbox.world import (
    PHONE_NUMBER,
    SEND_SCOPE,
    ExampleUpload,
    Medium,
    Node,
    Token,
    World,
)

Form = tuple[dict[str, str], tuple[str, bytes, str] | None]
NO_FORM: Form = ({}, None)

# Meta: media, supported media types; the largest file of each in bytes.
_OFFICE = "application/vnd.openxmlformats-officedocument"
_MEGABYTE = 1024**2
_MOST_BYTES: Mapping[str, int] = {
    **dict.fromkeys(("image/jpeg", "image/png"), 5 * _MEGABYTE),
    "image/webp": 500 * 1024,
    **dict.fromkeys(("video/mp4", "video/3gpp"), 16 * _MEGABYTE),
    **dict.fromkeys(
        ("audio/aac", "audio/amr", "audio/mpeg", "audio/mp4", "audio/ogg"), 16 * _MEGABYTE
    ),
    **dict.fromkeys(
        (
            "text/plain",
            "application/pdf",
            "application/msword",
            "application/vnd.ms-excel",
            "application/vnd.ms-powerpoint",
            f"{_OFFICE}.wordprocessingml.document",
            f"{_OFFICE}.spreadsheetml.sheet",
            f"{_OFFICE}.presentationml.presentation",
        ),
        100 * _MEGABYTE,
    ),
}
_BEGINS: Mapping[str, re.Pattern[bytes]] = {
    "image/jpeg": re.compile(rb"\xff\xd8\xff"),
    "image/png": re.compile(rb"\x89PNG\r\n"),
    "video/mp4": re.compile(rb"....ftyp", re.DOTALL),
    "video/3gpp": re.compile(rb"....ftyp", re.DOTALL),
    "application/pdf": re.compile(rb"%PDF-"),
}
# Graph API: resumable upload.
_EXAMPLE_TYPES = ("application/pdf", "image/jpeg", "image/jpg", "image/png", "video/mp4")
# What each parameter of a message takes. A GIF is an MP4 (Meta: template components).
_FAMILIES: Mapping[str, tuple[str, ...]] = {
    "image": ("image/jpeg", "image/png"),
    "video": ("video/",),
    "gif": ("video/mp4",),
    "document": ("application/", "text/plain"),
}


def take_file(world: World, node: Node, form: Form) -> dict[str, object]:
    """Keep a file for the messages of a number (Meta: media, upload media).

    Raises GraphError 100 for a form without `messaging_product`, `type` or `file`, for a type that
    is not supported, and for a file that is empty or larger than its type may be. Our choice, so
    that a mistake shows: 131053 for content of another type than its part says.
    """
    if node.kind is not PHONE_NUMBER:
        raise nonexisting_field("media", node.kind.name)
    texts, file = form
    if texts.get("messaging_product") != "whatsapp":
        raise wrong_parameter("The parameter messaging_product is required.")
    if file is None:
        raise wrong_parameter("The parameter file is required.")
    media_type, content, sha256 = file
    if not texts.get("type"):
        raise wrong_parameter("The parameter type is required.")
    most = _MOST_BYTES.get(media_type)
    if most is None:
        raise wrong_parameter(
            "Param file must be a file with one of the following types: "
            f"{', '.join(_MOST_BYTES)}. Received file of type '{media_type}'."
        )
    if not content:
        raise wrong_parameter("Param file must not be empty.")
    if len(content) > most:
        raise wrong_parameter(f"Param file must be at most {most} bytes. Received {len(content)}.")
    begins = _BEGINS.get(media_type)
    if begins and not begins.match(content[:64]):
        raise GraphError(131053, f"The file is not of type {media_type}.")
    media_id = f"{1_037_000_000_000_000 + world.next_number()}"
    world.media[media_id] = Medium(media_id, node.id, media_type, sha256, len(content), world.now())
    world.uploads[sha256, node.id] += 1
    return {"id": media_id}


def read_form(call: Call) -> Form:
    """The texts of a form, and of its file the type, the content and its hash.

    Only the heads of the parts are parsed as mail: a large file must not stop the whole world.
    """
    kind = email.message_from_string(f"Content-Type: {call.headers.get('content-type', '')}\n\n")
    boundary = kind.get_param("boundary")
    if kind.get_content_type() != "multipart/form-data" or not isinstance(boundary, str):
        raise wrong_parameter("The body must be multipart/form-data.")
    texts, file = dict[str, str](), None
    body, between = call.body, f"\r\n--{boundary}".encode()
    begin = len(between)
    while (head_end := body.find(b"\r\n\r\n", begin)) >= 0:
        end = body.find(between, head_end)
        if end < 0:
            raise wrong_parameter("The form is not complete.")
        part = email.message_from_bytes(body[begin : head_end + 4])
        content, begin = body[head_end + 4 : end], end + len(between) + 2
        name = part.get_param("name", header="content-disposition")
        if part.get_filename() is not None:
            if name == "file":
                file = (part.get_content_type(), content, hashlib.sha256(content).hexdigest())
        else:
            texts[str(name)] = content.decode("utf-8", "replace")
    return texts, file


def show_file(world: World, call: Call, token: Token, media_id: str) -> dict[str, object]:
    """What is known of a file, or its end (Meta: media)."""
    found = world.medium(media_id, call.query.get("phone_number_id"))
    if found is None:
        raise unknown_object(call.method, media_id)
    world.visible_node(token, call, found.phone_number_id, SEND_SCOPE)
    if call.method == "DELETE":
        world.end_medium(media_id)
        return {"success": True}
    return {
        "messaging_product": "whatsapp",
        "url": f"https://lookaside.fbsbx.example/whatsapp_business/attachments/?mid={media_id}",
        "mime_type": found.media_type,
        "sha256": found.sha256,
        "file_size": found.size,
        "id": media_id,
    }


def check_files(world: World, phone_number_id: str, body: object) -> None:
    """Look up the ids of files in a message.

    Raises GraphError 100 for an id that is not there, has ended, or is of another number, and
    131053 for a type that does not belong into such a parameter (Meta: error codes).
    """
    if isinstance(body, list):
        for each in body:
            check_files(world, phone_number_id, each)
    if not isinstance(body, dict):
        return
    for name, value in body.items():
        if name in _FAMILIES and isinstance(value, dict) and "id" in value:
            found = world.medium(str(value["id"]), phone_number_id)
            if found is None:
                raise wrong_parameter(
                    f"Param {name}['id'] is not a valid whatsapp business account media"
                    " attachment ID"
                )
            if not found.media_type.startswith(_FAMILIES[name]):
                raise GraphError(131053, f"Unsupported {name} mime type {found.media_type}")
        check_files(world, phone_number_id, value)


def begin_example(world: World, call: Call, token: Token, app_id: str) -> dict[str, object]:
    """Begin the upload of an example (Graph API: resumable upload).

    Raises GraphError 100 for another app than the token's, and for a type that is not taken.
    """
    if app_id != token.app_id:
        raise unknown_object(call.method, app_id)
    for key in ("file_name", "file_length", "file_type"):
        if not call.query.get(key):
            raise wrong_parameter(f"The parameter {key} is required.")
    media_type, length = call.query["file_type"], call.query["file_length"]
    if media_type not in _EXAMPLE_TYPES:
        raise wrong_parameter(f"Param file_type must be one of {', '.join(_EXAMPLE_TYPES)}")
    if not length.isascii() or not length.isdecimal() or not 1 <= int(length) < 2**31:
        raise wrong_parameter("Param file_length must be the number of bytes")
    session = f"upload:MTphdHRhY2htZW50{world.next_number()}=="
    world.sessions[session] = ExampleUpload(app_id, media_type, int(length))
    return {"id": f"{session}?sig=ARZ{world.next_number()}"}


def take_example(world: World, call: Call, session: str) -> dict[str, object]:
    """Take the file of an upload that has begun, as a whole; gives its handle."""
    token = world.token_of(call, "oauth")
    found = world.sessions.get(session)
    if found is None or found.app_id != token.app_id or not call.query.get("sig"):
        raise unknown_object(call.method, session)
    if call.headers.get("file_offset") != "0":
        raise wrong_parameter("The header file_offset must be 0: nothing was uploaded yet.")
    if len(call.body) != found.size:
        raise wrong_parameter(f"The file must have {found.size} bytes. Received {len(call.body)}.")
    begins = _BEGINS.get(found.media_type)
    if begins and not begins.match(call.body[:64]):
        raise wrong_parameter(f"The file is not of type {found.media_type}.")
    del world.sessions[session]
    handle = f"4::{base64.b64encode(found.media_type.encode()).decode()}:{world.next_number()}"
    world.handles.add(handle)
    return {"h": handle}

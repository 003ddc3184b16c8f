"""Cursor paging as the Graph API does it."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from urllib.parse import urlencode

from wacoex_cli.sandbox.refusals import Refusal

DEFAULT_PAGE = 25
LARGEST_PAGE = 100


class StaleCursor(Exception):
    """The cursor is not one of this list as it is now."""


def page(
    rows: Sequence[object], query: Mapping[str, str], *, url: str, revision: str
) -> dict[str, object]:
    """One page of `rows` with cursors, and `next` when more follow.

    A cursor holds for one `revision` of the list: raises StaleCursor for another's, and
    Refusal 100 for a `limit` that is no number from 1 to 100.
    """
    limit = _limit(query)
    start = _offset(query["after"], revision) if query.get("after") else 0
    end = min(start + limit, len(rows))
    if start >= end:
        return {"data": []}
    after = _cursor(end, revision)
    paging: dict[str, object] = {"cursors": {"before": _cursor(start, revision), "after": after}}
    if end < len(rows):
        paging["next"] = f"{url}?{urlencode({**query, 'limit': str(limit), 'after': after})}"
    return {"data": list(rows[start:end]), "paging": paging}


def _limit(query: Mapping[str, str]) -> int:
    text = query.get("limit", str(DEFAULT_PAGE))
    if not text.isascii() or not text.isdecimal() or not 1 <= int(text) <= LARGEST_PAGE:
        raise Refusal(100, message=f"(#100) Param limit must be from 1 to {LARGEST_PAGE}")
    return int(text)


def _cursor(offset: int, revision: str) -> str:
    return base64.urlsafe_b64encode(json.dumps([revision, offset]).encode()).decode()


def _offset(cursor: str, revision: str) -> int:
    try:
        cursor_revision, offset = json.loads(base64.urlsafe_b64decode(cursor.encode()))
    except ValueError as error:
        raise StaleCursor from error
    if cursor_revision != revision or not isinstance(offset, int):
        raise StaleCursor
    return offset

"""Calling Meta's Graph API with one token: pages, proofs, refusals, and what they are told as."""

from __future__ import annotations

import dataclasses
import email.utils
import hashlib
import hmac
import re
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from wacoex_cli.errors import CredentialError, RefusedError, TemporaryError, WacoexError
from wacoex_cli.foundation.answer import Answer
from wacoex_cli.platforms.error_codes import Outcome, classify
from wacoex_cli.platforms.replies import Refused, refusal_in

if TYPE_CHECKING:
    from datetime import datetime

    from wacoex_cli.foundation.http import Http
    from wacoex_cli.foundation.secrets import Secret

_PAGE = "100"
# Meta's own messages quote a malformed token; tokens begin with EAA.
_TOKEN_LIKE = re.compile(r"\bEAA[0-9A-Za-z_-]{6,}")

Node = dict[str, Any]


class Graph:
    """The calls that `Meta` is made of. The token travels in one header only.

    Those that read raise CredentialError when the token or its rights are at fault,
    TemporaryError for throttling, an unreachable server or an unusable answer, and RefusedError
    for anything else that Meta refuses.
    """

    def __init__(
        self,
        http: Http,
        token: Secret,
        base_url: str,
        api_version: str,
        app_secret: Secret | None = None,
        *,
        patience_seconds: float | None = None,
    ) -> None:
        """`patience_seconds` shortens how long a failed read is tried again."""
        self.clock_skew_seconds: float | None = None
        """How far Meta's clock is ahead of ours, from the newest answer; None without one."""
        self.calls = 0
        """How many reads were asked for."""
        self._patience = {} if patience_seconds is None else {"patience_seconds": patience_seconds}
        self._http = http
        self._token = token
        self._root = f"{base_url}/{api_version}"
        self._app_secret = app_secret
        self.caller = hashlib.sha256(f"{self._root} {token.reveal()}".encode()).hexdigest()
        """The same for all that ask the same server with the same token."""

    @property
    def signs(self) -> bool:
        """Whether its calls carry a proof made with the app secret."""
        return self._app_secret is not None

    async def post_once(self, path: str, body: Mapping[str, object]) -> Answer:
        """Post to a path below the Graph version in one single try.

        Raises NotSentError and UnansweredError, nothing for what Meta answers.
        """
        return await self._http.send(
            f"{self._root}/{path}", headers=self._headers(), params=self._proof(), json=body
        )

    def refusal(self, answer: Answer) -> Refused | None:
        """The refusal that an answer holds, without the token; None when it holds none."""
        refused = refusal_in(answer, self._http.clock.now())
        return self._redacted(refused) if refused is not None else None

    async def _node(self, node_id: str, fields: Sequence[str]) -> Node:
        node = await self._get(node_id, {"fields": ",".join(fields)})
        if "id" not in node:
            raise unusable("it holds no id")
        return node

    async def _pages(self, path: str, params: Mapping[str, str]) -> list[Node]:
        return [node async for page in self._each_page(path, params) for node in page]

    async def _each_page(
        self, path: str, params: Mapping[str, str]
    ) -> AsyncGenerator[list[Node], None]:
        cursor: str | None = None
        seen: set[str] = set()
        while True:
            after = {"after": cursor} if cursor else {}
            body = await self._get(path, {**params, "limit": _PAGE, **after})
            data = body.get("data")
            if not isinstance(data, list):
                raise unusable("it holds no list")
            yield [node for node in data if isinstance(node, dict)]
            cursor = _next_cursor(body)
            if cursor is None or cursor in seen:
                return
            seen.add(cursor)

    async def _get(self, path: str, params: Mapping[str, str]) -> Node:
        self.calls += 1
        answer = await self._http.read(
            "GET",
            f"{self._root}/{path}",
            headers=self._headers(),
            params={**params, **self._proof()},
            is_final=self._is_final,
            **self._patience,
        )
        self.clock_skew_seconds = _clock_skew_seconds(answer, self._http.clock.now())
        return self._checked(answer)

    def _checked(self, answer: Answer) -> Node:
        refused = self.refusal(answer)
        if refused is not None:
            raise error_of(refused)
        if answer.status != 200 or not isinstance(answer.json, dict):
            raise unusable(f"HTTP {answer.status}, {answer.size} bytes")
        return answer.json

    def _is_final(self, answer: Answer) -> bool:
        """Meta answers some refusals with a 5xx; trying those again only costs time."""
        refused = refusal_in(answer, self._http.clock.now())
        if refused is None:
            return False
        return classify(refused.code, refused.subcode).outcome in {Outcome.STOP, Outcome.ROW}

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._token.reveal()}"}

    def _proof(self) -> dict[str, str]:
        """Source: "Meta: secure requests"."""
        if self._app_secret is None:
            return {}
        key, token = self._app_secret.reveal().encode(), self._token.reveal().encode()
        return {"appsecret_proof": hmac.new(key, token, hashlib.sha256).hexdigest()}

    def _redacted(self, refused: Refused) -> Refused:
        def clean(text: str) -> str:
            return _TOKEN_LIKE.sub("****", text.replace(self._token.reveal(), "****"))

        return dataclasses.replace(
            refused,
            message=clean(refused.message),
            details=clean(refused.details),
            fbtrace_id=clean(refused.fbtrace_id or "") or None,
        )


def _clock_skew_seconds(answer: Answer, now: datetime) -> float | None:
    try:
        moment = email.utils.parsedate_to_datetime(answer.headers.get("date", ""))
    except ValueError:
        return None
    return (moment - now).total_seconds() if moment.tzinfo else None


def _next_cursor(body: Node) -> str | None:
    paging = body.get("paging")
    if not isinstance(paging, dict) or not paging.get("next"):
        return None
    cursors = paging.get("cursors")
    after = cursors.get("after") if isinstance(cursors, dict) else None
    return after if isinstance(after, str) else None


def unusable(why: str) -> TemporaryError:
    """The failure for an answer that is neither what was asked for nor a refusal."""
    return TemporaryError(
        f"Meta gave an unusable answer: {why}",
        hint="try again in a minute; see whether a proxy answers in Meta's place",
        code="unusable_answer",
    )


def error_of(refused: Refused) -> WacoexError:
    """The failure that a refusal of Meta is told as."""
    known = classify(refused.code, refused.subcode)
    facts = {
        "code": refused.code,
        "subcode": refused.subcode,
        "fbtrace_id": refused.fbtrace_id,
        "message": refused.message or None,
        "details": refused.details or None,
    }
    kind: type[WacoexError] = RefusedError
    if known.is_credential:
        kind = CredentialError
    elif known.outcome in {Outcome.RETRY, Outcome.AMBIGUOUS} or refused.http_status >= 500:
        kind = TemporaryError
    return kind(
        f"Meta refused: {known.meaning} (code {refused.code})",
        hint=known.hint,
        code=f"meta_{refused.code}",
        details={name: value for name, value in facts.items() if value is not None},
    )

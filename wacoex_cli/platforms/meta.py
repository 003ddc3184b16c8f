"""Meta's Graph API, as far as wacoex uses it."""

from __future__ import annotations

import dataclasses
import email.utils
import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from wacoex_cli.errors import CredentialError, RefusedError, TemporaryError, WacoexError
from wacoex_cli.foundation.answer import Answer, NotSentError, UnansweredError
from wacoex_cli.platforms.error_codes import Outcome, classify
from wacoex_cli.platforms.replies import (
    NotSent,
    Refused,
    Reply,
    Taken,
    Unclear,
    refusal_in,
    reply_in,
)

if TYPE_CHECKING:
    from datetime import datetime

    from wacoex_cli.foundation.http import Http
    from wacoex_cli.foundation.secrets import Secret

__all__ = ["Meta", "NotSent", "Refused", "Reply", "Taken", "Unclear"]

_PAGE = "100"
_TEMPLATE_FIELDS = "id,name,language,status,category,components,parameter_format"
_HISTORY_FIELDS = "id,message_id,events{delivery_status,timestamp,error_description}"
_STALE_CURSOR = 131059
# Meta's own messages quote a malformed token; tokens begin with EAA.
_TOKEN_LIKE = re.compile(r"\bEAA[0-9A-Za-z_-]{6,}")

Node = dict[str, Any]


class Meta:
    """The Graph API with one token.

    Every method but `send_message` raises CredentialError when the token or its rights are at
    fault, TemporaryError for throttling, an unreachable server or an unusable answer, and
    RefusedError for anything else that Meta refuses. The token travels in one header only.
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

    async def phone_number(self, phone_number_id: str, fields: Sequence[str]) -> Node:
        """Fields of a business phone number."""
        return await self._node(phone_number_id, fields)

    async def waba(self, waba_id: str, fields: Sequence[str]) -> Node:
        """Fields of a WhatsApp Business Account."""
        return await self._node(waba_id, fields)

    async def phone_numbers(self, waba_id: str, fields: Sequence[str] = ()) -> list[Node]:
        """All phone numbers of a WABA, with those fields, or with Meta's default ones."""
        params = {"fields": ",".join(fields)} if fields else {}
        return await self._pages(f"{waba_id}/phone_numbers", params)

    async def templates(self, waba_id: str, *, name: str | None = None) -> list[Node]:
        """All templates of a WABA. `name` narrows the list, but not always to that name alone."""
        params = {"fields": _TEMPLATE_FIELDS} | ({"name": name} if name else {})
        try:
            return await self._pages(f"{waba_id}/message_templates", params)
        except WacoexError as error:
            if error.details.get("code") != _STALE_CURSOR:
                raise
        return await self._pages(f"{waba_id}/message_templates", params)

    async def message_history(self, phone_number_id: str, message_id: str) -> list[Node]:
        """What became of one message of ours: entries with `events.data[].delivery_status`.

        Not every number has this edge: then Meta refuses with code 100.
        Source: "Meta: message history API".
        """
        params = {"message_id": message_id, "fields": _HISTORY_FIELDS}
        return await self._pages(f"{phone_number_id}/message_history", params)

    async def debug_token(self) -> Node:
        """What Meta says about this token: validity, app, expiry, scopes."""
        body = await self._get("debug_token", {"input_token": self._token.reveal()})
        data = body.get("data")
        return data if isinstance(data, dict) else {}

    async def subscribed_apps(self, waba_id: str) -> list[Node]:
        """The apps that get the webhooks of a WABA, ours and those of partners."""
        return await self._pages(f"{waba_id}/subscribed_apps", {})

    async def subscribe_app(self, waba_id: str) -> None:
        """Attach the app of this token to a WABA; an override of its callback is cleared by it.

        Done in one single try; it may be done again. Source: "Meta: subscribed_apps".
        """
        await self._change_subscription("POST", waba_id)

    async def unsubscribe_app(self, waba_id: str) -> None:
        """Detach the app of this token from a WABA, which ends its webhooks and nothing else.

        Done in one single try; it may be done again. Source: "Meta: subscribed_apps".
        """
        await self._change_subscription("DELETE", waba_id)

    async def _change_subscription(self, method: str, waba_id: str) -> None:
        try:
            answer = await self._http.send(
                f"{self._root}/{waba_id}/subscribed_apps",
                headers=self._headers(),
                params=self._proof(),
                json={} if method == "POST" else None,
                method=method,
            )
        except (NotSentError, UnansweredError) as error:
            reason = error.reason
        else:
            if self._checked(answer).get("success") is not True:
                raise _unusable("it does not say that it was done")
            return
        raise TemporaryError(
            f"Meta gives no answer: {reason}",
            hint="check the network, then try again: it may be done twice",
            code="unreachable",
        )

    async def app_subscriptions(self, app_id: str) -> list[Node]:
        """The webhooks of an app with their fields; the token must be the app's own.

        Source: "Graph API: application subscriptions".
        """
        data = (await self._get(f"{app_id}/subscriptions", {})).get("data")
        if not isinstance(data, list):
            raise _unusable("it holds no list")
        return [one for one in data if isinstance(one, dict)]

    def messages_url(self, phone_number_id: str) -> str:
        """Where messages of a phone number are posted to."""
        return f"{self._root}/{phone_number_id}/messages"

    async def send_message(self, phone_number_id: str, body: Mapping[str, object]) -> Reply:
        """Send one message in one single try; never raises for what the network or Meta does.

        Source: "Meta: send messages".
        """
        try:
            answer = await self._http.send(
                self.messages_url(phone_number_id),
                headers=self._headers(),
                params=self._proof(),
                json=body,
            )
        except NotSentError as error:
            return NotSent(error.reason)
        except UnansweredError as error:
            return Unclear(error.reason)
        reply = reply_in(answer, self._http.clock.now())
        return self._redacted(reply) if isinstance(reply, Refused) else reply

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
            raise _unusable("it holds no id")
        return node

    async def _pages(self, path: str, params: Mapping[str, str]) -> list[Node]:
        found: list[Node] = []
        cursor: str | None = None
        seen: set[str] = set()
        while True:
            after = {"after": cursor} if cursor else {}
            body = await self._get(path, {**params, "limit": _PAGE, **after})
            data = body.get("data")
            if not isinstance(data, list):
                raise _unusable("it holds no list")
            found += [node for node in data if isinstance(node, dict)]
            cursor = _next_cursor(body)
            if cursor is None or cursor in seen:
                return found
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
            raise _unusable(f"HTTP {answer.status}, {answer.size} bytes")
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


def _unusable(why: str) -> TemporaryError:
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

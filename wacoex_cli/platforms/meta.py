"""Calling Meta's Graph API with one token: pages, proofs, refusals, and what they are told as."""

from __future__ import annotations

import dataclasses
import email.utils
import hashlib
import hmac
import re
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from wacoex_cli.errors import CredentialError, RefusedError, TemporaryError, WacoexError
from wacoex_cli.foundation.http import Answer, NotSentError, UnansweredError
from wacoex_cli.foundation.secrets import Secret, why_unfit
from wacoex_cli.platforms.error_codes import Outcome, classify
from wacoex_cli.platforms.meta_answers import (
    AccessToken,
    App,
    ListedNumber,
    User,
    access_token_in,
    apps_in,
    numbers_in,
    users_in,
)
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

    from wacoex_cli.foundation.http import Answer, Http
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


__all__ = ["Meta", "Node", "NotSent", "Refused", "Reply", "Taken", "Unclear"]

_TEMPLATE_FIELDS = (
    "id,name,language,status,category,components,parameter_format,quality_score,rejected_reason"
)
_HISTORY_FIELDS = "id,message_id,events{delivery_status,timestamp,error_description}"
_STALE_CURSOR = 131059


class Meta(Graph):
    """The Graph API with one token.

    Every method but `send_message` raises CredentialError when the token or its rights are at
    fault, TemporaryError for throttling, an unreachable server or an unusable answer, and
    RefusedError for anything else that Meta refuses.
    """

    async def phone_number(self, phone_number_id: str, fields: Sequence[str]) -> Node:
        """Fields of a business phone number."""
        return await self._node(phone_number_id, fields)

    async def waba(self, waba_id: str, fields: Sequence[str]) -> Node:
        """Fields of a WhatsApp Business Account."""
        return await self._node(waba_id, fields)

    async def phone_numbers(
        self, waba_id: str, fields: Sequence[str] = ()
    ) -> tuple[ListedNumber, ...]:
        """All phone numbers of a WABA, with those fields, or with Meta's default ones."""
        params = {"fields": ",".join(fields)} if fields else {}
        return numbers_in(await self._pages(f"{waba_id}/phone_numbers", params))

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

    def listed_messages(self, phone_number_id: str) -> AsyncGenerator[list[Node], None]:
        """The messages of a number as entries of its history: newest first, a page at a time.

        They name neither the recipient nor the attempt. Raises as `message_history` does.
        Source: "Meta: message history API".
        """
        return self._each_page(f"{phone_number_id}/message_history", {"fields": _HISTORY_FIELDS})

    async def debug_token(self) -> AccessToken:
        """What Meta says about this token: validity, app, expiry, scopes."""
        body = await self._get("debug_token", {"input_token": self._token.reveal()})
        data = body.get("data")
        return access_token_in(data if isinstance(data, dict) else {})

    async def subscribed_apps(self, waba_id: str) -> tuple[App, ...]:
        """The apps that get the webhooks of a WABA, ours and those of partners."""
        return apps_in(await self._pages(f"{waba_id}/subscribed_apps", {}))

    async def assigned_users(self, waba_id: str, business_id: str) -> tuple[User, ...]:
        """The users of that portfolio whom a WABA is assigned to.

        Source: "Meta: assigned users".
        """
        params = {"business": business_id, "fields": "id,name,tasks"}
        return users_in(await self._pages(f"{waba_id}/assigned_users", params))

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
                raise unusable("it does not say that it was done")
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
            raise unusable("it holds no list")
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


CODE_SECONDS = 30
"""How long a code can be exchanged (Meta: embedded signup implementation)."""

CODE_EXPIRED, CODE_USED = 36007, 36009
"""Subcodes of code 100 for a code that came too late, or for the second time."""

_NO_CONNECTION_TRIES = 5
_PAUSE_SECONDS = 2.0
_WRONG_APP = 101
_BEGIN_AGAIN = "the code of the window is lost; run the command again and sign up once more"


@dataclasses.dataclass(frozen=True)
class SignupApp:
    """The own Meta app, and where its Graph API is."""

    app_id: str
    secret: Secret
    base_url: str
    api_version: str


async def exchange_code(http: Http, app: SignupApp, code: str) -> Secret:
    """The token for a code, bound to the customer who signed up; asked for in one single try.

    Only a request that never left is made again, as long as the code lives. Neither code,
    secret nor token stands in an error. Source: "Meta: onboarding customers as a tech provider".

    Raises:
        CredentialError: the app id and the app secret do not belong together.
        RefusedError: Meta refuses the code; `details["subcode"]` says whether it came too late.
        TemporaryError: no usable answer; a code is good for one request, so it is lost.
    """
    answer = await _asked(http, app, code)
    refused = refusal_in(answer, http.clock.now())
    if refused is not None:
        raise _error(_without(refused, (code, app.secret.reveal())))
    told = answer.json if isinstance(answer.json, dict) else {}
    value = told.get("access_token")
    if answer.status != 200 or not isinstance(value, str) or why_unfit(value) is not None:
        raise _lost(f"HTTP {answer.status} without a token")
    return Secret(value, "the signup")


async def _asked(http: Http, app: SignupApp, code: str) -> Answer:
    params = {"client_id": app.app_id, "client_secret": app.secret.reveal(), "code": code}
    url = f"{app.base_url}/{app.api_version}/oauth/access_token"
    for left in reversed(range(_NO_CONNECTION_TRIES)):
        try:
            return await http.send(url, method="GET", headers={}, params=params, json=None)
        except NotSentError as error:
            reason = error.reason
        except UnansweredError as error:
            reason = error.reason
            break
        if left:
            await http.clock.sleep(_PAUSE_SECONDS)
    raise _lost(reason)


def _without(refused: Refused, secrets: tuple[str, ...]) -> Refused:
    def clean(text: str) -> str:
        for one in secrets:
            text = text.replace(one, "****")
        return text

    return dataclasses.replace(
        refused, message=clean(refused.message), details=clean(refused.details)
    )


def _error(refused: Refused) -> Exception:
    if refused.code == _WRONG_APP or "client secret" in refused.message.lower():
        return CredentialError(
            "Meta does not know this app id with this app secret",
            hint="compare both in the App Dashboard, App settings, Basic; then run"
            " `wacoex auth login meta-app-secret`",
            code="app_secret_wrong",
        )
    return error_of(refused)


def _lost(why: str) -> TemporaryError:
    return TemporaryError(f"Meta gave no token: {why}", hint=_BEGIN_AGAIN, code="code_lost")


TOO_OFTEN, TOO_LATE, NOT_SHARED = 2593107, 2593108, 2593109
"""Asked for more than once; more than 24 hours after connecting; not shared on the phone."""


class SyncType(StrEnum):
    """What can be copied, as Meta spells it."""

    CONTACTS = "smb_app_state_sync"
    HISTORY = "history"


@dataclass(frozen=True)
class Requested:
    """Meta has accepted to copy; the data comes by webhook. The id is for Meta's support."""

    request_id: str


async def request_sync(
    meta: Meta, phone_number_id: str, sync_type: SyncType
) -> Requested | Refused | Unclear | NotSent:
    """Ask for one kind of data in one single try; never raises for what the network or Meta does.

    Works once per onboarding, within 24 hours of it. Source: "Meta: onboarding business app
    users", `smb_app_data`.
    """
    body = {"messaging_product": "whatsapp", "sync_type": sync_type.value}
    try:
        answer = await meta.post_once(f"{phone_number_id}/smb_app_data", body)
    except NotSentError as error:
        return NotSent(error.reason)
    except UnansweredError as error:
        return Unclear(error.reason)
    refused = meta.refusal(answer)
    if refused is not None:
        return refused
    told = answer.json if isinstance(answer.json, dict) else {}
    request_id = told.get("request_id")
    if not 200 <= answer.status < 300 or not isinstance(request_id, str | int):
        return Unclear(f"HTTP {answer.status} without a request id and without an error code")
    return Requested(str(request_id))

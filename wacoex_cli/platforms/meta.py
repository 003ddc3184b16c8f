"""Meta's Graph API with one token: what is read, sent and refused; signup codes; copying."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import re
from collections.abc import AsyncGenerator, Awaitable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Literal, NamedTuple
from urllib.parse import parse_qsl, urlencode

from wacoex_cli.errors import CredentialError, TemporaryError, WacoexError
from wacoex_cli.foundation.http import (
    LONGEST_WAIT_SECONDS,
    Answer,
    FilePart,
    NotSentError,
    UnansweredError,
    date_in,
    redirect_target,
    retry_after_seconds,
)
from wacoex_cli.foundation.secrets import Secret, why_invalid
from wacoex_cli.platforms.answers import (
    AccessToken,
    App,
    IdOf,
    ListedNumber,
    NotSent,
    Refused,
    Reply,
    Taken,
    Unclear,
    User,
    access_token_in,
    app_in,
    number_in,
    user_in,
    wrong_kind,
)
from wacoex_cli.platforms.error_codes import Outcome, classify, error_of

if TYPE_CHECKING:
    from datetime import datetime

    from wacoex_cli.foundation.http import Http

CODE_SECONDS = 30
"""How long a code can be exchanged (Meta: embedded signup implementation)."""
CODE_EXPIRED, CODE_USED = 36007, 36009
"""Subcodes of code 100 for a code that came too late, or for the second time."""
TOO_OFTEN, TOO_LATE, NOT_SHARED = 2593107, 2593108, 2593109
"""Asked for more than once; more than 24 hours after connecting; not shared on the phone."""

_PAGE = "100"
_UPLOAD_SESSION = re.compile(r"upload:[0-9A-Za-z+=_-]+(?:\?[0-9A-Za-z=&%_.-]*)?")
# Meta's own messages quote a malformed token; tokens begin with EAA.
_TOKEN_LIKE = re.compile(r"\bEAA[0-9A-Za-z_-]{6,}")
_TEMPLATE_FIELDS = (
    "id,name,language,status,category,components,parameter_format,quality_score,rejected_reason,"
    "message_send_ttl_seconds"
)
_HISTORY_FIELDS = "id,message_id,events{delivery_status,timestamp,error_description}"
_LONGEST_SHORT_TEXT = 1_024
_LONGEST_SAID = 2_000
_LARGEST = 2**63
_MOST_PAGES = 200
_STALE_CURSOR, _WRONG_APP = 131059, 101
_NO_CONNECTION_TRIES = 5
_PAUSE_SECONDS = 2.0

Node = dict[str, Any]


class NodePage(NamedTuple):
    """Some nodes of a list, and where the next page begins; None where it ends."""

    nodes: list[Node]
    after: str | None = None


class SyncType(StrEnum):
    """What can be copied, as Meta spells it."""

    CONTACTS = "smb_app_state_sync"
    HISTORY = "history"


@dataclass(frozen=True)
class Requested:
    """Meta has accepted to copy; the data comes by webhook. The id is for Meta's support."""

    request_id: str


@dataclass(frozen=True)
class SignupApp:
    """The own Meta app, and where its Graph API is."""

    app_id: str
    secret: Secret
    base_url: str
    api_version: str


class Meta:
    """The Graph API with one token, which travels in one header only.

    Every method but `send_message` and `request_sync` raises CredentialError when the token or its
    rights are at fault, TemporaryError for throttling, an unreachable server or an unusable answer,
    and RefusedError for anything else that Meta refuses.
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
        self.signs = app_secret is not None
        """Whether its calls carry a proof made with the app secret."""
        self._patience = {} if patience_seconds is None else {"patience_seconds": patience_seconds}
        self._http = http
        self._token = token
        self._signature = _signature(token, app_secret) if app_secret else None
        self.server = f"{base_url}/{api_version}"
        """Where it asks: the address of the Graph API with its version."""
        self.caller = hashlib.sha256(f"{self.server} {token.reveal()}".encode()).hexdigest()
        """The same for all that ask the same server with the same token."""

    async def phone_number(self, phone_number_id: str, fields: Sequence[str]) -> Node:
        """Fields of a business phone number."""
        return await self._node(phone_number_id, fields, IdOf.NUMBER)

    async def waba(self, waba_id: str, fields: Sequence[str]) -> Node:
        """Fields of a WhatsApp Business Account."""
        return await self._node(waba_id, fields, IdOf.ACCOUNT)

    async def phone_numbers(
        self, waba_id: str, fields: Sequence[str] = ()
    ) -> tuple[ListedNumber, ...]:
        """All phone numbers of a WABA, with those fields, or with Meta's default ones."""
        params = {"fields": ",".join(fields)} if fields else {}
        path = f"{waba_id}/phone_numbers"
        return tuple(map(number_in, await self._pages(path, params, IdOf.ACCOUNT)))

    async def numbers_page(
        self,
        waba_id: str,
        fields: Sequence[str],
        after: str | None,
        most: int,
        *,
        oldest_first: bool = False,
    ) -> NodePage:
        """Up to `most` (at most 100) phone numbers of a WABA, as Meta gives them.

        They come in the order of their last onboarding, the newest first. `fields` are documented
        for this list; which ones it gives is not, so some may be refused or left out.
        Source: "Meta: phone numbers of a WhatsApp Business Account".
        """
        params = {"fields": ",".join(fields), "limit": str(most)}
        if oldest_first:
            # Spelled as on that page; `last_onboarded_time.asc`, as another has it, is refused.
            params["sort"] = "['last_onboarded_time_ascending']"
        return await self._page(f"{waba_id}/phone_numbers", params, IdOf.ACCOUNT, after)

    async def numbers_at_once(
        self, questions: Sequence[tuple[str, Sequence[str]]]
    ) -> list[Node | WacoexError | None]:
        """Fields of up to 50 phone numbers in one request, or why a number could not be read.

        In their order; None is what Meta had no time for. Each counts as a read. Raises as the
        others do when the whole request fails. Source: "Graph API: batch requests", which wants
        the token beside the batch; that the header will do there is not documented.
        """
        self.calls += len(questions)
        version, proof = self.server.rpartition("/")[2], self._proof()
        batch = [
            {
                "method": "GET",
                "relative_url": f"{version}/{number_id}"
                f"?{urlencode({'fields': ','.join(fields), **proof})}",
            }
            for number_id, fields in questions
        ]
        answer = await self._http.read(
            "POST",
            self.server,
            headers=self._headers(),
            params=proof,
            json={"batch": batch, "include_headers": False},
            is_final=self._is_final,
            **self._patience,
        )
        self.clock_skew_seconds = _clock_skew_seconds(answer, self._http.clock.now())
        if (refused := self._refusal(answer)) is not None:
            raise error_of(refused)
        parts = answer.json
        if answer.status != 200 or not isinstance(parts, list) or len(parts) != len(questions):
            raise _unusable(f"HTTP {answer.status}, {answer.size} bytes")
        return [
            self._part(part, number_id)
            for part, (number_id, _) in zip(parts, questions, strict=True)
        ]

    async def templates(self, waba_id: str, *, name: str | None = None) -> list[Node]:
        """All templates of a WABA. `name` narrows the list, but not always to that name alone."""
        params = {"fields": _TEMPLATE_FIELDS} | ({"name": name} if name else {})
        path = f"{waba_id}/message_templates"
        try:
            return await self._pages(path, params, IdOf.ACCOUNT)
        except WacoexError as error:
            if error.details.get("code") != _STALE_CURSOR:
                raise
        return await self._pages(path, params, IdOf.ACCOUNT)

    async def create_template(self, waba_id: str, body: Mapping[str, object]) -> Node:
        """Submit a new template for review; its id, status and category, which Meta may change.

        In one single try, as are the other changes of templates: TemporaryError with the code
        `unclear` says that it may have been done. Source: "Meta: message template API".
        """
        return await self._change_template(f"{waba_id}/message_templates", body)

    async def edit_template(self, template_id: str, body: Mapping[str, object]) -> None:
        """Replace category, components or time to live. Source: "Meta: template management"."""
        self._demand_done(await self._change_template(template_id, body))

    async def delete_template(self, waba_id: str, name: str, template_id: str) -> None:
        """Delete a template in one language. Source: "Meta: template management"."""
        params = {"name": name, "hsm_id": template_id}
        path = f"{waba_id}/message_templates"
        self._demand_done(await self._change_template(path, None, "DELETE", params))

    async def archive_templates(
        self, waba_id: str, template_ids: Sequence[str], *, takes_back: bool = False
    ) -> dict[str, str]:
        """Archive up to 100 templates, or take them out; those that failed, with Meta's reason.

        This lives at another host of Meta's, without a version. Source: "Meta: template archival".
        """
        base_url = self.server.rpartition("/")[0].replace("//graph.facebook.", "//api.facebook.")
        verb = "unarchive" if takes_back else "archive"
        url = f"{base_url}/{waba_id}/message_templates/{verb}"
        said = await self._change_template("", {"hsm_ids": list(template_ids)}, url=url)
        done = said.get(f"{verb}d_templates")
        failed = _dictionary(said.get("failed_templates"))
        silent = set(template_ids) - {*map(str, done if isinstance(done, list) else ()), *failed}
        return {
            **{each: str(why) for each, why in failed.items()},
            **dict.fromkeys(sorted(silent), "Meta does not say that it was done"),
        }

    async def message_history(self, phone_number_id: str, message_id: str) -> list[Node]:
        """What happened to one message of ours: entries with `events.data[].delivery_status`.

        Not every number has this edge: then Meta refuses with code 100.
        Source: "Meta: message history API".
        """
        params = {"message_id": message_id, "fields": _HISTORY_FIELDS}
        return await self._pages(f"{phone_number_id}/message_history", params, IdOf.NUMBER)

    def listed_messages(self, phone_number_id: str) -> AsyncGenerator[list[Node], None]:
        """The messages of a number as entries of its history: newest first, a page at a time.

        They name neither the recipient nor the attempt. Raises as `message_history` does.
        Source: "Meta: message history API".
        """
        path = f"{phone_number_id}/message_history"
        return self._each_page(path, {"fields": _HISTORY_FIELDS}, IdOf.NUMBER)

    async def debug_token(self) -> AccessToken:
        """What Meta says about this token: validity, app, expiry, scopes."""
        data = (await self._get("debug_token", {"input_token": self._token.reveal()})).get("data")
        if not isinstance(data, dict):
            raise _unusable("it says nothing about the token")
        return access_token_in(data)

    async def subscribed_apps(self, waba_id: str) -> tuple[App, ...]:
        """The apps that get the webhooks of a WABA, ours and those of partners."""
        path = f"{waba_id}/subscribed_apps"
        return tuple(map(app_in, await self._pages(path, {}, IdOf.ACCOUNT)))

    async def assigned_users(self, waba_id: str, business_id: str) -> tuple[User, ...]:
        """The users of that portfolio whom a WABA is assigned to.

        Source: "Meta: assigned users".
        """
        params = {"business": business_id, "fields": "id,name,tasks"}
        path = f"{waba_id}/assigned_users"
        return tuple(map(user_in, await self._pages(path, params, IdOf.ACCOUNT)))

    async def app_subscriptions(self, app_id: str) -> list[Node]:
        """The webhooks of an app with their fields; the token must be the app's own.

        Source: "Graph API: application subscriptions".
        """
        return _nodes(await self._get(f"{app_id}/subscriptions", {}))

    async def subscribe_app(self, waba_id: str) -> None:
        """Attach the app of this token to a WABA; an override of its callback is cleared by it.

        Done in one single try; it may be done again. Source: "Meta: subscribed_apps".
        """
        await self._change_subscription("POST", waba_id, {})

    async def unsubscribe_app(self, waba_id: str) -> None:
        """Detach the app of this token from a WABA, which ends its webhooks and nothing else.

        Done in one single try; it may be done again. Source: "Meta: subscribed_apps".
        """
        await self._change_subscription("DELETE", waba_id, None)

    async def request_sync(
        self, phone_number_id: str, sync_type: SyncType
    ) -> Requested | Refused | Unclear | NotSent:
        """Ask for one kind of data in one single try; never raises for what network or Meta do.

        Works once per onboarding, within 24 hours of it. Source: "Meta: onboarding business app
        users", `smb_app_data`.
        """
        body = {"messaging_product": "whatsapp", "sync_type": sync_type.value}
        answer = await self._post(f"{phone_number_id}/smb_app_data", body)
        if isinstance(answer, NotSent | Unclear):
            return answer
        if (refused := self._refusal(answer)) is not None:
            return refused
        request_id = _dictionary(answer.json).get("request_id")
        if not 200 <= answer.status < 300 or not isinstance(request_id, str | int):
            return Unclear(f"HTTP {answer.status} without a request id and without an error code")
        return Requested(str(request_id))

    async def upload_media(self, phone_number_id: str, file: FilePart) -> str:
        """Upload a file for the messages of a number in one single try; returns its id.

        The id lives for 30 days. What is uploaded twice gets two ids, and nothing else happens.
        Source: "Meta: media", upload media.
        """
        answer = await _answered(
            self._http.upload(
                f"{self.server}/{phone_number_id}/media",
                headers=self._headers(),
                params=self._proof(),
                fields={"messaging_product": "whatsapp", "type": file.media_type},
                file=file,
            )
        )
        media_id = self._done(answer, phone_number_id, IdOf.NUMBER).get("id")
        if not isinstance(media_id, str | int):
            raise _unusable("it names no id for the file")
        return str(media_id)

    async def upload_example(self, app_id: str, file: FilePart) -> str:
        """Upload the example of a template's header in one single try; returns its handle.

        Source: "Graph API: resumable upload", which takes PDF, JPEG, PNG and MP4.
        """
        given = {
            "file_name": file.name,
            "file_length": str(file.size),
            "file_type": file.media_type,
        }
        answer = await self._post(f"{app_id}/uploads", None, params=given)
        session = self._done(answer, app_id, None).get("id")
        if not isinstance(session, str) or not _UPLOAD_SESSION.fullmatch(session):
            raise _unusable("it names no upload session")
        path, _, signed = session.partition("?")
        answer = await _answered(
            self._http.upload(
                f"{self.server}/{path}",
                headers={"Authorization": f"OAuth {self._token.reveal()}", "file_offset": "0"},
                params={**dict(parse_qsl(signed)), **self._proof()},
                fields=None,
                file=file,
            )
        )
        handle = self._done(answer, app_id, None).get("h")
        if not isinstance(handle, str) or not handle:
            raise _unusable("it names no handle for the file")
        return handle

    async def media(self, media_id: str, phone_number_id: str) -> Node:
        """What Meta says of an uploaded file of that number: `mime_type`, `sha256`, `file_size`.

        Source: "Meta: media", retrieve media URL.
        """
        return await self._get(media_id, {"phone_number_id": phone_number_id})

    async def delete_media(self, media_id: str, phone_number_id: str) -> None:
        """Delete an uploaded file of that number. Source: "Meta: media", delete media."""
        params = {"phone_number_id": phone_number_id}
        answer = await self._post(media_id, None, "DELETE", params)
        if self._done(answer, media_id, None).get("success") is not True:
            raise _unusable("it does not say that it was done")

    def messages_url(self, phone_number_id: str) -> str:
        """Where messages of a phone number are posted to."""
        return f"{self.server}/{phone_number_id}/messages"

    async def send_message(self, phone_number_id: str, body: Mapping[str, object]) -> Reply:
        """Send one message in one single try; never raises for what the network or Meta does.

        Only a 2xx with a message id is taken, only an error code is refused; the HTTP status alone
        proves nothing. Everything else is unclear. Source: "Meta: send messages".
        """
        answer = await self._post(f"{phone_number_id}/messages", body)
        if not isinstance(answer, Answer):
            return answer
        said = _dictionary(answer.json)
        message, contact = _first(said.get("messages")), _first(said.get("contacts"))
        message_id = _short_text(message.get("id"))
        if message_id and 200 <= answer.status < 300:
            status = _short_text(message.get("message_status"))
            return Taken(message_id, status, _short_text(contact.get("wa_id")))
        wait = retry_after_seconds(answer.headers, self._http.clock.now())
        return self._refusal(answer) or Unclear(_shape(answer), wait)

    async def _change_subscription(
        self, method: Literal["POST", "DELETE"], waba_id: str, body: Node | None
    ) -> None:
        answer = await self._post(f"{waba_id}/subscribed_apps", body, method)
        if self._done(answer, waba_id, IdOf.ACCOUNT).get("success") is not True:
            raise _unusable("it does not say that it was done")

    def _done(
        self, answer: Answer | NotSent | Unclear, object_id: str, wanted: IdOf | None
    ) -> Node:
        """The answer to a change that may be made twice."""
        if isinstance(answer, NotSent | Unclear):
            raise TemporaryError(
                f"Meta gives no answer: {answer.reason}",
                hint="check the network, then try again: doing it twice does no harm",
                code="unreachable",
            )
        return self._checked(answer, object_id, wanted)

    async def _change_template(
        self,
        path: str,
        body: Mapping[str, object] | None,
        method: str = "POST",
        params: Mapping[str, str] | None = None,
        url: str | None = None,
    ) -> Node:
        answer = await self._post(path, body, method, params, url)
        if isinstance(answer, NotSent | Unclear):
            is_unclear = isinstance(answer, Unclear)
            raise TemporaryError(
                f"Meta gives no answer: {answer.reason}",
                hint="look with `wacoex template list`, then try again"
                if is_unclear
                else "check the network, then try again",
                code="unclear" if is_unclear else "unreachable",
            )
        return self._checked(answer, path.partition("/")[0], None)

    def _demand_done(self, said: Node) -> None:
        if said.get("success") is not True:
            raise _unusable("it does not say that it was done")

    async def _node(self, node_id: str, fields: Sequence[str], wanted: IdOf) -> Node:
        node = await self._get(node_id, {"fields": ",".join(fields)}, wanted)
        if "id" not in node:
            raise _unusable("it holds no id")
        return node

    async def _pages(self, path: str, params: Mapping[str, str], wanted: IdOf) -> list[Node]:
        """All nodes of a list. Raises TemporaryError for one that has no end."""
        nodes: list[Node] = []
        pages = 0
        async for page in self._each_page(path, params, wanted):
            nodes += page
            pages += 1
            if pages > _MOST_PAGES:
                raise _unusable(f"its list goes on after {_MOST_PAGES} pages")
        return nodes

    async def _each_page(
        self, path: str, params: Mapping[str, str], wanted: IdOf
    ) -> AsyncGenerator[list[Node], None]:
        cursor: str | None = None
        seen: set[str] = set()
        while True:
            page = await self._page(path, {**params, "limit": _PAGE}, wanted, cursor)
            yield page.nodes
            cursor = page.after
            if cursor is None or cursor in seen:
                return
            seen.add(cursor)

    async def _page(
        self, path: str, params: Mapping[str, str], wanted: IdOf, cursor: str | None
    ) -> NodePage:
        after = {"after": cursor} if cursor else {}
        body = await self._get(path, {**params, **after}, wanted)
        paging = _dictionary(body.get("paging"))
        following = _text(_dictionary(paging.get("cursors")).get("after"))
        return NodePage(_nodes(body), following if paging.get("next") else None)

    async def _get(self, path: str, params: Mapping[str, str], wanted: IdOf | None = None) -> Node:
        self.calls += 1
        answer = await self._http.read(
            "GET",
            f"{self.server}/{path}",
            headers=self._headers(),
            params={**params, **self._proof()},
            is_final=self._is_final,
            **self._patience,
        )
        self.clock_skew_seconds = _clock_skew_seconds(answer, self._http.clock.now())
        object_id, _, edge = path.partition("/")
        return self._checked(answer, object_id, wanted, edge)

    def _post(
        self,
        path: str,
        body: Mapping[str, object] | None,
        method: str = "POST",
        params: Mapping[str, str] | None = None,
        url: str | None = None,
    ) -> Awaitable[Answer | NotSent | Unclear]:
        url, headers = url or f"{self.server}/{path}", self._headers()
        params = {**(params or {}), **self._proof()}
        return _answered(
            self._http.send(url, method=method, headers=headers, params=params, json=body)
        )

    def _checked(self, answer: Answer, object_id: str, wanted: IdOf | None, edge: str = "") -> Node:
        if (refused := self._refusal(answer)) is not None:
            error = error_of(refused)
            raise (wrong_kind(error, object_id, wanted, edge) if wanted else None) or error
        if answer.status != 200 or not isinstance(answer.json, dict):
            raise _unusable(f"HTTP {answer.status}, {answer.size} bytes")
        return answer.json

    def _part(self, part: object, number_id: str) -> Node | WacoexError | None:
        """The answer to a question that left together with others."""
        if part is None:
            return None
        fields = _dictionary(part)
        body = _text(fields.get("body")) or ""
        answer = Answer(_integer(fields.get("code")) or 0, {}, _json_of_part(body), len(body))
        try:
            node = self._checked(answer, number_id, IdOf.NUMBER)
        except WacoexError as error:
            return error
        return node if node.get("id") == number_id else _unusable("it is about another number")

    def _is_final(self, answer: Answer) -> bool:
        """Meta answers some refusals with a 5xx; trying those again only costs time."""
        refused = self._refusal(answer)
        if refused is None:
            return False
        return classify(refused.code, refused.subcode).outcome in {Outcome.STOP, Outcome.ROW}

    def _refusal(self, answer: Answer) -> Refused | None:
        return _refusal_in(answer, self._http.clock.now(), self._token.reveal())

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._token.reveal()}"}

    def _proof(self) -> dict[str, str]:
        """Source: "Meta: secure requests"."""
        return {"appsecret_proof": self._signature.reveal()} if self._signature else {}


async def exchange_code(http: Http, app: SignupApp, code: str) -> Secret:
    """The token for a code, bound to the customer who signed up; asked for in one single try.

    Only a request that never left is made again, as long as the code lives. Neither code,
    secret nor token stands in an error. Source: "Meta: onboarding customers as a tech provider".

    Raises:
        CredentialError: the app id and the app secret do not belong together.
        RefusedError: Meta refuses the code; `details["subcode"]` says whether it came too late.
        TemporaryError: no usable answer; a code is good for one request, so it is lost.
    """
    params = {"client_id": app.app_id, "client_secret": app.secret.reveal(), "code": code}
    url = f"{app.base_url}/{app.api_version}/oauth/access_token"
    for left in reversed(range(_NO_CONNECTION_TRIES)):
        sending = http.send(url, method="GET", headers={}, params=params, json=None)
        answer = await _answered(sending)
        if not left or not isinstance(answer, NotSent):
            break
        await http.clock.sleep(_PAUSE_SECONDS)
    if isinstance(answer, NotSent | Unclear):
        raise _lost(answer.reason)
    refused = _refusal_in(answer, http.clock.now(), code, app.secret.reveal())
    if refused is None:
        value = _dictionary(answer.json).get("access_token")
        if answer.status != 200 or not isinstance(value, str) or why_invalid(value) is not None:
            raise _lost(f"HTTP {answer.status} without a token")
        return Secret(value, "the signup")
    if refused.code == _WRONG_APP or "client secret" in refused.message.lower():
        raise CredentialError(
            "Meta does not know this app id with this app secret",
            hint="compare both in the App Dashboard, App settings, Basic; then run"
            " `wacoex auth login meta-app-secret`",
            code="app_secret_wrong",
        )
    raise error_of(refused)


def _signature(token: Secret, app_secret: Secret) -> Secret:
    """Proves that who uses the token has the app secret too; kept as the two are."""
    key, message = app_secret.reveal().encode(), token.reveal().encode()
    digest = hmac.new(key, message, hashlib.sha256).hexdigest()
    return Secret(digest, "the token and the app secret")


async def _answered(sending: Awaitable[Answer]) -> Answer | NotSent | Unclear:
    try:
        return await sending
    except NotSentError as error:
        return NotSent(error.reason)
    except UnansweredError as error:
        return Unclear(error.reason)


def _refusal_in(answer: Answer, now: datetime, *secrets: str) -> Refused | None:
    """The error object of an answer, whatever its HTTP status; None without a usable code."""
    error = _dictionary(_dictionary(answer.json).get("error"))
    code = _integer(error.get("code"))
    if code is None:
        return None

    def clean(value: object) -> str:
        text = _text(value) or ""
        for secret in secrets:
            text = text.replace(secret, "****")
        return _TOKEN_LIKE.sub("****", text)[:_LONGEST_SAID]

    return Refused(
        code=code,
        subcode=_integer(error.get("error_subcode")),
        message=clean(error.get("message")),
        details=clean(_dictionary(error.get("error_data")).get("details")),
        user_text=": ".join(
            filter(None, (clean(error.get(f"error_user_{part}")) for part in ("title", "msg")))
        ),
        fbtrace_id=clean(error.get("fbtrace_id")) or None,
        http_status=answer.status,
        retry_after_seconds=retry_after_seconds(answer.headers, now),
        regain_minutes=_regain_minutes(answer.headers),
    )


def _json_of_part(body: str) -> object | None:
    """JSON that came as a text within JSON; None when it is none, or cannot be stored."""
    with contextlib.suppress(ValueError, RecursionError):
        text = json.dumps(json.loads(body), ensure_ascii=False, allow_nan=False)
        found: object = json.loads(text.encode("utf-8", "replace"))
        return found
    return None


def _regain_minutes(headers: Mapping[str, str]) -> float | None:
    """The longest `estimated_time_to_regain_access`, in minutes (Meta: rate limiting)."""
    try:
        usage = json.loads(headers.get("x-business-use-case-usage", ""), parse_constant=str)
    except (ValueError, RecursionError):
        return None
    waits = [
        wait
        for entries in _dictionary(usage).values()
        if isinstance(entries, list)
        for entry in entries
        if isinstance(
            wait := _dictionary(entry).get("estimated_time_to_regain_access"), int | float
        )
    ]
    longest = min(max(waits, default=0), LONGEST_WAIT_SECONDS / 60)
    return float(longest) if longest > 0 else None


def _clock_skew_seconds(answer: Answer, now: datetime) -> float | None:
    moment = date_in(answer.headers.get("date", ""))
    return (moment - now).total_seconds() if moment and moment.tzinfo else None


def _shape(answer: Answer) -> str:
    if 300 <= answer.status < 400:
        return f"HTTP {answer.status}, a redirect to {redirect_target(answer.headers)}"
    if answer.size == 0:
        return f"HTTP {answer.status} with an empty body"
    if answer.json is None:
        return f"HTTP {answer.status} with a body that is not JSON"
    return f"HTTP {answer.status} without a message id and without an error code"


def _unusable(why: str) -> TemporaryError:
    return TemporaryError(
        f"Meta gave an unusable answer: {why}",
        hint="try again in a minute; see whether a proxy answers in Meta's place",
        code="unusable_answer",
    )


def _lost(why: str) -> TemporaryError:
    hint = "the code of the window is lost; run the command again and sign up once more"
    return TemporaryError(f"Meta gave no token: {why}", hint=hint, code="code_lost")


def _nodes(body: Node) -> list[Node]:
    data = body.get("data")
    if not isinstance(data, list):
        raise _unusable("it holds no list")
    return [node for node in data if isinstance(node, dict)]


def _first(value: object) -> Node:
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return value[0]
    return {}


def _dictionary(value: object) -> Node:
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _short_text(value: object) -> str | None:
    if isinstance(value, str) and 0 < len(value) <= _LONGEST_SHORT_TEXT and value.isprintable():
        return value
    return None


def _integer(value: object) -> int | None:
    """A whole number that the state file can hold, also when it was sent as text."""
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value) if len(value) < len(str(_LARGEST)) else None
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    return value if -_LARGEST <= value < _LARGEST else None

"""Meta's Graph API, as far as wacoex uses it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence

from wacoex_cli.errors import TemporaryError, WacoexError
from wacoex_cli.foundation.answer import NotSentError, UnansweredError
from wacoex_cli.platforms.graph import Graph, Node, unusable
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
from wacoex_cli.platforms.replies import NotSent, Refused, Reply, Taken, Unclear, reply_in

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

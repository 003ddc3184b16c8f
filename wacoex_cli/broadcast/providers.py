"""The ways a broadcast can leave: Meta's Graph API, or respond.io's Developer API.

Plan, engine and ledger are the same for both. What differs stands here: whom to ask for the
template, what speaks against sending, what a request looks like, and which limit is told.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, Protocol

from wacoex_cli.broadcast.model import Claim, attempt_id
from wacoex_cli.channels.access import meta_for, respondio_for
from wacoex_cli.channels.look import read_respondio
from wacoex_cli.channels.model import Provider
from wacoex_cli.errors import RefusedError, WacoexError
from wacoex_cli.findings.model import Evidence, Finding, Severity
from wacoex_cli.foundation.clock import to_text
from wacoex_cli.partners.checks import check_drift
from wacoex_cli.partners.rule import at_respondio
from wacoex_cli.platforms.respondio import NOT_FOUND, SENDING, contact_by
from wacoex_cli.templates.message import message_body
from wacoex_cli.templates.model import Template
from wacoex_cli.templates.reading import find_template
from wacoex_cli.templates.respondio import RespondIOTemplates, respondio_body

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from wacoex_cli.broadcast.model import Broadcast
    from wacoex_cli.channels.connection import Connection
    from wacoex_cli.channels.model import Channel
    from wacoex_cli.foundation.workspace import Workspace
    from wacoex_cli.platforms.meta import Meta
    from wacoex_cli.platforms.replies import Reply
    from wacoex_cli.platforms.respondio import RespondIO

WARM_CONNECTIONS = 4

Request = tuple[str, dict[str, Any]]
"""The URL that is posted to, and the body."""


class SendingProvider(Protocol):
    """One API that messages leave through, for one channel.

    `endpoint` names the limit that it keeps besides that of the number, shared by everybody who
    uses the same account there; None when it keeps none. `respondio` is respond.io's API, where
    that is the way.
    """

    kind: Provider
    base_url: str
    base_url_variable: str

    @property
    def endpoint(self) -> str | None:
        """The name of the account's limit."""
        ...

    @property
    def respondio(self) -> RespondIO | None:
        """respond.io's API."""
        ...

    def told_limit(self) -> float | None:
        """Messages per second that the endpoint said it allows; None while it has not."""
        ...

    async def find_template(self, name: str, language: str) -> Template:
        """The template; raises like `templates.reading.find_template`."""
        ...

    async def phone_facts(self, fields: Sequence[str]) -> Mapping[str, Any]:
        """What Meta says about the number; empty when this access cannot ask it."""
        ...

    async def check_channel(self, connection: Connection, now: datetime) -> list[Finding]:
        """What the provider itself says against the channel."""
        ...

    async def warm_up(self) -> None:
        """Open a few connections: a cold one brings its message two round trips late."""
        ...

    def mailer(self, broadcast: Broadcast, state_id: str) -> Mailer:
        """What makes and delivers the messages of one broadcast."""
        ...


class Mailer(Protocol):
    """Makes and delivers the messages of one broadcast."""

    def request(self, claim: Claim) -> Request:
        """The exact request of one row, without its headers."""
        ...

    async def deliver(self, claim: Claim) -> Reply:
        """Send one message in one single try; never raises for what the network does."""
        ...


class MetaProvider:
    """Meta's Graph API, direct."""

    kind = Provider.META
    base_url_variable = "WACOEX_META_BASE_URL"
    endpoint = None
    respondio = None

    def __init__(self, meta: Meta, channel: Channel, base_url: str) -> None:
        self.base_url = base_url
        self._meta = meta
        self._channel = channel

    def told_limit(self) -> float | None:
        """Meta tells none: the number's own limit is fixed."""
        return None

    async def find_template(self, name: str, language: str) -> Template:
        """The template as Meta has it; raises like `templates.reading.find_template`."""
        return await find_template(self._meta, self._channel.demand_waba_id(), name, language)

    async def phone_facts(self, fields: Sequence[str]) -> Mapping[str, Any]:
        """Fields of the phone number."""
        return await self._meta.phone_number(self._channel.demand_phone_number_id(), fields)

    async def check_channel(self, connection: Connection, now: datetime) -> list[Finding]:
        """Nothing beyond what the facts of the number say."""
        return []

    async def warm_up(self) -> None:
        """Read the number's id a few times at once."""
        number = self._channel.demand_phone_number_id()
        reads = (self._meta.phone_number(number, ("id",)) for _ in range(WARM_CONNECTIONS))
        await asyncio.gather(*reads, return_exceptions=True)

    def mailer(self, broadcast: Broadcast, state_id: str) -> Mailer:
        """What posts to the number's `messages`."""
        number = self._channel.demand_phone_number_id()
        return _MetaMailer(self._meta, number, broadcast, state_id)


class _MetaMailer:
    def __init__(
        self, meta: Meta, phone_number_id: str, broadcast: Broadcast, state_id: str
    ) -> None:
        self._meta = meta
        self._number = phone_number_id
        self._broadcast_id = broadcast.broadcast_id
        self._state_id = state_id
        self._template, self._keys = _frozen(broadcast)

    def request(self, claim: Claim) -> Request:
        name = attempt_id(self._state_id, self._broadcast_id, claim.row, claim.attempt)
        values = json.loads(claim.parameters)
        body = message_body(self._template, self._keys, values, claim.phone, name)
        return self._meta.messages_url(self._number), body

    async def deliver(self, claim: Claim) -> Reply:
        _, body = self.request(claim)
        return await self._meta.send_message(self._number, body)


class RespondIOProvider:
    """respond.io's Developer API. It has no attempt ids, and tells statuses only when asked.

    `meta` adds what Meta says about the number, where there is a token for it.
    """

    kind = Provider.RESPONDIO
    base_url_variable = "WACOEX_RESPONDIO_BASE_URL"

    def __init__(
        self, respondio: RespondIO, channel: Channel, base_url: str, meta: Meta | None = None
    ) -> None:
        self.base_url = base_url
        self.respondio = respondio
        self.endpoint = f"respondio {respondio.caller[:16]} {SENDING}"
        self._channel = channel
        self._meta = meta
        self._untold: WacoexError | None = None

    def told_limit(self) -> float | None:
        """What `X-RateLimit-Limit` of the newest answer said (respond.io: rate limits)."""
        return self.respondio.told_limit(SENDING)

    async def find_template(self, name: str, language: str) -> Template:
        """The template as respond.io has it; raises like `templates.reading.find_template`.

        Raises RefusedError when the workspace has no such channel either.
        """
        number = self._channel.demand_respondio_channel_id()
        listing = RespondIOTemplates(self.respondio)
        try:
            return await find_template(listing, str(number), name, language)
        except RefusedError as error:
            if error.code != NOT_FOUND:
                raise
            raise RefusedError(
                f"respond.io has no channel {number} in the workspace of this token",
                hint=f"`wacoex partner check {self._channel.name}` shows which it has",
                code=NOT_FOUND,
            ) from None

    async def phone_facts(self, fields: Sequence[str]) -> Mapping[str, Any]:
        """What Meta says, with a Meta token; respond.io itself tells nothing about a number.

        Where Meta does not tell, `check_channel` says so: nothing is sent through it.
        """
        self._untold = None
        if self._meta is None or self._channel.phone_number_id is None:
            return {}
        try:
            return await self._meta.phone_number(self._channel.phone_number_id, fields)
        except WacoexError as error:
            self._untold = error
            return {}

    async def check_channel(self, connection: Connection, now: datetime) -> list[Finding]:
        """WX207: the workspace has not got the channel; WX709: Meta did not tell about it."""
        self._channel.demand_respondio_channel_id()
        listed = await read_respondio(self.respondio, now)
        drifts = at_respondio(self._channel, listed)
        found = check_drift(listed, drifts, connection, self._channel.name)
        if self._untold:
            found.append(_not_told(self._untold, self._channel.name, now))
        return found

    async def warm_up(self) -> None:
        """Nothing: at its rates a cold connection does not matter, and reads are rationed."""

    def mailer(self, broadcast: Broadcast, state_id: str) -> Mailer:
        """What posts to the `message` of each contact."""
        number = self._channel.demand_respondio_channel_id()
        return _RespondIOMailer(self.respondio, number, broadcast)


class _RespondIOMailer:
    def __init__(self, respondio: RespondIO, channel_id: int, broadcast: Broadcast) -> None:
        self._respondio = respondio
        self._channel_id = channel_id
        self._template, self._keys = _frozen(broadcast)

    def request(self, claim: Claim) -> Request:
        values = json.loads(claim.parameters)
        body = respondio_body(self._template, self._keys, values, self._channel_id)
        return self._respondio.messages_url(contact_by(claim.phone)), body

    async def deliver(self, claim: Claim) -> Reply:
        _, body = self.request(claim)
        return await self._respondio.send_message(contact_by(claim.phone), body)


def provider_for(workspace: Workspace, channel: Channel) -> SendingProvider:
    """The API that a channel sends through.

    Raises:
        CredentialError: there is no token for it.
    """
    return _PROVIDERS[channel.provider](workspace, channel)


def _meta_provider(workspace: Workspace, channel: Channel) -> SendingProvider:
    base_url = workspace.settings_for(channel.name).meta_base_url
    return MetaProvider(meta_for(workspace, channel), channel, base_url)


def _respondio_provider(workspace: Workspace, channel: Channel) -> SendingProvider:
    base_url = workspace.settings_for(channel.name).respondio_base_url
    meta = None
    if workspace.secrets.find("meta-token", channel.name) is not None:
        meta = meta_for(workspace, channel)
    return RespondIOProvider(respondio_for(workspace, channel), channel, base_url, meta)


_PROVIDERS: Mapping[Provider, Callable[[Workspace, Channel], SendingProvider]] = {
    Provider.META: _meta_provider,
    Provider.RESPONDIO: _respondio_provider,
}


def _not_told(error: WacoexError, channel: str, now: datetime) -> Finding:
    return Finding(
        "WX709",
        Severity.UNKNOWN,
        channel,
        Evidence(error.message, "meta", to_text(now)),
        case="before_sending",
        hints=error.hint or "try again in a minute",
    )


def _frozen(broadcast: Broadcast) -> tuple[Template, list[str]]:
    template = Template.from_json(json.loads(broadcast.template))
    return template, [source["key"] for source in json.loads(broadcast.parameter_sources)]

"""Why a planned broadcast must not be sent now: channel, template, and what changed since.

The template is read again before a run and while it lasts, because rows may wait for hours.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from wacoex_cli.channels.checks import SENDING_FIELDS, check_can_send, check_sending_facts, wait_for
from wacoex_cli.channels.facts import Connection, ConnectionState
from wacoex_cli.channels.model import BUSINESS_NAME, Channel, Fact, Provider, values_of
from wacoex_cli.contacts.store import is_marketing
from wacoex_cli.errors import CredentialError, RefusedError, UsageError, WacoexError, counted
from wacoex_cli.findings.model import Evidence, Finding, Severity, worst_first
from wacoex_cli.foundation.clock import Clock, to_text
from wacoex_cli.ledger import figures
from wacoex_cli.ledger.model import COOLING_DOWN, OPEN_STATES, Broadcast, Claim, RowState, Status
from wacoex_cli.ledger.projection import TemplateNews, note_category, reason_of, template_news
from wacoex_cli.ledger.rows import Rows
from wacoex_cli.ledger.store import Broadcasts
from wacoex_cli.media.links import LOOKED_AT
from wacoex_cli.media.places import NO_MEDIA, places_in
from wacoex_cli.media.store import MediaStore
from wacoex_cli.partners.checks import check_account
from wacoex_cli.platforms.events import Source
from wacoex_cli.sending.providers import SendingProvider
from wacoex_cli.templates.changes import (
    Omissions,
    check_category,
    check_coming,
    check_copy,
    check_gone,
    check_omissions,
    check_still_as_planned,
    check_unread,
)
from wacoex_cli.templates.conversions import offer_ends
from wacoex_cli.templates.model import Template
from wacoex_cli.templates.reading import in_language
from wacoex_cli.templates.values import ParameterSource
from wacoex_cli.terminal.render import Result

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence

    from wacoex_cli.channels.sending_reads import SendingReads
    from wacoex_cli.foundation.state import Row, State
    from wacoex_cli.foundation.workspace import Workspace
    from wacoex_cli.inactivity.checks import StandingCheck

_LOOK_EVERY_SECONDS, _REREAD_SECONDS = 1.0, 600.0
_BAD_TOKEN = 190
_MOST_SHOWN = 5
_SHOWN_REQUESTS = 3
_OPEN = [state.value for state in OPEN_STATES]
_FIELDS = (*SENDING_FIELDS, "last_onboarded_time", BUSINESS_NAME)


async def check_channel(
    provider: SendingProvider,
    channel: Channel,
    now: datetime,
    reads: SendingReads,
    check_standing: StandingCheck | None = None,
) -> tuple[list[Finding], object]:
    """What forbids sending now, and the portfolio's messaging limit (None: not said).

    `check_standing` adds what is known here, given what Meta says about the number. One that Meta
    showed before and hides now is a finding, no failure.

    Raises:
        CredentialError, RefusedError, TemporaryError: Meta or respond.io could not be asked.
    """
    read, refusal = tuple[Fact, ...](), None
    try:
        read = tuple(await provider.phone_facts(_FIELDS, now, reads))
    except WacoexError as error:
        refusal = error
    is_hidden = await reads.hides_number(provider.meta, channel, refusal or provider.limit_error)
    connection, known = Connection(), list[Finding]()
    if check_standing:
        caller = provider.meta.caller if provider.meta else ""
        connection, known = check_standing(read, caller, is_hidden)
    if refusal and not (is_hidden and connection.state is ConnectionState.GONE):
        raise refusal
    values, observed_at = values_of(read), to_text(now)
    found = check_can_send(values, channel.name, observed_at) if values else []
    found += check_sending_facts(values, channel.name, observed_at)
    review = values_of(await reads.review(provider.meta, channel, now))
    found += check_account((), (), review, channel.name, now, observed_at)
    found += await provider.check_channel(connection, now, reads)
    limit = values.get("whatsapp_business_manager_messaging_limit")
    return [*known, *wait_for(known, found)], limit


def show_requests(
    workspace: Workspace,
    provider: SendingProvider,
    broadcast: Broadcast,
    rows: Sequence[Row] | None,
) -> Result:
    """The exact requests of the first three rows, with the token hidden. Nothing is sent."""
    store = Rows(workspace.state, broadcast.broadcast_id)
    if rows is None:
        waiting = (RowState.RETRY, RowState.PENDING)
        rows = [row for state in waiting for row in store.first(state, _SHOWN_REQUESTS)]
    state_id, now = Broadcasts(workspace.state).state_id, workspace.clock.now()
    desk = provider.desk(workspace.state, workspace.clock, only_shows=True)
    mailer = provider.mailer(broadcast, state_id, desk)
    requests: list[dict[str, Any]] = []
    text = []
    for row in rows[:_SHOWN_REQUESTS]:
        claim = Claim(row["row"], row["phone"], row["parameters"], row["attempts"] + 1, 1, now)
        url, body = mailer.request(claim)
        headers = {"Authorization": "Bearer ****", "Content-Type": "application/json"}
        request = {"line": row["line"], "method": "POST", "url": url, "headers": headers}
        requests.append({**request, "body": body})
        text += [f"line {row['line']}: POST {url}", json.dumps(body, ensure_ascii=False, indent=2)]
    head = f"would send to {counted(broadcast.recipients, 'person')}; requests: {len(requests)}"
    data = {"dry_run": True, "recipients": broadcast.recipients, "requests": requests}
    return Result(data, (head, *text))


async def check_media(
    state: State,
    provider: SendingProvider,
    broadcast: Broadcast,
    clock: Clock,
    reads: SendingReads,
) -> list[Finding]:
    """WX514: a file that messages show is gone or changed, or a link to one does not work."""
    places, now = places_in(broadcast.template, broadcast.parameter_sources), clock.now()
    found = list[Finding]()
    if places != NO_MEDIA and (desk := provider.desk(state, clock, only_shows=True)):
        held = MediaStore(state).named_in(broadcast.broadcast_id, places.in_rows, _OPEN)
        wrong = await asyncio.to_thread(desk.unusable, places.hashes | held, now)
        found += _of_files(wrong, "file", broadcast.channel, to_text(now))
    return found + await check_links(state, provider, broadcast, now, reads)


async def check_links(
    state: State,
    provider: SendingProvider,
    broadcast: Broadcast,
    now: datetime,
    reads: SendingReads,
    doubts: Mapping[str, str] = {},
) -> list[Finding]:
    """WX514: a link to a file does not work, or there are `doubts` about files, by their names.

    Of more than 20 different links in a list 20 are looked at.
    """
    places, store = places_in(broadcast.template, broadcast.parameter_sources), MediaStore(state)
    wrong: dict[str, str] = {}
    if provider.links is not None:
        for link, form in places.links:
            look = partial(provider.links.problems, [link], form)
            wrong |= await reads.once((provider.base_url, form, link), look)
        for place, form in places.in_rows.items():
            links = store.links_in(broadcast.broadcast_id, place, _OPEN, LOOKED_AT)
            wrong |= await provider.links.problems(links, form)
    seen = to_text(now)
    doubtful = _of_files(doubts, "doubt", broadcast.channel, seen, Severity.INFO)
    return _of_files(wrong, "link", broadcast.channel, seen) + doubtful


def _of_files(
    wrong: Mapping[str, str],
    case: str,
    channel: str,
    seen: str,
    severity: Severity = Severity.CRITICAL,
) -> list[Finding]:
    if not wrong:
        return []
    shown = [f"{name}: {why}" for name, why in wrong.items()][:_MOST_SHOWN]
    if len(wrong) > len(shown):
        shown.append(f"and {len(wrong) - len(shown)} more")
    facts = [Evidence(text, "this machine", seen) for text in shown]
    return [Finding("WX514", severity, channel, facts, case=case, count=len(wrong))]


def messaged_lately(state: State, channel: Channel, now: datetime) -> int:
    """People the number had messages accepted for in the last 24 h: what Meta's limit counts."""
    since, key = now - timedelta(hours=24), channel.channel_id
    return figures.taken_since(state, [key], since)[key]


async def read_template(
    provider: SendingProvider, broadcast: Broadcast, reads: SendingReads
) -> Template | WacoexError:
    """The template as it is now, or why it cannot be known: it is gone, or may not be read.

    Raises:
        CredentialError, RefusedError, TemporaryError: nobody answers, or the token is no good.
    """
    planned = Template.from_json(json.loads(broadcast.template))
    try:
        there = await provider.find_versions(planned.name, reads)
        first, *others = (in_language(there, each.language) for each in planned.versions)
        return first.with_translations(others)
    except UsageError as error:
        if error.code != "unknown_template":
            raise
        return error
    except CredentialError as error:
        if error.details.get("code") in (None, _BAD_TOKEN):
            raise
        return error


def check_possible(
    provider: SendingProvider, channel: Channel, broadcast: Broadcast, now: datetime
) -> None:
    """Refuse a broadcast that was planned for another API, or whose offer ended meanwhile.

    Raises:
        RefusedError: with what to set back, or to plan again.
    """
    if broadcast.provider is not provider.kind:
        raise RefusedError(
            f"broadcast {broadcast.broadcast_id} was planned for {broadcast.provider.value},"
            f" but channel {channel.name} now sends through {provider.kind.value}",
            hint=f"wacoex channel edit {channel.name} --provider {broadcast.provider.value},"
            " or plan the broadcast again",
            code="other_provider",
        )
    if broadcast.api_base_url != provider.base_url:
        raise RefusedError(
            f"broadcast {broadcast.broadcast_id} was planned against {broadcast.api_base_url},"
            f" but now {provider.base_url} is configured",
            hint=f"set `{provider.base_url_variable}` back, or plan the broadcast again",
            code="other_api",
        )
    ends = offer_ends(map(ParameterSource.from_json, json.loads(broadcast.parameter_sources)))
    if ends is not None and ends <= now:
        raise RefusedError(
            f"the offer of broadcast {broadcast.broadcast_id} ended at {to_text(ends)}",
            hint="plan the broadcast again with a later `offer.expires_at`",
            code="offer_over",
        )


@dataclass(frozen=True)
class Reread:
    """The template of a broadcast as it is known now, and what changed against the plan.

    `category_at` is when the category was read or reported (RFC 3339, UTC), `said_by` by whom.
    `left_out` are people of the plan who are not written to any more.
    """

    category: str
    category_at: str
    said_by: str
    left_out: Omissions
    findings: tuple[Finding, ...]


def reread(
    state: State,
    broadcast: Broadcast,
    read: Template | WacoexError,
    source: Provider,
    now: datetime,
) -> Reread:
    """Compare the plan with what is known now: the template that was read, and newer events.

    `read` may be the error that kept it from being read, `source` is who was asked. A copy at
    respond.io may lag behind what Meta said.
    """
    planned = Template.from_json(json.loads(broadcast.template))
    news, channel, seen = template_news(state, broadcast), broadcast.channel, to_text(now)
    category, at, said_by = planned.category, broadcast.category_known_at, "plan"
    found: list[Finding] = []
    is_copy = source is not Provider.META
    if isinstance(read, Template):
        category, at, said_by = read.category, seen, source.value
        found += check_still_as_planned(planned, read, channel, seen, source)
    elif isinstance(read, UsageError):
        found.append(check_gone(planned, read.message, channel, seen, source))
    else:
        why = Evidence(f"the template was not read: {read.message}", source, seen)
        known = f"{planned.category}, status APPROVED and its text are known from then"
        found.append(check_unread(why, Evidence(known, "plan", at), channel))
    newest = news.category.data.get("new") if news.category else None
    # A copy may loosen nothing that Meta itself has said.
    is_newer = not isinstance(read, Template) or (is_copy and is_marketing(newest or category))
    if news.category and newest and is_newer:
        category, at, said_by = newest, news.category.at, Source.META.value
    if is_copy or not isinstance(read, Template):
        found += _by_events(news, planned, channel)
    if is_copy and isinstance(read, Template):
        copied = f"category {category} in the copy at {source.known_as}; wacoex did not ask Meta"
        found.append(check_copy(Evidence(copied, source, seen), channel))
    left_out = _left_out(state, broadcast, category, now)
    consequences = _consequences(state, broadcast, planned.category, category, left_out, seen)
    words = "an event" if news.category and at == news.category.at else "as it is read now"
    fact = Evidence(words, said_by, at)
    changed = check_category(planned.category, category, channel, fact, consequences)
    found += changed or check_omissions(left_out, channel, seen)
    coming = news.category.data.get("category") if news.category else None
    if news.category and coming and coming != category:
        said = Evidence("Meta announced it", Source.META, news.category.at)
        found += check_coming(category, coming, channel, said)
    return Reread(category, at, said_by, left_out, tuple(found))


def follow_reread(state: State, broadcast_id: int, found: Reread) -> None:
    """Let the category that was found count from now on, in a transaction of its own."""
    with state.transaction():
        broadcast = Broadcasts(state).get(broadcast_id)
        if found.category_at >= broadcast.category_known_at:
            note_category(state, broadcast, found.category, found.category_at, found.said_by)


async def keep_reading(
    state: State,
    broadcast_id: int,
    read: Callable[[], Awaitable[Template | WacoexError]],
    source: Provider,
    overruled: Collection[str],
    clock: Clock,
) -> None:
    """Read the template of a running broadcast every ten minutes: rows may wait for hours.

    A new category is followed; what forbids sending pauses the broadcast.
    """
    next_look = clock.monotonic() + _REREAD_SECONDS
    while True:
        await asyncio.sleep(_LOOK_EVERY_SECONDS)
        if clock.monotonic() < next_look:
            continue
        # What cannot be asked or written, the sending itself says.
        with contextlib.suppress(WacoexError):
            current = await read()
            await asyncio.to_thread(
                _apply, state, broadcast_id, current, source, overruled, clock.now()
            )
        next_look = clock.monotonic() + _REREAD_SECONDS


def _apply(
    state: State,
    broadcast_id: int,
    read: Template | WacoexError,
    source: Provider,
    overruled: Collection[str],
    now: datetime,
) -> None:
    found = reread(state, Broadcasts(state).get(broadcast_id), read, source, now)
    follow_reread(state, broadcast_id, found)
    if standing := critical(found.findings, overruled):
        with state.transaction():
            if Broadcasts(state).status(broadcast_id) is Status.SENDING:
                why = in_one_sentence(standing)
                Broadcasts(state).set_status(broadcast_id, Status.PAUSED, reason=why)


def critical(findings: Iterable[Finding], overruled: Collection[str]) -> list[Finding]:
    """What forbids to send, worst first: critical, and overruled by nobody."""
    return [
        finding
        for finding in worst_first(findings)
        if finding.severity is Severity.CRITICAL and finding.id not in overruled
    ]


def in_one_sentence(findings: Iterable[Finding]) -> str:
    """Ids, titles and evidence of findings, for a refusal or the reason of a pause."""
    return "; ".join(
        f"{finding.id} {finding.title} ({', '.join(fact.text for fact in finding.evidence)})"
        for finding in findings
    )


def _by_events(news: TemplateNews, planned: Template, channel: str) -> list[Finding]:
    """What Meta said of status and text, where its own list was not read."""
    found = []
    if news.status and (why := reason_of(news.status, planned)):
        fact = Evidence(why, Source.META, news.status.at)
        found.append(Finding("WX504", Severity.CRITICAL, channel, fact, template=planned.name))
    if news.text and (why := reason_of(news.text, planned)):
        fact = Evidence(f"{why}; wacoex did not read what it says now", Source.META, news.text.at)
        found.append(Finding("WX509", Severity.CRITICAL, channel, fact, case="text"))
    return found


class _TakenBack(Exception):
    """Ends a transaction of which nothing is to be kept."""


def _left_out(state: State, broadcast: Broadcast, category: str, now: datetime) -> Omissions:
    """Whom the start of a run would skip: done, counted, and taken back."""
    rows, counts = Rows(state, broadcast.broadcast_id), list[dict[str, int]]()
    with contextlib.suppress(_TakenBack), state.transaction():
        counts.append(rows.skip_reasons())
        Broadcasts(state).learn_category(broadcast.broadcast_id, category, to_text(now))
        rows.skip_opted_out()
        rows.skip_cooling_down(now - COOLING_DOWN)
        counts.append(rows.skip_reasons())
        raise _TakenBack
    before, after = counts
    return Omissions(
        {
            reason: n - before.get(reason, 0)
            for reason, n in after.items()
            if n > before.get(reason, 0)
        }
    )


def _consequences(
    state: State, broadcast: Broadcast, before: str, now: str, left_out: Omissions, seen: str
) -> list[Evidence]:
    """What follows from another category, for people and for the price."""
    texts = [
        f"{n} of the planned people are left out now: {reason}"
        for reason, n in left_out.by_reason.items()
    ]
    texts.append(f"each message is charged at Meta's price for {now}")
    skipped = Rows(state, broadcast.broadcast_id).skip_reasons().get("opted_out", 0)
    if is_marketing(before) and not is_marketing(now) and skipped:
        texts.append(
            f"{counted(skipped, 'person')} skipped as before: opted_out when it was {before}"
        )
    return [Evidence(text, "ledger", seen) for text in texts]

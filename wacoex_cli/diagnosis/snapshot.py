"""Everything that status and doctor look at, gathered once: checks read it and ask nobody."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import stat
from collections import defaultdict
from datetime import timedelta
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from wacoex_cli.channels.checks import RETURNS_WITHIN
from wacoex_cli.channels.facts import CHANNELS, ChannelFacts, ConnectionState, stored_facts
from wacoex_cli.channels.model import Provider, values_of
from wacoex_cli.channels.registry import PATIENCE_SECONDS, meta_for
from wacoex_cli.channels.store import Facts, NewestSigns, ReadOnce, Signs
from wacoex_cli.devices.inventory import inventories
from wacoex_cli.errors import CredentialError, WacoexError
from wacoex_cli.events import checks, consumers
from wacoex_cli.events.store import EventLog, Numbers, catch_up
from wacoex_cli.events.unclear import unclear_events
from wacoex_cli.events.unplaced import Places, unplaced_events
from wacoex_cli.foundation import generation, locks
from wacoex_cli.foundation.clock import from_text
from wacoex_cli.foundation.settings import SECRET_VARIABLES, settings_origins, user_path
from wacoex_cli.inactivity.checks import onboarding_signs, standings, zone_of
from wacoex_cli.inactivity.model import NoticeReach
from wacoex_cli.inactivity.store import Reminders
from wacoex_cli.partners.ownership import rows_of
from wacoex_cli.partners.rule import is_seen
from wacoex_cli.platforms.answers import WRONG_KIND, is_not_visible
from wacoex_cli.platforms.events import Source
from wacoex_cli.terminal import lost_output

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from datetime import datetime

    from wacoex_cli.broadcast.checks import Trouble
    from wacoex_cli.channels.facts import Connection
    from wacoex_cli.channels.look import Look
    from wacoex_cli.channels.model import Channel
    from wacoex_cli.contacts.store import OptOut
    from wacoex_cli.devices.inventory import Inventory
    from wacoex_cli.events.checks import EchoFlow, Summary
    from wacoex_cli.events.subscribe import Subscription
    from wacoex_cli.events.unclear import NotUnderstood
    from wacoex_cli.events.unplaced import Unplaced
    from wacoex_cli.findings.model import Finding
    from wacoex_cli.foundation.clock import Clock
    from wacoex_cli.foundation.state import State
    from wacoex_cli.foundation.workspace import Workspace
    from wacoex_cli.inactivity.model import Standing
    from wacoex_cli.onboarding.model import Journey, Record
    from wacoex_cli.partners.rule import PartnerRows
    from wacoex_cli.templates.model import Template
    from wacoex_cli.terminal.lost_output import LostOutput

    Pair = tuple[Template, Template]
    """A template as it was planned, and as Meta has it now."""

STATE, META, RESPONDIO = "state", "meta", "respondio"
"""The sources of a snapshot."""
_DAY = timedelta(hours=24)
_OBJECT_NOT_VISIBLE = 100
_NO_ACCESS = frozenset({"credentials_missing", "channel_incomplete"})
_MOST_TEMPLATES = 5
_ASKED_BY_NAME = 3


class Exposed(NamedTuple):
    """A file that others may read, or a directory that others may write; `mode` as chmod has it."""

    path: str
    mode: int
    what: str


class Machine(NamedTuple):
    """What was found here. Sizes are bytes, `clock_skew_seconds` is Meta's clock minus ours.

    `state_file` is what forbids sending from the state file.
    """

    exposed: tuple[Exposed, ...]
    disk: str
    free_bytes: int
    newest_stored_at: datetime | None
    clock_skew_seconds: float | None = None
    keyring_problem: str | None = None
    lost_output: tuple[LostOutput, ...] = ()
    state_file: tuple[Finding, ...] = ()


def look_at(
    workspace: Workspace,
    newest_stored_at: datetime | None,
    *,
    clock_skew_seconds: float | None,
    offline: bool,
) -> Machine:
    """Gather the facts. `offline` leaves the keyring alone."""
    directory, now = workspace.state.path.parent, workspace.clock.now()
    # By default the keyring is just one place to look, and may be missing.
    uses_keyring = (
        not offline
        and workspace.settings.keyring
        and settings_origins(workspace.sources)["keyring"] != "default"
    )
    return Machine(
        exposed=tuple(_exposed(workspace)),
        disk=str(directory),
        free_bytes=shutil.disk_usage(directory).free,
        newest_stored_at=newest_stored_at,
        clock_skew_seconds=clock_skew_seconds,
        keyring_problem=workspace.secrets.keyring_problem() if uses_keyring else None,
        lost_output=tuple(lost_output.newest(workspace.state, now - lost_output.COUNTS_FOR)),
        state_file=tuple(_about_state_file(workspace.state, now)),
    )


def _about_state_file(state: State, now: datetime) -> Iterator[Finding]:
    """What forbids sending from the state file (WX710, WX711)."""
    mounts = generation.mounts_around(state.path)
    is_suspect = generation.suspicion(state) is not None or bool(locks.all_remains(state.path))
    if mounts or is_suspect:
        # Imported only now: of most files there is nothing to say.
        from wacoex_cli.sending import takeover

        yield from takeover.check_state_file(state, now)
        yield from takeover.check_file_system(state, mounts, now)


def newest_stored_at(state: State) -> datetime | None:
    """The latest moment at which anything was recorded; None in a fresh file.

    To be asked before anything new is stored.
    """
    found = state.value(
        "SELECT MAX(moment) FROM ("
        " SELECT MAX(observed_at) AS moment FROM facts"
        " UNION ALL SELECT MAX(created_at) FROM channels"
        " UNION ALL SELECT MAX(last_active_at) FROM broadcast_runs) AS moments"
    )
    return from_text(found) if found else None


def _exposed(workspace: Workspace) -> Iterator[Exposed]:
    """Files with a secret or phone numbers, and the directory that decides where those are sent."""
    others_write = stat.S_IWGRP | stat.S_IWOTH
    private = stat.S_IRGRP | stat.S_IROTH | others_write
    sources, settings = workspace.sources, workspace.settings
    yield from _with_mode(settings.state, private, "holds phone numbers")
    given = (name for name, value in sources.dotenv.items() if value)
    if any(_is_secret(name) and not _names_file(name) for name in given):
        yield from _with_mode(sources.dotenv_path, private, "holds a secret")
    paths = set[Path]()
    for variables in (sources.environ, sources.dotenv):
        for name, value in variables.items():
            if value and _is_secret(name) and _names_file(name):
                with contextlib.suppress(ValueError):  # a path that cannot be is no file
                    paths.add(user_path(value))
    with contextlib.suppress(OSError):
        paths.update(Path(entry.path) for entry in os.scandir(settings.config_dir / "secrets"))
    for path in sorted(paths):
        yield from _with_mode(path, private, "holds a secret")
    directed = "decides where secrets and numbers are sent"
    yield from _with_mode(settings.config_dir, others_write, directed)


def _is_secret(name: str) -> bool:
    """A secret's variable, alone or with a channel or `_FILE` behind it."""
    variables = SECRET_VARIABLES.values()
    return any(name == variable or name.startswith(f"{variable}_") for variable in variables)


def _names_file(name: str) -> bool:
    variables = SECRET_VARIABLES.values()
    return name.endswith("_FILE") or any(name.startswith(f"{each}_FILE_") for each in variables)


def _with_mode(path: Path, unwanted: int, what: str) -> Iterator[Exposed]:
    try:
        found = path.stat()
    except OSError:
        return
    is_plain = stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)
    if is_plain and found.st_mode & unwanted:
        yield Exposed(str(path), stat.S_IMODE(found.st_mode), what)


class SourceSeen(NamedTuple):
    """One source: whether it answered, or why it was not asked or did not answer.

    The `reason` of a source that answered says what it did not give together.
    `ok` is None for a source that was not gathered: offline, or without access to it.
    """

    name: str
    ok: bool | None
    reason: str | None = None


class Unanswered(NamedTuple):
    """A source that could not be asked about one channel."""

    source: str
    channel: str
    error: WacoexError


class ChannelView(NamedTuple):
    """One channel: what is known of it, and what the state file holds beside that.

    `connection` follows from its facts, `zone` is the time zone its times are shown in. `journey`
    is the newest one of connecting, `records` its steps. `subscription` is None where there is no
    own app, `trouble` where no broadcast had any. `templates` are those of broadcasts to be sent,
    as planned and as Meta has them.
    """

    facts: ChannelFacts
    connection: Connection
    standing: Standing
    zone: str
    inventory: Inventory
    partner: PartnerRows
    trouble: Trouble | None
    unsupported: Summary
    echo_flow: EchoFlow
    taken_in_24_hours: int = 0
    templates: tuple[Pair, ...] = ()
    subscription: Subscription | None = None
    journey: Journey | None = None
    records: Mapping[str, Record] = {}

    @property
    def channel(self) -> Channel:
        """The channel itself."""
        return self.facts.channel

    @property
    def name(self) -> str:
        """The channel's name."""
        return self.channel.name

    @property
    def is_partner_missing(self) -> bool:
        """Whether Meta shows the apps of the account, and the expected partner's is not there.

        Not while the connection is lost or settling: then it is missing for another reason.
        """
        seen, connection = self.facts.seen, self.connection
        is_missing = seen is not None and is_seen(self.partner.expected, seen) is False
        is_settling = connection.state is ConnectionState.SETTLING
        return is_missing and not (connection.is_lost or is_settling)

    @property
    def is_partner_seen(self) -> bool:
        """Whether the expected partner's app was among those that get the webhooks."""
        seen = self.facts.seen
        return seen is not None and is_seen(self.partner.expected, seen) is True

    def must_wait(self, now: datetime) -> bool:
        """Whether WhatsApp may still bring the partner back by itself."""
        since = self.connection.since
        is_young = since is not None and now < from_text(since) + RETURNS_WITHIN
        is_reconnecting = self.connection.state is ConnectionState.RECONNECTING
        return is_reconnecting or (self.connection.is_lost and is_young)


class Snapshot(NamedTuple):
    """All channels and this machine at one moment; `is_whole` unless only the numbers matter.

    `arrivals` are the hours in which something came in, by source; `last_run`, `schedule`
    and `reach` are the reminder's; `versions` the Graph versions in use; `unplaced_stops` are of
    people who are known by an id only; `unplaced` events fit no channel, `unclear` ones were not
    understood: by the name of their channel, or under None. `notes` say how old the facts are, or
    how they were read, where that matters.
    """

    now: datetime
    is_offline: bool
    is_whole: bool
    channels: tuple[ChannelView, ...]
    machine: Machine
    sources: tuple[SourceSeen, ...] = ()
    failed: tuple[Unanswered, ...] = ()
    arrivals: Mapping[Source, list[tuple[str, int, str]]] = {}
    last_run: Mapping[str, Any] | None = None
    schedule: Mapping[str, Any] | None = None
    reach: NoticeReach = NoticeReach()
    versions: tuple[str, ...] = ()
    unplaced_stops: tuple[OptOut, ...] = ()
    unplaced: tuple[Unplaced, ...] = ()
    unclear: Mapping[str | None, Sequence[NotUnderstood]] = MappingProxyType({})
    notes: tuple[str, ...] = ()

    @property
    def unsigned(self) -> list[str]:
        """The channels whose calls to Meta are not signed with an app secret."""
        return [view.name for view in self.channels if view.facts.lacks_app_secret]


class _Gathered:
    """What came of asking beside the facts: webhooks and templates by channel_id, and failures."""

    def __init__(self) -> None:
        self.subscriptions: dict[int, Subscription] = {}
        self.templates: dict[int, tuple[Pair, ...]] = {}
        self.failed: list[Unanswered] = []
        self.answered: set[str] = set()
        self.notes: tuple[str, ...] = ()
        self.clock_skew_seconds: float | None = None


def take_snapshot(
    workspace: Workspace, channels: Sequence[Channel], *, is_offline: bool, is_whole: bool = True
) -> Snapshot:
    """Ask about these channels, keep what Meta said, and put everything together.

    With `is_offline` nobody is asked; unless it `is_whole` Meta is asked about the numbers,
    accounts and tokens, and nobody about anything else. Raises StateError for an unusable state
    file.
    """
    now, state = workspace.clock.now(), workspace.state
    _bring_up_to_date(state, workspace.clock)
    newest = newest_stored_at(state)
    facts = stored_facts(state, channels, now)
    gathered = _Gathered()
    if not is_offline:
        _ask(workspace, list(facts.values()), gathered, now, is_whole=is_whole)
    # The hours in which something came in, back to before any usual silence.
    places = Places(state)
    versions = {workspace.settings_for(channel.name).meta_api_version for channel in channels}
    return Snapshot(
        now=now,
        is_offline=is_offline,
        is_whole=is_whole,
        channels=tuple(_views(workspace, facts, gathered, now)),
        machine=look_at(
            workspace, newest, clock_skew_seconds=gathered.clock_skew_seconds, offline=is_offline
        ),
        sources=(
            SourceSeen(STATE, True),
            *(
                _source(workspace, name, secret, facts.values(), gathered, is_offline=is_offline)
                for name, secret in ((META, "meta-token"), (RESPONDIO, "respondio-token"))
            ),
        ),
        failed=tuple(gathered.failed),
        arrivals=checks.arrivals(state),
        last_run=Reminders(state).last_run(),
        schedule=Reminders(state).schedule(),
        reach=_reach(workspace, channels) if is_whole else NoticeReach(),
        versions=tuple(sorted(versions)),
        unplaced_stops=_unplaced_stops(state) if is_whole else (),
        unplaced=tuple(unplaced_events(state, places, now)),
        unclear=unclear_events(state, places, now),
        notes=gathered.notes,
    )


def _bring_up_to_date(state: State, clock: Clock) -> None:
    """Give all projections the events that they have not seen."""
    if not consumers.names:
        catch_up(state, [CHANNELS, checks.TRAFFIC], clock)
    elif EventLog(state).behind(consumers.names):
        catch_up(state, consumers.projections(), clock)


def _reach(workspace: Workspace, channels: Sequence[Channel]) -> NoticeReach:
    # Imported only now: who looks at the numbers alone needs nothing of what sends notices.
    from wacoex_cli.inactivity.notify import reach_of

    return reach_of(workspace, channels)


def _unplaced_stops(state: State) -> tuple[OptOut, ...]:
    # Imported only now: who looks at the numbers alone needs nothing of what reads answers.
    from wacoex_cli.contacts.stops import ids_without_number

    return tuple(ids_without_number(state))


def blames_the_token(error: WacoexError) -> bool:
    """Whether a failure is the token's fault (WX701).

    Not when Meta hides the object: then the id may be wrong, or the partner gone.
    """
    is_refused = error.details.get("code") not in {None, _OBJECT_NOT_VISIBLE}
    return isinstance(error, CredentialError) and is_refused


def _ask(
    workspace: Workspace,
    found: Sequence[ChannelFacts],
    gathered: _Gathered,
    now: datetime,
    *,
    is_whole: bool,
) -> None:
    # Imported only now: who looks offline needs nothing of what asks.
    from wacoex_cli.channels.look import Look
    from wacoex_cli.events import subscribe

    state = workspace.state
    look = Look(workspace, now, Facts(state).calls_in_hour(now))
    ids = [facts.channel.channel_id for facts in found]
    waiting = _waiting(state, ids) if is_whole else {}
    names: dict[str, set[str]] = {}
    for facts in found if is_whole else ():
        wanted = {each.name for each in waiting.get(facts.channel.channel_id, ())}
        names.setdefault(facts.channel.waba_id or "", set()).update(wanted)

    async def more(facts: ChannelFacts) -> None:
        """What Meta knows beside number and account: our app's webhooks, templates to be sent."""
        channel = facts.channel
        planned = waiting.get(channel.channel_id, ())
        hook: Subscription | WacoexError | None
        pairs: tuple[Pair, ...] | WacoexError
        try:
            hook = await subscribe.look_beside(
                workspace, facts, look.once, patience_seconds=PATIENCE_SECONDS
            )
        except WacoexError as error:
            hook = error
        try:
            of_account = names[channel.waba_id or ""]
            pairs = await _templates(workspace, look, channel, planned, of_account)
        except WacoexError as error:
            pairs = error
        for answer in (hook, pairs):
            if isinstance(answer, WacoexError) and answer.code not in _NO_ACCESS:
                gathered.failed.append(Unanswered(META, facts.name, answer))
        if hook is not None and not isinstance(hook, WacoexError):
            gathered.subscriptions[channel.channel_id] = hook
        if not isinstance(pairs, WacoexError):
            gathered.templates[channel.channel_id] = pairs

    workspace.run(look.read(found, with_respondio=is_whole, more=more if is_whole else None))
    gathered.clock_skew_seconds, gathered.notes = look.clock_skew_seconds, tuple(look.notes)
    with state.transaction():
        look.keep(state, found)
        for facts in found:
            Signs(state).add(onboarding_signs(facts.channel, values_of(facts.read), now))
    for facts in found if is_whole else ():
        _take_failures(facts, gathered)


def _waiting(state: State, channel_ids: Collection[int]) -> dict[int, list[Template]]:
    """The templates of broadcasts of these channels that Meta is still to be sent, as planned.

    By channel_id, those of the newest broadcasts first. What was planned for respond.io is checked
    against its own copy before it is sent.
    """
    from wacoex_cli.ledger.model import Status
    from wacoex_cli.ledger.store import Broadcasts
    from wacoex_cli.templates.model import Template

    to_be_sent = (Status.PLANNED, Status.PAUSED, Status.SENDING)
    texts: dict[int, dict[str, None]] = defaultdict(dict)
    for broadcast in Broadcasts(state).in_status(to_be_sent, channel_ids):
        if broadcast.provider is Provider.META:
            texts[broadcast.channel_id][broadcast.template] = None
    found = {}
    for channel_id, planned_texts in texts.items():
        planned = (Template.from_json(json.loads(text)) for text in planned_texts)
        versions = [version for template in planned for version in template.versions]
        found[channel_id] = versions[:_MOST_TEMPLATES]
    return found


async def _templates(
    workspace: Workspace,
    look: Look,
    channel: Channel,
    waiting: Sequence[Template],
    of_account: Collection[str],
) -> tuple[Pair, ...]:
    """Each template with what Meta has of it; one that is not there any more is left out.

    The templates of an account are asked for once: each by its name, or all where many names are
    needed (`of_account`). Raises what `Meta.templates` raises.
    """
    if not waiting:
        return ()
    from wacoex_cli.templates.model import Template

    meta = meta_for(workspace, channel, patience_seconds=PATIENCE_SECONDS)
    waba_id, found = channel.demand_waba_id(), []
    for planned in waiting:
        name = planned.name if len(of_account) <= _ASKED_BY_NAME else None
        records = await look.once(
            (meta.caller, waba_id, "templates", name or ""),
            partial(meta.templates, waba_id, name=name),
        )
        if isinstance(records, WacoexError):
            raise records
        wanted = (planned.name, planned.language)
        # Meta's filter is a search: `promo` finds `promo_2` too.
        found += [
            (planned, Template.from_meta(record))
            for record in records
            if (record.get("name"), record.get("language")) == wanted
        ][:1]
    return tuple(found)


def _take_failures(facts: ChannelFacts, gathered: _Gathered) -> None:
    """What the token is to blame for is shown as that (WX701), and only once."""
    name = facts.name
    if any(fact.is_available for fact in facts.read):
        gathered.answered.add(META)
    at_meta = [error for part, error in facts.failures.items() if part != RESPONDIO]
    if facts.lacks_token or any(map(blames_the_token, at_meta)):
        gathered.failed = [failure for failure in gathered.failed if failure[:2] != (META, name)]
    else:
        error = facts.apps.error if facts.apps else None
        if error and "apps" not in facts.failures and not _is_explained(facts, error):
            at_meta.append(error)
        gathered.failed += [Unanswered(META, name, error) for error in at_meta]
    if facts.listed and facts.listed.error:
        gathered.failed.append(Unanswered(RESPONDIO, name, facts.listed.error))
    elif facts.listed:
        gathered.answered.add(RESPONDIO)


def _is_explained(facts: ChannelFacts, error: WacoexError) -> bool:
    """Whether a finding says why the account could not be read (WX207, WX215)."""
    is_lost = facts.connection.is_lost or facts.lost_account is not None
    return error.code == WRONG_KIND or (is_lost and is_not_visible(error))


def _views(
    workspace: Workspace, found: Mapping[int, ChannelFacts], gathered: _Gathered, now: datetime
) -> Iterator[ChannelView]:
    """Each channel with everything that the state file knows and that was read just now."""
    state, channels = workspace.state, [facts.channel for facts in found.values()]
    of_accounts = {key: facts.account_events for key, facts in found.items()}
    addresses = Signs(state).addresses_by_channel(channels)
    known = ReadOnce(addresses, of_accounts, NewestSigns(state, addresses))
    standing_of = standings(workspace, channels, now, known=known)
    values = {key: facts.values for key, facts in found.items()}
    listed = inventories(state, channels, now, known, values)
    numbers = Numbers(state, known.addresses)
    partners = rows_of(workspace, channels, numbers, now)
    trouble, taken = _of_broadcasts(state, channels, now)
    unsupported = checks.summaries(state, channels, numbers, now, known)
    flows = checks.flows(state, numbers, now)
    journeys = _journeys(state, list(found))
    for key, facts in found.items():
        journey, records = journeys.get(key, (None, {}))
        yield ChannelView(
            facts=facts,
            connection=facts.connection,
            standing=standing_of[key],
            zone=zone_of(workspace, facts.channel),
            inventory=listed[key],
            partner=partners[key],
            trouble=trouble.get(key),
            unsupported=unsupported[key],
            echo_flow=flows[key],
            taken_in_24_hours=taken.get(key, 0),
            templates=gathered.templates.get(key, ()),
            subscription=gathered.subscriptions.get(key),
            journey=journey,
            records=records,
        )


def _of_broadcasts(
    state: State, channels: Sequence[Channel], now: datetime
) -> tuple[Mapping[int, Trouble], Mapping[int, int]]:
    """By channel_id what went wrong, and how many people got messages in the last 24 hours."""
    if state.value("SELECT 1 FROM broadcasts LIMIT 1") is None:
        return {}, {}
    # Imported only now, as the next one: who only watches numbers needs nothing of it.
    from wacoex_cli.broadcast.checks import troubles
    from wacoex_cli.ledger.figures import taken_since

    taken = taken_since(state, [channel.channel_id for channel in channels], now - _DAY)
    return troubles(state, channels, now), taken


def _journeys(
    state: State, channel_ids: Sequence[int]
) -> Mapping[int, tuple[Journey, Mapping[str, Record]]]:
    """The newest journey of connecting of each of these channels that has one, and its steps."""
    if state.value("SELECT 1 FROM journeys LIMIT 1") is None:
        return {}
    from wacoex_cli.onboarding.model import JourneyKind
    from wacoex_cli.onboarding.store import Journeys

    journeys = Journeys(state).newest_by_channel(channel_ids, JourneyKind.CONNECT)
    records = Journeys(state).records_of([it.journey_id for it in journeys.values()])
    return {key: (journey, records[journey.journey_id]) for key, journey in journeys.items()}


def _source(
    workspace: Workspace,
    name: str,
    secret: str,
    found: Collection[ChannelFacts],
    gathered: _Gathered,
    *,
    is_offline: bool,
) -> SourceSeen:
    failed = [failure.error for failure in gathered.failed if failure.source == name]
    if name == META:
        parts = (part for facts in found for part in facts.failures.items())
        failed += [error for part, error in parts if part != RESPONDIO]
    if is_offline:
        return SourceSeen(name, None, "offline: no request was sent")
    if not any(workspace.secrets.find(secret, facts.name) for facts in found):
        return SourceSeen(name, None, f"there is no {secret}")
    if failed:
        return SourceSeen(name, False, failed[0].message)
    if name in gathered.answered:
        return SourceSeen(name, True, "; ".join(gathered.notes) or None if name == META else None)
    return SourceSeen(name, None, "no channel needs it")

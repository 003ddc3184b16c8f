"""What follows from the readings of a channel, for `status` and `doctor` alike. Pure."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from wacoex_cli.broadcast.checks import check_limit_used_up
from wacoex_cli.channels.checks import SENDING_FIELDS, check_can_send
from wacoex_cli.channels.connection import allow_for_settling
from wacoex_cli.channels.facts import values_of
from wacoex_cli.channels.removal import wait_for
from wacoex_cli.channels.token_checks import check_token, missing_token, refused_token
from wacoex_cli.errors import CredentialError
from wacoex_cli.findings.model import Severity
from wacoex_cli.foundation.clock import from_text, to_text
from wacoex_cli.onboarding.checks import check_records, check_window
from wacoex_cli.onboarding.model import SYNC_WINDOW, Route, StepState

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from wacoex_cli.channels.facts import Fact
    from wacoex_cli.diagnosis.asked import Reading
    from wacoex_cli.errors import WacoexError
    from wacoex_cli.findings.model import Finding
    from wacoex_cli.onboarding.model import Journey, Record

_OBJECT_NOT_VISIBLE = 100
_LOOKED_AFTER = timedelta(days=30)


def check_sending(
    facts: Sequence[Fact],
    reading: Reading,
    lost: Sequence[Finding],
    taken_in_24_hours: int,
    channel: str,
    now: datetime,
) -> list[Finding]:
    """WX201, WX206, WX208, WX501 and WX502 from the facts, unless the number itself is not known.

    `lost` are the findings about a lost connection: beside them nobody is told to connect again.
    """
    if not reading.is_known:
        return []
    values = values_of(facts)
    seen = oldest(facts, SENDING_FIELDS, now)
    limit = values.get("whatsapp_business_manager_messaging_limit")
    found = check_can_send(values, channel, seen)
    found = allow_for_settling(found, values, channel, now, seen)
    found += check_limit_used_up(limit, taken_in_24_hours, channel, seen)
    return wait_for(lost, found)


def check_access(
    facts: Sequence[Fact], reading: Reading, channel: str, now: datetime
) -> list[Finding]:
    """WX701 from what Meta said about the token, or from how it refused it."""
    seen = to_text(now)
    if reading.lacks_token:
        return [missing_token(channel, seen)]
    said = values_of(facts if reading.is_known else reading.facts)
    when = oldest([one for one in reading.facts if one.name.startswith("token.")], (), now)
    found = check_token(said, channel, now, when)
    refusal = next(filter(blames_the_token, reading.failures), None)
    if refusal and all(one.severity is not Severity.UNKNOWN for one in found):
        found.append(refused_token(channel, refusal.message, seen))
    return found


def check_journey(
    journey: Journey | None,
    records: Mapping[str, Record],
    onboarded_at: datetime | None,
    channel: str,
    now: datetime,
) -> list[Finding]:
    """WX601 to WX607 from a journey of connecting that is open, or ended less than 30 days ago.

    `onboarded_at` is when Meta says that the number was connected.
    """
    if journey is None:
        return []
    if journey.finished_at and now - from_text(journey.finished_at) > _LOOKED_AFTER:
        return []
    found = check_records(records, channel, to_text(now))
    signup, sync = records.get("signup"), records.get("sync")
    is_open = sync is None or sync.state is StepState.OPEN
    is_due = signup is not None and signup.state is StepState.SETTLED and is_open
    if journey.via is Route.SIGNUP and onboarded_at and is_due and not journey.finished_at:
        found += check_window(onboarded_at + SYNC_WINDOW, channel, now, "meta")
    return found


def oldest(facts: Sequence[Fact], names: Sequence[str], now: datetime) -> str:
    """When the oldest of these facts was read; now where there is none."""
    times = [one.observed_at for one in facts if not names or one.name in names]
    return min(times, default=to_text(now))


def blames_the_token(error: WacoexError) -> bool:
    """Whether a failure is the token's fault (WX701).

    Not when Meta hides the object: then the id may be wrong, or the partner gone.
    """
    return isinstance(error, CredentialError) and error.details.get("code") not in {
        None,
        _OBJECT_NOT_VISIBLE,
    }

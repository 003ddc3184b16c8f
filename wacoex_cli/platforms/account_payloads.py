"""Meta's webhook fields about accounts, numbers and templates: what is kept, what they report.

Access and money hang on them, so what cannot be read, and a word that no rule judges, is reported
with the event (`unclear`, `look`): WX213. Sources: Meta, webhooks reference (the page of each
field).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Self, Unpack, cast

from wacoex_cli.platforms import privacy as keep
from wacoex_cli.platforms.events import Event, EventData, Kind
from wacoex_cli.platforms.privacy import Compared, Open, Reading, number, word
from wacoex_cli.platforms.webhook_fields import FieldValue, NumberValue, Origin

_OFFBOARDED, _RECONNECTED = "ACCOUNT_OFFBOARDED", "ACCOUNT_RECONNECTED"


_ALERTS_WITHOUT_HARM = ("OBA_", "PROFILE_PICTURE_", "INCREASED_CAPABILITIES_ELIGIBILITY_")


class _AccountValue(Compared, FieldValue):
    """What Meta says about an account, a number or a template."""

    IGNORED: ClassVar[frozenset[str]] = frozenset()
    """Parts whose loss changes nothing."""

    def unclear(self) -> list[str]:
        return [name for name in self.lost if name not in self.IGNORED]


class _Solution(Compared):
    partner_app_id: keep.Identifier = None
    solution_id: keep.Identifier = None
    solution_partner_business_ids: keep.Identifiers = None


class _WabaInfo(_Solution):
    waba_id: keep.Identifier = None
    owner_business_id: keep.Identifier = None


class _Disconnection(Compared):
    reason: keep.Said = None
    initiated_by: keep.Said = None


class _Restriction(Compared):
    restriction_type: keep.Said = None
    expiration: keep.Time = None


class _Ban(Compared):
    waba_ban_state: keep.Said = None
    waba_ban_date: keep.Day = None


class _Violation(Compared):
    violation_type: keep.Said = None


class AccountUpdate(_AccountValue, _Solution):
    IGNORED = frozenset({"country", "ban_info.waba_ban_date"})
    # Those that a finding of their own is about, and those that take nothing away.
    JUDGED: ClassVar[frozenset[str]] = frozenset(
        {"ACCOUNT_DELETED", "ACCOUNT_RESTRICTION", "ACCOUNT_VIOLATION", "DISABLED_UPDATE"}
        | {"PARTNER_ADDED", "PARTNER_REMOVED", _OFFBOARDED, _RECONNECTED, "PARTNER_APP_INSTALLED"}
        | {"VOLUME_BASED_PRICING_TIER_UPDATE", "BUSINESS_PRIMARY_LOCATION_COUNTRY_UPDATE"}
        | {"AUTH_INTL_PRICE_ELIGIBILITY_UPDATE", "MM_LITE_TERMS_SIGNED", "AD_ACCOUNT_LINKED"}
        | {"PARTNER_CLIENT_CERTIFICATION_STATUS_UPDATE", "VERIFIED_ACCOUNT"}
    )

    event: keep.Said = None
    phone_number: keep.Phone = None
    phone_number_id: keep.Identifier = None
    waba_info: keep.Part[_WabaInfo] = None
    disconnection_info: keep.Part[_Disconnection] = None
    restriction_info: keep.Parts[_Restriction] = None
    ban_info: keep.Part[_Ban] = None
    violation_info: keep.Part[_Violation] = None
    country: keep.Word = None

    def number(self) -> tuple[str | None, str | None]:
        return self.phone_number_id, None

    def unclear(self) -> list[str]:
        return super().unclear() or ([] if self.event else ["event"])

    def to_look_at(self) -> bool:
        return self.event is not None and self.event not in self.JUDGED

    def events(self, origin: Origin) -> Iterator[Event]:
        if self.event is None:
            return
        waba, kept = self.waba_info or _WabaInfo(), self.kept()
        removal = self.disconnection_info or _Disconnection()
        # `entry.id` is the WABA in one documented shape and somebody's portfolio in the other.
        yield origin._replace(entry_id=waba.waba_id, phone=self.phone_number).event(
            Kind.ACCOUNT_UPDATE,
            self,
            name=origin.name_of(self),
            event=self.event,
            reason=removal.reason,
            initiated_by=removal.initiated_by,
            entry_id=origin.entry_id,
            owner_business_id=waba.owner_business_id,
            partner_app_id=self.partner_app_id or waba.partner_app_id,
            solution_id=self.solution_id or waba.solution_id,
            solution_partner_business_ids=self.solution_partner_business_ids
            or waba.solution_partner_business_ids,
            restriction_info=kept.get("restriction_info"),
            ban_info=kept.get("ban_info"),
            violation_type=self.violation_info.violation_type if self.violation_info else None,
        )


class Offboarded(AccountUpdate):
    event: Annotated[str, keep.said_or(_OFFBOARDED)] = _OFFBOARDED


class Reconnected(AccountUpdate):
    event: Annotated[str, keep.said_or(_RECONNECTED)] = _RECONNECTED


class _OtherInfo(Compared):
    title: keep.Constant = None


class _DisableInfo(Compared):
    disable_date: keep.Day = None


class _Template(_AccountValue):
    IGNORED = frozenset(
        {"message_template_category", "reason", "other_info", "other_info.title"}
        | {"disable_info", "disable_info.disable_date"}
    )

    message_template_id: keep.Identifier = None
    message_template_name: keep.Identifier = None
    message_template_language: keep.Word = None

    def unclear(self) -> list[str]:
        names = (self.message_template_id, self.message_template_name)
        return super().unclear() or ([] if any(names) else ["message_template_id"])

    def of_template(self, origin: Origin, kind: Kind, **data: Unpack[EventData]) -> Event:
        data["template_id"] = self.message_template_id
        data["template_name"] = self.message_template_name
        data["template_language"] = self.message_template_language
        return origin.event(kind, self, **data)


class TemplateStatus(_Template):
    JUDGED: ClassVar[frozenset[str]] = frozenset(
        {"APPROVED", "ARCHIVED", "DELETED", "DISABLED", "FLAGGED", "IN_APPEAL", "LIMIT_EXCEEDED"}
        | {"LOCKED", "PAUSED", "PENDING", "PENDING_DELETION", "REINSTATED", "REJECTED"}
        | {"UNARCHIVED", "UNLOCKED"}
    )

    event: keep.Said = None
    message_template_category: keep.Word = None
    reason: keep.Constant = None
    other_info: keep.Part[_OtherInfo] = None
    disable_info: keep.Part[_DisableInfo] = None

    def unclear(self) -> list[str]:
        return super().unclear() or ([] if self.event else ["event"])

    def to_look_at(self) -> bool:
        return self.event is not None and self.event not in self.JUDGED

    def events(self, origin: Origin) -> Iterator[Event]:
        title = self.other_info.title if self.other_info else None
        yield self.of_template(
            origin, Kind.TEMPLATE_STATUS, event=self.event, reason=self.reason, title=title
        )


class TemplateCategory(_Template):
    """A template is charged, and may be refused, as one of another category, now or soon.

    Before Meta changes a category itself, `new_category` is still the present one, and
    `correct_category` the coming one. Source: "Meta: template_category_update".
    """

    previous_category: keep.Said = None
    new_category: keep.Said = None
    correct_category: keep.Said = None

    def unclear(self) -> list[str]:
        is_read = self.new_category or self.correct_category
        return super().unclear() or ([] if is_read else ["new_category"])

    def to_look_at(self) -> bool:
        coming = self.correct_category or self.new_category
        return self.previous_category != self.new_category or coming != self.new_category

    def events(self, origin: Origin) -> Iterator[Event]:
        coming = self.correct_category
        yield self.of_template(
            origin,
            Kind.TEMPLATE_CATEGORY,
            old=self.previous_category,
            new=self.new_category,
            category=None if coming == self.new_category else coming,
        )


class TemplateText(_Template):
    """A template was edited; what it says now is not kept."""

    def events(self, origin: Origin) -> Iterator[Event]:
        yield self.of_template(origin, Kind.TEMPLATE_TEXT)


class TemplateQuality(_Template):
    previous_quality_score: keep.Said = None
    new_quality_score: keep.Said = None

    def unclear(self) -> list[str]:
        return super().unclear() or ([] if self.new_quality_score else ["new_quality_score"])

    def events(self, origin: Origin) -> Iterator[Event]:
        yield self.of_template(
            origin, Kind.QUALITY, old=self.previous_quality_score, new=self.new_quality_score
        )


class NumberQuality(_AccountValue, NumberValue):
    JUDGED: ClassVar[frozenset[str]] = frozenset(
        {"ONBOARDING", "THROUGHPUT_UPGRADE", "UNFLAGGED", "UPGRADE"}
    )

    event: keep.Said = None
    current_limit: keep.Word = None
    old_limit: keep.Word = None
    max_daily_conversations_per_business: keep.Identifier = None

    def unclear(self) -> list[str]:
        return super().unclear() or ([] if self.event else ["event"])

    def to_look_at(self) -> bool:
        return self.event is not None and self.event not in self.JUDGED

    def events(self, origin: Origin) -> Iterator[Event]:
        limit = self.max_daily_conversations_per_business or self.current_limit
        yield origin.event(
            Kind.QUALITY, self, event=self.event, limit=limit, old_limit=self.old_limit
        )


class Capability(FieldValue, Open):
    """The `max_...`: names vary, values are numbers or tiers."""

    @classmethod
    def read(cls, value: Mapping[str, Any], reading: Reading) -> Self:
        """The limits, and nothing else."""
        found = cls()
        limits = {}
        for name, limit in value.items():
            kept = word(limit) if number(limit) is None else number(limit)
            if name.startswith("max_") and word(name) and kept is not None:
                limits[name] = kept
        found._more = limits
        return found

    def unclear(self) -> list[str]:
        known = self.kept()
        lost = [name for name in self.names_sent if name.startswith("max_") and name not in known]
        return lost or ([] if known else ["max_daily_conversations_per_business"])

    def events(self, origin: Origin) -> Iterator[Event]:
        yield origin.event(Kind.CAPABILITY, self, **cast("EventData", self.kept()))


class _AlertInfo(Compared):
    alert_severity: keep.Said = None
    alert_status: keep.Said = None
    alert_type: keep.Said = None


class AccountAlert(_AccountValue, _AlertInfo):
    MILD: ClassVar[frozenset[str]] = frozenset({"INFORMATIONAL", "WARNING"})

    entity_type: keep.Said = None
    entity_id: keep.Identifier = None
    alert_info: keep.Part[_AlertInfo] = None

    def unclear(self) -> list[str]:
        return super().unclear() or ([] if self._severity else ["alert_severity"])

    def to_look_at(self) -> bool:
        """Whether it is a critical alert of a kind that is not known to be harmless."""
        inner = self.alert_info or _AlertInfo()
        name = inner.alert_type or self.alert_type or ""
        is_over = (inner.alert_status or self.alert_status) == "NONE"
        is_mild = self._severity is None or self._severity in self.MILD
        return not (is_mild or is_over or name.startswith(_ALERTS_WITHOUT_HARM))

    @property
    def _severity(self) -> str | None:
        return (self.alert_info.alert_severity if self.alert_info else None) or self.alert_severity

    def events(self, origin: Origin) -> Iterator[Event]:
        inner = self.alert_info or _AlertInfo()
        if self.entity_type == "PHONE_NUMBER":
            origin = origin._replace(phone_number_id=self.entity_id)
        yield origin.event(
            Kind.ALERT,
            self,
            severity=self._severity,
            status=inner.alert_status or self.alert_status,
            type=inner.alert_type or self.alert_type,
            entity_type=self.entity_type,
            entity_id=self.entity_id,
        )


class _Decided(_AccountValue, NumberValue, Open):
    """A field that comes down to one word: nothing is to be done only where it is a good one."""

    GOOD: ClassVar[frozenset[str]] = frozenset()

    event: keep.Said = None
    decision: keep.Said = None
    new_status: keep.Said = None
    alert_state: keep.Said = None
    status: keep.Said = None

    @property
    def stored(self) -> dict[str, Any]:
        """What is kept, but for two words that never were: a delivery is known by that."""
        left_out = ("decision", "alert_state")
        return {name: part for name, part in super().stored.items() if name not in left_out}

    @property
    def said_word(self) -> str | None:
        words = (self.decision, self.new_status, self.alert_state, self.status, self.event)
        return next(filter(None, words), None)

    def unclear(self) -> list[str]:
        return super().unclear() or ([] if self.said_word else ["event"])

    def to_look_at(self) -> bool:
        return self.said_word is not None and self.said_word not in self.GOOD


class AccountReview(_Decided):
    """Meta's review of an account: APPROVED, REJECTED, PENDING or DEFERRED."""

    GOOD = frozenset({"APPROVED"})


class DisplayName(_Decided):
    """Meta's decision on the name that people see."""

    GOOD = frozenset({"APPROVED"})


class Security(_Decided):
    """The two-step PIN: PIN_CHANGED, PIN_RESET_REQUEST or PIN_REQUEST_SUCCESS."""

    GOOD = frozenset({"PIN_CHANGED"})


class FlowState(_Decided):
    """A flow was published, blocked or throttled, or fails more often."""

    GOOD = frozenset({"DEACTIVATED", "DEPRECATED", "DRAFT", "PUBLISHED"})


class Payment(_Decided):
    """The state of a way in which people pay in WhatsApp."""

    GOOD = frozenset({"ACTIVE"})


class BusinessStatus(_Decided):
    """Somebody else may have got into the business (COMPROMISED_NOTIFICATION)."""

"""Meta's webhook fields about accounts, numbers and templates: what is kept, what they report.

Sources: Meta, webhooks reference (the page of each field).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated, Any, Unpack, cast

from pydantic import PlainValidator, model_validator

from wacoex_cli.platforms import privacy as keep
from wacoex_cli.platforms.events import Event, EventData, Kind
from wacoex_cli.platforms.privacy import Kept, number, word
from wacoex_cli.platforms.webhook_fields import FieldValue, NumberValue, Origin

_OFFBOARDED, _RECONNECTED = "ACCOUNT_OFFBOARDED", "ACCOUNT_RECONNECTED"


class _Solution(Kept):
    partner_app_id: keep.Identifier = None
    solution_id: keep.Identifier = None
    solution_partner_business_ids: keep.Identifiers = None


class _WabaInfo(_Solution):
    waba_id: keep.Identifier = None
    owner_business_id: keep.Identifier = None


class _Disconnection(Kept):
    reason: keep.Word = None
    initiated_by: keep.Word = None


class _Restriction(Kept):
    restriction_type: keep.Word = None
    expiration: keep.Time = None


class _Ban(Kept):
    waba_ban_state: keep.Word = None
    waba_ban_date: keep.Day = None


class _Violation(Kept):
    violation_type: keep.Word = None


class AccountUpdate(FieldValue, _Solution):
    event: keep.Word = None
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

    def events(self, origin: Origin) -> Iterator[Event]:
        if self.event is None:
            return
        waba, kept = self.waba_info or _WabaInfo(), self.kept()
        removal = self.disconnection_info or _Disconnection()
        # `entry.id` is the WABA in one documented shape and somebody's portfolio in the other.
        yield replace(origin, entry_id=waba.waba_id, phone=self.phone_number).event(
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
    event: Annotated[str, PlainValidator(lambda value: word(value) or _OFFBOARDED)] = _OFFBOARDED


class Reconnected(AccountUpdate):
    event: Annotated[str, PlainValidator(lambda value: word(value) or _RECONNECTED)] = _RECONNECTED


class _OtherInfo(Kept):
    title: keep.Constant = None


class _DisableInfo(Kept):
    disable_date: keep.Day = None


class _Template(FieldValue):
    message_template_id: keep.Identifier = None
    message_template_name: keep.Identifier = None
    message_template_language: keep.Word = None

    def of_template(self, origin: Origin, kind: Kind, **data: Unpack[EventData]) -> Event:
        data["template_id"] = self.message_template_id
        data["template_name"] = self.message_template_name
        data["template_language"] = self.message_template_language
        return origin.event(kind, self, **data)


class TemplateStatus(_Template):
    event: keep.Word = None
    message_template_category: keep.Word = None
    reason: keep.Constant = None
    other_info: keep.Part[_OtherInfo] = None
    disable_info: keep.Part[_DisableInfo] = None

    def events(self, origin: Origin) -> Iterator[Event]:
        title = self.other_info.title if self.other_info else None
        yield self.of_template(
            origin, Kind.TEMPLATE_STATUS, event=self.event, reason=self.reason, title=title
        )


class TemplateCategory(_Template):
    """Before Meta changes a category itself, `new` is still the one of now, `correct` the next."""

    previous_category: keep.Word = None
    new_category: keep.Word = None
    correct_category: keep.Word = None

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
    previous_quality_score: keep.Word = None
    new_quality_score: keep.Word = None

    def events(self, origin: Origin) -> Iterator[Event]:
        yield self.of_template(
            origin, Kind.QUALITY, old=self.previous_quality_score, new=self.new_quality_score
        )


class NumberQuality(NumberValue):
    event: keep.Word = None
    current_limit: keep.Word = None
    old_limit: keep.Word = None
    max_daily_conversations_per_business: keep.Identifier = None

    def events(self, origin: Origin) -> Iterator[Event]:
        limit = self.max_daily_conversations_per_business or self.current_limit
        yield origin.event(
            Kind.QUALITY, self, event=self.event, limit=limit, old_limit=self.old_limit
        )


class Capability(FieldValue, extra="allow"):
    """The `max_...`: names vary, values are numbers or tiers."""

    @model_validator(mode="before")
    @classmethod
    def _limits(cls, value: dict[str, Any]) -> dict[str, int | str]:
        limits = {}
        for name, limit in value.items():
            kept = word(limit) if number(limit) is None else number(limit)
            if name.startswith("max_") and word(name) and kept is not None:
                limits[name] = kept
        return limits

    def events(self, origin: Origin) -> Iterator[Event]:
        yield origin.event(Kind.CAPABILITY, self, **cast("EventData", self.kept()))


class _AlertInfo(Kept):
    alert_severity: keep.Word = None
    alert_status: keep.Word = None
    alert_type: keep.Word = None


class AccountAlert(FieldValue, _AlertInfo):
    entity_type: keep.Word = None
    entity_id: keep.Identifier = None
    alert_info: keep.Part[_AlertInfo] = None

    def events(self, origin: Origin) -> Iterator[Event]:
        inner = self.alert_info or _AlertInfo()
        if self.entity_type == "PHONE_NUMBER":
            origin = replace(origin, phone_number_id=self.entity_id)
        yield origin.event(
            Kind.ALERT,
            self,
            severity=inner.alert_severity or self.alert_severity,
            status=inner.alert_status or self.alert_status,
            type=inner.alert_type or self.alert_type,
            entity_type=self.entity_type,
            entity_id=self.entity_id,
        )

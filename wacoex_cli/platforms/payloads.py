"""Payloads of Meta and respond.io: from bytes, or an object, to typed events without content.

Meta's webhooks are described here, its message history in `message_history`, respond.io's in
`respondio_webhooks`.
A webhook field is one class below: its fields are what may be kept, its `events` what it reports.
Source: Meta, webhooks reference (the page of each field).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, Unpack, cast

from pydantic import Field, PlainValidator, PrivateAttr, ValidationInfo, model_validator

from wacoex_cli.foundation.clock import to_text
from wacoex_cli.platforms import privacy as keep
from wacoex_cli.platforms.events import (
    Event,
    EventData,
    Kind,
    Payload,
    Source,
    UnreadablePayload,
    read_moment,
    reported,
)
from wacoex_cli.platforms.message_history import MetaMessageHistory
from wacoex_cli.platforms.privacy import (
    Kept,
    Open,
    canonical,
    digest,
    key_names,
    name_of,
    number,
    word,
)
from wacoex_cli.platforms.respondio_webhooks import RespondIOWebhook
from wacoex_cli.platforms.unknown_payloads import unread, whole_of

if TYPE_CHECKING:
    from datetime import datetime

_OFFBOARDED, _RECONNECTED = "ACCOUNT_OFFBOARDED", "ACCOUNT_RECONNECTED"
_NOT_CARRIED = frozenset({131051, 131060})
_KINDS = {
    "edit": Kind.EDIT,
    "revoke": Kind.REVOKE,
    "unsupported": Kind.UNSUPPORTED,
    "unknown": Kind.UNSUPPORTED,
    "system": Kind.OTHER,  # WhatsApp speaks here, nobody wrote: such as a changed number
}


@dataclass(frozen=True, slots=True)
class _Origin:
    """Where in a webhook something stands. `at` is when its entry is from (RFC 3339).

    Where the entry has no time either, `at` is when it was received: then it is not dated.
    """

    field: str
    entry_id: str | None
    entry_time: object
    at: str
    is_dated: bool
    phone_number_id: str | None
    phone: str | None

    def event(
        self,
        kind: Kind,
        part: Kept | Sequence[Kept],
        name: str | None = None,
        time: object = None,
        contact: str | None = None,
        message_id: str | None = None,
        **data: Unpack[EventData],
    ) -> Event:
        """An event about `part`, which its key is made of unless it has a `name` of its own."""
        at = read_moment(time)
        data["undated"] = None if at or self.is_dated else True
        return Event(
            key=f"{Source.META}:{kind}:{name or self.name_of(part)}",
            kind=kind,
            source=Source.META,
            at=at or self.at,
            phone_number_id=self.phone_number_id,
            phone=self.phone,
            waba_id=self.entry_id,
            contact=contact,
            message_id=message_id,
            data=reported(**data),
        )

    def other(
        self,
        part: Kept,
        type_: str | None = None,
        code: int | None = None,
        keys: list[str] | None = None,
    ) -> Event:
        """An event that nothing more is known about."""
        field = self.field or "unknown"
        return self.event(Kind.OTHER, part, field=field, type=type_, code=code, keys=keys)

    def name_of(self, part: Kept | Sequence[Kept]) -> str:
        """What names a part that has no id: the same whenever the same entry is sent again."""
        kept = part.kept() if isinstance(part, Kept) else [element.kept() for element in part]
        return name_of([kept, self.entry_id, self.entry_time])


class _Error(Kept):
    code: keep.Number = None


class _Metadata(Kept):
    display_phone_number: keep.Phone = None
    phone_number_id: keep.Identifier = None


class _Value(Kept):
    """The `value` of a change, one class for each webhook field."""

    _keys: Callable[[], list[str]] = PrivateAttr(default=list)

    def number(self) -> tuple[str | None, str | None]:
        """The phone number id and the phone number of ours that it names."""
        return None, None

    def events(self, origin: _Origin) -> Iterator[Event]:
        yield from ()


class _NumberValue(_Value):
    metadata: keep.Part[_Metadata] = None
    display_phone_number: keep.Phone = None
    phone_number_id: keep.Identifier = None

    def number(self) -> tuple[str | None, str | None]:
        metadata = self.metadata or _Metadata()
        return (
            metadata.phone_number_id or self.phone_number_id,
            metadata.display_phone_number or self.display_phone_number,
        )


class _Unknown(_NumberValue, Open):
    """A field of tomorrow: ids, types, times and the like, and where they stood."""


class _Contact(Kept):
    wa_id: keep.Phone = None
    user_id: keep.Identifier = None

    def named(self, phone: str | None, *user_ids: str | None) -> str | None:
        """The other person: by a number, else by the first business-scoped user id."""
        if number := phone or self.wa_id:
            return number
        return next((f"user_id:{found}" for found in (*user_ids, self.user_id) if found), None)


class _Type(Kept):
    type: keep.Word = None


class _Status(Kept):
    status: keep.Word = None


class _Id(Kept):
    id: keep.Identifier = None


class _Referral(Kept):
    source_type: keep.Word = None


class _Revoke(Kept):
    original_message_id: keep.Identifier = None


class _Edit(_Revoke):
    message: keep.Part[_Type] = None


class _Message(Kept):
    id: keep.Identifier = None
    timestamp: keep.Time = None
    type: keep.Word = None
    sender: keep.Phone = Field(default=None, alias="from")
    to: keep.Phone = None
    user_id: keep.Identifier = None
    from_user_id: keep.Identifier = None
    to_user_id: keep.Identifier = None
    recipient_user_id: keep.Identifier = None
    group_id: keep.Identifier = None
    context: keep.Part[_Id] = None
    errors: keep.Parts[_Error] = None
    referral: keep.Part[_Referral] = None
    unsupported: keep.Part[_Type] = None
    edit: keep.Part[_Edit] = None
    revoke: keep.Part[_Revoke] = None
    system: keep.Part[_Type] = None
    history_context: keep.Part[_Status] = None

    @property
    def kind(self) -> Kind:
        if self.type in _KINDS:
            return _KINDS[self.type]
        return Kind.UNSUPPORTED if _first_code(self.errors) in _NOT_CARRIED else Kind.MESSAGE

    @property
    def original_message_id(self) -> str | None:
        changed = self.edit or self.revoke
        return changed.original_message_id if changed else None

    def event(self, origin: _Origin, person: _Contact) -> Event:
        if self.kind is Kind.OTHER:
            return origin.other(self, self.type)
        contact = person.named(self.sender, self.from_user_id, self.user_id)
        return origin.event(
            self.kind, self, self.id, self.timestamp, contact, self.id, **self._data()
        )

    def _data(self) -> EventData:
        if self.kind in (Kind.EDIT, Kind.REVOKE):
            new = self.edit.message if self.edit and self.kind is Kind.EDIT else None
            original = self.original_message_id
            return EventData(original_message_id=original, type=new.type if new else None)
        data = EventData(
            has_referral=True if self.referral is not None else None,
            from_ad=True if self.referral and self.referral.source_type == "ad" else None,
        )
        if self.kind is Kind.UNSUPPORTED:
            type_ = self.unsupported.type if self.unsupported else None
            return {**data, "code": _first_code(self.errors), "unsupported_type": type_}
        return {**data, "direction": "in", "type": self.type}


class _Pricing(Kept):
    billable: keep.Flag = None
    pricing_model: keep.Word = None
    type: keep.Word = None
    category: keep.Word = None


class _MessageStatus(Kept):
    id: keep.Identifier = None
    status: keep.Word = None
    timestamp: keep.Time = None
    recipient_id: keep.Phone = None
    recipient_user_id: keep.Identifier = None
    biz_opaque_callback_data: keep.Identifier = None
    pricing: keep.Part[_Pricing] = None
    errors: keep.Parts[_Error] = None

    def events(self, origin: _Origin, person: _Contact) -> Iterator[Event]:
        if not (self.id and self.status):
            return
        status = self.status.lower()
        contact = person.named(self.recipient_id, self.recipient_user_id)
        pricing = None
        if self.pricing is not None:
            pricing = self.pricing.model_dump(exclude={"pricing_model"}, exclude_none=True)
        yield origin.event(
            Kind.STATUS,
            self,
            *(f"{self.id}:{status}", self.timestamp, contact, self.id),
            status=status,
            attempt_id=self.biz_opaque_callback_data,
            code=_first_code(self.errors),
            pricing=pricing,
        )


class _Messages(_NumberValue):
    contacts: keep.Parts[_Contact] = None
    messages: keep.Parts[_Message] = None
    statuses: keep.Parts[_MessageStatus] = None
    errors: keep.Parts[_Error] = None

    def events(self, origin: _Origin) -> Iterator[Event]:
        person = _only(self.contacts)
        for message in self.messages or ():
            yield message.event(origin, person)
        for status in self.statuses or ():
            yield from status.events(origin, person)
        if not (self.messages or self.statuses):
            for error in self.errors or ():
                yield origin.other(error, "system_error", error.code)


class _Text(Kept):
    body: keep.HashedText = None


class _Echo(_Message):
    text: keep.Part[_Text] = None


class _Echoes(_NumberValue):
    contacts: keep.Parts[_Contact] = None
    message_echoes: keep.Parts[_Echo] = None

    def events(self, origin: _Origin) -> Iterator[Event]:
        person = _only(self.contacts)
        for echo in self.message_echoes or ():
            # An echo is from our own number: the only place that names it when metadata does not.
            of_ours = origin if origin.phone else replace(origin, phone=echo.sender)
            body = echo.text.body if echo.text else None
            contact = person.named(echo.to, echo.to_user_id, echo.recipient_user_id)
            yield of_ours.event(
                Kind.ECHO,
                echo,
                *(echo.id, echo.timestamp, contact, echo.id),
                type=echo.type,
                text_hash=body["hash"] if body else None,
                original_message_id=echo.original_message_id,
            )


class _BookEntry(Kept):
    phone_number: keep.Phone = None
    user_id: keep.Identifier = None


class _SyncMetadata(Kept):
    timestamp: keep.Time = None


class _ContactChange(Kept):
    type: keep.Word = None
    action: keep.Word = None
    contact: keep.Part[_BookEntry] = None
    metadata: keep.Part[_SyncMetadata] = None


class _ContactSync(_NumberValue):
    state_sync: keep.Parts[_ContactChange] = None

    def events(self, origin: _Origin) -> Iterator[Event]:
        for change in self.state_sync or ():
            entry = change.contact or _BookEntry()
            contact = _Contact().named(entry.phone_number, entry.user_id)
            time = change.metadata.timestamp if change.metadata else None
            yield origin.event(
                Kind.CONTACT_SYNC, change, time=time, contact=contact, action=change.action
            )


class _HistoryMetadata(Kept):
    phase: keep.Number = None
    chunk_order: keep.Number = None
    progress: keep.Number = None


class _Thread(Kept):
    id: keep.Identifier = None
    messages: keep.Parts[_Message] = None


class _Chunk(Kept):
    metadata: keep.Part[_HistoryMetadata] = None
    threads: keep.Parts[_Thread] = None
    errors: keep.Parts[_Error] = None


class _History(_NumberValue):
    history: keep.Parts[_Chunk] = None
    messages: keep.Parts[_Message] = None

    def events(self, origin: _Origin) -> Iterator[Event]:
        for chunk in self.history or ():
            threads = chunk.threads or []
            metadata = chunk.metadata or _HistoryMetadata()
            yield origin.event(
                Kind.HISTORY,
                chunk,
                phase=metadata.phase,
                chunk_order=metadata.chunk_order,
                progress=metadata.progress,
                threads=len(threads),
                messages=sum(len(thread.messages or ()) for thread in threads),
                code=_first_code(chunk.errors),
            )
        if media := self.messages:
            yield origin.event(Kind.HISTORY, media, threads=0, messages=len(media), type="media")


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


class _AccountUpdate(_Value, _Solution):
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

    def events(self, origin: _Origin) -> Iterator[Event]:
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


class _Offboarded(_AccountUpdate):
    event: Annotated[str, PlainValidator(lambda value: word(value) or _OFFBOARDED)] = _OFFBOARDED


class _Reconnected(_AccountUpdate):
    event: Annotated[str, PlainValidator(lambda value: word(value) or _RECONNECTED)] = _RECONNECTED


class _OtherInfo(Kept):
    title: keep.Constant = None


class _DisableInfo(Kept):
    disable_date: keep.Day = None


class _Template(_Value):
    message_template_id: keep.Identifier = None
    message_template_name: keep.Identifier = None
    message_template_language: keep.Word = None

    def of_template(self, origin: _Origin, kind: Kind, **data: Unpack[EventData]) -> Event:
        data["template_id"] = self.message_template_id
        data["template_name"] = self.message_template_name
        data["template_language"] = self.message_template_language
        return origin.event(kind, self, **data)


class _TemplateStatus(_Template):
    event: keep.Word = None
    message_template_category: keep.Word = None
    reason: keep.Constant = None
    other_info: keep.Part[_OtherInfo] = None
    disable_info: keep.Part[_DisableInfo] = None

    def events(self, origin: _Origin) -> Iterator[Event]:
        title = self.other_info.title if self.other_info else None
        yield self.of_template(
            origin, Kind.TEMPLATE_STATUS, event=self.event, reason=self.reason, title=title
        )


class _TemplateQuality(_Template):
    previous_quality_score: keep.Word = None
    new_quality_score: keep.Word = None

    def events(self, origin: _Origin) -> Iterator[Event]:
        yield self.of_template(
            origin, Kind.QUALITY, old=self.previous_quality_score, new=self.new_quality_score
        )


class _Quality(_NumberValue):
    event: keep.Word = None
    current_limit: keep.Word = None
    old_limit: keep.Word = None
    max_daily_conversations_per_business: keep.Identifier = None

    def events(self, origin: _Origin) -> Iterator[Event]:
        limit = self.max_daily_conversations_per_business or self.current_limit
        yield origin.event(
            Kind.QUALITY, self, event=self.event, limit=limit, old_limit=self.old_limit
        )


class _Capability(_Value, extra="allow"):
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

    def events(self, origin: _Origin) -> Iterator[Event]:
        yield origin.event(Kind.CAPABILITY, self, **cast("EventData", self.kept()))


class _AlertInfo(Kept):
    alert_severity: keep.Word = None
    alert_status: keep.Word = None
    alert_type: keep.Word = None


class _Alert(_Value, _AlertInfo):
    entity_type: keep.Word = None
    entity_id: keep.Identifier = None
    alert_info: keep.Part[_AlertInfo] = None

    def events(self, origin: _Origin) -> Iterator[Event]:
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


class _Preference(_Contact):
    category: keep.Word = None
    value: keep.Word = None
    timestamp: keep.Time = None


class _Preferences(_NumberValue):
    contacts: keep.Parts[_Contact] = None
    user_preferences: keep.Parts[_Preference] = None

    def events(self, origin: _Origin) -> Iterator[Event]:
        person = _only(self.contacts)
        for preference in self.user_preferences or ():
            yield origin.event(
                Kind.USER_PREFERENCE,
                preference,
                time=preference.timestamp,
                contact=person.named(preference.wa_id, preference.user_id),
                category=preference.category,
                value=preference.value,
            )


_VALUES: dict[str, type[_Value]] = {
    "messages": _Messages,
    "smb_message_echoes": _Echoes,
    "smb_app_state_sync": _ContactSync,
    "history": _History,
    "account_update": _AccountUpdate,
    "message_template_status_update": _TemplateStatus,
    "message_template_quality_update": _TemplateQuality,
    "phone_number_quality_update": _Quality,
    "business_capability_update": _Capability,
    "account_alerts": _Alert,
    "user_preferences": _Preferences,
    # The same news in fields of their own (Meta: webhooks, account_offboarded).
    "account_offboarded": _Offboarded,
    "account_reconnected": _Reconnected,
}


def _value(value: Any, info: ValidationInfo) -> _Value:
    model = _VALUES.get(info.data["field"], _Unknown)
    found = model.model_validate(value if isinstance(value, dict) else {}, context=info.context)
    found._keys = partial(key_names, value)
    return found


class _Change(Kept):
    field: Annotated[str, PlainValidator(lambda value: word(value) or "")] = ""
    value: Annotated[Any, PlainValidator(_value)] = Field(default=None, validate_default=True)

    def events(self, entry: _Entry, received_at: str) -> Iterator[Event]:
        at = read_moment(entry.time)
        number_id, phone = self.value.number()
        origin = _Origin(
            self.field, entry.id, entry.time, at or received_at, at is not None, number_id, phone
        )
        found = list(self.value.events(origin)) if self.value else []
        if not found:
            kept = self.value.kept()
            type_ = kept.get("type") or kept.get("event")
            keys = self.value._keys() or None
            found = [origin.other(self, type_ if isinstance(type_, str) else None, keys=keys)]
        yield from found


class _Entry(Kept):
    id: keep.Identifier = None
    time: keep.Time = None
    changes: keep.Parts[_Change] = None


class MetaWebhook(Kept):
    """One delivery of Meta; `entry` is a list."""

    object: keep.Word = None
    entry: keep.Parts[_Entry] = None

    def events(self, received_at: str) -> Iterator[Event]:
        """The events in the order in which it reports them; `received_at` is RFC 3339."""
        for entry in self.entry or ():
            for change in entry.changes or ():
                yield from change.events(entry, received_at)


def _first_code(errors: Sequence[_Error] | None) -> int | None:
    return next((error.code for error in errors or () if error.code is not None), None)


def _only(contacts: Sequence[_Contact] | None) -> _Contact:
    """The contact of a change; with several, nothing says which message is whose."""
    return contacts[0] if contacts and len(contacts) == 1 else _Contact()


# What Meta's objects are called, and the list that each must have.
_META_OBJECTS: Mapping[str, tuple[type[MetaWebhook | MetaMessageHistory], str]] = {
    "whatsapp_business_account": (MetaWebhook, "entry"),
    "message_history": (MetaMessageHistory, "data"),
}
TOO_DEEP = "it is nested too deep"
NOT_JSON = "it is not JSON, or was cut short"


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"`{constant}` is not JSON")


DECODER = json.JSONDecoder(parse_constant=_refuse)
"""Refuses `NaN` and the like, which are no JSON."""
_LONG_NUMBERS = json.JSONDecoder(parse_constant=_refuse, parse_int=lambda digits: digits)


def read_payload(
    source: Source, raw: bytes, *, key: bytes, received_at: datetime, store_bodies: bool = False
) -> Payload:
    """The payload out of the bytes of a delivery that is trusted, which is a JSON object.

    `key` is the key of this installation, under which short texts of echoes are hashed;
    `received_at` stands in for times that are missing. With `store_bodies` the content stays.
    What is not known, or nested too deep to be read, is one event of the kind `other`.
    Raises UnreadablePayload for what is no JSON, or no object.
    """
    try:
        body = _parsed(raw.decode("utf-8-sig"))
    except RecursionError:
        if raw.strip()[:1] + raw.strip()[-1:] != b"{}":
            raise UnreadablePayload(TOO_DEEP) from None
        return unread(source, {}, raw, TOO_DEEP, key=key, received_at=received_at)
    except ValueError:
        raise UnreadablePayload(NOT_JSON) from None
    if not isinstance(body, dict):
        raise UnreadablePayload("it is JSON, but no object")
    return payload_of(
        source, body, len(raw), key=key, received_at=received_at, store_bodies=store_bodies
    )


def payload_of(
    source: Source,
    body: Mapping[str, Any],
    size: int,
    *,
    key: bytes,
    received_at: datetime,
    store_bodies: bool = False,
) -> Payload:
    """The payload out of an object that is parsed already; `size` is that of its bytes."""
    model, unknown = _model_of(source, body)
    read = model.model_validate(dict(body), context=key) if model else None
    events = tuple(read.events(to_text(received_at))) if read else ()
    if read is None or not (events or isinstance(read, MetaMessageHistory)):
        why = unknown or "nothing in it is known"
        whole = whole_of(body)
        raw = (whole or str(size)).encode()
        found = unread(source, body, raw, why, key=key, received_at=received_at)
        return replace(found, size=size, body=(store_bodies and whole) or found.body)
    text = canonical(read.kept())
    kept = (store_bodies and whole_of(body)) or text
    return Payload(source, digest(text), size, kept, events)


def _parsed(text: str) -> object:
    try:
        return DECODER.decode(text)
    except json.JSONDecodeError:
        raise
    except ValueError:
        # A number of thousands of digits is JSON, too.
        return _LONG_NUMBERS.decode(text)


def _model_of(
    source: Source, body: Mapping[str, Any]
) -> tuple[type[MetaWebhook | MetaMessageHistory | RespondIOWebhook] | None, str | None]:
    """What reads such an object, or why nothing does."""
    if source is Source.RESPONDIO:
        return RespondIOWebhook, None
    name = body.get("object")
    # Something between Meta and us may have dropped it.
    if name is None and isinstance(body.get("entry"), list):
        return MetaWebhook, None
    if not isinstance(name, str) or name not in _META_OBJECTS:
        return None, "its `object` is not `whatsapp_business_account`"
    model, needed = _META_OBJECTS[name]
    if not isinstance(body.get(needed), list):
        return None, f"it has no list `{needed}`"
    return model, None


def source_of(body: object) -> Source | None:
    """Who sends such objects, None when neither does. An answer of message history is Meta's."""
    if not isinstance(body, dict):
        return None
    name = body.get("object")
    if isinstance(name, str) and name in _META_OBJECTS:
        return Source.META
    if name is None and isinstance(body.get("entry"), list):
        return Source.META
    is_respondio = isinstance(body.get("event_type"), str) or isinstance(body.get("contact"), dict)
    return Source.RESPONDIO if is_respondio else None

"""Payloads of Meta and respond.io: from bytes, or an object, to typed events without content.

Meta's webhooks about messages and people are described here, those about accounts and templates
in `account_payloads`, its message history in `message_history`, respond.io's in
`respondio_webhooks`.
A webhook field is one class below: its fields are what may be kept, its `events` what it reports.
Source: Meta, webhooks reference (the page of each field).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, Self, Unpack

from wacoex_cli.foundation.clock import to_text
from wacoex_cli.platforms import privacy as keep
from wacoex_cli.platforms.account_payloads import (
    AccountAlert,
    AccountReview,
    AccountUpdate,
    BusinessStatus,
    Capability,
    DisplayName,
    FlowState,
    NumberQuality,
    Offboarded,
    Payment,
    Reconnected,
    Security,
    TemplateCategory,
    TemplateQuality,
    TemplateStatus,
    TemplateText,
)
from wacoex_cli.platforms.events import (
    Event,
    EventData,
    Kind,
    Payload,
    Source,
    UnreadablePayload,
    canonical,
    read_moment,
    reported,
)
from wacoex_cli.platforms.message_history import MetaMessageHistory
from wacoex_cli.platforms.privacy import (
    Compared,
    Kept,
    Reading,
    digest,
    word,
)
from wacoex_cli.platforms.respondio_webhooks import RespondIOWebhook
from wacoex_cli.platforms.stop_words import StopWords, usual
from wacoex_cli.platforms.unknown_payloads import unread, whole_of
from wacoex_cli.platforms.webhook_fields import (
    NOT_SHARED,
    CodedError,
    FieldValue,
    NumberMetadata,
    NumberValue,
    Origin,
    UnknownField,
)

if TYPE_CHECKING:
    from datetime import datetime

_NOT_CARRIED = frozenset({131051, 131060})
_KINDS: Mapping[str | None, Kind] = {
    "edit": Kind.EDIT,
    "revoke": Kind.REVOKE,
    "unsupported": Kind.UNSUPPORTED,
    "unknown": Kind.UNSUPPORTED,
    "system": Kind.OTHER,  # WhatsApp speaks here, nobody wrote: such as a changed number
}


def _first(*ids: str | None) -> str | None:
    return next(filter(None, ids), None)


class _Contact(Kept):
    wa_id: keep.Phone = None
    user_id: keep.Identifier = None

    def beside(self, phone: str | None, *user_ids: str | None) -> str | None:
        """The user id of the person that `named` gives by a number."""
        return _first(*user_ids, self.user_id) if phone or self.wa_id else None

    def named(self, phone: str | None, *user_ids: str | None) -> str | None:
        """The other person: by a number, else by the first business-scoped user id."""
        if number := phone or self.wa_id:
            return number
        user_id = _first(*user_ids, self.user_id)
        return f"user_id:{user_id}" if user_id else None


class _Type(Kept):
    type: keep.Word = None


class _Status(Kept):
    status: keep.Word = None


class _Writing(_Type):
    """What somebody wrote: its kind, and whether it says "no more messages"."""

    text: keep.StopText = None
    button: keep.StopButton = None
    interactive: keep.StopReply = None

    @property
    def stop(self) -> str | None:
        """`word` or `button`, by which it says so; None when it does not."""
        if self.button or self.interactive:
            return "button"
        return "word" if self.text else None


class _Id(Kept):
    id: keep.Identifier = None


class _Referral(Kept):
    source_type: keep.Word = None


class _Revoke(Kept):
    original_message_id: keep.Identifier = None


class _Edit(_Revoke):
    message: keep.Part[_Writing] = None


class _System(_Contact, _Type):
    """A person has another number, or another id (Meta: changelog of 2026-08-11)."""

    new_wa_id: keep.Phone = None
    previous_user_id: keep.Identifier = None


class _AnyMessage(_Type):
    id: keep.Identifier = None
    timestamp: keep.Time = None
    sender: keep.Phone = keep.sent_as("from")
    to: keep.Phone = None
    user_id: keep.Identifier = None
    from_user_id: keep.Identifier = None
    to_user_id: keep.Identifier = None
    recipient_user_id: keep.Identifier = None
    group_id: keep.Identifier = None
    context: keep.Part[_Id] = None
    errors: keep.Parts[CodedError] = None
    referral: keep.Part[_Referral] = None
    unsupported: keep.Part[_Type] = None
    edit: keep.Part[_Edit] = None
    revoke: keep.Part[_Revoke] = None
    system: keep.Part[_System] = None
    history_context: keep.Part[_Status] = None

    @property
    def kind(self) -> Kind:
        if kind := _KINDS.get(self.type):
            return kind
        return Kind.UNSUPPORTED if _first_code(self.errors) in _NOT_CARRIED else Kind.MESSAGE

    @property
    def said(self) -> _Writing:
        """What of the content is read."""
        return _Writing()

    @property
    def original_message_id(self) -> str | None:
        changed = self.edit or self.revoke
        return changed.original_message_id if changed else None

    def event(self, origin: Origin, person: _Contact) -> Event:
        kind, ids = self.kind, (self.from_user_id, self.user_id)
        contact = person.named(self.sender, *ids)
        if kind is Kind.OTHER:
            return self._change(origin, contact)
        data = self._data(kind)
        data["user_id"] = person.beside(self.sender, *ids)
        return origin.event(kind, self, self.id, self.timestamp, contact, self.id, **data)

    def _change(self, origin: Origin, contact: str | None) -> Event:
        """What WhatsApp itself says in a conversation: a person has another number, or id."""
        change = self.system or _System()
        # What stands beside the message is the person as they were before.
        before = self.from_user_id or self.user_id
        return origin.event(
            Kind.OTHER,
            self,
            None,
            self.timestamp,
            contact,
            field=origin.field,
            type=self.type,
            event=change.type,
            user_id=change.user_id,
            new_phone=change.wa_id or change.new_wa_id,
            previous_user_id=change.previous_user_id or before,
        )

    def _data(self, kind: Kind) -> EventData:
        if kind is Kind.EDIT or kind is Kind.REVOKE:
            new = self.edit.message if self.edit and kind is Kind.EDIT else None
            return EventData(
                original_message_id=self.original_message_id,
                type=new.type if new else None,
                stop=new.stop if new else None,
            )
        data = EventData(
            has_referral=True if self.referral is not None else None,
            from_ad=True if self.referral and self.referral.source_type == "ad" else None,
        )
        if kind is Kind.UNSUPPORTED:
            type_ = self.unsupported.type if self.unsupported else None
            return {**data, "code": _first_code(self.errors), "unsupported_type": type_}
        stop = self.said.stop
        tapped = self.context.id if self.context and stop == "button" else None
        data["direction"], data["type"] = "in", self.type
        data["stop"], data["original_message_id"] = stop, tapped
        return data


class _Message(_AnyMessage, _Writing):
    """A message of a contact."""

    @property
    def said(self) -> _Writing:
        return self


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
    errors: keep.Parts[CodedError] = None

    def events(self, origin: Origin, person: _Contact) -> Iterator[Event]:
        if not (self.id and self.status):
            return
        status = self.status.lower()
        contact = person.named(self.recipient_id, self.recipient_user_id)
        user_id = person.beside(self.recipient_id, self.recipient_user_id)
        pricing = None
        if self.pricing is not None:
            pricing = self.pricing.kept()
            pricing.pop("pricing_model", None)
        yield origin.event(
            Kind.STATUS,
            self,
            *(f"{self.id}:{status}", self.timestamp, contact, self.id),
            status=status,
            attempt_id=self.biz_opaque_callback_data,
            code=_first_code(self.errors),
            pricing=pricing,
            user_id=user_id,
        )


class _Messages(NumberValue):
    contacts: keep.Parts[_Contact] = None
    messages: keep.Parts[_Message] = None
    statuses: keep.Parts[_MessageStatus] = None
    errors: keep.Parts[CodedError] = None

    def events(self, origin: Origin) -> Iterator[Event]:
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


class _Echo(_AnyMessage):
    text: keep.Part[_Text] = None


class _Echoes(NumberValue):
    contacts: keep.Parts[_Contact] = None
    message_echoes: keep.Parts[_Echo] = None

    def events(self, origin: Origin) -> Iterator[Event]:
        person = _only(self.contacts)
        for echo in self.message_echoes or ():
            # An echo is from our own number: the only place that names it when metadata does not.
            of_ours = origin if origin.phone else origin._replace(phone=echo.sender)
            body = echo.text.body if echo.text else None
            ids = (echo.to_user_id, echo.recipient_user_id)
            contact = person.named(echo.to, *ids)
            yield of_ours.event(
                Kind.ECHO,
                echo,
                *(echo.id, echo.timestamp, contact, echo.id),
                type=echo.type,
                text_hash=body["hash"] if body else None,
                original_message_id=echo.original_message_id,
                user_id=person.beside(echo.to, *ids),
            )


class _HeardEcho(_AnyMessage):
    message: keep.Part[_AnyMessage] = None


class _Heard(Kept):
    contacts: keep.Parts[_Contact] = None
    messages: keep.Parts[_Message] = None
    message_echoes: keep.Parts[_HeardEcho] = None
    statuses: keep.Parts[_MessageStatus] = None


class _Standby(NumberValue):
    """What goes on in conversations that another responder handles: heard, not to be answered."""

    contacts: keep.Parts[_Contact] = None
    standby: keep.Part[_Heard] = None

    def events(self, origin: Origin) -> Iterator[Event]:
        heard = self.standby or _Heard()
        person = _only(heard.contacts or self.contacts)
        for message in heard.messages or ():
            ids = (message.from_user_id, message.user_id)
            yield _heard(
                origin,
                message,
                person.named(message.sender, *ids),
                direction="in",
                type=message.type,
                stop=message.stop,
                user_id=person.beside(message.sender, *ids),
            )
        for echo in heard.message_echoes or ():
            sent = echo.message or echo
            contact = person.named(sent.to or echo.to, sent.to_user_id, sent.recipient_user_id)
            yield _heard(origin, echo, contact, direction="out", type=sent.type or echo.type)
        for status in heard.statuses or ():
            contact = person.named(status.recipient_id, status.recipient_user_id)
            word_ = (status.status or "").lower() or None
            yield _heard(origin, status, contact, status=word_)


def _heard(
    origin: Origin,
    part: _AnyMessage | _MessageStatus,
    contact: str | None,
    **data: Unpack[EventData],
) -> Event:
    name = ":".join(filter(None, (part.id, data.get("status")))) if part.id else None
    return origin.event(Kind.STANDBY, part, name, part.timestamp, contact, part.id, **data)


class _Roles(Kept):
    previous_owner_role: keep.Word = None
    previous_owner_app_role: keep.Word = None
    new_owner_role: keep.Word = None


class _HandoverSender(_Contact):
    phone_number: keep.Phone = None


class _Handover(NumberValue):
    """A conversation went from one responder to another; both are named by their roles only."""

    type: keep.Word = None
    timestamp: keep.Time = None
    recipient: keep.Part[NumberMetadata] = None
    sender: keep.Part[_HandoverSender] = None
    control_passed: keep.Part[_Roles] = None
    control_taken: keep.Part[_Roles] = None

    def number(self) -> tuple[str | None, str | None]:
        ours = self.recipient or NumberMetadata()
        number_id, phone = super().number()
        return number_id or ours.phone_number_id, phone or ours.display_phone_number

    def events(self, origin: Origin) -> Iterator[Event]:
        person = self.sender or _HandoverSender()
        roles = self.control_passed or self.control_taken or _Roles()
        yield origin.event(
            Kind.HANDOVER,
            self,
            time=self.timestamp,
            contact=person.named(person.phone_number),
            type=self.type,
            old=roles.previous_owner_app_role or roles.previous_owner_role,
            new=roles.new_owner_role,
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


class _ContactSync(NumberValue):
    state_sync: keep.Parts[_ContactChange] = None

    def events(self, origin: Origin) -> Iterator[Event]:
        for change in self.state_sync or ():
            entry = change.contact or _BookEntry()
            contact = _Contact().named(entry.phone_number, entry.user_id)
            time = change.metadata.timestamp if change.metadata else None
            yield origin.event(
                Kind.CONTACT_SYNC,
                change,
                time=time,
                contact=contact,
                action=change.action,
                user_id=_Contact().beside(entry.phone_number, entry.user_id),
            )


class _HistoryMetadata(Kept):
    phase: keep.Number = None
    chunk_order: keep.Number = None
    progress: keep.Number = None


class _Thread(Kept):
    id: keep.Identifier = None
    messages: keep.Parts[_AnyMessage] = None


class _Chunk(Compared):
    metadata: keep.Part[_HistoryMetadata] = None
    threads: keep.Parts[_Thread] = None
    errors: keep.Parts[CodedError] = None


class _History(NumberValue, Compared):
    history: keep.Parts[_Chunk] = None
    messages: keep.Parts[_AnyMessage] = None
    errors: keep.Parts[CodedError] = None

    def unclear(self) -> list[str]:
        if self.lost:
            return self.lost
        if self.errors and _first_code(self.errors) is None:
            return ["errors"]
        chunks = any(it.metadata or it.threads or it.errors for it in self.history or ())
        return [] if chunks or self.messages or self.errors else ["history"]

    def to_look_at(self) -> bool:
        parts = [self.errors, *(chunk.errors for chunk in self.history or ())]
        codes = {_first_code(errors) for errors in parts if errors}
        return bool(codes - {NOT_SHARED})

    def events(self, origin: Origin) -> Iterator[Event]:
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
        if errors := self.errors:
            code = _first_code(errors)
            yield origin.event(Kind.HISTORY, errors, threads=0, messages=0, code=code)
        if media := self.messages:
            yield origin.event(Kind.HISTORY, media, threads=0, messages=len(media), type="media")


class _Preference(_Contact):
    category: keep.Word = None
    value: keep.Word = None
    timestamp: keep.Time = None


class _Preferences(NumberValue):
    contacts: keep.Parts[_Contact] = None
    user_preferences: keep.Parts[_Preference] = None

    def to_look_at(self) -> bool:
        values = [(preference.value or "").lower() for preference in self.user_preferences or ()]
        return not {"stop", "resume"}.issuperset(values)

    def events(self, origin: Origin) -> Iterator[Event]:
        person = _only(self.contacts)
        for preference in self.user_preferences or ():
            yield origin.event(
                *(Kind.USER_PREFERENCE, preference),
                time=preference.timestamp,
                contact=person.named(preference.wa_id, preference.user_id),
                category=preference.category,
                value=preference.value and preference.value.lower(),
                user_id=person.beside(preference.wa_id, preference.user_id),
            )


_VALUES: dict[str, type[FieldValue]] = {
    "messages": _Messages,
    "smb_message_echoes": _Echoes,
    "standby": _Standby,
    "messaging_handovers": _Handover,
    "smb_app_state_sync": _ContactSync,
    "history": _History,
    "account_update": AccountUpdate,
    "message_template_status_update": TemplateStatus,
    "message_template_quality_update": TemplateQuality,
    "message_template_components_update": TemplateText,
    "template_category_update": TemplateCategory,
    "template_correct_category_detection": TemplateCategory,
    "phone_number_quality_update": NumberQuality,
    "business_capability_update": Capability,
    "account_alerts": AccountAlert,
    "user_preferences": _Preferences,
    "account_review_update": AccountReview,
    "business_status_update": BusinessStatus,
    "flows": FlowState,
    "payment_configuration_update": Payment,
    "phone_number_name_update": DisplayName,
    "security": Security,
    # The same news in fields of their own (Meta: webhooks, account_offboarded).
    "account_offboarded": Offboarded,
    "account_reconnected": Reconnected,
}


def _field_name(value: Any) -> str:
    return word(value[0] if isinstance(value, list) and len(value) == 1 else value) or ""


class _Change(Kept):
    field: Annotated[str, keep.ReadValue(_field_name)] = ""
    value: FieldValue
    errors: keep.Parts[CodedError] = None

    @classmethod
    def read(cls, value: Mapping[str, Any], reading: Reading) -> Self:
        """The change; its field says what its value is."""
        found = super().read(value, reading)
        model = _VALUES.get(found.field.lower(), UnknownField)
        found.value = model.read_sent(value.get("value"), reading)
        return found

    def events(self, entry: _Entry, received_at: str) -> Iterator[Event]:
        number_id, phone = self.value.number()
        origin = entry.origin(received_at, self.field, number_id, phone)
        found = list(self.value.events(origin)) if self.value else []
        if not found:
            kept = self.value.kept()
            type_ = kept.get("type") or kept.get("event")
            keys = self.value.names_sent or None
            found = [origin.other(self, type_ if isinstance(type_, str) else None, keys=keys)]
        unclear = self.value.unclear() if self.field else ["field"]
        look = True if self.value.to_look_at() else None
        decision = self.value.said_word
        if decision and any(event.data.get("type") == decision for event in found):
            decision = None
        if unclear or look or decision:
            marks = reported(decision=decision, unclear=unclear or None, look=look)
            found = [event._replace(data={**event.data, **marks}) for event in found]
        yield from found
        if self.value.declines or _says_declined(self.errors):
            is_known = any(event.data.get("code") == NOT_SHARED for event in found)
            if not (is_known and self.field == "history"):
                yield entry.declined(origin)


class _Entry(Compared):
    id: keep.Identifier = None
    time: keep.Time = None
    changes: keep.Parts[_Change] = None
    errors: keep.Parts[CodedError] = None

    def origin(
        self,
        received_at: str,
        field: str = "",
        number_id: str | None = None,
        phone: str | None = None,
    ) -> Origin:
        """Where something in this entry stands; `received_at` is RFC 3339."""
        at = read_moment(self.time)
        is_dated = at is not None
        return Origin(field, self.id, self.time, at or received_at, is_dated, number_id, phone)

    def declined(self, origin: Origin) -> Event:
        """That the owner of the phone shares no history."""
        name = f"declined:{origin.phone_number_id or origin.phone or ''}:{origin.name_of(())}"
        return origin.event(Kind.HISTORY, (), name, threads=0, messages=0, code=NOT_SHARED)

    def events(self, received_at: str) -> Iterator[Event]:
        for change in self.changes or ():
            yield from change.events(self, received_at)
        if _says_declined(self.errors):
            yield self.declined(self.origin(received_at))


class MetaWebhook(Compared):
    """One delivery of Meta; `entry` is a list."""

    object: keep.Word = None
    entry: keep.Parts[_Entry] = None
    errors: keep.Parts[CodedError] = None

    def events(self, received_at: str) -> Iterator[Event]:
        """The events in the order in which it reports them; `received_at` is RFC 3339."""
        entries = self.entry or [_Entry()]
        found = [event for entry in entries for event in entry.events(received_at)]
        yield from found
        if _says_declined(self.errors):
            yield entries[0].declined(entries[0].origin(received_at))
        # Beside what could be read there was more, which is no object.
        lost = [name for name in self.lost if name.endswith(("entry", "changes"))]
        if found and lost:
            other = entries[0].origin(received_at).other(self)
            yield other._replace(data={**other.data, "unclear": lost})


def _says_declined(errors: Sequence[CodedError] | None) -> bool:
    return errors is not None and any(error.code == NOT_SHARED for error in errors)


def _first_code(errors: Sequence[CodedError] | None) -> int | None:
    if not errors:
        return None
    return next((error.code for error in errors if error.code is not None), None)


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
    source: Source,
    raw: bytes,
    *,
    key: bytes,
    received_at: datetime,
    store_bodies: bool = False,
    stop_words: StopWords | None = None,
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
        reading = Reading(key, usual(), to_text(received_at))
        return unread(source, {}, raw, TOO_DEEP, reading)
    except ValueError:
        raise UnreadablePayload(NOT_JSON) from None
    if not isinstance(body, dict):
        raise UnreadablePayload("it is JSON, but not an object")
    return payload_of(
        source,
        body,
        len(raw),
        key=key,
        received_at=received_at,
        store_bodies=store_bodies,
        stop_words=stop_words,
    )


def payload_of(
    source: Source,
    body: Mapping[str, Any],
    size: int,
    *,
    key: bytes,
    received_at: datetime,
    store_bodies: bool = False,
    stop_words: StopWords | None = None,
) -> Payload:
    """The payload out of an object that is parsed already; `size` is that of its bytes.

    `stop_words` are those of this installation; None: the usual ones.
    """
    reading = Reading(key, stop_words or usual(), to_text(received_at), store_bodies)
    return payload_in(source, body, size, reading)


def payload_in(source: Source, body: Mapping[str, Any], size: int, reading: Reading) -> Payload:
    """The same with a `Reading` that is made once for many of them."""
    model, unknown = _model_of(source, body)
    read = model.read(body, reading) if model else None
    events = tuple(read.events(reading.received_at)) if read else ()
    if read is None or not (events or isinstance(read, MetaMessageHistory)):
        why = unknown or "wacoex knows nothing in it"
        whole = whole_of(body)
        raw = (whole or str(size)).encode()
        found = unread(source, body, raw, why, reading)
        return found._replace(size=size, body=(reading.store_bodies and whole) or found.body)
    text = canonical(read)
    kept = (reading.store_bodies and whole_of(body)) or text
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
    if not isinstance(body.get(needed), list | dict):
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

"""The settings themselves: names, types, defaults and what is allowed."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from wacoex_cli.errors import UsageError
from wacoex_cli.foundation.clock import is_known_zone
from wacoex_cli.foundation.settings import (
    PREFIX,
    ConsentSettings,
    EventsSettings,
    InactivitySettings,
    PressureSettings,
    Settings,
    Sources,
    StopScope,
    Trust,
    default_config_dir,
    default_state_path,
    is_loopback,
    settings_in,
    user_path,
)

_PER_CHANNEL = frozenset(
    {
        "meta_app_id",
        "meta_config_id",
        "meta_base_url",
        "meta_api_version",
        "meta_sdk_url",
        "respondio_base_url",
        "timezone",
        "inactivity",
        "pressure",
    }
)
ERROR_CLASSES = frozenset({"ambiguous", "retry", "row", "stop", "unknown"})
"""What `breaker_limits` may name besides codes."""

_CODE = re.compile(r"[0-9]{1,9}")
_SHARE = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,3})?)%")


def _safe_url(text: str) -> str:
    parts = urlsplit(text)
    if not text.isprintable() or " " in text:
        raise ValueError
    if not parts.hostname or parts.username or parts.query or parts.fragment or parts.port == 0:
        raise ValueError  # as `port` itself does for one that is no number, or too large
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(parts.hostname)):
        raise ValueError
    return text.rstrip("/")


def _known_zone(name: str) -> str:
    if not is_known_zone(name):
        raise ValueError
    return name


def _limits(value: object) -> object:
    """Each limit as a count (int) or as a share of 1 (float), which is written `"20%"`."""
    if not isinstance(value, dict):
        raise ValueError
    return {name: _limit(name, limit) for name, limit in value.items()}


def _limit(name: object, limit: object) -> int | float:
    if not (isinstance(name, str) and (name in ERROR_CLASSES or _CODE.fullmatch(name))):
        raise ValueError
    if isinstance(limit, int) and not isinstance(limit, bool) and limit > 0:
        return limit
    share = _SHARE.fullmatch(limit) if isinstance(limit, str) else None
    if share is None or not 0 < float(share[1]) <= 100:
        raise ValueError
    return float(share[1]) / 100


UserPath = Annotated[Path, AfterValidator(lambda path: user_path(path).absolute())]
Digits = Annotated[str, Field(pattern=r"^[0-9]{1,32}$", description="digits only")]


_URL = "an https URL, or an http URL of this machine (127.0.0.1, localhost)"
Url = Annotated[str, AfterValidator(_safe_url), Field(description=_URL)]


class InactivityTable(BaseModel):
    """What `[inactivity]` may hold."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    trust: Trust
    warning_days: Annotated[float, Field(gt=0, lt=14)]
    critical_days: Annotated[float, Field(gt=0, lt=14)]
    act_by_days: Annotated[float, Field(gt=0, le=14)]

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.warning_days > self.critical_days:
            raise ValueError
        return self


class EventsTable(BaseModel):
    """What `[events]` may hold."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    store_bodies: bool
    probe_contact: Annotated[str | None, Field(pattern=r"^\+[1-9][0-9]{6,14}$")]


StopTexts = Annotated[
    list[Annotated[str, Field(min_length=1, max_length=80, pattern=r"\S")]], Field(max_length=1000)
]


class ConsentTable(BaseModel):
    """What `[consent]` may hold."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    stop_scope: StopScope
    resume: bool
    stop_words: StopTexts
    no_stop_words: StopTexts


_LENGTH = r"[1-9][0-9]{0,5}[smhdw]"
_MESSAGES = r"[1-9][0-9]{0,5}"


def _number_text(value: object) -> object:
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return str(value) if is_number else value


_LimitText = Annotated[str | None, BeforeValidator(_number_text)]


class PressureTable(BaseModel):
    """What `[pressure]` may hold; a number may stand without quotes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max: _LimitText = Field(None, pattern=rf"^([1-9][0-9]{{0,2}}/{_LENGTH}|none)$")
    rest: _LimitText = Field(None, pattern=rf"^({_LENGTH}|none)$")
    unanswered: _LimitText = Field(None, pattern=r"^([1-9][0-9]{0,2}|none)$")
    per_day: _LimitText = Field(None, pattern=rf"^({_MESSAGES}(/number)?|none)$")
    ramp: _LimitText = Field(None, pattern=rf"^({_MESSAGES}, *\+[0-9]{{1,3}}%|none)$")


class SettingsModel(BaseSettings):
    """What each setting may be, as its description says. The defaults are those of `Settings`."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, extra="forbid", frozen=True, coerce_numbers_to_str=True
    )

    state: Annotated[UserPath, Field(description="the path of the state file")]
    config_dir: Annotated[UserPath, Field(description="the path of a directory")]
    channel: Annotated[str | None, Field(description="the name of a channel")]
    meta_app_id: Digits | None
    meta_config_id: Digits | None
    meta_base_url: Url
    meta_api_version: Annotated[
        str, Field(pattern=r"^v[0-9]{1,3}\.[0-9]$", description="a Graph version such as v26.0")
    ]
    meta_sdk_url: Url
    respondio_base_url: Url
    public_url: Annotated[Url | None, Field(description=_URL)]
    timezone: Annotated[
        Annotated[str, AfterValidator(_known_zone)] | None,
        Field(description="a time zone such as Asia/Singapore"),
    ]
    no_input: Annotated[bool, Field(description="on or off")]
    keyring: Annotated[bool, Field(description="on or off")]
    debug: Annotated[bool, Field(description="on or off")]
    repeat_hours: Annotated[float, Field(ge=1, le=720, description="hours from 1 to 720")]
    breaker_rows: Annotated[int, Field(ge=1, le=100, description="a number of rows from 1 to 100")]
    breaker_share: Annotated[float, Field(gt=0, le=1, description="a share above 0, at most 1")]
    breaker_limits: Annotated[
        dict[str, int | float],
        BeforeValidator(_limits),
        Field(
            description="a table of error codes or the words ambiguous, retry, row, stop, unknown,"
            ' each with a number of rows (5) or a share of the last 100 ("20%")'
        ),
    ]
    status_seconds: Annotated[
        float, Field(gt=0, le=3600, description="seconds above 0, at most 3600")
    ]
    status_seconds_per_channel: Annotated[
        float, Field(gt=0, le=60, description="seconds above 0, at most 60")
    ]
    inactivity: Annotated[
        InactivityTable,
        Field(
            description="`trust` (proof, strong or weak) and `warning_days`, `critical_days`,"
            " `act_by_days`: days above 0 and at most 14, the warning before the rest"
        ),
    ]
    events: Annotated[
        EventsTable,
        Field(description="`store_bodies` (true or false) and `probe_contact` (a number, +65...)"),
    ]
    consent: Annotated[
        ConsentTable,
        Field(
            description="`stop_scope` (as_said or all), `resume` (true or false), `stop_words` and"
            " `no_stop_words` (lists of texts of 1 to 80 characters)"
        ),
    ]
    pressure: Annotated[
        PressureTable,
        Field(
            description='`max` ("2/7d"), `rest` ("3d"), `unanswered` ("3"), `per_day` ("250" or'
            ' "250/number") and `ramp` ("50,+50%")'
        ),
    ]


def build(sources: Sources, channel_table: Mapping[str, Any]) -> Settings:
    """Put the sources together, first one wins; raises UsageError for a value that is invalid."""
    _check_names(sources)
    config = {name: value for name, value in sources.toml.items() if name != "channels"}
    defaults = Settings(default_state_path(), default_config_dir()).to_json()

    class Layered(SettingsModel):
        @classmethod
        def settings_customise_sources(  # type: ignore[override]
            cls, settings_cls: type[BaseSettings], **_: PydanticBaseSettingsSource
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            layers = ({**channel_table}, config, defaults)
            return (
                _variables(settings_cls, sources.environ),
                _variables(settings_cls, sources.dotenv),
                *(InitSettingsSource(settings_cls, layer) for layer in layers),
            )

    try:
        model = Layered()  # type: ignore[call-arg]  # the sources fill it
    except ValidationError as error:
        name = str(error.errors(include_input=False, include_url=False)[0]["loc"][0])
        raise UsageError(
            f"{sources.place_of(name, channel_table)} is not valid",
            hint=f"allowed is {SettingsModel.model_fields[name].description or 'digits only'}",
            code="config_invalid",
        ) from None
    values = {name: getattr(model, name) for name in Settings._fields}
    values["inactivity"] = InactivitySettings(**dict(model.inactivity))
    values["events"] = EventsSettings(**dict(model.events))
    values["pressure"] = PressureSettings(**dict(model.pressure))
    values["consent"] = ConsentSettings.from_json(dict(model.consent))
    return Settings(**values)


def _variables(settings_cls: type[BaseSettings], variables: Mapping[str, str]) -> EnvSettingsSource:
    source = EnvSettingsSource(settings_cls)
    fields = settings_in(variables).items()
    source.env_vars = {f"{PREFIX}{field}".lower(): value for field, value in fields}
    return source


def _check_names(sources: Sources) -> None:
    fields = frozenset(Settings._fields)
    tables = [("", sources.toml, fields - {"config_dir"} | {"channels"})]
    tables += [
        (f" under `[channels.{channel}]`", table, _PER_CHANNEL)
        for channel, table in sources.channel_tables.items()
    ]
    for where, table, allowed in tables:
        for name in table:
            if name not in allowed:
                near = difflib.get_close_matches(name, allowed, n=1)
                raise UsageError(
                    f"`{name}` in {sources.toml_path}{where} is not a setting",
                    hint=f"did you mean `{near[0]}`?"
                    if near
                    else f"allowed are {', '.join(sorted(allowed))};"
                    " secrets belong in the environment",
                    code="config_invalid",
                )

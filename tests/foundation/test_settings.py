"""Settings: which place wins, what is refused, what is warned about."""

from __future__ import annotations

from pathlib import Path

import pytest

from wacoex_cli.errors import UsageError
from wacoex_cli.foundation.settings import VARIABLES, Settings, read_sources
from wacoex_cli.foundation.settings_cache import load_settings


@pytest.fixture
def config(isolated_home: Path) -> Path:
    """The path of config.toml, in a directory that exists."""
    directory = isolated_home / ".config/wacoex"
    directory.mkdir(parents=True)
    return directory / "config.toml"


def load(environ: dict[str, str] | None = None, env_file: Path | None = None, **more) -> Settings:
    return load_settings(read_sources(env_file=env_file, environ=environ or {}), **more)


def warnings(environ: dict[str, str]) -> list[str]:
    return list(read_sources(env_file=None, environ=environ).warnings())


def test_defaults(isolated_home: Path) -> None:
    settings = load()

    assert settings.meta_base_url == "https://graph.facebook.com"
    assert settings.meta_api_version == "v26.0"
    assert settings.state == isolated_home / ".local/state/wacoex/wacoex.db"
    assert (settings.keyring, settings.no_input, settings.debug) == (True, False, False)
    assert settings.talks_to_meta


def test_environment_beats_dotenv_beats_config_beats_default(config: Path) -> None:
    config.write_text('channel = "toml"\ntimezone = "Asia/Tokyo"\nmeta_app_id = 3\n')
    Path(".env").write_text("WACOEX_CHANNEL=dotenv\nWACOEX_TIMEZONE=Asia/Singapore\n")

    settings = load({"WACOEX_CHANNEL": "environment"})

    assert settings.channel == "environment"
    assert settings.timezone == "Asia/Singapore"
    assert settings.meta_app_id == "3"


def test_an_empty_variable_counts_as_not_set(config: Path) -> None:
    config.write_text('channel = "toml"\n')

    assert load({"WACOEX_CHANNEL": ""}).channel == "toml"


def test_another_env_file_replaces_the_one_of_the_working_directory(tmp_path: Path) -> None:
    Path(".env").write_text("WACOEX_CHANNEL=here\nWACOEX_TIMEZONE=Asia/Tokyo\n")
    other = tmp_path / "other.env"
    other.write_text("WACOEX_CHANNEL='there'\n")

    settings = load(env_file=other)

    assert (settings.channel, settings.timezone) == ("there", None)


def test_a_parent_directory_is_not_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    Path(".env").write_text("WACOEX_CHANNEL=above\n")
    Path("below").mkdir()
    monkeypatch.chdir("below")

    assert load().channel is None


def test_a_channel_table_goes_before_the_rest_of_the_config_only(config: Path) -> None:
    config.write_text(
        'timezone = "Asia/Tokyo"\nmeta_app_id = "1"\n'
        '[channels.shop]\ntimezone = "Asia/Singapore"\nmeta_app_id = "2"\n'
    )
    environ = {"WACOEX_META_APP_ID": "9"}

    assert load(environ, channel="shop").timezone == "Asia/Singapore"
    assert load(environ, channel="shop").meta_app_id == "9"
    assert load(environ, channel="other").timezone == "Asia/Tokyo"


@pytest.mark.parametrize(
    "url",
    [
        "http://graph.facebook.com",
        "ftp://127.0.0.1",
        "graph.facebook.com",
        "https://user:pw@example.com",
        "https://example.com/?a=b",
        "http://127.0.0.1.example.com",
        "http://10.0.0.1",
    ],
)
def test_a_base_url_that_could_leak_the_token_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="`WACOEX_META_BASE_URL` in the environment is not fit"):
        load({"WACOEX_META_BASE_URL": url})


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:4555", "http://localhost:1/", "http://[::1]:2", "https://example.com"]
)
def test_https_or_this_machine_is_fine_but_is_not_meta(url: str) -> None:
    settings = load({"WACOEX_META_BASE_URL": url})

    assert settings.meta_base_url == url.rstrip("/")
    assert not settings.talks_to_meta


@pytest.mark.parametrize(
    ("environ", "hint"),
    [
        ({"WACOEX_TIMEZONE": "Mars/Base"}, "allowed is a time zone such as Asia/Singapore"),
        ({"WACOEX_META_API_VERSION": "26"}, "allowed is a Graph version such as v26.0"),
        ({"WACOEX_NO_INPUT": "perhaps"}, "allowed is on or off"),
        ({"WACOEX_META_APP_ID": "abc"}, "allowed is digits only"),
    ],
)
def test_an_unfit_value_is_refused_with_what_is_allowed(environ: dict[str, str], hint: str) -> None:
    with pytest.raises(UsageError) as raised:
        load(environ)

    assert raised.value.hint == hint
    assert raised.value.message == f"`{next(iter(environ))}` in the environment is not fit"


def test_an_unfit_value_names_its_file(config: Path) -> None:
    config.write_text('[channels.shop]\ntimezone = "Mars/Base"\n')

    with pytest.raises(UsageError) as raised:
        load(channel="shop")

    assert raised.value.message == f"`timezone` of a channel in {config} is not fit"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('chanel = "x"', "`chanel` in {} is not a setting"),
        ('meta_token = "x"', "`meta_token` in {} is not a setting"),
        ('[channels.shop]\nstate = "x"', "`state` in {} under `[channels.shop]` is not a setting"),
        ("channels = 3", "`channels` in {} must hold tables"),
        ("[channels]\nshop = 3", "`channels` in {} must hold tables"),
        ("a = ", "{} is not valid TOML: Invalid value (at end of document)"),
    ],
)
def test_a_config_that_means_nothing_is_refused(config: Path, text: str, message: str) -> None:
    config.write_text(text)

    with pytest.raises(UsageError) as raised:
        load()

    assert raised.value.message == message.format(config)
    assert raised.value.hint


def test_a_misspelt_setting_is_answered_with_the_nearest(config: Path) -> None:
    config.write_text('chanel = "x"')

    with pytest.raises(UsageError) as raised:
        load()

    assert raised.value.hint == "did you mean `channel`?"


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_an_env_file_that_cannot_be_read_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "x.env"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(UsageError, match="cannot read"):
        load(env_file=path)


def test_unknown_variables_are_warned_about_wherever_they_stand() -> None:
    Path(".env").write_text("WACOEX_STAT=x\nDATABASE_URL=y\n")

    assert warnings({"WACOEX_META_TOKN": "x", "WACOEX_QQQ": "y", "PATH": "z"}) == [
        "`WACOEX_META_TOKN` in the environment means nothing to wacoex;"
        " did you mean `WACOEX_META_TOKEN`?",
        "`WACOEX_QQQ` in the environment means nothing to wacoex",
        "`WACOEX_STAT` in .env means nothing to wacoex; did you mean `WACOEX_STATE`?",
    ]


def test_every_known_name_passes_without_a_warning() -> None:
    secrets = ("WACOEX_META_TOKEN", "WACOEX_RESPONDIO_SIGNING_KEYS", "WACOEX_META_APP_SECRET")
    more = [f"{name}{end}" for name in secrets for end in ("_FILE", "_SHOP_2", "_SHOP_2_FILE")]

    assert warnings(dict.fromkeys([*VARIABLES, *more], "x")) == []


def test_the_config_directory_may_be_moved_from_dotenv(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('channel = "moved"\n')
    Path(".env").write_text(f"WACOEX_CONFIG_DIR={tmp_path}\n")

    assert load().channel == "moved"
    assert load().config_dir == tmp_path

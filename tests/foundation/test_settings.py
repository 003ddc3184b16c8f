"""Settings: which place wins, what is refused, what is warned about."""

from __future__ import annotations

import grp
import os
import pwd
import threading
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from wacoex_cli.errors import UsageError
from wacoex_cli.foundation.settings import (
    SECRET_VARIABLES,
    VARIABLES,
    Settings,
    content_of,
    read_sources,
)
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


def test_a_channel_table_overrides_only_the_rest_of_the_config(config: Path) -> None:
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
    with pytest.raises(UsageError, match="`WACOEX_META_BASE_URL` in the environment is not valid"):
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
def test_a_wrong_value_is_refused_with_what_is_allowed(environ: dict[str, str], hint: str) -> None:
    with pytest.raises(UsageError) as raised:
        load(environ)

    assert raised.value.hint == hint
    assert raised.value.message == f"`{next(iter(environ))}` in the environment is not valid"


def test_a_wrong_value_is_refused_with_its_file(config: Path) -> None:
    config.write_text('[channels.shop]\ntimezone = "Mars/Base"\n')

    with pytest.raises(UsageError) as raised:
        load(channel="shop")

    assert raised.value.message == f"`timezone` of a channel in {config} is not valid"


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
def test_a_config_without_a_meaning_is_refused(config: Path, text: str, message: str) -> None:
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


def test_unknown_variables_are_warned_about_in_each_place() -> None:
    Path(".env").write_text("WACOEX_STAT=x\nDATABASE_URL=y\n")

    assert warnings({"WACOEX_META_TOKN": "x", "WACOEX_QQQ": "y", "PATH": "z"}) == [
        "`WACOEX_META_TOKN` in the environment is not a setting of wacoex;"
        " did you mean `WACOEX_META_TOKEN`?",
        "`WACOEX_QQQ` in the environment is not a setting of wacoex",
        "`WACOEX_STAT` in .env is not a setting of wacoex; did you mean `WACOEX_STATE`?",
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


def refusal(environ: dict[str, str] | None = None, env_file: Path | None = None) -> UsageError:
    with pytest.raises(UsageError) as raised:
        load(environ, env_file)
    return raised.value


@pytest.fixture
def dotenv() -> Path:
    """A `.env` in the working directory."""
    path = Path(".env")
    path.write_text("WACOEX_CHANNEL=here\n")
    return path


def test_a_dotenv_that_everybody_may_write_is_refused_unless_it_is_named(dotenv: Path) -> None:
    dotenv.chmod(0o646)

    error = refusal()

    assert (error.exit_status, error.code) == (2, "dotenv_distrusted")
    assert str(dotenv.absolute()) in error.message
    assert "everybody may write it" in error.message
    assert "`--env-file .env`" in str(error.hint)
    assert load(env_file=dotenv).channel == "here"


def users(monkeypatch: pytest.MonkeyPatch, group: str, members: list[str], *others: str) -> None:
    """The machine's users: `ana`, who runs this, and others with the same primary group."""
    gid = Path(".env").stat().st_gid

    def user(name: str, number: int) -> pwd.struct_passwd:
        return pwd.struct_passwd((name, "x", number, gid, "", "/", "/bin/sh"))

    ana = user("ana", os.geteuid())
    everybody = [ana, *(user(name, 4000 + place) for place, name in enumerate(others))]
    monkeypatch.setattr(pwd, "getpwuid", lambda _: ana)
    monkeypatch.setattr(pwd, "getpwall", lambda: everybody)
    monkeypatch.setattr(grp, "getgrgid", lambda _: grp.struct_group((group, "x", gid, members)))


@pytest.mark.parametrize("members", [[], ["ana"]])
def test_a_group_that_is_the_users_own_may_write_it(
    dotenv: Path, monkeypatch: pytest.MonkeyPatch, members: list[str]
) -> None:
    users(monkeypatch, "ana", members)
    dotenv.chmod(0o664)

    assert load().channel == "here"


@pytest.mark.parametrize(
    ("members", "others"), [(["bob"], []), (["ana", "bob"], []), ([], ["eve"])]
)
def test_a_group_with_others_in_it_may_not(
    dotenv: Path, monkeypatch: pytest.MonkeyPatch, members: list[str], others: list[str]
) -> None:
    users(monkeypatch, "staff", members, *others)
    dotenv.chmod(0o664)

    assert "its group `staff` may write it" in refusal().message
    dotenv.chmod(0o644)
    assert load().channel == "here"


def test_a_group_that_nobody_knows_may_not(dotenv: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(number: int) -> grp.struct_group:
        raise KeyError(number)

    monkeypatch.setattr(grp, "getgrgid", unknown)
    dotenv.chmod(0o664)

    assert f"its group {dotenv.stat().st_gid} may write it" in refusal().message


def test_a_link_counts_as_its_target(dotenv: Path, tmp_path: Path) -> None:
    target = dotenv.rename(tmp_path / "real.env")
    dotenv.symlink_to(target)

    assert load().channel == "here"
    target.chmod(0o666)
    assert refusal().code == "dotenv_distrusted"


def test_a_broken_link_is_not_treated_as_a_missing_file() -> None:
    Path(".env").symlink_to("nowhere")

    assert "there is no such file" in refusal().message


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another user")
def test_the_owner_must_be_this_user_root_or_the_caller_of_sudo(dotenv: Path) -> None:
    os.chown(dotenv, 65534, -1)

    assert "it belongs to user" in refusal().message
    assert "it belongs to user" in refusal({"SUDO_UID": "1000"}).message
    assert load({"SUDO_UID": "65534"}).channel == "here"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a link to another user")
def test_every_link_of_a_chain_has_an_owner_that_counts(dotenv: Path) -> None:
    dotenv.rename("real.env")
    Path("middle").symlink_to("real.env")
    dotenv.symlink_to("middle")
    os.lchown("middle", 65534, -1)

    assert "the link middle belongs to user" in refusal().message


DEFAULTS = {
    "WACOEX_META_BASE_URL": "https://graph.facebook.com/",
    "WACOEX_META_SDK_URL": "https://connect.facebook.net/de_DE/sdk.js",
    "WACOEX_RESPONDIO_BASE_URL": "https://api.respond.io:443/v2",
}


def doubtful(environ: dict[str, str] | None = None, env_file: Path | None = None) -> dict[str, str]:
    return read_sources(env_file=env_file, environ=environ or {}).doubtful_addresses()


@pytest.mark.parametrize(
    ("variable", "secrets"),
    [
        ("WACOEX_META_BASE_URL", {"meta-token", "meta-app-secret", "webhook-verify-token"}),
        ("WACOEX_META_SDK_URL", {"meta-token", "meta-app-secret"}),
        ("WACOEX_RESPONDIO_BASE_URL", {"respondio-token"}),
    ],
)
def test_an_address_of_the_dotenv_alone_is_doubtful(variable: str, secrets: set[str]) -> None:
    path = Path(".env")
    path.write_text(f"{variable}=https://example.com\n")

    assert doubtful() == dict.fromkeys(secrets, f"`{variable}` in .env")
    assert secrets <= SECRET_VARIABLES.keys()
    assert doubtful(env_file=path) == {}
    assert doubtful({variable: "https://example.com"}) == {}
    path.write_text(f"{variable}={DEFAULTS[variable]}\n")
    assert doubtful() == {}


def test_an_address_that_the_config_names_too_is_not(config: Path) -> None:
    Path(".env").write_text("WACOEX_META_BASE_URL=https://example.com/graph\n")
    config.write_text('meta_base_url = "https://example.com"\n')

    assert doubtful() == {}
    config.write_text('meta_base_url = "https://example.com:444"\n')
    assert set(doubtful()) == {"meta-token", "meta-app-secret", "webhook-verify-token"}


@pytest.mark.parametrize("table", ["", "[channels.shop]\n"])
def test_a_config_that_only_the_dotenv_names_is_not_trusted(tmp_path: Path, table: str) -> None:
    theirs = tmp_path / "config.toml"
    theirs.write_text(f'{table}respondio_base_url = "https://example.com"\n')
    Path(".env").write_text(f"WACOEX_CONFIG_DIR={tmp_path}\n")

    assert "which `WACOEX_CONFIG_DIR` in .env names" in doubtful()["respondio-token"]
    assert doubtful({"WACOEX_CONFIG_DIR": str(tmp_path)}) == {}


def pipe(path: Path, content: bytes) -> threading.Thread:
    """A named pipe that somebody writes to."""
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_bytes, args=[content])
    writer.start()
    return writer


def test_a_dotenv_in_a_pipe_is_read_to_its_end() -> None:
    writer = pipe(Path(".env"), b"WACOEX_CHANNEL=piped\n")

    assert load().channel == "piped"
    writer.join()


@pytest.mark.parametrize("name", [".env", ".config/wacoex/config.toml"])
def test_a_pipe_without_a_writer_delays_nothing(
    isolated_home: Path, config: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(isolated_home)
    os.mkfifo(name)

    assert refusal().message.endswith(f"{name}: it did not end within 3 seconds")


@pytest.mark.parametrize("name", [".env", ".config/wacoex/config.toml"])
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "is a directory"),
        (b"# \xff", "it is not UTF-8 text"),
        (b"#" * 262_145, "it holds more than 262144 bytes"),
    ],
)
def test_a_path_that_is_not_a_settings_file_is_named(
    isolated_home: Path,
    config: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    content: bytes | None,
    reason: str,
) -> None:
    monkeypatch.chdir(isolated_home)
    if content is None:
        Path(name).mkdir()
    else:
        Path(name).write_bytes(content)

    error = refusal()

    assert error.message.endswith(f"{name}: {reason}")
    assert error.hint


def test_a_file_without_an_end_is_left_after_a_while() -> None:
    with pytest.raises(OSError, match="more than 262144 bytes"):
        content_of(Path("/dev/zero"))
    assert content_of(Path("/dev/null")) == b""


@pytest.mark.parametrize(
    "text",
    [
        "inactivity = " + "[" * 900 + "]" * 900,
        "events = " + "{a = " * 300 + "1" + "}" * 300,
        "state = " + "[" * 1_900,
        "state" + ".a" * 900 + " = 1",
        "[breaker_limits" + ".a" * 50 + "]",
        "channel = [[[[[[[[[[1]]]]]]]]]]",
    ],
)
def test_absurd_nesting_is_refused(config: Path, text: str) -> None:
    config.write_text(text)

    assert "nested too deeply" in refusal().message
    assert str(config) in refusal().message


def test_a_line_of_absurd_length_is_refused(config: Path) -> None:
    config.write_text("# fine\nchannel" + ".a" * 5_000 + " = 1\n")

    assert refusal().message == f"{config} is not valid TOML: line 2 has more than 2000 characters"


NAMES = [name for name in Settings._fields if name != "config_dir"]
ODD = [
    *("[]", "[1]", '["v26.0"]', "{}", "{a = 1}", "inf", "-inf", "nan", f"1{'0' * 1_000}", "-1"),
    *("2026-01-01", "2026-01-01T00:00:00Z", "10:00:00", "true", '""', '"\\u0000"', '"a\\u0000b"'),
    *(
        '"~no-such-user-here/x"',
        '"https://x\\u0000y"',
        '"https://[::1"',
        "{trust = 1}",
        "0x" + "f" * 900,
    ),
]


@pytest.mark.parametrize("name", NAMES)
def test_a_value_of_another_type_is_named_with_its_file(config: Path, name: str) -> None:
    for value in ODD:
        config.write_text(f"{name} = {value}\n")
        try:
            load()
        except UsageError as error:
            assert f"`{name}` in {config}" in error.message
            assert error.hint


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("meta_api_version", "26"),
        ("meta_api_version", '["v26.0"]'),
        ("channel", "[]"),
        ("timezone", "2026-01-01"),
        ("breaker_share", "nan"),
        ("breaker_rows", "inf"),
        ("status_seconds", f"1{'0' * 400}"),
        ("state", '"a\\u0000b"'),
        ("state", '"~no-such-user-here/x"'),
        ("public_url", '"https://x\\u0000y"'),
    ],
)
def test_an_impossible_value_of_a_setting_is_refused(config: Path, name: str, value: str) -> None:
    config.write_text(f"{name} = {value}\n")

    assert refusal().message == f"`{name}` in {config} is not valid"


@pytest.mark.parametrize("path", ["a\0b", "~no-such-user-here/x"])
def test_an_impossible_directory_in_a_dotenv_is_refused(path: str) -> None:
    Path(".env").write_text(f"WACOEX_CONFIG_DIR='{path}'\n")

    assert refusal().message == "`WACOEX_CONFIG_DIR` in .env is not valid"


_LINES = st.lists(
    st.builds(
        "{} = {}".format,
        st.sampled_from([*Settings._fields, "channels", "channels.shop", "channels.shop.state"]),
        st.sampled_from(ODD) | st.text(max_size=8),
    ),
    max_size=4,
).map("\n".join)


@given(toml=_LINES.map(lambda text: text.encode(errors="replace")) | st.binary(max_size=60))
@example(toml=b"\0")
def test_no_config_is_worse_than_an_error(tmp_path_factory: pytest.TempPathFactory, toml) -> None:
    directory = tmp_path_factory.getbasetemp()
    (directory / "config.toml").write_bytes(toml)
    environ = {"WACOEX_CONFIG_DIR": str(directory)}

    try:
        sources = read_sources(env_file=None, environ=environ)
        load_settings(sources)
        load_settings(sources, "shop")
        sources.doubtful_addresses()
    except UsageError as error:
        assert error.exit_status == 2


@given(
    text=st.lists(
        st.builds(
            "{}={}".format,
            st.sampled_from(VARIABLES) | st.text(max_size=4),
            st.sampled_from(["'a\0b'", "~x/y", '"', "'", "[", "https://[::1", "\\"])
            | st.text(max_size=9),
        ),
        max_size=4,
    )
    .map("\n".join)
    .map(lambda text: text.encode(errors="replace"))
    | st.binary(max_size=60)
)
def test_no_dotenv_is_worse_than_an_error(tmp_path_factory: pytest.TempPathFactory, text) -> None:
    path = tmp_path_factory.getbasetemp() / "any.env"
    path.write_bytes(text)

    try:
        sources = read_sources(env_file=path, environ={})
        load_settings(sources)
        list(sources.warnings())
    except UsageError as error:
        assert error.exit_status == 2

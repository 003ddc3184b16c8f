"""Settings read back without validation: only for the very configuration they were made from."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zoneinfo
from pathlib import Path
from typing import Any

import pytest

from wacoex_cli.errors import UsageError
from wacoex_cli.foundation.secrets import LOCAL_KEY
from wacoex_cli.foundation.settings import Settings, read_sources
from wacoex_cli.foundation.settings_cache import load_settings

LOADS = "import sys; from wacoex_cli.__main__ import main; main(); print('pydantic' in sys.modules)"


@pytest.fixture
def cache(isolated_home: Path) -> Path:
    """Where the settings are kept."""
    return isolated_home / ".cache/wacoex/settings.json"


@pytest.fixture
def config(isolated_home: Path) -> Path:
    """The path of config.toml, in a directory that exists."""
    directory = isolated_home / ".config/wacoex"
    directory.mkdir(parents=True)
    return directory / "config.toml"


def load(environ: dict[str, str] | None = None, **more: Any) -> Settings:
    return load_settings(read_sources(env_file=None, environ=environ or {}), **more)


def entries(cache: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(cache.read_text())
    return found


def written(cache: Path) -> tuple[int, int]:
    """Changes when the file is written again, and only then."""
    return cache.stat().st_ino, cache.stat().st_mtime_ns


def test_an_unchanged_configuration_is_read_back_as_it_was(cache: Path, config: Path) -> None:
    config.write_text(
        'timezone = "Asia/Tokyo"\nbreaker_share = 1\nbreaker_limits.row = "20%"\n'
        "breaker_limits.131026 = 5\n[inactivity]\nwarning_days = 9\n"
        '[events]\nprobe_contact = "+6591234567"\n'
    )
    environ = {"WACOEX_KEYRING": "off", "WACOEX_STATE": "~/other.db"}
    validated = load(environ)
    before = written(cache)

    kept = load(environ)

    assert kept == validated
    assert repr(kept) == repr(validated)  # the types too
    assert written(cache) == before
    assert cache.stat().st_mode & 0o777 == 0o600
    assert cache.parent.stat().st_mode & 0o777 == 0o700


def test_reading_it_back_needs_no_pydantic() -> None:
    def loads() -> str:
        command = [sys.executable, "-c", LOADS, "channel", "list"]
        ended = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
        return ended.stdout.splitlines()[-1]

    assert loads() == "True"
    assert loads() == "False"


def _change(monkeypatch: pytest.MonkeyPatch, config: Path, tmp_path: Path, what: str) -> None:
    new = tmp_path / "new"
    new.mkdir()
    match what:
        case "home":
            monkeypatch.setenv("HOME", str(new))
        case "xdg":
            monkeypatch.setenv("XDG_STATE_HOME", str(new))
        case "directory":
            monkeypatch.chdir(new)
        case "dotenv":
            Path(".env").write_text("WACOEX_CHANNEL=shop\n")
        case "config":
            config.write_text('channel = "shop"\n')


@pytest.mark.parametrize("what", ["home", "xdg", "directory", "dotenv", "config"])
def test_any_change_is_validated_again(
    monkeypatch: pytest.MonkeyPatch, cache: Path, config: Path, tmp_path: Path, what: str
) -> None:
    environ = {"WACOEX_STATE": "mine.db"} if what == "directory" else {}
    before = load(environ)

    _change(monkeypatch, config, tmp_path, what)

    assert load(environ) != before or what == "home"
    assert len(entries(cache)) == 2


def test_a_variable_and_a_channel_make_a_configuration_of_their_own(
    cache: Path, config: Path
) -> None:
    config.write_text('[channels.shop]\ntimezone = "Asia/Tokyo"\n')

    assert load().timezone is None
    assert load(channel="shop").timezone == "Asia/Tokyo"
    assert load({"WACOEX_TIMEZONE": "Asia/Seoul"}).timezone == "Asia/Seoul"
    assert len(entries(cache)) == 3
    assert load(channel="shop").timezone == "Asia/Tokyo"
    assert len(entries(cache)) == 3


def test_explain_says_where_the_kept_settings_and_the_key_are(run, cache: Path) -> None:
    load()

    article = run("explain", "files").out

    assert f"~/{cache.parent.parent.name}/{cache.parent.name}" in article
    assert f"`{LOCAL_KEY}`" in article


def test_another_key_of_the_installation_finds_nothing(cache: Path, isolated_home: Path) -> None:
    load()
    key = isolated_home / ".config/wacoex/secrets/local-key"
    assert key.stat().st_mode & 0o777 == 0o600
    key.write_text("f" * 64)

    load()

    assert len(entries(cache)) == 2


def _spoil(cache: Path, how: str) -> None:
    [(name, entry)] = entries(cache).items()
    match how:
        case "half":
            cache.write_text(cache.read_text()[:200])
        case "no object":
            cache.write_text("[1]")
        case "not text":
            cache.write_bytes(b"\xff\xfe")
        case "empty":
            cache.write_bytes(b"")
        case "no entry":
            cache.write_text(json.dumps({name: 3}))
        case "no settings":
            cache.write_text(json.dumps({name: {"mac": entry["mac"]}}))
        case "other value":
            entry["settings"]["meta_base_url"] = "https://evil.example"
            cache.write_text(json.dumps({name: entry}))


@pytest.mark.parametrize(
    "how", ["half", "no object", "not text", "empty", "no entry", "no settings", "other value"]
)
def test_a_damaged_file_is_ignored_and_written_again(cache: Path, how: str) -> None:
    right = load()
    _spoil(cache, how)

    assert load() == right
    assert right.talks_to_meta
    before = written(cache)
    assert load() == right
    assert written(cache) == before


def test_an_entry_counts_under_its_own_name_only(cache: Path) -> None:
    load({"WACOEX_CHANNEL": "shop"})
    [entry] = entries(cache).values()
    load({"WACOEX_CHANNEL": "shed"})
    [_, name] = entries(cache)
    cache.write_text(json.dumps({name: entry}))

    assert load({"WACOEX_CHANNEL": "shed"}).channel == "shed"


@pytest.mark.parametrize("which", ["settings", "key"])
@pytest.mark.parametrize("how", ["readable", "writable", "link", "foreign"])
def test_a_file_that_others_could_have_made_is_not_read(
    cache: Path, isolated_home: Path, tmp_path: Path, which: str, how: str
) -> None:
    right = load()
    key = isolated_home / ".config/wacoex/secrets/local-key"
    path = cache if which == "settings" else key
    if how == "link":
        path.rename(tmp_path / "elsewhere")
        path.symlink_to(tmp_path / "elsewhere")
    elif how == "foreign":
        if os.geteuid():
            pytest.skip("only root can give a file away")
        os.chown(path, 65534, -1)
    else:
        path.chmod({"readable": 0o640, "writable": 0o602}[how])
    before = written(cache)

    assert load() == right
    # With a key that is not private nothing is kept; a foreign file is replaced by our own.
    assert (written(cache) != before) == (which == "settings")
    assert not cache.is_symlink()


def test_no_secret_is_in_it(cache: Path) -> None:
    Path(".env").write_text("WACOEX_RESPONDIO_TOKEN=dotenv-s3cr3t\n")

    load({"WACOEX_META_TOKEN": "EAAG-s3cr3t", "WACOEX_NOTIFY_URLS": "json://ana:hunter2@host"})

    content = cache.read_text()
    assert len(entries(cache)) == 1
    assert not [word for word in ("s3cr3t", "EAAG", "ana", "hunter2") if word in content]


def test_an_address_with_a_password_is_not_kept(cache: Path) -> None:
    environ = {"WACOEX_META_BASE_URL": "https://:pw@example.com"}

    assert load(environ).meta_base_url == "https://:pw@example.com"
    assert not cache.exists()


def test_a_refused_configuration_is_refused_again_and_not_kept(cache: Path, config: Path) -> None:
    load()
    config.write_text('timezone = "Mars/Base"\n')

    for _ in range(2):
        with pytest.raises(UsageError, match=f"`timezone` in {config} is not valid"):
            load()
    assert len(entries(cache)) == 1


def test_a_zone_that_the_machine_no_longer_knows_is_refused(cache: Path, tmp_path: Path) -> None:
    zones = tmp_path / "zones"
    (zones / "Test").mkdir(parents=True)
    source = Path(zoneinfo.TZPATH[0]) / "UTC"
    if not source.exists():
        pytest.skip("this machine has no zone files")
    (zones / "Test/Here").write_bytes(source.read_bytes())
    environ = {"WACOEX_TIMEZONE": "Test/Here"}
    try:
        zoneinfo.reset_tzpath(to=[str(zones)])
        assert load(environ).timezone == load(environ).timezone == "Test/Here"
        (zones / "Test/Here").unlink()
        zoneinfo.ZoneInfo.clear_cache()

        with pytest.raises(UsageError, match="is not valid"):
            load(environ)
    finally:
        zoneinfo.reset_tzpath()
        zoneinfo.ZoneInfo.clear_cache()


def test_only_the_newest_configurations_are_kept(cache: Path) -> None:
    for number in range(20):
        load({"WACOEX_CHANNEL": f"shop{number}"})

    assert [entry["settings"]["channel"] for entry in entries(cache).values()] == [
        f"shop{number}" for number in range(4, 20)
    ]


def test_nothing_is_written_into_the_home_of_another_user(isolated_home: Path) -> None:
    if os.geteuid():
        pytest.skip("only root can be in the home of somebody else")
    os.chown(isolated_home, 65534, -1)

    assert load() == load()
    assert list(isolated_home.iterdir()) == []


@pytest.mark.parametrize("place", [".cache", ".config/wacoex/secrets"])
def test_everything_works_where_nothing_can_be_kept(isolated_home: Path, place: str) -> None:
    blocked = isolated_home / place
    blocked.parent.mkdir(parents=True, exist_ok=True)
    blocked.write_text("a file where a directory should be")

    assert load() == load()


def test_kept_settings_do_not_make_a_dotenv_trusted(cache: Path) -> None:
    path = Path(".env")
    path.write_text("WACOEX_CHANNEL=here\n")
    assert load().channel == "here"
    before = written(cache)
    path.chmod(0o666)

    with pytest.raises(UsageError, match="everybody may write it"):
        load()

    assert written(cache) == before

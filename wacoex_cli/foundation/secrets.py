"""Secrets: found in the environment, in files or in the keyring, shown to nobody."""

from __future__ import annotations

import re
import stat
from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from pathlib import Path

from wacoex_cli.errors import CredentialError
from wacoex_cli.foundation.secret_files import LOCAL_KEY, is_there, new_local_key
from wacoex_cli.foundation.settings import SECRET_VARIABLES, ways_to_give
from wacoex_cli.foundation.stored_secrets import StoredSecrets

_TAIL_LENGTH = 4
_SHORTEST_WITH_TAIL = 16


class Place(StrEnum):
    """The kinds of place a secret is found in."""

    GIVEN = "given"  # the environment, `.env`, a file that one of them names, systemd
    INSECURE_FILE = "insecure_file"
    KEYRING = "keyring"


class Secret:
    """A secret and where it came from. Only `reveal` gives it out."""

    __slots__ = ("_value", "place", "source")

    def __init__(self, value: str, source: str, place: Place = Place.GIVEN) -> None:
        self._value = value
        self.source = source
        self.place = place

    def reveal(self) -> str:
        """The secret itself, for the one header or signature that needs it."""
        return self._value

    @property
    def tail(self) -> str:
        """The last four characters, to tell two tokens apart; nothing of a short secret."""
        return self._value[-_TAIL_LENGTH:] if len(self._value) >= _SHORTEST_WITH_TAIL else ""

    def __repr__(self) -> str:
        return f"****{self.tail}"

    def __reduce__(self) -> str:
        raise TypeError("a secret is not to be stored")


class Secrets:
    """Looks for a secret in each place in turn; the first that has it wins."""

    def __init__(
        self,
        environ: Mapping[str, str],
        dotenv: Mapping[str, str],
        *,
        dotenv_path: Path,
        stored: StoredSecrets,
        warn: Callable[[str], None],
    ) -> None:
        self._environ = environ
        self._dotenv = dotenv
        self._dotenv_path = dotenv_path
        self.stored = stored
        self._warn = warn
        self._warned: set[Path] = set()

    def find(self, name: str, channel: str | None = None) -> Secret | None:
        """The secret of that name (`meta-token`, ...) for a channel, or None.

        What `given` finds, then the insecure file, then the keyring; in each of them the channel's
        own before that of all channels. A keyring that cannot be used counts as empty.
        Raises CredentialError when what is found cannot be a secret, without showing it.
        """
        found = self.given(name, channel)
        return found if found is not None else next(self._stored(name, channel), None)

    def given(self, name: str, channel: str | None = None) -> Secret | None:
        """The secret as whoever started this program gave it, which beats anything stored.

        Environment (the channel's own variable first), `..._FILE` variables, the same in `.env`,
        then the credentials directory of systemd. Raises CredentialError like `find`.
        """
        return next(self._candidates(SECRET_VARIABLES[name], name, channel), None)

    def need(self, name: str, channel: str | None = None) -> Secret:
        """Like `find`, but raises CredentialError when there is none."""
        secret = self.find(name, channel)
        if secret is None:
            owner = f" for channel `{channel}`" if channel else ""
            problem = self.stored.keyring_failure
            raise CredentialError(
                f"there is no {name}{owner}"
                + (f", and the keyring cannot be used: {problem}" if problem else ""),
                hint=f"{ways_to_give(name)}; or run `wacoex auth login {name}`",
                code="credentials_missing",
            )
        return secret

    def local_key(self) -> bytes:
        """A key of this installation's own, made when it is first needed, kept in a file (0600).

        With it short texts are hashed, so that whoever reads the state file cannot guess them.
        Raises WacoexError when it can be neither read nor written.
        """
        path = self.stored.directory / LOCAL_KEY
        new_local_key(path)
        return self._from_file(path, str(path)).reveal().encode()

    def keyring_problem(self) -> str | None:
        """Why the keyring cannot be used; None when it can be, or when it is switched off.

        Asks it for at most three seconds, once in a process. Raises nothing.
        """
        return self.stored.keyring_problem()

    def _candidates(self, variable: str, name: str, channel: str | None) -> Iterator[Secret]:
        values, files = _variable_names(variable, channel)
        for place, variables in (("", self._environ), (f" in {self._dotenv_path}", self._dotenv)):
            for one in values:
                if one in variables:
                    if place:
                        self._warn_when_shared(self._dotenv_path)
                    yield _checked(variables[one], f"`{one}`{place}")
            for one in files:
                if variables.get(one):
                    yield self._from_file(Path(variables[one]).expanduser(), f"`{one}`{place}")
        directory = self._environ.get("CREDENTIALS_DIRECTORY")
        if directory and is_there(path := Path(directory) / f"wacoex-{name}"):
            yield self._from_file(path, str(path))

    def _stored(self, name: str, channel: str | None) -> Iterator[Secret]:
        for path in self.stored.files(name, channel):
            yield self._from_file(path, str(path), Place.INSECURE_FILE)
        for value, source in self.stored.in_keyring(name, channel):
            yield _checked(value, source, Place.KEYRING)

    def _from_file(self, path: Path, source: str, place: Place = Place.GIVEN) -> Secret:
        try:
            text = path.read_text(encoding="ascii")
        except UnicodeDecodeError:
            raise _unfit(f"the file of {source}", "is no plain text") from None
        except OSError as error:
            named = "" if source == str(path) else f", named by {source}"
            raise CredentialError(
                f"cannot read {path}{named}: {(error.strerror or 'error').lower()}",
                hint="check the path and its permissions",
                code="credentials_unreadable",
            ) from error
        self._warn_when_shared(path)
        return _checked(text, source, place)

    def _warn_when_shared(self, path: Path) -> None:
        mode = path.stat().st_mode
        if stat.S_ISREG(mode) and mode & (stat.S_IRGRP | stat.S_IROTH) and path not in self._warned:
            self._warned.add(path)
            self._warn(f"{path} holds a secret and others may read it; run `chmod 600 {path}`")


def channel_suffix(channel: str) -> str:
    """A channel's name as variables carry it: `shop-2` is `SHOP_2`."""
    return re.sub(r"[^A-Z0-9]", "_", channel.upper())


def _variable_names(variable: str, channel: str | None) -> tuple[list[str], list[str]]:
    values = [f"{variable}_{channel_suffix(channel)}"] if channel else []
    values.append(variable)
    files = [f"{one}_FILE" for one in values]
    if channel:
        files.insert(1, f"{variable}_FILE_{channel_suffix(channel)}")
    return values, files


def why_unfit(value: str) -> str | None:
    """Why a text cannot be a secret, in words that do not quote it; None when it can."""
    if not value:
        return "is empty"
    if re.search(r"[^\x21-\x7e]", value):
        return "holds a space, a line break or another unusual character"
    return None


def _checked(text: str, source: str, place: Place = Place.GIVEN) -> Secret:
    value = text.rstrip("\r\n")
    problem = why_unfit(value)
    if problem is not None:
        raise _unfit(source, problem)
    return Secret(value, source, place)


def _unfit(source: str, what: str) -> CredentialError:
    return CredentialError(
        f"{source} {what}",
        hint="copy the secret again, alone and without quotes",
        code="credentials_unfit",
    )

"""Where wacoex itself keeps secrets: the keyring, or unencrypted files for those who insist."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from wacoex_cli.errors import CredentialError
from wacoex_cli.foundation import secret_files
from wacoex_cli.foundation.keyring_store import SERVICE, Keyring, UnusableError
from wacoex_cli.foundation.settings import ways_to_give


class StoredSecrets:
    """What `auth login` stores and `auth logout` deletes, for one channel or for all of them.

    The keyring knows a secret as service `wacoex` and user name `CHANNEL/NAME`, or `NAME` alone
    when it is for every channel.
    """

    def __init__(
        self, directory: Path, keyring: Keyring | None, *, warn: Callable[[str], None]
    ) -> None:
        self.directory = directory
        self._keyring = keyring
        self._warn = warn

    def files(self, name: str, channel: str | None) -> list[Path]:
        """The files that hold a secret, the channel's own first."""
        owners = _owner_chain(channel)
        paths = (secret_files.path_of(self.directory, name, owner) for owner in owners)
        return [path for path in paths if secret_files.is_there(path)]

    def shared_file(self, name: str) -> Path | None:
        """The file that holds a secret for all channels, if there is one."""
        return next(iter(self.files(name, None)), None)

    def in_keyring(self, name: str, channel: str | None) -> Iterator[tuple[str, str]]:
        """What the keyring holds and where, the channel's own first; nothing when unusable."""
        for owner in _owner_chain(channel):
            user = _user_name(name, owner)
            value = self._keyring.get(user) if self._keyring else None
            if value is not None:
                yield value, _in_words(user)

    @property
    def keyring_failure(self) -> str | None:
        """Why the keyring could not be used so far, without asking it anything."""
        return self._keyring.problem if self._keyring else None

    def keyring_problem(self) -> str | None:
        """Why the keyring cannot be used; None when it can be, or when it is switched off.

        Asks the keyring, for at most three seconds and once in a process. Raises nothing.
        """
        if self._keyring is not None:
            self._keyring.get(_user_name("meta-token", None))
        return self.keyring_failure

    def put(self, name: str, channel: str | None, value: str) -> str:
        """Store a secret in the keyring; returns the place in words.

        Raises CredentialError, with the other ways to keep it, when the keyring cannot be used.
        """
        user = _user_name(name, channel)
        try:
            if self._keyring is None:
                raise UnusableError("`WACOEX_KEYRING` is off")
            self._keyring.put(user, value)
        except UnusableError as error:
            problem = str(error)
        else:
            # A file would go before the keyring, and bring back the old secret.
            secret_files.remove(secret_files.path_of(self.directory, name, channel))
            return _in_words(user)
        raise CredentialError(
            f"the keyring cannot be used: {problem}",
            hint=f"{ways_to_give(name)}; or add `--insecure-file` to keep it unencrypted in a file"
            " that only you may read",
            code="keyring_unusable",
        )

    def put_in_file(self, name: str, channel: str | None, value: str) -> str:
        """Store a secret unencrypted in a file, mode 0600; returns its path.

        Raises WacoexError when the file cannot be written.
        """
        path = secret_files.path_of(self.directory, name, channel)
        secret_files.write(path, value)
        return str(path)

    def forget(self, name: str, channel: str | None, *, dry_run: bool = False) -> list[str]:
        """Delete a secret from file and keyring; returns the places that had it.

        With `dry_run` nothing is deleted.

        Raises CredentialError when no file had it and the keyring could not be asked.
        """
        path = secret_files.path_of(self.directory, name, channel)
        places = [str(path)] if secret_files.remove(path, dry_run=dry_run) else []
        user = _user_name(name, channel)
        try:
            if self._keyring is not None and self._keyring.remove(user, dry_run=dry_run):
                places.append(_in_words(user))
        except UnusableError as error:
            problem = str(error)
        else:
            return places
        if not places:
            raise CredentialError(
                f"the keyring cannot be asked: {problem}",
                hint="unlock it and try again; `WACOEX_KEYRING=off` leaves it out",
                code="keyring_unusable",
            )
        self._warn(f"the keyring cannot be asked and may hold one too: {problem}")
        return places


def _owner_chain(channel: str | None) -> tuple[str | None, ...]:
    return (channel, None) if channel else (None,)


def _user_name(name: str, channel: str | None) -> str:
    return f"{channel}/{name}" if channel else name


def _in_words(user: str) -> str:
    return f"keyring, user name `{user}` of service `{SERVICE}`"

"""Secrets: where they are looked for, and the two places they are stored in, keyring and file."""

from __future__ import annotations

import contextlib
import os
import queue
import re
import stat
import threading
from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from wacoex_cli.errors import CredentialError, UsageError, WacoexError
from wacoex_cli.foundation.settings import (
    SECRET_VARIABLES,
    content_of,
    user_path,
    ways_to_give,
)

if TYPE_CHECKING:
    from keyring.backend import KeyringBackend

LOCAL_KEY = "local-key"


def secret_path(directory: Path, name: str, channel: str | None) -> Path:
    """Where a secret is. No name of a secret holds a dot, so no two secrets share a file."""
    return directory / (f"{channel}.{name}" if channel else name)


def has_secret_file(path: Path) -> bool:
    """Whether there is a file; one that cannot be read counts too: reading it shows why."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True


def write_secret(
    path: Path, value: str, *, is_durable: bool = True, is_first: bool = False
) -> None:
    """Write a secret to its file, mode 0600 from the first moment, replacing the old one at once.

    Raises WacoexError when that is impossible; the old file is then untouched. Unless it
    `is_durable`, what is written may be lost or damaged when the machine loses its power. One that
    `is_first` replaces none: of several who try at once, one succeeds.
    """
    new = path.with_name(f"{path.name}.{os.getpid()}.{threading.get_ident()}.new")
    try:
        for directory in (path.parent.parent, path.parent):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.parent.chmod(0o700)
        new.unlink(missing_ok=True)
        try:
            with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(f"{value}\n")
                file.flush()
                if is_durable:
                    os.fsync(file.fileno())
            if is_first:
                with contextlib.suppress(FileExistsError):
                    path.hardlink_to(new)
            else:
                new.replace(path)
        finally:
            new.unlink(missing_ok=True)
    except OSError as error:
        raise _unwritable_secret(f"cannot write {path}", error) from error


def new_local_key(path: Path) -> None:
    """Make the key of this installation unless there is one. Raises WacoexError."""
    if not has_secret_file(path):
        write_secret(path, os.urandom(32).hex(), is_first=True)


def remove_secret(path: Path, *, dry_run: bool = False) -> bool:
    """Delete the file of a secret; whether there was one. Raises WacoexError."""
    try:
        path.lstat() if dry_run else path.unlink()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise _unwritable_secret(f"cannot delete {path}", error) from error
    return True


def _unwritable_secret(what: str, error: OSError) -> WacoexError:
    return WacoexError(
        f"{what}: {(error.strerror or 'error').lower()}",
        hint="check the permissions of the directory, and that the disk is not full",
        code="credentials_unwritable",
    )


_SERVICE = "wacoex"
_LIMIT_SECONDS = 3.0
_LEAST_PRIORITY = 1  # from here on the library itself recommends a backend
_NONE = "no keyring service is running here"

Answer = TypeVar("Answer")


class UnusableKeyringError(Exception):
    """Why the keyring cannot be used. Caught in `foundation`; no user meets it."""


class Keyring:
    """Reads and writes secrets of the service `wacoex`. Once it failed, it is left alone.

    The library is imported in the thread that asks, so that neither loading it nor a locked
    keyring that waits for somebody holds up this program or its end.
    """

    def __init__(self, *, log: Callable[[str], None], seconds: float = _LIMIT_SECONDS) -> None:
        self.problem: str | None = None
        self._log = log
        self._seconds = seconds
        self._known: dict[str, str | None] = {}

    def get(self, user: str) -> str | None:
        """The secret of that user name; None when there is none or the keyring is unusable.

        `problem` says afterwards why it is unusable. Each name is asked for once.
        """
        if user not in self._known:
            try:
                self._known[user] = self._ask(lambda backend: backend.get_password(_SERVICE, user))
            except UnusableKeyringError:
                return None
        return self._known[user]

    def put(self, user: str, value: str) -> None:
        """Store a secret and read it back. Raises UnusableError unless it is really there."""

        def store(backend: KeyringBackend) -> bool:
            backend.set_password(_SERVICE, user, value)
            return backend.get_password(_SERVICE, user) == value

        self._known.pop(user, None)
        if not self._ask(store):
            raise self._unusable("it does not give back what was stored in it")

    def remove(self, user: str, *, dry_run: bool = False) -> bool:
        """Delete a secret; whether there was one. Raises UnusableError."""

        def delete(backend: KeyringBackend) -> bool:
            if backend.get_password(_SERVICE, user) is None:
                return False
            if not dry_run:
                backend.delete_password(_SERVICE, user)
            return True

        self._known.pop(user, None)
        return self._ask(delete)

    def _ask(self, question: Callable[[KeyringBackend], Answer]) -> Answer:
        if self.problem is not None:
            raise UnusableKeyringError(self.problem)
        answers: queue.SimpleQueue[tuple[bool, Any]] = queue.SimpleQueue()

        def work() -> None:
            try:
                answers.put((True, question(_backend())))
            except UnusableKeyringError as error:
                answers.put((False, str(error)))
            except BaseException as error:
                # Of what a backend raises only the kind is shown: its text might quote a secret.
                answers.put((False, f"it failed ({type(error).__name__})"))

        threading.Thread(target=work, name="keyring", daemon=True).start()
        try:
            is_answer, answer = answers.get(timeout=self._seconds)
        except queue.Empty:
            is_answer, answer = False, f"it gave no answer within {self._seconds:g} seconds"
        if not is_answer:
            raise self._unusable(answer)
        return answer  # type: ignore[no-any-return]

    def _unusable(self, problem: str) -> UnusableKeyringError:
        self.problem = problem
        self._log(f"the keyring cannot be used: {problem}")
        return UnusableKeyringError(problem)


def _backend() -> KeyringBackend:
    """The backend in use, or the first one of a chain that can be used."""
    try:
        import keyring.backends.chainer

        found = keyring.get_keyring()
        chain = keyring.backends.chainer.ChainerBackend
        backends = list(found.backends) if isinstance(found, chain) else [found]
    except Exception as error:
        raise UnusableKeyringError(
            f"its backend cannot be loaded ({type(error).__name__});"
            " check `PYTHON_KEYRING_BACKEND` and `keyringrc.cfg`"
        ) from None
    problems = [_backend_problem(backend) for backend in backends]
    if None not in problems:
        raise UnusableKeyringError(problems[0] if problems else _NONE)
    return backends[problems.index(None)]


def _backend_problem(backend: KeyringBackend) -> str | None:
    kind = type(backend)
    modules = {base.__module__ for base in kind.__mro__}
    if "keyring.backends.fail" in modules:
        return _NONE
    if "keyring.backends.null" in modules:
        return "the null backend is in use, which stores nothing"
    if kind.__module__.startswith("keyrings.alt") or "plaintext" in kind.__name__.lower():
        return f"the backend `{kind.__module__}.{kind.__name__}` is not a keyring of the system"
    if backend.priority < _LEAST_PRIORITY:
        return f"the backend `{kind.__module__}.{kind.__name__}` is not a recommended one"
    return None


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
        paths = (secret_path(self.directory, name, owner) for owner in owners)
        return [path for path in paths if has_secret_file(path)]

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

    def demand_keyring(self, name: str, channel: str | None) -> None:
        """Raise CredentialError, as `put` does, for a keyring that does not answer now."""
        if self._keyring is None:
            raise _no_place(name, _SWITCHED_OFF)
        self._keyring.get(_user_name(name, channel))
        if self._keyring.problem is not None:
            raise _no_place(name, self._keyring.problem)

    def put(self, name: str, channel: str | None, value: str) -> str:
        """Store a secret in the keyring; returns the place in words.

        Raises CredentialError, with the other ways to keep it, when the keyring cannot be used.
        """
        place = self._put_in_keyring(name, channel, value)
        # A file would go before the keyring, and bring back the old secret.
        remove_secret(secret_path(self.directory, name, channel))
        return place

    def _put_in_keyring(self, name: str, channel: str | None, value: str) -> str:
        user = _user_name(name, channel)
        try:
            if self._keyring is None:
                raise UnusableKeyringError(_SWITCHED_OFF)
            self._keyring.put(user, value)
        except UnusableKeyringError as error:
            raise _no_place(name, str(error)) from None
        return _in_words(user)

    def put_in_file(self, name: str, channel: str | None, value: str) -> str:
        """Store a secret unencrypted in a file, mode 0600; returns its path.

        Raises WacoexError when the file cannot be written.
        """
        path = secret_path(self.directory, name, channel)
        write_secret(path, value)
        return str(path)

    def copy_to(self, name: str, channel: str, other: str, *, dry_run: bool = False) -> list[str]:
        """Store a channel's own secret for another name too; returns where that is, in words.

        With `dry_run` nothing is stored. A keyring that cannot be used counts as empty.

        Raises UsageError when a different one is stored for the other name, and WacoexError when
        it cannot be read or stored.
        """
        owned, wanted = _user_name(name, channel), _user_name(name, other)
        path, new_path = (secret_path(self.directory, name, owner) for owner in (channel, other))
        value, there = _kept_in(path), _kept_in(new_path)
        is_same_file = None not in (value, there) and path.samefile(new_path)
        if self._keyring:
            in_keyring = (self._keyring.get(owned), self._keyring.get(wanted))
        else:
            in_keyring = (None, None)
        for place, mine, taken in (
            (str(new_path), value, there),
            (_in_words(wanted), *in_keyring),
        ):
            if taken is not None and taken != mine:
                raise UsageError(
                    f"a {name} is stored for `{other}` already: {place}",
                    hint="delete it, or choose another name",
                    code="secret_exists",
                )
        copies = []
        if value is not None and not is_same_file:
            if not dry_run:
                write_secret(new_path, value)
            copies.append(str(new_path))
        if in_keyring[0] is not None:
            if not dry_run:
                self._put_in_keyring(name, other, in_keyring[0])
            copies.append(_in_words(wanted))
        return copies

    def forget(self, name: str, channel: str | None, *, dry_run: bool = False) -> list[str]:
        """Delete a secret from file and keyring; returns the places that had it.

        With `dry_run` nothing is deleted.

        Raises CredentialError when no file had it and the keyring could not be asked.
        """
        path = secret_path(self.directory, name, channel)
        places = [str(path)] if remove_secret(path, dry_run=dry_run) else []
        user = _user_name(name, channel)
        try:
            if self._keyring is not None and self._keyring.remove(user, dry_run=dry_run):
                places.append(_in_words(user))
        except UnusableKeyringError as error:
            if not places:
                raise CredentialError(
                    f"the keyring cannot be asked: {error}",
                    hint="unlock it and try again; `WACOEX_KEYRING=off` leaves it out",
                    code="keyring_unusable",
                ) from None
            self._warn(f"the keyring cannot be asked and may hold one too: {error}")
        return places


def _kept_in(path: Path) -> str | None:
    """The secret in a file of ours; None without one. Raises CredentialError."""
    if not has_secret_file(path):
        return None
    try:
        return content_of(path).decode("ascii").rstrip("\r\n")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not plain text"
        raise CredentialError(
            f"cannot read {path}: {(reason or 'error').lower()}",
            hint="check the file and its permissions",
            code="credentials_unreadable",
        ) from error


_SWITCHED_OFF = "`WACOEX_KEYRING` is off"


def _no_place(name: str, problem: str) -> CredentialError:
    return CredentialError(
        f"the keyring cannot be used: {problem}",
        hint=f"{ways_to_give(name)}; or add `--insecure-file` to keep it unencrypted in a"
        " file that only you may read",
        code="keyring_unusable",
    )


def _owner_chain(channel: str | None) -> tuple[str | None, ...]:
    return (channel, None) if channel else (None,)


def _user_name(name: str, channel: str | None) -> str:
    return f"{channel}/{name}" if channel else name


def _in_words(user: str) -> str:
    return f"keyring, user name `{user}` of service `{_SERVICE}`"


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
        """The last four characters, to distinguish two tokens; nothing of a short secret."""
        return self._value[-_TAIL_LENGTH:] if len(self._value) >= _SHORTEST_WITH_TAIL else ""

    def __repr__(self) -> str:
        return f"****{self.tail}"

    def __reduce__(self) -> str:
        raise TypeError("a secret must not be stored")


class Secrets:
    """Looks for a secret in each place in turn; the first that has it wins.

    `doubtful_addresses` are those of `Sources`: a secret named there is given out only when the
    `.env` that holds the address holds the secret too.
    """

    def __init__(
        self,
        environ: Mapping[str, str],
        dotenv: Mapping[str, str],
        *,
        dotenv_path: Path,
        stored: StoredSecrets,
        warn: Callable[[str], None],
        doubtful_addresses: Mapping[str, str] | None = None,
    ) -> None:
        self._doubtful_addresses = doubtful_addresses or {}
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
        Raises CredentialError when what is found cannot be a secret, without showing it, and
        UsageError when it would follow an address that only the picked-up `.env` gives.
        """
        found = self.given(name, channel)
        return found if found is not None else next(self._stored(name, channel), None)

    def given(self, name: str, channel: str | None = None) -> Secret | None:
        """The secret that this program was started with; it beats anything stored.

        Environment (the channel's own variable first), `..._FILE` variables, the same in `.env`,
        then the credentials directory of systemd. Raises like `find`.
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

    def demand_address(self, name: str, source: str) -> None:
        """Raise UsageError when a secret from there would follow a doubtful address."""
        place = self._doubtful_addresses.get(name)
        if place is not None:
            raise UsageError(
                f"{name} from {source} is not sent to the address given by {place}",
                hint="a `.env` that was only found in the working directory sends only its own"
                " secrets to another address; if you want that, add"
                f" `--env-file {self._dotenv_path}`",
                code="address_distrusted",
            )

    def local_key(self) -> bytes:
        """A key of this installation's own, made when it is first needed, kept in a file (0600).

        With it short texts are hashed, so that nobody who reads the state file can guess them.
        Raises WacoexError when it can be neither read nor written.
        """
        path = self.stored.directory / LOCAL_KEY
        new_local_key(path)
        return self._from_file(path, str(path)).reveal().encode()

    def keyring_problem(self) -> str | None:
        """Why the keyring cannot be used; None when it can be, or when it is switched off.

        Asks it for at most three seconds, once in a process. Raises nothing.
        """
        next(self.stored.in_keyring("meta-token", None), None)
        return self.stored.keyring_failure

    def _candidates(self, variable: str, name: str, channel: str | None) -> Iterator[Secret]:
        values, files = [variable], [f"{variable}_FILE"]
        if channel:
            suffix = channel_suffix(channel)
            own = f"{variable}_{suffix}"
            # What names a file for all channels is no secret of a channel `file`.
            values = [variable] if own in files else [own, variable]
            files = [f"{own}_FILE", f"{variable}_FILE_{suffix}", *files]
        for place, variables in (("", self._environ), (f" in {self._dotenv_path}", self._dotenv)):
            for given in values:
                # An empty one counts as not set, as that of any setting does.
                if variables.get(given):
                    if place:
                        self._warn_when_shared(self._dotenv_path)
                    else:
                        self.demand_address(name, f"`{given}`")
                    yield _checked(variables[given], f"`{given}`{place}")
            for given in files:
                if variables.get(given):
                    self.demand_address(name, f"`{given}`{place}")
                    yield self._from_file(variables[given], f"`{given}`{place}")
        directory = self._environ.get("CREDENTIALS_DIRECTORY")
        if directory and has_secret_file(path := Path(directory) / f"wacoex-{name}"):
            self.demand_address(name, str(path))
            yield self._from_file(path, str(path))

    def _stored(self, name: str, channel: str | None) -> Iterator[Secret]:
        for path in self.stored.files(name, channel):
            self.demand_address(name, str(path))
            yield self._from_file(path, str(path), Place.INSECURE_FILE)
        for value, source in self.stored.in_keyring(name, channel):
            self.demand_address(name, source)
            yield _checked(value, source, Place.KEYRING)

    def _from_file(self, given: str | Path, source: str, place: Place = Place.GIVEN) -> Secret:
        try:
            path = user_path(given)
            text = content_of(path).decode("ascii")
        except UnicodeDecodeError:
            raise _invalid(f"the file of {source}", "is not plain text") from None
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            named = "" if source == str(given) else f", named by {source}"
            raise CredentialError(
                f"cannot read {given}{named}: {(reason or 'error').lower()}",
                hint="check the path and its permissions",
                code="credentials_unreadable",
            ) from error
        self._warn_when_shared(path)
        return _checked(text, source, place)

    def _warn_when_shared(self, path: Path) -> None:
        try:
            mode = path.stat().st_mode
        except OSError:  # gone meanwhile
            return
        if stat.S_ISREG(mode) and mode & (stat.S_IRGRP | stat.S_IROTH) and path not in self._warned:
            self._warned.add(path)
            self._warn(f"{path} holds a secret and others may read it; run `chmod 600 {path}`")


def channel_suffix(channel: str) -> str:
    """A channel's name as variables carry it: `shop-2` is `SHOP_2`."""
    return re.sub(r"[^A-Z0-9]", "_", channel.upper())


def is_reserved(channel: str) -> bool:
    """Whether variables of a channel of that name would also name files of secrets.

    `WACOEX_META_TOKEN_FILE` names a file for all channels, `WACOEX_META_TOKEN_SHOP_FILE` and
    `WACOEX_META_TOKEN_FILE_SHOP` each one for the channel `shop`.
    """
    parts = channel_suffix(channel).split("_")
    return "FILE" in (parts[0], parts[-1])


def why_invalid(value: str) -> str | None:
    """Why a text cannot be a secret, in words that do not quote it; None when it can."""
    if not value:
        return "is empty"
    if re.search(r"[^\x21-\x7e]", value):
        return "holds a space, a line break or another unusual character"
    return None


def _checked(text: str, source: str, place: Place = Place.GIVEN) -> Secret:
    value = text.rstrip("\r\n")
    problem = why_invalid(value)
    if problem is not None:
        raise _invalid(source, problem)
    return Secret(value, source, place)


def _invalid(source: str, what: str) -> CredentialError:
    return CredentialError(
        f"{source} {what}",
        hint="copy the secret again, alone and without quotes",
        code="credentials_unusable",
    )

"""HTTP: asking and sending, what came back, or why nothing did."""

from __future__ import annotations

import asyncio
import contextlib
import email.utils
import functools
import json as json_module
import logging
import math
import random
import ssl
import zlib
from collections.abc import AsyncIterator, Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import TYPE_CHECKING, Any, BinaryIO, NoReturn, cast
from urllib.parse import urlsplit

import httpx

import wacoex_cli
from wacoex_cli.errors import TemporaryError, UsageError
from wacoex_cli.foundation.clock import Clock
from wacoex_cli.foundation.masking import masked_text

if TYPE_CHECKING:
    from wacoex_cli.foundation.connections import AiohttpClient


@dataclass(frozen=True)
class Answer:
    """A whole HTTP answer. `json` is None when the body, `size` bytes long, is not JSON.

    Its texts can be stored and shown, whatever was escaped in them, and its fractions are finite.
    """

    status: int
    headers: Mapping[str, str]
    json: object | None
    size: int


@dataclass(frozen=True)
class Glimpse:
    """The beginning of an answer to somebody who asked without a token.

    `size` is that of the whole body in bytes, as the server says it or as it was read; None when
    it is larger than was looked for, and nobody says how large.
    """

    status: int
    headers: Mapping[str, str]
    start: bytes
    size: int | None


@dataclass(frozen=True)
class FilePart:
    """A file in a form that is posted: its name, its open content, type and size in bytes."""

    name: str
    content: BinaryIO
    media_type: str
    size: int


class _NoAnswerError(Exception):
    """`hint` and `code` are those of a read; `may_get_better`: the same question may help."""

    def __init__(
        self,
        reason: str,
        hint: str = "check the network, then try again",
        code: str = "unreachable",
        *,
        may_get_better: bool = True,
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.hint = hint
        self.code = code
        self.may_get_better = may_get_better


class NotSentError(_NoAnswerError):
    """The request provably never left this machine; it may be sent again."""


class UnansweredError(_NoAnswerError):
    """The request may have left and no usable answer came; nobody knows what it did."""


def retry_after_seconds(headers: Mapping[str, str], now: datetime) -> float | None:
    """The wait that a `Retry-After` header asks for, in seconds or as a date; None without one."""
    text = headers.get("retry-after", "").strip()
    try:
        seconds = float(text)
    except ValueError:
        moment = date_in(text)
        if moment is None:
            return None
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        seconds = (moment - now).total_seconds()
    return min(max(0.0, seconds), LONGEST_WAIT_SECONDS) if math.isfinite(seconds) else None


def redirect_target(headers: Mapping[str, str]) -> str:
    """Where a redirect points to, without what may be secret in it."""
    with contextlib.suppress(ValueError):
        if host := urlsplit(headers.get("location", "")).hostname:
            return host
    return "another path"


def date_in(text: str) -> datetime | None:
    """The moment that a date of HTTP says; None for anything else, however it is written."""
    # The library raises other kinds too for zones and years that there are not.
    with contextlib.suppress(ValueError, TypeError, IndexError, OverflowError):
        moment = email.utils.parsedate_to_datetime(text)
        # Within these years every zone can be counted in UTC.
        return moment if 1900 < moment.year < 9000 else None
    return None


LONGEST_WAIT_SECONDS = 30 * 86_400.0
"""No answer can ask for a longer wait."""
MOST_ANSWER_BYTES = 8 * 1024 * 1024
"""The largest answer that is read, as it travels and decoded."""
WINDOW = 64
"""Requests of one number that may be open at once; when a server hangs this gives, not the pace."""
READ_PATIENCE_SECONDS = 20.0
"""How long a read is tried again, if nobody says otherwise."""

on_written: ContextVar[Callable[[], None] | None] = ContextVar("on_written", default=None)
"""Called, if it is set, as soon as the whole body of a request is written to its connection."""

_TIMEOUT = httpx.Timeout(connect=5.0, write=5.0, read=30.0, pool=1.0)
_TIMEOUTS = _TIMEOUT.as_dict()
_HEADERS = {
    "Accept": "*/*",
    "Connection": "keep-alive",
    "User-Agent": f"wacoex/{wacoex_cli.__version__}",
}
_KEPT_SECONDS = 60.0
_MOST_TRIES = 4
# A slower connection than this cannot upload: a file of 100 MB has 35 minutes.
_PIECE_BYTES = 256 * 1024
_LEAST_UPLOAD_BYTES_PER_SECOND = 50_000
_LONGEST_RETRY_AFTER_SECONDS = 60.0
# Each piece of an answer restarts the read time-out, so an answer that drips needs an end too.
_WHOLE_EXCHANGE_SECONDS = 60.0
# An answer that is larger waits for its turn to be read: 64 of 8 MB would not be small together.
_SMALL_ANSWER_BYTES = 64 * 1024
# Eight million bytes of `{},` become 240 MB of objects.
_MOST_JSON_PARTS = 500_000
# What is asked for is all that is decoded: others unpack a few bytes to gigabytes at once.
_ZLIB_CODINGS = frozenset({"gzip", "x-gzip", "deflate"})
_ANY_ZLIB_HEADER = zlib.MAX_WBITS | 32
_NEVER_LEFT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
# A proxy for the outside world has no business with a server on this machine.
_UNPROXIED = ("all://localhost", "all://127.0.0.1", "all://[::1]")


class Http:
    """An HTTP client that opens on first use. All times are seconds.

    `window` requests may be open at once. Another one waits for a second, and is then not sent.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        log: Callable[[str], None],
        transport: httpx.AsyncBaseTransport | None = None,
        jitter: Callable[[], float] = random.random,
        exchange_seconds: float = _WHOLE_EXCHANGE_SECONDS,
        window: int = WINDOW,
    ) -> None:
        self.clock = clock
        self._log = log
        self._transport = transport
        self._jitter = jitter
        self._exchange_seconds = exchange_seconds
        self._window = window
        self._client: httpx.AsyncClient | None = None
        self._one_large: asyncio.Lock

    async def read(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        params: Mapping[str, str],
        json: object = None,
        is_final: Callable[[Answer], bool] = lambda answer: False,
        patience_seconds: float = READ_PATIENCE_SECONDS,
    ) -> Answer:
        """Ask for something that changes nothing, so that it may be asked again.

        `json` is the body of a question that some APIs want to be posted.
        Connection failures, time-outs, 5xx and 429 are tried up to four times within about
        `patience_seconds`; a `Retry-After` of up to 60 seconds is obeyed. `is_final` may say
        that an answer will not get better.

        Raises:
            TemporaryError: no answer at all, one that is too large, a server whose certificate is
                not trusted, or one that redirects: redirects are never followed.
        """
        give_up_at = self.clock.monotonic() + patience_seconds
        headers = {**headers, "Accept-Encoding": "gzip"}
        for tries in range(1, _MOST_TRIES + 1):
            answer = await self._exchange(method, url, headers=headers, params=params, json=json)
            demanded = 0.0
            if isinstance(answer, Answer):
                may_get_better = answer.status == 429 or answer.status >= 500
                if not may_get_better or is_final(answer):
                    break
                demanded = retry_after_seconds(answer.headers, self.clock.now()) or 0.0
            elif not answer.may_get_better:
                break
            give_up_at += demanded
            wait = demanded or 2.0 ** (tries - 1) * (0.5 + self._jitter())
            is_late = self.clock.monotonic() + wait > give_up_at
            if tries == _MOST_TRIES or is_late or demanded > _LONGEST_RETRY_AFTER_SECONDS:
                break
            await self.clock.sleep(wait)
        if isinstance(answer, Exception):
            raise TemporaryError(
                f"{_host(url)} gives no answer: {answer.reason}",
                hint=answer.hint,
                code=answer.code,
            )
        if 300 <= answer.status < 400:
            target = redirect_target(answer.headers)
            raise TemporaryError(
                f"{_host(url)} redirects to {target}, which is not followed",
                hint="check the base URL, and whether a captive portal or a proxy is in the way",
                code="redirected",
            )
        return answer

    async def send(
        self,
        url: str,
        *,
        headers: Mapping[str, str],
        json: object,
        params: Mapping[str, str] | None = None,
        method: str = "POST",
    ) -> Answer:
        """Post JSON, or ask for another change, in one single try, whatever happens.

        The answer is asked for as it is, without compression.

        Raises:
            NotSentError: no connection was made; the request never left.
            UnansweredError: it may have left, and no whole answer came back.
        """
        headers = {**headers, "Accept-Encoding": "identity"}
        outcome = await self._exchange(method, url, headers=headers, json=json, params=params or {})
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def upload(
        self,
        url: str,
        *,
        headers: Mapping[str, str],
        params: Mapping[str, str],
        fields: Mapping[str, str] | None,
        file: FilePart,
    ) -> Answer:
        """Post a form with a file in one single try; the file is read piece by piece.

        Without `fields` the body is the file itself.

        Raises:
            NotSentError: no connection was made.
            UnansweredError: it may have left, and no whole answer came back.
        """
        outcome = await self._exchange(
            "POST",
            url,
            headers={**headers, "Accept-Encoding": "identity"},
            params=params,
            form=(fields, file),
        )
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def glimpse(self, url: str, *, start_bytes: int, most_bytes: int) -> Glimpse:
        """Read the beginning of what stands at an address, without a token; redirects too.

        The rest is read, up to `most_bytes`, only where the server does not say how much it is.

        Raises:
            NotSentError: no connection was made.
            UnansweredError: no usable answer came back.
        """
        try:
            async with (
                asyncio.timeout(self._exchange_seconds),
                self._opened().stream(
                    "GET", url, headers={"Accept": "*/*", "Accept-Encoding": "identity"}
                ) as response,
            ):
                length = response.headers.get("content-length", "")
                size = int(length) if length.isascii() and length.isdecimal() else None
                start, travelled, is_whole = bytearray(), 0, True
                async for piece in cast("httpx.AsyncByteStream", response.stream):
                    travelled += len(piece)
                    start += piece[: max(0, start_bytes - len(start))]
                    if travelled > most_bytes or (size is not None and len(start) >= start_bytes):
                        is_whole = False
                        break
        except _NEVER_LEFT as error:
            raise _not_sent(error) from None
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
            raise UnansweredError(_reason(error)) from None
        self._log(f"GET {_host(url)}: {response.status_code}")
        read = travelled if is_whole else None
        return Glimpse(
            response.status_code, response.headers, bytes(start), read if size is None else size
        )

    def widen(self, window: int) -> None:
        """Let that many requests be open at once from now on; never fewer than before."""
        more = window - self._window
        if more <= 0:
            return
        self._window = window
        if self._client is not None and self._transport is None:
            cast("AiohttpClient", self._client).add_places(more)

    async def aclose(self) -> None:
        """Close the connections. A second call does nothing."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def _exchange(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        params: Mapping[str, str],
        json: object = None,
        form: tuple[Mapping[str, str] | None, FilePart] | None = None,
    ) -> Answer | NotSentError | UnansweredError:
        started = self.clock.monotonic()
        outcome: Answer | NotSentError | UnansweredError
        seconds = self._exchange_seconds
        if form is not None:
            seconds += form[1].size / _LEAST_UPLOAD_BYTES_PER_SECOND
        try:
            async with asyncio.timeout(seconds):
                request = _request(method, url, headers, params, json, form)
                # What else the client does to a request takes longer than the exchange itself:
                # cookies, redirects, credentials of a URL. None of it is wanted here.
                transport = self._opened()._transport_for_url(request.url)
                response = await transport.handle_async_request(request)
                stream = cast("httpx.AsyncByteStream", response.stream)
                try:
                    found, size = await self._json_of(response.headers, stream)
                finally:
                    await stream.aclose()
            outcome = Answer(response.status_code, response.headers, found, size)
        except UnansweredError as error:
            outcome = error
        except _NEVER_LEFT as error:
            outcome = _not_sent(error)
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
            outcome = UnansweredError(_reason(error))
        milliseconds = (self.clock.monotonic() - started) * 1000
        result = outcome.status if isinstance(outcome, Answer) else outcome.reason
        self._log(f"{method} {_shown(url)}: {result} in {milliseconds:.0f} ms")
        return outcome

    async def _json_of(
        self, headers: httpx.Headers, stream: httpx.AsyncByteStream
    ) -> tuple[object | None, int]:
        """The JSON of a body, and its bytes; it is read piece by piece, a large one in its turn.

        Raises UnansweredError for one that is too large, and DecodingError for one that cannot be
        decoded.
        """
        coding = _coding(headers)
        if coding != "identity" and coding not in _ZLIB_CODINGS:
            raise httpx.DecodingError(coding)
        unpacker = zlib.decompressobj(_ANY_ZLIB_HEADER) if coding in _ZLIB_CODINGS else None
        body, travelled, has_turn = bytearray(), 0, False
        try:
            # As it travels: the decoders of the library have no limit.
            async for piece in stream:
                travelled += len(piece)
                try:
                    most = MOST_ANSWER_BYTES - len(body) + 1
                    body += unpacker.decompress(piece, most) if unpacker else piece
                except zlib.error:
                    raise httpx.DecodingError(coding) from None
                if max(travelled, len(body)) > MOST_ANSWER_BYTES:
                    raise _too_large()
                if len(body) > _SMALL_ANSWER_BYTES and not has_turn:
                    has_turn = await self._one_large.acquire()
            if unpacker and travelled and not unpacker.eof:
                raise httpx.DecodingError(coding)
            return _json_in(body), len(body)
        finally:
            if has_turn:
                self._one_large.release()

    def _opened(self) -> httpx.AsyncClient:
        if self._client is None:
            # A lock belongs to the event loop it was waited for in, as the client does.
            self._one_large = asyncio.Lock()
            # The library's own log lines show whole URLs.
            for name in ("httpx", "aiohttp"):
                logging.getLogger(name).setLevel(logging.WARNING)
            with contextlib.suppress(OSError, ValueError, ImportError, httpx.InvalidURL):
                self._client = self._made()
        if self._client is None:
            raise UsageError(
                "the proxy or certificate settings of the environment cannot be used",
                hint="check `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` (http and https proxies only),"
                " `SSL_CERT_FILE` and `SSL_CERT_DIR`",
                code="network_settings",
            )
        return self._client

    def _made(self) -> httpx.AsyncClient:
        settings: dict[str, Any] = {
            "timeout": _TIMEOUT,
            "mounts": dict.fromkeys(_UNPROXIED),
            "follow_redirects": False,
            "cookies": CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            "headers": _HEADERS,
        }
        if self._transport is not None:
            return httpx.AsyncClient(transport=self._transport, **settings)
        # Imported when something is asked: it takes as long as httpx itself.
        from wacoex_cli.foundation.connections import AiohttpClient

        limits = httpx.Limits(max_connections=self._window, keepalive_expiry=_KEPT_SECONDS)
        return AiohttpClient(limits=limits, **settings)


def _request(
    method: str,
    url: str,
    headers: Mapping[str, str],
    params: Mapping[str, str],
    json: object,
    form: tuple[Mapping[str, str] | None, FilePart] | None,
) -> httpx.Request:
    """A request with a body of JSON, or with a form or a file alone, or with none."""
    address = _address(url)
    if params:
        address = address.copy_merge_params(params)
    extensions = {"timeout": _TIMEOUTS, "on_written": on_written.get()}
    headers = {**_HEADERS, **headers}
    content: Any = None
    data, files = None, None
    if json is not None:
        # As httpx writes it. Its own reading and completing of headers takes longer than all this.
        body = _JSON_WRITER.encode(json).encode()
        complete = [
            (b"Host", address.netloc),
            *[(name.encode("ascii"), value.encode("ascii")) for name, value in headers.items()],
            (b"Content-Length", b"%d" % len(body)),
            (b"Content-Type", b"application/json"),
        ]
        stream = httpx.ByteStream(body)
        return httpx.Request(
            method, address, headers=complete, stream=stream, extensions=extensions
        )
    if form is not None:
        data, part = form
        if data is None:
            content = _pieces(part.content)
            headers["Content-Length"] = str(part.size)
        else:
            files = {"file": (part.name, part.content, part.media_type)}
    return httpx.Request(
        method,
        address,
        headers=headers,
        content=content,
        data=data,
        files=files,
        extensions=extensions,
    )


@functools.lru_cache(maxsize=256)
def _address(url: str) -> httpx.URL:
    """Reading a URL takes as long as writing the request."""
    return httpx.URL(url)


async def _pieces(file: BinaryIO) -> AsyncIterator[bytes]:
    while piece := await asyncio.to_thread(file.read, _PIECE_BYTES):
        yield piece


def _host(url: str) -> str:
    return urlsplit(url).netloc


@functools.lru_cache(maxsize=256)
def _shown(url: str) -> str:
    """A URL in a log: some APIs name a person in the path, and logs are shown to others."""
    return f"{_host(url)}{masked_text(urlsplit(url).path)}"


def _coding(headers: httpx.Headers) -> str:
    """How a body is coded. To look up one name, httpx would decode all headers twice."""
    found = [value for name, value in headers.raw if name.lower() == b"content-encoding"]
    return b", ".join(found).decode("latin-1").strip().lower() if found else "identity"


def _json_in(body: bytearray) -> object | None:
    """The JSON of a body; None when it is none, too deep, or too much of it."""
    parts = body.count(b",") + body.count(b"{") + body.count(b"[")
    if parts > _MOST_JSON_PARTS:
        return None
    with contextlib.suppress(ValueError, RecursionError):
        text = body.decode(json_module.detect_encoding(body), "surrogatepass")
        found: object = _JSON_READER.decode(text)
        if b"\\" in body or not body.isascii():
            # Half a character, which JSON can hold, can be neither stored nor shown.
            whole = json_module.dumps(found, ensure_ascii=False)
            found = json_module.loads(whole.encode("utf-8", "replace"))
        return found
    return None


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"`{constant}` is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"`{text[:20]}` is larger than any number")
    return number


# Made once: with options of its own each call of `json` would make one.
_JSON_WRITER = json_module.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)
_JSON_READER = json_module.JSONDecoder(parse_constant=_refuse, parse_float=_finite)


def _too_large() -> UnansweredError:
    return UnansweredError(
        f"the answer is larger than {MOST_ANSWER_BYTES // 1024**2} MB",
        "check the base URL, and whether a captive portal or a proxy answers in its place",
        "unusable_answer",
        may_get_better=False,
    )


def _not_sent(error: Exception) -> NotSentError:
    found = _tls_failure(error)
    if found is None:
        failure = _proxy_failure(error)
        hint = "check `HTTPS_PROXY` and the user and password in it, then try again"
        return NotSentError(failure, hint) if failure else NotSentError(_reason(error))
    reason, code = "the two sides cannot agree on TLS", "unreachable"
    if isinstance(found, ssl.SSLCertVerificationError):
        why = str(found.verify_message or "it cannot be verified")
        why = why[:1].lower() + why[1:].rstrip(".")
        reason, code = f"its certificate is not trusted: {why}", "certificate_refused"
    return NotSentError(
        reason,
        "check the clock of this machine, and whether a captive portal or a proxy is in the way;"
        " `SSL_CERT_FILE` names further authorities",
        code,
        may_get_better=code == "unreachable",
    )


def _proxy_failure(error: Exception) -> str | None:
    """What a proxy did where it is the one that fails; None when it is not."""
    # Imported here: a request has loaded it already, and other commands start without it.
    import aiohttp

    cause = error.__cause__
    if isinstance(cause, aiohttp.ClientHttpProxyError):
        return f"the proxy refuses to connect (HTTP {cause.status})"
    if isinstance(cause, aiohttp.ClientProxyConnectionError):
        return "the proxy cannot be reached"
    return None


def _tls_failure(error: BaseException | None) -> ssl.SSLError | None:
    """The failure of TLS that a failed connection comes from; None when it is another one.

    The innermost: those of aiohttp are of the same kind, without what OpenSSL says.
    """
    found = None
    while error is not None:
        found = error if isinstance(error, ssl.SSLError) else found
        error = error.__cause__ or error.__context__
    return found


def _reason(error: Exception) -> str:
    """The kind of failure in words; the library's own texts may quote what was sent."""
    kinds: tuple[tuple[type[Exception], str], ...] = (
        (httpx.ConnectTimeout, "no connection in time"),
        (httpx.ConnectError, "the connection cannot be made"),
        (httpx.PoolTimeout, "too many requests are open"),
        (TimeoutError, "the answer took too long"),
        (httpx.TimeoutException, "the answer took too long"),
        (httpx.DecodingError, "the answer cannot be decoded"),
    )
    return next((text for kind, text in kinds if isinstance(error, kind)), "the connection broke")

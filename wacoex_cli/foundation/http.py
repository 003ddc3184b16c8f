"""HTTP: asking and sending, what came back, or why nothing did."""

from __future__ import annotations

import asyncio
import contextlib
import email.utils
import json as json_module
import logging
import math
import random
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urlsplit

import httpx

import wacoex_cli
from wacoex_cli.errors import RefusedError, TemporaryError, UsageError
from wacoex_cli.foundation.clock import Clock
from wacoex_cli.foundation.masking import masked_text


@dataclass(frozen=True)
class Answer:
    """A whole HTTP answer. `json` is None when the body, `size` bytes long, is not JSON."""

    status: int
    headers: Mapping[str, str]
    json: object | None
    size: int


class _NoAnswerError(Exception):
    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


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
        try:
            moment = email.utils.parsedate_to_datetime(text)
        except ValueError:
            return None
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return max(0.0, (moment - now).total_seconds())
    return max(0.0, seconds) if math.isfinite(seconds) else None


WINDOW = 64
"""Requests that may be open at once."""
READ_PATIENCE_SECONDS = 20.0
"""How long a read is tried again, if nobody says otherwise."""

on_written: ContextVar[Callable[[], None] | None] = ContextVar("on_written", default=None)
"""Called, if it is set, as soon as a whole request is written to its connection."""

_TIMEOUT = httpx.Timeout(connect=5.0, write=5.0, read=30.0, pool=1.0)
_LIMITS = httpx.Limits(
    max_connections=WINDOW, max_keepalive_connections=WINDOW, keepalive_expiry=60.0
)
_MOST_TRIES = 4
_LONGEST_RETRY_AFTER_SECONDS = 60.0
# The read time-out counts each piece of an answer anew, so an answer that drips needs an end too.
_WHOLE_EXCHANGE_SECONDS = 60.0
_NEVER_LEFT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
# A proxy for the outside world has no business with a server on this machine.
_UNPROXIED = ("all://localhost", "all://127.0.0.1", "all://[::1]")


class Http:
    """An HTTP client that opens on first use. All times are seconds."""

    def __init__(
        self,
        clock: Clock,
        *,
        log: Callable[[str], None],
        transport: httpx.AsyncBaseTransport | None = None,
        jitter: Callable[[], float] = random.random,
        exchange_seconds: float = _WHOLE_EXCHANGE_SECONDS,
    ) -> None:
        self.clock = clock
        self._log = log
        self._transport = transport
        self._jitter = jitter
        self._exchange_seconds = exchange_seconds
        self._client: httpx.AsyncClient | None = None

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
            TemporaryError: no answer at all.
            RefusedError: the server redirects; redirects are never followed.
        """
        give_up_at = self.clock.monotonic() + patience_seconds
        for tries in range(1, _MOST_TRIES + 1):
            answer = await self._exchange(method, url, headers=headers, params=params, json=json)
            demanded = 0.0
            if isinstance(answer, Answer):
                may_get_better = answer.status == 429 or answer.status >= 500
                if not may_get_better or is_final(answer):
                    break
                demanded = retry_after_seconds(answer.headers, self.clock.now()) or 0.0
            give_up_at += demanded
            wait = demanded or 2.0 ** (tries - 1) * (0.5 + self._jitter())
            is_late = self.clock.monotonic() + wait > give_up_at
            if tries == _MOST_TRIES or is_late or demanded > _LONGEST_RETRY_AFTER_SECONDS:
                break
            await self.clock.sleep(wait)
        if isinstance(answer, Exception):
            raise TemporaryError(
                f"{_host(url)} gives no answer: {answer.reason}",
                hint="check the network, then try again",
                code="unreachable",
            )
        if 300 <= answer.status < 400:
            target = urlsplit(answer.headers.get("location", "")).hostname or "another path"
            raise RefusedError(
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

        Raises:
            NotSentError: no connection was made; the request never left.
            UnansweredError: it may have left, and no whole answer came back.
        """
        outcome = await self._exchange(method, url, headers=headers, json=json, params=params or {})
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

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
    ) -> Answer | NotSentError | UnansweredError:
        started = self.clock.monotonic()
        outcome: Answer | NotSentError | UnansweredError
        try:
            async with asyncio.timeout(self._exchange_seconds):
                response = await self._opened().request(
                    method,
                    url,
                    headers=headers,
                    params=params,
                    json=json,
                    extensions=_watched(on_written.get()),
                )
            body = None
            with contextlib.suppress(ValueError, RecursionError):
                body = json_module.loads(response.content)
            outcome = Answer(response.status_code, response.headers, body, len(response.content))
        except _NEVER_LEFT as error:
            outcome = NotSentError(_reason(error))
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
            outcome = UnansweredError(_reason(error))
        milliseconds = (self.clock.monotonic() - started) * 1000
        result = outcome.status if isinstance(outcome, Answer) else outcome.reason
        # Some APIs name a person in the path, and logs are shown to others.
        path = masked_text(urlsplit(url).path)
        self._log(f"{method} {_host(url)}{path}: {result} in {milliseconds:.0f} ms")
        return outcome

    def _opened(self) -> httpx.AsyncClient:
        if self._client is None:
            # The library's own log lines show whole URLs.
            for name in ("httpx", "httpcore"):
                logging.getLogger(name).setLevel(logging.WARNING)
            with contextlib.suppress(OSError, ValueError, ImportError, httpx.InvalidURL):
                self._client = httpx.AsyncClient(
                    timeout=_TIMEOUT,
                    limits=_LIMITS,
                    transport=self._transport,
                    mounts=dict.fromkeys(_UNPROXIED),
                    follow_redirects=False,
                    headers={"User-Agent": f"wacoex/{wacoex_cli.__version__}"},
                )
        if self._client is None:
            raise UsageError(
                "the proxy or certificate settings of the environment cannot be used",
                hint="check `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` (http and https proxies only),"
                " `SSL_CERT_FILE` and `SSL_CERT_DIR`",
                code="network_settings",
            )
        return self._client


def _watched(report: Callable[[], None] | None) -> dict[str, Callable[..., Awaitable[None]]]:
    """What makes the library say when a request is written; nothing when nobody wants to know."""
    if report is None:
        return {}

    async def trace(event: str, _: Mapping[str, object]) -> None:
        if event.endswith("send_request_body.complete"):
            report()

    return {"trace": trace}


def _host(url: str) -> str:
    return urlsplit(url).netloc


def _reason(error: Exception) -> str:
    """The kind of failure in words; the library's own texts may quote what was sent."""
    kinds: tuple[tuple[type[Exception], str], ...] = (
        (httpx.ConnectTimeout, "no connection within 5 seconds"),
        (httpx.ConnectError, "the connection cannot be made"),
        (httpx.PoolTimeout, "too many requests are open"),
        (TimeoutError, "the answer took too long"),
        (httpx.TimeoutException, "the answer took too long"),
        (httpx.DecodingError, "the answer cannot be decoded"),
    )
    return next((text for kind, text in kinds if isinstance(error, kind)), "the connection broke")

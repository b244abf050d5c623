"""Headers that never outlive their token, renewed by one login for all calls of the process.

    issued ─────────────────── half of what is left ──────────────── margin ── expiry
      calls take the headers    a thread asks the SDK for others,      calls wait for
                                calls go on with what they have        the new ones

The SDK keeps tokens and renews them early. Only where it still believes in one that is refused or over is it made to log in anew;
whoever else uses its `Config` then has the new token, too.
"""

import asyncio
import math
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from threading import Lock, Thread
from typing import Any

from rowcall.adapters.workspace_login import oauth_token, sdk_reason
from rowcall.core.errors import SetupError

LOGIN_SECONDS = 60.0
"""How long a call waits for a login."""
MOST_MARGIN = 40.0
"""Seconds before a token's expiry at which no call starts with it any more: this many, or a fifth of a short life."""
UNKNOWN_LIFE_ASKED_AFTER = 30.0
"""Seconds after which the SDK is asked again where it does not say how long its headers are good."""

Headers = dict[str, str]


@dataclass(frozen=True, slots=True)
class Issued:
    """What a login gave; times are of the monotonic clock."""

    headers: Headers
    until: float
    ask_at: float

    def kept(self, now: float) -> "Issued":
        """The same, to be asked for again later."""
        return replace(self, ask_at=_ask_at(now, self.until))


class RenewedHeaders:
    """The headers of one SDK configuration, for any number of event loops. Logging in blocks: a thread does it, one at a time."""

    def __init__(self, config: Any) -> None:
        self._config = config
        self._lock = Lock()
        self._issued: Issued | None = None
        self._under_way: Future[Issued] | None = None
        self._refused_for_good: Headers | None = None

    async def headers(self) -> Headers:
        issued, now = self._issued, time.monotonic()
        if issued is None or now >= issued.until:
            issued = await self._done(self._ask)
        elif now >= issued.ask_at:
            self._start(self._ask)
        return issued.headers

    async def refreshed(self, refused: Headers) -> Headers | None:
        """Other headers than the refused ones, from one login for all calls that were refused; None where there are none."""
        while (issued := self._issued) is None or issued.headers == refused:
            if refused == self._refused_for_good:
                return None
            await self._done(partial(self._log_in_anew, refused))
        return issued.headers

    async def _done(self, work: Callable[[], Issued]) -> Issued:
        """The result of the login that is under way, or else of `work`."""
        login = asyncio.shield(asyncio.wrap_future(self._start(work)))
        try:
            return await asyncio.wait_for(login, LOGIN_SECONDS)
        except TimeoutError:
            raise ConnectionError(f"the login took longer than {LOGIN_SECONDS:.0f} s") from None

    def _start(self, work: Callable[[], Issued]) -> Future[Issued]:
        with self._lock:
            if self._under_way is None or self._under_way.done():
                self._under_way = _in_background(work)
            return self._under_way

    def _ask(self) -> Issued:
        """Ask the SDK. Until they are over, what there is stays good where it cannot answer, or has nothing newer."""
        old = self._issued
        if old is not None:
            self._issued = old.kept(time.monotonic())
        new = _issue(self._config)
        if old is None or new.headers != old.headers:
            self._issued = new
            return new
        return old if time.monotonic() < old.until else self._log_in_anew(old.headers)

    def _log_in_anew(self, useless: Headers) -> Issued:
        self._config.init_auth()
        self._issued = new = _issue(self._config)
        if new.headers == useless:
            self._refused_for_good = useless
        return new


def _issue(config: Any) -> Issued:
    """The SDK's headers now, with the expiry of the token in them where the SDK tells it."""
    headers, token = dict(config.authenticate()), oauth_token(config)
    now, expiry = time.monotonic(), getattr(token, "expiry", None)
    if token is None or expiry is None:
        return Issued(headers, math.inf, _ask_at(now, math.inf))
    headers["Authorization"] = f"{token.token_type or 'Bearer'} {token.access_token}"
    life = max((expiry - datetime.now(expiry.tzinfo)).total_seconds(), 1.0)
    until = now + life - min(MOST_MARGIN, life / 5)
    return Issued(headers, until, _ask_at(now, until))


def _ask_at(now: float, until: float) -> float:
    return now + (UNKNOWN_LIFE_ASKED_AFTER if until == math.inf else max((until - now) / 2, 1.0))


def _in_background(work: Callable[[], Issued]) -> Future[Issued]:
    """Its result, from a thread that keeps no process alive: a login may hang."""
    login = Future[Issued]()

    def run() -> None:
        login.set_running_or_notify_cancel()
        try:
            login.set_result(work())
        except Exception as error:
            login.set_exception(_told(error))

    Thread(target=run, name="rowcall-login", daemon=True).start()
    return login


def _told(error: Exception) -> Exception:
    """What went wrong, told apart by what helps: a network that failed may be there again, a refusal stays one."""
    if _is_network(error):
        return ConnectionError(f"the login did not get through: {sdk_reason(error)}")
    return SetupError(f"the login was refused: {sdk_reason(error)}")


def _is_network(error: BaseException | None) -> bool:
    import requests

    lost = (requests.ConnectionError, requests.Timeout, ConnectionError, TimeoutError)
    return error is not None and (isinstance(error, lost) or _is_network(error.__cause__))

"""Logging in: OAuth discovery and client-credentials tokens, a personal access token, and what each may call.

Secrets are made anew at every start. They are compared in constant time; access tokens are kept and looked up
as hashes.
"""

import hashlib
import hmac
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from aiohttp import BasicAuth, web

from rowcall.sandbox.error_replies import platform_error

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_NO_CREDENTIAL = "Credential was not sent or was of an unsupported type for this API."


@dataclass(slots=True)
class Logins:
    """The credentials of one sandbox and the access tokens given out. `token_ttl` is in seconds."""

    token_ttl: float = 3600.0
    client_id: str = field(default_factory=lambda: f"sandbox-{secrets.token_hex(8)}")
    client_secret: str = field(default_factory=lambda: f"dose{secrets.token_hex(16)}")
    pat: str = field(default_factory=lambda: f"dapi{secrets.token_hex(16)}")
    _expiry: dict[bytes, float] = field(default_factory=dict[bytes, float])

    def new_token(self) -> str:
        """An access token; forgets those that have expired."""
        now = time.monotonic()
        self._expiry = {token: expiry for token, expiry in self._expiry.items() if expiry > now}
        token = secrets.token_urlsafe(48)
        self._expiry[_hash(token)] = now + self.token_ttl
        return token

    def is_client(self, client_id: str, client_secret: str) -> bool:
        return _same(client_id, self.client_id) & _same(client_secret, self.client_secret)

    def refusal(self, authorization: str | None, *, oauth_only: bool = False) -> str | None:
        """Why a request's Authorization header is not good enough, or None if it is."""
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            return _NO_CREDENTIAL
        if self._expiry.get(_hash(token), 0.0) > time.monotonic():
            return None
        if _same(token, self.pat):
            return "Apps take OAuth tokens only, not personal access tokens." if oauth_only else None
        return "Invalid Token"


def signed_in(logins: Logins, handler: Handler) -> Handler:
    """The handler, for those whom the workspace knows."""

    async def guarded(request: web.Request) -> web.StreamResponse:
        refusal = logins.refusal(request.headers.get("Authorization"))
        return platform_error(401, refusal) if refusal else await handler(request)

    return guarded


def routes(host: str, logins: Logins) -> list[web.RouteDef]:
    """Discovery and the token endpoint, as the SDK's `oauth-m2m` login asks for them."""
    oidc = f"{host}/oidc"

    async def workspace(_: web.Request) -> web.Response:
        return web.json_response(
            {"oidc_endpoint": oidc, "workspace_id": "1", "account_id": "sandbox-account", "cloud": "aws"}
        )

    async def server(_: web.Request) -> web.Response:
        return web.json_response(
            {
                "issuer": oidc,
                "authorization_endpoint": f"{oidc}/v1/authorize",
                "token_endpoint": f"{oidc}/v1/token",
                "grant_types_supported": ["client_credentials"],
                "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
            }
        )

    async def token(request: web.Request) -> web.Response:
        form = {key: str(value) for key, value in (await request.post()).items()}
        if form.get("grant_type") != "client_credentials":
            return _oauth_error(400, "unsupported_grant_type", "The sandbox knows client_credentials only")
        if not logins.is_client(*_client(request.headers.get("Authorization"), form)):
            return _oauth_error(401, "invalid_client", "Client authentication failed")
        seconds = max(int(logins.token_ttl), 1)
        scope = form.get("scope", "all-apis")
        return web.json_response(
            {
                "access_token": logins.new_token(),
                "token_type": "Bearer",
                "expires_in": seconds,
                "scope": scope,
            }
        )

    return [
        web.get("/.well-known/databricks-config", workspace),
        web.get("/oidc/.well-known/oauth-authorization-server", server),
        web.post("/oidc/v1/token", token),
    ]


def _client(authorization: str | None, form: Mapping[str, str]) -> tuple[str, str]:
    """Client id and secret, from HTTP Basic or else from the form."""
    if authorization is not None:
        try:
            basic = BasicAuth.decode(authorization, encoding="utf-8")
        except ValueError:
            return "", ""
        return basic.login, basic.password
    return form.get("client_id", ""), form.get("client_secret", "")


def _oauth_error(status: int, error: str, description: str) -> web.Response:
    return web.json_response({"error": error, "error_description": description}, status=status)


def _same(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "replace"), expected.encode())


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "replace")).digest()

"""Logging in: OAuth discovery, access tokens for a client's secret or a workload's identity, a personal access token.

Secrets are made anew at every start. They are compared in constant time; access tokens are kept and looked up
as hashes. Identity and access tokens have the three parts of a JWT, the middle one `sandbox`: nobody reads claims
there, and what looks for leaked tokens finds them.
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

_TOKEN_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"  # noqa: S105 - the name of a grant
_GRANTS = ("client_credentials", _TOKEN_EXCHANGE)
_JWT = "urn:ietf:params:oauth:token-type:jwt"
_NO_CREDENTIAL = "Credential was not sent or was of an unsupported type for this API."


def _new_jwt() -> str:
    """A token with the head of an unsigned JWT."""
    return f"eyJhbGciOiJub25lIn0.sandbox.{secrets.token_urlsafe(48)}"


@dataclass(slots=True)
class Logins:
    """The credentials of one sandbox and the access tokens given out. `token_ttl` is in seconds.

    `issued` counts access tokens, `refused` requests that came without a good one.
    """

    token_ttl: float = 3600.0
    client_id: str = field(default_factory=lambda: f"sandbox-{secrets.token_hex(8)}")
    client_secret: str = field(default_factory=lambda: f"dose{secrets.token_hex(16)}")
    pat: str = field(default_factory=lambda: f"dapi{secrets.token_hex(16)}")
    identity_token: str = field(default_factory=_new_jwt)
    issued: int = 0
    refused: int = 0
    _expiry: dict[bytes, float] = field(default_factory=dict[bytes, float])

    def new_token(self) -> str:
        """An access token; forgets those that have expired."""
        now = time.monotonic()
        self._expiry = {token: expiry for token, expiry in self._expiry.items() if expiry > now}
        token = _new_jwt()
        self._expiry[_hash(token)] = now + self.token_ttl
        self.issued += 1
        return token

    def revoke_tokens(self) -> None:
        """No access token given out so far is good any more; counting starts anew."""
        self._expiry = {}
        self.issued = self.refused = 0

    def is_client(self, client_id: str, client_secret: str) -> bool:
        return _same(client_id, self.client_id) & _same(client_secret, self.client_secret)

    def is_workload(self, identity_token: str) -> bool:
        return _same(identity_token, self.identity_token)

    def refusal(self, authorization: str | None, *, oauth_only: bool = False) -> str | None:
        """Why a request's Authorization header is not good enough, or None if it is; counts refusals."""
        reason = self._complaint(authorization, oauth_only)
        self.refused += reason is not None
        return reason

    def _complaint(self, authorization: str | None, oauth_only: bool) -> str | None:
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
    """Discovery and the token endpoint, as the SDK's logins `oauth-m2m`, `file-oidc` and `env-oidc` ask for them."""
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
                "grant_types_supported": _GRANTS,
                "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
            }
        )

    async def token(request: web.Request) -> web.Response:
        form = {key: str(value) for key, value in (await request.post()).items()}
        denial = _denial(logins, request.headers.get("Authorization"), form)
        if denial is not None:
            return denial
        return _granted(logins, form.get("scope", "all-apis"))

    return [
        web.get("/.well-known/databricks-config", workspace),
        web.get("/oidc/.well-known/oauth-authorization-server", server),
        web.post("/oidc/v1/token", token),
    ]


def _denial(logins: Logins, authorization: str | None, form: Mapping[str, str]) -> web.Response | None:
    """Why there is no access token for this, or None if there is."""
    grant = form.get("grant_type")
    if grant not in _GRANTS:
        return _oauth_error(400, "unsupported_grant_type", f"The sandbox knows {', '.join(_GRANTS)}")
    if grant == _TOKEN_EXCHANGE:
        # A federation for the whole account names no client.
        if form.get("client_id", logins.client_id) != logins.client_id:
            return _oauth_error(401, "invalid_client", "No such client")
        if form.get("subject_token_type") != _JWT or not logins.is_workload(form.get("subject_token", "")):
            return _oauth_error(400, "invalid_request", "The subject token is not that of a known workload")
    elif not logins.is_client(*_client(authorization, form)):
        return _oauth_error(401, "invalid_client", "Client authentication failed")
    return None


def _client(authorization: str | None, form: Mapping[str, str]) -> tuple[str, str]:
    """Client id and secret, from HTTP Basic or else from the form."""
    if authorization is not None:
        try:
            basic = BasicAuth.decode(authorization, encoding="utf-8")
        except ValueError:
            return "", ""
        return basic.login, basic.password
    return form.get("client_id", ""), form.get("client_secret", "")


def _granted(logins: Logins, scope: str) -> web.Response:
    seconds = max(int(logins.token_ttl), 1)
    return web.json_response(
        {"access_token": logins.new_token(), "token_type": "Bearer", "expires_in": seconds, "scope": scope}
    )


def _oauth_error(status: int, error: str, description: str) -> web.Response:
    return web.json_response({"error": error, "error_description": description}, status=status)


def _same(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "replace"), expected.encode())


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "replace")).digest()

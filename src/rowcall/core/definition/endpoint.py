"""What is asked: an app, a serving endpoint, or a server by its URL."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import BaseModel, Discriminator, Field, StringConstraints, Tag, field_validator, model_validator

from rowcall.core.definition.fields import Model, Name
from rowcall.core.template import varies

_MODEL_NAME = r"^[A-Za-z][A-Za-z0-9_.-]{0,254}$"
_KEY_PLACE = r"^(env:[A-Za-z_][A-Za-z0-9_]*|\{\{secrets/[A-Za-z0-9_.@-]+/[A-Za-z0-9_.@-]+\}\})$"
PATHS: Mapping[str, str] = {
    "responses": "/responses",
    "chat": "/chat/completions",
    "durable": "/api/invocations",
    "invocations": "/invocations",
}
"""Where each API is found under a server's address. One that ends like another comes before it."""
Api = Literal["auto", "responses", "chat", "invocations", "durable"]
BodyShape = Literal["auto", "responses", "chat", "records", "inputs"]


class Price(Model):
    """What a million tokens cost; those that went into reasoning are output tokens."""

    input: Decimal = Field(ge=0)
    cached_input: Decimal | None = Field(
        default=None, ge=0, description="Input tokens that the endpoint had in its cache; by default as input."
    )
    output: Decimal = Field(ge=0)
    currency: Annotated[str, StringConstraints(pattern="^[A-Z]{3}$")] = "USD"


class _Endpoint(Model):
    label: Name | None = Field(
        default=None,
        description="Stands in a key column `endpoint` of the outputs, so that others may answer into the same table.",
    )
    api: Api = Field(
        default="auto",
        description="How it is asked; auto picks what fits: responses, chat (chat completions), invocations, durable (an app on "
        "the durable agent server).",
    )
    shape: BodyShape = Field(
        default="auto",
        description="What the body of an invocation looks like; auto picks it from the endpoint's task and the request.",
    )
    stream: bool = Field(
        default=False, description="Ask for a stream and assemble it; keeps proxies from cutting long answers."
    )
    price: Price | None = Field(default=None, description="Price of a million tokens, for costs and max_cost.")

    @model_validator(mode="after")
    def _one_way_to_wait(self) -> "_Endpoint":
        if self.api == "durable" and self.stream:
            raise ValueError("stream is not for the durable agent server: a run there is asked after until it is done")
        if self.shape != "auto" and self.api not in ("auto", "invocations"):
            raise ValueError(f"shape goes with api: invocations, not with {self.api}")
        return self


class _InTheBackground(_Endpoint):
    background: bool = Field(
        default=False,
        description="Begin each run in the background and ask after it: for answers that take longer than proxies wait.",
    )

    @model_validator(mode="after")
    def _fits_the_background(self) -> "_InTheBackground":
        if self.background and self.stream:
            raise ValueError("give background or stream, not both")
        if self.background and self.api == "chat":
            raise ValueError("background goes with responses and invocations; chats have none")
        return self


class AppEndpoint(_InTheBackground):
    """An agent on Databricks Apps. Needs an OAuth login."""

    app: Name

    def __str__(self) -> str:
        return f"app {self.app}"

    @model_validator(mode="after")
    def _route_of_an_app(self) -> "AppEndpoint":
        if self.api == "chat":
            raise ValueError("an app has no chat completions; ask it by responses, invocations or durable")
        return self


class ServingEndpoint(_Endpoint):
    """An agent or model on Model Serving."""

    serving: Annotated[str, StringConstraints(pattern=_MODEL_NAME)]
    gateway: Literal["mlflow", "openai"] | None = Field(
        default=None, description="Ask through the AI gateway: its MLflow API, or the provider's own OpenAI API."
    )
    request_tags: dict[str, str] = Field(
        default_factory=dict, description="Tags of each request in the AI gateway's usage table; needs gateway."
    )

    def __str__(self) -> str:
        return f"serving {self.serving}"

    @field_validator("request_tags")
    @classmethod
    def _same_for_all(cls, value: dict[str, str]) -> dict[str, str]:
        if varies(value):
            raise ValueError("are the same for all rows; a column in braces is not filled here")
        return value

    @model_validator(mode="after")
    def _route_of_serving(self) -> "ServingEndpoint":
        if self.api == "durable":
            raise ValueError("the durable agent server is for apps; Model Serving has responses, chat and invocations")
        if self.gateway is not None and self.api == "invocations":
            raise ValueError("the AI gateway has no invocations; use responses or chat")
        if self.request_tags and self.gateway is None:
            raise ValueError("request_tags needs gateway: mlflow or openai")
        return self


class UrlEndpoint(_InTheBackground):
    """Any OpenAI-compatible server, or an agent server that runs on this machine; `url` ends before its route."""

    url: Annotated[str, StringConstraints(pattern=r"^https?://[^\s]+$")]
    model: str | None = None
    api_key: Annotated[str, StringConstraints(pattern=_KEY_PLACE)] | None = Field(
        default=None, description="Where the key is, never the key: env:NAME or {{secrets/scope/key}}."
    )

    @field_validator("url")
    @classmethod
    def _plain_address(cls, value: str) -> str:
        if "@" in value or "?" in value or "#" in value:
            raise ValueError(
                "expected an address without a user, a query or a fragment; a key goes in api_key: env:NAME"
            )
        return value.rstrip("/")

    def __str__(self) -> str:
        return f"url {self.base}"

    @property
    def base(self) -> str:
        """The address without the route it may end in."""
        return next((self.url.removesuffix(route) for route in PATHS.values() if self.url.endswith(route)), self.url)

    @property
    def route(self) -> str:
        """The route the address ends in, empty if it ends before one."""
        return self.url.removeprefix(self.base)


def _endpoint_kind(value: object) -> str | None:
    """The one key of app, serving and url that a mapping has, or that a made endpoint has as a field."""
    keys = type(value).model_fields if isinstance(value, BaseModel) else value if isinstance(value, dict) else ()
    kinds = [kind for kind in ("app", "serving", "url") if kind in keys]
    return kinds[0] if len(kinds) == 1 else None


Endpoint = Annotated[
    Annotated[AppEndpoint, Tag("app")]
    | Annotated[ServingEndpoint, Tag("serving")]
    | Annotated[UrlEndpoint, Tag("url")],
    Discriminator(
        _endpoint_kind,
        custom_error_type="endpoint",
        custom_error_message="expected a mapping with exactly one of app, serving and url",
    ),
]

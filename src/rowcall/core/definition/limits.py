"""When a call, a row or a run is given up."""

import re
from decimal import Decimal
from typing import Annotated

from pydantic import BeforeValidator, Field, PlainSerializer, StringConstraints, WithJsonSchema

from rowcall.core.definition.fields import Model, Seconds, Whole, not_a_flag

_MONEY = re.compile(r"(\d+(?:\.\d+)?)\s*([A-Z]{3})")
_SHARE = re.compile(r"(\d+(?:\.\d+)?)\s*%")


def _money(value: object) -> object:
    if isinstance(value, str):
        match = _MONEY.fullmatch(value.strip())
        if match is None:
            raise ValueError("expected an amount and a currency, such as 20 USD")
        return {"amount": match[1], "currency": match[2]}
    return value


class Money(Model):
    amount: Decimal = Field(gt=0)
    currency: Annotated[str, StringConstraints(pattern="^[A-Z]{3}$")]

    def __str__(self) -> str:
        return f"{self.amount} {self.currency}"


def _share_or_count(value: object) -> object:
    if isinstance(value, str):
        match = _SHARE.fullmatch(value.strip())
        if match is None or float(match[1]) > 100:
            raise ValueError("expected a share such as 5% or a number of rows")
        return float(match[1]) / 100
    return not_a_flag(value)


MaxFailures = Annotated[
    Annotated[int, Field(ge=0, strict=True)] | Annotated[float, Field(ge=0, le=1)],
    BeforeValidator(_share_or_count),
    PlainSerializer(lambda value: value if isinstance(value, int) else f"{value:.4%}"),
    WithJsonSchema(
        {
            "anyOf": [{"type": "string", "pattern": r"^[0-9.]+ ?%$"}, {"type": "integer", "minimum": 0}],
            "examples": ["5%", 100],
        }
    ),
]


class Limits(Model):
    """When a call, a row or the run is given up. Answers already given are kept and the next run goes on from them."""

    timeout: Seconds | None = Field(
        default=None,
        description="One HTTP exchange; by default a little more than the platform lets one take.",
    )
    run_timeout: Seconds = Field(
        default=3600.0, description="A run in the background, from when it is begun to its answer."
    )
    warm_up: Seconds = Field(
        default=900.0,
        description="How long an endpoint that starts or is updated is waited for, before anything is asked.",
    )
    outage: Seconds = Field(
        default=300.0,
        description="How long an endpoint that has stopped serving anybody is waited for, with one call at a time.",
    )
    attempts: Whole = Field(default=6, ge=1, le=100, description="HTTP exchanges for one row.")
    deadline: Seconds | None = Field(default=None, description="The run: no call starts after it.")
    max_failures: MaxFailures | None = Field(
        default=None, description="Failed rows after which the run stops: a number or a share."
    )
    max_cost: Annotated[Money, BeforeValidator(_money)] | None = Field(
        default=None, description="Stops the run; needs endpoint.price."
    )
    max_tokens: Annotated[int, Field(ge=1), BeforeValidator(not_a_flag)] | None = Field(
        default=None, description="Input and output tokens after which the run stops."
    )

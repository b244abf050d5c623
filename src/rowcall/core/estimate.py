"""What a run will probably take: tokens, cost and time, each as an interval with the reason for it.

Earlier answers to the requests as they are now, those of a pilot among them, tell how tokens, cost and time depend on the length of
a request: a line is fitted to them. Where there are too few, all that is known is how many characters will be sent, and how long
the request lets an answer be.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from rowcall.core.engine_plan import ResponsesPlan
from rowcall.core.limits import Budget
from rowcall.core.plan import RunPlan

ENOUGH = 5
"""Answers from which anything is concluded."""
CONFIDENCE = 0.9
"""How often what a run takes ends up in the interval, where earlier answers tell."""
_DEVIATIONS = 2.33
"""That many deviations would be 98 % of a normal distribution; lengths of answers are more skewed than one."""
_SURE = f"for {CONFIDENCE:.0%} of runs"
_TOKEN_CHARACTERS = (6, 4, 2)
"""Characters of one token: most, usual, fewest."""


@dataclass(frozen=True, slots=True)
class Interval:
    """None is not known, or has no bound."""

    low: float = 0.0
    expected: float | None = None
    high: float | None = None

    def __add__(self, other: "Interval") -> "Interval":
        return Interval(self.low + other.low, _both(self.expected, other.expected), _both(self.high, other.high))

    def times(self, factor: float) -> "Interval":
        return Interval(self.low * factor, _scaled(self.expected, factor), _scaled(self.high, factor))


@dataclass(frozen=True, slots=True)
class Figure:
    """One number of the estimate, and what it rests on."""

    interval: Interval
    reason: str


@dataclass(frozen=True, slots=True)
class Estimate:
    """What the rows to ask will take. `cost` is None where the job has no price; `seconds` are those of asking, without the start
    and the publishing of the rest."""

    input_tokens: Figure
    output_tokens: Figure
    cost: Figure | None
    seconds: Figure


@dataclass(frozen=True, slots=True)
class Measured:
    """One quantity of answers, y, against the characters of their requests, x: the sums that a line needs, and the largest y."""

    rows: int
    x: float
    y: float
    xx: float
    xy: float
    yy: float
    most: float


Evidence = Mapping[str, Measured]
"""By name: `input_tokens`, `output_tokens`, `cost`, `seconds`. Read from `sql/statements/evidence.sql`."""


@dataclass(frozen=True, slots=True)
class _Line:
    """y = base + slope × x, neither of them negative, and how far answers are from it. `slack` is the spread of x that the slope
    rests on, 0 where there is no slope."""

    base: float
    slope: float
    deviation: float
    slack: float


def estimate(plan: RunPlan, evidence: Evidence) -> Estimate:
    """What the pending rows of a plan will take."""
    rows, characters = plan.rows.pending, plan.rows.input_chars
    known = {name: measured for name, measured in evidence.items() if measured.rows >= ENOUGH}
    tokens_in = _figure(known, "input_tokens", rows, characters) or _by_characters(characters)
    tokens_out = _figure(known, "output_tokens", rows, characters) or _by_limit(plan)
    cost = _figure(known, "cost", rows, characters) or _priced(plan.calls.budget, tokens_in, tokens_out)
    return Estimate(
        input_tokens=tokens_in,
        output_tokens=tokens_out,
        cost=_stopped(plan.calls.budget, cost) if plan.calls.budget.currency else None,
        seconds=_seconds(plan, known, tokens_in.interval, tokens_out.interval),
    )


def evidence_of(rows: Sequence[Mapping[str, object]]) -> Evidence:
    """Read the rows of `sql/statements/evidence.sql`."""
    return {
        str(row["name"]): Measured(
            int(str(row["answers"])), *(float(str(row[name])) for name in ("x", "y", "xx", "xy", "yy", "most"))
        )
        for row in rows
    }


def predict(measured: Measured, rows: int, characters: int) -> Interval:
    """The sum over so many more rows, whose requests have so many characters together."""
    if rows == 0:
        return Interval(0.0, 0.0, 0.0)
    line, answers = _line(measured), measured.rows
    expected = rows * line.base + characters * line.slope
    beyond = characters - rows * measured.x / answers
    lean = beyond * beyond / line.slack if line.slack else 0.0
    deviation = line.deviation * math.sqrt(rows + rows * rows / answers + lean)
    spread = _deviations(answers - 2) * deviation
    return Interval(max(0.0, expected - spread), expected, expected + spread)


def _line(measured: Measured) -> _Line:
    """Least squares; where that would be negative somewhere, the level or the ratio."""
    n, mean_x, mean_y = measured.rows, measured.x / measured.rows, measured.y / measured.rows
    slack = measured.xx - n * mean_x * mean_x
    slope = (measured.xy - n * mean_x * mean_y) / slack if slack > 1e-9 * measured.xx else 0.0
    if slope <= 0:
        base, slope, slack = mean_y, 0.0, 0.0
    elif (base := mean_y - slope * mean_x) < 0:
        base, slope = 0.0, mean_y / mean_x
    off = (
        measured.yy
        - 2 * (base * measured.y + slope * measured.xy)
        + n * base * base
        + 2 * base * slope * measured.x
        + slope * slope * measured.xx
    )
    return _Line(base, slope, math.sqrt(max(0.0, off) / (n - 2)), slack)


def _deviations(freedom: int) -> float:
    """Wider for few answers, as Student's distribution is."""
    return _DEVIATIONS * (1 + (_DEVIATIONS**2 + 1) / (4 * freedom))


def _figure(known: Evidence, name: str, rows: int, characters: int) -> Figure | None:
    measured = known.get(name)
    if measured is None:
        return None
    return Figure(
        predict(measured, rows, characters), f"{measured.rows:,} answers to requests as they are now, {_SURE}"
    )


def _by_characters(characters: int) -> Figure:
    most, usual, fewest = _TOKEN_CHARACTERS
    interval = Interval(characters / most, characters / usual, characters / fewest)
    said = f"{usual} characters a token, {fewest} to {most}; what an agent adds to a request is not known"
    return Figure(interval, said)


def _by_limit(plan: RunPlan) -> Figure:
    limit = plan.calls.output_limit
    if limit is None:
        return Figure(Interval(), "not known before answers are there, and the request sets no limit")
    most = plan.rows.pending * limit * (1 + plan.calls.corrections)
    return Figure(Interval(high=float(most)), f"the request's limit of {limit:,} for each answer")


def _priced(budget: Budget, tokens_in: Figure, tokens_out: Figure) -> Figure:
    """Any part of the input may be found in the cache, where that is cheaper."""
    cheapest = budget.input_price if budget.cached_price is None else min(budget.cached_price, budget.input_price)
    paid = tokens_in.interval.times(float(budget.input_price) / 1_000_000)
    paid = replace(paid, low=tokens_in.interval.low * float(cheapest) / 1_000_000)
    made = tokens_out.interval.times(float(budget.output_price) / 1_000_000)
    return Figure(paid + made if budget.output_price else paid, "the tokens above times endpoint.price")


def _stopped(budget: Budget, cost: Figure) -> Figure:
    """The cost, with a word on a budget that it may not fit into."""
    most, high = budget.max_cost, cost.interval.high
    if most is None or (high is not None and high <= most):
        return cost
    return replace(cost, reason=f"{cost.reason}; limits.max_cost stops a run at {most} {budget.currency}")


def _seconds(plan: RunPlan, known: Evidence, tokens_in: Interval, tokens_out: Interval) -> Figure:
    engine, rows, measured = plan.engine, plan.rows.pending, known.get("seconds")
    if engine.kind == "ai_query":
        return Figure(Interval(), "how many calls ai_query makes at once is the platform's business")
    asking = Figure(Interval(), "how long a call takes is not known before answers are there")
    if measured is not None:
        asking = _in_flight(engine, measured, rows, plan.rows.input_chars)
    bounds = [
        (Interval(float(rows), float(rows), float(rows)), engine.rates.requests, "engine.requests_per_minute"),
        (tokens_in, engine.rates.input_tokens, "engine.input_tokens_per_minute"),
        (tokens_out, engine.rates.output_tokens, "engine.output_tokens_per_minute"),
    ]
    figures = [Figure(used.times(60 / rate), f"{name}: {rate:,.0f}") for used, rate, name in bounds if rate]
    slowest = max([asking, *figures], key=lambda figure: figure.interval.expected or figure.interval.low)
    return Figure(_largest([figure.interval for figure in (asking, *figures)]), slowest.reason)


def _in_flight(engine: ResponsesPlan, measured: Measured, rows: int, characters: int) -> Figure:
    """The time of all calls, shared by those in flight at once; the last to end may have begun last."""
    total, slots = predict(measured, rows, characters), max(1, min(engine.split.total, rows))
    mean = f"{measured.rows:,} answers that took {measured.y / measured.rows:.1f} s each"
    shared = total.times(1 / slots)
    if engine.adaptive:
        return Figure(Interval(shared.low), f"{mean}, up to {slots} at once if the endpoint takes so many")
    high = None if shared.high is None else shared.high + measured.most
    return Figure(Interval(shared.low, shared.expected, high), f"{mean}, {slots} at once, {_SURE}")


def _largest(intervals: Sequence[Interval]) -> Interval:
    """Whatever takes longest decides; where one is not known, neither is the whole."""
    expected = [interval.expected for interval in intervals]
    high = [interval.high for interval in intervals]
    return Interval(max(interval.low for interval in intervals), _most(expected), _most(high))


def _most(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return max(known) if known and len(known) == len(values) else None


def _scaled(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor


def _both(one: float | None, two: float | None) -> float | None:
    return None if one is None or two is None else one + two

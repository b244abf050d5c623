"""What a run will take: intervals that hold what they promise."""

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rowcall.adapters.packaged import sql_texts
from rowcall.core.definition import JobDefinition
from rowcall.core.endpoint_plan import EndpointFacts
from rowcall.core.estimate import CONFIDENCE, ENOUGH, Evidence, Interval, Measured, estimate, predict
from rowcall.core.plan import Facts, RunOptions, RunPlan, bind, make_plan
from rowcall.core.records import Column, RowCounts

Answer = tuple[float, float]
"""Characters of the request, and what the answer took."""
ANSWERS = st.lists(st.tuples(st.floats(1, 1e5), st.floats(0, 1e5)), min_size=ENOUGH, max_size=60)


def measured(answers: Sequence[Answer], times: int = 1) -> Measured:
    xs, ys = zip(*answers, strict=True)
    return Measured(
        rows=len(answers) * times,
        x=times * sum(xs),
        y=times * sum(ys),
        xx=times * sum(x * x for x in xs),
        xy=times * sum(x * y for x, y in answers),
        yy=times * sum(y * y for y in ys),
        most=max(ys),
    )


def plan(rows: int = 1000, characters: int = 400_000, **more: Any) -> RunPlan:
    definition = JobDefinition.model_validate(
        {
            "job": "triage",
            "prompts": {"table": "main.sales.reviews", "key": "id"},
            "request": {"input": "{text}"},
            "endpoint": {"app": "agent"},
            "outputs": {"table": "main.sales.answers"},
            **more,
        }
    )
    facts = Facts(
        (Column("id", "bigint"), Column("text", "string")),
        None,
        EndpointFacts("https://agent.test"),
        "Spark 4.0",
        executors=True,
        parallel=True,
    )
    options = RunOptions("20261123-060000-ab12", "2026-11-23", "1.0")
    counts = RowCounts(source=rows, pending=rows, input_chars=characters)
    return make_plan(definition, bind(definition, facts, sql_texts(), options), facts, counts, options)


def alike(name: str, answers: int = 50, value: float = 100.0) -> Evidence:
    """That many answers that all took the same."""
    return {name: measured([(400.0, value)] * answers)}


def in_order(interval: Interval) -> bool:
    assert interval.expected is not None
    assert interval.high is not None
    return 0 <= interval.low <= interval.expected <= interval.high


class TestPrediction:
    @given(ANSWERS, st.integers(1, 10**6), st.integers(0, 10**9))
    def test_low_expected_and_high_are_in_order(self, answers: list[Answer], rows: int, characters: int) -> None:
        assert in_order(predict(measured(answers), rows, characters))

    @given(ANSWERS, st.integers(1, 10**4), st.integers(0, 10**7), st.integers(0, 10**4), st.integers(0, 10**7))
    def test_more_rows_or_longer_ones_are_never_expected_to_be_cheaper(
        self, answers: list[Answer], rows: int, characters: int, more: int, longer: int
    ) -> None:
        few, many = (
            predict(measured(answers), *size) for size in ((rows, characters), (rows + more, characters + longer))
        )
        assert few.expected is not None
        assert many.expected is not None
        assert many.expected >= few.expected * (1 - 1e-9)

    @given(ANSWERS, st.integers(1, 1000), st.integers(2, 50))
    def test_so_many_times_the_rows_take_no_less_at_worst_and_at_best(
        self, answers: list[Answer], rows: int, times: int
    ) -> None:
        few, many = (predict(measured(answers), size, size * 400) for size in (rows, rows * times))
        assert few.high is not None
        assert many.high is not None
        assert many.high >= few.high * (1 - 1e-9)
        assert many.low >= few.low * (1 - 1e-9)

    @given(ANSWERS, st.integers(1, 10**5), st.integers(2, 20))
    def test_more_answers_like_these_tell_more(self, answers: list[Answer], rows: int, times: int) -> None:
        little, much = (predict(measured(answers, count), rows, rows * 400) for count in (1, times))
        assert little.high is not None
        assert much.high is not None
        assert much.high - much.low <= (little.high - little.low) * (1 + 1e-6) + 1e-3

    def test_what_always_takes_the_same_is_certain(self) -> None:
        said = predict(measured([(x, 30 + 0.25 * x) for x in (100.0, 200.0, 400.0, 800.0, 1600.0)]), 10, 5000)
        assert (said.low, said.expected, said.high) == pytest.approx((1550, 1550, 1550), abs=0.1)

    def test_no_rows_take_nothing(self) -> None:
        assert predict(measured([(1.0, 1.0)] * 9), 0, 0) == Interval(0.0, 0.0, 0.0)

    def test_longer_requests_than_were_seen_are_less_certain(self) -> None:
        draw = random.Random(3)
        seen = measured([(x, 0.3 * x + draw.uniform(0, 50)) for x in range(100, 150)])
        near, far = predict(seen, 100, 12_500), predict(seen, 100, 125_000)
        assert near.high is not None
        assert far.high is not None
        assert far.high - far.low > 10 * (near.high - near.low)


def a_constant_and_so_much_a_character(draw: random.Random, x: float) -> float:
    return 300 + x * draw.uniform(0.2, 0.33)


def skewed(draw: random.Random, _: float) -> float:
    return draw.lognormvariate(5, 0.8)


def skewed_and_longer_for_longer_requests(draw: random.Random, x: float) -> float:
    return x * draw.lognormvariate(-1, 0.5)


def mostly_short_and_at_times_endless(draw: random.Random, _: float) -> float:
    return draw.lognormvariate(5, 0.5) if draw.random() < 0.9 else 4000.0


def some_seconds(draw: random.Random, _: float) -> float:
    return 0.5 + draw.expovariate(1)


@pytest.mark.parametrize(
    "takes",
    [
        a_constant_and_so_much_a_character,
        skewed,
        skewed_and_longer_for_longer_requests,
        mostly_short_and_at_times_endless,
        some_seconds,
    ],
)
def test_after_a_pilot_of_50_rows_the_rest_takes_what_was_said_in_nine_of_ten_cases(
    takes: Callable[[random.Random, float], float],
) -> None:
    draw, cases, held = random.Random(20261124), 400, 0
    for _ in range(cases):
        rows = [(x, takes(draw, x)) for x in (draw.lognormvariate(6, 0.6) for _ in range(550))]
        rest = rows[50:]
        said = predict(measured(rows[:50]), len(rest), round(sum(x for x, _ in rest)))
        assert said.high is not None
        held += said.low <= sum(y for _, y in rest) <= said.high
    assert held >= CONFIDENCE * cases


class TestNothingKnown:
    def test_input_is_guessed_from_characters_and_output_is_not(self) -> None:
        said = estimate(plan(characters=1200), {})
        assert said.input_tokens.interval == Interval(200, 300, 600)
        assert "4 characters a token" in said.input_tokens.reason
        assert said.output_tokens.interval == Interval()
        assert said.seconds.interval == Interval()
        assert said.cost is None

    @pytest.mark.parametrize("name", ["max_output_tokens", "max_tokens", "max_completion_tokens"])
    def test_the_limit_of_the_request_bounds_the_output(self, name: str) -> None:
        made = plan(rows=10, request={"input": "{text}", "parameters": {name: 200}})
        said = estimate(made, {}).output_tokens
        assert said.interval == Interval(0, None, 2000)
        assert "200" in said.reason

    def test_corrections_may_be_as_long_as_the_answer(self) -> None:
        answer = {"schema": {"a": "string"}, "corrections": 2}
        made = plan(rows=10, request={"input": "{text}", "parameters": {"max_tokens": 200}}, answer=answer)
        assert estimate(made, {}).output_tokens.interval.high == 6000

    def test_cost_is_that_of_the_tokens(self) -> None:
        price = {"input": 2, "output": 8, "cached_input": Decimal("0.5"), "currency": "EUR"}
        made = plan(
            rows=1000,
            characters=12_000_000,
            endpoint={"app": "a", "price": price},
            request={"input": "{text}", "parameters": {"max_tokens": 1000}},
        )
        cost = estimate(made, {}).cost
        assert cost is not None
        assert cost.interval.low == pytest.approx(1.0), "2,000,000 tokens, all of them found in the cache"
        assert cost.interval.expected is None
        assert cost.interval.high == pytest.approx(12.0 + 8.0)

    @pytest.mark.parametrize(("budget", "told"), [("0.01 USD", True), ("5 USD", False)])
    def test_a_budget_that_may_not_be_enough_is_told(self, budget: str, told: bool) -> None:
        price = {"input": 2, "output": 0}
        made = plan(characters=400_000, endpoint={"app": "a", "price": price}, limits={"max_cost": budget})
        cost = estimate(made, {}).cost
        assert cost is not None
        assert ("limits.max_cost stops a run at" in cost.reason) == told

    def test_few_answers_tell_nothing(self) -> None:
        assert estimate(plan(), alike("output_tokens", ENOUGH - 1)).output_tokens.interval == Interval()
        assert estimate(plan(), alike("output_tokens", ENOUGH)).output_tokens.interval.expected == pytest.approx(1e5)


class TestTime:
    CALLS: ClassVar = {"kind": "responses", "concurrency": 20}

    def test_calls_share_the_slots_and_the_last_may_begin_last(self) -> None:
        said = estimate(plan(engine=self.CALLS), alike("seconds", value=2.0)).seconds
        assert said.interval.expected == pytest.approx(100)
        assert said.interval.high == pytest.approx(102, abs=0.1)
        assert said.reason == "50 answers that took 2.0 s each, 20 at once, for 90% of runs"

    def test_fewer_rows_than_slots_take_a_call(self) -> None:
        made = plan(rows=3, characters=1200, engine=self.CALLS)
        assert estimate(made, alike("seconds", value=2.0)).seconds.interval.expected == pytest.approx(2)

    @pytest.mark.parametrize(
        ("name", "most", "minutes"),
        [("requests", 100, 10), ("input_tokens", 20_000, 5), ("output_tokens", 10_000, 10)],
    )
    def test_the_quota_counts_where_it_takes_longer(self, name: str, most: int, minutes: float) -> None:
        made = plan(engine={**self.CALLS, f"{name}_per_minute": most})
        known = {**alike("seconds", value=2.0), **alike("input_tokens"), **alike("output_tokens")}
        said = estimate(made, known).seconds
        assert said.interval.expected == pytest.approx(minutes * 60, rel=0.01)
        assert said.reason == f"engine.{name}_per_minute: {most:,}"

    def test_a_quota_is_a_least_time_even_where_calls_are_not_known(self) -> None:
        said = estimate(plan(engine={**self.CALLS, "requests_per_minute": 100}), {}).seconds
        assert said.interval == Interval(600.0)

    def test_an_adaptive_run_has_a_least_time_only(self) -> None:
        made = plan(engine={"kind": "responses", "concurrency": "auto", "max_concurrency": 50, "tasks": 1})
        said = estimate(made, alike("seconds", value=2.0)).seconds.interval
        assert (said.low, said.expected, said.high) == (pytest.approx(40, abs=0.1), None, None)


@given(st.integers(1, 10**5), st.integers(2, 10), st.integers(ENOUGH, 100))
def test_every_figure_is_in_order_and_grows_with_the_rows(rows: int, times: int, answers: int) -> None:
    price = {"input": 2, "output": 8}
    known = {
        name: replace(measured([(float(x), 3.0 * x % 17 + 1) for x in range(1, answers + 1)]), most=17.0)
        for name in ("input_tokens", "output_tokens", "cost", "seconds")
    }
    few, many = (
        estimate(plan(size, size * 40, endpoint={"app": "a", "price": price}), known) for size in (rows, rows * times)
    )
    assert few.cost is not None
    assert many.cost is not None
    pairs = [(getattr(few, name), getattr(many, name)) for name in ("input_tokens", "output_tokens", "cost", "seconds")]
    for one, more in pairs:
        assert in_order(one.interval)
        assert in_order(more.interval)
        assert more.interval.expected >= one.interval.expected * (1 - 1e-9)

"""The agents and models: a name, a task, and a function from question to answer.

Each but the durable ones is a serving endpoint; some agents are apps too, the durable ones apps only.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from rowcall.sandbox.agents import structured, text_insight
from rowcall.sandbox.agents.shapes import (
    CHAT_AGENT,
    CHAT_MODEL,
    CHAT_MODEL_AGENT,
    CUSTOM_MODEL,
    DURABLE,
    RESPONSES_AGENT,
)
from rowcall.sandbox.agents.text_insight import Insight
from rowcall.sandbox.agents.upstream import forward_to
from rowcall.sandbox.agents.wire import Answer, PassedOn, Question

# One thread: the work is pure Python and gains nothing from more, and YAKE keeps state in its extractor.
_worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="text-insight")


@dataclass(frozen=True, slots=True)
class Agent:
    """An agent or a model, as its `task` says. `warm_up` is called when a client looks it up, so that it is loaded when asked."""

    name: str
    description: str
    answer: Callable[[Question], Awaitable[Answer | PassedOn]]
    warm_up: Callable[[], object] | None = None
    task: str = RESPONSES_AGENT

    @property
    def is_app(self) -> bool:
        return self.task in (RESPONSES_AGENT, CHAT_AGENT, DURABLE)

    @property
    def is_endpoint(self) -> bool:
        return self.task != DURABLE


def make_agents(upstream: str | None) -> Mapping[str, Agent]:
    """The agents by name; `upstream` is the URL of an OpenAI-compatible server behind an agent so named."""
    agents = [
        Agent(
            "text-insight",
            "Sentiment, readability, keywords and summary of a text",
            _insight,
            _warm_up_insight,
        ),
        Agent("echo", "Says the last user message again", _echo),
        Agent("echo-chat-agent", "Says the last user message again, as a ChatAgent", _echo, task=CHAT_AGENT),
        Agent("echo-chat-model", "Says the last user message again, as a ChatModel", _echo, task=CHAT_MODEL_AGENT),
        Agent("echo-model", "Says the last user message again, and which images it has", _echo_model, task=CHAT_MODEL),
        Agent(
            "text-insight-model",
            "Sentiment, readability, keywords and summary of a text",
            _insight,
            _warm_up_insight,
            CHAT_MODEL,
        ),
        Agent("echo-durable", "Says the last user message again, on the durable agent server", _echo, task=DURABLE),
        Agent(
            "text-insight-durable",
            "Sentiment, readability, keywords and summary of a text, on the durable agent server",
            _insight,
            _warm_up_insight,
            DURABLE,
        ),
        Agent("text-scores", "Sentiment, score and words of texts", _scores, _warm_up_insight, CUSTOM_MODEL),
    ]
    if upstream is not None:
        agents.append(Agent("upstream", f"Passes questions on to {upstream}", forward_to(upstream)))
    return {agent.name: agent for agent in agents}


async def _echo(question: Question) -> Answer:
    given = question.body.get("custom_inputs")
    return Answer(question.text, custom_outputs={} if given is None else {"custom_inputs": given})


async def _echo_model(question: Question) -> Answer:
    return Answer("".join([question.text, *(f" [{image}]" for image in question.images)]))


async def _insight(question: Question) -> Answer:
    return await asyncio.get_running_loop().run_in_executor(_worker, _describe, question)


async def _scores(question: Question) -> Answer:
    return await asyncio.get_running_loop().run_in_executor(_worker, _score, question)


def _warm_up_insight() -> None:
    _worker.submit(text_insight.warm_up)


def _describe(question: Question) -> Answer:
    insight = text_insight.analyse(question.text)
    if question.schema is None:
        text = in_one_line(insight)
    else:
        text = json.dumps(structured.fit_schema(insight, question.schema), ensure_ascii=False)
    figures = {"score": insight.score, "reading_ease": insight.reading_ease, "words": insight.words}
    return Answer(text, insight.steps, figures)


def _score(question: Question) -> Answer:
    insights = [text_insight.analyse(text) for text in question.rows]
    scores = [{"sentiment": one.sentiment, "score": one.score, "words": one.words} for one in insights]
    return Answer("", predictions=tuple(scores))


def in_one_line(insight: Insight) -> str:
    """`positive · plain English (62) · keywords: queue, coffee — The queue was long but worth it.`"""
    if insight.reading_ease is None:
        return f"{insight.sentiment} · {insight.level}"
    parts = [insight.sentiment, f"{insight.level} ({insight.reading_ease:.0f})"]
    if insight.keywords:
        parts.append(f"keywords: {', '.join(insight.keywords)}")
    return f"{' · '.join(parts)} — {insight.summary}"

"""The Responses API as agents and some models speak it: a request read, a reply and its stream written (FACTS 2.1, 2.2)."""

import time
from collections.abc import Iterator, Mapping

from rowcall.core.loose import mapping, sequence
from rowcall.sandbox.agents.wire import (
    Answer,
    Json,
    Question,
    RequestError,
    content_text,
    count_input_tokens,
    count_tokens,
    image_label,
    last_user_content,
    new_id,
    pieces,
    read_object,
    within_limit,
)

_KIND = "ResponsesAgentRequest"


def read_question(body: object) -> Question:
    """Read a parsed body; raises `RequestError` where `input` is not a list of items."""
    whole = read_object(body, _KIND, "input")
    items = sequence(whole["input"])
    for index, item in enumerate(items):
        if not {"role", "type"} & mapping(item).keys():
            raise RequestError(f"1 validation error for {_KIND}\ninput.{index}\n  Not an item")
    content = last_user_content(items)
    urls = (mapping(part).get("image_url") for part in sequence(content))
    return Question(
        content_text(content),
        whole,
        {key: whole[key] for key in ("instructions", "input") if whole.get(key) is not None},
        count_input_tokens(items, whole.get("instructions")),
        _schema(whole),
        tuple(label for url in urls if (label := image_label(url))),
    )


def _schema(body: Mapping[str, object]) -> Mapping[str, object] | None:
    wanted = mapping(mapping(body.get("text")).get("format"))
    return mapping(wanted.get("schema")) if wanted.get("type") == "json_schema" else None


def make_reply(model: str, question: Question, answer: Answer) -> Json:
    """A whole response. An answer longer than `max_output_tokens` is cut and the response is incomplete."""
    text, whole = within_limit(answer.text, question.body.get("max_output_tokens"))
    status = "completed" if whole else "incomplete"
    content = {"type": "output_text", "text": text, "annotations": []}
    message = {
        "type": "message",
        "id": new_id("msg"),
        "role": "assistant",
        "status": status,
        "content": [content],
    }
    return {
        "id": new_id("resp"),
        "object": "response",
        "created_at": int(time.time()),
        "model": model,
        "status": status,
        "error": None,
        "incomplete_details": None if whole else {"reason": "max_output_tokens"},
        "output": [message],
        "usage": _usage(question.input_tokens, count_tokens(text)),
        "metadata": {},
        "custom_outputs": dict(answer.custom_outputs),
    }


def _usage(asked: int, said: int) -> Json:
    return {
        "input_tokens": asked,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": said,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": asked + said,
    }


def stream_events(reply: Json) -> Iterator[Json]:
    """The events that build up a reply; an `output_item.done` carries the whole item, the last one the trace if any."""
    items = sequence(reply.get("output"))
    yield {
        "type": "response.created",
        "response": {**reply, "status": "in_progress", "output": [], "usage": None},
    }
    for index, item in enumerate(items):
        yield from _deltas(index, mapping(item))
        done: Json = {"type": "response.output_item.done", "output_index": index, "item": item}
        if index == len(items) - 1 and "databricks_output" in reply:
            done["databricks_output"] = reply["databricks_output"]
        yield done
    ending = reply["status"] if reply["status"] in ("incomplete", "failed") else "completed"
    yield {"type": f"response.{ending}", "response": reply}


def _deltas(index: int, item: Mapping[str, object]) -> Iterator[Json]:
    """What a message says, piece by piece."""
    for place, part in enumerate(map(mapping, sequence(item.get("content")))):
        for kind, text in (("output_text", part.get("text")), ("refusal", part.get("refusal"))):
            for delta in pieces(text) if isinstance(text, str) else ():
                yield {
                    "type": f"response.{kind}.delta",
                    "item_id": item.get("id"),
                    "output_index": index,
                    "content_index": place,
                    "delta": delta,
                }


def output_text(reply: object) -> str:
    """What the messages of a parsed reply say."""
    items = map(mapping, sequence(mapping(reply).get("output")))
    return "".join(content_text(item.get("content")) for item in items if item.get("type") == "message")

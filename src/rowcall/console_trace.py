"""How one row's story looks in a terminal: a tree with times."""

import json
from collections.abc import Callable, Iterator, Mapping

from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from rowcall.console import plain
from rowcall.core.loose import mapping
from rowcall.core.shown import money, shorten
from rowcall.core.trace_tree import Event, Node
from rowcall.row_trace import RowStory

_LINE = 160
_UNBROKEN = 1_000_000_000
"""The width of a pipe: there, lines are as long as they are; in a terminal they go on below."""
_FACTS: Mapping[str, Callable[[object], str]] = {
    "http.response.status_code": lambda value: f"HTTP {value}",
    "rowcall.retry_after_seconds": lambda value: f"Retry-After {value} s",
    "rowcall.first_byte_ms": lambda value: f"first byte after {value} ms",
    "rowcall.request_id": lambda value: f"request {value}",
    "rowcall.wave": lambda value: f"wave {value}",
    "rowcall.statement_id": lambda value: f"statement {value}",
    "rowcall.outcome": str,
    "gen_ai.response.model": lambda value: f"model {value}",
    "gen_ai.response.time_to_first_chunk": lambda value: f"first text after {value} s",
    "gen_ai.usage.input_tokens": lambda value: f"{value} tokens in",
    "gen_ai.usage.output_tokens": lambda value: f"{value} out",
    "rowcall.agent_spans_left_out": lambda value: f"{value} more spans of the agent were left out",
    "mlflow.spanType": str,
    "mlflow.chat.tokenUsage": lambda value: f"{mapping(value).get('total_tokens', '?')} tokens",
}
"""What a line says beside its times, and how."""


def print_story(console: Console, story: RowStory, *, full: bool) -> None:
    """A row's story. `full` shows what the spans carry, too."""
    output = story.output
    if output is not None:
        keys = list(output)[: list(output).index("answer")]
        console.print(plain(", ".join(f"{key} {output[key]}" for key in keys), style="bold"))
    console.print(plain(f"trace {story.trace_id}", style="dim"))
    if story.tree is None:
        console.print(plain("There are no spans of it: the row was not sent, or its trace is gone."))
        return
    cost = output["cost"] if output is not None else None
    price = money(cost, story.currency) if isinstance(cost, float) else ""
    if not console.is_terminal:
        console.width = _UNBROKEN
    console.print(_branch(story.tree, price, full=full), soft_wrap=False)


def _branch(node: Node, more: str = "", *, full: bool) -> Tree:
    tree = Tree(_line(node, more))
    for line in _texts(node) if full else ():
        tree.add(line)
    for child in node.children:
        tree.add(_branch(child, full=full))
    for event in node.events:
        tree.add(_event_line(event, full=full))
    return tree


def _line(node: Node, more: str) -> Text:
    style = "red" if node.error is not None else "dim" if node.kind == "wait" else ""
    if node.kind == "wait":
        return plain(f"waited {_time(node.duration_ms)}: {node.name.replace('_', ' ')}", style=style)
    facts = [f"at {_time(node.offset_ms)}"] if node.kind != "call" else []
    facts += [_time(node.duration_ms)]
    facts += [say(node.attributes[name]) for name, say in _FACTS.items() if node.attributes.get(name) is not None]
    facts += [more] if more else []
    line = plain(f"{shorten(node.name, _LINE)} · {' · '.join(facts)}", style=style)
    if node.error is not None:
        kind = node.attributes.get("error.type")
        line.append(plain(f"   {f'{kind}: ' if kind else ''}{shorten(node.error, _LINE)}", style="red"))
    return line


def _event_line(event: Event, *, full: bool) -> Text:
    said = [str(event.attributes[name]) for name in ("exception.type", "exception.message") if name in event.attributes]
    shown = [f"{event.name} · at {_time(event.offset_ms)}"] + [": ".join(said)] * bool(said)
    if full:
        shown += [f"{name}: {value}" for name, value in event.attributes.items()]
        return plain("\n".join(shown), style="red" if said else "")
    return plain(shorten(" · ".join(shown), _LINE), style="red" if said else "")


def _texts(node: Node) -> Iterator[Text]:
    """What a span carries beside what its line says."""
    for name, value in node.attributes.items():
        if name not in _FACTS:
            yield plain(
                f"{name}: {value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}", style="dim"
            )


def _time(milliseconds: float) -> str:
    if abs(milliseconds) >= 1000:
        return f"{milliseconds / 1000:,.2f} s"
    return f"{milliseconds:.0f} ms" if abs(milliseconds) >= 10 else f"{milliseconds:.1f} ms"

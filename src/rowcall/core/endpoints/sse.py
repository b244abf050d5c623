"""Server-sent events: a whole stream's bytes, cut into events. What they mean is for the module of their shape."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

# Not bytes.splitlines: it also ends a line at a form feed.
_LINE_END = re.compile(rb"\r\n|\n|\r")
_BOM = b"\xef\xbb\xbf"
_STARTS = (b"data:", b"event:")


@dataclass(frozen=True, slots=True)
class Event:
    """One event. `end` is the offset in the stream's bytes right after its last line of data."""

    name: str
    data: str
    end: int


def is_stream(body: bytes, content_type: str) -> bool:
    """Whether a body is a stream: as its content type says, unless it begins like JSON, or by its first line."""
    start = body[:1000].removeprefix(_BOM).lstrip()
    named = content_type.partition(";")[0].strip().lower() == "text/event-stream"
    return start.startswith(_STARTS) or (named and not start.startswith(b"{"))


def events(body: bytes) -> Iterator[Event]:
    """The events in order, read as they are asked for; the last counts even without the empty line that should end it."""
    name, data, end = "", list[bytes](), 0
    for line, line_end in chain(_lines(body), [(b"", len(body))]):
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"event":
            name = value.decode("utf-8", "replace")
        elif field == b"data":
            data.append(value)
            end = line_end
        elif not line:
            if any(data):
                yield Event(name, b"\n".join(data).decode("utf-8", "replace"), end)
            name, data = "", []


def _lines(body: bytes) -> Iterator[tuple[bytes, int]]:
    """Each line without its end, and the offset after that."""
    start = len(_BOM) if body.startswith(_BOM) else 0
    for line_end in _LINE_END.finditer(body, start):
        yield body[start : line_end.start()], line_end.end()
        start = line_end.end()
    yield body[start:], len(body)

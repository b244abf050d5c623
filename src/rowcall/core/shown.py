"""Text of anybody's, made fit for a terminal: nothing in it can forge what is shown there."""

import json
import re

_FORGING = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff"
    r"\u061c\u200e\u200f\u202a-\u202e\u2066-\u206f"
    r"\u180e\u200b\u2060-\u2064\ufeff\U000e0000-\U000e007f]"
)
"""What moves a cursor or is no character at all, turns the direction of writing, or cannot be seen; not the tab and the line feed,
nor the joiners that scripts and emoji need."""


def clean(text: str) -> str:
    """A text without characters that could forge what a terminal shows."""
    return _FORGING.sub("�", text.replace("\r\n", "\n"))


def json_line(value: object) -> str:
    """A value as one line of JSON, those characters as their escapes: a reader gets them back."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return _FORGING.sub(lambda found: json.dumps(found[0])[1:-1], text)

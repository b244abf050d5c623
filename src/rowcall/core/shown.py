"""How texts, times and counts are shown to people. Of a text of anybody's, nothing can forge what is shown."""

import json
import re
from datetime import datetime

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
    """A value as one line of JSON, those characters as their escapes: a reader gets them back. Times are as ISO 8601 has them."""
    text = json.dumps(value, ensure_ascii=False, default=_plain)
    return _FORGING.sub(lambda found: json.dumps(found[0])[1:-1], text)


def _plain(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def shorten(text: object, limit: int) -> str:
    said = " ".join(str(text).split())
    return said if len(said) <= limit else f"{said[: limit - 1]}…"


def duration(seconds: float) -> str:
    """A time as people say it: 0.4 s, 12 s, 3 m 02 s, 1 h 05 m."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes == 0:
        return f"{rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} m" if hours else f"{minutes} m {rest:02d} s"


def money(amount: float, currency: object) -> str:
    """1,234.50 USD · 0.4200 USD · 0.000060 USD"""
    digits = 2 if amount >= 1 or amount == 0 else 4 if amount >= 0.001 else 6
    return f"{amount:,.{digits}f} {currency or ''}".rstrip()


def plural(word: str, count: int) -> str:
    if count == 1:
        return word
    return f"{word[:-1]}ies" if word.endswith("y") else f"{word}s"

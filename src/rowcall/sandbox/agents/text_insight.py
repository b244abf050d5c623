"""What the text-insight agent finds in a text: sentiment, readability, keywords, the most telling sentence.

Sentiment is VADER's compound score (-1 to 1, `positive` from 0.05 up, `negative` from -0.05 down).
Readability is Flesch reading ease (0 hard to 100 easy) with hyphenation for syllables. Keywords are YAKE's.
All three know English; other text gets an answer too, only a poorer one.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any

from rowcall.core.errors import SetupError
from rowcall.sandbox.agents.steps import Step, take_step

ANALYSED_CHARS = 4_000
SUMMARY_CHARS = 160
KEYWORDS = 5
KEYWORD_CHARS = 40

_WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")
_SENTENCE_END = re.compile(r"(?<=[.!?…])[\"'”’)]*\s+|(?<=[。！？])|[\r\n]+")
_EASE = (
    (90, "very easy"),
    (80, "easy"),
    (70, "fairly easy"),
    (60, "plain English"),
    (50, "fairly difficult"),
    (30, "difficult"),
)


@dataclass(frozen=True, slots=True)
class Insight:
    """What was found. `reading_ease` is None where there are no words."""

    text: str
    sentiment: str
    score: float
    reading_ease: float | None
    level: str
    keywords: tuple[str, ...]
    summary: str
    words: int
    sentences: int
    steps: tuple[Step, ...] = ()


def analyse(text: str) -> Insight:
    """Analyse the first `ANALYSED_CHARS` characters of a text; words and sentences are counted in all."""
    steps: list[Step] = []
    excerpt = text[:ANALYSED_CHARS]
    given = {"characters": len(excerpt)}
    score = take_step(steps, "sentiment", given, lambda: sentiment_score(excerpt))
    ease = take_step(steps, "readability", given, lambda: reading_ease(excerpt))
    keywords = take_step(steps, "keywords", given, lambda: find_keywords(excerpt))
    summary = take_step(steps, "summary", given, lambda: most_telling_sentence(excerpt, keywords))
    return Insight(
        text=excerpt,
        sentiment=sentiment_label(score),
        score=score,
        reading_ease=ease,
        level=ease_label(ease),
        keywords=keywords,
        summary=summary,
        words=len(_WORD.findall(text)),
        sentences=len(split_sentences(text)),
        steps=tuple(steps),
    )


def warm_up() -> None:
    """Load what the analyses need, which takes about a second."""
    analyse("The sourdough is wonderful.")


def sentiment_score(text: str) -> float:
    return float(_vader().polarity_scores(text)["compound"])


def sentiment_label(score: float) -> str:
    if score >= 0.05:
        return "positive"
    return "negative" if score <= -0.05 else "neutral"


def reading_ease(text: str) -> float | None:
    """Flesch: 206.835 - 1.015 x words per sentence - 84.6 x syllables per word, kept within 0 to 100."""
    words = _WORD.findall(text)
    if not words:
        return None
    sentences = len(split_sentences(text))
    syllables = sum(_syllables(word) for word in words)
    ease = 206.835 - 1.015 * len(words) / sentences - 84.6 * syllables / len(words)
    return round(min(max(ease, 0.0), 100.0), 1)


def ease_label(ease: float | None) -> str:
    if ease is None:
        return "no words"
    return next((label for least, label in _EASE if ease >= least), "very difficult")


def find_keywords(text: str) -> tuple[str, ...]:
    """The `KEYWORDS` weightiest words, weightiest first."""
    found = [str(keyword) for keyword, _ in _yake().extract_keywords(text)]
    return tuple([keyword for keyword in found if len(keyword) <= KEYWORD_CHARS][:KEYWORDS])


def split_sentences(text: str) -> list[str]:
    """The sentences that hold at least one word."""
    return [sentence for part in _SENTENCE_END.split(text) if (sentence := part.strip()) and _WORD.search(sentence)]


def most_telling_sentence(text: str, keywords: Sequence[str]) -> str:
    """The sentence with the weightiest keywords, trimmed at a word; the earlier one of equals."""
    best = max(split_sentences(text), key=lambda sentence: _weight(sentence, keywords), default="")
    line = " ".join(best.split())
    if len(line) <= SUMMARY_CHARS:
        return line
    return line[: SUMMARY_CHARS - 1].rsplit(" ", 1)[0].rstrip(" ,;:") + "…"


def _weight(sentence: str, keywords: Sequence[str]) -> float:
    folded = sentence.lower()
    return sum(1 / (rank + 2) for rank, keyword in enumerate(keywords) if keyword.lower() in folded)


def _syllables(word: str) -> int:
    return len(_hyphenation().positions(word)) + 1


@cache
def _vader() -> Any:
    return _tool("vaderSentiment.vaderSentiment", "SentimentIntensityAnalyzer")()


@cache
def _hyphenation() -> Any:
    return _tool("pyphen", "Pyphen")(lang="en_US")


@cache
def _yake() -> Any:
    return _tool("yake", "KeywordExtractor")(lan="en", n=1, top=2 * KEYWORDS)


def _tool(module: str, name: str) -> Any:
    try:
        return getattr(import_module(module), name)
    except ImportError as missing:
        raise SetupError("the text-insight agent needs the extra `local`: pip install 'rowcall[local]'") from missing

"""What the text-insight agent finds, on real sentences; and that no text breaks it."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rowcall.sandbox.agents.agents import in_one_line
from rowcall.sandbox.agents.text_insight import (
    SUMMARY_CHARS,
    analyse,
    ease_label,
    find_keywords,
    most_telling_sentence,
    reading_ease,
    sentiment_label,
    split_sentences,
)

REVIEW = (
    "The croissants at the Berlin shop were wonderful and still warm, but the queue was far too long. "
    "I waited twenty minutes for a coffee. The sourdough is the best in town. Thank you to the friendly baker!"
)


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("The sourdough is wonderful, thank you!", "positive"),
        ("The bread was mouldy and the staff were rude.", "negative"),
        ("The shop opens at eight on Mondays.", "neutral"),
        ("", "neutral"),
    ],
)
def test_sentiment(text: str, label: str) -> None:
    assert analyse(text).sentiment == label


@pytest.mark.parametrize(
    ("score", "label"),
    [(0.05, "positive"), (0.049, "neutral"), (-0.049, "neutral"), (-0.05, "negative"), (0.0, "neutral")],
)
def test_vaders_thresholds(score: float, label: str) -> None:
    assert sentiment_label(score) == label


def test_flesch_reading_ease_by_hand() -> None:
    # 7 words, 1 sentence, 12 syllables: hap-py bak-ers sell but-ter crois-sants and sour-dough.
    # 206.835 - 1.015 x 7 / 1 - 84.6 x 12 / 7 = 206.835 - 7.105 - 145.029 = 54.7
    assert reading_ease("Happy bakers sell butter croissants and sourdough.") == 54.7
    # 3 words, 1 sentence, 3 syllables: 206.835 - 3.045 - 84.6 = 119.2, above the scale.
    assert reading_ease("We sell bread.") == 100.0
    # 2 words, 1 sentence, 10 syllables: in-ter-na-tion-al re-spon-si-bil-i-ties gives less than 0.
    assert reading_ease("International responsibilities.") == 0.0
    assert reading_ease("42!") is None


def test_longer_words_and_sentences_read_harder() -> None:
    easy = reading_ease("We sell bread. It is warm. Come in and try some.")
    hard = reading_ease("Our establishment distributes artisanal confectionery, considering individual requirements.")
    assert easy is not None
    assert hard is not None
    assert easy > 90
    assert hard < 30


@pytest.mark.parametrize(
    ("ease", "label"),
    [(100, "very easy"), (60, "plain English"), (59.9, "fairly difficult"), (0, "very difficult"), (None, "no words")],
)
def test_ease_labels(ease: float | None, label: str) -> None:
    assert ease_label(ease) == label


def test_sentences_need_a_word() -> None:
    assert split_sentences('Really?! "Yes." Fine…\n\n... 42! Übrigens: gut') == [
        "Really?!",
        '"Yes.',
        "Fine…",
        "Übrigens: gut",
    ]
    assert split_sentences("美味しい。また来ます。") == ["美味しい。", "また来ます。"]


def test_keywords_are_words_of_the_text_that_carry_it() -> None:
    keywords = find_keywords(REVIEW)
    assert 1 <= len(keywords) <= 5
    assert len(set(keywords)) == len(keywords)
    assert all(keyword in REVIEW for keyword in keywords)
    assert "croissants" in keywords
    assert not {"the", "was", "and"} & {keyword.lower() for keyword in keywords}


def test_the_most_telling_sentence_has_the_first_keywords() -> None:
    text = "It rained. The oven broke on Sunday. We went home."
    assert most_telling_sentence(text, ["oven", "home"]) == "The oven broke on Sunday."
    assert most_telling_sentence(text, []) == "It rained."
    assert most_telling_sentence("", ["oven"]) == ""


def test_a_long_sentence_is_cut_at_a_word() -> None:
    cut = most_telling_sentence("bread " * 100, [])
    assert len(cut) <= SUMMARY_CHARS
    assert cut.endswith("bread…")


def test_an_insight_in_one_line() -> None:
    line = in_one_line(analyse(REVIEW))
    assert line.startswith("positive · ")
    assert " · keywords: " in line
    assert line.endswith(
        " — The croissants at the Berlin shop were wonderful and still warm, but the queue was far too long."
    )
    assert in_one_line(analyse("")) == "neutral · no words"


def test_words_and_sentences_are_counted_beyond_the_excerpt() -> None:
    insight = analyse("Warm bread here. " * 1000)
    assert (insight.words, insight.sentences) == (3000, 1000)
    assert len(insight.text) == 4000


def test_the_steps_follow_one_another() -> None:
    steps = analyse(REVIEW).steps
    assert [step.name for step in steps] == ["sentiment", "readability", "keywords", "summary"]
    edges = [edge for step in steps for edge in (step.started_ns, step.ended_ns)]
    assert edges == sorted(edges)


def test_five_hundred_characters_take_milliseconds() -> None:
    text = (REVIEW * 3)[:500]
    analyse(text)
    started = time.process_time()
    for number in range(20):
        analyse(f"{number} {text}")
    assert (time.process_time() - started) / 20 < 0.05


@settings(deadline=None, max_examples=150)
@given(st.text(max_size=300) | st.text(st.sampled_from("aB.!? \n'-é🥐。\x00\ud800"), max_size=300))
def test_no_text_breaks_it(text: str) -> None:
    insight = analyse(text)
    assert -1 <= insight.score <= 1
    assert insight.reading_ease is None or 0 <= insight.reading_ease <= 100
    assert len(insight.summary) <= SUMMARY_CHARS
    assert in_one_line(insight)

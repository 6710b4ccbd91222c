import pytest

from shelfwise.misspelt import REMEMBERED, Misspelt


def test_a_remembered_word_is_mended_where_it_stands_whatever_its_capitals():
    words = Misspelt()
    words.learn({"ketel": "kettle", "glas": "glass"})
    assert words.guess("Red KETEL, glas") == "Red kettle, glass"
    assert words.guess("red kettle") is None


def test_a_word_that_another_field_has_stays_and_is_remembered_too():
    words = Misspelt()
    words.learn({"tarnholt": None, "ketel": "kettle"})
    assert words.guess("tarnholt") is None
    assert words.judged(["tarnholt", "ketel", "mug"]) == {"tarnholt": False, "ketel": True}


def test_what_was_remembered_is_forgotten_after_a_while():
    words = Misspelt(seconds=0.0)
    words.learn({"ketel": "kettle"})
    assert words.guess("ketel") is None
    assert words.judged(["ketel"]) == {}


def test_the_latest_words_are_kept():
    words = Misspelt()
    words.learn({"first": "fist"})
    words.learn({f"word{number}": "word" for number in range(REMEMBERED)})
    assert words.guess("first") is None
    assert words.guess(f"word{REMEMBERED - 1}") == "word"


@pytest.mark.parametrize("text", ["", "!?", "ß ﬁ İ"])
def test_any_text_can_be_guessed_at(text):
    words = Misspelt()
    words.learn({"ketel": "kettle"})
    assert words.guess(text) is None

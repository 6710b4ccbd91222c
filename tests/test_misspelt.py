import pytest

from shelfwise.misspelt import REMEMBERED, Misspelt
from shelfwise.spelling import Correction


def test_a_remembered_word_is_mended_where_it_stands_whatever_its_capitals():
    words = Misspelt()
    words.learn({"ketel": "kettle", "glas": "glass"})
    assert words.guess("Red KETEL, glas") == "Red kettle, glass"
    assert words.guess("red kettle") is None
    assert words.guess("Ketel glas", right={"ketel"}) == "Ketel glass"
    words.learn({"kétel": "kettle"})
    assert words.guess("Kétel glas", right={"ketel"}) == "Kétel glass"


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


def test_a_query_is_right_when_all_its_words_were_found_right():
    words = Misspelt()
    words.learn_right("Red men's shampo", [Correction("shampo", "shampoo", 10, 6)])
    assert words.is_right("MEN'S red")
    assert not words.is_right("red shampo")
    assert not words.is_right("red men")  # the server was not asked about `men`
    assert not words.is_right("red mug")


def test_a_word_is_wrong_where_any_part_of_it_is():
    words = Misspelt()
    words.learn_right("wi-fy box", [Correction("fy", "fi", 3, 2)])
    assert words.is_right("box")
    assert not words.is_right("wi-fy")


def test_markup_is_never_taken_for_right():
    words = Misspelt()
    words.learn_right("a <b", [])
    words.learn_right("a b", [])
    assert words.is_right("a b")
    assert not words.is_right("a <b")
    assert not words.is_right("b&amp a")


def test_right_words_are_forgotten_after_a_while_and_the_latest_kept():
    gone = Misspelt(seconds=0.0)
    gone.learn_right("red", [])
    assert not gone.is_right("red")
    words = Misspelt()
    words.learn_right("first", [])
    words.learn_right(" ".join(f"word{number}" for number in range(REMEMBERED)), [])
    assert not words.is_right("first")
    assert words.is_right(f"word{REMEMBERED - 1}")


@pytest.mark.parametrize("text", ["", "!?", "ß ﬁ İ"])
def test_any_text_can_be_guessed_at(text):
    words = Misspelt()
    words.learn({"ketel": "kettle"})
    assert words.guess(text) is None

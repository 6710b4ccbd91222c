import pytest

from shelfwise.spelling import Correction, corrected, corrections, said

KETEL = {"text": "ketel", "offset": 4, "length": 5, "options": [{"text": "kettle", "score": 0.8}]}


def test_a_word_that_no_title_has_is_answered_with_its_nearest():
    right = {"text": "red", "offset": 0, "length": 3, "options": []}
    assert corrections("red ketel", {"suggest": {"spelling": [right, KETEL]}}) == (Correction("ketel", "kettle", 4, 5),)
    assert corrections("red ketel", {"hits": {}}) == ()


def test_the_server_counts_an_emoji_as_two():
    words = "🎁🎁 ketel"
    entry = KETEL | {"offset": 5}
    [mended] = found = corrections(words, {"suggest": {"spelling": [entry]}})
    assert words[mended.offset :] == "ketel"
    assert corrected(words, found) == "🎁🎁 kettle"


def test_a_model_number_is_no_misspelt_word():
    number = {"text": "vx20k", "offset": 0, "length": 5, "options": [{"text": "vx10k"}]}
    assert corrections("vx20k", {"suggest": {"spelling": [number]}}) == ()


def test_a_word_that_is_known_to_be_right_is_no_misspelt_word():
    assert corrections("red KETEL", {"suggest": {"spelling": [KETEL]}}, right={"ketel"}) == ()
    accented = KETEL | {"text": "ketel", "offset": 0}
    assert corrections("kétel", {"suggest": {"spelling": [accented]}}, right={"ketel"}) == ()


def brand(text, offset, nearest, score, freq=1):
    option = {"text": nearest, "score": score, "freq": freq}
    return {"text": text, "offset": offset, "length": len(text), "options": [option]}


def test_the_nearer_of_title_word_and_brand_counts_and_then_the_more_frequent():
    title = brand("himalya", 0, "himalayan", 0.71, 9)
    for score, freq, nearest in [(0.86, 1, "himalaya"), (0.71, 10, "himalaya"), (0.71, 9, "himalayan")]:
        suggest = {"spelling": [title], "brands": [brand("himalya", 0, "himalaya", score, freq)]}
        [found] = corrections("himalya", {"suggest": suggest, "hits": {"hits": []}})
        assert found.nearest == nearest


def test_a_word_of_a_title_is_no_misspelt_brand():
    answer = {"suggest": {"brands": [brand("cream", 6, "creame", 0.8), brand("nivia", 0, "nivea", 0.8)]}}
    found = corrections("nivia cream", answer | {"hits": {"hits": [{"_source": {"title": "Soft Cream, 50 ml"}}]}})
    assert [one.nearest for one in found] == ["nivea"]


def nearest(answer):
    return [one.nearest for one in corrections("hpone ekttle", {"suggest": answer, "hits": {"hits": []}})]


@pytest.mark.parametrize(
    ("word", "near", "score", "expected"),
    [
        ("hpone", "hole", 0.5, []),  # two edits of the four letters
        ("hpone", "hone", 0.75, ["hone"]),
        ("ketel", "kettle", 0.6, []),
        ("kettel", "kettle", 5 / 6, ["kettle"]),
        ("ketelle", "kettle", 2 / 3, ["kettle"]),
    ],
)
def test_of_a_short_word_nothing_is_near_that_two_edits_are_away(word, near, score, expected):
    assert nearest({"spelling": [brand(word, 0, near, score)]}) == expected
    assert nearest({"brands": [brand(word, 0, near, score)]}) == expected


def swapped(word, *options):
    given = [{"text": text, "score": score, "freq": 1} for text, score in options]
    return {"text": word, "offset": 0, "length": len(word), "options": given}


def test_a_word_whose_first_letters_were_swapped_is_meant_where_nothing_is_as_near():
    begun = [swapped("hpone", ("ppone", 0.8), ("phone", 0.8))]
    assert nearest({"swapped": begun}) == nearest({"swapped_brands": begun}) == ["phone"]
    assert nearest({"spelling": [brand("hpone", 0, "hole", 0.5)], "swapped": begun}) == ["phone"]
    assert nearest({"spelling": [brand("hpone", 0, "hpona", 0.8)], "swapped": begun}) == ["hpona"]
    long = [swapped("ekttle", ("kettle", 5 / 6))]
    assert nearest({"spelling": [brand("ekttle", 0, "entitle", 4 / 6)], "swapped": long}) == ["kettle"]
    assert nearest({"swapped": [swapped("hpone", ("xpone", 0.8))]}) == []


def test_words_are_replaced_where_they_stand():
    mended = [Correction("ketel", "kettle", 4, 5), Correction("glas", "glass", 10, 4)]
    assert corrected("Red KETEL glas", mended) == "Red kettle glass"
    assert corrected("red", []) == "red"


def test_what_was_mended_is_said():
    assert said([Correction("ketel", "kettle", 4, 5)]) == ["no product has 'ketel': 'kettle' was looked for as well"]

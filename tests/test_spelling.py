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


def test_words_are_replaced_where_they_stand():
    mended = [Correction("ketel", "kettle", 4, 5), Correction("glas", "glass", 10, 4)]
    assert corrected("Red KETEL glas", mended) == "Red kettle glass"
    assert corrected("red", []) == "red"


def test_what_was_mended_is_said():
    assert said([Correction("ketel", "kettle", 4, 5)]) == ["no product has 'ketel': 'kettle' was looked for as well"]

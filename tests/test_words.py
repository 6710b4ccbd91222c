"""Words for classical classifiers."""

from shelfwise_indexer.words import is_ideographic, phrases_of, tf_idf, words_of


def test_words_are_case_folded_and_punctuation_parts_them():
    assert words_of("Steel Mug, 400-ml") == ["steel", "mug", "400", "ml"]


def test_stop_words_are_left_out_only_where_asked():
    assert words_of("the mug for a car") == ["the", "mug", "for", "a", "car"]
    assert words_of("the mug for a car", "content words") == ["mug", "car"]


def test_stems_are_words_without_their_endings():
    assert words_of("insulated mugs", "stems") == ["insul", "mug"]


def test_chinese_is_parted_into_words_where_asked():
    assert words_of("不锈钢保温杯") == ["不锈钢保温杯"]
    assert words_of("不锈钢保温杯 500ml", "segments") == ["不锈钢", "保温杯", "500ml"]


def test_phrases_are_words_and_neighbours():
    assert phrases_of("red steel mug") == ["red", "steel", "mug", "red steel", "steel mug"]
    assert phrases_of("...") == []


def test_a_catalogue_is_ideographic_from_two_percent_on():
    assert not is_ideographic(["mug"] * 49 + ["保温杯"])
    assert is_ideographic(["mug"] * 48 + ["保温杯"])
    assert not is_ideographic([])


def test_characters_of_an_ideographic_text_are_n_grams_of_one_to_three():
    features = tf_idf("characters", ideographic=True)
    features.fit(["保温杯"])
    assert set(features.get_feature_names_out()) == {"保", "温", "杯", "保温", "温杯", "保温杯"}


def test_a_vowel_sign_belongs_to_its_word():
    assert words_of("दाल, ปลา-ปู") == ["दाल", "ปลา", "ปู"]


def test_a_few_short_texts_that_share_no_n_gram_can_be_read():
    assert tf_idf("characters", texts=2).fit_transform(["abc", "xyz"]).shape[0] == 2

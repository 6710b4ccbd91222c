import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shelfwise.errors import InvalidSynonyms
from shelfwise.synonyms import MAX_READINGS, Synonyms, parse, read, words_of

TEXT = """
# kept by the search team
tv, television, telly   # one is as good as the other
hoover => vacuum cleaner
mobile phone, cell phone
手机, 电话
"""


@pytest.mark.parametrize(
    ("query", "readings"),
    [
        ("TV stand", ["tv stand", "television stand", "telly stand"]),
        ("hoover bags", ["vacuum cleaner bags"]),
        ("red cell phone case", ["red cell phone case", "red mobile phone case"]),
        ("手机壳", ["手机壳", "电话壳"]),
        ("tvs", ["tvs"]),
        ("", [""]),
    ],
)
def test_a_phrase_is_read_as_its_synonyms_and_the_rest_stays(query, readings):
    assert read(query, parse(TEXT, "synonyms.txt")) == readings


def test_a_number_sign_within_a_word_is_no_comment():
    rules = parse("usb hub, hub #2, dock # of two makers\n#all of it\n  # and this\nsharp, c#", "s")
    assert read("usb hub", rules) == ["usb hub", "hub #2", "dock"]
    assert read("sharp", rules) == ["sharp", "c#"]


def test_a_language_with_a_sign_for_a_name_is_a_word_of_its_own():
    rules = parse("c#, csharp\nc++ => cpp", "s")
    assert read("C# book", rules) == ["c# book", "csharp book"]
    assert read("c++ book", rules) == ["cpp book"]
    assert read("vitamin c", rules) == ["vitamin c"]


def test_a_vowel_sign_belongs_to_its_word():
    rules = parse("साड़ी, saree\nतेल => oil", "s")
    assert read("लाल साड़ी", rules) == ["लाल साड़ी", "लाल saree"]
    assert read("ताला तोलिया", rules) == ["ताला तोलिया"]
    assert read("तेल", rules) == ["oil"]


def test_an_escaped_comma_is_one():
    assert read("mug", parse(r"mug, cup 0\,3 l", "s")) == ["mug", "cup 0,3 l"]


def test_the_longest_phrase_wins():
    rules = parse("phone, handset\nmobile phone, cell", "s")
    assert read("mobile phone", rules) == ["mobile phone", "cell"]


def test_rules_for_one_phrase_add_up():
    assert read("tv", parse("tv, television\ntv, telly", "s")) == ["tv", "television", "telly"]


def test_a_query_of_many_synonyms_has_a_bounded_number_of_readings():
    assert len(read("tv " * 50, parse(TEXT, "s"))) == MAX_READINGS


def test_a_synonym_of_every_word_is_tried_before_two_are_together():
    rules = parse("red, crimson\nmug, cup, beaker, tumbler, pot, pan\ncheap, budget", "s")
    readings = read("cheap red mug", rules)
    assert readings[:6] == [
        "cheap red mug",
        "budget red mug",
        "cheap crimson mug",
        "cheap red cup",
        "cheap red beaker",
        "cheap red tumbler",
    ]
    assert len(readings) == MAX_READINGS
    assert read("cheap red", rules) == ["cheap red", "budget red", "cheap crimson", "budget crimson"]


def test_of_many_words_with_synonyms_the_first_ones_are_tried():
    words = [f"w{number}" for number in range(20)]
    readings = read(" ".join(words), parse("\n".join(f"{word}, x{word}" for word in words), "s"))
    assert [reading.count("x") for reading in readings] == [0] + [1] * (MAX_READINGS - 1)
    assert "xw0" in readings[1]


def test_words_that_double_themselves_are_read_in_no_time():
    assert len(read("手" * 500, parse("手, 手手手", "s"))) == MAX_READINGS


@pytest.mark.parametrize(
    ("query", "readings"),
    [
        ("cafe table", ["cafe table", "coffee shop table"]),
        ("CAFÉ table", ["café table", "coffee shop table"]),
        ("ＴＶ stand", ["ｔｖ stand", "television stand"]),
        ("TV's remote", ["tv's remote", "television remote"]),
        ("TV’s remote", ["tv’s remote", "television remote"]),
        ("wi fi box", ["wi fi box", "wlan box"]),
        ("wi-fi box", ["wi-fi box", "wlan box"]),
        ("Levi jeans", ["levi jeans", "501 jeans"]),
        ("creme", ["custard"]),
        ("e book", ["ebook"]),
        ("t-shirt", ["t-shirt"]),
        ("पानी", ["पानी"]),
    ],
)
def test_words_are_compared_as_the_index_compares_them_and_stay_as_they_were_typed(query, readings):
    rules = parse(
        "café, coffee shop\nＴＶ, television\nwi-fi, wlan\nlevi's, 501\ncrème => custard\ne-book => ebook\n"
        "fi, hi\nshirt, top\nपनी, foil",
        "s",
    )
    assert read(query, rules) == readings


def test_a_phrase_that_a_file_has_with_and_without_accents_is_one():
    rules = parse("café, cafe, coffee shop\ncafe, bistro", "s")
    assert read("Café", rules) == ["café", "coffee shop", "bistro"]
    assert words_of(rules) == {"cafe", "coffee", "shop", "bistro"}


@pytest.mark.parametrize("line", ["tv", "tv,", "=> tv", "tv =>", "a => b => c", "tv, , telly", "!!, ??"])
def test_a_broken_line_is_named_with_what_was_expected(line):
    with pytest.raises(InvalidSynonyms, match=r'shop.txt, line 3: expected "tv, television" or "hoover => vacuum"'):
        parse("a, b\n\n" + line, "shop.txt")


def test_a_changed_file_counts_at_the_next_query(tmp_path):
    file = tmp_path / "synonyms.txt"
    file.write_text("tv, telly")
    synonyms = Synonyms(file)
    assert synonyms.readings("tv") == ["tv", "telly"]
    file.write_text("tv, box")
    os.utime(file, ns=(1, 1))
    assert synonyms.readings("tv") == ["tv", "box"]


@pytest.mark.parametrize("broken", [b"tv", b"tv, telly\n\xe9, caf\xe9", None])
def test_a_file_that_becomes_unreadable_leaves_the_rules_before_it_and_says_so_once(tmp_path, capsys, broken):
    file = tmp_path / "synonyms.txt"
    file.write_text("tv, telly")
    synonyms = Synonyms(file)
    file.unlink() if broken is None else file.write_bytes(broken)
    assert [synonyms.readings("tv") for _ in range(3)] == [["tv", "telly"]] * 3
    assert synonyms.words() == {"tv", "telly"}
    [said] = capsys.readouterr().err.splitlines()
    assert str(file) in said
    assert said.endswith("the synonyms before that count until it is mended")
    file.write_text("tv, box")
    assert synonyms.readings("tv") == ["tv", "box"]
    assert capsys.readouterr().err == ""


def test_each_broken_state_of_a_file_is_told(tmp_path, capsys):
    file = tmp_path / "synonyms.txt"
    file.write_text("tv, telly")
    synonyms = Synonyms(file)
    for broken in ("tv", "tv, telly\nbox"):
        file.write_text(broken)
        synonyms.readings("tv")
    first, second = capsys.readouterr().err.splitlines()
    assert "line 1" in first
    assert "line 2" in second


def test_a_broken_file_is_refused_at_the_start(tmp_path):
    (tmp_path / "synonyms.txt").write_text("tv")
    with pytest.raises(InvalidSynonyms, match="line 1"):
        Synonyms(tmp_path / "synonyms.txt")


def test_the_words_of_a_file_are_those_of_both_sides(tmp_path):
    file = tmp_path / "synonyms.txt"
    file.write_text("TV, telly\nT-shirt => cotton top\nlevi's, साड़ी")
    assert Synonyms(file).words() == {"tv", "telly", "t", "shirt", "cotton", "top", "levi's", "साड़ी"}


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(InvalidSynonyms, match=r"none.txt cannot be read \(No such file"):
        Synonyms(tmp_path / "none.txt")
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9, coffee")
    with pytest.raises(InvalidSynonyms, match="is not UTF-8"):
        Synonyms(tmp_path / "latin.txt")


@given(st.text(max_size=60))
def test_no_file_does_more_than_be_refused(text):
    try:
        parse(text, "s")
    except InvalidSynonyms as error:
        assert "\n" not in str(error)


@given(st.text(max_size=60))
def test_without_a_rule_for_it_a_query_stays_as_it_is(query):
    assert read(query, parse("qqqq, zzzz", "s")) == [query] or "qqqq" in query.casefold() or "zzzz" in query.casefold()

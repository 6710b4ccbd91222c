import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shelfwise import exact
from shelfwise.exact import Exact, folded, ids_in, written_otherwise


def found(title, brand=None, id_="p1"):
    return {"_id": id_, "_source": {"title": title, "brand": brand}}


@pytest.mark.parametrize(
    ("query", "codes"),
    [
        ("HP 74XL", ("74xl",)),
        ("tarnholt tk-1700", ("tk1700",)),
        ("VX20K", ("vx20k",)),
        ("iPhone12 case", ("iphone12",)),
        ("usb c cable 2m", ()),
        ("a5 dotted notebook", ()),
        ("2-person tent 3-in-1 3in1 30x40cm 400ml 1.5l 65w 2nd 128GB 65-inch", ()),
        ("red dress 2xl 3XS 4xxl", ()),
        ("800lm 1200 lumens 1200lumens 120gsm 3ply 1500rpm 1000IU 50mcg 60fps 300dpi 150psi", ()),
        ("12000btu 300Mbps 10gbps 6pk 12pcs 5000mah 15bar 48mp 100wh 30min 500ma", ()),
        ("kettle 1700", ()),
        ("保温杯 500ml", ()),
        ("保温杯500ml", ()),
        ("TK1700水壶", ("tk1700",)),
        ("iphone15手机壳", ("iphone15",)),
    ],
)
def test_a_model_number_is_letters_with_digits_and_no_measure(query, codes):
    assert Exact.of(query).codes == codes


@pytest.mark.parametrize(
    ("query", "product", "held"),
    [
        ("HP 74XL", found("HP 74XL black ink"), True),
        ("HP 74XL", found("Black ink 74xl", "HP"), True),
        ("HP 74XL", found("HP 74 black ink"), False),
        ("HP 74XL", found("HP 74XLC black ink"), False),
        ("tk-1700", found("Tarnholt TK1700 kettle"), True),
        ("tk1700", found("Tarnholt TK-1700 kettle"), True),
        ("CS-7731", found("Silicone cover", id_="CS7731"), True),
        ("NF-A12-B-34", found("Fan NF-A12-B-34 for desktop computers, quiet black"), True),
        ("NF-A12-B-34", found("Fan NF-B-34 A12-X"), False),
        ("WH 1000 XM4", found("Headphones WH-1000XM4"), True),
        ("WH 1000 XM4", found("Headphones WH1000XM4"), True),
        ("WH-1000 XM4", found("Headphones WH 1000XM4"), True),
        ("wh1000 xm4", found("Headphones 1000XM4"), False),
        ("WH 1000 XM4", found("Headphones 1000XM4"), True),
        ("WH 1000 XM4", found("Headphones WH-1000XM5"), False),
        ("tk1700", found("Set TK-17 00x"), False),
        ("red dress 52qq", found("Black trousers men 52QQ"), False),
        ("red dress 52qq", found("Summer dress 52QQ"), True),
        ("74xl cartridges", found("Ink cartridge 74XL"), True),
        ("74xl cartridges 2 pack", found("Paper 74XL, 2 sheets"), False),
        ("hp 74xl", found("Black ink 74XL", "HP"), True),
        ("74xl", found("Black ink 74XL"), True),
        ("74xl 2", found("Black ink 74XL"), True),
        ("ink 74xl", found("Cover", id_="74-XL"), True),
        ("paper 74xl tk-1700", found("Ink 74XL for TK-1700"), True),
        ("74XL惠普黑色墨盒", found("墨盒 74XL"), True),
        ("74XL惠普黑色墨盒", found("电热水壶 74XL"), False),
        ("40075201", found("Silicone cover", id_="40075201"), True),
        ("40075201 cover", found("Silicone cover", id_="40075201"), False),
        ("sony", found("Headphones", "Sony"), True),
        ("sony headphones", found("Wireless Headphones", "SONY"), True),
        ("sony kettle", found("Headphones", "Sony"), False),
        ("leche cafe", found("Cafe", "Léche"), True),
        ("रोम", found("तेल", "राम"), False),  # another vowel
        ("राम तेल", found("तेल", "राम"), True),
        ("ขาว", found("5 กก.", "ข้าว"), False),  # white, and rice
        ("ハス", found("Bath salt", "バス"), False),
        ("バス", found("Bath salt", "バス"), True),
        ("WH1000XM4耳机", found("索尼WH-1000XM4头戴式耳机"), True),
        ("WH1000XM4", found("索尼WH-1000XM4头戴式耳机"), True),
        ("WH1000XM5耳机", found("索尼WH-1000XM4头戴式耳机"), False),
        ("索尼耳机", found("头戴式耳机", "索尼"), True),
        ("索尼水壶", found("头戴式耳机", "索尼"), False),
        ("头戴式耳机", found("头戴式耳机", "索尼"), False),
        ("wireless mouse", found("Wireless mouse", "Thrumm"), False),
        ("wireless mouse", found("Wireless mouse"), False),
    ],
)
def test_a_product_is_exact_with_every_model_number_or_with_its_brand_and_all_other_words(query, product, held):
    assert Exact.of(query).held_by(product) is held


@pytest.mark.parametrize("query", ["WH 1000 XM4", "wh-1000 xm4", "WH1000 XM4 headphones", "case for WH 1000 XM4"])
def test_who_types_a_model_number_apart_gets_it_before_what_holds_a_part_of_it(query):
    whole = [found("Headphones WH-1000XM4", id_="a"), found("WH1000XM4", id_="b"), found("WH 1000XM4", id_="c")]
    parts = [found("Case for XM4", id_="d"), found("Case for WH1000 or XM4", id_="e"), found("WH-1000XM5", id_="f")]
    assert Exact.of(query).among([*whole, *parts]) == {"a", "b", "c"}
    assert {"wh 1000xm4", "wh1000xm4"} <= {*written_otherwise(query)}
    assert "WH-1000XM4" in ids_in(query)


def test_what_holds_all_model_numbers_comes_first_however_they_are_typed():
    both, one = found("Pads XM4, TK-1700", id_="a"), found("Sony WH-1000XM4 headphones", id_="b")
    assert Exact.of("sony wh 1000 xm4 pads tk1700").among([both, one]) == {"a"}
    whole = found("Pads for WH-1000XM4 and TK1700", id_="c")
    assert Exact.of("sony wh 1000 xm4 pads tk1700").among([both, one, whole]) == {"c"}


def test_how_many_and_how_much_is_no_part_of_a_model_number():
    foil, case = found("Galaxy S21 2-pack screen foil", id_="a"), found("Galaxy S21 case", id_="b")
    assert Exact.of("galaxy s21 2 pack case").among([foil, case]) == {"a", "b"}
    assert Exact.of("ram ddr4 3200 16 gb").apart == (("ddr43200",),)


def test_a_part_of_an_id_is_not_the_model_number():
    assert not Exact.of("tk1700 toner").held_by(found("cable", id_="tk-1700-xx"))
    assert Exact.of("tk1700 toner").held_by(found("cable", id_="tk-1700"))


def test_a_long_query_is_read_in_no_time():
    query = "1 " * 2000 + "a1b " + "1 " * 2000
    exact_ = Exact.of(query)
    assert (exact_.codes, exact_.apart) == (("a1b",), ())
    assert len(written_otherwise(query)) < 30


def test_few_products_with_every_word_come_first_and_many_do_not():
    few = [found("vacuum flask", id_="a"), found("flask", id_="b"), found("vacuum", id_="c")]
    assert Exact.of("vacuum flask").among(few) == {"a"}
    assert Exact.of("flask").among(few) == frozenset()
    many = [found("green tea", id_=str(number)) for number in range(4)]
    assert Exact.of("green tea").among(many) == frozenset()


def test_words_that_are_a_small_part_of_a_title_describe_it_and_do_not_name_it():
    long = [found("steel vacuum flask for soups, with a cup and a strap"), found("flask", id_="b")]
    assert Exact.of("vacuum flask").among(long) == frozenset()
    assert Exact.of("vacuum flask for soups with strap").among(long) == {long[0]["_id"]}


def test_width_case_and_accents_do_not_matter():
    assert folded("Ｃafé ＡＢＣ") == "cafe abc"


@given(st.text(st.characters(max_codepoint=127)))
def test_plain_letters_are_read_as_any_are(text):
    assert exact._PLAIN_WORD.findall(text) == exact._WORD.findall(text)


@given(st.text(max_size=40))
def test_folding_plain_letters_without_a_look_at_each_gives_the_same(text):
    parts = unicodedata.normalize("NFKD", text.casefold())
    assert folded(text) == "".join(part for part in parts if not unicodedata.combining(part))


@given(st.text(max_size=40), st.text(max_size=40), st.text(max_size=20))
def test_any_text_can_be_compared(query, title, brand):
    assert Exact.of(query).held_by(found(title, brand)) in (True, False)


@pytest.mark.parametrize(
    ("query", "phrases"),
    [
        ("TK1700", ["tk 1700"]),
        ("tk-1700 kettle", ["tk1700"]),
        ("tk 1700", ["tk1700"]),
        ("WH-1000XM", ["wh 1000 xm", "wh1000 xm", "wh1000xm"]),
        ("TK1700水壶", ["tk 1700"]),
        ("bottle 500ml", ["500 ml"]),
        ("1.5 l kettle", ["1.5l"]),
        ("1.5l kettle", ["1.5 l"]),
        ("usb 3.0", []),
        ("20 30", []),
        ("red shoes", []),
        ("a1b2c3d4e5", []),
    ],
)
def test_words_with_digits_are_written_otherwise_and_numbers_never_run_together(query, phrases):
    assert written_otherwise(query) == phrases


def test_however_many_model_numbers_there_are_few_clauses_come_of_them():
    query = " ".join(f"ab{number}cd" for number in range(100))
    assert len(written_otherwise(query)) == 24
    assert len(ids_in(query)) < 500


@given(st.text(alphabet="aB1 2-./_水", max_size=30))
def test_what_is_written_otherwise_has_the_same_letters_and_digits(query):
    joined = "".join(character for character in folded(query) if character.isalnum())
    for phrase in written_otherwise(query):
        assert "".join(phrase.replace(".", "").split()) in joined

"""The breadcrumb: fields as shops' software leaves them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shelfwise.breadcrumb import breadcrumb_words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Home > Kitchen > Mugs", "Kitchen Mugs"),
        ("Home                  /                  Peripherals       /      Keyboards", "Peripherals Keyboards"),
        ("Gelish\ufffd>\ufffdGelish Hard Gels\ufffd>\ufffd", "Gelish Hard Gels"),
        ("Party Supplies", "Party Supplies"),
        ("Sterling T-Shirts", "Sterling T-Shirts"),
        ("Tools > Drill Bits & Holesaws > Drill Bits - Metal", "Tools Drill Bits Holesaws Metal"),
        ("Dresses,Sale,The LBD,Mini Dress", "Dresses Sale The LBD Mini Dress"),
        ("Arts%20%26%20Hobbies%20%3e%20Artwork%3cbr%3e", "Arts Hobbies Artwork"),
        ("HOME / BRANDS / {{variant.name | uppercase}}", "BRANDS"),
        ("首页 > 母婴 > 纸尿裤", "母婴 纸尿裤"),
        ("首页>食品/饮料", "食品 饮料"),
    ],
)
def test_levels_become_words_and_home_is_none_of_them(text, words):
    assert breadcrumb_words(text) == words


def test_what_every_level_repeats_is_said_once():
    text = "Carolina Pirates > Carolina Pirates Ladies > Carolina Pirates Ladies Long Sleeve"
    assert breadcrumb_words(text) == "Carolina Pirates Ladies Long Sleeve"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("http://shop.example/new-nutritional-supplements/c/000001/", "new nutritional supplements"),
        ("https://shop.example/product/crest-cp1100t.aspx/?ref=home#top", "crest"),
        ("/antiques", "antiques"),
        ("/home_and_garden/lawn+mowers", "home and garden lawn mowers"),
        ("http://shop.example/mobiles/qwerty/40858/p_B1112436//mobiles/", "mobiles qwerty"),
        ("//shop.example/%E6%AF%8D%E5%A9%B4/", "母婴"),
    ],
)
def test_of_an_address_the_path_is_read_without_host_and_ids(text, words):
    assert breadcrumb_words(text) == words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Mugs|Travel Mugs|Sale", "Mugs Travel Sale"),
        ("http://one.example/|http://two.example/anti-aging/c/0000051/", "anti aging"),
        ("http://one.example/shoes/|http://one.example/shoes/wedges/|Floral Wedges", "shoes wedges Floral"),
    ],
)
def test_a_list_is_read_entry_by_entry(text, words):
    assert breadcrumb_words(text) == words


@pytest.mark.parametrize(
    "text",
    [
        "",
        " | ",
        "All Products",
        "Product",
        "http://www.shop.example/",
        "Home >",
        "所有商品",
        "com.shop.internal.CatalogCategoryPO@cf85245d[com.shop.PersistentObjectPOKey (x) [c06], name=sptyp-st220]",
    ],
)
def test_what_says_nothing_leaves_nothing(text):
    assert breadcrumb_words(text) == ""


@given(text=st.text())
def test_no_word_comes_twice_and_no_address_is_left(text):
    words = breadcrumb_words(text).casefold().split()
    assert len(words) == len(set(words))
    assert not any("://" in word for word in words)

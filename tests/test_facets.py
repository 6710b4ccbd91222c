from shelfwise.facets import BrandFacet, CategoryFacet, Facets, PriceFacet, facet_bodies

ANSWER = {
    "categories": {
        "buckets": [
            {"key": "Home", "doc_count": 5},
            {"key": "Home > Mugs", "doc_count": 1},
            {"key": "Home > Kettles", "doc_count": 4},
            {"key": "Out", "doc_count": 7},
        ]
    },
    "brands": {"buckets": [{"key": "sony", "doc_count": 2, "written": {"buckets": [{"key": "Sony", "doc_count": 1}]}}]},
    "prices": {
        "buckets": [
            {"from": 0.0, "to": 5.0, "doc_count": 3},
            {"from": 5.0, "to": 10.0, "doc_count": 0},
            {"from": 10000.0, "doc_count": 1},
        ]
    },
}


def test_categories_are_a_tree_with_the_most_frequent_first():
    mugs, kettles = CategoryFacet(("Home", "Mugs"), 1), CategoryFacet(("Home", "Kettles"), 4)
    assert Facets.of(ANSWER).categories == (
        CategoryFacet(("Out",), 7),
        CategoryFacet(("Home",), 5, (kettles, mugs)),
    )


def test_empty_price_ranges_are_left_out_and_the_last_has_no_end():
    facets = Facets.of(ANSWER)
    assert facets.prices == (PriceFacet(0.0, 5.0, 3), PriceFacet(10000.0, None, 1))
    assert facets.brands == (BrandFacet("Sony", 2),)


def test_a_brand_is_written_as_its_own_products_write_it_and_no_name_is_no_brand():
    def of(key, *written):
        return {"key": key, "doc_count": 1, "written": {"buckets": [{"key": one, "doc_count": 1} for one in written]}}

    brands = [
        of("zed", "Acme", "Zed"),
        of("acme", "Acme", "Zed"),
        of("", ""),
        of("lg", " LG", "LG"),
        of("orsted", "Ørsted"),
    ]
    facets = Facets.of(ANSWER | {"brands": {"buckets": brands}})
    assert [facet.brand for facet in facets.brands] == ["Zed", "Acme", "LG", "Ørsted"]


def test_price_ranges_follow_one_another_without_a_gap():
    ranges = facet_bodies()["prices"]["range"]["ranges"]
    assert [one["to"] for one in ranges[:-1]] == [one["from"] for one in ranges[1:]]
    assert ranges[0]["from"] == 0
    assert "to" not in ranges[-1]

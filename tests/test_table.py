from shelfwise.hit import Hit
from shelfwise.table import BELOW, PIECE, hit_table

FOUND = {"_id": "k1", "_source": {"title": "Steel kettle", "shelfwise": {"category": "Home > Kettles"}, "price": 30}}


def hit(**more):
    shown = Hit.of(FOUND, 0.5, {})
    return Hit(**{name: more.get(name, getattr(shown, name)) for name in shown.__slots__})


def retriever(rank, score, share):
    return {"rank": rank, "score": score, "weight": 1.0, "share": share}


NOTHING = {
    "retrievers": {"lexical": retriever(None, None, 0.0), "semantic": retriever(None, None, 0.0)},
    "words": (),
    "categories": (),
    "category_boost": 0.0,
    "popularity_boost": 0.0,
    "exact": False,
    "reranked": None,
}


def below(**more):
    first, *lines = hit_table([hit(**more)])
    assert first.split() == ["1", "0.5000", "k1", "Steel", "kettle", "Kettles", "30.00"]
    assert all(line.startswith(BELOW) for line in lines)
    return [line.removeprefix(BELOW) for line in lines]


def test_a_hit_of_which_nothing_more_was_asked_for_is_one_line():
    assert below() == []
    assert below(explanation=NOTHING) == []


def test_a_reason_stands_below_its_hit():
    assert below(reason="same category, both 'kettle'") == ["same category, both 'kettle'"]


def test_texts_with_marks_stand_below_the_hit_a_long_one_around_its_first_mark():
    assert below(highlight={"title": "Steel <em>kettle</em>"}) == ["title: Steel <em>kettle</em>"]
    [line] = below(highlight={"description": "word " * 50 + "<em>kettle</em>" + " word" * 50})
    assert line.startswith("description: …word word")
    assert "<em>kettle</em>" in line
    assert line.endswith("…")
    assert len(line) == len("description: ") + PIECE + 2
    [wide] = below(highlight={"description": "水" * 200})
    assert len(wide) == len("description: ") + PIECE / 2 + 1


def test_why_a_hit_is_there_stands_below_it():
    categories = ({"path": ("Home",), "probability": 0.9}, {"path": ("Home", "Kettles"), "probability": 0.8})
    why = {
        **NOTHING,
        "retrievers": {"lexical": retriever(1, 8.25, 0.31), "semantic": retriever(2, 0.75, 0.6)},
        "words": ("kettle", "steel"),
        "categories": categories,
        "category_boost": 0.25,
        "popularity_boost": 0.031,
        "exact": True,
        "reranked": {"rank": 3, "score": 1.0, "blended": 0.9},
    }
    assert below(explanation=why) == [
        "lexical: rank 1, score 8.2500, gives 0.3100; semantic: rank 2, score 0.7500, gives 0.6000; "
        "category Home > Kettles: +25.0%; popularity: +3.1%; words: kettle, steel; "
        "first for the very words of the query; rank 3 before it was reranked"
    ]


def test_no_text_of_a_shop_is_a_command_to_the_terminal():
    texts = below(
        reason="both '\x1b[2J'",
        highlight={"title": "\x1b[31m<em>kettle</em>\n\x07"},
        explanation={**NOTHING, "words": ("\x9bx",)},
    )
    assert texts == ["both ' [2J'", "title:  [31m<em>kettle</em>  ", "words:  x"]

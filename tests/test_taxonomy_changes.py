"""Changes of a taxonomy: where they take a path, and which are refused."""

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shelfwise.errors import UnknownCategory
from shelfwise.taxonomy import parse_path
from shelfwise_indexer.records import CatalogueError
from shelfwise_indexer.taxonomy_changes import Change, Changes, Followed, InvalidChanges

PATHS = [parse_path(text) for text in ("Kitchen > Kettles", "Kitchen > Mugs", "Home > Cups", "Sports > Tents > Dome")]


@pytest.fixture
def changes(tmp_path):
    """Writes lines of (change, from, to), reads them, and checks them against PATHS."""

    def read(*lines):
        file = tmp_path / "changes.jsonl"
        file.write_bytes(b"".join(orjson.dumps({"change": c, "from": f, "to": t}) + b"\n" for c, f, t in lines))
        found = Changes.read(file)
        found.check(PATHS)
        return found

    return read


def follow(changes, text):
    followed = changes.follow(parse_path(text))
    return " > ".join(followed.path) + ("" if followed.decided else " ?")


def test_a_rename_takes_everything_below_with_it(changes):
    found = changes(("renamed", "Sports", "Outdoor"))
    assert follow(found, "Sports > Tents > Dome") == "Outdoor > Tents > Dome"
    assert follow(found, "Sports > New since training") == "Outdoor > New since training"
    assert follow(found, "Kitchen > Mugs") == "Kitchen > Mugs"


def test_a_name_that_only_begins_like_another_stays(changes):
    assert follow(changes(("renamed", "Kitchen", "Cooking")), "Kitchenware > Mugs") == "Kitchenware > Mugs"


def test_a_move_takes_a_node_with_everything_below_it_elsewhere(changes):
    found = changes(("moved", "Sports > Tents", "Camping > Shelter > Tents"))
    assert follow(found, "Sports > Tents > Dome") == "Camping > Shelter > Tents > Dome"


def test_merged_categories_become_one_that_was_there_or_a_new_one(changes):
    into = changes(("merged", ["Home > Cups", "Kitchen > Mugs"], "Kitchen > Mugs"))
    assert [follow(into, text) for text in ("Home > Cups", "Kitchen > Mugs")] == ["Kitchen > Mugs"] * 2
    new = changes(("merged", ["Home > Cups", "Kitchen > Mugs"], "Kitchen > Mugs & cups"))
    assert [follow(new, text) for text in ("Home > Cups", "Kitchen > Mugs")] == ["Kitchen > Mugs & cups"] * 2


@pytest.mark.parametrize("sources", [["Sports > Tents", "Sports"], ["Sports", "Sports > Tents"]])
def test_a_category_merges_into_its_parent(changes, sources):
    found = changes(("merged", sources, "Sports"))
    assert follow(found, "Sports > Tents > Dome") == "Sports > Dome"
    assert follow(found, "Sports") == "Sports"


def test_a_split_category_waits_under_what_its_parts_have_in_common(changes):
    found = changes(("split", "Kitchen > Kettles", ["Kitchen > Electric", "Kitchen > Stovetop"]))
    assert follow(found, "Kitchen > Kettles") == "Kitchen ?"
    below = changes(("split", "Kitchen > Kettles", ["Kitchen > Kettles > A", "Kitchen > Kettles > B"]))
    assert follow(below, "Kitchen > Kettles") == "Kitchen > Kettles ?"
    assert follow(below, "Kitchen > Kettles > A") == "Kitchen > Kettles > A"


def test_changes_are_made_in_order_on_what_those_before_left(changes):
    found = changes(
        ("renamed", "Sports", "Outdoor"),
        ("moved", "Outdoor > Tents", "Camping > Tents"),
        ("split", "Kitchen > Mugs", ["Kitchen > Travel", "Kitchen > Table"]),
        ("renamed", "Kitchen > Travel", "Kitchen > To go"),
        ("moved", "Kitchen", "House > Kitchen"),
    )
    assert follow(found, "Sports > Tents > Dome") == "Camping > Tents > Dome"
    assert follow(found, "Kitchen > Mugs") == "House > Kitchen ?"
    assert follow(found, "Kitchen > Travel") == "House > Kitchen > To go"


class TestRefused:
    def test_an_unknown_category_with_the_closest_three(self, changes):
        with pytest.raises(
            UnknownCategory, match=r"line 1: .*'Kitchen > Ketles': the closest are (.*, ){2}[^,]*$"
        ) as e:
            changes(("renamed", "Kitchen > Ketles", "Kitchen > Pots"))
        assert "'Kitchen > Kettles'" in str(e.value)

    def test_two_changes_of_one_category(self, changes):
        with pytest.raises(
            InvalidChanges, match="line 2: Home > Cups is there no more, because line 1 renamed it to Home > Bowls"
        ):
            changes(("renamed", "Home > Cups", "Home > Bowls"), ("renamed", "Home > Cups", "Home > Beakers"))

    def test_a_part_of_what_was_moved_away_under_its_old_name(self, changes):
        with pytest.raises(InvalidChanges, match="line 2: Sports > Tents is there no more"):
            changes(("renamed", "Sports", "Outdoor"), ("moved", "Sports > Tents", "Camping > Tents"))

    @pytest.mark.parametrize("kind", ["renamed", "moved"])
    def test_one_onto_a_category_that_is_there(self, changes, kind):
        with pytest.raises(InvalidChanges, match=r"line 1: Kitchen > Mugs is there already: .* call it merged"):
            changes((kind, "Kitchen > Kettles", "Kitchen > Mugs"))

    def test_a_rename_to_another_parent(self, changes):
        with pytest.raises(InvalidChanges, match=r"a rename stays under its parent.* call it moved"):
            changes(("renamed", "Home > Cups", "Kitchen > Cups"))

    @pytest.mark.parametrize(
        ("kind", "source"), [("moved", "Sports"), ("merged", ["Sports", "Home > Cups"])], ids=["moved", "merged"]
    )
    def test_a_category_into_a_part_of_itself(self, changes, kind, source):
        with pytest.raises(InvalidChanges, match=r"Sports > Old lies below Sports: .* part of itself"):
            changes((kind, source, "Sports > Old"))

    def test_a_circle(self, changes):
        with pytest.raises(
            InvalidChanges, match="line 2: brings back Home > Cups, which line 1 renamed it to Home > Bowls"
        ):
            changes(("renamed", "Home > Cups", "Home > Bowls"), ("renamed", "Home > Bowls", "Home > Cups"))
        with pytest.raises(InvalidChanges, match="line 2: brings back Home, which line 1 moved"):
            changes(("moved", "Home", "House > Home"), ("moved", "Sports > Tents", "Home > Tents"))

    def test_a_split_of_what_no_product_carries(self, changes):
        with pytest.raises(InvalidChanges, match="no product is filed under Kitchen itself"):
            changes(("split", "Kitchen", ["Kitchen > A", "Kitchen > B"]))

    @pytest.mark.parametrize(
        ("line", "reason"),
        [
            ("{", "not JSON"),
            ("[]", "expected an object such as"),
            ('{"change": "swapped", "from": "Home", "to": "House"}', "change must be one of renamed, moved"),
            ('{"change": "renamed", "from": "Home > ", "to": "House"}', "from: every name"),
            ('{"change": "renamed", "from": "Home"}', "to: expected a list"),
            ('{"change": "renamed", "from": "Home", "to": "Home"}', "from and to are the same"),
            ('{"change": "renamed", "from": "Home", "to": "House", "rule": 1}', "unknown rule"),
            ('{"change": "merged", "from": "Home", "to": "House"}', "from must be a list of paths"),
            ('{"change": "split", "from": "Home", "to": ["House"]}', "a split has at least two"),
            ('{"change": "split", "from": "Home", "to": ["House", "Flat"]}', "House and Flat have no node in common"),
        ],
    )
    def test_a_line_that_is_no_change_by_its_number(self, tmp_path, line, reason):
        (tmp_path / "changes.jsonl").write_text("\n" + line + "\n")
        with pytest.raises(InvalidChanges, match=f"line 2: {reason}"):
            Changes.read(tmp_path / "changes.jsonl")

    def test_a_file_without_a_change_and_one_that_is_not_there(self, tmp_path):
        (tmp_path / "changes.jsonl").write_text("\n")
        with pytest.raises(InvalidChanges, match="holds no change"):
            Changes.read(tmp_path / "changes.jsonl")
        with pytest.raises(CatalogueError, match="no such file"):
            Changes.read(tmp_path / "none.jsonl")


names = st.sampled_from("abc")
paths = st.lists(names, min_size=1, max_size=3).map(tuple)
whole = st.one_of(
    st.builds(lambda s, t: ("renamed", (s,), ((*s[:-1], t),)), paths, names),
    st.builds(lambda s, t: ("moved", (s,), (t,)), paths, paths),
    st.builds(lambda s, t: ("merged", tuple(s), (t,)), st.lists(paths, min_size=1, max_size=2, unique=True), paths),
)


@given(st.lists(paths, min_size=1, max_size=6, unique=True), st.lists(whole, min_size=1, max_size=4))
@example([("c", "c", "c")], [("merged", (("c", "c"),), (("c",),))])
def test_changes_that_are_accepted_come_to_the_same_when_they_are_made_twice(carried, made):
    changes = Changes(tuple(Change(line, *one) for line, one in enumerate(made, start=1)))
    try:
        changes.check(carried)
    except (InvalidChanges, UnknownCategory):
        return
    for path in carried:
        once = changes.follow(path)
        assert changes.follow(once.path) == Followed(once.path)

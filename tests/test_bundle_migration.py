"""A bundle after changes of its taxonomy: the same vectors, the same scores of what stayed."""

import shutil
from dataclasses import replace

import numpy as np
import orjson
import pytest

from hand_bundle import add_hand_int8, write_hand_bundle
from shelfwise.bundle import Bundle, content_version
from shelfwise.encoder import Encoder, by_leaf
from shelfwise.errors import UsageError
from shelfwise_indexer.bundle_migration import changes_since, migrate_bundle
from shelfwise_indexer.taxonomy_changes import Change, Changes

CUPS, KETTLES, MUGS, TENTS = ("Home", "Cups"), ("Home", "Kettles"), ("Home", "Mugs"), ("Sports", "Tents")
WORDS = {"cup": [1, 0.4, 0, 0], "kettle": [0.2, 1, 0, 0], "mug": [0.6, 0, 1, 0], "tent": [0, 0, 0, 1]}
TEXTS = ["cup", "a kettle", "mug mug cup", "tent", "nothing known"]


@pytest.fixture
def bundle(tmp_path):
    return write_hand_bundle(tmp_path / "bundle", WORDS, [CUPS, KETTLES, MUGS, TENTS])


def migrated(bundle, *lines):
    changes = Changes(tuple(Change(number, *line) for number, line in enumerate(lines, start=1)))
    changes.check(bundle.taxonomy.leaves)
    return migrate_bundle(bundle, changes, bundle.path.with_name(f"{bundle.path.name}-next"))


def of(bundle, **settings):
    """The bundle with other settings."""
    info = {**bundle.info, **settings}
    info["version"] = content_version(bundle.path, info)
    (bundle.path / "bundle.json").write_bytes(orjson.dumps(info))
    return Bundle.load(bundle.path)


def column(bundle, leaf):
    return bundle.encoder.encode_documents(TEXTS).probabilities[:, bundle.taxonomy.leaf_number[leaf]]


RENAME = ("renamed", (CUPS,), (("Home", "Zarfs"),))  # from the first leaf by alphabet to the last of Home
MOVE = ("moved", (("Sports",),), (("Home", "Outdoor"),))
MERGE = ("merged", (CUPS, MUGS), (("Home", "Drinking"),))
MERGE_KETTLES = ("merged", (KETTLES, MUGS), (("Home", "Hot"),))
SPLIT = ("split", (KETTLES,), (("Home", "Kettles", "Electric"), ("Home", "Kettles", "Hob")))
SPLIT_UP = ("split", (KETTLES,), (("Home", "Electric"), ("Home", "Hob")))


def test_the_compressed_model_goes_with_it(bundle):
    before = add_hand_int8(bundle)
    after = migrated(before, RENAME)
    assert after.info["compressed"] == before.info["compressed"]
    vectors = [Encoder(one, "int8").encode_documents(TEXTS).vectors.tobytes() for one in (before, after)]
    assert vectors[0] == vectors[1]


def test_what_was_renamed_or_moved_keeps_vectors_and_scores_bit_for_bit(bundle):
    after = migrated(bundle, RENAME, MOVE)
    assert after.version != bundle.version
    assert after.taxonomy.leaves == (KETTLES, MUGS, ("Home", "Outdoor", "Tents"), ("Home", "Zarfs"))
    for old, new in ((CUPS, ("Home", "Zarfs")), (TENTS, ("Home", "Outdoor", "Tents")), (MUGS, MUGS)):
        assert column(after, new).tobytes() == column(bundle, old).tobytes()
    vectors = [one.encoder.encode_documents(TEXTS).vectors.tobytes() for one in (bundle, after)]
    assert vectors[0] == vectors[1]


def test_the_copied_page_says_of_which_bundle_it_is_and_what_was_changed(bundle):
    (bundle.path / "report").mkdir()
    (bundle.path / "report" / "index.html").write_text("<h1>Old</h1><p>figures</p>")
    after = migrated(bundle, RENAME, MERGE_KETTLES)
    shown = (after.path / "report" / "index.html").read_text("utf-8")
    assert shown.startswith(f'<h1>Old</h1><p class="note">Copied from bundle {bundle.version}, with its')
    assert "Home &gt; Cups renamed to Home &gt; Zarfs; Home &gt; Kettles and Home &gt; Mugs merged to Home" in shown
    assert (bundle.path / "report" / "index.html").read_text() == "<h1>Old</h1><p>figures</p>"


def test_probabilities_of_merged_leaves_add_up(bundle):
    after = migrated(bundle, MERGE)
    assert after.taxonomy.leaves == (("Home", "Drinking"), KETTLES, TENTS)
    np.testing.assert_array_equal(column(after, ("Home", "Drinking")), column(bundle, CUPS) + column(bundle, MUGS))
    np.testing.assert_allclose(after.encoder.encode_documents(TEXTS).probabilities.sum(axis=1), 1, atol=1e-6)


def test_of_several_labels_a_merged_leaf_is_at_least_one_of_them():
    given = by_leaf(np.array([[0.5, 0.25, 0.5]], np.float32), np.array([1, 0, 1]), 2, multi_label=True)
    assert given.tolist() == [[0.25, 0.75]]


def test_a_split_leaf_waits_under_what_its_parts_have_in_common_whatever_its_score(bundle):
    after = migrated(of(bundle, thresholds=[0.5, 0.6, 0.7, 0.8]), SPLIT)
    assert after.taxonomy.leaves == bundle.taxonomy.leaves
    assert after.thresholds == pytest.approx([0.5, 1.0, 0.7, 0.8])


def test_a_split_into_siblings_makes_their_parent_a_leaf(bundle):
    after = migrated(bundle, SPLIT_UP)
    assert after.taxonomy.leaves == (("Home",), CUPS, MUGS, TENTS)
    assert column(after, ("Home",)).tobytes() == column(bundle, KETTLES).tobytes()
    assert after.thresholds == pytest.approx([1.0, 0.5, 0.5, 0.5])


def test_the_strictest_threshold_of_merged_leaves_counts(bundle):
    own = of(bundle, thresholds=[0.9, 0.5, 0.6, 0.7], label_thresholds=[0.1, 0.2, 0.3, 0.4])
    after = migrated(own, MERGE)
    assert after.thresholds == pytest.approx([0.9, 0.5, 0.7])
    assert after.label_thresholds == pytest.approx([0.3, 0.2, 0.4])


def test_changes_one_after_the_other_come_to_the_same_as_at_once(bundle):
    once = migrated(bundle, RENAME, MOVE, ("merged", (MUGS, ("Home", "Zarfs")), (MUGS,)))
    twice = migrated(migrated(bundle.load(shutil.copytree(bundle.path, bundle.path.with_name("b"))), RENAME, MOVE),
                     ("merged", (MUGS, ("Home", "Zarfs")), (MUGS,)))  # fmt: skip
    assert twice.taxonomy == once.taxonomy
    np.testing.assert_array_equal(*(one.encoder.encode_documents(TEXTS).probabilities for one in (once, twice)))
    assert once.version == twice.version


def meta_of(bundle):
    """What an index that it wrote says of it."""
    return {"bundle": bundle.version, "taxonomy": bundle.taxonomy.hash}


def test_the_bundle_says_what_it_came_from(bundle):
    after = migrated(bundle, RENAME)
    assert after.info["migrated_from"] == {
        "bundle": bundle.version,
        "taxonomy": bundle.taxonomy.hash,
        "changes": [{"change": "renamed", "from": ["Home > Cups"], "to": ["Home > Zarfs"]}],
        "before": None,
    }
    assert after.info["taxonomy"] == after.taxonomy.hash
    assert after.thresholds is None


def test_its_changes_lead_from_what_it_was_made_of_and_from_no_other(bundle):
    after = migrated(bundle, MOVE, MERGE, SPLIT)
    [moved, merged, split] = changes_since(meta_of(bundle), after).changes
    assert (moved.kind, moved.sources, moved.targets) == MOVE
    assert (merged.kind, merged.sources, merged.targets) == MERGE
    assert (split.kind, split.sources, split.targets) == SPLIT
    trained_again = {**meta_of(bundle), "bundle": "another"}
    assert changes_since(trained_again, after) == changes_since(meta_of(bundle), after)
    for meta, one in ((meta_of(bundle), bundle), (meta_of(after), after), (meta_of(after), bundle), ({}, after)):
        assert changes_since(meta, one) == Changes(())


def test_a_split_that_leaves_the_categories_as_they_are_is_a_change_all_the_same(bundle):
    after = migrated(bundle, ("split", (MUGS,), ((*MUGS, "Tall"), (*MUGS, "Flat"))))
    assert after.taxonomy == bundle.taxonomy
    assert len(changes_since(meta_of(bundle), after).changes) == 1
    assert changes_since(meta_of(after), after) == Changes(())


def test_changes_lead_through_several_migrations(bundle):
    once = migrated(bundle.load(shutil.copytree(bundle.path, bundle.path.with_name("b"))), RENAME)
    twice = migrated(once, MOVE)
    [renamed, moved] = changes_since(meta_of(bundle), twice).changes
    assert (renamed.kind, moved.kind) == ("renamed", "moved")
    assert changes_since(meta_of(once), twice).changes == (replace(moved, line=1),)


def test_the_same_again_leaves_the_bundle_and_another_folder_is_refused(bundle):
    after = migrated(bundle, RENAME)
    written = (after.path / "bundle.json").stat().st_mtime_ns
    assert migrated(bundle, RENAME).version == after.version
    assert (after.path / "bundle.json").stat().st_mtime_ns == written
    with pytest.raises(UsageError, match="cannot be written"):
        migrated(bundle, MOVE)
    assert Bundle.load(after.path).version == after.version
    assert sorted(path.name for path in after.path.parent.iterdir()) == ["bundle", "bundle-next"]

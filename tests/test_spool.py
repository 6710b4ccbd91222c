import os
import time
from types import SimpleNamespace

import numpy as np
import pytest

from shelfwise.taxonomy import Taxonomy
from shelfwise_indexer.spool import Entry, Spool, SpoolError
from shelfwise_indexer.spooled import Spooled

RUN = ("catalogue-hash", "bundle-version", "products", None)


@pytest.fixture
def spool(tmp_path):
    with Spool(tmp_path, *RUN) as spool:
        yield spool


def entries(*ids):
    return [Entry(line, {"id": id_, "title": "壶"}, carried=id_ == "c") for line, id_ in enumerate(ids, start=1)]


def vectors(*rows):
    return np.array(rows, dtype=np.float32)


def test_a_segment_comes_back_as_it_was_written(spool):
    spool.write(0, entries("a", "c"), vectors([1, 0], [0.6, 0.8]))
    assert spool.segments() == 1
    assert spool.entries(0) == entries("a", "c")
    assert [entry.carried for entry in spool.entries(0)] == [False, True]
    assert np.array_equal(spool.vectors(0), vectors([1, 0], [0.6, 0.8]))
    assert spool.vectors(0).dtype == np.float32


def test_another_process_finds_what_the_killed_one_wrote(tmp_path):
    with Spool(tmp_path, *RUN) as killed:
        killed.write(0, entries("a"), vectors([1, 0]))
    with Spool(tmp_path, *RUN) as resumed:
        assert resumed.entries(0) == entries("a")


def test_segments_are_walked_in_order(spool):
    spool.write(0, entries("a"), vectors([1, 0]))
    spool.write(1, entries("b", "c"), vectors([0, 1], [1, 0]))
    assert [entry.document["id"] for entry in spool.stream()] == ["a", "b", "c"]
    assert list(spool.stream()) == [*spool.entries(0), *spool.entries(1)]


@pytest.mark.parametrize("part_written", ["segment-000001.partial", "segment-000001.npy"])
def test_what_a_kill_left_half_written_is_no_segment(spool, part_written):
    spool.write(0, entries("a"), vectors([1, 0]))
    (spool.folder / part_written).write_bytes(b"half of it")
    assert spool.segments() == 1
    assert list(spool.stream()) == entries("a")
    assert len(spool.vector_file(2)) == 1


@pytest.mark.parametrize("part_written", ["segment-000001.partial", "segment-000001.npy"])
def test_a_half_written_segment_is_written_anew(spool, part_written):
    spool.write(0, entries("a"), vectors([1, 0]))
    (spool.folder / part_written).write_bytes(b"half of it")
    spool.write(1, entries("b"), vectors([0, 1]))
    assert spool.segments() == 2
    assert np.array_equal(spool.vectors(1), vectors([0, 1]))


def test_a_segment_after_a_gap_does_not_count(spool):
    spool.write(0, entries("a"), vectors([1, 0]))
    spool.write(2, entries("c"), vectors([0, 1]))
    assert spool.segments() == 1


def test_a_segment_whose_writing_was_interrupted_before_all_of_it_was_there_is_none(spool, monkeypatch):
    own, written = Spool._whole, []

    def interrupted(*given):
        if written:
            raise KeyboardInterrupt
        written.append(own(*given))

    monkeypatch.setattr(Spool, "_whole", interrupted)
    with pytest.raises(KeyboardInterrupt):
        spool.write(0, entries("a"), vectors([1, 0]))
    assert spool.segments() == 0


def test_nothing_partial_is_left_after_a_write(spool):
    spool.write(0, entries("a"), vectors([1, 0]))
    assert sorted(path.name for path in spool.folder.iterdir()) == [
        "lock",
        "segment-000000.jsonl",
        "segment-000000.npy",
    ]


def test_the_vector_file_holds_those_of_the_parts_one_after_the_other(spool):
    parts = [vectors([1, 0], [0, 1]), vectors([0.6, 0.8]), vectors([0, 1], [1, 0], [0.8, 0.6])]
    for number, part in enumerate(parts):
        spool.write(number, entries(*"abc"[: len(part)]), part)
    whole = spool.vector_file(2)
    assert np.array_equal(whole[:], np.concatenate(parts))
    assert whole.dtype == np.float32
    assert np.array_equal(spool.vector_file(2)[:], whole[:])


def test_a_second_run_of_the_same_is_refused_until_the_first_is_over(tmp_path):
    with (
        Spool(tmp_path, *RUN),
        pytest.raises(SpoolError, match="is being indexed into this alias right now"),
        Spool(tmp_path, *RUN),
    ):
        pass
    with Spool(tmp_path, *RUN):
        pass


def test_a_refused_run_takes_no_lock_from_the_first(tmp_path):
    with Spool(tmp_path, *RUN):
        for _ in range(2):
            with pytest.raises(SpoolError), Spool(tmp_path, *RUN):
                pass


@pytest.mark.parametrize("place", range(4))
def test_another_catalogue_bundle_alias_or_live_index_is_another_run(tmp_path, place):
    other = [*RUN]
    other[place] = "other"
    with Spool(tmp_path, *RUN) as one, Spool(tmp_path, *other) as two:
        one.write(0, entries("a"), vectors([1, 0]))
        assert one.folder != two.folder
        assert two.segments() == 0


def test_what_stays_as_it_stands_in_the_live_index_is_passed_over(spool):
    kinds = [(False, False), (True, True), (True, False), (False, True)]
    written = [
        Entry(line, {"id": f"p{line}", "title": 'a,true,true,"b"'}, carried, same, "source, true")
        for line, (carried, same) in enumerate(kinds * 3, start=9)
    ]
    spool.write(0, written, vectors(*[[1, 0]] * 12))
    slowly = [(row, one) for row, one in enumerate(spool.entries(0)) if not (one.carried and one.same)]
    assert spool.changed(0) == (12, slowly)
    assert len(slowly) == 9
    assert spool.everything(0) == (12, list(enumerate(written)))


def test_a_run_that_goes_on_has_its_token_and_no_other_has_it(tmp_path):
    with Spool(tmp_path / "a", *RUN) as one, Spool(tmp_path / "b", *RUN) as elsewhere:
        token = one.token()
        assert (len(token), one.token(), elsewhere.token() == token) == (16, token, False)
    with Spool(tmp_path / "a", *RUN) as again:
        assert again.token() == token
        again.remove()
    with Spool(tmp_path / "a", *RUN) as anew:
        assert anew.token() != token


def test_sent_marks_come_back_for_their_index_only(spool, tmp_path):
    assert spool.sent("products-1") == set()
    spool.mark_sent("products-1", [0])
    spool.mark_sent("products-1", [10])
    assert Spool(tmp_path, *RUN).sent("products-1") == {0, 10}
    assert spool.sent("products-2") == set()


def test_refused_marks_come_back_for_their_index_only(spool, tmp_path):
    assert spool.refused("products-1") == {}
    spool.mark_refused("products-1", {"a": "mapper_parsing_exception: price\nis no number"})
    spool.mark_refused("products-1", {})
    spool.mark_refused("products-1", {"壶": "again"})
    assert Spool(tmp_path, *RUN).refused("products-1") == {
        "a": "mapper_parsing_exception: price\nis no number",
        "壶": "again",
    }
    assert spool.refused("products-2") == {}


def test_what_arrived_beside_the_run_comes_back_for_its_index_only_each_once(spool, tmp_path):
    spool.mark_arrived("products-1", ["a", "壶\n"])
    spool.mark_arrived("products-1", ["a"])
    assert Spool(tmp_path, *RUN).arrived("products-1") == {"a", "壶\n"}
    assert spool.arrived("products-2") == set()


@pytest.mark.parametrize("torn", [b'["b","mapper_pars', b"[", b'["b","why"]'])
def test_a_line_of_refused_marks_that_a_kill_cut_short_is_passed_over(spool, torn):
    spool.mark_refused("products-1", {"a": "why"})
    with (spool.folder / "refused-products-1").open("ab") as file:
        file.write(torn)
    whole = {"b": "why"} if torn.endswith(b"]") else {}
    assert spool.refused("products-1") == {"a": "why"} | whole
    spool.mark_refused("products-1", {"c": "why"})
    assert spool.refused("products-1") == {"a": "why", "c": "why"} | whole


def test_a_sent_mark_that_a_kill_cut_short_does_not_run_into_the_next(spool):
    spool.mark_sent("products-1", [10, 11])
    with (spool.folder / "sent-products-1").open("a") as file:
        file.write("1")  # of 12; what came before it was sent
    spool.mark_sent("products-1", [12, 13])
    assert spool.sent("products-1") == {1, 10, 11, 12, 13}


def test_a_removed_spool_leaves_nothing_and_can_begin_again(spool, tmp_path):
    spool.write(0, entries("a"), vectors([1, 0]))
    spool.mark_sent("products-1", [0])
    spool.remove()
    assert list(tmp_path.iterdir()) == []
    with Spool(tmp_path, *RUN) as fresh:
        assert (fresh.segments(), fresh.sent("products-1")) == (0, set())


def test_a_folder_that_cannot_be_written_is_named_with_the_way_out(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with (
        pytest.raises(SpoolError, match=r"cannot be written .* set XDG_CACHE_HOME") as refused,
        Spool(tmp_path / "file", *RUN),
    ):
        pass
    assert str(tmp_path / "file") in str(refused.value)


def test_a_segment_that_cannot_be_written_says_to_free_some_space(spool):
    (spool.folder / "segment-000000.partial").mkdir()
    with pytest.raises(SpoolError, match=r"cannot be written .* free some space, run again"):
        spool.write(0, entries("a"), vectors([1, 0]))


@pytest.mark.parametrize(
    ("in_the_way", "step"),
    [
        ("vectors.f32", lambda spool: spool.vector_file(2)),
        ("sent-products-1", lambda spool: spool.mark_sent("products-1", [0])),
        ("refused-products-1", lambda spool: spool.mark_refused("products-1", {"a": "why"})),
        ("arrived-products-1", lambda spool: spool.mark_arrived("products-1", ["a"])),
    ],
)
def test_whatever_cannot_be_written_says_to_free_some_space(spool, in_the_way, step):
    spool.write(0, entries("a"), vectors([1, 0]))
    (spool.folder / in_the_way).mkdir()
    with pytest.raises(SpoolError, match=r"cannot be written .* free some space, run again"):
        step(spool)


def test_a_run_that_nobody_went_on_with_for_two_weeks_is_forgotten(tmp_path):
    for name, days in (("old", 15), ("young", 13)):
        with Spool(tmp_path, name) as spool:
            then = time.time() - days * 24 * 3600
            os.utime(spool.folder, (then, then))
    with Spool(tmp_path, "new"):
        left = {folder.name for folder in tmp_path.iterdir()}
    assert left == {Spool(tmp_path, name).folder.name for name in ("young", "new")}


def test_a_disk_that_is_full_when_ids_are_written_says_to_free_some_space(spool):
    enrichment = {"category": ["Mugs"], "text_hash": "0" * 16, "group": "a"}
    spool.write(0, [Entry(1, {"id": "a", "shelfwise": enrichment}, carried=False)], vectors([1, 0]))
    (spool.folder / "ids").symlink_to("/dev/full")
    with pytest.raises(SpoolError, match=r"cannot be written .* free some space, run again"):
        Spooled.of(spool, SimpleNamespace(taxonomy=Taxonomy((("Mugs",),))))

"""Encoding with stages that overlap, beside the same stages one after the other."""

import orjson
import pytest

from hand_bundle import write_hand_bundle
from shelfwise_indexer import encoding
from shelfwise_indexer.carried import Carried
from shelfwise_indexer.catalogue import DeadLetters
from shelfwise_indexer.document_encoder import DocumentEncoder
from shelfwise_indexer.encoding import MOST_SEGMENTS, Segment, Source, encode, groups, write
from shelfwise_indexer.enrich import Enricher
from shelfwise_indexer.kept_lines import KeptLines
from shelfwise_indexer.kept_vectors import KeptVectors
from shelfwise_indexer.spool import Spool

WORDS = {"kettle": [1, 0, 0], "steel": [0.9, 0.1, 0], "mug": [0, 1, 0], "tent": [0, 0, 1]}
PRODUCTS, SIZE = 47, 10


@pytest.fixture
def encoder(tmp_path):
    bundle = write_hand_bundle(tmp_path / "bundle", WORDS, [("Home", "Kettles"), ("Sports", "Tents")], threshold=0.5)
    return DocumentEncoder(bundle, "f32")


@pytest.fixture
def catalogue(tmp_path):
    kinds = list(WORDS)
    products = [{"id": f"p{n}", "title": f"{kinds[n % 4]} {kinds[n // 4 % 4]} {n}"} for n in range(PRODUCTS)]
    lines = [orjson.dumps(product) for product in products]
    lines[5:5] = [b"not json", b'{"id": "x"}']
    path = tmp_path / "c.jsonl"
    path.write_bytes(b"\n".join(lines))
    return path


def nothing_live(encoder, tmp_path):
    bundle = encoder.bundle
    return Carried(None, None, bundle.version, KeptVectors.load(tmp_path / "none", bundle.dimension))


def held(spool):
    """Everything in a spool but the moment in which it was made."""
    found = []
    for number in range(spool.segments()):
        entries = spool.entries(number)
        for entry in entries:
            entry.document["shelfwise"].pop("enriched_at")
        found.append((entries, spool.vectors(number).tolist()))
    return found


def one_after_the_other(catalogue, encoder, carried, lines, spool, letters, size):
    """The slow twin."""
    source = Source(catalogue, encoder.bundle, carried, lines, letters, size)
    for segment in source.segments(spool.segments()):
        encoded = encoder.encode([segment.texts[place] for place in segment.changed])
        write(spool, Enricher.of(encoder.bundle), segment, encoded)
    return source.lines


@pytest.mark.parametrize("done", [0, 2])
@pytest.mark.parametrize("together", [1, 2, 100])
def test_stages_that_overlap_leave_the_spool_that_one_after_the_other_leaves(
    done, together, encoder, catalogue, tmp_path, monkeypatch
):
    own = encoding.groups
    monkeypatch.setattr(encoding, "groups", lambda segments, enough, tell: own(segments, together * enough, tell))
    spools, lines, rejected = [], [], []
    for way in (encode, one_after_the_other):
        letters = DeadLetters(tmp_path / f"{way.__name__}.jsonl", catalogue)
        with Spool(tmp_path / way.__name__, "run") as spool, letters:
            for number in range(done):  # as a killed run left them
                spool.write(number, [], encoder.encode([]).vectors)
            lines.append(way(catalogue, encoder, nothing_live(encoder, tmp_path), KeptLines(), spool, letters, SIZE))
            spools.append(held(spool))
            rejected.append(letters.count)
    assert spools[0] == spools[1]
    assert sum(len(entries) for entries, _ in spools[0]) == PRODUCTS - done * SIZE
    assert lines == [PRODUCTS + 2] * 2
    assert rejected == [2, 2]


class TestGroups:
    def segment(self, number, changed):
        return Segment(number, [None] * 9, [""] * 9, {}, {}, range(changed), {})

    @pytest.mark.parametrize(
        ("changed", "ends"),
        [
            ([4, 4, 4], [[0], [1], [2]]),
            ([1, 1, 1, 1, 1, 2], [[0, 1, 2, 3], [4, 5]]),
            ([0, 0, 0], [[0, 1, 2]]),
            ([0, 3, 3, 0], [[0, 1, 2], [3]]),
            ([], []),
        ],
    )
    def test_a_group_has_enough_changed_texts(self, changed, ends):
        segments = [self.segment(number, count) for number, count in enumerate(changed)]
        found = [[one.number for one in group] for group in groups(segments, 4)]
        assert found == ends

    def test_a_group_is_not_larger_than_memory_allows(self):
        sizes = [len(group) for group in groups((self.segment(n, 0) for n in range(40)), 4)]
        assert sizes == [MOST_SEGMENTS, MOST_SEGMENTS, 40 - 2 * MOST_SEGMENTS]

    def test_the_first_changed_text_is_told_at_once(self):
        read, told = [], []

        def segments():
            for number, changed in enumerate([0, 0, 1, 0, 1]):
                read.append(number)
                yield self.segment(number, changed)

        list(groups(segments(), 4, lambda: told.append(len(read))))
        assert told == [3]


def test_products_in_words_that_the_model_does_not_know_are_told_and_wait_for_review(encoder, tmp_path, capsys):
    catalogue = tmp_path / "c.jsonl"
    titles = ["steel kettle", "不锈钢水壶", "mug", "马克杯"]
    catalogue.write_bytes(b"".join(orjson.dumps({"id": f"p{n}", "title": one}) + b"\n" for n, one in enumerate(titles)))
    letters = DeadLetters(tmp_path / "d.jsonl", catalogue)
    with Spool(tmp_path / "spool", "run") as spool, letters:
        encode(catalogue, encoder, nothing_live(encoder, tmp_path), KeptLines(), spool, letters, SIZE)
        status = [entry.document["shelfwise"]["status"] for entry in spool.entries(0)]
    assert (status[0], status[1], status[3]) == ("accepted", "review", "review")
    assert "does not know the words of 2 products, the first is p1: " in capsys.readouterr().err


def test_a_model_that_fails_ends_the_run_and_leaves_whole_segments(encoder, catalogue, tmp_path, monkeypatch):
    own, calls = DocumentEncoder.encode, []

    def fails(self, texts):
        calls.append(texts)
        if len(calls) == 3:
            raise RuntimeError("out of memory")
        return own(self, texts)

    monkeypatch.setattr(DocumentEncoder, "encode", fails)
    letters = DeadLetters(tmp_path / "d.jsonl", catalogue)
    with Spool(tmp_path / "spool", "run") as spool, letters:
        with pytest.raises(RuntimeError, match="out of memory"):
            encode(catalogue, encoder, nothing_live(encoder, tmp_path), KeptLines(), spool, letters, SIZE)
        assert spool.segments() <= 2
        assert all(len(spool.entries(number)) == SIZE for number in range(spool.segments()))

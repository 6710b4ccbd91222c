"""What is made once: by one thread, whoever asks meanwhile."""

import copy
import pickle
import threading

import pytest

from hand_bundle import write_hand_bundle
from shelfwise import encoder
from shelfwise.once import Once

THREADS = 8


class Shop:
    def __init__(self):
        self.made, self.fails = 0, 0

    @Once
    def sign(self):
        """What hangs outside."""
        self.made += 1
        threading.Event().wait(0.05)  # long enough for the other threads to come
        if self.fails:
            self.fails -= 1
            raise OSError("no paint")
        return [f"of {self.made}"]

    @Once
    def door(self):
        return [*self.sign, "with a handle"]


def asked_at_once(ask):
    """What each of several threads gets that ask in the same moment."""
    ready, got = threading.Barrier(THREADS), []

    def asks():
        ready.wait(10)
        got.append(ask())

    threads = [threading.Thread(target=asks) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return got


def test_many_threads_get_the_one_that_was_made():
    shop = Shop()
    got = asked_at_once(lambda: shop.sign)
    assert (shop.made, len(got)) == (1, THREADS)
    assert all(one is shop.sign for one in got)


def test_a_part_may_need_another():
    assert Shop().door == ["of 1", "with a handle"]


def test_what_failed_is_tried_again():
    shop = Shop()
    shop.fails = 1
    with pytest.raises(OSError, match="no paint"):
        _ = shop.sign
    assert shop.sign == ["of 2"]


def test_owners_have_their_own_and_the_class_says_what_it_is():
    assert Shop().sign is not Shop().sign
    assert Shop.sign.__doc__ == "What hangs outside."


def test_a_bundle_that_many_threads_use_first_is_compiled_once(tmp_path, monkeypatch):
    bundle, compiled, really = write_hand_bundle(tmp_path, {"kettle": (1, 0)}), [], encoder.compiled

    def counted(*arguments, **hints):
        compiled.append(threading.get_ident())
        threading.Event().wait(0.05)
        return really(*arguments, **hints)

    monkeypatch.setattr(encoder, "compiled", counted)
    got = asked_at_once(lambda: bundle.encoder)
    assert (len(compiled), len(set(map(id, got))), len(got)) == (1, 1, THREADS)


def test_a_copy_of_a_bundle_loads_its_own_model(tmp_path):
    bundle = write_hand_bundle(tmp_path, {"kettle": (1, 0)})
    before = bundle.encoder.encode_queries(["kettle"]).vectors
    for same in (copy.copy(bundle), copy.deepcopy(bundle), pickle.loads(pickle.dumps(bundle))):  # noqa: S301
        assert same == bundle
        assert same.encoder is not bundle.encoder
        assert (same.encoder.encode_queries(["kettle"]).vectors == before).all()

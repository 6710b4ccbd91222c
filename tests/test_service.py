"""What docs/service.md tells people to write works."""

import re
from pathlib import Path

import pytest

from hand_bundle import write_hand_bundle
from hand_index import document, fill
from shelfwise.index import rollback
from small_shop import LEAVES, WORDS


@pytest.mark.es
def test_a_service_that_holds_both_bundles_answers_while_the_alias_moves(
    client, alias, tmp_path, monkeypatch, elasticsearch_url
):
    [code] = re.findall(
        r"```python\n(.*?)```", (Path(__file__).parents[1] / "docs" / "service.md").read_text("utf-8"), re.DOTALL
    )
    bundle = write_hand_bundle(tmp_path / "bundle", WORDS, LEAVES)
    following = write_hand_bundle(tmp_path / "next", WORDS | {"added": (0, 0, 1)}, LEAVES)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ELASTICSEARCH_URL", elasticsearch_url)
    fill(client, alias, bundle, [document(bundle, {"id": "old", "title": "kettle"})])
    service = {}
    exec(code.replace('"products"', repr(alias)), service)  # noqa: S102
    assert [hit.id for hit in service["answer"]("kettle")] == ["old"]
    fill(client, alias, following, [document(following, {"id": "new", "title": "kettle"})])
    service["searcher"]._alias._checked_at = 0.0  # the time to look again has come
    assert [hit.id for hit in service["answer"]("kettle")] == ["new"]
    rollback(client, alias)
    service["searcher"]._alias._checked_at = 0.0
    assert [hit.id for hit in service["answer"]("kettle")] == ["old"]

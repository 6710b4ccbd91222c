"""What a model reads of products in training, and the embeddings that it is held to, are of the same text."""

import numpy as np
import pytest

from shelfwise.product import Product
from shelfwise.taxonomy import Taxonomy
from shelfwise_indexer.augment import View
from shelfwise_indexer.model import load_trunk
from shelfwise_indexer.readings import read_texts, tell_cut
from shelfwise_indexer.settings import TrainSettings
from tiny_backbone import write_tiny_backbone

pytestmark = pytest.mark.model


@pytest.mark.parametrize("prompts", [{"query": "query: "}, {"query": "query: ", "document": "passage: "}])
def test_a_prompt_that_a_backbone_puts_before_what_it_is_not_told_of_is_put_before_no_product(prompts, tmp_path):
    trunk = load_trunk(str(write_tiny_backbone(tmp_path / "tiny", ["mug", "tent"], prompts, deviation=0.2)), 16, "cpu")
    trunk.default_prompt_name = "query"
    taxonomy = Taxonomy.of([("Mugs",), ("Tents",)])
    products = [Product(id=leaf[0], title=leaf[0][:-1].lower(), categories=(leaf,)) for leaf in taxonomy.leaves]
    read = read_texts(trunk, taxonomy, products, TrainSettings(), [View(("title",), 1.0)], with_original=True)
    texts = [trunk.tokenizer.decode(ids, skip_special_tokens=True) for ids in read.tokens[0]]
    assert texts[0].replace(" ", "") == (prompts.get("document", "") + "mug").replace(" ", "")
    expected = trunk.encode(texts, prompt="", normalize_embeddings=True)
    np.testing.assert_allclose(read.original[0], expected, atol=0.02)  # of sixteen bits where the processor has them


def test_where_many_texts_are_cut_it_is_said_and_of_a_few_it_is_not(capsys):
    tell_cut([[1] * 16, *[[1] * 15] * 19], 16)
    assert capsys.readouterr().err == ""
    tell_cut([[1] * 16, *[[1] * 15] * 9], 16)
    assert (
        capsys.readouterr().err
        == "10% of the texts fill the 16 tokens that are read, and are cut there: see --max-tokens\n"
    )

"""The text that the model reads: whole titles, fair shares for the rest."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing

from shelfwise.errors import UsageError
from shelfwise.product import Product
from shelfwise.text import TextField, TextRecipe, fair_shares, field_names


@pytest.fixture(scope="module")
def tokenizer():
    """A token a word, two special ones around."""
    words = Tokenizer(WordLevel({"[UNK]": 0, "[CLS]": 1, "[SEP]": 2}, unk_token="[UNK]"))
    words.pre_tokenizer = Whitespace()
    words.post_processor = TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)])
    return words


PRODUCT = Product(
    "1", "steel mug", description="a b c d e f g h", attributes={"shop": "Mugs Cups", "material": "steel"}
)


def test_a_short_field_behind_a_long_one_is_not_pushed_out(tokenizer):
    recipe = TextRecipe(("title", "description", "shop"), tokenizer, 10)
    assert recipe.text(PRODUCT) == "steel mug a b c d Mugs Cups"  # 10 tokens - 2 special - 2 of the title - 2 of shop


def test_a_budget_holds_even_where_there_is_room(tokenizer):
    assert TextRecipe(("title", "description:3"), tokenizer, 64).text(PRODUCT) == "steel mug a b c"


def test_a_field_that_gets_nothing_is_left_out(tokenizer):
    assert TextRecipe(("title", "description", "shop"), tokenizer, 4).text(PRODUCT) == "steel mug"


def test_the_prompt_takes_its_room(tokenizer):
    recipe = TextRecipe(("title", "description", "shop"), tokenizer, 11, prompt="passage")
    assert recipe.text(PRODUCT) == "steel mug a b c d Mugs Cups"


def test_two_fields_without_budgets_are_left_to_the_models_own_limit(tokenizer):
    assert TextRecipe(("title", "description"), tokenizer, 4).text(PRODUCT) == "steel mug a b c d e f g h"


def test_the_tokenizer_given_keeps_its_truncation(tokenizer):
    tokenizer.enable_truncation(3)
    TextRecipe(("title",), tokenizer, 8)
    assert tokenizer.truncation["max_length"] == 3
    tokenizer.no_truncation()


def test_a_breadcrumb_gives_its_words(tokenizer):
    product = Product("1", "mug", attributes={"shop": "http://shop.example/travel-mugs/c/000001/"})
    assert TextRecipe(("title", "shop"), tokenizer, 64).text(product) == "mug travel mugs"


def test_names_and_budgets_are_told_apart():
    assert TextField.parse("description:40") == TextField("description", 40)
    assert TextField.parse("size:eu") == TextField("size:eu")
    assert field_names(("title", "description:40")) == ("title", "description")


@pytest.mark.parametrize("text", ["", " ", "description:0"])
def test_a_field_that_cannot_be_is_refused(text):
    with pytest.raises(UsageError, match="expected a name"):
        TextField.parse(text)


@given(st.lists(st.integers(0, 50), max_size=6), st.integers(0, 120))
def test_shares_are_fair(wanted, room):
    given = fair_shares(wanted, room)
    assert all(0 <= got <= want for got, want in zip(given, wanted, strict=True))
    assert sum(given) <= room
    assert sum(wanted) <= room or sum(given) > room - max(len(wanted), 1)
    lacking = [got for got, want in zip(given, wanted, strict=True) if got < want]
    assert not lacking or max(given) <= min(lacking) + 1

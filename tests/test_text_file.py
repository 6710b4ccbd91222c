import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from shelfwise_indexer.text_file import TextFile


@given(texts=st.lists(st.text(st.characters(exclude_categories=("Cs",))), max_size=30), data=st.data())
def test_texts_are_those_of_a_list(tmp_path_factory, texts, data):
    with TextFile(tmp_path_factory.mktemp("texts") / "texts") as file:
        for text in texts:
            file.add(text)
    assert len(file) == len(texts)
    wanted = data.draw(st.lists(st.integers(0, len(texts) - 1))) if texts else []
    assert file.at(np.array(wanted, dtype=np.int64)) == {number: texts[number] for number in wanted}

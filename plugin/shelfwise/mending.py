"""The mending: a query with misspelt words is searched for in their nearest spelling too, asking as seldom as can be.

Which words titles or brands lack, and what is nearest to each, the server says in its answer to the search. Whether no
product has a word is asked once and remembered (`Misspelt`), unless a title of the answer has it. A query of remembered
words is sent mended from the start, on a guess: the answer decides, and a wrong guess costs a request, never a hit. A
query of words that were all found right a while ago is sent without the question: looking words up is a quarter of the
server's work.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shelfwise.filters import Body
from shelfwise.misspelt import Misspelt
from shelfwise.query import MAX_WORDS_LENGTH, any_of, holds
from shelfwise.spelling import Correction, corrected, corrections

Answer = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Sent:
    """One query as it was searched for by its words."""

    words: str
    guess: str | None
    """The further reading that it was sent with; None: none."""
    answer: Answer
    """Without `suggest` where the server was not asked which words no title has: all were found right before."""
    right: Collection[str] = ()
    """Words that are not misspelt, folded."""


@dataclass(frozen=True, slots=True)
class Mended:
    """The answer to a query with the nearest spelling of its misspelt words, and what these are."""

    answer: Answer
    corrections: tuple[Correction, ...]
    reading: str | None
    """The query with its misspelt words replaced, which was searched for too; None: it has none."""


def mend(
    sent: Sequence[Sent],
    misspelt: Misspelt,
    search: Callable[[int, str | None], Body],
    ask: Callable[[Sequence[Body]], list[Answer]],
) -> list[Mended]:
    """Search again where the guess was not what the answer says.

    :param search: the body of the query at a place, with a further reading.
    """
    doubtful = [corrections(one.words, one.answer, one.right) for one in sent]
    met = {one.word: one for of_one in doubtful for one in of_one}
    known = misspelt.judged(met)
    new = sorted(met.keys() - known.keys())
    answers: list[dict[str | None, Answer]] = [{one.guess: one.answer} for one in sent]

    def ask_for(texts: Sequence[str | None], beside: Sequence[Body] = ()) -> list[Answer]:
        places = [place for place, text in enumerate(texts) if text not in answers[place]]
        given = ask([*beside, *(search(place, texts[place]) for place in places)])
        for place, answer in zip(places, given[len(beside) :], strict=True):
            answers[place][texts[place]] = answer
        return given[: len(beside)]

    # Most new words turn out to be misspelt: the search for that case travels with the question.
    supposed = dict.fromkeys(new, True) | known
    checked = ask_for(_texts(sent, doubtful, supposed), [any_of(holds(word)) for word in new])
    judged = known | {word: not answer["hits"]["total"]["value"] for word, answer in zip(new, checked, strict=True)}
    misspelt.learn({word: met[word].nearest if judged[word] else None for word in new})
    texts = _texts(sent, doubtful, judged)
    ask_for(texts)
    mended = [tuple(one for one in of_one if judged[one.word]) for of_one in doubtful]
    for one, of_one in zip(sent, mended, strict=True):
        if "suggest" in one.answer:
            misspelt.learn_right(one.words[:MAX_WORDS_LENGTH], of_one)
    return [Mended(answers[place][text], mended[place], text) for place, text in enumerate(texts)]


def _texts(
    sent: Sequence[Sent], doubtful: Sequence[Sequence[Correction]], misspelt: Mapping[str, bool]
) -> list[str | None]:
    """Each query with its misspelt words replaced; None: it has none."""
    wrong = [[one for one in of_one if misspelt[one.word]] for of_one in doubtful]
    return [corrected(one.words, of_one) if of_one else None for one, of_one in zip(sent, wrong, strict=True)]

"""The command line of the recommendations."""

import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from shelfwise.console import alias_option, show, show_for, status_of, url_option
from shelfwise.errors import UsageError

if TYPE_CHECKING:
    from shelfwise.history import Event
    from shelfwise.recommender import Recommendation

HISTORY_LINE = '{"user": "u7", "history": ["KT-7", "MG-2"]}'


@click.command()
@click.argument("id_", metavar="ID", required=False)
@alias_option
@url_option
@click.option("-k", "k", default=10, show_default=True, help="Hits.")
@click.option("--diversity", default=0.0, show_default=True, help="0 to 1: how much hits are to differ.")
@click.option("--price-band", type=float, metavar="SHARE", help="As .3 for 70 to 130 % of the product's price.")
@click.option("--text", help="Instead of ID: title and description of a product that is not indexed; needs --bundle.")
@click.option("--bundle", type=click.Path(path_type=Path), help="With --text: the bundle of the index.")
@click.option("--table", is_flag=True, help="For people, not programs.")
def similar(
    id_: str | None,
    alias: str,
    url: str | None,
    k: int,
    diversity: float,
    price_band: float | None,
    text: str | None,
    bundle: Path | None,
    table: bool,
) -> None:
    """Products like one product: same category first, no variants, nothing out of stock.

    \b
    shelfwise similar KT-1042 --alias products -k 5
    shelfwise similar KT-1042 --alias products --diversity .3 --price-band .5
    shelfwise similar --text "glass kettle with a tea strainer" --bundle bundle --alias products
    """
    from shelfwise.bundle import Bundle
    from shelfwise.recommend import SimilarProducts
    from shelfwise.server import connect

    if (id_ is None) == (text is None):
        raise UsageError("give the id of a product, or --text and --bundle for one that is not indexed")
    if text is not None and bundle is None:
        raise UsageError("--text needs --bundle, the folder of the bundle that the index was made with")
    if text is not None and price_band is not None:
        raise UsageError("--price-band needs a product with a price: give an ID, or leave it out")
    with closing(connect(url)) as client:
        products = SimilarProducts(client, alias)
        if text is not None and bundle is not None:
            show(products.similar_to_text(text, Bundle.load(bundle), k, diversity=diversity), table)
        else:
            show(products.similar(id_ or "", k, diversity=diversity, price_band=price_band), table)


@click.command()
@alias_option
@url_option
@click.option("--history", metavar="ID,ID,…", help="A person's products, oldest first; `\\,` is a comma of an id.")
@click.option("--histories", metavar="FILE|-", help="JSON lines of `user` and `history`; a line answers each.")
@click.option("-k", "k", default=10, show_default=True, help="Hits.")
@click.option("--kind", type=click.Choice(["any", "substitutes", "complements"]), default="any", show_default=True)
@click.option("--consumable", multiple=True, metavar="CATEGORY", help='What is bought again, as "Home > Coffee".')
@click.option("--table", is_flag=True, help="For people, not programs.")
def recommend(
    alias: str,
    url: str | None,
    history: str | None,
    histories: str | None,
    k: int,
    kind: Any,
    consumable: tuple[str, ...],
    table: bool,
) -> None:
    """Products for a person, from what they looked at and bought; better after `shelfwise events learn`.

    An event is a product id or an object with `product` and `time`, `kind` (view, cart, purchase), `weight`.

    \b
    shelfwise recommend --history KT-7,MG-2 --alias products -k 5
    shelfwise recommend --history KT-7 --kind complements --alias products
    shelfwise recommend --histories histories.jsonl --alias products
    """
    from shelfwise.answering import Lines
    from shelfwise.history import parse_history
    from shelfwise.recommender import Recommender
    from shelfwise.server import connect

    if (history is None) == (histories is None):
        raise UsageError("give one history, as `shelfwise recommend --history ID,ID …`, or --histories FILE")
    with closing(connect(url)) as client:
        recommender = Recommender(client, alias, consumable)
        if history is not None:
            one = parse_history(_ids(history))
            [found] = recommender.recommend_many([one], k, kind)
            if found.problem:
                raise UsageError(found.problem)
            _say("", found, kind)
            show(found.hits, table)
            return
        lines = Lines(histories or "-", HISTORY_LINE, _user_and_history)
        failed = 0
        for batch in lines.batches():
            users, events = zip(*batch, strict=True)
            for user, found in zip(users, recommender.recommend_many(events, k, kind), strict=True):
                failed += found.problem is not None
                _answer(user, found, kind, table)
        sys.exit(status_of(lines, failed))


def _ids(text: str) -> list[str]:
    from shelfwise.synonyms import at_commas

    return [id_ for part in at_commas(text) if (id_ := part.strip())]


def _answer(user: Any, found: "Recommendation", kind: str, table: bool) -> None:
    if found.problem:
        click.echo(f"user {user}: {found.problem}", err=True)
    else:
        _say(f"user {user}: ", found, kind)
    show_for("user", user, found.hits, table)


def _say(whose: str, found: "Recommendation", kind: str) -> None:
    """Which products of a history are unknown, and that nothing was found, where it is so."""
    if not found.hits:
        nothing = "nothing goes with it yet" if kind == "complements" else "there is nothing else to recommend"
        click.echo(f"{whose}{nothing}", err=True)
    if unknown := found.unknown:
        named = ", ".join(id_[:60] for id_ in unknown[:5]) + (", …" if len(unknown) > 5 else "")
        click.echo(
            f"{whose}{len(unknown)} products of the history are not in the index and were left out: {named}", err=True
        )


def _user_and_history(record: Any) -> "tuple[str | int | None, list[Event]]":
    from shelfwise.history import check_user, parse_history

    history = parse_history(record["history"])
    return (check_user(record["user"]) if "user" in record else None), history

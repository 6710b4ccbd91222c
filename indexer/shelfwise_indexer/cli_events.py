"""The command line of the event log."""

import sys

import click

from shelfwise.console import REJECTED, alias_option, emit, url_option


@click.group()
def events() -> None:
    """What a shop's event log teaches the recommendations.

    \b
    shelfwise events learn events.jsonl.gz --alias products
    """


@events.command()
@click.argument("log", metavar="EVENTS")
@alias_option
@url_option
def learn(log: str, alias: str, url: str | None) -> None:
    """Learn from EVENTS (JSON lines, also .gz, or -) which products go to the same people.

    A line is `user`, `product` and optionally `time`, `kind` (view, cart, purchase), `weight`; or `user` and `history`.
    What is told twice, a history of one user or the log as a whole, counts once.

    \b
    shelfwise events learn events.jsonl.gz --alias products
    echo '{"user": "u7", "history": ["KT-7", "MG-2"]}' | shelfwise events learn - --alias products
    """
    from shelfwise_indexer.learn_events import learn as learn_events

    learnt = learn_events(log, alias, url)
    emit(learnt.to_json())
    if learnt.rejected:
        click.echo(f"{learnt.rejected} lines were rejected, the others are learnt", err=True)
        sys.exit(REJECTED)

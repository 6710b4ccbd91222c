"""The command line of the proof: what a bundle, a search or a recommendation is worth, measured."""

import click

from shelfwise_indexer import cli_proof


@click.group()
def evaluate() -> None:
    """Measure a classifier, a search or recommendations, beside what they must beat.

    \b
    shelfwise evaluate --help
    """


evaluate.add_command(cli_proof.search)
evaluate.add_command(cli_proof.similar)

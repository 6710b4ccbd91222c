"""The command line of the proof: what a bundle, a search or a recommendation is worth, measured."""

import click


@click.group()
def evaluate() -> None:
    """Measure a classifier, a search or recommendations, beside what they must beat.

    \b
    shelfwise evaluate --help
    """

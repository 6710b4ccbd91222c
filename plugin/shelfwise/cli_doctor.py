"""The command line of the doctor."""

import sys
from pathlib import Path

import click

from shelfwise.console import FAILED, emit, url_option


@click.command()
@click.option("--bundle", type=click.Path(path_type=Path), help="Also measure this bundle, some seconds.")
@url_option
def doctor(bundle: Path | None, url: str | None) -> None:
    """What this machine and its server have, what shelfwise makes of it, and what would make it faster.

    Nothing is changed, and no login is shown. Status 0: a report, also without a server; 2: no model can run here, or
    the bundle that was named cannot be used (the report says why).

    \b
    shelfwise doctor
    shelfwise doctor --bundle bundle --url http://localhost:9200
    """
    from shelfwise.advice import table
    from shelfwise.doctor import diagnose

    diagnosis = diagnose(bundle, url)
    emit(diagnosis.to_json())
    for line in (*table(diagnosis.found), "", *diagnosis.advice):
        click.echo(line, err=True)
    if not diagnosis.works:
        sys.exit(FAILED)

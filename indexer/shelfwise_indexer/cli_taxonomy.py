"""The command line of the taxonomy."""

import sys
from pathlib import Path
from typing import Any

import click

from shelfwise.console import REJECTED, bundle_option, emit, url_option
from shelfwise.errors import UsageError


@click.group()
def taxonomy() -> None:
    """Change the categories of a shop.

    \b
    shelfwise taxonomy migrate changes.jsonl --bundle bundle --out next --alias products
    """


@taxonomy.command()
@click.argument("changes")
@bundle_option
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder for the bundle after the changes.")
@click.option("--catalogue", help="A catalogue whose categories follow.")
@click.option("--catalogue-out", type=click.Path(path_type=Path), help="JSON-lines file for that catalogue.")
@click.option("--dead-letters", type=click.Path(path_type=Path), help="Default: CATALOGUE.dead-letters.jsonl, here.")
@click.option("--alias", help="An alias whose live index follows, in place and without encoding.")
@url_option
def migrate(
    changes: str,
    bundle: Path,
    out: Path,
    catalogue: str | None,
    catalogue_out: Path | None,
    dead_letters: Path | None,
    alias: str | None,
    url: str | None,
) -> None:
    """Rename, move, merge and split categories without training again: in a bundle, a catalogue, a live index.

    CHANGES holds JSON lines of `change`, `from`, `to`, made in order: `renamed` and `moved` (a node with everything
    below it), `merged` (`from` is a list), `split` (`to` is a list). Vectors and the scores of what stays are the same
    bit for bit. A person decides where the products of a split category go: they lose it, and wait for review under
    what the parts have in common; `train --from` then learns the parts. The shop's own field `category` in the index is
    never touched. Nothing is done when a change cannot be; a run that was killed goes on when it is called again.

    \b
    shelfwise taxonomy migrate changes.jsonl --bundle bundle --out next
    shelfwise taxonomy migrate changes.jsonl --bundle bundle --out next --catalogue catalogue.jsonl \\
        --catalogue-out next.jsonl --alias products
    {"change": "renamed", "from": "Kitchen > Pots", "to": "Kitchen > Pans"}
    {"change": "moved", "from": "Kitchen > Mugs", "to": "Dining > Mugs"}
    {"change": "merged", "from": ["Dining > Mugs", "Dining > Cups"], "to": "Dining > Mugs and cups"}
    {"change": "split", "from": "Kitchen > Kettles", "to": ["Kitchen > Kettles > Electric", "Kitchen > Kettles > Hob"]}
    """
    from shelfwise.bundle import Bundle
    from shelfwise.live_index import live
    from shelfwise.server import connect
    from shelfwise_indexer.bundle_migration import migrate_bundle
    from shelfwise_indexer.index_migration import check_belongs, migrate_index
    from shelfwise_indexer.relabel import carried_paths, has_followed, relabel
    from shelfwise_indexer.taxonomy_changes import Changes

    if (catalogue is None) != (catalogue_out is None):
        raise UsageError("--catalogue and --catalogue-out go together: what is read, and what is written")
    if catalogue == "-":
        raise UsageError("--catalogue -: a file is needed here, as it is read twice: write standard input into one")
    made, before = Changes.read(changes), Bundle.load(bundle)
    carried = carried_paths(catalogue) if catalogue else set()
    # A run that was killed has checked the changes, and may have written the catalogue over the one that it read.
    if not (carried and (out / "bundle.json").is_file() and has_followed(carried, made)):
        made.check({*before.taxonomy.leaves, *carried})
    client = connect(url) if alias else None
    try:
        index = live(client, alias) if client and alias else None

        def check(version: str) -> None:
            if index:
                check_belongs(index, before.version, version)

        after = migrate_bundle(before, made, out, check)
        done: dict[str, Any] = {
            "bundle": str(out),
            "version": after.version,
            "from": before.version,
            "changes": len(made.changes),
            "leaves": len(after.taxonomy.leaves),
            "catalogue": None,
            "index": None,
        }
        relabelled = relabel(catalogue, made, catalogue_out, dead_letters) if catalogue and catalogue_out else None
        if relabelled:
            done["catalogue"] = relabelled.to_json()
        if client and alias:
            done["index"] = migrate_index(client, alias, before, after, made).to_json()
    finally:
        if client:
            client.close()
    emit(done)
    if relabelled and relabelled.rejected:
        click.echo(f"{relabelled.rejected} rejected: see {relabelled.dead_letters}", err=True)
        sys.exit(REJECTED)

"""The options of a search."""

import click
from click.testing import CliRunner

from shelfwise.cli_settings import settings_of, settings_options
from shelfwise.search_settings import SearchSettings


def test_without_options_a_command_searches_as_the_library_does():
    found = []

    @click.command()
    @settings_options
    def searching(**given):
        found.append(settings_of(**given))

    assert CliRunner().invoke(searching, []).exit_code == 0
    assert found == [SearchSettings()]

import os
import shutil
import socket
import tempfile
import uuid
from pathlib import Path

import pytest
from elasticsearch import Elasticsearch
from hypothesis import settings

from shelfwise import local
from shelfwise.server import connect

settings.register_profile("shelfwise", deadline=None)
settings.load_profile("shelfwise")


@pytest.fixture(scope="session")
def elasticsearch_url():
    """A real server: SHELFWISE_TEST_URL, else one of its own, of SHELFWISE_TEST_ES_VERSION, for this session."""
    if given := os.environ.get("SHELFWISE_TEST_URL"):
        yield given
        return
    # Not below pytest's own folder: the server does not run as root and may not enter there.
    data = Path(tempfile.mkdtemp(prefix="shelfwise-tests-"))
    data.chmod(0o755)
    try:
        yield local.start(os.environ.get("SHELFWISE_TEST_ES_VERSION"), _free_port(), data).url
    finally:
        local.stop(data)
        shutil.rmtree(data, ignore_errors=True)


@pytest.fixture
def own_folders(tmp_path, monkeypatch):
    """A cache and a current folder of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="session")
def client(elasticsearch_url):
    client = connect(elasticsearch_url)
    yield client
    client.close()


@pytest.fixture
def alias(client):
    """An alias of this test alone; what it made is deleted afterwards."""
    name = f"test-{uuid.uuid4().hex[:12]}"
    yield name
    delete_indices(client, name)


def delete_indices(client: Elasticsearch, prefix: str) -> None:
    for index in client.indices.get(index=f"{prefix}*", expand_wildcards="open,closed"):
        client.indices.delete(index=index)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class _ElasticsearchWasAsked:
    """Fails a run in which no `es` test ran, or any was skipped, when SHELFWISE_REQUIRE_ES=1."""

    def __init__(self) -> None:
        self.ran = 0
        self.skipped: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if "es" in report.keywords:
            self.ran += report.when == "call" and not report.skipped
            if report.skipped:
                self.skipped.append(report.nodeid)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.complaint and session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self.complaint:
            terminalreporter.write_line(f"SHELFWISE_REQUIRE_ES=1, but {self.complaint}", red=True)

    @property
    def complaint(self) -> str:
        if self.skipped:
            return f"tests against a real Elasticsearch were skipped: {', '.join(self.skipped)}"
        return "" if self.ran else "no test against a real Elasticsearch ran"


def pytest_configure(config: pytest.Config) -> None:
    counts = not hasattr(config, "workerinput")  # several processes are counted where their reports come together
    if counts and os.environ.get("SHELFWISE_REQUIRE_ES") == "1":
        config.pluginmanager.register(_ElasticsearchWasAsked())

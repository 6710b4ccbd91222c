"""One response of many: whole, or an error that says what is missing."""

import pytest

from shelfwise.errors import ServerError, UsageError
from shelfwise.server import address, connect, reason_of, whole

SHARDS = {"total": 2, "successful": 2, "skipped": 0, "failed": 0}
REASON = {"reason": {"type": "es_rejected_execution_exception", "reason": "the queue is full"}}


def test_a_whole_response_is_given_back():
    response = {"status": 200, "timed_out": False, "_shards": SHARDS, "hits": {"hits": []}}
    assert whole(response, "searching") is response


@pytest.mark.parametrize(
    ("response", "says"),
    [
        ({"status": 400, "error": {"type": "parsing_exception", "reason": "no such query"}}, "answered 400: parsing_"),
        (
            {"timed_out": False, "_shards": {**SHARDS, "failed": 1, "failures": [REASON]}},
            "1 of 2 shards failed: es_rej",
        ),
        ({"timed_out": True, "_shards": SHARDS}, "ran out of time"),
    ],
)
def test_a_part_is_never_passed_off_as_all(response, says):
    with pytest.raises(ServerError, match=f"^reading the events: .*{says}"):
        whole(response, "reading the events")


@pytest.mark.parametrize(
    "url", ["http://u:12/34secret@localhost:9200", "http://u:1#secret@localhost", "http://u:1?s@h"]
)
def test_a_password_that_cuts_a_url_short_is_not_shown(url):
    for reads in (connect, lambda given: address(given, {})):
        with pytest.raises(UsageError, match="%2F %3F and %23") as refused:
            reads(url)
        assert "secret" not in str(refused.value)


@pytest.mark.parametrize("url", ["http://local host:9200", "http://[fe80::1%25eth0]:9200"])
def test_a_host_that_no_client_takes_is_named(url):
    with pytest.raises(UsageError, match="names no server: expected a URL such as"):
        connect(url)


@pytest.mark.parametrize(
    "url", ["me:secret@127.0.0.1:9200", "me@secret.example", "ftp://me:secret@x", "me:12/secret@x"]
)
def test_a_login_without_http_before_it_is_not_shown(url):
    for reads in (connect, lambda given: address(given, {})):
        with pytest.raises(UsageError, match=r"does not begin with http:// or https://") as refused:
            reads(url)
        assert "secret" not in str(refused.value)


@pytest.mark.parametrize("url", ["http://search.example:9200 ", "\thttp://search.example:9200\n"])
def test_blanks_around_a_url_are_none_of_it(url):
    assert address(url, {}) == address(None, {"ELASTICSEARCH_URL": url}) == "http://search.example:9200"
    assert address(None, {"ELASTICSEARCH_URL": " "}) == "http://localhost:9200"


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"error": {"type": "null_pointer_exception", "reason": None}}, "null_pointer_exception: no reason given"),
        ({"error": {"type": None, "reason": "closed"}}, "error: closed"),
        ({"error": None}, "no reason given"),
        ("", "no reason given"),
        (None, "no reason given"),
    ],
)
def test_a_reason_that_the_server_does_not_give_is_called_that(body, says):
    assert reason_of(body) == says

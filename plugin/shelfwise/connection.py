"""The connection: HTTP to the server, shared with no other process, and nothing taken for its answer that is not."""

import os
from typing import Any

from elastic_transport import TransportError, Urllib3HttpNode

NOT_FOUND = 404


class ForeignAnswer(TransportError):
    """Something other than Elasticsearch answered, such as a proxy with a page of its own."""


class Connection(Urllib3HttpNode):
    """The connections to a node that are kept open; a child process gets new ones.

    Two processes on one connection would read each other's answers.
    """

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self._process = os.getpid()

    def perform_request(self, *args: Any, **options: Any) -> Any:
        """As `Urllib3HttpNode`'s.

        :raises ForeignAnswer: it lacks the header that Elasticsearch gives all its answers, from 7.14 on.
        """
        if self._process != os.getpid():
            Connection.__init__(self, self.config)
        answer = super().perform_request(*args, **options)
        told = answer.meta.status < 400 or answer.meta.status == NOT_FOUND  # of others the status says enough
        if told and answer.meta.headers.get("x-elastic-product") != "Elasticsearch":
            kind = answer.meta.headers.get("content-type", "of no kind")
            raise ForeignAnswer(f"what answered is not Elasticsearch (status {answer.meta.status}, {kind})")
        return answer

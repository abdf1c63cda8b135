"""The client of a cluster's API server that says plainly when nobody is there."""

from __future__ import annotations

from typing import Any, Protocol

import urllib3
from kubernetes import client

from ....errors import Unavailable


class HasApi(Protocol):
    """What can be asked through an API server: any cluster."""

    @property
    def api(self) -> client.ApiClient:
        """Its client."""


class HasLearner(HasApi, Protocol):
    """And as whom the learner's files are applied."""

    @property
    def learner(self) -> client.ApiClient:
        """The client that may do what the learner may."""


class Client(client.ApiClient):  # type: ignore[misc]
    """As the library's; a server that does not answer is `Unavailable`, not an error of the HTTP library below it.

    :param cluster: its name, for the message.
    """

    def __init__(self, configuration: client.Configuration, cluster: str) -> None:
        super().__init__(configuration)
        self.cluster = cluster

    def call_api(self, *words: Any, **more: Any) -> Any:
        """One request."""
        try:
            return super().call_api(*words, **more)
        except urllib3.exceptions.HTTPError as error:
            raise Unavailable(
                f"The API server of the cluster {self.cluster} does not answer: {error}",
                fix="uv run llmlab cluster status",
            ) from None

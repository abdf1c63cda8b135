"""What can be asked of a running llama-server over HTTP, as plain Python values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..errors import LabError
from ..system.local_client import local_client

if TYPE_CHECKING:
    import httpx


class Api:
    """The questions; `url`, `key`, `prefix` and `running` come from whoever owns the server."""

    url: str
    key: str | None
    prefix: str
    running: bool
    exit_code: int | None
    timeout: float = 60.0  # seconds for one question
    _client: httpx.Client | None = None

    def close_client(self) -> None:
        """Let the connections go."""
        if self._client is not None:
            self._client.close()
            self._client = None

    @property
    def http(self) -> httpx.Client:
        """An HTTP client for this server. One connection a request: it closes them after each reply."""
        if self._client is None:
            headers = {"Connection": "close"}
            if self.key:
                headers["Authorization"] = f"Bearer {self.key}"
            self._client = local_client(
                timeout=self.timeout, base_url=self.url + self.prefix, headers=headers
            )
        return self._client

    def get(self, path: str) -> Any:
        """GET a JSON document.

        :raises LabError: when the server is not there or answers with an error (its own words).
        """
        return self._json("GET", path)

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """POST a JSON document and return the reply's. Errors as in `get`."""
        return self._json("POST", path, body)

    def _json(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        reply = self._request(method, path, body)
        return reply.json()

    def _request(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> httpx.Response:
        import httpx

        try:
            reply = self.http.request(method, path, json=body)
        except httpx.HTTPError as error:
            state = "it runs" if self.running else f"it has ended with code {self.exit_code}"
            raise LabError(
                f"No answer from llama-server: {error} ({state}).", where=self.url + path
            ) from None
        if reply.is_error:
            raise LabError(
                f"llama-server answered {reply.status_code}: {_message(reply)}", where=self.url + path
            )
        return reply

    def health(self) -> int:
        """The status of /health: 200 ready, 503 loading, 0 not there."""
        import httpx

        try:
            return self.http.get("/health").status_code
        except httpx.HTTPError:
            return 0

    def props(self) -> dict[str, Any]:
        """/props: `total_slots`, `default_generation_settings.n_ctx` (tokens per slot), ..."""
        return dict(self.get("/props"))

    def slots(self) -> list[dict[str, Any]]:
        """/slots: one entry a slot, with `n_ctx` (tokens) and `is_processing`."""
        return list(self.get("/slots"))

    def metrics(self) -> dict[str, float]:
        """/metrics as plain numbers, names without the `llamacpp:` prefix.

        Counters move when a request *ends*; the gauges reset on every scrape, so use `counters_since`.
        """
        return numbers(self._request("GET", "/metrics").text)

    def counters_since(self, before: Mapping[str, float]) -> dict[str, float]:
        """How far each `*_total` counter has moved since an earlier `metrics()`."""
        return {
            name: value - before.get(name, 0.0)
            for name, value in self.metrics().items()
            if name.endswith("_total")
        }

    def complete(self, prompt: str, *, max_tokens: int = 32) -> str:
        """The text that follows `prompt`."""
        body = {"prompt": prompt, "n_predict": max_tokens, "temperature": 0}
        return str(self.post("/completion", body)["content"])


class Remote(Api):
    """A llama-server that is no process of ours (in a container, behind a door), asked at its address.

    :param timeout: seconds for one question.
    """

    running = True
    exit_code = None
    prefix = ""

    def __init__(self, url: str, *, key: str | None = None, timeout: float = 60.0) -> None:
        self.url, self.key, self.timeout = url, key, timeout

    def __enter__(self) -> Remote:
        return self

    def __exit__(self, *_: object) -> None:
        self.close_client()


def numbers(text: str) -> dict[str, float]:
    """Prometheus text as plain numbers, without labels and names without the `llamacpp:` prefix."""
    from prometheus_client.parser import text_string_to_metric_families

    return {
        sample.name.removeprefix("llamacpp:"): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if not sample.labels
    }


def _message(reply: httpx.Response) -> str:
    try:
        return str(reply.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return reply.text[:200].strip() or reply.reason_phrase

"""A local AWS endpoint: moto as an owned process on a free port. No request leaves this machine, and no real credential is read."""

from __future__ import annotations

import os
import sys
import threading
import time
from types import TracebackType
from typing import Any

import httpx

from ...errors import Unavailable
from ...serve.ports import free_port
from ...system.local_client import local_client
from ...system.owned import Process
from ...system.scratch import Scratch

REGION = "us-east-1"
#: What stands in for AWS, as a verdict says it.
STANDS_IN = "moto, a local stand-in for AWS: no packet flows, nothing is billed"
#: boto3's clients may be used by many threads, and are made by one at a time (boto3 guide, "Multithreading").
_MAKING = threading.Lock()
WITHIN = 240  # seconds; moto takes two on a quiet machine, and over a minute beside twenty compilers; a dead one is said at once


def environment(url: str) -> dict[str, str]:
    """The environment in which Terraform, boto3 and scripts meet the AWS at an address, and cannot meet another."""
    mine = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AWS_", "TF_", "BOTO_"))
        and name.lower() not in ("http_proxy", "https_proxy", "all_proxy")
    }
    return mine | {
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
        # The learner's own profiles, and whatever they point at, are out of reach.
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }


class AwsEndpoint:
    """AWS as far as Terraform and boto3 can tell, empty at first. It ends with its context, and with the process that made it.

    :raises LabError: when it does not answer, with the last lines that it wrote.
    """

    def __init__(self) -> None:
        self.port = free_port()  # where it listens
        self.url = f"http://127.0.0.1:{self.port}"  # what AWS_ENDPOINT_URL says
        self._scratch = Scratch("folder of a local AWS")
        self.folder = self._scratch.path  # its own, for its log
        self._log = self.folder / "moto.log"
        try:
            self._process = Process(
                [sys.executable, "-m", "llmlab.tiers.aws.moto_server", str(self.port)],
                label=f"local AWS endpoint on port {self.port}",
                log=self._log,
                env=self.env(),
            )
            self._wait()
        except BaseException:
            self.close()
            raise

    def env(self) -> dict[str, str]:
        """The environment in which this AWS is met, and no other."""
        return environment(self.url)

    def _wait(self) -> None:
        deadline = time.monotonic() + WITHIN
        while time.monotonic() < deadline:
            code = self._process.wait(0.1)
            if code is not None:
                raise Unavailable(f"The local AWS endpoint ended with code {code}.", where=self._tail())
            try:
                with local_client() as client:
                    client.get(f"{self.url}/moto-api/")
                return
            except httpx.HTTPError:
                continue
        raise Unavailable(
            f"The local AWS endpoint did not answer within {WITHIN} s.", where=self._tail() or self.url
        )

    def _tail(self) -> str:
        return self._log.read_text(errors="replace").strip()[-400:] if self._log.exists() else ""

    @property
    def running(self) -> bool:
        """Whether it is still there."""
        return self._process.poll() is None

    def check(self) -> None:
        """Say so if it is gone: what was applied is gone with it.

        :raises Unavailable: then.
        """
        if not self.running:
            raise Unavailable(
                "The local AWS endpoint has ended, and all that was created went with it.",
                where=self._tail()[-200:] or f"port {self.port}",
                fix="lab.terraform() starts a new one, with an empty account",
            )

    def client(self, service: str) -> Any:
        """A boto3 client of one service here."""
        import boto3
        from botocore.config import Config

        with _MAKING:
            return boto3.client(
                service,
                endpoint_url=self.url,
                region_name=REGION,
                aws_access_key_id="local",
                aws_secret_access_key="local",
                config=Config(proxies={}, retries={"max_attempts": 1}),
            )

    def reset(self) -> None:
        """Empty the account: as fresh as after the start.

        :raises LabError: when it is gone.
        """
        self.check()
        with local_client(timeout=30) as client:
            client.post(f"{self.url}/moto-api/reset").raise_for_status()

    def close(self) -> None:
        """End it; may be called twice."""
        if hasattr(self, "_process"):
            self._process.kill()
        self._scratch.close()

    def __enter__(self) -> AwsEndpoint:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

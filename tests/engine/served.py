"""A server process for these tests: started from an argv, ready or dead within a deadline, always ended."""

from __future__ import annotations

import contextlib
import json
import re
import signal
import subprocess
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path


class Served:
    """One server on a free port; `log` grows while it runs."""

    def __init__(self, argv, *flags, model, env=None):
        command = [*argv, "--model", str(model), "--port", "0", "-t", "1", *flags]
        self.log: list[str] = []
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env
        )
        self._listening = threading.Event()
        self.port = 0
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        if not self._listening.wait(20) or not self.port:
            self.stop()
            raise AssertionError("no server: " + "".join(self.log))

    def _read(self):
        for line in self.process.stdout:
            self.log.append(line)
            found = re.search(r"listening on http://127\.0\.0\.1:(\d+)", line)
            if found:
                self.port = int(found[1])
                self._listening.set()
        self._listening.set()

    def wait_for_handlers(self):
        """Until the process catches SIGTERM (Linux: SigCgt), a moment after it says that it listens."""
        bit = 1 << (signal.SIGTERM - 1)
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            text = Path(f"/proc/{self.process.pid}/status").read_text()
            if int(re.search(r"SigCgt:\s*(\w+)", text)[1], 16) & bit:
                return
        raise AssertionError("no SIGTERM handler within 5 s")

    def request(self, path, body=None, headers=None):
        """(status, body as JSON or text)."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}",
            data,
            {"Content-Type": "application/json", **(headers or {})},
        )
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                status, text = answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            status, text = error.code, error.read().decode()
        with contextlib.suppress(ValueError):
            return status, json.loads(text)
        return status, text

    def stop(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._reader.join(5)
        self.process.stdout.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

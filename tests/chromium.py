"""Headless Chromium, driven over its debugging pipe: one browser for many looks at pages."""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import os
import select
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser")
_OPTIONS = (
    "--headless=new --no-sandbox --disable-gpu --no-first-run --disable-extensions "
    "--disable-background-networking --disable-component-update --disable-dev-shm-usage "
    "--remote-debugging-pipe"
).split()
_PATIENCE = 300.0  # seconds for one answer, on a machine that does other things too


@dataclass
class Look:
    """What the browser has to say of a page that it loaded.

    Attributes:
        console: errors and warnings.
        requests: what the page asked for, in the order of asking.
        blocked: those that the policy of the page did not let out.
    """

    console: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    blocked: list[str] = field(default_factory=list)

    @property
    def external(self) -> list[str]:
        """Requests that are neither for a file nor for data inside the page."""
        return [url for url in self.requests if not url.startswith(("file:", "data:"))]


class Browser:
    """A browser with one tab. Messages are JSON between null bytes, to its descriptor 3, from 4."""

    def __init__(self, commands: int, answers: int, log: Path) -> None:
        self.commands, self.answers, self.log = commands, answers, log
        self.rest, self.count, self.session = b"", 0, None
        self.events: list[dict[str, Any]] = []
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        attached = self.send("Target.attachToTarget", targetId=target, flatten=True)
        self.session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")

    def send(self, method: str, **params: Any) -> dict[str, Any]:
        """One command; what happens meanwhile is kept in `events`."""
        self.count += 1
        message = {"id": self.count, "method": method, "params": params}
        if self.session is not None:
            message["sessionId"] = self.session
        os.write(self.commands, json.dumps(message).encode() + b"\0")
        while (answer := self._receive()).get("id") != self.count:
            self.events.append(answer)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']['message']}")
        return answer["result"]

    def open(self, path: Path, *, width: int, height: int = 800, dark: bool = False) -> Look:
        """Load a file in a window of this size, in pixels of CSS, and wait until all is there."""
        self.send(
            "Emulation.setDeviceMetricsOverride", width=width, height=height,
            deviceScaleFactor=1, mobile=width < 600,
        )  # fmt: skip
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.send("Emulation.setEmulatedMedia", features=[scheme])
        self.events.clear()
        self.send("Page.navigate", url=path.resolve().as_uri())
        while not any(event.get("method") == "Page.loadEventFired" for event in self.events):
            self.events.append(self._receive())
        # Messages about the page itself may follow the loading.
        self.evaluate("new Promise(done => requestAnimationFrame(() => setTimeout(done, 50)))")
        return _look(self.events)

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression in the page."""
        answer = self.send(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        if "exceptionDetails" in answer:
            raise RuntimeError(f"{expression}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def picture(self, *, whole: bool = False) -> bytes:
        """The window, or the whole page, as PNG."""
        answer = self.send("Page.captureScreenshot", captureBeyondViewport=whole)
        return base64.b64decode(answer["data"])

    def _receive(self) -> dict[str, Any]:
        until = time.monotonic() + _PATIENCE
        while b"\0" not in self.rest:
            ready, _, _ = select.select([self.answers], [], [], max(0.0, until - time.monotonic()))
            part = os.read(self.answers, 1 << 16) if ready else b""
            if not part:
                raise RuntimeError(f"chromium does not answer: {self.log.read_text()[-2000:]}")
            self.rest += part
        message, _, self.rest = self.rest.partition(b"\0")
        return json.loads(message)


@contextlib.contextmanager
def browser() -> Iterator[Browser]:
    """Start a browser with a profile of its own, and end it."""
    assert PROGRAM is not None, "chromium is not installed"
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        log = Path(profile, "log")
        pid, commands, answers = _start(PROGRAM, profile, log)
        try:
            yield Browser(commands, answers, log)
        finally:
            os.close(commands)
            os.close(answers)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def _start(program: str, profile: str, log: Path) -> tuple[int, int, int]:
    pipes = [*os.pipe(), *os.pipe()]
    # Far from 3 and 4, which the browser uses, so that neither is overwritten on the way.
    its_end, commands, answers, its_other = (
        fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in pipes
    )
    for end in pipes:
        os.close(end)
    pid = os.posix_spawn(
        program, [program, *_OPTIONS, f"--user-data-dir={profile}"], os.environ,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
            (os.POSIX_SPAWN_OPEN, 2, str(log), os.O_WRONLY | os.O_CREAT, 0o600),
            (os.POSIX_SPAWN_DUP2, its_end, 3),
            (os.POSIX_SPAWN_DUP2, its_other, 4),
        ],
        setpgroup=0,
    )  # fmt: skip
    os.close(its_end)
    os.close(its_other)
    return pid, commands, answers


def _look(events: list[dict[str, Any]]) -> Look:
    look, asked = Look(), {}
    for event in events:
        params = event.get("params", {})
        match event.get("method"):
            case "Runtime.consoleAPICalled" if params["type"] in ("error", "warning", "assert"):
                look.console.append(str([a.get("value") for a in params["args"]]))
            case "Runtime.exceptionThrown":
                look.console.append(params["exceptionDetails"]["text"])
            case "Log.entryAdded":
                look.console.append(params["entry"]["text"])
            case "Network.requestWillBeSent":
                asked[params["requestId"]] = params["request"]["url"]
            case "Network.loadingFailed" if params.get("blockedReason") == "csp":
                look.blocked.append(asked[params["requestId"]])
    look.requests.extend(asked.values())
    return look

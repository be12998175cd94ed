"""A headless Chromium of the tests' own, spoken to over a pipe by its DevTools protocol: no server, no port, no library."""

import base64
import fcntl
import itertools
import json
import os
import select
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from packages import need, program

CHROMIUM = {"chromium": "chromium"}
PATIENCE = 60.0  # seconds for one answer
FLAGS = (
    "--headless=new", "--remote-debugging-pipe", "--no-first-run", "--no-default-browser-check", "--disable-gpu",
    "--disable-extensions", "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-dev-shm-usage", "--hide-scrollbars", "--force-color-profile=srgb", "--mute-audio",
)  # fmt: skip
KEYS = {"Enter": (13, "\r"), " ": (32, " "), "Escape": (27, ""), "Tab": (9, "")}


class Browser:
    """One process; pages are opened in it one after the other. ``folder``: its profile, its own."""

    def __init__(self, folder: Path) -> None:
        need("chromium", CHROMIUM)
        ours, theirs = _pipe(), _pipe()  # what it reads, what it writes
        extra = ("--no-sandbox",) if os.geteuid() == 0 else ()
        command = [program("chromium"), *FLAGS, *extra, f"--user-data-dir={folder}", "about:blank"]
        shell = f'exec "$0" "$@" 3<&{ours[0]} 4>&{theirs[1]}'
        self.process = subprocess.Popen(
            ["/bin/bash", "-c", shell, *command], pass_fds=(ours[0], theirs[1]),
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(ours[0])
        os.close(theirs[1])
        self.write, self.read, self.rest = ours[1], theirs[0], b""
        self.numbers = itertools.count(1)
        self.pages: dict[str, Page] = {}

    def call(self, method: str, session: str = "", **said: Any) -> dict[str, Any]:
        """The answer to one command; what happens meanwhile goes to the page that it happened to."""
        number = next(self.numbers)
        text = {"id": number, "method": method, "params": said} | ({"sessionId": session} if session else {})
        os.write(self.write, json.dumps(text).encode() + b"\0")
        end = time.monotonic() + PATIENCE
        while True:
            answer = self.next(end - time.monotonic())
            if answer.get("id") == number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                result: dict[str, Any] = answer["result"]
                return result

    def next(self, patience: float) -> dict[str, Any]:
        """One message."""
        while b"\0" not in self.rest:
            assert select.select([self.read], [], [], max(patience, 0))[0], "the browser does not answer"
            more = os.read(self.read, 1 << 20)
            assert more, "the browser has ended"
            self.rest += more
        one, _, self.rest = self.rest.partition(b"\0")
        said: dict[str, Any] = json.loads(one)
        if "method" in said and said.get("sessionId") in self.pages:
            self.pages[said["sessionId"]].happened(said["method"], said["params"])
        return said

    def close(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        os.close(self.write)
        os.close(self.read)

    @contextmanager
    def page(self, width: int = 1200, height: int = 900, scripts: bool = True) -> Iterator["Page"]:
        """An empty page of that many pixels; without scripts as where somebody forbade them."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self.pages[session] = page = Page(self, session)
        for domain in ("Page", "Runtime", "Log", "Network"):
            page.call(f"{domain}.enable")
        page.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        page.call("Emulation.setScriptExecutionDisabled", value=not scripts)
        try:
            yield page
        finally:
            del self.pages[session]
            self.call("Target.closeTarget", targetId=target)


class Page:
    """One page. ``errors``: what its console complained of; ``requests``: what it asked for beside itself; ``dialogs``."""

    def __init__(self, browser: Browser, session: str) -> None:
        self.browser, self.session = browser, session
        self.errors: list[str] = []
        self.requests: list[str] = []
        self.dialogs: list[str] = []
        self.loaded = False

    def call(self, method: str, **said: Any) -> dict[str, Any]:
        return self.browser.call(method, self.session, **said)

    def happened(self, what: str, said: dict[str, Any]) -> None:
        if what == "Page.loadEventFired":
            self.loaded = True
        elif what == "Page.javascriptDialogOpening":
            self.dialogs.append(said["message"])
        elif what == "Runtime.exceptionThrown":
            self.errors.append(str(said["exceptionDetails"]))
        elif what == "Log.entryAdded" and said["entry"]["level"] in ("error", "warning"):
            self.errors.append(said["entry"]["text"])
        elif what == "Runtime.consoleAPICalled":
            self.errors.append(str(said["args"]))
        elif what == "Network.requestWillBeSent" and not said["request"]["url"].startswith("data:"):
            self.requests.append(said["request"]["url"])

    def open(self, file: Path, fragment: str = "") -> None:
        """Load a file, and wait until all of it is there."""
        self.loaded = False
        self.call("Page.navigate", url=file.resolve().as_uri() + (f"#{fragment}" if fragment else ""))
        end = time.monotonic() + PATIENCE
        while not self.loaded:
            self.browser.next(end - time.monotonic())

    def run(self, script: str) -> Any:
        """The value of a JavaScript expression; of a promise, what it comes to."""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait(self, script: str) -> None:
        """Until an expression is true."""
        end = time.monotonic() + PATIENCE
        while not self.run(script):
            assert time.monotonic() < end, f"never: {script}"
            time.sleep(0.02)

    def place(self, selector: str) -> tuple[float, float]:
        """The middle of the first line of an element, scrolled into view, and the page has noticed."""
        self.run(
            f"document.querySelector({json.dumps(selector)}).scrollIntoView({{block: 'center', behavior: 'instant'}})"
        )
        self.run("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done())))")
        rect = f"document.querySelector({json.dumps(selector)}).getClientRects()[0]"
        x, y = self.run(f"(r => [r.x + r.width / 2, r.y + r.height / 2])({rect})")
        return x, y

    def click(self, selector: str) -> None:
        x, y = self.place(selector)
        for what in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=what, x=x, y=y, button="left", clickCount=1)

    def hover(self, selector: str) -> None:
        x, y = self.place(selector)
        self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def press(self, key: str) -> None:
        code, text = KEYS[key]
        said = {"key": key, "code": key, "windowsVirtualKeyCode": code}
        self.call("Input.dispatchKeyEvent", type="keyDown", **said, **({"text": text} if text else {}))
        self.call("Input.dispatchKeyEvent", type="keyUp", **said)

    def type(self, text: str) -> None:
        self.call("Input.insertText", text=text)

    def emulate(self, dark: bool = False, print_: bool = False) -> None:
        features = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.call("Emulation.setEmulatedMedia", media="print" if print_ else "", features=features)

    def screenshot(self, path: Path, whole: bool = True) -> None:
        answer = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(answer["data"]))

    def pdf(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self.call("Page.printToPDF", preferCSSPageSize=True)["data"]))


def _pipe() -> tuple[int, int]:
    """Both ends above the numbers that the browser takes for its own."""
    low = os.pipe()
    high = fcntl.fcntl(low[0], fcntl.F_DUPFD_CLOEXEC, 10), fcntl.fcntl(low[1], fcntl.F_DUPFD_CLOEXEC, 10)
    for one in low:
        os.close(one)
    return high

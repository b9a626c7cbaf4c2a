"""A headless Chromium that tests look at pages with, by its own protocol over two pipes.

Nothing has to be installed for it but Chromium itself: `chromium` from a package, as Debian has it, or
``$CHROMIUM``; tests are skipped where there is none.
"""

import base64
import json
import os
import select
import shutil
import subprocess
import time

__all__ = ["Browser", "executable"]

_PATIENCE = 60.0  # seconds for an answer


def executable():
    """Return the path of Chromium, or None."""
    names = (os.environ.get("CHROMIUM", ""), "chromium", "chromium-browser", "google-chrome")
    return next((found for name in names if name and (found := shutil.which(name))), None)


class Browser:
    """Chromium without a window.

    Parameters
    ----------
    program
        Its path.
    folder
        Where it may write.
    """

    def __init__(self, program, folder):
        read_theirs, self._to = os.pipe()
        self._from, write_theirs = os.pipe()
        options = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--remote-debugging-pipe",
            "--no-first-run",
        ]
        options += [
            "--disable-background-networking",
            "--hide-scrollbars",
            f"--user-data-dir={folder}/profile",
        ]
        started = f'exec "$0" "$@" 3<&{read_theirs} 4>&{write_theirs}'
        with open(f"{folder}/chromium.log", "wb") as log:
            self._process = subprocess.Popen(
                ["bash", "-c", started, program, *options, "about:blank"],
                pass_fds=(read_theirs, write_theirs),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        os.close(read_theirs)
        os.close(write_theirs)
        self._left, self._count, self.events = b"", 0, []

    def page(self, path, width=1280, height=900, dark=False):
        """Return a page that a file, or a URL, was opened in, when it is loaded."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = Page(self, session, target)
        for domain in ("Page", "Runtime", "Network", "Log"):
            page.call(f"{domain}.enable")
        page.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        theme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        page.call("Emulation.setEmulatedMedia", features=[theme])
        page.call("Page.navigate", url=path if isinstance(path, str) else path.absolute().as_uri())
        page.wait("Page.loadEventFired")
        return page

    def call(self, method, session=None, **parameters):
        """Return what a command of the protocol answers."""
        self._count += 1
        asked = {"id": self._count, "method": method, "params": parameters}
        if session is not None:
            asked["sessionId"] = session
        os.write(self._to, json.dumps(asked).encode() + b"\0")
        while True:
            message = self._next()
            if message.get("id") == self._count:
                assert "error" not in message, message["error"]
                return message["result"]
            self.events.append(message)

    def wait(self, method, session):
        """Return the first event of a kind."""
        while True:
            for event in self.events:
                if event.get("method") == method and event.get("sessionId") == session:
                    return event["params"]
            self.events.append(self._next())

    def _next(self):
        until = time.monotonic() + _PATIENCE
        while b"\0" not in self._left:
            ready, _, _ = select.select([self._from], [], [], max(0.0, until - time.monotonic()))
            assert ready, "Chromium does not answer"
            part = os.read(self._from, 1 << 20)
            assert part, "Chromium has ended; its words are in chromium.log"
            self._left += part
        message, _, self._left = self._left.partition(b"\0")
        return json.loads(message)

    def close(self):
        """End it."""
        os.close(self._to)
        os.close(self._from)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class Page:
    """A page in a browser."""

    def __init__(self, browser, session, target):
        self._browser, self._session, self._target = browser, session, target

    def call(self, method, **parameters):
        return self._browser.call(method, self._session, **parameters)

    def wait(self, method):
        return self._browser.wait(method, self._session)

    def events(self, method):
        """Return what has happened of a kind."""
        self.evaluate("0")  # what is on its way comes before the answer
        mine = [e for e in self._browser.events if e.get("sessionId") == self._session]
        return [e["params"] for e in mine if e["method"] == method]

    def evaluate(self, script):
        """Return the value of an expression of JavaScript."""
        found = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def click(self, x, y):
        """Press and release the mouse at a place of the window."""
        for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
            self.mouse(kind, x, y)

    def mouse(self, kind, x, y):
        button = "none" if kind == "mouseMoved" else "left"
        self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button=button, clickCount=1)

    def press(self, key):
        """Press a key."""
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key)

    def screenshot(self, path):
        """Write what is seen into a file."""
        data = self.call("Page.captureScreenshot", format="png")["data"]
        path.write_bytes(base64.b64decode(data))

    def faults(self):
        """Return errors of scripts, and all that the page asked for or was refused."""
        thrown = [e["exceptionDetails"] for e in self.events("Runtime.exceptionThrown")]
        logged = [e["entry"]["text"] for e in self.events("Log.entryAdded") if e["entry"]["level"] == "error"]
        asked = [e["request"]["url"] for e in self.events("Network.requestWillBeSent")]
        return thrown + logged + asked[1:]  # the first is the page

    def close(self):
        self._browser.call("Target.closeTarget", targetId=self._target)

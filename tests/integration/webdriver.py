# SPDX-License-Identifier: LGPL-2.1-or-later
"""A browser, driven by the WebDriver protocol: as much of it as the test of the page in Cockpit needs."""

import base64
import json
import subprocess
import time
import urllib.error
import urllib.request

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
ENTER, ESCAPE, TAB = "\ue007", "\ue00c", "\ue004"
TIMEOUT = 30  # seconds


class Refused(Exception):
    """The driver's error: its kind, and what it says."""

    def __init__(self, kind, text):
        super().__init__(f"{kind}: {text}")
        self.kind = kind


class Browser:
    """Debian's chromium, without a window, with a profile in a folder."""

    def __init__(self, folder, port, log, language="en", dark=False):
        self.base = f"http://127.0.0.1:{port}"
        self.driver = subprocess.Popen(["chromedriver", f"--port={port}"], stdout=log, stderr=log)
        try:
            self.wait(lambda: self.request("GET", "/status")["ready"], "chromedriver")
            arguments = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                         "--window-size=1280,900", f"--user-data-dir={folder}", f"--lang={language}",
                         "--disable-background-networking", "--no-proxy-server"]
            if dark:
                arguments.append("--blink-settings=preferredColorScheme=0")
            session = self.request("POST", "/session", {"capabilities": {"alwaysMatch": {
                "browserName": "chrome", "goog:chromeOptions": {"args": arguments, "prefs": {
                    "intl.accept_languages": language}}, "goog:loggingPrefs": {"browser": "ALL"}}}})
            self.base += f"/session/{session['sessionId']}"
        except BaseException:
            self.close()
            raise

    def close(self):
        if "/session/" in self.base:
            try:
                self.request("DELETE", "")
            except (Refused, OSError):
                pass
        self.driver.terminate()
        self.driver.wait()

    def request(self, method, path, body=None):
        data = json.dumps(body or {}).encode() if method == "POST" else None
        request = urllib.request.Request(self.base + path, data, {"Content-Type": "application/json"}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            why = json.load(error)["value"]
            raise Refused(why["error"], why["message"]) from None

    def wait(self, condition, what, timeout=TIMEOUT):
        """Until it holds; an element that goes while it is looked at is looked for again."""
        end = time.monotonic() + timeout
        while True:
            try:
                value = condition()
            except (Refused, urllib.error.URLError):
                value = None
            if value:
                return value
            if time.monotonic() > end:
                raise AssertionError(f"waited {timeout} s for {what}; the page says:\n{self.text()[:3000]}")
            time.sleep(0.1)

    # ---- The page ----

    def go(self, address):
        self.request("POST", "/url", {"url": address})

    def script(self, text, *arguments):
        return self.request("POST", "/execute/sync", {"script": text, "args": list(arguments)})

    def text(self):
        try:
            return self.script("return document.body ? document.body.innerText : ''") or ""
        except (Refused, urllib.error.URLError) as error:
            return str(error)

    def picture(self, path):
        path.write_bytes(base64.b64decode(self.request("GET", "/screenshot")))

    def console(self):
        return [row["message"] for row in self.request("POST", "/se/log", {"type": "browser"})
                if row["level"] == "SEVERE"]

    # ---- Elements: by XPath, the last that is visible counts ----

    def find(self, xpath):
        found = [row[ELEMENT] for row in self.request(
            "POST", "/elements", {"using": "xpath", "value": xpath})]
        shown = [element for element in found if self.request("GET", f"/element/{element}/displayed")]
        return shown[-1] if shown else None

    def see(self, xpath, timeout=TIMEOUT):
        return self.wait(lambda: self.find(xpath), xpath, timeout)

    def see_no(self, xpath):
        self.wait(lambda: not self.find(xpath), f"no {xpath}")

    def see_text(self, text, timeout=TIMEOUT):
        self.wait(lambda: text in self.text(), repr(text), timeout)

    def click(self, xpath):
        def clicked():
            element = self.find(xpath)
            if element and self.request("GET", f"/element/{element}/enabled"):
                self.request("POST", f"/element/{element}/click")
                return True
            return False
        self.wait(clicked, f"{xpath} to be clicked")

    def type(self, xpath, text, clear=True):
        def typed():
            element = self.find(xpath)
            if clear:
                self.request("POST", f"/element/{element}/clear")
            self.request("POST", f"/element/{element}/value", {"text": text})
            return True
        self.wait(typed, f"{xpath} to be typed into")

    def keys(self, text):
        """To whatever has the focus."""
        actions = [{"type": kind, "value": key} for key in text for kind in ("keyDown", "keyUp")]
        self.request("POST", "/actions", {"actions": [{"type": "key", "id": "keyboard", "actions": actions}]})

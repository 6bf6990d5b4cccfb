#!/usr/bin/env python3
"""The page that "bitloom serve" has at /, in headless Chromium: page.py PROGRAM. Exit code 77 where there is none."""
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "page"))
from chromium import Chromium, find  # noqa: E402
from served import Served  # noqa: E402

CHECKS = (pathlib.Path(__file__).parent.parent / "page/checks.js").read_text()
ANSWERS = "[...document.querySelectorAll('#log .assistant')].map((p) => p.textContent)"


def wait_for(browser, expression, what):
    deadline = time.monotonic() + 60
    while not browser.evaluate(expression):
        assert time.monotonic() < deadline, f"not seen: {what}"
        time.sleep(0.05)


def say(browser, text):
    browser.evaluate(f"document.getElementById('text').value = {text!r}; document.getElementById('form').requestSubmit(); 0")
    wait_for(browser, "!document.getElementById('send').disabled", f"the end of the answer to {text!r}")


def go(browser, url, width, dark=False):
    browser.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 600)
    browser.call("Emulation.setEmulatedMedia", media="screen",
                 features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])
    browser.call("Page.navigate", url=url + "/")
    wait_for(browser, "document.readyState === 'complete' && !!document.getElementById('form')", "the page")


def check(browser, url):
    problems = []
    for width, dark in ((1280, False), (390, False), (390, True), (320, False)):
        go(browser, url, width, dark)
        say(browser, "Once upon a time")
        problems += [f"{width}: {problem}" for problem in browser.evaluate(CHECKS)]
    assert browser.evaluate(ANSWERS)[0], "no answer"
    assert "tokens/s" in browser.evaluate("document.getElementById('note').textContent")
    say(browser, "And then?")
    assert len(browser.evaluate(ANSWERS)) == 2
    browser.evaluate("document.getElementById('reset').click(); 0")
    assert browser.evaluate(ANSWERS) == []
    browser.evaluate("document.getElementById('temperature').value = '7'; 0")
    say(browser, "Hello")
    assert "temperature: must be" in browser.evaluate("document.querySelector('#log .error').textContent")
    elsewhere = [request for request in browser.requests if not request.startswith((url, "data:"))]
    problems += [f"asks for {request}" for request in elsewhere]
    # The browser itself logs the refused request, and hints about pages.
    problems += [f"logged: {message}" for message in browser.messages
                 if "status of 400" not in message and not message.startswith("log: verbose")]
    return problems


def main():
    if not find():
        print("skipped: no chromium (Debian: apt-get install chromium)")
        return 77
    with Served(sys.argv[1], "-n", "20") as served, Chromium() as browser:
        problems = check(browser, served.url)
    for problem in problems:
        print(problem)
    print(f"{len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())

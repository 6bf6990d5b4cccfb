#!/usr/bin/env python3
"""Opens pages in headless Chromium and fails when one is not as it should be.

  check_page.py PAGE...                      pages as files
  check_page.py --make PROGRAM [ARG...]      one made by a program; "{page}" in an ARG is the file to write
  check_page.py --finds PAGE                 a broken page: what its "expect:" comments say must be found
  --shots DIR    keeps screenshots           --axe FILE   runs axe (axe.min.js) as well

Checked wide, on a phone, in dark mode and on a very narrow screen: nothing is loaded, no error is logged, no
scrolling sideways, sizes and contrast of text, headings, names, scrolling boxes by keyboard (checks.js); and a
passage's tokens by keyboard and by mouse. Exit code 77 where there is no Chromium.
"""
import argparse
import pathlib
import re
import subprocess
import sys
import tempfile

from chromium import Chromium, find

CHECKS = (pathlib.Path(__file__).parent / "checks.js").read_text()
# name, width, dark
SCREENS = (("wide", 1280, False), ("phone", 390, False), ("dark", 1280, True), ("dark-phone", 390, True),
           ("narrow", 320, False))
CARD = ("(() => { const card = document.querySelector('.passage:not(details) .card');"
        "return card.hidden ? '' : card.innerText; })()")


def passage_problems(browser):
    """Details of tokens by keyboard, by mouse, and gone with Escape."""
    if not browser.evaluate("!!document.querySelector('.passage:not(details) .tokens')"):
        return []
    problems = []
    tokens = "document.querySelector('.passage:not(details) .tokens')"
    stops = browser.evaluate(f"[...{tokens}.children].filter((t) => t.tabIndex === 0).length")
    if stops != 1:
        problems.append(f"{stops} tokens are stops of the Tab key, not one")
    if browser.evaluate(CARD):
        problems.append("details of a token are shown before anything was done")
    browser.evaluate(f"{tokens}.firstElementChild.focus()")
    browser.press("ArrowRight")
    if browser.evaluate(f"document.activeElement === {tokens}.children[1]") is not True:
        problems.append("the right arrow does not reach the next token")
    text = browser.evaluate(CARD)
    if "%" not in text:
        problems.append(f"no choices in the details of a focused token: {text!r}")
    browser.press("Escape")
    if browser.evaluate(CARD):
        problems.append("Escape does not close the details")
    place = browser.evaluate(f"(() => {{ {tokens}.children[3].scrollIntoView({{block: 'center'}});"
                             f"const b = {tokens}.children[3].getBoundingClientRect();"
                             "return [b.left + b.width / 2, b.top + b.height / 2]; })()")
    browser.point(*place)
    if "%" not in browser.evaluate(CARD):
        problems.append("no details of a token under the mouse")
    if browser.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"):
        problems.append("the details make the page scroll sideways")
    return problems


def axe_problems(browser, axe):
    browser.evaluate(axe + "; undefined")
    return browser.evaluate("axe.run(document, {resultTypes: ['violations']}).then((r) => r.violations.map((v) => `axe "
                            "${v.id} (${v.impact}): ${v.help}: ${v.nodes.length} x ${v.nodes[0].html.slice(0, 120)}`))")


def check(page, options, axe):
    problems = []
    with Chromium() as browser:
        for name, width, dark in SCREENS:
            browser.open(page, width, dark=dark)
            found = browser.evaluate(CHECKS) + (axe_problems(browser, axe) if axe else []) + passage_problems(browser)
            problems += [f"{name}: {problem}" for problem in found]
            if options.shots:
                options.shots.mkdir(parents=True, exist_ok=True)
                browser.open(page, width, dark=dark)
                browser.screenshot(options.shots / f"{pathlib.Path(page).stem}-{name}.png")
        problems += [f"logged: {message}" for message in browser.messages]
        own = pathlib.Path(page).resolve().as_uri()
        problems += [f"asks for {url}" for url in browser.requests if url != own and not url.startswith("data:")]
    return problems


def finds(page):
    """Of a page that is broken on purpose."""
    problems = check(page, argparse.Namespace(shots=None), None)
    expected = re.findall("<!-- expect: (.*?) -->", pathlib.Path(page).read_text())
    missing = [text for text in expected if not any(text in problem for problem in problems)]
    for text in missing:
        print(f"{page}: not found: {text}")
    print(f"{len(expected) - len(missing)} of {len(expected)} defects found")
    return 1 if missing or not expected else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pages", nargs="*")
    parser.add_argument("--finds", metavar="PAGE")
    parser.add_argument("--shots", type=pathlib.Path)
    parser.add_argument("--axe", type=pathlib.Path)
    parser.add_argument("--make", nargs=argparse.REMAINDER, default=[])
    options = parser.parse_args()
    if not find():
        print("skipped: no chromium (Debian: apt-get install chromium)")
        return 77
    if options.finds:
        return finds(options.finds)
    axe = options.axe.read_text() if options.axe else None
    with tempfile.TemporaryDirectory(prefix="bitloom-page-") as directory:
        if options.make:
            options.pages.append(f"{directory}/page.html")
            command = [part.replace("{page}", options.pages[-1]).replace("{dir}", directory) for part in options.make]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        count = 0
        for page in options.pages:
            problems = check(page, options, axe)
            for problem in problems:
                print(f"{page}: {problem}")
            count += len(problems)
    print(f"{len(options.pages)} pages on {len(SCREENS)} screens: {count} problems")
    return 1 if count or not options.pages else 0


if __name__ == "__main__":
    sys.exit(main())

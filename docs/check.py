"""Read every page of the reading version in a headless Chromium, with the internet shut off, and say what is wrong:

    python docs/check.py build/site

A broken link or anchor, a missing picture, one without alternative text, a script that fails, anything that a page asks
of a foreign server, a formula that is not set, a claim or an answer in sight. Then: dark mode and the search.
"""

import os
import shutil
import sys
import threading
from contextlib import suppress
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urldefrag

from playwright.sync_api import sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync"]

IN_PLACE = """async () => {
    await window.MathJax?.startup?.promise;
    for (const image of document.images) { image.loading = "eager"; await image.decode().catch(() => 0); }
}"""
FOUND = """() => {
    const all = (selector, wanted = () => true) => [...document.querySelectorAll(selector)].filter(wanted);
    return {
        ids: all("[id]").map(e => e.id),
        links: all("a[href]").map(e => e.href),
        counts: {
            pictures: all("article img").length,
            formulas: all(".math").length,
            solutions: all(".tag_solution details").length,
            runs: all("article a", e => e.textContent.startsWith("Run it in")).length,
        },
        problems: [
            ...all("img", e => !e.naturalWidth).map(e => `no picture: ${e.src.slice(0, 100)}`),
            ...all("article img:not([alt])").map(e => `no alternative text: ${e.src.slice(0, 100)}`),
            ...all("span.xref", e => !e.closest("a")).map(e => `lost link: ${e.textContent}`),
            ...all(".math", e => !e.querySelector("mjx-container")).map(e => `not set: ${e.textContent}`),
            ...all("[data-mjx-error]").map(e => `formula: ${e.dataset.mjxError}`),
            ...all(".tag_claim, details[open]").map(e => `in sight: ${e.textContent.slice(0, 60)}`),
            ...all(".cell_output", e => /^\\s*[✓✗]/.test(e.textContent) && e.checkVisibility())
                .map(e => `in sight: ${e.textContent.slice(0, 60)}`),
        ],
    };
}"""


class Quiet(SimpleHTTPRequestHandler):
    """Serves files without a word, also to who does not wait for the end."""

    def log_message(self, *args):
        """No log."""

    def handle_one_request(self):
        """Send a file, or what is wanted of it."""
        with suppress(ConnectionError):
            super().handle_one_request()


def broken(folder, base, found):
    """(page, link) for each link within the site that leads nowhere. `found`: what is on each page, by its path."""
    for name, page in found.items():
        for link in sorted(set(page["links"])):
            address, anchor = urldefrag(link)
            path = unquote(address.removeprefix(base)) or "index.html"
            lost = anchor and path in found and unquote(anchor) not in found[path]["ids"]
            if address.startswith(base) and (lost or not (folder / path).is_file()):
                yield name, f"broken link: {link.removeprefix(base)}"


def check_pages(page, folder, base):
    """[(page, what is wrong there), …]; prints what each page has."""
    found, problems, here = {}, [], []
    page.on("pageerror", lambda error: here.append(f"script: {error}"))
    page.on("console", lambda message: here.append(f"console: {message.text}") if message.type == "error" else None)
    page.on("response", lambda answer: here.append(f"{answer.status}: {answer.url}") if answer.status >= 400 else None)
    page.route(
        lambda address: not address.startswith((base, "data:")),
        lambda route: (here.append(f"foreign: {route.request.url}"), route.abort()),
    )
    for path in sorted(folder.rglob("*.html")):
        name = path.relative_to(folder).as_posix()
        if name.startswith("_static") or name == "index.html":  # pieces of the theme; what leads to the first page
            continue
        here.clear()
        page.goto(base + name)
        page.evaluate(IN_PLACE)
        found[name] = page.evaluate(FOUND)
        counts = found[name]["counts"]
        print(f"{name:50s}", *(f"{count:4d} {key}" for key, count in counts.items()), flush=True)
        problems += [(name, problem) for problem in dict.fromkeys([*here, *found[name]["problems"]])]
        if path.name[:2].isdigit():
            problems += [(name, f"no {key}") for key, count in counts.items() if not count]
    return problems + list(broken(folder, base, found))


def check_theme(page, base):
    """What is wrong with dark mode and with the search."""
    page.goto(f"{base}docs/index.html")
    ground = "() => getComputedStyle(document.body).backgroundColor.match(/\\d+/g).slice(0, 3).map(Number)"
    seen = {}
    for mode in ("light", "dark"):
        page.locator("button.theme-switch-button").click()
        page.locator(f"button.theme-change-button[data-mode={mode}]").click()
        seen[mode] = max(page.evaluate(ground))
    if seen["light"] < 200 or seen["dark"] > 60:
        yield "docs/index.html", f"dark mode: {seen}"
    page.goto(f"{base}search.html?q=Jacobian")
    page.locator("#search-results li a").first.wait_for(timeout=20_000)
    if not page.locator("#search-results li a[href*='14_analysis']").count():
        yield "search.html", "the search does not find the Jacobian in notebook 14"


def main(folder):
    """Check a built site; returns the number of things that are wrong."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    base = f"http://127.0.0.1:{server.server_port}/"
    chromium = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)))
    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path=chromium, args=FLAGS)
        page = browser.new_page(viewport={"width": 1400, "height": 1000})
        problems = check_pages(page, Path(folder), base) + list(check_theme(page, base))
        browser.close()
    for name, problem in problems:
        print(f"{name}: {problem}")
    print(f"{len(problems)} problems")
    return len(problems)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]) > 0)

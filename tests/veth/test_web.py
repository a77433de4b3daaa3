# SPDX-License-Identifier: MIT
"""The daemon's page on loopback: who may read it, and what a browser makes of it.

The screenshots are kept in build/web/.
"""
import http.client
import json
import os
import re
import shutil
import socket

import pytest

import figures
import lib

PORT = 9270
PAGES = lib.ROOT / "build" / "web"


def ask(path="/", method="GET", host=f"127.0.0.1:{PORT}", body=None):
    """(status, headers, text) of a request from the server's own loopback."""
    connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=10)
    lib.server.call(connection.connect)
    try:
        connection.putrequest(method, path, skip_host=True)
        if host is not None:
            connection.putheader("Host", host)
        if body:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read().decode()
    finally:
        connection.close()


def test_page_brings_all_that_it_needs():
    """No address of another place; script and style carry the nonce of the policy, anew each time."""
    status, headers, page = ask()
    assert status == 200 and headers["Content-Type"] == "text/html; charset=utf-8"
    assert not re.search(r"(src|href|url)\s*[=(]\s*[\"']?(https?:|//)", page)
    policy = headers["Content-Security-Policy"]
    nonces = set(re.findall(r"nonce=\"(\w+)\"", page))
    assert len(nonces) == 1 and f"script-src 'nonce-{nonces.pop()}'" in policy
    assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert ask()[1]["Content-Security-Policy"] != policy


def test_json_and_metrics_are_the_same_as_on_the_socket():
    status, _, text = ask("/v1/rules")
    assert status == 200
    told = [rule["name"] for rule in figures.rows(figures.tool("rule", "list"), "rules")]
    assert [rule["name"] for rule in json.loads(text)["rules"]] == told
    status, headers, text = ask("/metrics")
    assert status == 200 and "millrace_lane_connections{" in text
    assert ask("/nowhere")[0] == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "HEAD", "OPTIONS"])
def test_nobody_changes_anything(method):
    status, headers, _ = ask("/v1/rules", method, body=b"{}" if method != "HEAD" else None)
    assert status == 405 and headers["Allow"] == "GET"


@pytest.mark.parametrize("host, status", [
    (f"127.0.0.1:{PORT}", 200), (f"localhost:{PORT}", 200), ("LOCALHOST", 200), ("[::1]:9270", 200),
    ("evil.example", 403), (f"evil.example:{PORT}", 403), ("localhost.evil.example", 403),
    ("127.0.0.1.evil.example", 403), ("", 403),
])
def test_pages_of_other_sites_may_not_read(host, status):
    """A name of another site that leads to 127.0.0.1 is refused (DNS rebinding), and nothing is offered to other
    origins."""
    got, headers, _ = ask("/v1/lanes", host=host)
    assert got == status
    assert "Access-Control-Allow-Origin" not in headers


def test_only_loopback_is_listened_to():
    with lib.server.socket(socket.AF_INET, socket.SOCK_STREAM) as s:
        s.settimeout(5)
        assert s.connect_ex((lib.SERVER[4], PORT)) != 0


def browser(*options, seconds=60):
    """Headless Chromium in the server's namespace, with a home of its own."""
    home = PAGES / "home"
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    done = lib.server.run("env", f"HOME={home}", "chromium", "--headless", "--no-sandbox",
                          "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
                          "--disable-background-networking", "--hide-scrollbars",
                          f"--user-data-dir={home}", "--virtual-time-budget=5500", *options,
                          f"http://127.0.0.1:{PORT}/", timeout=seconds)
    shutil.rmtree(home, ignore_errors=True)
    return done


def cells(page, table):
    """The rows of a table of the page, each a list of texts."""
    body = re.search(rf'<table id="{table}">.*?<tbody>(.*?)</tbody>', page, re.S).group(1)
    return [[re.sub(r"<[^>]*>", "", cell) for cell in re.findall(r"<td.*?</td>", row)]
            for row in re.findall(r"<tr>(.*?)</tr>", body, re.S)]


@pytest.mark.skipif(not shutil.which("chromium"), reason="chromium is not installed (make deps)")
@pytest.mark.limit(120)
def test_browser_shows_lanes_rules_and_connections():
    """The page in a real browser, under its policy: tables and charts are drawn from the JSON."""
    with lib.connect(lib.ECHO, 4) as s, lib.Wellbehaved() as other:
        port = s.getsockname()[1]
        page = browser("--dump-dom").stdout
        other.more()
    assert "serving, 2 of 2 lanes serve" in page
    assert [(row[0], row[1]) for row in cells(page, "lanes")] == [("mrs0:0", "serving"),
                                                                 ("mrs0:1", "serving")]
    assert [row[0] for row in cells(page, "rules")][:2] == ["echo", "sink"]
    assert f"{lib.CLIENT[4]}:{port}" in [row[2] for row in cells(page, "conns")]
    assert re.search(r'aria-label="Frames a second, now: in \d', page)
    assert len(re.findall(r"<polyline[^>]*points=\"[\d., ]+\"", page)) == 8


@pytest.mark.skipif(not shutil.which("chromium"), reason="chromium is not installed (make deps)")
@pytest.mark.limit(120)
@pytest.mark.parametrize("name, options", [
    ("light", ["--window-size=1280,1500"]),
    ("dark", ["--window-size=1280,1500", "--blink-settings=preferredColorScheme=0"]),
])
def test_screenshot_is_kept(name, options):
    """build/web/NAME.png, a picture that is more than an empty page."""
    shot = PAGES / f"{name}.png"
    with lib.connect(lib.ECHO, 4), lib.Wellbehaved():
        browser(f"--screenshot={shot}", *options)
    assert shot.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert os.path.getsize(shot) > 20000

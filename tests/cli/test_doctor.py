# SPDX-License-Identifier: MIT
"""millrace doctor: what a report holds, with and without a daemon, and what --mask leaves out of it."""
import ipaddress
import json
import os
import re
import socket
import stat
import tarfile

import pytest

from conftest import call

API = ("status", "lanes", "rules", "stats")


def unpack(path):
    """Texts of the report by name."""
    with tarfile.open(path) as tar:
        members = tar.getmembers()
        assert all(m.isfile() and m.name.startswith("millrace-doctor/") for m in members)
        return {m.name.split("/", 1)[1]: tar.extractfile(m).read().decode(errors="replace")
                for m in members}


@pytest.fixture
def configured(daemon, directory):
    """A daemon whose configuration can be read."""
    config = directory / "millraced.yaml"
    config.write_text("# peers: 198.51.100.7, 2001:db8:7::9\n")
    daemon.answers["/v1/status"]["config"] = str(config)
    daemon.answers["/v1/config"] = {"v": 1, "file": str(config)}
    return daemon


def test_report_has_what_the_daemon_says(configured, millrace, directory):
    file = directory / "report.tar.gz"
    result = millrace("doctor", "-o", str(file))
    assert result.status == 0 and result.err == ""
    texts = unpack(file)
    for page in API:
        assert json.loads(texts[f"api/{page}.json"]) == configured.answers[f"/v1/{page}"]
    conns = json.loads(texts["api/conns.json"])
    assert conns["connections"] == configured.answers["/v1/conns"]["connections"]
    traces = configured.answers["/v1/traces"]["traces"]
    assert json.loads(texts["api/traces.json"])["traces"] == traces
    assert json.loads(texts["api/traces-live.json"])["traces"] == traces
    asked = [query for path, query in configured.requests if path == "/v1/traces"]
    assert asked == [{"events": "yes"}, {"live": "yes", "events": "yes", "limit": "1000"}]
    assert "198.51.100.7" in texts["config.yaml"]
    assert "version: 0.1.0" in texts["about.txt"] and os.uname().release in texts["about.txt"]
    assert "lo:" in texts["system/links.txt"]
    assert "interfaces/mrs0/driver.txt" in texts
    assert re.match(rf"{re.escape(str(file))}: {len(texts)} files\n$", result.out)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_report_is_made_when_the_daemon_is_down(directory):
    file = directory / "report.tar.gz"
    result = call("-s", f"{directory}/none.sock", "doctor", "-o", str(file))
    assert result.status == 0
    assert "is millraced running?" in result.out
    texts = unpack(file)
    assert "is millraced running?" in texts["about.txt"]
    assert "is millraced running?" in texts["api/lanes.json"]
    assert "lo:" in texts["system/links.txt"] and "MemTotal" in texts["system/memory.txt"]


def test_a_file_that_exists_is_kept(millrace, directory):
    file = directory / "report.tar.gz"
    file.write_text("mine")
    result = millrace("doctor", "-o", str(file))
    assert result.status == 1 and "name another file" in result.err
    assert file.read_text() == "mine"


def test_a_directory_that_is_not_there_is_an_error(millrace, directory):
    result = millrace("doctor", "-o", f"{directory}/none/x.tar.gz")
    assert result.status == 1 and "cannot be made" in result.err


ADDRESSES = re.compile(r"[0-9A-Fa-f:.]{2,}")


def addresses(text):
    """Addresses of somebody in particular that a reader would find in @text."""
    found = set()
    for word in ADDRESSES.findall(text):
        if re.fullmatch(r"(?i)([0-9a-f]{2}:){5}[0-9a-f]{2}", word):
            found.add(word)
            continue
        try:
            address = ipaddress.ip_address(word.rstrip(".:"))
        except ValueError:
            continue
        if not address.is_loopback and not address.is_unspecified:
            found.add(word)
    return found - {"00:00:00:00:00:00"}


def test_mask_leaves_no_address(configured, millrace, directory):
    log = directory / "log"
    log.write_text("192.0.2.2:7000 192.0.2.1:51544: SYN-SENT -> ESTABLISHED\n"
                   "[2001:db8::1]:7000 2001:db8::1. ::ffff:192.0.2.1 02:00:00:00:00:01, 127.0.0.1 "
                   f"::1 at 12:34:56.789 on {socket.gethostname()} of 1.2.3 and fe80::1%eth0/64\n")
    configured.answers["/v1/lanes"]["lanes"][0]["why"] = "to 203.0.113.9: \"2001:db8::1\""
    file = directory / "report.tar.gz"
    assert millrace("doctor", "--mask", "--log", str(log), "-o", str(file)).status == 0
    texts = unpack(file)
    for name, text in texts.items():
        assert not addresses(text), name
    first, second = texts["log/file.txt"].splitlines()
    local, remote = re.fullmatch(r"(ipv4-\d+):7000 (ipv4-\d+):51544: SYN-SENT -> ESTABLISHED",
                                 first).groups()
    assert local != remote
    six = re.search(r"\[(ipv6-\d+)\]:7000", second).group(1)
    assert f" {six}. {remote} mac-" in second, "the same address has another name"
    assert "127.0.0.1 ::1 at 12:34:56.789 on this-host of 1.2.3 and ipv6-" in second
    assert second.endswith("%eth0/64")
    conn = json.loads(texts["api/conns.json"])["connections"][0]
    assert conn["remote"] == remote and conn["remote_port"] == 51544
    assert conn["peer_mac"].startswith("mac-")
    assert json.loads(texts["api/lanes.json"])["lanes"][0]["why"].endswith(f'"{six}"')


def test_programs_that_are_missing_are_told(configured, millrace, directory):
    file = directory / "report.tar.gz"
    result = millrace("doctor", "-o", str(file), PATH="/nowhere")
    assert result.status == 0
    texts = unpack(file)
    assert texts["system/links.txt"] == "ip: No such file or directory\n"
    assert json.loads(texts["api/stats.json"]) == configured.answers["/v1/stats"]

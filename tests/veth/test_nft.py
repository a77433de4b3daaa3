# SPDX-License-Identifier: MIT
"""Steered frames pass by the host's firewall: check and the log name the rules, import-nft helps."""
import pytest

import lib
import scratch
from scratch import Daemon, Pair, config

pytestmark = [pytest.mark.scratch, pytest.mark.limit(60)]

RULES = """\
table inet fw {
  set ports { type inet_service; flags interval; elements = { 22, 8000-8100 }; }
  chain input {
    type filter hook input priority 0; policy drop;
    ct state established accept
    iifname "lo" accept
    tcp dport { 7000, 7001-7005 } ip saddr 192.0.2.0/24 accept comment "clients"
    ip saddr 198.51.100.0/24 drop
    ip6 saddr 2001:db8:bad::/48 tcp dport 7000-7010 drop
    iifname "mrs0" tcp dport @ports accept
    tcp dport 7000 limit rate 5/second accept
    udp dport 53 accept
  }
}
"""

WANTED = """\
rules:
  - name: nft-1  # inet fw input handle 7
    action: drop
    priority: 1
    protocol: any
    source: "198.51.100.0/24"
  - name: nft-2  # inet fw input handle 8
    action: drop
    priority: 2
    protocol: tcp
    port: 7000-7010
    source: "2001:db8:bad::/48"
  - name: nft-3  # inet fw input handle 9
    action: pass
    priority: 3
    protocol: tcp
    port: 22
    interface: mrs0
  - name: nft-4  # inet fw input handle 9
    action: pass
    priority: 4
    protocol: tcp
    port: 8000-8100
    interface: mrs0
"""

OTHERS = ["connection tracking", "it accepts what a lane serves", "it has limit", "it is not about TCP",
          "policy drop: not expressed"]


@pytest.fixture(scope="module")
def pair():
    with Pair() as made:
        done = made.server.run("nft", "-f", "-", stdin=RULES, check=False)
        if done.returncode != 0:
            pytest.skip(f"no nf_tables in this kernel: {done.stderr.splitlines()[0]}")
        yield made
    scratch.leave_nothing()


def tool(pair, daemon, *words):
    return pair.server.run(lib.BUILD / "millrace", "-s", daemon.socket, *words, check=False)


def numbered(text):
    """Handles are the kernel's to give: in the order in which they come, from 7 on."""
    seen, out = {}, []
    for line in text.splitlines():
        head, _, handle = line.partition(" handle ")
        if handle.isdigit() and "name: nft-" in head:
            line = f"{head} handle {seen.setdefault(handle, 7 + len(seen))}"
        out.append(line)
    return "\n".join(out) + "\n"


def test_rules_that_are_passed_by_are_named(pair, tmp_path):
    """The log at the start, and check: the rules that look at port 7000, by chain and handle; not
    those that cannot. import-nft: what can be said as rules, and of each other one why not."""
    with Daemon(pair, tmp_path, config()) as daemon:
        lib.wait_for(lambda: "passes by the host's nftables rules: inet fw input handle"
                     in daemon.log.read_text(), 5, daemon.log.read_text)
        facts = tool(pair, daemon, "check", scratch.INTERFACE).stdout
        named = [line for line in facts.splitlines() if " nftables: port 7000 of rule echo" in line]
        assert len(named) == 5, facts
        assert any(": clients" in line for line in named)
        assert any("policy drop" in line for line in named)
        done = tool(pair, daemon, "rule", "import-nft")
        assert done.returncode == 0, done.stderr
        assert WANTED in numbered(done.stdout), done.stdout
        for words in OTHERS:
            assert words in done.stdout, done.stdout
        assert '"clients"' in done.stdout or "(clients)" in done.stdout


def test_what_is_imported_can_be_loaded(pair, tmp_path):
    """import-nft's output as it is, given to rule load and to config check: the rules that it shows
    are in force, in its order, and the steering rule goes on."""
    path = tmp_path / "imported.yaml"
    with Daemon(pair, tmp_path, config()) as daemon:
        path.write_text(tool(pair, daemon, "rule", "import-nft").stdout, encoding="utf-8")
        done = tool(pair, daemon, "rule", "load", str(path))
        assert done.returncode == 0, done.stderr
        rules = {one["name"]: one for one in daemon.tool("rule", "list")["rules"]}
        imported = [line.split()[2] for line in path.read_text().splitlines() if "- name: nft-" in line]
        assert len(imported) >= 4 and set(rules) == {"echo", *imported}
        first = rules["nft-1"]
        assert (first["action"], first["source"], first["priority"]) == ("drop", "198.51.100.0/24", 1)
        assert rules["nft-4"]["port"] == "8000-8100" and rules["nft-4"]["on"] == scratch.INTERFACE
        with lib.connect(lib.ECHO, ns=pair.client) as s:
            lib.echo_once(s, 1, b"served")
        whole = tmp_path / "whole.yaml"
        whole.write_text(config() + path.read_text().partition("rules:\n")[2], encoding="utf-8")
        done = tool(pair, daemon, "config", "check", str(whole))
        assert done.returncode == 0, done.stdout + done.stderr

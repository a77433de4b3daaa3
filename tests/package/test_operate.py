# SPDX-License-Identifier: MIT
"""docs/operate.md, "The first steps": typed word by word, on a copy of this machine's root.

    client namespace  cl0 192.0.2.1  <-- veth -->  eth0 192.0.2.2  server namespace
                                                   chroot into the copy: the package, the daemon

The package is made of the programs that stand in build/. There is no systemd there: of the blocks
that come twice the ones without it are run, and of the others it is looked at that they are
systemd's commands.
"""
import os
import pathlib
import re
import shutil
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
OPERATE = (ROOT / "docs" / "operate.md").read_text()
STORY = OPERATE.split("\n## Queues and RSS")[0]
BLOCKS = re.findall(r"^```sh ?(\S*)\n(.*?)^```$", STORY, re.M | re.S)

# The copy lives in a mount and a process namespace; the veth pair's ends in network namespaces.
STAGE = r"""
set -e
mount --make-rprivate /
mkdir -p {room} && mount -t tmpfs tmpfs {room}
mkdir {room}/upper {room}/work {room}/root
mount -t overlay overlay -o lowerdir=/,upperdir={room}/upper,workdir={room}/work {room}/root
mount -t tmpfs tmpfs {room}/root/tmp
mount -t tmpfs tmpfs {room}/root/run
mount --rbind /dev {room}/root/dev
mkdir -p {room}/root/tmp/story && cp {deb} {room}/root/tmp/story/
rm -rf {room}/root/etc/millrace {room}/root/var/lib/man-db/auto-update
mount -t tmpfs tmpfs /run && mkdir -p /run/netns /run/lock && mount --bind /run/netns /run/netns
mount --make-shared /run/netns
trap 'scripts/veth.sh down' EXIT
scripts/veth.sh up 2
cat >{room}/server.sh <<'END'
set -e
mount -t proc proc {room}/root/proc
mount -t sysfs sysfs {room}/root/sys
mount -t bpf bpf {room}/root/sys/fs/bpf
END
server() {{
	nsenter --net=/run/netns/$MR_SERVER_NS "$@"
}}
server bash {room}/server.sh
typed() {{
	echo "+ $1"
	"${{@:2}}" bash -e -o pipefail "$1" || {{ echo "story: $1 fails"; exit 1; }}
}}
{steps}
chroot {room}/root getent passwd millrace
echo "left: $(cd {room}/upper && find etc lib usr -path '*millrace*' ! -path 'etc/millrace*' -type f 2>/dev/null || true)"
echo story: told to its end
"""


def stage(folder, deb):
    """The script that sets up the stage and types every block."""
    room = folder / "room"
    steps = []
    for i, (kind, text) in enumerate(BLOCKS):
        block = f"/tmp/story/step-{i}"
        outside = f"{room}/root{block}"
        steps.append(f"cat >{outside} <<'END-OF-BLOCK'\ncd /tmp/story\nset -x\n{text}END-OF-BLOCK")
        if kind == "client":
            steps.append(f"sed -i 1d {outside}; typed {outside} nsenter --net=/run/netns/$MR_CLIENT_NS")
        elif kind != "systemd":
            steps.append(f"typed {block} server chroot {room}/root")
    return STAGE.format(room=room, deb=deb, steps="\n".join(steps))


def test_story_has_blocks_of_each_kind():
    kinds = [kind for kind, _ in BLOCKS]
    assert set(kinds) == {"", "client", "systemd", "without-systemd"}
    assert kinds.count("systemd") == kinds.count("without-systemd")


def test_what_rules_and_guard_count_is_explained():
    """Every verdict that drops or answers, or is a rule's, and every counter of the guard."""
    said = set(re.findall(r"`(\w+)`", " ".join(
        line.split("|")[1] for line in OPERATE.splitlines() if line.startswith("| `"))))
    shared = ROOT / "include" / "shared"
    verdicts = re.findall(r"V\((\w+), XDP_(\w+),", (shared / "mr_verdict.h").read_text())
    wanted = {name for name, action in verdicts
              if action in ("DROP", "TX") or name.startswith(("RULE_", "NO_RULE"))}
    counters = re.findall(r"^\tS\(\w+, (\w+),", (shared / "mr_guard.h").read_text(), re.M)
    assert len(wanted) > 8 and len(counters) > 6
    assert {name.lower() for name in wanted} | set(counters) <= said


def test_blocks_of_systemd_are_systemds_commands():
    for kind, text in BLOCKS:
        if kind == "systemd":
            for line in text.splitlines():
                assert re.match(r"(systemctl|journalctl) .*millraced\b", line), line


@pytest.mark.skipif(os.geteuid() != 0, reason="not root: needs namespaces and XDP")
@pytest.mark.skipif(not shutil.which("dh"), reason="there is no debhelper")
def test_story_is_true(deb, tmp_path):
    script = tmp_path / "stage.sh"
    script.write_text(stage(tmp_path, deb))
    environment = dict(os.environ, MR_SERVER_IF="eth0", MR_CLIENT_IF="cl0",
                       MR_SERVER_NS="mr-story-server", MR_CLIENT_NS="mr-story-client",
                       PATH="/usr/sbin:/usr/bin:/sbin:/bin", DEBIAN_FRONTEND="noninteractive")
    done = subprocess.run(["unshare", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child",
                           "bash", script], cwd=ROOT, env=environment, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=240,
                          check=False)
    end = done.stdout.splitlines()[-3:]
    assert end[-1] == "story: told to its end", done.stdout
    assert end[-2] == "left: ", "purged without trace"
    assert re.match(r"millrace:x:\d+:\d+:", end[-3]), "the user stays, as Debian's policy has it"

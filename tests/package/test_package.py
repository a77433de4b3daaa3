# SPDX-License-Identifier: MIT
"""What is installed: by make install, by the Debian package, and whether it serves from there."""
import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "veth"))
import lib  # noqa: E402  pylint: disable=wrong-import-position
import scratch  # noqa: E402  pylint: disable=wrong-import-position

UNIT = "lib/systemd/system/millraced.service"
PROGRAMS = {"sbin/millraced", "bin/millrace", "libexec/millrace/millrace-worker",
            "lib/millrace/millrace.bpf.o"}
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="not root: needs namespaces and XDP")


def run(*words, check=True, **more):
    done = subprocess.run([str(w) for w in words], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=240, check=False, **more)
    assert not check or done.returncode == 0, f"{words}: exit {done.returncode}\n{done.stdout}"
    return done


def installer(verb, **settings):
    run(ROOT / "scripts" / "install.sh", verb, env=dict(os.environ, **settings))


def files_below(folder):
    return {str(p.relative_to(folder)) for p in folder.rglob("*") if not p.is_dir()}


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """An installation below a folder of its own, as packagers make it."""
    folder = tmp_path_factory.mktemp("image")
    installer("install", DESTDIR=str(folder), PREFIX="/usr")
    return folder


def unit_values(tree, key):
    """All words of the unit's lines of a key, in their order."""
    lines = (tree / "usr" / UNIT).read_text().splitlines()
    return [w for line in lines if line.startswith(key + "=")
            for w in line.split("=", 1)[1].split()]


# ----- make install -----

def test_install_has_all_parts(tree):
    found = files_below(tree / "usr")
    pages = {f"share/man/man{p.suffix[1:]}/{p.name}" for p in (ROOT / "docs").glob("*.[1-8]")}
    share = {"share/bash-completion/completions/" + p.name
             for p in (ROOT / "share" / "completions").iterdir()}
    share |= {f"share/millrace/{folder}/{p.name}" for folder in ("wireshark", "grafana")
              for p in (ROOT / "share" / folder).glob("*")}
    assert PROGRAMS | pages | share | {UNIT, "lib/sysusers.d/millrace.conf"} <= found
    assert "share/doc/millrace/examples/millraced.yaml" in found
    assert not (tree / "etc").exists(), "the configuration is the operator's own"


def test_programs_may_be_run_by_all_and_written_by_root_alone(tree):
    for path in tree.rglob("*"):
        wanted = 0o755 if path.is_dir() or path.parent.name in ("bin", "sbin") or \
            path.name == "millrace-worker" else 0o644
        assert path.stat().st_mode & 0o777 == wanted, path


def test_unit_names_what_was_installed(tree, tmp_path):
    assert unit_values(tree, "ExecStart")[0] == "/usr/sbin/millraced"
    installer("install", DESTDIR=str(tmp_path), PREFIX="/opt/m", SYSCONFDIR="/opt/m/etc")
    text = (tmp_path / "opt/m" / UNIT).read_text()
    assert "ExecStart=/opt/m/sbin/millraced -f -c /opt/m/etc/millrace/millraced.yaml" in text
    assert "@" not in re.sub(r"SystemCallFilter=.*", "", text)


def test_uninstall_leaves_what_is_not_ours(tmp_path):
    other = tmp_path / "usr/share/doc/other/README"
    settings = tmp_path / "etc/millrace/millraced.yaml"
    for path in (other, settings):
        path.parent.mkdir(parents=True)
        path.write_text("mine\n")
    installer("install", DESTDIR=str(tmp_path), PREFIX="/usr")
    installer("uninstall", DESTDIR=str(tmp_path), PREFIX="/usr")
    assert files_below(tmp_path) == {"usr/share/doc/other/README", "etc/millrace/millraced.yaml"}
    assert not list(tmp_path.rglob("*millrace/*/")), "no empty folder of ours is left"


def test_example_configuration_is_valid(tree):
    done = run(tree / "usr/sbin/millraced", "-n", "-c",
               tree / "usr/share/doc/millrace/examples/millraced.yaml")
    assert "configuration OK" in done.stdout


# ----- the unit -----

@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="there is no systemd-analyze")
def test_unit_exposes_at_most_3(tree):
    """Lanes are processes of this unit. 30 is 3.0: systemd's threshold has no point."""
    done = run("systemd-analyze", "security", "--no-pager", "--offline=true", "--threshold=30",
               tree / "usr" / UNIT, check=False)
    assert done.returncode == 0, done.stdout
    assert "Overall exposure level" in done.stdout


def serve(tree, pair, tmp_path, config, before=()):
    """The installed daemon answers on port 7000, and the installed tool sees two lanes."""
    path = tmp_path / "millraced.yaml"
    path.write_text(config)
    with open(tmp_path / "log", "w", encoding="utf-8") as log:
        daemon = subprocess.Popen(  # pylint: disable=consider-using-with
            pair.server.inside(*before, tree / "usr/sbin/millraced", "-f", "-c", path),
            stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        def lanes():
            assert daemon.poll() is None, (tmp_path / "log").read_text()
            done = pair.server.run(tree / "usr/bin/millrace", "-j", "-s",
                                   f"{scratch.RUN}/control.sock", "lane", "list", check=False)
            return done.stdout.count('"serving"') == 2
        lib.wait_for(lanes, 20, lambda: "two lanes:\n" + (tmp_path / "log").read_text())
        with lib.connect(lib.ECHO, ns=pair.client) as s:
            lib.echo_once(s, 1, b"installed")
        daemon.terminate()
        assert daemon.wait(10) == 0, (tmp_path / "log").read_text()
    finally:
        if daemon.poll() is None:
            daemon.kill()
            daemon.wait()


@pytest.fixture(name="pair")
def make_pair():
    with scratch.Pair() as pair:
        yield pair
        scratch.leave_nothing()


@as_root
def test_installed_daemon_serves_with_the_units_capabilities(tree, pair, tmp_path):
    """No capability but those of the unit. CAP_IPC_LOCK stands for its unlimited locked memory,
    which a machine's root may not be allowed to grant."""
    names = unit_values(tree, "CapabilityBoundingSet") + ["CAP_IPC_LOCK"]
    bounding = ",".join(["-all"] + ["+" + n.removeprefix("CAP_").lower() for n in names])
    assert unit_values(tree, "LimitMEMLOCK") == ["infinity"]
    serve(tree, pair, tmp_path, scratch.config(),
          ("setpriv", "--inh-caps=-all", f"--bounding-set={bounding}"))


# ----- the Debian package -----

def version_of_programs():
    return re.search(r'#define MR_VERSION "(.*)"',
                     (ROOT / "user" / "daemon" / "daemon.h").read_text()).group(1)


def test_package_has_the_version_of_the_programs():
    first = (ROOT / "debian" / "changelog").read_text().splitlines()[0]
    assert first.startswith(f"millrace ({version_of_programs()})")


def names_in(deb, folder):
    """The files of one package, without what differs by Debian's places."""
    run("dpkg-deb", "-x", deb, folder)
    return {re.sub(r"^lib/[a-z0-9_]+-linux-gnu\w*/", "lib/", name.removesuffix(".gz").removeprefix("usr/"))
            for name in files_below(folder)}


def library_debs(deb):
    return {path.name.split("_")[0]: path for path in deb.parent.glob("libmillrace*.deb")
            if "-dbgsym" not in path.name}


def test_packages_have_what_make_install_has(deb, tree, tmp_path):
    found = library_debs(deb)
    assert set(found) == {"libmillrace1", "libmillrace-tls1", "libmillrace-dev"}
    packed = set().union(*(names_in(path, tmp_path / path.name) for path in [deb, *found.values()]))
    packed |= {name.replace("doc/libmillrace-dev/", "doc/millrace/") for name in packed}
    missing = {name for name in files_below(tree / "usr") if not name.endswith("LICENSE")} - packed
    assert not missing


def test_shared_libraries_stand_in_packages_of_their_own(deb, tmp_path):
    """Named by their ABI, as Debian's policy 8.1 has it, so that two of them can be there at once;
    OpenSSL is asked for by the one that needs it alone."""
    found = library_debs(deb)
    for package, library in (("libmillrace1", "libmillrace"),
                             ("libmillrace-tls1", "libmillrace-tls")):
        shared = names_in(found[package], tmp_path / package)
        assert {n for n in shared if not n.startswith("share/doc/")} == \
            {f"lib/{library}.so.1", f"lib/{library}.so.{version_of_programs()}"}
        needed = run("dpkg-deb", "-f", found[package], "Depends").stdout
        assert ("libssl" in needed) == (package == "libmillrace-tls1")
    assert not {n for n in names_in(deb, tmp_path / "2") if "libmillrace" in n}
    assert {"lib/libmillrace.so", "lib/libmillrace.a", "lib/pkgconfig/millrace.pc",
            "lib/libmillrace-tls.so", "lib/pkgconfig/millrace-tls.pc",
            "include/millrace/sock.h"} <= names_in(found["libmillrace-dev"], tmp_path / "3")

# SPDX-License-Identifier: MIT
"""libmillrace as programs meet it: its symbols, and building against an installed copy of it."""
import os
import pathlib
import re
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = ROOT / "build"
# app.h is of plug-ins: its functions are the worker's.
FOR_PROGRAMS = sorted(set((ROOT / "include" / "millrace").glob("*.h")) -
                      {ROOT / "include" / "millrace" / "app.h"})
FOR_TLS = [ROOT / "include" / "millrace" / "tls.h"]  # has a library of its own
PROGRAM = r"""
#include <millrace/context.h>
#include <millrace/set.h>
#include <millrace/sock.h>
#include <millrace/tlv.h>
#include <stdio.h>

int main(void)
{
	struct mr_tlv_format f = MR_TLV_FORMAT_DEFAULT;
	struct mr_context *x;
	struct mr_set *s;
	epoll_data_t data;
	char why[200];
	int fd;

	if (mr_context_open(NULL, &x, why, sizeof(why))) {
		puts(why);
		return 1;
	}
	data.u64 = 1;
	fd = mr_sock_open(x, AF_INET, SOCK_STREAM, 0);
	if (fd < 0 || mr_set_new(x, &s) || mr_set_add(s, fd, EPOLLIN, data))
		return 1;
	printf("%s %d\n", mr_context_backend(x), mr_tlv_format_check(&f) == NULL);
	mr_set_free(s);
	mr_context_close(x);
	return 0;
}
"""


def run(*words, **more):
    done = subprocess.run([str(w) for w in words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, timeout=120, check=False, **more)
    assert done.returncode == 0, f"{words}: exit {done.returncode}\n{done.stdout}"
    return done.stdout


def declared(headers):
    """The functions of the headers that are not inline."""
    names = set()
    for header in headers:
        text = re.sub(r"/\*.*?\*/", "", header.read_text(), flags=re.S)
        text = re.sub(r"static inline[^{]*\{.*?\n\}", "", text, flags=re.S)
        names |= set(re.findall(r"\b(mr_\w+)\([^;{}]*\);", text))
    return names


def exported(*options):
    lines = run("nm", "--defined-only", *options).splitlines()
    found = {tuple(line.split()[1:]) for line in lines if len(line.split()) == 3}
    return {re.sub("@.*", "", name) for kind, name in found if kind != "A"}, \
        {kind for kind, _ in found}


@pytest.fixture(scope="module", name="image")
def make_image(tmp_path_factory):
    folder = tmp_path_factory.mktemp("image")
    run(ROOT / "scripts" / "install.sh", "install",
        env=dict(os.environ, DESTDIR=str(folder), PREFIX="/opt/m"))
    return folder


def test_symbols_are_those_that_headers_declare():
    names = declared(set(FOR_PROGRAMS) - set(FOR_TLS))
    assert {"mr_context_open", "mr_sock_recv", "mr_select", "mr_tlv_write_header"} <= names
    assert "mr_tlv_header_bytes" not in names, "inline"
    shared, kinds = exported("-D", BUILD / "libmillrace.so")
    assert shared == names
    assert kinds == {"T", "A"}, "functions alone"
    assert exported("-g", BUILD / "libmillrace.a")[0] == names


def test_symbols_of_tls():
    names = declared(FOR_TLS)
    assert "mr_tls_feed" in names
    assert exported("-D", BUILD / "libmillrace-tls.so")[0] == names
    assert "Library soname: [libmillrace-tls.so.1]" in \
        run("readelf", "-d", BUILD / "libmillrace-tls.so")


def test_every_symbol_has_a_version():
    text = run("nm", "-D", "--defined-only", BUILD / "libmillrace.so")
    for line in text.splitlines():
        assert line.endswith(("@@MILLRACE_1", " MILLRACE_1")), line


def test_shared_library_has_the_abis_name():
    text = run("readelf", "-d", BUILD / "libmillrace.so")
    assert "Library soname: [libmillrace.so.1]" in text
    needed = re.findall(r"Shared library: \[(.*)\]", text)
    assert set(needed) <= {"libc.so.6"}, "programs get no libraries that they did not ask for"


@pytest.mark.parametrize("static", [False, True], ids=["shared", "static"])
@pytest.mark.parametrize("compiler", ["gcc", "clang", "g++"])
def test_program_builds_against_the_installed_copy(image, tmp_path, compiler, static):
    """With what pkg-config says, and no other flag but warnings."""
    pc = dict(os.environ, PKG_CONFIG_PATH=str(image / "opt/m/lib/pkgconfig"),
              PKG_CONFIG_SYSROOT_DIR=str(image))
    flags = run("pkg-config", "--cflags", "--libs", *(["--static"] if static else []), "millrace",
                env=pc).split()
    if static:
        flags = ["-l:libmillrace.a" if f == "-lmillrace" else f for f in flags]
    source = tmp_path / ("program.cc" if compiler == "g++" else "program.c")
    source.write_text(PROGRAM)
    run(compiler, "-Wall", "-Wextra", "-Werror", source, "-o", tmp_path / "program", *flags)
    out = run(tmp_path / "program", env=dict(os.environ, LD_LIBRARY_PATH=str(image / "opt/m/lib")))
    assert out == "kernel 1\n"
    assert ("libmillrace" in run("readelf", "-d", tmp_path / "program")) == (not static)


def test_headers_compile_alone(tmp_path):
    for header in FOR_PROGRAMS:
        for compiler, standard in (("gcc", "c99"), ("g++", "c++11")):
            source = tmp_path / f"one.{'cc' if compiler == 'g++' else 'c'}"
            source.write_text(f"#include <millrace/{header.name}>\n")
            run(compiler, f"-std={standard}", "-pedantic", "-Wall", "-Wextra", "-Werror",
                "-D_DEFAULT_SOURCE", "-fsyntax-only", "-I", ROOT / "include", source)


def test_version_of_pkg_config_is_the_release(image):
    version = re.search(r'#define MR_VERSION "(.*)"',
                        (ROOT / "user" / "daemon" / "daemon.h").read_text()).group(1)
    assert f"Version: {version}\n" in (image / "opt/m/lib/pkgconfig/millrace.pc").read_text()
    assert (image / f"opt/m/lib/libmillrace.so.{version}").exists()


def test_words_for_backends_that_are_not_there(image, tmp_path):
    source = tmp_path / "program.c"
    source.write_text(PROGRAM)
    program = tmp_path / "program"
    run("gcc", "-I", image / "opt/m/include", source, "-o", program,
        image / "opt/m/lib/libmillrace.a")

    def said(backend):
        return subprocess.run([program], env=dict(os.environ, MILLRACE_BACKEND=backend),
                              stdout=subprocess.PIPE, text=True, timeout=60, check=False).stdout

    assert said("") == "kernel 1\n"
    assert said("kernel") == "kernel 1\n"
    assert said("kernels").startswith("backend kernels: there is none of this name;")
    assert said("kernel:x").startswith("backend kernel:x: nothing stands behind a colon;")
    assert said("wire") == "backend wire: this libmillrace was built without it; kernel is always there\n"


# ----- what is written about it -----

PAGES = sorted((ROOT / "docs").glob("mr_*.3"))


def built_and_run(text, folder, *words):
    """Build a program as its reader would, run it, and return what it prints."""
    (folder / "program.c").write_text(text)
    run("gcc", "-Wall", "-Wextra", "-Werror", "-Wno-sign-compare", "-I", ROOT / "include", "-o",
        folder / "program", folder / "program.c", BUILD / "libmillrace.a",
        *([f"-L{BUILD}", f"-Wl,-rpath,{BUILD}", "-lmillrace-tls", "-lssl", "-lcrypto"]
          if "millrace/tls.h" in text else []))
    return run(folder / "program", *words, env=dict(os.environ, LD_LIBRARY_PATH=str(BUILD)))


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_example_of_the_page_builds_and_runs(page, tmp_path):
    examples = page.read_text().split(".Sh EXAMPLES")[1].split("\n.Sh ")[0]
    literal = re.search(r"^\.Bd -literal\n(.*?)^\.Ed$", examples, re.M | re.S).group(1)
    said = built_and_run(literal.replace("\\e", "\\"), tmp_path)
    assert said == {"mr_context": "over kernel\n", "mr_sock": "you said hello\n",
                    "mr_set": "", "mr_ring": "hello\n", "mr_message": "you said hello\n",
                    "mr_tls": "hello by TLSv1.3\n"}[page.stem]


def test_every_function_has_a_page():
    named = {name for page in PAGES
             for name in re.findall(r"^\.Nm (mr_\w+)", page.read_text(), re.M)}
    wanted = {name for name in declared(FOR_PROGRAMS) if not name.startswith("mr_tlv_")}
    assert named == wanted
    for page in PAGES:
        synopsis = page.read_text().split(".Sh SYNOPSIS")[1].split(".Sh DESCRIPTION")[0]
        names = re.findall(r"^\.Nm (mr_\w+)", page.read_text(), re.M)
        assert set(re.findall(r"^\.Fn (\w+)", synopsis, re.M)) == set(names), page


def test_synopsis_is_the_headers():
    """The same arguments in the same order."""
    text = " ".join(re.sub(r"/\*.*?\*/", "", h.read_text(), flags=re.S) for h in FOR_PROGRAMS)
    for page in PAGES:
        for name, arguments in re.findall(r"^\.Fn (mr_\w+) (.*)$", page.read_text(), re.M):
            if '"' not in arguments:
                continue
            wanted = re.search(rf"\b{name}\(((?:[^()]|\([^()]*\))*)\);", text).group(1)
            assert re.findall(r'"([^"]*)"', arguments) == \
                [" ".join(w.split()) for w in re.split(r",(?![^(]*\))", wanted)], name


# ----- README, "Write a server" -----

TALK = r"""
ip link set lo up
"$1" 7000 &
for i in $(seq 500); do
	exec 3<>/dev/tcp/127.0.0.1/7000 && break
	sleep 0.02
done 2>/dev/null
printf "$2" >&3
head -c "$3" <&3 | od -An -c
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="not root: needs a network namespace")
@pytest.mark.parametrize("nth, request_, response", [
    (0, r"hello\n", b"hello\n"),
    (1, r"\0\7\0\0\0\5hello\0\10\0\0\0\0", b"\0\7\0\0\0\5HELLO\0\10\0\0\0\0"),
], ids=["echo", "request-response"])
def test_servers_of_the_readme_serve(image, tmp_path, nth, request_, response):
    """Built with what pkg-config says of an installed copy, as its reader would."""
    section = (ROOT / "README.md").read_text().split("## Write a server")[1].split("\n## ")[0]
    program = tmp_path / "server"
    (tmp_path / "server.c").write_text(re.findall(r"^```c\n(.*?)^```$", section, re.M | re.S)[nth])
    flags = run("pkg-config", "--cflags", "--libs", "millrace",
                env=dict(os.environ, PKG_CONFIG_PATH=str(image / "opt/m/lib/pkgconfig"),
                         PKG_CONFIG_SYSROOT_DIR=str(image))).split()
    run("gcc", "-Wall", "-Werror", tmp_path / "server.c", "-o", program, *flags)
    said = run("unshare", "--net", "--pid", "--fork", "--kill-child", "bash", "-c", TALK, "bash",
               program, request_, len(response),
               env=dict(os.environ, LD_LIBRARY_PATH=str(image / "opt/m/lib")))
    wanted = subprocess.run(["od", "-An", "-c"], input=response, stdout=subprocess.PIPE,
                            check=True).stdout.decode()
    assert said == wanted

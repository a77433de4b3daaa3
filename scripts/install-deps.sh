#!/usr/bin/env bash
# Install the Debian 12 packages that building, testing and running Millrace
# needs. As root it calls apt-get; otherwise it only names what is missing.
set -euo pipefail

packages=(
	# build: compilers, BPF loader, and the libraries of the control plane
	gcc make clang llvm bpftool pkg-config linux-libc-dev
	libbpf-dev libxdp-dev libnftables-dev libelf-dev zlib1g-dev
	libcyaml-dev libyaml-dev libjansson-dev libmicrohttpd-dev libmnl-dev libseccomp-dev
	libsystemd-dev
	libcurl4-openssl-dev libncurses-dev libarchive-dev libpcap-dev
	# run: what the scripts and the demo call
	iproute2 nftables ethtool procps util-linux curl ca-certificates
	# test: unit tests, packet tests and the checks of CI
	libcmocka-dev python3 python3-pytest python3-scapy python3-prometheus-client valgrind libclang-rt-14-dev
	netcat-openbsd socat g++
	clang-format clang-tidy cppcheck shellcheck codespell git
	# test: independent readers of what Millrace writes
	tcpdump tshark
	# package: make deb, the manual pages' own critics, bash completion
	debhelper lintian dpkg-dev fakeroot mandoc bash-completion systemd
	# bench: the io_uring peer, the plots
	liburing-dev gnuplot-nox
)

# install-deps.sh test: a browser as well, for the test of the web page: 350 MB, a minute. Not wanted:
# MR_NO_BROWSER=1, and that test is skipped. No reason to fail where it is not to be had.
browser=chromium
wants_browser=no
[ "${1:-}" != test ] || [ -n "${MR_NO_BROWSER:-}" ] || wants_browser=yes

is_installed() {
	dpkg-query -W -f='${Status}' "$1" 2>/dev/null | grep -q 'ok installed'
}

install_browser() {
	if [ "$wants_browser" = no ] || [ "$(id -u)" -ne 0 ] || is_installed "$browser"; then
		return
	fi
	DEBIAN_FRONTEND=noninteractive timeout 240 apt-get install -y -qq --no-install-recommends \
		-o Acquire::http::Timeout=15 -o Acquire::Retries=1 "$browser" >/dev/null 2>&1 ||
		echo "deps: $browser could not be installed: the test of the web page is skipped"
}

missing=()
for package in "${packages[@]}"; do
	is_installed "$package" || missing+=("$package")
done

if [ ${#missing[@]} -eq 0 ]; then
	install_browser
	echo "deps: all ${#packages[@]} packages are installed"
	exit 0
fi
if [ "$(id -u)" -ne 0 ]; then
	echo "deps: not root; ask root for: apt-get install ${missing[*]}" >&2
	exit 1
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
echo "deps: installed ${missing[*]}"
install_browser

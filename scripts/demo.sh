#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Millrace between two network namespaces of this machine (scripts/veth.sh): the daemon and one
# worker per queue in mr-server, a TLV client over ordinary kernel sockets in mr-client.
#
#   scripts/demo.sh run	set up, send for DEMO_SECONDS (10), compare every reply, remove all;
#			last line: demo: ok messages=N rate=N/s p50_us=N p99_us=N errors=0
#   scripts/demo.sh up	set up and leave it running; a healthy set-up stays as it is
#   scripts/demo.sh down	remove every trace, also of runs that were killed
#
# "run" while "up" stands uses what is there and leaves it running. Config, log, pid file and what
# the app "store" wrote are in build/demo/ until "down".
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd -P)
build=$root/build
demo=$build/demo
config=$demo/millraced.yaml
log=$demo/millraced.log
pid_file=$demo/millraced.pid
pins=/sys/fs/bpf/millrace
run_dir=/run/millrace
server_ns=${MR_SERVER_NS:-mr-server}
client_ns=${MR_CLIENT_NS:-mr-client}
server_if=${MR_SERVER_IF:-mrs0}
lanes=2
connections=64
start_seconds=${MR_START_SECONDS:-15}	# for all lanes to serve
stop_seconds=10	# for the daemon to end after SIGTERM
started=no
client=

fail() {
	echo "demo: $*" >&2
	exit 1
}

usage() {
	echo "usage: scripts/demo.sh run | up | down" >&2
	exit 2
}

# ----- processes: only those that we started are ours to end -----

# Processes that run program $1, which may be a pattern, also when the file was replaced since.
running() {
	find /proc -maxdepth 2 -path '/proc/[0-9]*/exe' \
		\( -lname "$1" -o -lname "$1 (deleted)" \) -printf '%h\n' 2>/dev/null |
		sed 's|^/proc/||' || true
}

daemon_pid() {
	local pid

	pid=$(cat "$pid_file" 2>/dev/null) && [[ $pid =~ ^[0-9]+$ ]] && echo "$pid"
}

session_of() {
	sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d ' ' -f 4
}

# Is $1, a process of this build, of the demo: in its namespace, its session, or with its config?
is_ours() {
	[ "/proc/$1/ns/net" -ef "/run/netns/$server_ns" ] && return
	tr '\0' '\n' 2>/dev/null <"/proc/$1/cmdline" | grep -qxF "$config" && return
	[ "$(session_of "$1")" = "$(daemon_pid)" ]
}

our_processes() {
	local pid

	for pid in $(running "$build/millraced") $(running "$build/millrace-worker"); do
		if is_ours "$pid"; then echo "$pid"; fi
	done
}

# Has process $1 something open in directory $2? A container may have another one of that name.
holds() {
	[ "/proc/$1/root$2" -ef "$2" ] &&
		find "/proc/$1/fd" \( -lname "$2" -o -lname "$2/*" \) 2>/dev/null | grep -q .
}

# Is $1 the keeper of $run_dir? It has nothing open there but the socket that it listens on.
keeps() {
	[ "/proc/$1/root$run_dir" -ef "$run_dir" ] && [ "$(cat "/proc/$1/comm" 2>/dev/null)" = millraced-keep ] &&
		grep -q " $run_dir/keeper\$" "/proc/$1/net/unix" 2>/dev/null
}

# Workers that a daemon noted in $run_dir: pid, and when the process started.
noted_workers() {
	local pid started stat

	while read -r pid started; do
		stat=$(sed 's/.*) //' "/proc/$pid/stat" 2>/dev/null) || continue
		[[ $stat == Z* || $(cut -d ' ' -f 20 <<<"$stat") != "$started" ]] || echo "$pid"
	done 2>/dev/null <"$run_dir/lanes" || true
}

# What is not of the demo and needs a directory that it needs: daemons, and what a killed one left
# for the next to take up. Others may run beside it.
foreign_daemons() {
	local ours pid

	ours=" $(our_processes | tr '\n' ' ') "
	for pid in $(running '*/millraced'); do
		[[ $ours != *" $pid "* ]] || continue
		if holds "$pid" "$run_dir" || holds "$pid" "$pins" || keeps "$pid"; then echo "$pid"; fi
	done
	for pid in $(noted_workers); do
		[[ $ours == *" $pid "* ]] || echo "$pid"
	done
}

# our_processes_gone SECONDS: wait so long for them to end
our_processes_gone() {
	local deadline=$((SECONDS + $1))

	while [ -n "$(our_processes)" ]; do
		[ "$SECONDS" -lt "$deadline" ] || return 1
		sleep 0.05
	done
}

# The daemon ends its children. Whoever outlived it is ended here.
stop_processes() {
	local pid main

	main=$(daemon_pid || true)
	[[ " $(our_processes | tr '\n' ' ') " == *" ${main:-none} "* ]] || main=$(our_processes)
	for pid in $main; do
		kill -TERM "$pid" 2>/dev/null || true
	done
	our_processes_gone "$stop_seconds" && return
	for pid in $(our_processes); do
		kill -KILL "$pid" 2>/dev/null || true
	done
	our_processes_gone 2 || fail "processes do not end: $(our_processes | tr '\n' ' ')"
}

# ----- the set-up -----

write_config() {
	local port=7000 app

	mkdir -p "$demo/store"
	chown nobody "$demo/store"
	cat >"$config" <<-END
	user: nobody
	http: 127.0.0.1:9270
	interfaces:
	  - name: $server_if
	    queues: $lanes
	lanes:
	  frames: 8192
	  connections: 65536
	rules:
	END
	for app in echo sink store echo-bytes discard-bytes source-bytes drill; do
		cat >>"$config" <<-END
		  - name: $app
		    protocol: tcp
		    port: $port
		    app: $app
		END
		[ "$app" != store ] || echo "    directory: $demo/store" >>"$config"
		port=$((port + 1))
	done
}

serving_lanes() {
	timeout 2 "$build/millrace" -j lane list 2>/dev/null |
		grep -o '"state": *"serving"' | wc -l || true
}

show_log() {
	[ -s "$log" ] || return 0
	echo "demo: last lines of $log:" >&2
	tail -n 20 "$log" >&2
}

# A session of its own: Ctrl-C ends this script, and this script ends the daemon, in that order.
start_daemon() {
	local pid deadline=$((SECONDS + start_seconds))

	setsid nsenter --net="/run/netns/$server_ns" "$build/millraced" -f -c "$config" \
		</dev/null >"$log" 2>&1 3>&- 9>&- &
	pid=$!
	disown "$pid"	# no word from the shell when it has to be killed
	echo "$pid" >"$pid_file"
	while [ "$(serving_lanes)" -ne "$lanes" ]; do
		if ! kill -0 "$pid" 2>/dev/null; then
			show_log
			fail "millraced ended while starting"
		fi
		if [ "$SECONDS" -ge "$deadline" ]; then
			show_log
			fail "not all $lanes lanes serve after $start_seconds s"
		fi
		sleep 0.1
	done
}

is_healthy() {
	local pid

	pid=$(daemon_pid) || return 1
	[ "/proc/$pid/exe" -ef "$build/millraced" ] && is_ours "$pid" || return 1
	nsenter --net="/run/netns/$server_ns" ip link show "$server_if" >/dev/null 2>&1 || return 1
	[ "$(serving_lanes)" -eq "$lanes" ]
}

# Removes every trace but the log, of this run or an earlier one.
clean() {
	stop_processes
	"$root/scripts/veth.sh" down
	if [ -z "$(foreign_daemons)" ]; then
		rm -rf "$pins" "$run_dir"
	fi
	rm -rf "$pid_file" "$config" "$demo/up" "$demo/result" "$demo/store"
}

set_up() {
	local foreign

	foreign=$(foreign_daemons | tr '\n' ' ')
	[ -z "$foreign" ] || fail "another millraced, or the lanes of one that was killed, use $run_dir or $pins" \
		"(processes ${foreign% }); stop it first, or start it again and stop it then"
	clean
	started=yes
	"$root/scripts/veth.sh" up "$lanes"
	write_config
	start_daemon
}

on_exit() {
	local status=$?

	trap '' INT TERM HUP
	trap - EXIT
	[ -z "$client" ] || kill "$client" 2>/dev/null || true
	if [ "$started" = yes ]; then
		(clean) || status=1
		[ "$status" -le 128 ] || rm -rf "$demo"	# a signal: no log to be read
	fi
	exit "$status"
}

need() {
	local file

	[ "$(id -u)" -eq 0 ] || fail "must be root for namespaces and XDP; try: sudo make demo"
	for file in "$@"; do
		[ -x "$build/$file" ] || fail "build/$file is not there; run: make"
	done
}

# ----- verbs -----

up() {
	need millraced millrace-worker millrace
	if ! is_healthy; then
		set_up
	fi
	touch "$demo/up"
	started=no
	echo "demo: up: 192.0.2.2 and 2001:db8::2 in $server_ns serve echo 7000, sink 7001," \
		"store 7002, echo-bytes 7003, discard-bytes 7004, source-bytes 7005, drill 7006"
}

down() {
	need
	clean
	rm -rf "$demo"
}

# Only as a background job: the job's pid is the client's.
send() {
	exec nsenter --net="/run/netns/$client_ns" "$build/bench/mr-load" --demo \
		--connect 192.0.2.2:7000 --connect '[2001:db8::2]:7000' \
		--connections "$connections" --seconds "$1"
}

run() {
	local seconds=${DEMO_SECONDS:-10} status=0 result

	[[ $seconds =~ ^[1-9][0-9]{0,5}$ ]] ||
		fail "DEMO_SECONDS=$seconds: a whole number of seconds from 1"
	need millraced millrace-worker millrace bench/mr-load
	if [ ! -e "$demo/up" ] || ! is_healthy; then
		set_up
	else
		flock -u 9
	fi
	echo "demo: $connections connections, half IPv4 and half IPv6, to echo in $server_ns," \
		"$seconds s"
	send "$seconds" 2>&3 >"$demo/result" 9>&- &
	client=$!
	# Not "wait" alone: bash 5.2 can hang in an exit trap that has interrupted it.
	while [ -e "/proc/$client/exe" ]; do sleep 0.1; done
	wait "$client" || status=$?
	client=
	result=$(tail -n 1 "$demo/result")
	[[ $status -ne 0 || $result == "demo: ok "* ]] || status=1
	[ "$status" -eq 0 ] || show_log
	if [ "$started" = yes ]; then
		clean
		started=no
		[ "$status" -ne 0 ] || rm -rf "$demo"
	fi
	echo "${result:-demo: failed: the client did not report}"
	exit "$status"
}

[ $# -eq 1 ] || usage
case $1 in
run | up | down) ;;
*) usage ;;
esac
exec 3>&1 9<"$0"
flock -w 30 9 || fail "another scripts/demo.sh has been running for 30 s"
trap on_exit EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
"$1"

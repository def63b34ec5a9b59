# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh
# What the demos and shell share, to be read by each: an epmd, a cookie and a C node
# that end with the script. Before reading this, set $me, the name in messages, and
# $top, the top of the sources. A script that leaves more behind defines undo().

tmp=		# a folder that goes with the script
cnode=		# process id of the C node
beam=		# process id of an Erlang node in the background
epmd_is_ours=no

die() {
	# shellcheck disable=SC2154  # the script that reads this sets it
	printf '%s: %s\n' "$me" "$*" >&2
	exit 1
}

undo() { :; }

# Ends everything that was started here, however the script ends.
clean_up() {
	status=$?
	trap '' HUP INT TERM
	if [ -n "$beam" ]; then
		kill -KILL "$beam" 2>/dev/null
		wait "$beam" 2>/dev/null
	fi
	stop_cnode || [ "$status" -ne 0 ] || status=1
	undo || [ "$status" -ne 0 ] || status=1
	[ "$epmd_is_ours" = no ] || stop_epmd
	[ -z "$tmp" ] || rm -rf --one-file-system "$tmp"
	trap - EXIT
	exit "$status"
}

catch_signals() {
	trap clean_up EXIT
	trap 'exit 129' HUP
	trap 'exit 130' INT
	trap 'exit 143' TERM
}

# Between these a signal waits: nothing is started whose id is not known yet.
hold_signals() {
	held=
	trap 'held=129' HUP
	trap 'held=130' INT
	trap 'held=143' TERM
}

release_signals() {
	catch_signals
	[ -z "$held" ] || exit "$held"
}

prepare_nodes() {
	catch_signals
	tmp=$(mktemp -d "${TMPDIR:-/tmp}/ebpf_cnode.XXXXXX") || exit 1
	start_epmd
}

# eventually COMMAND...: tries until it succeeds, for 3 seconds
eventually() {
	tries=30
	until "$@"; do
		tries=$((tries - 1))
		[ "$tries" -gt 0 ] || return 1
		sleep 0.1
	done
}

# --- epmd and names -------------------------------------------------------------

names_in_epmd() { epmd -names 2>/dev/null | sed -n 's/^name \(.*\) at port .*/\1/p'; }

start_epmd() {
	epmd -names >/dev/null 2>&1 && return
	epmd -daemon || die 'epmd -daemon failed'
	epmd_is_ours=yes
	eventually epmd_answers || die 'epmd was started but does not answer'
}

epmd_answers() { epmd -names >/dev/null 2>&1; }

# epmd refuses to end while a name is registered: then others use it.
stop_epmd() { eventually kill_epmd || :; }

kill_epmd() {
	[ -z "$(names_in_epmd)" ] && epmd -kill 2>/dev/null | grep -q Killed
}

# free_name NAME: that, or the first of NAME2, NAME3 ... that no node has
free_name() {
	taken=$(names_in_epmd)
	name=$1
	i=2
	while printf '%s\n' "$taken" | grep -qFx "$name"; do
		name=$1$i
		i=$((i + 1))
	done
	echo "$name"
}

make_cookie() {
	(umask 277 && od -An -N16 -tx1 /dev/urandom | tr -d ' \n' >"$1")
}

# --- the C node -----------------------------------------------------------------

# start_cnode NAME OPTION...: sets $cnode and $node. --until-eof, with this script
# at the other end of the pipe, ends it with the script. setsid keeps ^C from it.
start_cnode() {
	node_name=$1
	shift
	mkfifo "$tmp/alive" || exit 1
	set -- setsid --wait "${EBPF_CNODE:-$top/cnode/ebpf_cnode}" \
		--sname "$node_name" --until-eof "$@"
	if [ "$(id -u)" -ne 0 ] && command -v sudo >/dev/null 2>&1; then
		# eBPF needs privilege; ask for the password while the prompt can be seen.
		sudo -v || die 'the C node needs root: run this as root'
		set -- sudo --preserve-env=ERL_EPMD_PORT,ERL_EPMD_ADDRESS "$@"
	fi
	exec 9<>"$tmp/alive" # to write only would wait for the other end
	hold_signals
	"$@" <"$tmp/alive" >"$tmp/cnode.log" 2>&1 9>&- &
	cnode=$!
	release_signals

	tries=150
	until node=$(sed -n 's/.* notice ready \([^ ]*\) port .*/\1/p' \
		"$tmp/cnode.log") && [ -n "$node" ]; do
		tries=$((tries - 1))
		if [ "$tries" -le 0 ] || ! [ -d "/proc/$cnode" ]; then
			stop_cnode
			die 'the C node did not become ready'
		fi
		sleep 0.1
	done
}

stop_cnode() {
	[ -n "$cnode" ] || return 0
	# Under sudo it ends with its standard input.
	[ "$(id -u)" -ne 0 ] || kill "$cnode" 2>/dev/null
	exec 9>&-
	wait "$cnode"
	ended=$?
	cnode=
	[ "$ended" -eq 0 ] && return 0
	echo "$me: the C node ended with status $ended:" >&2
	sed 's/^/    /' "$tmp/cnode.log" >&2
	return 1
}

# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh
# What the demos share: headings, commands that are shown as they run, and Erlang nodes
# that evaluate a file. To be read after nodes.sh.

step=0

# explain TEXT...: a numbered heading, one line for each text
explain() {
	step=$((step + 1))
	echo
	printf '# %s. %s\n' "$step" "$1"
	shift
	[ $# -eq 0 ] || printf '#    %s\n' "$@"
}

# show COMMAND...: prints it as in a shell, and runs it
show() {
	echo "\$ $*"
	"$@" || die "$1 failed with status $?"
}

# run_expressions NAME FILE [EBIN]: an Erlang node of that name evaluates the file
run_expressions() {
	run_name=$1
	shift
	hold_signals
	# shellcheck disable=SC2154  # start_cnode has set node
	HOME=$tmp escript "$top/test/demo/run_expressions.escript" \
		"$run_name@localhost" "$node" "$@" 9>&- </dev/null &
	beam=$!
	release_signals
	wait "$beam"
	ran=$?
	beam=
	[ "$ran" -eq 0 ] || exit 1
}

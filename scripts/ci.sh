#!/usr/bin/env bash
# What CI runs: every step in turn, also after one has failed (a run then shows everything that is wrong), with the
# duration of each at the end. Only a failed setup ends it early: nothing after it could work.
set -uo pipefail
cd "$(dirname "$0")/.."
rows=() failed=0
step() {
	local name=$1 start=$SECONDS result=ok; shift
	echo "== ci: $name"
	"$@" || { result=FAILED; failed=$((failed + 1)); }
	rows+=("$(printf '%-8s %6d s   %s' "$name" $((SECONDS - start)) "$result")")
	[ $result = ok ]
}
finish() {
	echo "== ci: durations"
	printf '%s\n' "${rows[@]}"
	echo "ci: ${#rows[@]} steps, $failed failed, in $SECONDS s"
	[ $failed = 0 ]
}
make=${MAKE:-make}
step setup "$make" -s setup || { finish; exit 1; }
step build "$make" -s build
step lint "$make" -s lint
step vet "$make" -s vet
step test "$make" -s test
step bench "$make" -s bench-quick # its last line is the ratios; it fails only where one could not be measured
step race "$make" -s race
step fuzz "$make" -s fuzz
finish

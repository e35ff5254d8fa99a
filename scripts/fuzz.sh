#!/usr/bin/env bash
# Fuzzes every target that the packages have, FUZZTIME (10s) each, and prints executions and crashers of each.
#   FUZZTIME=1m scripts/fuzz.sh [PACKAGES]        last line: fuzz: N targets, M crashers
# A crasher is left under testdata/fuzz of its package, as go test does: commit it with the fix.
set -uo pipefail
cd "$(dirname "$0")/.."
fuzztime=${FUZZTIME:-10s}
packages=("$@")
[ ${#packages[@]} -gt 0 ] || packages=(./...)
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT

# `go test -list` prints the names of a package, then its closing line with the path.
if ! go test -list '^Fuzz' "${packages[@]}" >"$out/list" 2>&1; then
	cat "$out/list" >&2
	echo "fuzz: the targets cannot be listed: a package does not build" >&2
	exit 1
fi
awk '/^Fuzz/ { names[++n] = $1 } /^ok/ { for (i = 1; i <= n; i++) print $2, names[i]; n = 0 }' "$out/list" >"$out/targets"
targets=$(wc -l <"$out/targets")
[ "$targets" -gt 0 ] || { echo "fuzz: no fuzz target was found" >&2; exit 1; }
module=$(go list -m)

# once PACKAGE NAME: one run; go sometimes calls the end of the fuzzing time a failure (no input is written then).
once() { go test -run '^$' -fuzz "^$2\$" -fuzztime "$fuzztime" -fuzzminimizetime 5s "$1" >"$out/run" 2>&1; }
crashers=0 broken=0
printf '%-30s %-32s %12s  %s\n' package target executions result
while read -r package name; do
	once "$package" "$name"
	code=$?
	if [ $code != 0 ] && ! grep -q 'Failing input written to' "$out/run" && grep -q 'context deadline exceeded' "$out/run"; then
		once "$package" "$name"
		code=$?
	fi
	execs=$(grep -o 'execs: [0-9]*' "$out/run" | tail -n 1 | cut -d' ' -f2)
	result=ok
	if [ $code != 0 ]; then
		if grep -qE 'Failing input written to|--- FAIL' "$out/run"; then
			result=CRASHER crashers=$((crashers + 1))
		else
			result=BROKEN broken=$((broken + 1))
		fi
	elif [ "${execs:-0}" = 0 ]; then
		result='BROKEN (nothing was executed)' broken=$((broken + 1))
	fi
	printf '%-30s %-32s %12s  %s\n' "${package#"$module"/}" "$name" "${execs:-0}" "$result"
	[ "$result" = ok ] || sed 's/^/    /' "$out/run" | tail -n 30
done <"$out/targets"
[ $broken = 0 ] || echo "fuzz: $broken targets did not run" >&2
echo "fuzz: $targets targets, $crashers crashers"
[ $((crashers + broken)) = 0 ]

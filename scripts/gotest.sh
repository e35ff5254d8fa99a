#!/usr/bin/env bash
# go test with a closing line:  scripts/gotest.sh NAME GO-TEST-ARGUMENTS…
# Prints what go test prints, then `NAME: N packages passed, M failed, K without tests, in S s`.
set -uo pipefail
cd "$(dirname "$0")/.."
name=$1; shift
mkdir -p .cache
log=.cache/$name.log
go test "$@" 2>&1 | tee "$log"
code=$?
passed=$(grep -c '^ok  ' "$log")
# A package fails as `FAIL<tab>path<tab>…`; the bare FAIL lines around it are not packages.
failed=$(grep -cP '^FAIL\t' "$log")
without=$(grep -c 'no test files\]$' "$log")
if [ $code = 0 ] && [ "$passed" = 0 ]; then
	echo "$name: no package has a test" >&2
	code=1
fi
[ "$failed" = 0 ] || grep -P '^(FAIL\t|--- FAIL|\s+--- FAIL)' "$log"
echo "$name: $passed packages passed, $failed failed, $without without tests, in $SECONDS s"
exit $code

#!/usr/bin/env bash
# Everything that can be said about the code without running it. All of it runs, then the exit code is non-zero when
# any of it found something.
set -uo pipefail
cd "$(dirname "$0")/.."
failed=0
try() {
	local name=$1; shift
	"$@" || { echo "lint: $name found something" >&2; failed=$((failed + 1)); }
}
gofmt_clean() {
	local dirty
	dirty=$(gofmt -l $(git ls-files -co --exclude-standard '*.go')) || return 1
	[ -z "$dirty" ] && return 0
	printf 'gofmt: not formatted: %s\n' $dirty >&2
	return 1
}
try golangci-lint .cache/bin/golangci-lint run --allow-parallel-runners ./...
try gofmt gofmt_clean
try 'go vet' go vet ./...
try 'import table' go run ./scripts/depcheck -lint .cache/bin/golangci-lint
try 'house checks' scripts/vet.sh
echo "lint: 5 checks, $failed failed, in $SECONDS s"
[ $failed = 0 ]

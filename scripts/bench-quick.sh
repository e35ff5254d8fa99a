#!/usr/bin/env bash
# make bench-quick: CPU per call of bellhop against HAProxy, within a minute. The method is in docs/bench/README.md.
# Arguments go to scripts/bench (--rounds, --duration, --strict, --raw FOLDER, --profile FOLDER, --page FOLDER).
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh quick
for b in bin/bellhop bin/thriftperf; do
	[ -x $b ] || { echo "bench-quick: $b is missing: run make build" >&2; exit 2; }
done
exec go run ./scripts/bench "$@"

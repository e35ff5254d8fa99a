#!/usr/bin/env bash
# make prove-isolation: an attacker and its victims on one upstream connection, through the real binary. Flags go to scripts/interop/prove: --direct shows what happens without it.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/interop/build.sh
exec go run ./scripts/interop/prove isolation "$@"

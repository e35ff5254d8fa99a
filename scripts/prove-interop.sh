#!/usr/bin/env bash
# make prove-interop: every caller framing to every server framing, through the real binary. Flags go to scripts/interop/prove: --direct shows what happens without it.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/interop/build.sh
exec go run ./scripts/interop/prove interop "$@"

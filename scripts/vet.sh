#!/usr/bin/env bash
# The house rules that no public linter knows; the rules and their reasons are in scripts/housecheck.
set -euo pipefail
cd "$(dirname "$0")/.."
exec go run ./scripts/housecheck .

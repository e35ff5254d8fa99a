#!/bin/bash
# Builds the peers of the interoperability matrix (Go, C++, Python, Java, Node.js) into .cache/interop, each only when
# something it is made of is newer. Quiet but for one line a step on a terminal; says what is missing and leaves with 1.
#
#   .cache/interop/bin/{go,cpp,python,java,node}   the peers, all with one command line (see scripts/interop/peer)
set -euo pipefail
cd "$(dirname "$0")/../.."
root=$PWD src=$root/scripts/interop out=$root/.cache/interop
idl=$src/interop.thrift
java_home=/usr/share/java
mkdir -p "$out/bin"
exec 9>"$out/lock"
flock 9 # two runs at once build once

say() { if [ -t 2 ]; then echo "interop: $*" >&2; fi; }

# need COMMAND-OR-FILE WHAT: collects what is missing, so that all of it is told at once.
missing=()
need() {
  case $1 in
    /*) [ -e "$1" ] || missing+=("$2 ($1)") ;;
    *) command -v "$1" >/dev/null || missing+=("$2 (command $1)") ;;
  esac
}

# stale TARGET INPUT…: true when TARGET is not there or older than an input (folders: than anything in them).
stale() {
  local target=$1
  shift
  [ -e "$target" ] || return 0
  [ -n "$(find "$@" -newer "$target" -print -quit)" ]
}

# run LOG COMMAND…: output goes to the screen only when the command fails.
run() {
  local log=$out/$1.log
  shift
  if ! "$@" >"$log" 2>&1; then
    cat "$log" >&2
    echo "interop: $* failed" >&2
    exit 1
  fi
}

# launcher NAME LINE…: how the harness starts a peer.
launcher() {
  local file=$out/bin/$1
  shift
  printf '#!/bin/sh\n' >"$file.new"
  printf '%s\n' "$@" >>"$file.new"
  chmod +x "$file.new"
  mv "$file.new" "$file"
}

jar() { # the first of these names that is installed
  local name
  for name in "$@"; do
    if [ -e "$java_home/$name.jar" ]; then
      echo "$java_home/$name.jar"
      return
    fi
  done
  echo "$java_home/$1.jar"
}

need go "the Go toolchain"
need thrift "the Thrift compiler, Debian thrift-compiler"
need g++ "a C++ compiler, Debian g++"
need /usr/include/thrift/Thrift.h "the Thrift library for C++, Debian libthrift-dev"
need /usr/include/boost/version.hpp "Boost's headers, Debian libboost-dev"
need /usr/bin/python3 "Debian's Python 3"
need javac "a Java 17 development kit"
libthrift=$(jar libthrift thrift) slf4j=$(jar slf4j-api) nop=$(jar slf4j-nop) annotations=$(jar geronimo-annotation-1.3-spec)
need "$libthrift" "the Thrift library for Java, Debian libthrift-java"
need "$slf4j" "slf4j, Debian libslf4j-java"
need "$nop" "slf4j's nop logger, Debian libslf4j-java"
need "$annotations" "javax.annotation, Debian libgeronimo-annotation-1.3-spec-java"
need node "Node.js"
need npm "npm"
if [ -x /usr/bin/python3 ] && ! /usr/bin/python3 -c 'import thrift.protocol.THeaderProtocol' 2>/dev/null; then
  missing+=("the Thrift library for Python, Debian python3-thrift (for /usr/bin/python3)")
fi
if [ ${#missing[@]} -gt 0 ]; then
  echo "interop: these are missing; scripts/setup.sh installs them:" >&2
  printf '  %s\n' "${missing[@]}" >&2
  exit 1
fi

gen=$out/gen
if stale "$gen/done" "$idl" "$src/build.sh"; then
  say "generating code from interop.thrift"
  rm -rf "$gen"
  mkdir -p "$gen"/{cpp,java,py,js}
  run thrift-cpp thrift --gen cpp:no_skeleton -out "$gen/cpp" "$idl"
  run thrift-java thrift --gen java:generated_annotations=suppress -out "$gen/java" "$idl"
  run thrift-py thrift --gen py -out "$gen/py" "$idl"
  run thrift-js thrift --gen js:node,es6 -out "$gen/js" "$idl"
  touch "$gen/done"
fi

say "Go"
run go nice go build -o "$out/go-peer" ./scripts/interop/peer # the go tool knows what is stale

cpp=$out/cpp
mkdir -p "$cpp"
todo=()
for unit in "$gen"/cpp/*.cpp "$src"/cpp/*.cpp; do
  object=$cpp/$(basename "$unit" .cpp).o
  if stale "$object" "$unit" "$gen/done" "$src"/cpp/*.h; then todo+=("$unit" "$object"); fi
done
if [ ${#todo[@]} -gt 0 ]; then
  say "C++ ($((${#todo[@]} / 2)) units)"
  compile() { nice g++ -std=c++14 -O1 -I"$1" -I"$2" -c "$3" -o "$4.new" && mv "$4.new" "$4"; }
  export -f compile
  run cpp xargs -P2 -n2 bash -c 'compile "$0" "$1" "$2" "$3"' "$gen/cpp" "$src/cpp" < <(printf '%s\n' "${todo[@]}")
fi
if stale "$cpp/peer" "$cpp"/*.o; then
  run cpp-link g++ "$cpp"/*.o -o "$cpp/peer" -lthrift -lthriftz -lz -lpthread
fi

classes=$out/java/classes
class_path=$libthrift:$slf4j:$annotations
if stale "$out/java/done" "$gen/done" "$src/java"; then
  say "Java"
  rm -rf "$out/java"
  mkdir -p "$classes"
  run java nice javac -nowarn -encoding UTF-8 -d "$classes" -cp "$class_path" "$gen"/java/interop/*.java "$src"/java/*.java
  touch "$out/java/done"
fi

if stale "$out/node/done" "$src/node/package.json"; then
  say "npm's thrift"
  mkdir -p "$out/node"
  cp "$src/node/package.json" "$out/node/"
  run npm npm install --prefix "$out/node" --no-audit --no-fund --no-package-lock
  touch "$out/node/done"
fi

launcher go "exec '$out/go-peer' \"\$@\""
launcher cpp "exec '$cpp/peer' \"\$@\""
launcher python "PYTHONPATH='$gen/py' PYTHONDONTWRITEBYTECODE=1 exec /usr/bin/python3 '$src/python/peer.py' \"\$@\""
launcher java "exec java -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Xmx256m -Xshare:auto -Dfile.encoding=UTF-8 \\" \
  "  -cp '$classes:$class_path:$nop' Peer \"\$@\""
launcher node "NODE_PATH='$out/node/node_modules:$gen/js' exec node '$src/node/peer.js' \"\$@\""

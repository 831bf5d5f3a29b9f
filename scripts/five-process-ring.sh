#!/usr/bin/env bash
# A ring of five processes on this machine, with disks: import a file, kill two processes meanwhile, bring them back, add a sixth, let one
# leave, and compare what comes out with what went in after every step. It uses nothing but chordd and chord, as you would by hand.
set -euo pipefail

usage() {
  cat <<'USAGE'
usage: scripts/five-process-ring.sh [--keys N | --file FILE] [--dir DIR] [--port P] [--keep]

  --keys N     import N made-up keys (default 100000)
  --file FILE  import this file of KEY<TAB>VALUE lines instead; every key once
  --dir DIR    where data, logs and programs go (default: a temporary directory, removed at the end)
  --port P     first of the 60 ports to use (default 7500)
  --keep       leave the ring running at the end
USAGE
}

keys=100000 file='' dir='' port=7500 keep=
while [ $# -gt 0 ]; do
  case $1 in
    --keys) keys=$2; shift 2 ;;
    --file) file=$2; shift 2 ;;
    --dir) dir=$2; shift 2 ;;
    --port) port=$2; shift 2 ;;
    --keep) keep=yes; shift ;;
    -h | --help) usage; exit 0 ;;
    *) usage >&2; exit 2 ;;
  esac
done

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
temporary=
if [ -z "$dir" ]; then
  dir=$(mktemp -d)
  temporary=yes
fi
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)

declare -A pid=()
stop_all() {
  local rc=$?
  if [ -n "$keep" ] && [ $rc -eq 0 ]; then
    echo "running: ${pid[*]}; data and logs in $dir; stop with: kill ${pid[*]}"
    return
  fi
  for i in "${!pid[@]}"; do kill -9 "${pid[$i]}" 2>/dev/null || true; done
  if [ $rc -ne 0 ]; then
    for log in "$dir"/*.log; do
      echo "-- end of $log" >&2
      tail -n 5 "$log" >&2
    done
  elif [ -n "$temporary" ]; then
    rm -rf "$dir"
  fi
}
trap stop_all EXIT

say() { printf '\n== %s\n' "$*"; }
address() { echo "127.0.0.1:$((port + 10 * $1))"; }
chord() { "$dir/bin/chord" --no-progress "$@"; }

# start I SEED: process I, joining process SEED; "-" starts a new ring. Copies are made again two seconds after a process has gone, and not after the ten
# minutes in which it may be back, so that it can be seen.
start() {
  local join=()
  if [ "$2" != - ]; then join=(--join "$(address "$2")"); fi
  "$dir/bin/chordd" --listen "$(address "$1")" --admin "127.0.0.1:$((port + 10 * $1 + 2))" --data "$dir/data$1" --vnodes 8 --grace 2s \
    "${join[@]}" >>"$dir/chordd$1.log" 2>&1 &
  pid[$1]=$!
  disown
}

crash() {
  kill -9 "${pid[$1]}"
  unset "pid[$1]"
  echo "process $1 killed"
}

# within SECONDS WHAT COMMAND...: repeats the command until it succeeds.
within() {
  local until=$((SECONDS + $1)) what=$2
  shift 2
  until "$@" >/dev/null 2>&1; do
    if [ $SECONDS -ge $until ]; then
      echo "not in time: $what" >&2
      "$@" >&2
      return 1
    fi
    sleep 0.2
  done
  echo "$what"
}

ready() { chord status --check -q --server "$(address "$1")"; }

# copies: every key is stored on three processes, no more and no less, as the processes count their records.
copies() {
  local sum=0 i n
  for i in "${!pid[@]}"; do
    n=$(chord status -o json --server "$(address "$i")" | grep -o '"records": *-\?[0-9]*' | grep -o -- '-\?[0-9]*$')
    sum=$((sum + n))
  done
  echo "$sum records, want $((3 * keys))"
  [ "$sum" -eq $((3 * keys)) ]
}

# verify I: what process I exports is what was imported, every key once, and each is on three processes.
verify() {
  chord export "$dir/out.tsv" --force --format tsv --server "$(address "$1")"
  LC_ALL=C sort "$dir/out.tsv" | cmp - "$dir/want.tsv"
  echo "export through process $1: $(wc -l <"$dir/out.tsv") keys, all right"
  within 30 "every key on three processes" copies
}

say "build"
(cd "$root" && go build -o "$dir/bin/" ./cmd/chordd ./cmd/chord)
if [ -z "$file" ]; then
  file=$dir/keys.tsv
  awk -v n="$keys" 'BEGIN { srand(1); for (i = 0; i < n; i++) printf "package-%06d\t%d.%d.%d\n", i, rand()*20, rand()*50, rand()*100 }' >"$file"
fi
keys=$(wc -l <"$file")
LC_ALL=C sort "$file" >"$dir/want.tsv"

say "five processes"
start 0 -
within 20 "process 0 is ready" ready 0
for i in 1 2 3 4; do start "$i" 0; done
for i in 1 2 3 4; do within 20 "process $i is ready" ready "$i"; done

say "import of $keys lines, while two processes are killed"
chord import "$file" --server "$(address 0)" &
import=$!
sleep 2
crash 3
for _ in $(seq 100); do
  kill -0 $import 2>/dev/null || break
  sleep 0.1
done
crash 4
wait $import
verify 1

say "the two come back"
start 3 0
start 4 1
for i in 3 4; do within 20 "process $i is ready" ready "$i"; done
verify 4

say "a sixth joins"
start 5 2
within 20 "process 5 is ready" ready 5
verify 5

say "one leaves"
chord leave --yes --server "$(address 1)"
unset 'pid[1]'
verify 0

say "the ring"
within 30 "every node has the right neighbors" chord ring --check --server "$(address 0)"
for i in "${!pid[@]}"; do chord status --server "$(address "$i")" | sed -n '1,/^store/p'; done

#!/usr/bin/env bash
# The README's table of speeds: starts three processes, loads them with chord bench, and prints operations per second, latencies and the CPU time of
# an operation, of the three processes and the load generator together. Above and below stands the yardstick of the moment, a bare gRPC echo.
# With --against COMMIT each row is measured with the build of that commit too, directly before the one of the working tree: figures of
# different moments cannot be compared, those of one run can.
set -euo pipefail

usage() { echo "usage: scripts/bench.sh [--duration SECONDS] [--rounds N] [--rows 'STORE:OP:CLIENTS ...'] [--against COMMIT] [--port P]"; }

duration=6 rounds=1 against='' port=7400
rows='memory:put:64 memory:get:64 memory:put:1024 memory:get:1024 pebble:put:64 pebble:get:64'
while [ $# -gt 0 ]; do
  case $1 in
    --duration) duration=$2; shift 2 ;;
    --rounds) rounds=$2; shift 2 ;;
    --rows) rows=$2; shift 2 ;;
    --against) against=$2; shift 2 ;;
    --port) port=$2; shift 2 ;;
    -h | --help) usage; exit 0 ;;
    *) usage >&2; exit 2 ;;
  esac
done

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
dir=$(mktemp -d)
pids=()
stop() {
  kill -9 "${pids[@]}" 2>/dev/null || true
  wait "${pids[@]}" 2>/dev/null || true # the ports are free then
  pids=()
  rm -rf "$dir/data"
}
cleanup() {
  stop
  if [ -e "$dir/old" ]; then git -C "$root" worktree remove --force "$dir/old"; fi
  rm -rf "$dir"
}
trap cleanup EXIT

(cd "$root" && go build -o "$dir/new-bin/" ./cmd/chordd ./cmd/chord && go test -c -o "$dir/rpc.test" ./rpc)
builds=(new)
if [ -n "$against" ]; then
  git -C "$root" worktree add --quiet --detach "$dir/old" "$against"
  (cd "$dir/old" && go build -o "$dir/old-bin/" ./cmd/chordd ./cmd/chord)
  builds=(old new)
fi

address() { echo "127.0.0.1:$((port + 10 * $1))"; }
servers=$(address 0),$(address 1),$(address 2)

# start BUILD STORE starts a ring of three.
start() {
  local i join
  for i in 0 1 2; do
    join=()
    if [ "$i" -gt 0 ]; then join=(--join "$(address 0)"); fi
    "$dir/$1-bin/chordd" --listen "$(address "$i")" --admin "127.0.0.1:$((port + 10 * i + 2))" --data "$dir/data/$i" --store "$2" \
      "${join[@]}" >"$dir/chordd$i.log" 2>&1 &
    pids+=($!)
  done
  for i in 0 1 2; do
    until "$dir/$1-bin/chord" status --check -q --server "$(address "$i")" >/dev/null 2>&1; do
      kill -0 "${pids[$i]}" # or it has ended
      sleep 0.1
    done
  done
}

# ticks prints the CPU time of the processes so far, in clock ticks.
ticks() {
  local p u s sum=0
  for p in "${pids[@]}"; do
    read -r u s < <(sed 's/.*) //' "/proc/$p/stat" | awk '{ print $12, $13 }')
    sum=$((sum + u + s))
  done
  echo "$sum"
}

field() { grep -oE "\"$1\": ?[0-9.]+" "$2" | head -n 1 | grep -oE '[0-9.]+$'; }

# measure BUILD STORE OP CLIENTS prints a row. The CPU time is that of warm-up, if any, and measurement, so warm-up is off: one run before warms up.
measure() {
  start "$1" "$2"
  local bench=("$dir/$1-bin/chord" bench "$3" --clients "$4" --server "$servers" --no-progress -o json) before after own
  "${bench[@]}" --warmup 0s --duration 3s >/dev/null
  before=$(ticks)
  own=$({ TIMEFORMAT='%U %S'; time "${bench[@]}" --preload=false --warmup 0s --duration "${duration}s" >"$dir/out.json"; } 2>&1 | awk '{ print $1 + $2 }')
  after=$(ticks)
  awk -v b="$1" -v s="$2" -v o="$3" -v c="$4" -v n="$(field operations "$dir/out.json")" -v r="$(field ops_per_second "$dir/out.json")" \
    -v f="$(field failed "$dir/out.json")" -v p50="$(field p50 "$dir/out.json")" -v p99="$(field p99 "$dir/out.json")" \
    -v t=$((after - before)) -v hz="$(getconf CLK_TCK)" -v own="$own" 'BEGIN {
    printf "%-5s %-7s %-4s %7d %9d %6d %9.1f %9.1f %9.0f\n", b, s, o, c, r, f, p50 / 1e6, p99 / 1e6, (t / hz + own) / n * 1e6 }'
  stop
}

yardstick() { "$dir/rpc.test" -test.run xxx -test.bench Gather/unary/callers=64 | awk '/calls\/s/ { for (i = 1; i < NF; i++) if ($(i + 1) == "calls/s") printf "gRPC echo, 64 callers: %d calls/s\n", $i }'; }

yardstick
printf '%-5s %-7s %-4s %7s %9s %6s %9s %9s %9s\n' build store op clients ops/s failed 'p50 [ms]' 'p99 [ms]' 'CPU [us]'
for _ in $(seq "$rounds"); do
  for row in $rows; do
    IFS=: read -r store op clients <<<"$row"
    for build in "${builds[@]}"; do measure "$build" "$store" "$op" "$clients"; done
  done
done
yardstick

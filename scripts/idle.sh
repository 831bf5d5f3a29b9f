#!/usr/bin/env bash
# What an idle ring costs: starts processes of one node each, lets them settle, and prints the CPU time and the traffic of the seconds that
# follow. Nothing else should use the loopback interface meanwhile; as root it runs in a network namespace of its own, where nothing does.
set -euo pipefail

usage() { echo "usage: scripts/idle.sh [--processes N] [--settle SECONDS] [--measure SECONDS] [--vnodes V] [--port P]"; }

processes=16 settle=30 measure=60 vnodes=1 port=7500
args=("$@")
while [ $# -gt 0 ]; do
  case $1 in
    --processes) processes=$2; shift 2 ;;
    --settle) settle=$2; shift 2 ;;
    --measure) measure=$2; shift 2 ;;
    --vnodes) vnodes=$2; shift 2 ;;
    --port) port=$2; shift 2 ;;
    -h | --help) usage; exit 0 ;;
    *) usage >&2; exit 2 ;;
  esac
done

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
if [ -z "${CHORD_IDLE_NAMESPACE:-}" ] && unshare --net true 2>/dev/null; then
  CHORD_IDLE_NAMESPACE=yes exec unshare --net "$0" "${args[@]}"
fi
if [ -n "${CHORD_IDLE_NAMESPACE:-}" ]; then ip link set lo up; fi

dir=$(mktemp -d)
pids=()
cleanup() {
  for p in "${pids[@]}"; do kill -9 "$p" 2>/dev/null || true; done
  rm -rf "$dir"
}
trap cleanup EXIT
(cd "$root" && go build -o "$dir/bin/" ./cmd/chordd ./cmd/chord)

address() { echo "127.0.0.1:$((port + 10 * $1))"; }
for i in $(seq 0 $((processes - 1))); do
  join=()
  if [ "$i" -gt 0 ]; then join=(--join "$(address 0)"); fi
  "$dir/bin/chordd" --listen "$(address "$i")" --admin "127.0.0.1:$((port + 10 * i + 2))" --data "$dir/data$i" --vnodes "$vnodes" \
    "${join[@]}" >"$dir/chordd$i.log" 2>&1 &
  pids+=($!)
  disown
  until "$dir/bin/chord" status --check -q --server "$(address "$i")" >/dev/null 2>&1; do
    kill -0 "${pids[-1]}" # or it has ended
    sleep 0.1
  done
done
echo "$processes processes of $vnodes nodes are ready; settling for $settle s, measuring for $measure s"
sleep "$settle"

# CPU time of all processes in nanoseconds, as the scheduler has it: the ticks in /proc/PID/stat are a sample, and miss or overrate what is short.
used() {
  local p
  for p in "${pids[@]}"; do cat /proc/"$p"/task/*/schedstat; done | awk '{ sum += $1 } END { printf "%.0f\n", sum }'
}
sent() { awk '$1 == "lo:" { print $10, $11 }' /proc/net/dev; }

t0=$(used)
read -r b0 p0 < <(sent)
sleep "$measure"
t1=$(used)
read -r b1 p1 < <(sent)

awk -v t=$((t1 - t0)) -v b=$((b1 - b0)) -v p=$((p1 - p0)) -v n="$processes" -v s="$measure" 'BEGIN {
  printf "CPU      %.2f %% of one core, all together\n", t / 1e7 / s
  printf "traffic  %.0f bytes/s and %.1f packets/s sent by each process, TCP/IP headers included\n", b / s / n, p / s / n
}'
for i in 0 $((processes - 1)); do
  awk -v p="${pids[$i]}" '/^VmRSS/ { printf "memory   %.1f MiB resident in process %s\n", $2 / 1024, p }' "/proc/${pids[$i]}/status"
done

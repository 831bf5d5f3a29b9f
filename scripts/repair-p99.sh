#!/usr/bin/env bash
# What repair costs clients: five processes with disks, full of data, and gets and puts at a fixed rate; in turn while all is quiet, and while a process that has lost its disk
# gets its share from the others. Prints the latencies of both, and by how much they differ. Latency counts from when an operation was due.
set -euo pipefail

usage() { echo "usage: scripts/repair-p99.sh [--keys N] [--size BYTES] [--rate OPERATIONS/S] [--duration SECONDS] [--rounds N] [--port P] [-- CHORDD-FLAGS]"; }

keys=200000 size=1024 rate=1000 duration=20 rounds=3 port=7700
while [ $# -gt 0 ]; do
  case $1 in
    --keys) keys=$2; shift 2 ;;
    --size) size=$2; shift 2 ;;
    --rate) rate=$2; shift 2 ;;
    --duration) duration=$2; shift 2 ;;
    --rounds) rounds=$2; shift 2 ;;
    --port) port=$2; shift 2 ;;
    --) shift; break ;;
    -h | --help) usage; exit 0 ;;
    *) usage >&2; exit 2 ;;
  esac
done
flags=("$@")

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
dir=$(mktemp -d)
pids=()
cleanup() {
  kill -9 "${pids[@]}" 2>/dev/null || true
  wait "${pids[@]}" 2>/dev/null || true
  rm -rf "$dir"
}
trap cleanup EXIT
(cd "$root" && go build -o "$dir/bin/" ./cmd/chordd ./cmd/chord)

address() { echo "127.0.0.1:$((port + 10 * $1))"; }
chord() { "$dir/bin/chord" --no-progress "$@"; }

# start I SEED starts process I, and waits until it serves.
start() {
  local join=()
  if [ "$2" != - ]; then join=(--join "$(address "$2")"); fi
  "$dir/bin/chordd" --listen "$(address "$1")" --admin "127.0.0.1:$((port + 10 * $1 + 2))" --data "$dir/data$1" "${flags[@]}" "${join[@]}" >>"$dir/chordd$1.log" 2>&1 &
  pids[$1]=$!
  until chord status --check -q --server "$(address "$1")" >/dev/null 2>&1; do
    kill -0 "${pids[$1]}" # or it has ended
    sleep 0.1
  done
}

# sum METRIC... adds metrics without labels up over all processes.
sum() {
  local i
  for i in 0 1 2 3 4; do curl -fsS "http://127.0.0.1:$((port + 10 * i + 2))/metrics"; done |
    awk -v names="$*" 'BEGIN { split(names, n); for (i in n) want[n[i]] } $1 in want { s += $2 } END { printf "%.0f\n", s }'
}

# settle waits until every key is on three processes and no more, and none of them has anything to repair.
settle() {
  until [ "$(sum chord_store_records)" -eq $((3 * keys)) ] && [ "$(sum chord_repair_arcs_behind chord_repair_arcs_comparing chord_repair_arcs_waiting)" -eq 0 ]; do
    sleep 0.5
  done
}

# bench FILE measures gets and puts, half of each. How many failed is in the file; if all did, there is none.
bench() {
  chord bench mixed --preload=false --keys "$keys" --size "$size" --rate "$rate" --warmup 1s --duration "${duration}s" --server "$(address 0),$(address 1)" -o json >"$1" || [ -s "$1" ]
}

# figure OPERATION PERCENTILE FILE prints a latency in milliseconds.
figure() { tr -d ' \n' <"$3" | sed -E "s/.*\"$1\":\{\"count\":[0-9]+,\"latency_ns\":\{([^}]*)\}.*/\1/" | grep -oE "\"$2\":[0-9]+" | awk -F: '{ printf "%.2f", $2 / 1e6 }'; }

# row ROUND WHAT FILE MOVED BUSY
row() {
  printf '%5d %-9s %9s %9s %9s %9s %7d %9d %5s\n' "$1" "$2" "$(figure get p50 "$3")" "$(figure get p99 "$3")" "$(figure put p50 "$3")" "$(figure put p99 "$3")" \
    "$(tr -d ' \n' <"$3" | grep -oE '"failed":[0-9]+' | grep -oE '[0-9]+')" "$4" "$5"
}

start 0 -
for i in 1 2 3 4; do start "$i" 0; done
echo "$keys keys of $size bytes, $rate operations/s"
chord bench get --keys "$keys" --size "$size" --clients 32 --warmup 0s --duration 1s --server "$(address 0),$(address 1)" >/dev/null
settle

moved=(chord_repair_sent_bytes_total chord_repair_received_bytes_total)
printf '%5s %-9s %9s %9s %9s %9s %7s %9s %5s\n' round repair 'get p50' 'get p99' 'put p50' 'put p99' failed 'MB moved' busy
for round in $(seq "$rounds"); do
  bench "$dir/quiet$round.json"
  row "$round" none "$dir/quiet$round.json" 0 0%

  kill -9 "${pids[4]}"
  wait "${pids[4]}" 2>/dev/null || true
  rm -rf "$dir/data4"
  start 4 0
  before=$(sum "${moved[@]}")
  bench "$dir/repair$round.json" &
  load=$!
  looks=0 busy=0 # how much of the time there was something to repair
  while kill -0 $load 2>/dev/null; do
    looks=$((looks + 1))
    if [ "$(sum chord_repair_arcs_comparing)" -gt 0 ]; then busy=$((busy + 1)); fi
    sleep 0.5
  done
  wait $load
  row "$round" 'all along' "$dir/repair$round.json" $((($(sum "${moved[@]}") - before) / 1000000)) $((100 * busy / looks))%
  settle
done

for op in get put; do
  for round in $(seq "$rounds"); do
    echo "$(figure $op p99 "$dir/repair$round.json") $(figure $op p99 "$dir/quiet$round.json")"
  done | awk '{ print $1 / $2 }' | sort -n | awk -v op=$op '{ r[NR] = $1 } END {
    printf "%s: p99 during repair is %.2f times that without (median of %d rounds, %.2f to %.2f)\n", op, (r[int((NR + 1) / 2)] + r[int((NR + 2) / 2)]) / 2, NR, r[1], r[NR] }'
done

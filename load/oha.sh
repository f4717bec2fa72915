#!/usr/bin/env bash
# Orders under load with oha, one model after the other: every request submits an order and is held until it has ended.
# oha reads neither bodies nor X-Order-Status, so how the orders ended is taken from the service's own count in GET /stats;
# that is only right while nobody else sends orders. Does not follow up an order that outlasts WAIT_S: it counts as
# unfinished.
#
#   load/oha.sh                            closed loop, 8 connections
#   RATE=50 MODEL=asyncio load/oha.sh      50 orders/s by the timetable, each latency counted from when it was due
set -euo pipefail

BASE_URL=${BASE_URL:-http://127.0.0.1:8080}
BASE_URL=${BASE_URL%/}
MODEL=${MODEL:-all}
IO_MS=${IO_MS:-60}
CPU_MS=${CPU_MS:-8}
DISHES=${DISHES:-1}
RATE=${RATE:-} # orders per second; empty: as fast as the answers come
DURATION=${DURATION:-10s}
CONNECTIONS=${CONNECTIONS:-8}
WAIT_S=${WAIT_S:-30} # the service refuses a wait above 60 s
OHA=${OHA:-oha}

fail() {
  echo "oha.sh: $*" >&2
  exit 2
}

for name in IO_MS CPU_MS DISHES WAIT_S CONNECTIONS; do
  [[ ${!name} =~ ^[0-9]+$ ]] || fail "$name=${!name}: want a whole number"
done
command -v "$OHA" >/dev/null || fail "$OHA is not installed: cargo install oha --locked (needs cmake and make)"
curl -fsS --max-time 10 "$BASE_URL/stats" >/dev/null || fail "no service answers GET $BASE_URL/stats"

stat_of() { # NAME: one counter of GET /stats, whose counters are flat, unique integers
  curl -fsS "$BASE_URL/stats" | grep -oE "\"$1\": *[0-9]+" | head -n 1 | grep -oE '[0-9]+$'
}

ended_badly() {
  echo $(($(stat_of failed) + $(stat_of canceled) + $(stat_of expired)))
}

if [[ $IO_MS == 0 && $CPU_MS == 0 ]]; then
  work='"recipe":{"name":"n","steps":[{"name":"n","work":{"kind":"wait","ms":0}}]}'
else
  work="\"io_ms\":$IO_MS,\"cpu_ms\":$CPU_MS"
fi
pacing=()
# Without the correction -q alone would count from when a connection was free: coordinated omission.
[[ -z $RATE ]] || pacing=(-q "$RATE" --latency-correction)
[[ $MODEL != all ]] || MODEL=sequential,asyncio,multithreading,multiprocessing

output=$(mktemp)
trap 'rm -f "$output"' EXIT
submitted=0 succeeded=0 failed=0 refused=0 errors=0 unfinished=0
for model in ${MODEL//,/ }; do
  echo "== $model"
  failed_before=$(ended_badly)
  # -w: without it oha breaks off the requests that are under way when the time is up, and their orders end unseen.
  "$OHA" --no-tui --no-color -w -z "$DURATION" -c "$CONNECTIONS" "${pacing[@]}" \
    -m POST -T application/json -d "{\"model\":\"$model\",\"dishes\":$DISHES,$work}" \
    -t "$((WAIT_S + 30))s" "$BASE_URL/orders?wait=$WAIT_S" | tee "$output"
  ended=0
  while read -r status count; do # "  [200] 123 responses"
    submitted=$((submitted + count))
    case $status in
      200) ended=$((ended + count)) ;;
      202) unfinished=$((unfinished + count)) ;;
      429 | 503) refused=$((refused + count)) ;;
      *) errors=$((errors + count)) ;;
    esac
  done < <(sed -nE 's/^ *\[([0-9]{3})\] ([0-9]+) responses$/\1 \2/p' "$output")
  while read -r count; do # "  [2] connection refused", in the last section
    submitted=$((submitted + count)) errors=$((errors + count))
  done < <(sed -n '/^Error distribution:/,$p' "$output" | sed -nE 's/^ *\[([0-9]+)\] .*/\1/p')
  failed_here=$(($(ended_badly) - failed_before))
  failed=$((failed + failed_here)) succeeded=$((succeeded + ended - failed_here))
done

echo "orders: submitted=$submitted succeeded=$succeeded failed=$failed refused=$refused errors=$errors unfinished=$unfinished"
((succeeded > 0 && failed + refused + errors + unfinished == 0))

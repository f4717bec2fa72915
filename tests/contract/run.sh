#!/usr/bin/env bash
# Holds the running service against the contract it publishes: schemathesis makes up requests from /openapi.json, valid
# ones and broken ones, and all its checks look at the answers. What must not count as a finding stands in hooks.py and
# schemathesis.toml, each with its reason. Everything lands in target/contract.
# It starts no service, and it reads no stream: schemathesis takes a whole answer before it looks at it, and a stream of
# events has no end, so tests/it tests those.
#
#   BASE_URL=http://127.0.0.1:8080 tests/contract/run.sh [EXAMPLES]
#
# EXAMPLES is how many requests an operation gets at most from each phase; $CONTRACT_EXAMPLES says it as well.
# With the service's process id in $SERVICE_PID its memory is looked at before and after: what it has grown by beyond the
# orders it keeps is printed and held to a bound.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
out=$(dirname "$(dirname "$here")")/target/contract
BASE_URL=${BASE_URL:-http://127.0.0.1:8080}
BASE_URL=${BASE_URL%/}
examples=${1:-${CONTRACT_EXAMPLES:-100}}
# Pinned: another version makes up other requests from the same seed.
fuzzer=schemathesis==4.32.5
# What tens of thousands of requests may leave behind beside orders: comparisons, keys, what the allocator keeps. Chosen.
growth_kib=$((32 * 1024))

mkdir -p "$out"
if ! "$out/venv/bin/python" -m pip freeze 2>/dev/null | grep -qx "$fuzzer"; then
  python3 -m venv --clear "$out/venv"
  "$out/venv/bin/python" -m pip install --quiet --disable-pip-version-check "$fuzzer"
fi

calm() { curl --silent --show-error --fail --max-time 10 "$@"; }
rss_kib() { awk '/^VmRSS:/ { print $2 }' "/proc/$SERVICE_PID/status"; }
kept_kib() { calm "$BASE_URL/stats" | jq '(.active_bytes + .ended_bytes) / 1024 | floor'; }
if [ -n "${SERVICE_PID:-}" ]; then
  rss_before=$(rss_kib) kept_before=$(kept_kib)
fi

# Hooks are found by their module's name.
export BASE_URL PYTHONPATH=$here PYTHONDONTWRITEBYTECODE=1
found=0
(cd "$out" && venv/bin/schemathesis --config-file "$here/schemathesis.toml" run "$BASE_URL/openapi.json" --no-color \
  --checks all --seed 1 --max-examples "$examples" \
  --exclude-operation-id followOrder --exclude-operation-id followOrders --exclude-operation-id followComparison) || found=$?

flat() {
  [ -n "${SERVICE_PID:-}" ] || return 0
  local rss kept grown
  rss=$(rss_kib) kept=$(kept_kib)
  grown=$((rss - rss_before - (kept - kept_before)))
  echo "memory: $rss_before KiB before, $rss KiB after, $((kept - kept_before)) KiB of it orders: $grown KiB more"
  [ "$grown" -le "$growth_kib" ] || { echo "that is above $growth_kib KiB" >&2; return 1; }
}

# Leaves the house as it was found: what is still to be cooked would get in the way of whoever comes next.
calm --output /dev/null --json '{"status": ["queued", "running"]}' "$BASE_URL/orders/cancel"
for _ in $(seq 180); do
  busy=$(calm "$BASE_URL/stats" | jq '.queued + .running')
  comparing=$(calm "$BASE_URL/comparisons?limit=200" | jq '[.data[] | select(.done | not)] | length')
  if [ "$busy$comparing" = 00 ]; then
    flat || found=1
    exit "$found"
  fi
  sleep 1
done
echo "after 180 s $busy orders and $comparing comparisons have not ended" >&2
exit 1

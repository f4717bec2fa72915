#!/usr/bin/env bash
# Proves that the contract is one a machine can build on: a stock generator makes a Python client from what the running
# service publishes, pip installs it, and place_order.py cooks with it. Everything lands in target/clients.
# It starts no service, and it does not test the service's behaviour beyond that: tests/it does.
#
#   BASE_URL=http://127.0.0.1:8080 tests/clients/run.sh
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
out=$(dirname "$(dirname "$here")")/target/clients
export BASE_URL=${BASE_URL:-http://127.0.0.1:8080}
BASE_URL=${BASE_URL%/}
# Pinned: another version may name the generated modules differently, and place_order.py names them.
generator=openapi-python-client==0.29.1

mkdir -p "$out"
if ! "$out/venv/bin/python" -m pip freeze 2>/dev/null | grep -qx "$generator"; then
  python3 -m venv --clear "$out/venv"
  # setuptools builds the generated package; named here so that pip needs no build environment for each run.
  "$out/venv/bin/python" -m pip install --quiet --disable-pip-version-check "$generator" 'setuptools>=77' wheel
fi

curl --silent --show-error --fail --max-time 10 --output "$out/openapi.json" "$BASE_URL/openapi.json"
# The two types below are text, which the generator cannot know.
cat >"$out/config.yaml" <<'YAML'
project_name_override: pasta-fasta-client
package_name_override: pasta_fasta_client
content_type_overrides:
  application/openmetrics-text: text/plain
  application/yaml: text/plain
YAML
rm -rf "$out/client"
# The generator formats its work with ruff, which it looks for on the path. A warning is an operation or a type that it
# did not understand: a client would do without it, so it counts as a failure.
PATH=$out/venv/bin:$PATH "$out/venv/bin/openapi-python-client" generate --path "$out/openapi.json" \
  --config "$out/config.yaml" --meta setup --output-path "$out/client" --fail-on-warning
"$out/venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-build-isolation --force-reinstall \
  --no-deps "$out/client"
"$out/venv/bin/python" -m pip check --quiet

exec "$out/venv/bin/python" "$here/place_order.py" "$out/openapi.json"

#!/usr/bin/env bash
# run.sh: the browser tests against the running service at BASE_URL. Installs what is missing (Chromium from Debian,
# the pinned npm packages) and fails when it cannot. It starts no service but one with API keys, from $BINARY or the release
# build.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")"
: "${BASE_URL:?must name the running service, as in BASE_URL=http://127.0.0.1:8080}"
export CHROMIUM="${CHROMIUM:-/usr/bin/chromium}"

install_packages() {
  local as_root=()
  [[ $EUID -eq 0 ]] || as_root=(sudo)
  "${as_root[@]}" apt-get update -qq
  # Another installation may hold the lock for a while.
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get -o DPkg::Lock::Timeout=300 install -y -qq --no-install-recommends "$@"
}

[[ -x $CHROMIUM ]] || install_packages chromium
for program in node npm; do
  command -v "$program" >/dev/null || install_packages nodejs npm
done

# playwright-core asks for this version; Debian 12 packages an older one.
node_major=$(node --print 'process.versions.node.split(".")[0]')
if ((node_major < 20)); then
  echo "node 20 or newer is needed, this is $(node --version)" >&2
  exit 1
fi

# npm writes this file last, so an interrupted installation is repeated; so is one from an older lock file.
if [[ ! -e node_modules/.package-lock.json || package-lock.json -nt node_modules/.package-lock.json ]]; then
  npm ci --no-audit --no-fund
fi

exec node run.mjs

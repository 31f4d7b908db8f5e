#!/bin/sh
# Makes sure that a container engine answers.
#
# One that answers is left as it is. Debian's own is installed and started only where there is none,
# by root, and never beside one that somebody named (DOCKER_HOST, a context) or stopped (systemd).
# The first argument may name another python than the checkout's; it only has to answer the question.
set -eu
cd "$(dirname "$0")/.."
python=${1:-.venv/bin/python}
# A root shell made by plain `su` lacks these.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
log=${MOONPOOL_ENGINE_LOG:-/var/log/moonpool-dockerd.log}

say() {
    printf 'engine: %s\n' "$1"
}

fail() {
    printf 'engine: %s\n' "$1" >&2
    exit 3
}

# Prints the engine's version and address, or on failure what to do. -I: nothing is imported from
# the folder that make was called in.
ask() {
    "$python" -I -c '
import os
import sys
from sandbox.engine.docker import Engine
from sandbox.errors import SandboxError
try:
    facts = Engine.connect(os.environ).facts()
except SandboxError as error:
    sys.exit(str(error))
print(f"{facts.version} at {facts.endpoint}")
' 2>&1
}

wait_for_it() {
    left=$1
    while [ "$left" -gt 0 ]; do
        if answer=$(ask); then
            return 0
        fi
        # One that we started and that ended again will not answer any more.
        if [ -n "${daemon:-}" ] && ! kill -0 "$daemon" 2>/dev/null; then
            return 1
        fi
        sleep 1
        left=$((left - 1))
    done
    return 1
}

has_systemd() {
    case $(systemctl is-system-running 2>/dev/null) in
    running | degraded | starting | initializing | maintenance) return 0 ;;
    *) return 1 ;;
    esac
}

if answer=$(ask); then
    say "$answer"
    exit 0
fi

# Somebody said which engine it is to be: that it does not answer is theirs to mend.
context=$(sed -n 's/.*"currentContext"[^"]*"\([^"]*\)".*/\1/p' \
    "${DOCKER_CONFIG:-${HOME:-/root}/.docker}/config.json" 2>/dev/null || true)
named=${DOCKER_HOST:-}${DOCKER_CONTEXT:-$context}
if [ -n "$named" ] && [ "$named" != default ]; then
    fail "$answer"
fi

[ "$(id -u)" = 0 ] || fail "$answer"

if has_systemd && systemctl cat docker.service >/dev/null 2>&1; then
    fail "Docker is installed but does not answer: start it with \`systemctl start docker\`"
fi
if pidof dockerd >/dev/null 2>&1; then
    fail "a dockerd is running but does not answer here: set DOCKER_HOST to its address"
fi

if ! command -v dockerd >/dev/null; then
    command -v apt-get >/dev/null || fail "$answer"
    say "none here, installing Debian's (docker.io, mmdebstrap)"
    export DEBIAN_FRONTEND=noninteractive DEBCONF_NOWARNINGS=yes
    apt-get update -qq || fail "apt-get update failed: see above"
    apt-get install -qq -y --no-install-recommends docker.io mmdebstrap >/dev/null ||
        fail "apt-get could not install docker.io: see above, or install Docker another way"
    # Where a service manager may start it, the package just did.
    if has_systemd && wait_for_it 30; then
        say "$answer"
        exit 0
    fi
fi

say "starting dockerd (log: $log)"
# A session of its own and none of our descriptors: it outlives make, and CI does not wait for it.
setsid dockerd >"$log" 2>&1 </dev/null &
daemon=$!
if wait_for_it 60; then
    say "$answer"
    exit 0
fi
tail -n 5 "$log" >&2
fail "dockerd does not come up: its last lines stand above, all of them in $log"

#!/bin/sh
# Starts a Docker engine where none answers, with host networking only: no bridge and no firewall rule is made, so it
# runs in a bare virtual machine too. Stops just the one it started.   usage: docker/engine.sh {start|stop}
set -eu
state=${ENGINE_STATE:-/var/tmp/headstart-engine}

case ${1:-} in
start)
    if docker info >/dev/null 2>&1; then
        exit 0
    fi
    command -v dockerd >/dev/null || { echo "engine: dockerd is missing; on Debian: apt-get install docker.io" >&2; exit 1; }
    [ "$(id -u)" = 0 ] || { echo "engine: dockerd needs root" >&2; exit 1; }
    mkdir -p "$state"
    nohup setsid dockerd --bridge=none --iptables=false --ip6tables=false --ip-forward=false --ip-masq=false \
        >"$state/log" 2>&1 </dev/null &
    echo $! >"$state/pid"
    tries=0
    until docker info >/dev/null 2>&1; do
        tries=$((tries + 1))
        if [ $tries -gt 60 ]; then
            tail -n 20 "$state/log" >&2
            echo "engine: dockerd did not come up within a minute; the lines above say why" >&2
            exit 1
        fi
        sleep 1
    done
    ;;
stop)
    [ -s "$state/pid" ] || exit 0
    kill "$(cat "$state/pid")" 2>/dev/null || true
    rm -f "$state/pid"
    ;;
*)
    echo "usage: docker/engine.sh {start|stop}" >&2
    exit 2
    ;;
esac

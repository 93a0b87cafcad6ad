#!/bin/sh
# Installs the setuptools of a lock, and nothing else, into /opt/headstart: left to itself, pip would fetch a build tool
# that no hash covers. Runs inside the image's build: docker/Dockerfile.   usage: install-build-tool.sh LOCK
set -eu

awk '/^[a-z]/ { keep = /^setuptools==/ } keep' "$1" >/build/setuptools.txt
grep -q sha256 /build/setuptools.txt
/opt/headstart/bin/python -m pip install --quiet --require-hashes --no-deps --only-binary :all: -r /build/setuptools.txt

#!/bin/sh
# Installs one lock into /opt/headstart and takes out what only building against the libraries would need.
# Runs inside the image's build: docker/Dockerfile.   usage: install-dependencies.sh LOCK
set -eu
python=/opt/headstart/bin/python

# One package, kfp-server-api, comes as source: Python alone, built with the locked setuptools that is already there.
# Everything else must be a wheel; there is no compiler. The lock is complete: pip resolves nothing.
"$python" -m pip install --quiet --require-hashes --no-deps --only-binary :all: --no-binary kfp-server-api --use-pep517 \
    --no-build-isolation -r "$1"

packages=$("$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
# C++ headers and import libraries: for compiling custom operations, which Headstart does not.
rm -rf "$packages/tensorflow/include" "$packages/numpy/_core/include"
# The C front end that TensorFlow's wheel names as a dependency; nothing imports it at run time.
rm -rf "$packages/clang/native"
# The libraries' own tests.
for library in numpy scipy pandas h5py; do
    find "$packages/$library" -type d -name tests -prune -exec rm -rf {} +
done

# What was taken out must not be missed by what the stages import.
"$python" -c 'import google.cloud.storage, kfp, kfp.kubernetes, kubernetes, pandas, scipy.stats, PIL.Image, docker'
"$python" -c 'import keras, tensorflow as tf; assert tf.__version__ and keras.backend.backend() == "tensorflow"'

"$python" -m pip check

# An image that installs nothing at run time needs no installer.
"$python" -m pip uninstall --quiet --yes pip

#!/bin/sh
# Write requirements.lock with the uv named: the newest versions that fit of all that the image is
# made of, with the hashes of their files, for each Python that pyproject.toml allows.
set -eu
uv=$1

"$uv" pip compile --quiet --upgrade --universal --python-version 3.11 --extra build \
    --generate-hashes --no-header --no-emit-index-url --no-emit-find-links --no-sources \
    --output-file requirements.lock pyproject.toml

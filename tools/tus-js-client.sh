#!/bin/sh
# Put tus-js-client, from its npm package, where the demo page serves it.
set -eu
target=$1

if ! command -v npm >/dev/null; then
    [ -f "$target" ] && exit 0
    echo "For tus uploads on the demo page: apt install npm (REST uploads work without it)" >&2
    exit 1
fi
if [ ! -d node_modules ] || [ package-lock.json -nt node_modules/.package-lock.json ]; then
    npm ci --silent
fi
cmp -s node_modules/tus-js-client/dist/tus.min.js "$target" ||
    cp node_modules/tus-js-client/dist/tus.min.js "$target"

#!/bin/sh
# Make .venv with the Python named, or say in one line what is missing.
set -eu
python=$1

if ! command -v "$python" >/dev/null; then
    echo "Python 3.11 or newer is needed: apt install python3 python3-venv" >&2
    exit 1
fi
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "Python 3.11 or newer is needed; name one: make PYTHON=python3.12" >&2
    exit 1
fi
[ -x .venv/bin/pip ] && exit 0
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    echo "Python's venv module is needed: apt install python3-venv" >&2
    exit 1
fi
"$python" -m venv .venv

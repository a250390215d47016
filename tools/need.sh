#!/bin/sh
# See that commands are there: need.sh COMMAND:PACKAGE... Root on Debian or Ubuntu gets the
# packages installed; everybody else is told in one line what to install.
set -eu

packages=
for pair in "$@"; do
    command -v "${pair%%:*}" >/dev/null || packages="$packages ${pair#*:}"
done
[ -z "$packages" ] && exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "Missing for the tests: apt install$packages" >&2
    exit 1
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
# shellcheck disable=SC2086 # a list of packages
apt-get install -y -qq --no-install-recommends $packages >/dev/null

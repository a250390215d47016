#!/bin/sh
# make image-test: builds the image and runs it as an operator would, with podman: read-only root,
# no capabilities, a volume; waits for its health check, uploads, stops it in the middle of an
# upload, starts it again and goes on. No image is fetched: the base is made here, of Debian's
# packages. BASE=python:3.13-slim takes the real one, from wherever podman pulls it.
#
# $1: the folder of a Python that has tusd_py, for keys and tokens.
set -eu
cd "$(dirname "$0")/.."
BIN=$1

for program in podman curl ${BASE:-mmdebstrap}; do
    case $program in *:*) continue ;; esac
    command -v "$program" >/dev/null || {
        echo "image-test needs $program: apt-get install podman runc mmdebstrap curl" >&2
        exit 1
    }
done

WORK=$(mktemp -d)
NAME=tusd-py-image-test
# A store of its own: no image or container of this machine is seen or touched.
engine() {
    podman --root "$WORK/store" --runroot "$WORK/run" --tmpdir "$WORK/tmp" \
        --cgroup-manager cgroupfs --log-level fatal ${RUNTIME:+--runtime "$RUNTIME"} "$@"
}
say() { printf '%4ss  %s\n' "$(($(date +%s) - BEGIN))" "$*"; }
fail() {
    say "FAILED: $*" >&2
    engine logs "$NAME" 2>&1 | tail -n 20 >&2 || true
    exit 1
}
end() {
    engine rm --all --force --time 0 >/dev/null 2>&1 || true
    engine rmi --all --force >/dev/null 2>&1 || true
    rm -rf "$WORK" || true
}
BEGIN=$(date +%s)
trap end EXIT
trap 'exit 130' INT TERM

# --- the image

if [ -z "${BASE:-}" ]; then
    BASE=localhost/base:latest
    # shellcheck source=/dev/null
    suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
    mmdebstrap --quiet --variant=essential --aptopt='APT::Install-Recommends "false"' \
        --include=python3-venv,python-is-python3,ca-certificates,passwd \
        "$suite" "$WORK/base.tar"
    engine import --quiet "$WORK/base.tar" "$BASE" >/dev/null
    rm "$WORK/base.tar"
    say "a base of Debian $suite"
fi

# pip looks for packages where it does on this machine. Mounted while the image is built, none of
# this is in a layer of it.
set --
for file in /etc/pip.conf "$HOME/.config/pip/pip.conf" "${PIP_CERT:-}" "${PIP_FIND_LINKS:-}"; do
    inside=$file
    case $file in "$HOME"/*) inside=/root/${file#"$HOME"/} ;; esac
    [ -e "$file" ] && set -- "$@" --volume "$file:$inside:ro"
done
engine build --quiet --format docker --isolation chroot --network host --pull-never "$@" \
    --build-arg "BASE=$BASE" --tag tusd-py . >"$WORK/log" 2>&1 || {
    cat "$WORK/log" >&2
    exit 1
}
say "the image, $(engine image inspect --format '{{.Size}}' tusd-py) bytes with its base"

# --- what runs containers here: not every machine lets limits be raised, or has one kind of cgroups

# shellcheck disable=SC3045 # every sh of Linux knows ulimit -n
run() {
    engine run --network host --ulimit "nofile=$(ulimit -n):$(ulimit -n)" --ulimit nproc=1000:1000 \
        ${CGROUPS:+"$CGROUPS"} "$@"
}
for RUNTIME in '' runc crun; do
    for CGROUPS in '' --cgroups=disabled; do
        run --rm tusd-py --version >"$WORK/version" 2>"$WORK/why" && break 2
    done
done
[ -s "$WORK/version" ] || fail "no container runs here: $(tail -n 1 "$WORK/why")"
say "$(cat "$WORK/version") runs with ${RUNTIME:-the usual runtime} $CGROUPS"

run --rm --user 0 --entrypoint python tusd-py -c '
import pathlib, sys
files = [pathlib.Path("/etc/pip.conf"), pathlib.Path("/root/.config/pip/pip.conf")]
sys.exit(any(file.exists() and file.stat().st_size for file in files))
' || fail "the image has the pip configuration of this machine in it"

# --- a server: nothing but its volume can be written to

"$BIN/python" - "$WORK" <<'PYTHON'
import socket, sys
from pathlib import Path
from tusd_py.tokens import ensure_key_pair, make_token
work = Path(sys.argv[1])
private, public = ensure_key_pair(work)
(work / "public").write_text(public)
(work / "token").write_text(make_token(private, user="42", issuer="i", audience="a", seconds=3600))
with socket.socket() as probe:
    probe.bind(("127.0.0.1", 0))
    (work / "port").write_text(str(probe.getsockname()[1]))
PYTHON
PORT=$(cat "$WORK/port")
URL=http://127.0.0.1:$PORT
AUTH="Authorization: Bearer $(cat "$WORK/token")"

run --detach --name "$NAME" --read-only --read-only-tmpfs=false --cap-drop ALL \
    --security-opt no-new-privileges --volume uploads:/data --stop-timeout 30 \
    --env HOST=127.0.0.1 --env "PORT=$PORT" --env WORKERS=2 \
    --env "MAIN_SERVICE_JWT_PUBLIC_KEY=$(cat "$WORK/public")" \
    --env EXPECTED_JWT_ISSUER=i --env EXPECTED_JWT_AUDIENCE=a tusd-py >/dev/null

healthy() {
    tries=0
    until engine healthcheck run "$NAME" >/dev/null 2>&1; do
        tries=$((tries + 1))
        [ "$tries" -lt 60 ] || fail "the health check does not pass"
        sleep 0.5
    done
    say "healthy"
}
healthy
[ "$(engine exec "$NAME" id -u)" = 10001 ] || fail "it runs as another user than 10001"
engine exec "$NAME" python -c 'open("/opt/x", "w")' 2>/dev/null && fail "its root can be written to"

# --- over tus, and back

create() {
    curl -sS -i -X POST "$URL/files/" -H "$AUTH" -H 'Tus-Resumable: 1.0.0' \
        -H "Upload-Length: $1" -H 'Upload-Metadata: filename YS5iaW4=' |
        tr -d '\r' | sed -n 's/^Location: //p'
}
patch() {
    curl -sS -o "$WORK/answer" -w '%{http_code}' -X PATCH "$1" -H "$AUTH" -H 'Expect:' \
        -H 'Tus-Resumable: 1.0.0' -H "Upload-Offset: $2" \
        -H 'Content-Type: application/offset+octet-stream' -T "$3" --limit-rate "${4:-10G}"
}
offset() {
    curl -sS -I "$1" -H "$AUTH" -H 'Tus-Resumable: 1.0.0' | tr -d '\r' |
        sed -n 's/^Upload-Offset: //p'
}
same() {
    curl -sS "$1" -H "$AUTH" | cmp - "$2" || fail "$1 is not the file that was sent"
}
head -c 40000000 /dev/urandom >"$WORK/file"
upload=$(create 40000000)
[ "$(patch "$upload" 0 "$WORK/file")" = 204 ] || fail "PATCH: $(cat "$WORK/answer")"
same "$upload" "$WORK/file"
say "an upload over tus came back whole"

# --- over REST

JSON='Content-Type: application/json'
id=$(curl -sS "$URL/upload/init" -H "$AUTH" -H "$JSON" \
    -d '{"main_service_file_id": 7, "original_file_name": "b.bin"}' |
    sed 's/.*"upload_session_id": "\([^"]*\)".*/\1/')
curl -sS "$URL/upload/chunk" -H "$AUTH" -F "upload_session_id=$id" -F chunk_index=0 \
    -F "chunk=@$WORK/file" >"$WORK/answer"
curl -sS "$URL/upload/complete" -H "$AUTH" -H "$JSON" \
    -d "{\"upload_session_id\": \"$id\", \"total_chunks\": 1, \"main_service_file_id\": 7}" \
    >>"$WORK/answer"
grep -q /data/final/42/7/b.bin "$WORK/answer" || fail "REST: $(cat "$WORK/answer")"
same "$URL/files/$id" "$WORK/file"
say "an upload over REST came back whole"

# --- SIGTERM in the middle of an upload

upload=$(create 40000000)
patch "$upload" 0 "$WORK/file" 8M >"$WORK/status" 2>/dev/null &
tries=0
data=/data/uploads/42/${upload##*/}.data
until [ "$(engine exec "$NAME" stat -c %s "$data" 2>/dev/null || echo 0)" -gt 1000000 ]; do
    tries=$((tries + 1))
    [ "$tries" -lt 100 ] || fail "the upload does not begin"
    sleep 0.1
done
engine stop "$NAME" >/dev/null
wait
code=$(engine inspect --format '{{.State.ExitCode}}' "$NAME")
[ "$code" = 0 ] || fail "it left with $code after SIGTERM"
[ "$(cat "$WORK/status")" = 503 ] || fail "the client was answered $(cat "$WORK/status"), not 503"
say "it left in order, with an upload at work, which was answered 503"
engine start "$NAME" >/dev/null
healthy
begin=$(offset "$upload")
{ [ "$begin" -gt 1000000 ] && [ "$begin" -lt 40000000 ]; } || fail "the upload is at $begin"
tail -c "+$((begin + 1))" "$WORK/file" >"$WORK/rest"
[ "$(patch "$upload" "$begin" "$WORK/rest")" = 204 ] || fail "PATCH: $(cat "$WORK/answer")"
same "$upload" "$WORK/file"
say "the upload went on at $begin and came back whole"

changed=$(engine diff "$NAME" | grep -vE '^[AC] /(etc|run|dev|proc|sys|data)(/|$)' || true)
[ -z "$changed" ] || fail "it wrote outside of its volume: $changed"
say "done"

#!/bin/sh
# Uploads one file over tus 1.0.0. Needs a POSIX shell, curl, base64, tail and head.
#
# After every failure the server is asked how much it has, and the upload goes on there; when the
# script itself is stopped, the same command finds the upload again.
set -eu

usage() {
    cat >&2 <<USAGE
usage: ${0##*/} [options] FILE
  -u URL      address of the upload service   (or URL=...; http://127.0.0.1:8000)
  -t TOKEN    JWT of the main service         (or TOKEN=...; other users of this machine see flags)
  -i FILE_ID  main_service_file_id, a number  (or FILE_ID=...; may be left out)
  -n NAME     name that the server keeps      (the name of FILE)
  -y TYPE     media type of the file          (application/octet-stream)
  -c BYTES    bytes per request               (67108864)
  -r COUNT    failures in a row before giving up               (8)
  -w SECONDS  pause after the first failure; doubles up to 30  (1)
  -s STATE    file that remembers the upload's address         (FILE.upload-tus)
Prints the upload's address: GET it to have the file back.
exit: 0 uploaded, 1 refused by the server, 2 wrong usage, 75 out of tries: run it again later
USAGE
    exit 2
}

say() { printf '%s\n' "$*" >&2; }

is_number() {
    case $1 in '' | *[!0-9]*) return 1 ;; esac
}

url=${URL:-http://127.0.0.1:8000} token=${TOKEN:-} file_id=${FILE_ID:-}
name='' type=application/octet-stream piece_size=67108864 tries=8 first_pause=1 state=''
while getopts u:t:i:n:y:c:r:w:s: option; do
    case $option in
        u) url=$OPTARG ;;
        t) token=$OPTARG ;;
        i) file_id=$OPTARG ;;
        n) name=$OPTARG ;;
        y) type=$OPTARG ;;
        c) piece_size=$OPTARG ;;
        r) tries=$OPTARG ;;
        w) first_pause=$OPTARG ;;
        s) state=$OPTARG ;;
        *) usage ;;
    esac
done
shift $((OPTIND - 1))
[ $# -eq 1 ] || usage
file=$1
case $file in -*) file=./$file ;; esac
[ -f "$file" ] && [ -r "$file" ] || { say "cannot read $file"; exit 2; }
[ -n "$token" ] || { say 'a token is missing: set TOKEN or give -t'; exit 2; }
[ -z "$file_id" ] || is_number "$file_id" || usage
for number in "$piece_size" "$tries" "$first_pause"; do
    is_number "$number" || usage
done
[ "$piece_size" -gt 0 ] && [ "$tries" -gt 0 ] || usage
command -v curl >/dev/null || { say 'curl is missing: apt-get install curl'; exit 2; }

url=${url%/}/files/ # the service's TUS_BASE_PATH
state=${state:-$file.upload-tus}
[ -n "$name" ] || name=${file##*/}
size=$(($(wc -c <"$file")))
umask 077
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# The token goes through a file: a command line is open to every user of the machine.
printf 'Authorization: Bearer %s\nTus-Resumable: 1.0.0\n' "$token" >"$work/headers"

base64_of() { printf '%s' "$1" | base64 | tr -d '\n'; }

metadata="filename $(base64_of "$name"),filetype $(base64_of "$type")"
[ -z "$file_id" ] || metadata="$metadata,main_service_file_id $(base64_of "$file_id")"

# A refusal counts although the server did not read the rest; any other broken transfer is none.
cut_short() {
    case $status in 4??) ;; *) status=000 ;; esac
}

# request CURL-ARGUMENTS...  Leaves $status (000: no answer), $work/head and $work/answer.
request() {
    : >"$work/head"
    : >"$work/answer"
    status=$(curl --silent --show-error --output "$work/answer" --dump-header "$work/head" \
        --write-out '%{http_code}' --header "@$work/headers" \
        --connect-timeout 20 --speed-limit 1 --speed-time 60 "$@") || cut_short
}

# header NAME  Its value in the last answer (a 100 Continue may stand before it).
header() {
    tr -d '\r' <"$work/head" | awk -v name="$1" '
        tolower($1) == tolower(name) ":" { sub(/^[^:]*: */, ""); value = $0 }
        END { print value }'
}

is_temporary() {
    case $status in 000 | 408 | 423 | 429 | 5??) return 0 ;; *) return 1 ;; esac
}

refused() {
    say "the server refused $1 with status $status:"
    cat "$work/answer" >&2 && say ''
    exit 1
}

failures=0
# wait_a_while WHAT  Pauses before another try, or gives up with exit code 75.
wait_a_while() {
    failures=$((failures + 1))
    if [ "$failures" -ge "$tries" ]; then
        say "$1: status $status, $failures failures in a row; run the same command again to go on"
        exit 75
    fi
    pause=$first_pause
    doubled=1
    while [ "$doubled" -lt "$failures" ] && [ "$pause" -lt 30 ]; do
        pause=$((pause * 2))
        doubled=$((doubled + 1))
    done
    [ "$pause" -le 30 ] || pause=30
    wanted=$(header Retry-After)
    if is_number "$wanted" && [ "$wanted" -gt "$pause" ]; then pause=$wanted; fi
    say "$1: status $status; next try in $pause s"
    sleep "$pause"
}

create() {
    while :; do
        request --request POST --header "Upload-Length: $size" \
            --header "Upload-Metadata: $metadata" --header 'Content-Length: 0' "$url"
        [ "$status" != 201 ] || break
        is_temporary || refused 'to create the upload'
        wait_a_while 'creating the upload'
    done
    location=$(header Location)
    case $location in
        http://* | https://*) upload=$location ;;
        *) upload=$(printf '%s' "$url" | sed 's,^\([a-z]*://[^/]*\).*,\1,')$location ;;
    esac
    failures=0
    printf '%s\n%s\n' "$identity" "$upload" >"$state.new"
    mv -f "$state.new" "$state" # renamed, so that a cut never leaves half a state
}

# An upload goes on only with the very file and server it began with.
identity="$url $file_id $size $name"
upload='' offset=''
if [ -f "$state" ] && [ -z "$(find "$file" -newer "$state")" ] &&
    [ "$(sed -n 1p "$state")" = "$identity" ]; then
    upload=$(sed -n 2p "$state")
    say "going on with $upload"
fi
resumed=$upload
[ -n "$upload" ] || create

while :; do
    request --head "$upload"
    case $status in
        200 | 204)
            offset=$(header Upload-Offset)
            is_number "$offset" && [ "$offset" -le "$size" ] || refused 'to say its offset'
            ;;
        404 | 410) # the server forgot an upload of yesterday: begin anew, once
            [ -n "$resumed" ] || refused 'to say its offset'
            resumed=''
            say "$upload is gone; starting again"
            create
            continue
            ;;
        *)
            is_temporary || refused 'to say its offset'
            wait_a_while 'asking for the offset'
            continue
            ;;
    esac

    # As long as all goes well each answer names the next offset, and nothing needs to be asked.
    while [ "$offset" -lt "$size" ]; do
        tail -c "+$((offset + 1))" "$file" | head -c "$piece_size" >"$work/piece"
        request --request PATCH --header "Upload-Offset: $offset" \
            --header 'Content-Type: application/offset+octet-stream' \
            --upload-file "$work/piece" "$upload"
        [ "$status" = 204 ] || break
        offset=$(header Upload-Offset)
        is_number "$offset" || refused 'to say its offset'
        failures=0
        say "$offset of $size bytes"
    done
    [ "$offset" -lt "$size" ] || break
    # 409: the server has another offset, for instance because an answer was lost.
    [ "$status" = 409 ] || is_temporary || refused "bytes at $offset"
    wait_a_while "sending at $offset"
done
rm -f "$state"
printf '%s\n' "$upload"

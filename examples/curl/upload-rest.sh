#!/bin/sh
# Uploads one file in chunks over the REST face. Needs a POSIX shell, curl and dd.
#
# What went wrong on the way is repeated with growing pauses; when the script itself is stopped,
# the same command goes on after the last chunk that the server confirmed.
set -eu

usage() {
    cat >&2 <<USAGE
usage: ${0##*/} [options] FILE
  -u URL      address of the upload service   (or URL=...; http://127.0.0.1:8000)
  -t TOKEN    JWT of the main service         (or TOKEN=...; other users of this machine see flags)
  -i FILE_ID  main_service_file_id, a number  (or FILE_ID=...)
  -n NAME     name that the server keeps      (the name of FILE)
  -c BYTES    size of a chunk                 (8388608)
  -r COUNT    tries per request               (8)
  -w SECONDS  pause after the first failure; doubles up to 30  (1)
  -s STATE    file that remembers how far an upload came       (FILE.upload-rest)
Prints the server's last answer (JSON).
exit: 0 uploaded, 1 refused by the server, 2 wrong usage, 75 out of tries: run it again later
USAGE
    exit 2
}

say() { printf '%s\n' "$*" >&2; }

is_number() {
    case $1 in '' | *[!0-9]*) return 1 ;; esac
}

url=${URL:-http://127.0.0.1:8000} token=${TOKEN:-} file_id=${FILE_ID:-}
name='' chunk_size=8388608 tries=8 first_pause=1 state=''
while getopts u:t:i:n:c:r:w:s: option; do
    case $option in
        u) url=$OPTARG ;;
        t) token=$OPTARG ;;
        i) file_id=$OPTARG ;;
        n) name=$OPTARG ;;
        c) chunk_size=$OPTARG ;;
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
is_number "$file_id" || { say 'a file id is missing: set FILE_ID or give -i with a number'; exit 2; }
for number in "$chunk_size" "$tries" "$first_pause"; do
    is_number "$number" || usage
done
[ "$chunk_size" -gt 0 ] && [ "$tries" -gt 0 ] || usage
command -v curl >/dev/null || { say 'curl is missing: apt-get install curl'; exit 2; }

url=${url%/}
state=${state:-$file.upload-rest}
[ -n "$name" ] || name=${file##*/}
size=$(($(wc -c <"$file")))
total=$(((size + chunk_size - 1) / chunk_size))
[ "$total" -gt 0 ] || total=1 # an empty file is one empty chunk
umask 077
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# The token goes through a file: a command line is open to every user of the machine.
printf 'Authorization: Bearer %s\n' "$token" >"$work/token"

# JSON text of a name: quotes and backslashes escaped, control characters made harmless.
json_name=$(printf '%s' "$name" | LC_ALL=C tr '\001-\037\177' '_' | sed 's/[\\"]/\\&/g')

# A refusal counts although the server did not read the rest; any other broken transfer is none.
cut_short() {
    case $status in 4??) ;; *) status=000 ;; esac
}

# request CURL-ARGUMENTS...  Sends until there is an answer that a repetition would not change.
# Leaves the body in $work/answer and the status in $status; gives up with exit code 75.
request() {
    try=1
    pause=$first_pause
    while :; do
        status=$(curl --silent --show-error --output "$work/answer" --dump-header "$work/head" \
            --write-out '%{http_code}' --header "@$work/token" \
            --connect-timeout 20 --speed-limit 1 --speed-time 60 "$@") || cut_short
        case $status in
            000 | 408 | 423 | 429 | 5??) ;;
            *) return 0 ;;
        esac
        if [ "$try" -ge "$tries" ]; then
            say "status $status after $try tries; run the same command again to go on"
            exit 75
        fi
        wanted=$(sed -n 's/^[Rr]etry-[Aa]fter: *\([0-9]\{1,3\}\).*/\1/p' "$work/head" 2>/dev/null || :)
        if [ -n "$wanted" ] && [ "$wanted" -gt "$pause" ]; then pause=$wanted; fi
        say "status $status, try $try of $tries; next one in $pause s"
        sleep "$pause"
        try=$((try + 1))
        pause=$((pause * 2))
        [ "$pause" -le 30 ] || pause=30
    done
}

refused() {
    say "the server refused $1 with status $status:"
    cat "$work/answer" >&2 && say ''
    exit 1
}

# remember NEXT_INDEX  Renamed into place, so that a cut never leaves half a state.
remember() {
    printf '%s\n%s\n%s\n' "$identity" "$session" "$1" >"$state.new"
    mv -f "$state.new" "$state"
}

start() {
    request --header 'Content-Type: application/json' \
        --data "{\"main_service_file_id\":$file_id,\"original_file_name\":\"$json_name\"}" \
        "$url/upload/init"
    [ "$status" = 200 ] || refused init
    session=$(sed -n 's/.*"upload_session_id" *: *"\([^"]*\)".*/\1/p' "$work/answer")
    [ -n "$session" ] || refused init
    next=0
    remember 0
}

# send INDEX
send() {
    dd if="$file" of="$work/chunk" bs="$chunk_size" skip="$1" count=1 2>/dev/null
    request --form "upload_session_id=$session" --form "chunk_index=$1" \
        --form "chunk=@$work/chunk;filename=chunk;type=application/octet-stream" "$url/upload/chunk"
}

# An upload goes on only with the very file, chunk size and server it began with.
identity="$url $file_id $size $chunk_size $name"
session='' next=0
if [ -f "$state" ] && [ -z "$(find "$file" -newer "$state")" ] &&
    [ "$(sed -n 1p "$state")" = "$identity" ]; then
    session=$(sed -n 2p "$state")
    next=$(sed -n 3p "$state")
    is_number "$next" || next=0
    say "going on with $session at chunk $next of $total"
fi
resumed=$session
[ -n "$session" ] || start

while [ "$next" -lt "$total" ]; do
    send "$next"
    case $status in
        200)
            next=$((next + 1))
            remember "$next"
            say "chunk $next of $total"
            ;;
        404 | 410) # the server forgot a session of yesterday: begin anew, once
            [ -n "$resumed" ] || refused "chunk $next"
            resumed=''
            say "$session is gone; starting again"
            start
            ;;
        *) refused "chunk $next" ;;
    esac
done

rounds=0
while :; do
    request --speed-time 600 --header 'Content-Type: application/json' \
        --data "{\"upload_session_id\":\"$session\",\"total_chunks\":$total,\"main_service_file_id\":$file_id}" \
        "$url/upload/complete"
    [ "$status" != 200 ] || break
    missing=$(sed -n 's/.*"missing" *: *\[\([0-9, ]*\)\].*/\1/p' "$work/answer" | tr ',' ' ')
    rounds=$((rounds + 1))
    [ -n "$missing" ] && [ "$rounds" -le "$tries" ] || refused complete
    for index in $missing; do
        send "$index"
        [ "$status" = 200 ] || refused "chunk $index"
    done
done
rm -f "$state"
cat "$work/answer"
printf '\n'

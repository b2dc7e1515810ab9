#!/bin/sh
# Keeps what a window prints (standard input) in files of at most CAP bytes.
#
#   window_log.sh CAP LOG
#
# The first CAP bytes stay in LOG for good. What follows goes to LOG.1, LOG.2 and so on, of which
# only the newest two are kept: LOG.n holds the bytes from n * CAP on. Bytes can be seen as they
# come. Ends with its input, and when the disk is full.

block=512 # dd writes whatever one read gives at once; head and most others hold it back

fill() { # FILE: true once it has CAP bytes, false when there is no more to come
    size=0
    : >"$1" || return 1
    while [ "$size" -lt "$cap" ]; do
        left=$((cap - size))
        if [ "$left" -ge "$block" ]; then
            dd bs="$block" count=$((left / block)) >>"$1" || return 1
        else
            dd bs="$left" count=1 >>"$1" || return 1
        fi
        was=$size
        size=$(wc -c <"$1") || return 1
        [ "$size" -gt "$was" ] || return 1
    done
}

exec 2>/dev/null
umask 077
cap=$1 log=$2
for old in "$log".[0-9]*; do
    [ ! -e "$old" ] || rm -f "$old"
done
fill "$log" || exit 0
n=1
while fill "$log.$n"; do
    [ "$n" -lt 2 ] || rm -f "$log.$((n - 1))"
    n=$((n + 1))
done
[ -s "$log.$n" ] || rm -f "$log.$n"

#!/bin/sh
# Succeeds if the packed program and wc count the same number of words.
set -eu
cd "$(dirname "$0")"
ours=$(python3 build/wordcount.pyz build/text.txt 1 | awk 'NR == 1 { print $1 }')
theirs=$(wc -w <build/text.txt | tr -d ' ')
echo "ours: $ours, wc: $theirs"
[ "$ours" = "$theirs" ]

#!/bin/sh
# Tests the program, packs it into build/wordcount.pyz and measures that.
set -eu
cd "$(dirname "$0")"
export PYTHONDONTWRITEBYTECODE=1
rm -rf build
mkdir -p build/app

echo "1/3 testing"
python3 -m unittest -v test_wordcount
echo "2/3 packing"
cp wordcount.py build/app/__main__.py
python3 -m zipapp build/app --python '/usr/bin/env python3' --output build/wordcount.pyz
echo "3/3 measuring"
python3 make_text.py 2000000 >build/text.txt
python3 build/wordcount.pyz build/text.txt | tee build/counts.txt

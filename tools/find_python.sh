#!/bin/sh
# Print a Python from 3.11 to 3.13, or say what was found instead and how to fix it. PYTHON=... names one.
# Each candidate is run, because the shims of version managers exist without a Python behind them.
found=""
for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11}; do
    version=$("$candidate" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || continue
    case "$version" in
        3.11 | 3.12 | 3.13) command -v "$candidate"; exit 0 ;;
        *) found="$found $candidate is Python $version;" ;;
    esac
done
echo "This book needs Python 3.11, 3.12 or 3.13.${found:- No Python was found;} install one (python.org, your system's" \
     "packages or pyenv), or name it: make PYTHON=/path/to/python3.12 ..." >&2
exit 1

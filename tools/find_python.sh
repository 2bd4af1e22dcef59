#!/bin/sh
# Print a Python this book runs on, or say what was found instead and how to fix it.
#   sh tools/find_python.sh          3.11, 3.12 or 3.13
#   sh tools/find_python.sh 3.12     that one only
# PYTHON=... names the one to take. Each candidate is run, because the shims of version managers stand on the PATH without
# a Python behind them, and must have venv, which some distributions package apart.
accepted="${*:-3.11 3.12 3.13}"
if [ -n "${PYTHON:-}" ]; then
    set -- "$PYTHON"
else
    set -- python3
    for version in 3.13 3.12 3.11 3.10; do set -- "$@" "python$version" "$HOME/.pyenv/versions/$version".*/bin/python; done
fi
found=""
for candidate in "$@"; do
    version=$("$candidate" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || continue
    case " $accepted " in
        *" $version "*)
            "$candidate" -c 'import ensurepip, sys, venv; print(sys.executable)' 2>/dev/null && exit 0
            found="$found $candidate is Python $version without venv (on Debian: apt install python$version-venv);" ;;
        *) found="$found $candidate is Python $version;" ;;
    esac
done
[ -n "$found" ] || found=" ${PYTHON:-python3} does not run;"
echo "A Python of version $(echo "$accepted" | sed 's/ / or /g') is needed, but$found install one (python.org, your" \
     "system's packages, pyenv), or name it: make PYTHON=/path/to/python ..." >&2
exit 1

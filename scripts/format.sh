#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# usage: scripts/format.sh [--check]    formats all C++ sources, or lists those that are not formatted
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."

# Other versions lay out differently, so the one of Debian 12 is preferred where several exist.
tool=$(command -v clang-format-14 || command -v clang-format) || {
    echo "format.sh: needs clang-format (apt-get install clang-format)" >&2
    exit 3
}

# shellcheck disable=SC2016  # the variables belong to the inner shell
case "${1-}" in
    "") action=("$tool" -i) ;;
    --check) action=(bash -c 'bad=0
        for file; do
            first=$("$0" "$file" | cmp - "$file" | sed "s/.*line //") || true
            if [[ -n $first ]]; then echo "$file:$first: not formatted"; bad=1; fi
        done
        exit "$bad"' "$tool") ;;
    *) sed -n 3p "$0" >&2; exit 2 ;;
esac

# Files not yet known to git count as well, and a source archive has no git at all.
find rmap notifiers models platform tests \( -name '*.cpp' -o -name '*.hpp' \) -print0 |
    xargs -0 -r -n 16 -P "$(nproc)" "${action[@]}"

# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# Sourced by scripts/mmusim and scripts/test: Debian packages, configure, build.
# Everything here talks on stderr only; stdout belongs to the caller. Failure exits with 3.

mmusim_root=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../.." && pwd)
# shellcheck disable=SC2034  # for those who source this
mmusim_build_packages=(g++ cmake ninja-build libsystemc-dev libboost-iostreams-dev libboost-program-options-dev
    libtomlplusplus-dev nlohmann-json3-dev libfmt-dev catch2 zlib1g-dev)

say() { echo "mmusim: $*" >&2; }

# need_packages INSTALL PACKAGE...: INSTALL is "yes", or "no" to only report.
need_packages() {
    local install=$1 sudo="" missing line
    shift
    # Elsewhere than on Debian, CMake itself says what it misses.
    command -v dpkg-query >/dev/null || return 0
    # shellcheck disable=SC2016  # the ${} belong to dpkg-query
    missing=$(comm -23 <(printf '%s\n' "$@" | sort -u) \
        <(dpkg-query -W -f '${db:Status-Status} ${Package}\n' "$@" 2>/dev/null |
            sed -n 's/^installed //p' | sort -u) | paste -sd ' ')
    [[ -n $missing ]] || return 0

    [[ $(id -u) -eq 0 ]] || sudo="sudo "
    line="${sudo}apt-get update && ${sudo}apt-get install -y --no-install-recommends $missing"
    say "missing Debian packages; this installs them:"
    echo "  $line" >&2
    if [[ $install != yes ]]; then exit 3; fi
    if [[ -n $sudo ]] && ! command -v sudo >/dev/null; then
        say "neither root nor sudo here, so please have that line run first"
        exit 3
    fi
    # The caller's standard input may be a trace that nobody else may read from.
    DEBIAN_FRONTEND=noninteractive sh -c "$line" </dev/null >&2 || {
        say "the installation failed"
        exit 3
    }
}

# Shows ninja's [n/m] as one moving line, and nothing at all when nobody watches.
show_progress() {
    local text
    while IFS= read -r text; do
        if [[ -t 2 && $text =~ ^\[[0-9]+/[0-9]+\] ]]; then
            printf '\rmmusim: building %s ' "${BASH_REMATCH[0]}" >&2
        fi
    done
    if [[ -t 2 ]]; then printf '\r\033[K' >&2; fi
}

# is_fresh PRESET: the program of PRESET was built after the last change of anything it is built from.
# The stamp bears the time the build began and the place it is for (a copied tree is not fresh).
is_fresh() {
    local stamp="$mmusim_root/build/$1/built" place
    { read -r place <"$stamp"; } 2>/dev/null && [[ $place == "$mmusim_root" ]] || return 1
    [[ -x $mmusim_root/build/$1/platform/mmusim ]] || return 1
    # Folders are compared too, since a removed file leaves no other trace.
    [[ -z $(cd "$mmusim_root" && find CMakeLists.txt CMakePresets.json rmap notifiers models \
        platform tests/CMakeLists.txt -newer "$stamp" -print -quit) ]]
}

# build PRESET [TARGET]: everything, or TARGET only.
build() {
    local preset=$1 target=${2:-all} dir="$mmusim_root/build/$1"
    mkdir -p "$dir" || exit 3
    # Two callers at once would otherwise build in the same place.
    (
        flock 9
        if [[ $target == mmusim ]] && is_fresh "$preset"; then exit 0; fi
        cd "$mmusim_root" || exit 3
        # CMake refuses a build folder that came along with a copied or moved tree.
        if [[ -f $dir/CMakeCache.txt ]] &&
            ! grep -qxF "CMAKE_HOME_DIRECTORY:INTERNAL=$mmusim_root" "$dir/CMakeCache.txt"; then
            find "$dir" -mindepth 1 -delete
        fi
        say "building in build/$preset (log: build/$preset/build.log)"
        echo "$mmusim_root" >"$dir/building"
        if {
            cmake --preset "$preset" &&
                cmake --build --preset "$preset" --target "$target"
        } </dev/null 2>&1 9>&- | tee "$dir/build.log" | show_progress; then
            mv "$dir/building" "$dir/built"
        else
            say "the build failed; the end of $dir/build.log:"
            tail -n 40 "$dir/build.log" >&2
            exit 3
        fi
    ) 9>"$mmusim_root/build/.$preset.lock" || exit 3
}

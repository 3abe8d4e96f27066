#!/bin/sh
# Builds the guest's kernel: tinyconfig + kernel.config + kernel-ARCHITECTURE.config, on Debian's kernel source.
#
#   build-kernel.sh ARCHITECTURE SOURCE_TARBALL WORK_DIR OUT_DIR
#
# ARCHITECTURE is i686 or x86_64.
# WORK_DIR (gigabytes, thrown away by the caller) holds sources and objects. OUT_DIR gets vmlinux
# (uncompressed ELF without symbols), System.map, config and version.txt.
# JOBS sets how many compilers run at a time (default: as many as there are processors).
# Called by `cargo xtask image`; usable by hand.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
architecture=$1
tarball=$2
work=$3
out=$4
jobs=${JOBS:-$(nproc)}
source=$work/source
build=$work/build
fragment=$work/fragment.config
case $architecture in
i686) kernel_architecture=i386 ;;
x86_64) kernel_architecture=x86_64 ;;
*)
    echo "build-kernel: no architecture $architecture" >&2
    exit 1
    ;;
esac

# The same inputs give the same bytes.
export LC_ALL=C KBUILD_BUILD_USER=sandbox KBUILD_BUILD_HOST=sandbox KBUILD_BUILD_VERSION=1
export KBUILD_BUILD_TIMESTAMP='2025-01-01 00:00:00 UTC'

make_kernel() {
    make -C "$source" ARCH="$kernel_architecture" O="$build" -j"$jobs" "$@"
}

# edit FILE LINE NEW: the one line of FILE that matches LINE becomes NEW.
edit() {
    [ "$(grep -cE "^$2\$" "$source/$1")" = 1 ] || {
        echo "build-kernel: $1 has no single line $2: look at it and mend this script" >&2
        exit 1
    }
    sed -E -i "s/^$2\$/$3/" "$source/$1"
}

# Fails, naming them, when lines of the fragment did not survive `olddefconfig`.
check_config() {
    lost=0
    while IFS= read -r line; do
        case $line in
        CONFIG_*)
            grep -qxF "$line" "$build/.config" && continue
            ;;
        "# CONFIG_"*" is not set")
            symbol=${line#"# "}
            symbol=${symbol%" is not set"}
            grep -q "^$symbol=" "$build/.config" || continue
            ;;
        *)
            continue
            ;;
        esac
        echo "build-kernel: the configuration lost: $line" >&2
        lost=1
    done <"$fragment"
    [ "$lost" = 0 ] || {
        echo "build-kernel: kernel.config or kernel-$architecture.config asks for what this kernel does not have, or what depends on something else" >&2
        exit 1
    }
}

mkdir -p "$source" "$build" "$out"
echo "step: unpacking $(basename "$tarball")"
# The GPU drivers' register lists are a quarter of the tree and never read.
tar -xf "$tarball" -C "$source" --strip-components=1 --exclude='*/drivers/gpu/drm/amd/include'

# The timer's counter has 16 bits; the kernel uses 15 only. With all of them an idle guest wakes up
# every 55 ms instead of every 27 ms.
edit drivers/clocksource/i8253.c '(.*)0xF, 0x7FFF\);' '\10xF, 0xFFFF);'
# With tsc_early_khz= the clock's speed is known, and measuring it would take 15 ms of every boot.
# (The early one of two calls: it is indented twice.)
edit arch/x86/kernel/tsc.c '[[:space:]]{2}cpu_khz = x86_platform.calibrate_cpu\(\);' \
    'cpu_khz = tsc_early_khz ? tsc_early_khz : x86_platform.calibrate_cpu();'

# A page fault in a file maps what lies around it, too. Here a page that nobody uses costs a third of what a
# fault costs: 16 KiB are better than 64 KiB. Starting a program takes 5 to 10 % fewer instructions.
edit mm/memory.c '[[:space:]]rounddown_pow_of_two\(65536\);' '\trounddown_pow_of_two(16384);'

echo "step: configuring"
make_kernel tinyconfig
cat "$here/kernel.config" "$here/kernel-$architecture.config" >"$fragment"
"$source/scripts/kconfig/merge_config.sh" -m -O "$build" "$build/.config" "$fragment" >"$work/merge.log"
make_kernel olddefconfig
check_config

echo "step: compiling"
make_kernel vmlinux

echo "step: collecting"
objcopy --strip-all "$build/vmlinux" "$out/vmlinux"
cp "$build/System.map" "$out/System.map"
cp "$build/.config" "$out/config"
cp "$build/include/config/kernel.release" "$out/version.txt"

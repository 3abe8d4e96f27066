#!/bin/sh
# Builds the guest's root file system: Debian as an uncompressed erofs.
#
#   build-root.sh ARCHITECTURE WORK_DIR OUT_DIR
#
# ARCHITECTURE is Debian's name of it, i386 or amd64. OUT_DIR gets root.erofs and packages.txt. DEBIAN_SUITE, EROFS_UUID and SOURCE_DATE_EPOCH come
# from the caller; DEBIAN_MIRROR, if set, replaces the mirror this host's apt uses.
# Neither root nor a foreign architecture on the host is needed: without root mmdebstrap works in a
# user namespace. Called by `cargo xtask image`; usable by hand.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
architecture=$1
work=$2
out=$3
suite=$DEBIAN_SUITE
uuid=$EROFS_UUID
epoch=$SOURCE_DATE_EPOCH
export SOURCE_DATE_EPOCH LC_ALL=C

if [ "$(id -u)" = 0 ]; then
    mode=root
else
    mode=unshare
    echo "build-root: not root, using a user namespace (needs a line for $(id -un) in /etc/subuid and /etc/subgid)"
fi

# The mirror this host's apt uses for the suite. A Debian host has one; elsewhere it must be named.
mirror=${DEBIAN_MIRROR:-}
if [ -z "$mirror" ]; then
    mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' "Codename: $suite" 'Component: main' 2>/dev/null | head -n 1)
fi
if [ -z "$mirror" ]; then
    mirror=$(sed -n 's/^URIs:[[:space:]]*//p' /etc/apt/sources.list.d/*.sources 2>/dev/null | grep -v security | tr ' ' '\n' | grep '/debian/*$' | head -n 1)
fi
if [ -z "$mirror" ]; then
    mirror=$(sed -n 's/^deb \(\[[^]]*\] \)\{0,1\}\([^ ]*\) .* main.*/\2/p' /etc/apt/sources.list 2>/dev/null | grep -v security | head -n 1)
fi
if [ -z "$mirror" ]; then
    echo "build-root: found no Debian mirror in apt's sources; set DEBIAN_MIRROR" >&2
    exit 1
fi

packages=$(sed -e 's/#.*//' "$here/packages.list" | tr -s ' \t\n' ',' | sed -e 's/^,//' -e 's/,$//')

mkdir -p "$work" "$out"
echo "step: installing packages of $suite for $architecture"
# Only the release itself: it carries the fixes of its point releases, and the other suites do not
# always have an index for i386.
mmdebstrap --mode="$mode" --variant=apt --architectures="$architecture" --format=tar \
    --aptopt='APT::Install-Recommends "false"' \
    --dpkgopt="$here/dpkg.cfg" \
    --skip=output/dev \
    --include="$packages" \
    --customize-hook="$here/customize-root.sh \"\$1\"" \
    "$suite" "$work/root.tar" "deb $mirror $suite main"

tar -xOf "$work/root.tar" ./usr/share/sandbox-packages.txt >"$out/packages.txt"

echo "step: making the file system"
# Unpacking keeps owners only for (fake) root; the result comes back through a pipe.
cat >"$work/mkfs.sh" <<'EOF'
set -eu
tree=$(mktemp -d "${TMPDIR:-/tmp}/sandbox-root.XXXXXX")
trap 'rm -rf "$tree"' EXIT
mkdir "$tree/root"
chmod 755 "$tree/root"
tar --numeric-owner --xattrs --xattrs-include='*' -xpf - -C "$tree/root"
# mmdebstrap takes these away after its hooks.
mkdir -p "$tree/root/dev"
: >"$tree/root/etc/resolv.conf"
echo sandbox >"$tree/root/etc/hostname"
mkfs.erofs --quiet -T"$1" -U"$2" "$tree/image" "$tree/root" >&2
cat "$tree/image"
EOF
if [ "$mode" = root ]; then
    sh "$work/mkfs.sh" "$epoch" "$uuid" <"$work/root.tar" >"$out/root.erofs"
else
    mmdebstrap --unshare-helper sh "$work/mkfs.sh" "$epoch" "$uuid" <"$work/root.tar" >"$out/root.erofs"
fi

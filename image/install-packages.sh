#!/bin/sh
# Installs what building this project needs beyond a Rust toolchain, on Debian bookworm.
# Asks dpkg first: where everything is there, it says nothing and changes nothing.
set -eu

# The kernel.
packages='linux-source-6.1 gcc make bc bison flex libelf-dev binutils xz-utils perl'
# The root file system.
packages="$packages mmdebstrap arch-test erofs-utils debian-archive-keyring"
# The agent, a program for i686.
packages="$packages rustc-web rust-web-src gcc-multilib"

# Without root, mmdebstrap works in a user namespace.
[ "$(id -u)" = 0 ] || packages="$packages uidmap"

missing=
for package in $packages; do
    status=$(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null) || status=
    [ "$status" = installed ] || missing="$missing $package"
done
# npm fetches the CPU engine; any npm will do.
command -v npm >/dev/null || missing="$missing npm"
# The Python client and its tests live in an environment of their own.
python3 -c 'import ensurepip, venv' 2>/dev/null || missing="$missing python3 python3-venv"

[ -n "$missing" ] || exit 0

become_root=
if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || {
        echo "install-packages: missing, and neither root nor sudo to install them:$missing" >&2
        exit 1
    }
    become_root='sudo DEBIAN_FRONTEND=noninteractive'
fi
export DEBIAN_FRONTEND=noninteractive
echo "install-packages: installing with apt-get:$missing"
# shellcheck disable=SC2086 # lists of words
{
    $become_root apt-get update
    $become_root apt-get install --yes --no-install-recommends $missing
}

#!/bin/sh
# Turns a fresh Debian tree into the sandbox's root. A hook of mmdebstrap, run as (fake) root.
#
#   customize-root.sh ROOT
#
# SOURCE_DATE_EPOCH is the one time stamp of all files, in ROOT and later in the file system.
set -eu

root=$1
epoch=$SOURCE_DATE_EPOCH

# --- names and addresses ---
echo sandbox >"$root/etc/hostname"
cat >"$root/etc/hosts" <<'EOF'
127.0.0.1 localhost sandbox
::1 localhost ip6-localhost ip6-loopback
EOF
: >"$root/etc/fstab"
# The host side names the servers, if there is a network at all.
rm -f "$root/etc/resolv.conf"
: >"$root/etc/resolv.conf"
: >"$root/etc/machine-id"
ln -sf /usr/share/zoneinfo/Etc/UTC "$root/etc/localtime"
ln -sf /proc/self/mounts "$root/etc/mtab"

# --- users ---
chroot "$root" useradd --uid 1000 --create-home --shell /bin/bash --comment 'Sandbox user' user
chroot "$root" passwd --quiet --lock root

# --- environment ---
cat >"$root/etc/environment" <<'EOF'
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
LANG=C.UTF-8
EOF
mkdir -p "$root/etc/default"
echo 'LANG=C.UTF-8' >"$root/etc/default/locale"
cat >"$root/etc/profile" <<'EOF'
# Login shells of the Bourne family.
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH LANG="${LANG:-C.UTF-8}"
if [ "${PS1-}" ]; then
    if [ "${BASH-}" ] && [ -f /etc/bash.bashrc ]; then
        . /etc/bash.bashrc
    else
        PS1='\$ '
    fi
fi
for script in /etc/profile.d/*.sh; do
    [ -r "$script" ] && . "$script"
done
unset script
EOF
# Nothing else is called `python` on Debian, and many commands expect it.
ln -sf python3 "$root/usr/bin/python"

# With its locales in one file, a program opens and maps one file at its start and not twelve: most start with
# `setlocale`, and it was a third of what they cost.
chroot "$root" localedef --add-to-archive /usr/lib/locale/C.utf8
chmod 644 "$root/usr/lib/locale/locale-archive"

# There is no init system whose `reboot` Debian would bring; with -f, busybox asks the kernel itself.
for program in reboot poweroff halt; do
    ln -sf ../bin/busybox "$root/usr/sbin/$program"
done

# --- what a sandbox has no use for ---
rm -rf "$root/usr/share/doc-base" "$root/usr/share/info" "$root/var/cache/debconf"/*-old \
    "$root/var/lib/dpkg"/*-old "$root/etc"/passwd- "$root/etc"/group- "$root/etc"/shadow- "$root/etc"/gshadow- \
    "$root/var/cache/ldconfig" "$root/var/cache/apt" "$root/var/lib/apt/lists"
mkdir -p "$root/var/cache/apt/archives/partial" "$root/var/lib/apt/lists/partial" "$root/var/cache/ldconfig"
find "$root/usr/share/doc" -depth -type d -empty -delete
find "$root/var/log" -type f -delete
for directory in proc sys dev run mnt; do
    mkdir -p "$root/$directory"
done
mkdir -p "$root/tmp"
chmod 1777 "$root/tmp"

# --- compiled Python ---
# A .pyc file records its source's time stamp, so all sources get the one that mkfs.erofs writes.
find "$root/usr/lib/python3" "$root/usr/lib"/python3.* -name '*.py' -exec touch --no-dereference --date="@$epoch" {} +
find "$root/usr/lib/python3" "$root/usr/lib"/python3.* -name '*.pyc' -delete
chroot "$root" /bin/sh -c 'PYTHONHASHSEED=0 exec python3 -m compileall -q -f --invalidation-mode timestamp \
    -x "lib2to3/tests/data|/bad_" /usr/lib/python3 /usr/lib/python3.*[0-9]'

# --- what is inside ---
chroot "$root" dpkg-query --show --showformat='${Package} ${Version}\n' >"$root/usr/share/sandbox-packages.txt"

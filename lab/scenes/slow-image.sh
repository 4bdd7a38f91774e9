#!/bin/sh
# What docs/why-is-this-image-slow.md shows: `cargo xtask lab run lab/scenes/slow-image.sh`.
set -e
modprobe -a loop xfs btrfs
insmod /lab/rloop.ko
mkfs.xfs -q -f /dev/vdb
mkdir -p /srv
mount /dev/vdb /srv
cd /srv

# A database in little: one block somewhere, made durable, and the next.
load() {
    fio --name=db --filename="$1" --rw=randwrite --bs=4k --direct=1 --fdatasync=1 --ioengine=psync \
        --size=256m --norandommap --randseed=1 --time_based --runtime="$2" | grep -E 'IOPS=| clat .*avg'
}

said() {
    echo "\$ $*"
    "$@"
}

watched() {
    load "$1" 40 >/tmp/load &
    rloop-lab screen --intervals 12 --keys "$2"
    wait
    cat /tmp/load
}

truncate -s 256M disk.img
said losetup --find --show --direct-io=on disk.img
watched /dev/loop0 146
said losetup --detach /dev/loop0
said cp --sparse=never disk.img new.img
said losetup --find --show --direct-io=on new.img
watched /dev/loop0 16
said losetup --detach /dev/loop0
said rloop attach new.img
said rloop list
watched /dev/rloop0 16
said rloop stat rloop0
said rloop detach rloop0

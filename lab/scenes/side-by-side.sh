#!/bin/sh
# The dashboard with an rloop device and a stock loop device, side by side under the same load: `cargo xtask lab picture`.
set -e
modprobe -a loop xfs btrfs
insmod /lab/rloop.ko
mkfs.xfs -q -f /dev/vdb
mkdir -p /srv
mount /dev/vdb /srv
for name in stock rloop; do
    xfs_io -f -c "pwrite -b 1M -q 0 64M" -c fsync /srv/$name.img
done
stock=$(losetup --find --show --direct-io=on /srv/stock.img)
rloop=$(rloop attach /srv/rloop.img)
# With some idle time: two emulated processors are to have some left for the dashboard.
fio --minimal --time_based --runtime=120 --direct=1 --ioengine=psync --bs=4k --rw=randrw --rwmixread=70 --thinktime=1000 \
    --name=stock --filename="$stock" --name=rloop --filename="$rloop" >/dev/null &
rloop-lab screen --colours --intervals 24 --keys j
kill $!

#!/usr/bin/env bash
# Compares what the kernels make with every instruction set that they are compiled for: those of this x86-64 processor, NEON on an
# emulated arm64 one, and AVX-512, where this one has none, on one that Bochs emulates, booted with Debian's kernel.
#
#   scripts/test-instruction-sets.sh [arm64] [avx512]
#
# Without arguments all are compared, which takes some minutes. Needs clang (or CC), and root on Debian or Ubuntu to install the
# emulators.
set -euo pipefail
cd "$(dirname "$0")/.."
compiler=${CC:-clang}
[ $# -gt 0 ] || set -- arm64 avx512
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
sources=(Tests/KernelDigests/digests.c Sources/Kernels/*.c)
flags=(-std=c11 -O2 -Wall -Werror -ffp-contract=off -ISources/Kernels/include)

install_packages() {
    apt-get update -qq || true # a list that is a little old will do
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

# compare NAME SETS: whether the file NAME has the digests of so many instruction sets, all of them those of this processor's
# baseline. A program that stopped halfway has too few.
compare() {
    local set
    for ((set = 0; set < $2; set++)); do cat "$work/baseline"; done >"$work/expected"
    diff "$work/expected" "$work/$1" || {
        echo "test-instruction-sets: these kernels differ on $1, or are missing there" >&2
        exit 1
    }
    echo "test-instruction-sets: $(wc -l <"$work/baseline") digests are the same on $1 (instruction sets: $2)"
}

"$compiler" "${flags[@]}" "${sources[@]}" -static -lm -o "$work/digests"
"$work/digests" >"$work/x86-64"
# The first set, whose last line this is.
sed '/^float types/q' "$work/x86-64" >"$work/baseline"
compare x86-64 "$(grep -c '^float types' "$work/x86-64")"

on_arm64() {
    if ! command -v qemu-aarch64-static >/dev/null || ! command -v aarch64-linux-gnu-gcc >/dev/null; then
        install_packages qemu-user-static gcc-aarch64-linux-gnu libc6-dev-arm64-cross
    fi
    # The same compiler as for the package; gcc only links.
    for source in "${sources[@]}"; do
        "$compiler" --target=aarch64-linux-gnu -isystem /usr/aarch64-linux-gnu/include "${flags[@]}" \
            -c "$source" -o "$work/$(basename "$source" .c).o"
    done
    aarch64-linux-gnu-gcc -static "$work"/*.o -lm -o "$work/digests-arm64"
    qemu-aarch64-static "$work/digests-arm64" >"$work/arm64"
    compare arm64 1
}

on_avx512() {
    if grep -qw avx512vl /proc/cpuinfo; then return; fi # compared already
    install_packages \
        bochs bochs-term bochsbios vgabios grub-pc-bin grub-common xorriso mtools cpio busybox-static
    local kernel
    kernel=$(apt-cache depends linux-image-cloud-amd64 | sed -n 's/.*Depends: //p' | head -1)
    (cd "$work" && apt-get download -qq -o APT::Sandbox::User=root "$kernel" && dpkg -x "$kernel"_*.deb kernel)

    mkdir -p "$work"/root/{bin,proc,dev} "$work/disk/boot/grub"
    cp /bin/busybox "$work/root/bin/"
    cp "$work/digests" "$work/root/"
    cat >"$work/root/init" <<'INIT'
#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc
/bin/busybox grep -qw avx512vl /proc/cpuinfo && /digests
echo FINISHED
/bin/busybox sleep 60
INIT
    chmod +x "$work/root/init"
    (cd "$work/root" && find . | cpio -o -H newc 2>/dev/null | gzip -1) >"$work/disk/boot/initrd"
    cp "$work"/kernel/boot/vmlinuz-* "$work/disk/boot/vmlinuz"
    # Bochs 2.7 reports a wrong size for compacted states (XSAVEC, XSAVES), at which Linux gives up all of AVX.
    cat >"$work/disk/boot/grub/grub.cfg" <<'GRUB'
set timeout=0
menuentry digests {
    linux /boot/vmlinuz console=ttyS0 quiet tsc=reliable mitigations=off noxsaves clearcpuid=321,323
    initrd /boot/initrd
}
GRUB
    grub-mkrescue -o "$work/disk.iso" "$work/disk" >/dev/null 2>&1
    cat >"$work/bochsrc" <<BOCHS
megs: 512
romimage: file=/usr/share/bochs/BIOS-bochs-latest
vgaromimage: file=/usr/share/bochs/VGABIOS-lgpl-latest
cpu: model=corei7_skylake_x, count=1, ips=200000000, ignore_bad_msrs=1
ata0: enabled=1, ioaddr1=0x1f0, ioaddr2=0x3f0, irq=14
ata0-master: type=cdrom, path=$work/disk.iso, status=inserted
boot: cdrom
com1: enabled=1, mode=file, dev=$work/console
display_library: term
log: $work/log
panic: action=fatal
BOCHS
    echo c >"$work/commands"
    : >"$work/console"
    # Its display needs a terminal.
    TERM=xterm timeout 1200 script -qfc "bochs -q -f $work/bochsrc -rc $work/commands" /dev/null </dev/null >/dev/null 2>&1 &
    local bochs=$!
    while kill -0 $bochs 2>/dev/null && ! grep -aq FINISHED "$work/console"; do sleep 2; done
    kill $bochs 2>/dev/null || true
    wait $bochs 2>/dev/null || true
    tr -d '\r' <"$work/console" | grep -aE '^[ a-z_0-9]{24} [0-9a-f]{16}$' >"$work/avx512" || true
    compare avx512 3
}

for processor in "$@"; do
    case $processor in
    arm64) on_arm64 ;;
    avx512) on_avx512 ;;
    *)
        echo "test-instruction-sets: arm64 or avx512, not \"$processor\"" >&2
        exit 2
        ;;
    esac
done

//! QEMU's translator (TCG) with the guest's kernel and root.

use std::path::Path;
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::boot;
use crate::initramfs::{self, Content};
use crate::root::Guest;
use crate::shell::{Driver, Shell};

/// The emulator.
pub const PROGRAM: &str = "qemu-system-i386";
/// Memory of the machine in megabytes: the sandbox's default.
const RAM_MB: u32 = 256;
/// `reboot=k` ends QEMU when the kernel panics, since it may not reboot.
const COMMAND_LINE: &str = "console=ttyS0 quiet loglevel=3 reboot=k panic=-1 rdinit=/init";
/// Where the machine `microvm` has its virtio transports, and which interrupts they raise.
const MMIO_BASE: u32 = 0xFEB0_0000;
const MMIO_STRIDE: u32 = 512;
const MMIO_IRQ: u32 = 5;
const MMIO_COUNT: u32 = 8;

/// A machine that answers.
pub type Qemu = Driver<ChildStdin, ChildStdout>;

/// Boots the guest in QEMU with files in `directory`; returns it with the time to its first answer.
pub fn start(guest: &Guest, directory: &Path) -> Result<(Qemu, Duration)> {
    let mut line = COMMAND_LINE.to_owned();
    for slot in 0..MMIO_COUNT {
        let (address, irq) = (MMIO_BASE + slot * MMIO_STRIDE, MMIO_IRQ + slot);
        line.push_str(&format!(" virtio_mmio.device={MMIO_STRIDE}@{address:#x}:{irq}"));
    }
    let initrd = initramfs::archive(guest, Content::Mounter)?;
    let loads = boot::prepare(&guest.kernel, &initrd, &line, RAM_MB << 20, directory)?;
    let mut command = Command::new(PROGRAM);
    // Without firmware nobody connects the local APIC to the interrupt controller that the kernel knows.
    command.args(["-cpu", "qemu32,-apic"]);
    command.args(["-M", "microvm,acpi=off,isa-serial=on,pit=on,pic=on,rtc=on,auto-kernel-cmdline=off"]);
    command.args([
        "-accel",
        "tcg",
        "-m",
        &RAM_MB.to_string(),
        "-nodefaults",
        "-no-user-config",
        "-no-reboot",
    ]);
    command.args(["-display", "none", "-serial", "stdio"]).arg("-bios").arg(&loads.rom);
    for (address, file) in &loads.memory {
        let option = format!("loader,addr={address:#x},force-raw=on,file={}", file.display());
        command.args(["-device", &option]);
    }
    let drive = format!("id=root,if=none,format=raw,readonly=on,file={}", guest.image.display());
    command.args(["-drive", &drive, "-device", "virtio-blk-device,drive=root"]);
    let started = Instant::now();
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().context("running QEMU")?;
    let (input, output) = (child.stdin.take(), child.stdout.take());
    let mut qemu = Driver::new(child, input.context("stdin is piped")?, output.context("stdout is piped")?)?;
    qemu.run("echo hi")?;
    Ok((qemu, started.elapsed()))
}

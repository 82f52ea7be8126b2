//! A virtual machine with another kernel than the host's, whose root directory is in memory. The kernel is the one that
//! `HOLM_TEST_KERNEL` names; its modules lie beside it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::wait_within;

/// Where the kernel is; none when nobody names one.
pub(crate) fn kernel() -> Option<PathBuf> {
    let named = std::env::var_os("HOLM_TEST_KERNEL");
    if named.is_none() {
        println!("skipped: HOLM_TEST_KERNEL names no kernel");
    }
    Some(named?.into())
}

/// A module of it, by its path below `kernel/`.
pub(crate) fn module(kernel: &Path, path: &str) -> PathBuf {
    let unpacked = kernel.parent().and_then(Path::parent).expect("`boot` in what was unpacked");
    let versions = fs::read_dir(unpacked.join("lib/modules")).expect("modules");
    let version = versions.flatten().next().expect("one version").path();
    version.join("kernel").join(path).with_extension("ko")
}

/// Boots what was packed, and returns what the console said when it would boot again. Emulated, since a processor that is
/// virtual itself rarely lends itself.
pub(crate) fn boot(kernel: &Path, initrd: &Path, mebibytes: u32, limit: Duration) -> String {
    let console = initrd.with_extension("console");
    let mut machine = Command::new("qemu-system-x86_64")
        .args(["-M", "microvm,acpi=off,rtc=on", "-accel", "tcg,thread=multi", "-cpu", "max"])
        .args(["-m", &mebibytes.to_string(), "-smp", "2", "-nodefaults", "-no-user-config", "-no-reboot"])
        .args(["-display", "none", "-append"])
        .arg("console=ttyS0 quiet panic=-1 reboot=t systemd.show_status=no")
        .arg("-serial")
        .arg(format!("file:{}", console.display()))
        .arg("-kernel")
        .arg(kernel)
        .arg("-initrd")
        .arg(initrd)
        .stdin(Stdio::null())
        .spawn()
        .expect("qemu");
    let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        wait_within(limit, "the machine ends", || machine.try_wait().expect("our child"));
    }));
    let _ = machine.kill();
    let _ = machine.wait();
    let said = String::from_utf8_lossy(&fs::read(&console).unwrap_or_default()).replace('\r', "");
    println!("{said}");
    assert!(ended.is_ok(), "the machine did not end; it says above how far it came");
    said
}

/// Packs `root`, which is removed, with busybox and this `init`, as the kernel takes it.
pub(crate) fn pack(root: &Path, init: &str) -> PathBuf {
    put("/bin/busybox".as_ref(), root, "/bin/busybox".as_ref());
    fs::write(root.join("init"), init).expect("our own directory");
    fs::set_permissions(root.join("init"), fs::Permissions::from_mode(0o755)).expect("our own file");
    let initrd = root.with_extension("initrd");
    let pack = format!("find . | /bin/busybox cpio -o -H newc >{}", initrd.display());
    let packed = Command::new("/bin/sh").args(["-c", &pack]).current_dir(root).output().expect("a shell");
    assert!(packed.status.success(), "{packed:?}");
    fs::remove_dir_all(root).expect("our own directory");
    initrd
}

/// A file at `place` below `root`.
pub(crate) fn put(file: &Path, root: &Path, place: &Path) {
    let target = root.join(place.strip_prefix("/").expect("a place from the root down"));
    fs::create_dir_all(target.parent().expect("below the root")).expect("our own directory");
    fs::copy(file, target).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
}

/// A program at `place`, without what only debuggers read, and the libraries that it is linked to.
pub(crate) fn put_program(program: &Path, root: &Path, place: &Path) {
    put(program, root, place);
    let stripped = root.join(place.strip_prefix("/").expect("a place from the root down"));
    // Without `strip` it is large, and that is all.
    let _ = Command::new("strip").arg(stripped).output();
    // `libc.so.6 => /lib/… (0x…)`, `/lib64/ld-linux… (0x…)`
    let said = Command::new("ldd").arg(program).output().expect("ldd").stdout;
    let said = String::from_utf8(said).expect("text");
    for library in said.split_whitespace().filter(|word| word.starts_with('/')) {
        put(library.as_ref(), root, library.as_ref());
    }
}

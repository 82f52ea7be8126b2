//! What runs the process runtime on another kernel than the host's: control groups of version 2 with all
//! controllers, inside a virtual machine without hardware help, whose whole disk is this test program.
//! The kernel is named by `HOLM_TEST_KERNEL`.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Boot and tests take 31 to 67 s while others compile.
const LIMIT: Duration = Duration::from_secs(120);

/// What the console says when all tests passed.
const PASSED: &str = "all of it passed";

const INIT: &str = r#"#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin HOME=/ RUST_BACKTRACE=0
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir /dev/pts
mount -t devpts pts /dev/pts
mount -t cgroup2 cgroup2 /sys/fs/cgroup
ln -s /proc/self/fd/1 /dev/stdout
chmod 1777 /tmp
echo "controllers: $(cat /sys/fs/cgroup/cgroup.controllers)"
/suite process:: contract::process_keeps:: --test-threads 4 && echo "all of it" passed
reboot -f
"#;

#[test]
fn the_process_runtime_on_control_groups_2_needs_vm() {
    let Ok(kernel) = std::env::var("HOLM_TEST_KERNEL") else {
        return println!("skipped: HOLM_TEST_KERNEL names no kernel");
    };
    let dir = tempfile::tempdir().unwrap();
    let disk = disk(dir.path());
    let console = dir.path().join("console");
    let mut machine = Command::new("qemu-system-x86_64")
        .args(["-M", "microvm,acpi=off,rtc=on", "-accel", "tcg,thread=multi", "-cpu", "max"])
        .args(["-m", "1024", "-smp", "2", "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none"])
        .args(["-append", "console=ttyS0 quiet panic=-1 reboot=t", "-kernel", &kernel])
        .arg("-serial")
        .arg(format!("file:{}", console.display()))
        .arg("-initrd")
        .arg(disk)
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let until = Instant::now() + LIMIT;
    // It ends when it would boot again.
    while machine.try_wait().unwrap().is_none() {
        if Instant::now() > until {
            machine.kill().unwrap();
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let said = String::from_utf8_lossy(&fs::read(console).unwrap()).replace('\r', "");
    println!("{said}");
    assert!(said.contains(PASSED), "the machine says above why; nothing: it took over {LIMIT:?}");
    assert!(said.contains("controllers: cpuset cpu io memory"), "all limits were tried");
}

/// A root directory as the kernel takes it.
fn disk(dir: &Path) -> PathBuf {
    let root = dir.join("root");
    let supervisor = PathBuf::from(env!("CARGO_BIN_EXE_holm-supervise-test"));
    let suite = std::env::current_exe().unwrap();
    put("/bin/busybox".as_ref(), &root, "/bin/busybox".as_ref());
    put(&supervisor, &root, &supervisor);
    put(&suite, &root, "/suite".as_ref());
    for library in libraries(&suite) {
        put(&library, &root, &library);
    }
    for place in ["proc", "sys", "dev", "tmp", "etc"] {
        // The program itself may lie below one of them.
        fs::create_dir_all(root.join(place)).unwrap();
    }
    fs::write(root.join("etc/passwd"), "root:x:0:0::/:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n").unwrap();
    fs::write(root.join("init"), INIT).unwrap();
    fs::set_permissions(root.join("init"), fs::Permissions::from_mode(0o755)).unwrap();
    let pack = "find . | /bin/busybox cpio -o -H newc >../disk";
    let packed = Command::new("/bin/sh").args(["-c", pack]).current_dir(&root).output().unwrap();
    assert!(packed.status.success(), "{packed:?}");
    dir.join("disk")
}

fn put(file: &Path, root: &Path, place: &Path) {
    let target = root.join(place.strip_prefix("/").unwrap());
    fs::create_dir_all(target.parent().unwrap()).unwrap();
    fs::copy(file, target).unwrap();
}

/// What the dynamic linker would load: `libc.so.6 => /lib/… (0x…)`, `/lib64/ld-linux… (0x…)`.
fn libraries(program: &Path) -> Vec<PathBuf> {
    let said = Command::new("ldd").arg(program).output().unwrap().stdout;
    let said = String::from_utf8(said).unwrap();
    said.split_whitespace().filter(|word| word.starts_with('/')).map(PathBuf::from).collect()
}

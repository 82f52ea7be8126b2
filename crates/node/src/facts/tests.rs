use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use holm_model::resources::{Cpu, Memory};
use holm_model::units::Units;

use super::*;

fn put(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn board() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    for (path, text) in [
        ("proc/sys/kernel/hostname", "fl-1\n"),
        ("proc/sys/kernel/osrelease", "6.1.0-13-arm64\n"),
        ("proc/sys/kernel/random/boot_id", "c0ffee\n"),
        ("etc/os-release", "NAME=\"Debian GNU/Linux\"\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n"),
        ("proc/cpuinfo", "processor\t: 0\nmodel name\t: Cortex-A72\n\nprocessor\t: 1\n"),
        ("proc/meminfo", "MemTotal:        1024 kB\nMemAvailable:     256 kB\n"),
        ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
        ("sys/class/hwmon/hwmon0/name", "sht31\n"),
        ("sys/class/hwmon/hwmon0/temp1_input", "21500\n"),
        ("sys/class/hwmon/hwmon0/humidity1_input", "43000\n"),
        ("sys/class/hwmon/hwmon1/name", "fan-only\n"),
        ("sys/class/thermal/thermal_zone0/type", "cpu-thermal\n"),
        ("sys/class/drm/renderD128/device/vendor", "0x14e4\n"),
        ("sys/class/drm/renderD128/device/device", "0x1\n"),
        ("proc/driver/nvidia/gpus/0000:01:00.0/information", "Model: \t NVIDIA T4\nIRQ: 1\n"),
        ("sys/bus/usb/devices/1-1/idVendor", "1cf1\n"),
        ("sys/bus/usb/devices/1-1/idProduct", "0030\n"),
        ("sys/bus/usb/devices/1-1/product", "ConBee II\n"),
        ("sys/bus/usb/devices/usb1/bDeviceClass", "09\n"),
        ("sys/bus/usb/devices/usb1/idVendor", "1d6b\n"),
        ("sys/class/video4linux/video0/name", "Camera\n"),
        ("dev/serial/by-id/usb-dresden_ConBee_II-if00", ""),
    ] {
        put(root, path, text);
    }
    symlink("../../../bus/platform/drivers/v3d", root.join("sys/class/drm/renderD128/device/driver"))
        .unwrap();
    dir
}

fn detector(root: &Path) -> Detector {
    Detector {
        tree: Tree::new(root),
        data_dir: root.to_owned(),
        capabilities: BTreeSet::from(["site/lab".parse().unwrap()]),
        units: Units::default(),
        labels: BTreeMap::from([("floor".to_owned(), "1".to_owned())]),
        location: None,
        reserve: Resources::new(Cpu(100), Memory(24 << 10)),
    }
}

#[test]
fn a_board_is_described_by_its_files() {
    let board = board();
    let facts = detector(board.path()).detect(Vec::new());
    assert_eq!(facts.hostname, "fl-1");
    assert_eq!(facts.kernel, "6.1.0-13-arm64");
    assert_eq!(facts.os_version, "Debian GNU/Linux 12 (bookworm)");
    assert_eq!(facts.boot_id, "c0ffee");
    assert_eq!(facts.cpu_model, "Cortex-A72");
    assert!((1000..=2000).contains(&facts.total.cpu.0), "{}", facts.total.cpu);
    assert_eq!(facts.total.memory, Memory(1 << 20));
    assert_eq!(facts.allocatable.memory, Memory(1000 << 10));
    assert!(facts.disk_total >= facts.disk_free && facts.disk_free.0 > 0);
    assert_eq!(facts.gpus, ["v3d 14e4:1", "NVIDIA T4"]);
    assert_eq!(
        facts.devices,
        [
            "sensor: cpu-thermal thermal (temperature)",
            "sensor: sht31 (hwmon0) hwmon (humidity, temperature)",
            "serial: usb-dresden_ConBee_II-if00",
            "usb: 1cf1:0030 ConBee II",
            "video: Camera (video0)",
        ]
    );
    let capabilities: Vec<String> = facts.capabilities.iter().map(ToString::to_string).collect();
    let hardware = ["gpu", "humidity", "serial", "temperature", "usb", "video", "zigbee"];
    let expected: Vec<String> =
        hardware.iter().map(|name| format!("hardware/{name}")).chain(["site/lab".to_owned()]).collect();
    assert_eq!(capabilities, expected);
    assert_eq!(facts.labels["floor"], "1");
}

#[test]
fn an_empty_tree_is_no_error() {
    let dir = tempfile::tempdir().unwrap();
    let facts = detector(dir.path()).detect(Vec::new());
    assert_eq!(facts.hostname, "");
    assert!(facts.gpus.is_empty() && facts.devices.is_empty());
    assert_eq!(facts.total.memory, Memory(0));
    assert_eq!(facts.allocatable.memory, Memory(0));
}

#[test]
fn the_limit_of_our_own_container_counts() {
    let board = board();
    put(board.path(), "sys/fs/cgroup/memory.max", "65536\n");
    assert_eq!(detector(board.path()).detect(Vec::new()).total.memory, Memory(65536));
}

#[test]
fn this_machine_is_described() {
    let mut detector = detector(Path::new("/"));
    detector.tree = Tree::default();
    let facts = detector.detect(Vec::new());
    assert!(!facts.hostname.is_empty() && !facts.boot_id.is_empty() && facts.total.memory.0 > 0);
}

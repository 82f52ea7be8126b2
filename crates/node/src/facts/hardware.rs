//! GPUs, sensors and attached devices, with the capabilities that follow from them.

use std::collections::BTreeSet;

use holm_model::capability::Capability;
use holm_model::name::Name;

use super::tree::Tree;

/// What was found. Lists are sorted and each text is one thing, for people.
#[derive(Debug, Default)]
pub(super) struct Hardware {
    pub(super) gpus: Vec<String>,
    pub(super) devices: Vec<String>,
    pub(super) capabilities: BTreeSet<Capability>,
}

/// Directories whose entries with this prefix each are a device: `(directory, prefix, kind)`.
/// The kind is the word in the list of devices and the name of the capability.
const DEVICES: &[(&str, &str, &str)] = &[
    ("/dev/serial/by-id", "", "serial"),
    ("/sys/class/video4linux", "video", "video"),
    ("/sys/class/bluetooth", "hci", "bluetooth"),
    ("/sys/class/ieee80211", "phy", "wifi"),
    ("/sys/class/sound", "card", "sound"),
    ("/sys/class/tpm", "tpm", "tpm"),
    ("/sys/bus/i2c/devices", "i2c-", "i2c"),
    ("/sys/bus/spi/devices", "spi", "spi"),
    ("/sys/bus/gpio/devices", "gpiochip", "gpio"),
    ("/sys/bus/w1/devices", "28-", "temperature"),
    ("/dev", "ttyACM", "serial"),
    ("/dev", "ttyUSB", "serial"),
    ("/dev", "kvm", "kvm"),
    ("/sys/class/apex", "apex", "tpu"),
];

/// Sensor inputs of hwmon and iio by the start of their file names: `(prefix, capability)`.
const INPUTS: &[(&str, &str)] = &[
    ("temp", "temperature"),
    ("in_temp", "temperature"),
    ("humidity", "humidity"),
    ("in_humidityrelative", "humidity"),
    ("in_pressure", "pressure"),
    ("in_illuminance", "illuminance"),
    ("in_concentration_co2", "co2"),
    ("in_accel", "acceleration"),
    ("in_voltage", "voltage"),
    ("power", "power"),
];

/// Radio sticks that say what they are in the name of their serial port: `(part, capability)`.
const STICKS: &[(&str, &str)] = &[
    ("zigbee", "zigbee"),
    ("conbee", "zigbee"),
    ("z-wave", "zwave"),
    ("zwave", "zwave"),
    ("enocean", "enocean"),
];

/// Class of hubs: they are there in each machine and tell nothing.
const USB_HUB: &str = "09";

pub(super) fn detect(tree: &Tree) -> Hardware {
    let mut found = Hardware::default();
    found.gpus(tree);
    found.sensors(tree);
    for (dir, prefix, kind) in DEVICES {
        for name in tree.list(dir).into_iter().filter(|name| name.starts_with(prefix)) {
            found.device(kind, &label(tree, dir, &name));
            found.stick(&name);
        }
    }
    found.usb(tree);
    found.devices.sort_unstable();
    found.devices.dedup();
    found
}

/// A device's own name, where it has one, and the kernel's.
fn label(tree: &Tree, dir: &str, name: &str) -> String {
    match tree.read(format!("{dir}/{name}/name")) {
        Some(own) if own != name => format!("{own} ({name})"),
        _ => name.to_owned(),
    }
}

// === impl Hardware ===

impl Hardware {
    fn device(&mut self, kind: &str, text: &str) {
        self.devices.push(format!("{kind}: {text}"));
        self.capability(kind);
    }

    /// `kind`s come from the tables above and are names.
    fn capability(&mut self, kind: &str) {
        if let (Ok(hardware), Ok(name)) = (Name::new("hardware"), Name::new(kind)) {
            self.capabilities.insert(Capability::new(hardware, name));
        }
    }

    fn stick(&mut self, name: &str) {
        let name = name.to_ascii_lowercase();
        for (_, capability) in STICKS.iter().filter(|(part, _)| name.contains(part)) {
            self.capability(capability);
        }
    }

    /// Render nodes and NVIDIA's own files; a display without a GPU behind it (`simpledrm`, a BMC) has
    /// no render node.
    fn gpus(&mut self, tree: &Tree) {
        for node in tree.list("/sys/class/drm").iter().filter(|name| name.starts_with("renderD")) {
            let device = format!("/sys/class/drm/{node}/device");
            let driver = tree.link_name(&format!("{device}/driver"));
            if driver.as_deref() == Some("nvidia") {
                continue; // Named better below.
            }
            let ids = [format!("{device}/vendor"), format!("{device}/device")].map(|path| tree.read(path));
            let ids: Vec<&str> = ids.iter().flatten().map(|id| id.trim_start_matches("0x")).collect();
            let driver = driver.unwrap_or_else(|| "gpu".to_owned());
            self.gpus.push(format!("{driver} {}", ids.join(":")).trim_end().to_owned());
        }
        for slot in tree.list("/proc/driver/nvidia/gpus") {
            let about = tree.read(format!("/proc/driver/nvidia/gpus/{slot}/information")).unwrap_or_default();
            let model = about.lines().find_map(|line| line.strip_prefix("Model:")).map(str::trim);
            self.gpus.push(model.unwrap_or("NVIDIA GPU").to_owned());
        }
        if !self.gpus.is_empty() {
            self.capability("gpu");
        }
        if tree.exists("/dev/nvidiactl") || tree.exists("/proc/driver/nvidia/version") {
            self.capability("cuda");
        }
    }

    fn sensors(&mut self, tree: &Tree) {
        for (dir, class) in [("/sys/class/hwmon", "hwmon"), ("/sys/bus/iio/devices", "iio")] {
            for entry in tree.list(dir) {
                let inputs: BTreeSet<&str> =
                    tree.list(&format!("{dir}/{entry}")).iter().filter_map(|f| input(f)).collect();
                for capability in &inputs {
                    self.capability(capability);
                }
                if !inputs.is_empty() {
                    let what = inputs.into_iter().collect::<Vec<_>>().join(", ");
                    self.devices.push(format!("sensor: {} {class} ({what})", label(tree, dir, &entry)));
                }
            }
        }
        for zone in tree.list("/sys/class/thermal").iter().filter(|name| name.starts_with("thermal_zone")) {
            let kind = tree.read(format!("/sys/class/thermal/{zone}/type")).unwrap_or_else(|| zone.clone());
            self.devices.push(format!("sensor: {kind} thermal (temperature)"));
            self.capability("temperature");
        }
    }

    fn usb(&mut self, tree: &Tree) {
        let devices = tree.list("/sys/bus/usb/devices");
        // Names with a colon are interfaces of a device.
        for device in devices.iter().filter(|name| !name.contains(':')) {
            let read = |file: &str| tree.read(format!("/sys/bus/usb/devices/{device}/{file}"));
            if read("bDeviceClass").as_deref() == Some(USB_HUB) {
                continue;
            }
            let Some((vendor, product)) = read("idVendor").zip(read("idProduct")) else { continue };
            let name =
                [read("manufacturer"), read("product")].into_iter().flatten().collect::<Vec<_>>().join(" ");
            self.stick(&name);
            self.device("usb", format!("{vendor}:{product} {name}").trim_end());
        }
    }
}

/// What a file such as `temp1_input` or `in_humidityrelative_raw` measures.
fn input(file: &str) -> Option<&'static str> {
    let reading = ["_input", "_raw", "_average"].iter().any(|suffix| file.ends_with(suffix));
    let known = INPUTS.iter().find(|(prefix, _)| file.starts_with(prefix));
    known.filter(|_| reading).map(|(_, capability)| *capability)
}

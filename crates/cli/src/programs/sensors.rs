//! Which sensors a Linux machine has, and what they say: hwmon, thermal zones, IIO. A machine without
//! any (most virtual ones) still has its load and its memory, marked as such.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// One value of one sensor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Reading {
    /// `coretemp/Package id 0`
    pub(crate) name: String,
    pub(crate) value: f64,
    pub(crate) unit: String,
    pub(crate) source: Source,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Source {
    /// A real sensor, below `/sys`.
    Sensor,
    /// No sensor: the machine's own load and memory, from `/proc`.
    Machine,
}

/// Kinds of hwmon inputs: prefix of the file, divisor, unit. From the kernel's hwmon/sysfs-interface.
const HWMON: [(&str, f64, &str); 6] = [
    ("temp", 1000.0, "°C"),
    ("humidity", 1000.0, "%"),
    ("in", 1000.0, "V"),
    ("fan", 1.0, "rpm"),
    ("power", 1_000_000.0, "W"),
    ("curr", 1000.0, "A"),
];
/// Files of IIO devices whose value needs no scale of its own: name, divisor, unit.
const IIO: [(&str, f64, &str); 4] = [
    ("in_temp_input", 1000.0, "°C"),
    ("in_humidityrelative_input", 1000.0, "%"),
    ("in_pressure_input", 0.01, "hPa"),
    ("in_illuminance_input", 1.0, "lx"),
];
/// More sensors than people look at.
const MOST: usize = 64;

/// What all sensors below `root` (normally `/`) say now.
pub(crate) fn read(root: &Path) -> Vec<Reading> {
    let mut readings = hwmon(root);
    readings.extend(thermal(root));
    readings.extend(iio(root));
    if readings.is_empty() {
        readings = machine(root);
    }
    readings.truncate(MOST);
    readings
}

fn hwmon(root: &Path) -> Vec<Reading> {
    let inputs = |device: PathBuf| {
        let chip = text(&device.join("name")).unwrap_or_else(|| "hwmon".to_owned());
        entries(&device).into_iter().filter_map(move |file| {
            let stem = file.file_name()?.to_str()?.strip_suffix("_input")?.to_owned();
            let kind = stem.trim_end_matches(|c: char| c.is_ascii_digit());
            let (_, divisor, unit) = HWMON.iter().find(|(prefix, ..)| *prefix == kind)?;
            let label = text(&device.join(format!("{stem}_label"))).unwrap_or(stem);
            sensor(format!("{chip}/{label}"), &file, *divisor, unit)
        })
    };
    entries(&root.join("sys/class/hwmon")).into_iter().flat_map(inputs).collect()
}

fn thermal(root: &Path) -> Vec<Reading> {
    let zone = |device: PathBuf| {
        let kind = text(&device.join("type"))?;
        sensor(format!("thermal/{kind}"), &device.join("temp"), 1000.0, "°C")
    };
    let zones = entries(&root.join("sys/class/thermal")).into_iter();
    zones.filter(|path| path.to_string_lossy().contains("thermal_zone")).filter_map(zone).collect()
}

fn iio(root: &Path) -> Vec<Reading> {
    let values = |device: PathBuf| {
        let chip = text(&device.join("name")).unwrap_or_else(|| "iio".to_owned());
        IIO.iter().filter_map(move |(file, divisor, unit)| {
            sensor(format!("{chip}/{file}"), &device.join(file), *divisor, unit)
        })
    };
    entries(&root.join("sys/bus/iio/devices")).into_iter().flat_map(values).collect()
}

fn sensor(name: String, file: &Path, divisor: f64, unit: &str) -> Option<Reading> {
    let value = text(file)?.parse::<f64>().ok()? / divisor;
    Some(Reading { name, value, unit: unit.to_owned(), source: Source::Sensor })
}

fn machine(root: &Path) -> Vec<Reading> {
    let reading = |name: &str, value: f64, unit: &str| Reading {
        name: name.to_owned(),
        value,
        unit: unit.to_owned(),
        source: Source::Machine,
    };
    let load = text(&root.join("proc/loadavg"));
    let load = load.and_then(|text| text.split(' ').next()?.parse().ok());
    let memory = text(&root.join("proc/meminfo")).and_then(|text| used_share(&text));
    let load = load.map(|value| reading("machine/load", value, "load"));
    load.into_iter().chain(memory.map(|value| reading("machine/memory used", value, "%"))).collect()
}

/// Per cent of the memory that is in use.
fn used_share(meminfo: &str) -> Option<f64> {
    let kib = |name: &str| -> Option<f64> {
        let line = meminfo.lines().find(|line| line.starts_with(name))?;
        line.split_whitespace().nth(1)?.parse().ok()
    };
    let (total, available) = (kib("MemTotal:")?, kib("MemAvailable:")?);
    Some((1000.0 * (total - available) / total).round() / 10.0)
}

fn text(file: &Path) -> Option<String> {
    fs::read_to_string(file).ok().map(|text| text.trim().to_owned())
}

/// Sorted, so that the order of readings does not change.
fn entries(dir: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<_> =
        fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (path, content) in files {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        dir
    }

    #[test]
    fn real_sensors_are_read() {
        let root = tree(&[
            ("sys/class/hwmon/hwmon0/name", "coretemp\n"),
            ("sys/class/hwmon/hwmon0/temp1_input", "42500\n"),
            ("sys/class/hwmon/hwmon0/temp1_label", "Package id 0\n"),
            ("sys/class/hwmon/hwmon0/fan1_input", "1200\n"),
            ("sys/class/hwmon/hwmon0/fan2_input", "broken\n"),
            ("sys/class/thermal/thermal_zone0/type", "acpitz\n"),
            ("sys/class/thermal/thermal_zone0/temp", "27800\n"),
            ("sys/class/thermal/cooling_device0/type", "fan\n"),
            ("proc/loadavg", "0.50 0.4 0.3 1/100 4711\n"),
        ]);
        let readings = read(root.path());
        let shown: Vec<_> = readings.iter().map(|r| format!("{} {} {}", r.name, r.value, r.unit)).collect();
        assert_eq!(
            shown,
            ["coretemp/fan1 1200 rpm", "coretemp/Package id 0 42.5 °C", "thermal/acpitz 27.8 °C"]
        );
        assert!(readings.iter().all(|reading| reading.source == Source::Sensor));
    }

    #[test]
    fn a_machine_without_sensors_says_so() {
        let meminfo = "MemTotal: 1000 kB\nMemFree: 1 kB\nMemAvailable: 750 kB\n";
        let root = tree(&[("proc/loadavg", "0.50 0.4 0.3 1/100 4711\n"), ("proc/meminfo", meminfo)]);
        let readings = read(root.path());
        assert!(readings.iter().all(|reading| reading.source == Source::Machine));
        assert_eq!(readings.iter().map(|reading| reading.value).collect::<Vec<_>>(), [0.5, 25.0]);
    }
}

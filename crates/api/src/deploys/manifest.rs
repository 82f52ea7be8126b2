//! What an application says of its image. Pure.

use holm_model::manifest::{parse, show};
use holm_model::name::Name;
use holm_model::service::Application;

use crate::problem::{Fault, Kind};

/// What it is to say.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted<'a> {
    pub(super) name: &'a Name,
    pub(super) image: &'a str,
    pub(super) devices: &'a [Name],
    pub(super) ports: &'a [u16],
}

/// One service.
pub(super) fn first(wanted: &Wanted<'_>) -> String {
    let Wanted { name, image, devices, ports } = wanted;
    let mut text = format!(
        "holm: v1\napplication: {name}\nservices:\n  {name}:\n    runtime: container\n    image: {image}\n"
    );
    if !ports.is_empty() {
        text.push_str("    ports:\n");
        for port in *ports {
            text.push_str(&format!("      p{port}: {{ container: {port} }}\n"));
        }
    }
    if !devices.is_empty() {
        let nodes: Vec<_> = devices.iter().map(|node| format!("\"{node}\"")).collect();
        text.push_str("    replicas: per-node\n    placement:\n");
        text.push_str(&format!("      where: 'name in [{}]'\n", nodes.join(", ")));
    }
    text
}

/// The same application with the new image; on other devices and ports if some are named.
pub(super) fn again(present: &str, wanted: &Wanted<'_>) -> Result<String, Fault> {
    let name = wanted.name;
    let mut application = read(present)?;
    let mut new = read(&first(wanted))?;
    let service = application.services.get_mut(name).ok_or_else(|| {
        let detail = format!(
            "the application {name} has no service {name}, which a deployment would change; build the image alone (`holm build`), and \
             name it in your manifest"
        );
        Fault::new(Kind::Conflict, detail)
    })?;
    if let Some(new) = new.services.remove(name) {
        if !wanted.devices.is_empty() {
            service.spec.placement = new.spec.placement;
            service.replicas = new.replicas;
        }
        if !wanted.ports.is_empty() {
            service.spec.ports = new.spec.ports;
        }
    }
    service.spec.image = Some(wanted.image.to_owned());
    Ok(show(&application))
}

pub(super) fn read(text: &str) -> Result<Application, Fault> {
    let unreadable = |error| Fault::new(Kind::Invalid, format!("the application cannot say this: {error}"));
    parse(text, "its manifest").map_err(unreadable)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted<'a>(name: &'a Name, image: &'a str, devices: &'a [Name], ports: &'a [u16]) -> Wanted<'a> {
        Wanted { name, image, devices, ports }
    }

    #[test]
    fn the_new_file_alone_changes_the_image_alone() {
        let name: Name = "box".parse().unwrap();
        let devices = ["fl-1".parse().unwrap(), "fl-2".parse().unwrap()];
        let image =
            |digit: char| format!("registry.holm/default/box@sha256:{}", digit.to_string().repeat(64));
        let (one, two) = (image('1'), image('2'));
        let first = first(&wanted(&name, &one, &devices, &[80]));
        let mut own = read(&first).unwrap();
        own.services.get_mut(&name).unwrap().spec.env.insert("MODE".into(), "slow".into());
        let before = show(&own);
        let after = again(&before, &wanted(&name, &two, &[], &[])).unwrap();
        assert_eq!(after, before.replace(&one, &two));
        let moved = again(&before, &wanted(&name, &two, &devices[1..], &[])).unwrap();
        assert!(!moved.contains("fl-1") && moved.contains("fl-2") && moved.contains("MODE"), "{moved}");
        let other: Name = "other".parse().unwrap();
        let refused = again(&before, &wanted(&other, &two, &[], &[])).unwrap_err();
        assert!(refused.detail().contains("no service other"), "{refused:?}");
    }
}

//! Where containers find the node.

use std::net::IpAddr;

use bollard::errors::Error;
use bollard::models::IpamConfig;
use bollard::query_parameters::InspectNetworkOptions;

use super::engine::Engine;
use crate::error::{RunError, Step};

/// The default networks of Docker and Podman.
const NETWORKS: [&str; 2] = ["bridge", "podman"];

/// The gateway of the engine's default bridge.
///
/// # Errors
/// When there is no such bridge, as with a rootless engine.
pub(super) async fn gateway(engine: &Engine) -> Result<IpAddr, RunError> {
    let client = engine.client(Step::Address).await?;
    for network in NETWORKS {
        let found = match client.inspect_network(network, None::<InspectNetworkOptions>).await {
            Ok(found) => found,
            Err(Error::DockerResponseServerError { .. } | Error::JsonDataError { .. }) => continue,
            Err(error) => return Err(engine.failed(Step::Address, error)),
        };
        let configs = found.ipam.and_then(|ipam| ipam.config).unwrap_or_default();
        if let Some(address) = configs.iter().find_map(address) {
            return Ok(address);
        }
    }
    let what = "say under which address containers reach the node: the engine has no bridge network";
    Err(RunError::Unsupported { runtime: "container", what: what.into() })
}

/// The gateway, or the subnet's first address, which the engine takes when nothing was configured.
fn address(config: &IpamConfig) -> Option<IpAddr> {
    if let Some(gateway) = &config.gateway {
        return gateway.split('/').next()?.parse().ok();
    }
    let subnet: std::net::Ipv4Addr = config.subnet.as_ref()?.split('/').next()?.parse().ok()?;
    Some(std::net::Ipv4Addr::from(u32::from(subnet) + 1).into())
}

//! The one-time link of the first start, with which the first administrator is made: printed, and kept in the
//! data directory for whoever sits at the machine, as long as there is nobody who could log in.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use holm_link::authority::ServerName;
use holm_orchestrator::{Handle, Shell};

use super::notify;
use crate::failure::Failure;
use crate::secret;

/// In the data directory.
const FILE: &str = "setup-link";
/// Between two looks whether somebody has used it.
const LOOK: Duration = Duration::from_secs(2);

/// What to print; nothing once there is somebody, whose link is removed then.
pub(super) async fn offer(shell: &Shell, data_dir: &Path, names: &[ServerName]) -> Result<String, Failure> {
    let (handle, file) = (shell.handle(), data_dir.join(FILE));
    let token = handle.set_up_token().await;
    let Some(token) = token.map_err(|e| Failure::from_error("the set-up link cannot be made", &e))? else {
        remove(&file);
        return Ok(String::new());
    };
    let address =
        shell.address().map_err(|e| Failure::from_error("the system does not tell our address", &e))?;
    let link = format!("https://{}/setup#{token}", authority(names, address));
    secret::keep(&file, &format!("{link}\n"))
        .map_err(|e| Failure::from_error(format!("cannot write {}", file.display()), &e))?;
    let mut text =
        format!("set up the first administrator within 24 h: holm login --setup-file {}\n", file.display());
    // More people read the journal than that file.
    if !notify::is_journalled() {
        text.push_str(&format!(
            "or on another machine `holm login --setup`, and give it this link, which is a secret: {link}\n"
        ));
    }
    tokio::spawn(remove_when_used(handle.clone(), file));
    Ok(text)
}

/// How others may call us: as we were told, or by the name of this machine.
fn authority(names: &[ServerName], address: SocketAddr) -> String {
    let port = address.port();
    match names.first() {
        Some(ServerName::Dns(host)) => format!("{host}:{port}"),
        Some(ServerName::Ip(ip)) => SocketAddr::new(*ip, port).to_string(),
        None if address.ip().is_unspecified() => {
            let host = nix::unistd::gethostname().ok().and_then(|host| host.into_string().ok());
            format!("{}:{port}", host.unwrap_or_else(|| "localhost".to_owned()))
        }
        None => address.to_string(),
    }
}

/// Ends with the orchestrator, too.
async fn remove_when_used(handle: Handle, file: PathBuf) {
    loop {
        tokio::time::sleep(LOOK).await;
        match handle.query(|machine| machine.has_administrator()).await {
            Some(false) => {}
            Some(true) => return remove(&file),
            None => return,
        }
    }
}

/// It is void by then: one that cannot be removed harms nobody.
fn remove(file: &Path) {
    match std::fs::remove_file(file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            tracing::warn!(%error, file = %file.display(), "The used set-up link cannot be removed.");
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_link_leads_to_where_others_can_go() {
        let any = "0.0.0.0:7700".parse().unwrap();
        let named = [ServerName::Dns("root.example".to_owned())];
        assert_eq!(authority(&named, any), "root.example:7700");
        assert_eq!(authority(&[], "192.0.2.1:7701".parse().unwrap()), "192.0.2.1:7701");
        assert_eq!(authority(&[ServerName::Ip("::1".parse().unwrap())], any), "[::1]:7700");
        assert!(!authority(&[], any).starts_with("0.0.0.0"));
    }
}

//! From the root to a cluster's own orchestrator, with the same trust and the same token.

use ::http::{HeaderName, HeaderValue};

use crate::Client;
use crate::error::RedirectError;
use crate::http::PREFIX;
use crate::routes::{Manifest, application};

const PREFER: HeaderName = HeaderName::from_static("prefer");

impl Client {
    /// The client of the orchestrator to which this one sends whoever wants an application straight in `cluster`.
    /// Nothing is done yet: apply it there.
    ///
    /// # Errors
    /// See [`RedirectError`]; over the Unix socket there is no token to go on with.
    pub async fn straight_to(
        &self,
        cluster: &str,
        project: &str,
        name: &str,
        manifest: &Manifest,
    ) -> Result<Self, RedirectError> {
        let path = application(project, name);
        let call = manifest.call(path.clone()).field("cluster", cluster);
        let call = call.header(PREFER, HeaderValue::from_static("redirect"));
        let location = self.http.location(call).await?;
        let authority = authority(&location, &format!("{PREFIX}{path}"));
        let authority =
            authority.ok_or_else(|| self.http.server().protocol(format_args!("sent to {location}")))?;
        Ok(Self::to(self.http.server().sibling(authority)?))
    }
}

/// Whom a location names, if it is for the same path, by TLS.
fn authority<'a>(location: &'a str, path: &str) -> Option<&'a str> {
    location.strip_prefix("https://")?.strip_suffix(path).filter(|authority| !authority.contains('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_path_by_tls_is_followed() {
        let path = "/api/v1/projects/p/applications/a";
        assert_eq!(authority(&format!("https://[::1]:7{path}"), path), Some("[::1]:7"));
        for bad in ["http://h:7/api/v1/projects/p/applications/a", "https://h:7/api/v1/tokens", path] {
            assert_eq!(authority(bad, path), None, "{bad}");
        }
        assert_eq!(authority(&format!("https://h:7/x{path}"), path), None);
    }
}

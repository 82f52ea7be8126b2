//! Applications that people want in one cluster: straight to its own API when they ask for that (`Prefer: redirect`),
//! and placed there by us otherwise.

use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use holm_model::name::Name;
use holm_model::service::Application;

use super::applications::name;
use crate::problem::{Fault, Kind};
use crate::state::Api;

/// RFC 7240.
const PREFER: HeaderName = HeaderName::from_static("prefer");

/// What becomes of an application that is for one cluster.
pub(super) enum Course {
    /// Whoever asks is sent to the cluster's own API.
    There(Response),
    /// We place it, in that cluster.
    Here(Application),
}

/// `path` is that of the application, and whether it is but a plan.
pub(super) async fn course(
    api: &Api,
    cluster: &str,
    headers: &HeaderMap,
    (path, plan): (&str, bool),
    application: Application,
) -> Result<Course, Fault> {
    let cluster = name("cluster", cluster)?;
    let wanted = cluster.clone();
    if prefers_redirect(headers) {
        let address = api.query(move |machine| machine.api_of_cluster(wanted.as_str())).await??;
        let location = format!("https://{address}{path}{}", if plan { "?plan=true" } else { "" });
        return Ok(Course::There(
            (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, location)]).into_response(),
        ));
    }
    let clusters = api.query(|machine| machine.clusters()).await?;
    if !clusters.iter().any(|known| known.name == cluster.as_str()) {
        return Err(Fault::no_such("cluster", cluster.as_str()));
    }
    bound(application, &cluster).map(Course::Here).map_err(|why| Fault::new(Kind::Invalid, why))
}

/// The application with all of its services in `cluster`, unless one is said to be elsewhere.
fn bound(mut application: Application, cluster: &Name) -> Result<Application, String> {
    for (service, of) in &mut application.services {
        if let Some(other) = of.spec.placement.cluster.as_ref().filter(|other| *other != cluster) {
            return Err(format!(
                "service `{service}` is for cluster `{other}` (`placement.cluster`), and all is to go to `{cluster}`; \
                 remove one of them"
            ));
        }
        if of.spec.per_cluster.is_some() {
            return Err(format!(
                "service `{service}` is shared out among clusters (`per-cluster`), and all is to go to `{cluster}`; \
                 remove one of them"
            ));
        }
        of.spec.placement.cluster = Some(cluster.clone());
    }
    Ok(application)
}

/// Whether one of the preferences is this one; those that nobody knows are of no matter.
fn prefers_redirect(headers: &HeaderMap) -> bool {
    let lists = headers.get_all(PREFER).iter().filter_map(|value| value.to_str().ok());
    let mut words = lists.flat_map(|list| list.split(',')).filter_map(|one| one.split(';').next());
    words.any(|word| word.trim().eq_ignore_ascii_case("redirect"))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn preferences_are_read_as_the_rfc_says() {
        let of = |text: &'static str| {
            prefers_redirect(&HeaderMap::from_iter([(PREFER, HeaderValue::from_static(text))]))
        };
        assert!(of("redirect") && of("Redirect") && of("respond-async, redirect; x=1"));
        assert!(!of("") && !of("no-redirect") && !of("wait=redirect"));
        assert!(!prefers_redirect(&HeaderMap::new()));
    }

    #[test]
    fn all_services_go_there_unless_one_says_otherwise() {
        let manifest = |more: &str| {
            let text = format!(
                "holm: v1\napplication: shop\nservices:\n  db: {{ runtime: process, command: [x] }}\n  \
                 web: {{ runtime: process, command: [x], {more} }}\n"
            );
            holm_model::manifest::parse(&text, "manifest").unwrap()
        };
        let vienna = Name::new("vienna").unwrap();
        for fits in ["", "placement: { cluster: vienna }"] {
            let bound = bound(manifest(fits), &vienna).unwrap();
            assert!(bound.services.values().all(|of| of.spec.placement.cluster.as_ref() == Some(&vienna)));
        }
        let refused = bound(manifest("placement: { cluster: munich }"), &vienna).unwrap_err();
        assert!(refused.contains("`web` is for cluster `munich`"), "{refused}");
        let refused =
            bound(manifest("replicas: { total: 3, per-cluster: { min: 1 } }"), &vienna).unwrap_err();
        assert!(refused.contains("shared out"), "{refused}");
    }
}

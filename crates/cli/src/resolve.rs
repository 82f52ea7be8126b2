//! Which thing somebody means. Matching is pure.

use std::collections::BTreeSet;

use holm_client::Client;
use holm_model::view::InstanceView;
use holm_model::view::query::InstanceQuery;

use crate::failure::Failure;

/// `APP` or `APP/SERVICE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) application: String,
    pub(crate) service: Option<String>,
}

impl std::str::FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (application, service) = match text.split_once('/') {
            None => (text, None),
            Some((application, service)) => (application, Some(service)),
        };
        let named = |text: &str| !text.is_empty() && !text.contains('/');
        if !named(application) || service.is_some_and(|service| !named(service)) {
            return Err("expected APPLICATION or APPLICATION/SERVICE".to_owned());
        }
        Ok(Self { application: application.to_owned(), service: service.map(str::to_owned) })
    }
}

/// The one instance that `text` names: an id, the start of one, or a slot as in `app/web/2`.
pub(crate) async fn instance(client: &Client, text: &str) -> Result<InstanceView, Failure> {
    let all = client.instances(&InstanceQuery::default()).await?;
    only(&all, text).cloned()
}

fn only<'a>(all: &'a [InstanceView], text: &str) -> Result<&'a InstanceView, Failure> {
    match &matching(all, text)[..] {
        [one] => Ok(one),
        [] => Err(Failure::new(format!("no instance is called `{text}`"))
            .hint("give an id, the start of one, or a slot as in `app/web/2`; `holm get instances -o wide` shows them")),
        many => Err(Failure::new(format!("`{text}` may be any of {}", names(many))).hint("give more of its name")),
    }
}

/// What somebody wants to see for a while, whoever fills it meanwhile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// An application, or a service of it.
    Target(Target),
    /// `app/web/2`.
    Slot { application: String, slot: String },
    /// This one only; the slot tells whether it may come back.
    Instance { id: String, application: String, slot: String },
}

// === impl Scope ===

impl Scope {
    /// The scope that `text` names among `all`: an application, a service, a slot, or an instance.
    fn find(all: &[InstanceView], text: &str) -> Result<Self, Failure> {
        if let Ok(target) = text.parse::<Target>()
            && all.iter().any(|instance| belongs(instance, &target))
        {
            return Ok(Self::Target(target));
        }
        let is_slot = |i: &&InstanceView| format!("{}/{}", i.application, i.slot) == text || i.slot == text;
        let mut slots: Vec<_> = all.iter().filter(is_slot).map(|i| (&i.application, &i.slot)).collect();
        slots.dedup();
        if let [(application, slot)] = slots[..] {
            return Ok(Self::Slot { application: application.clone(), slot: slot.clone() });
        }
        let one = only(all, text)?;
        let id = one.id.clone().unwrap_or_default();
        Ok(Self::Instance { id, application: one.application.clone(), slot: one.slot.clone() })
    }

    /// Whether the instance is meant.
    pub(crate) fn takes(&self, instance: &InstanceView) -> bool {
        match self {
            Self::Instance { id, .. } => instance.id.as_ref() == Some(id),
            Self::Target(_) | Self::Slot { .. } => self.may_be_filled_by(instance),
        }
    }

    /// Whether the row is meant, or a slot that something which is meant may fill again.
    pub(crate) fn may_be_filled_by(&self, row: &InstanceView) -> bool {
        match self {
            Self::Target(target) => belongs(row, target),
            Self::Slot { application, slot } => row.application == *application && row.slot == *slot,
            Self::Instance { id, application, slot } => {
                row.application == *application
                    && row.slot == *slot
                    && row.id.as_ref().is_none_or(|found| found == id)
            }
        }
    }

    fn application(&self) -> &str {
        match self {
            Self::Target(Target { application, .. })
            | Self::Slot { application, .. }
            | Self::Instance { application, .. } => application,
        }
    }
}

/// What each of `texts` names.
pub(crate) async fn scopes(client: &Client, texts: &[String]) -> Result<Vec<Scope>, Failure> {
    let all = client.instances(&InstanceQuery::default()).await?;
    texts.iter().map(|text| Scope::find(&all, text)).collect()
}

/// The rows of the applications that `scopes` are about.
pub(crate) async fn of(client: &Client, scopes: &[Scope]) -> Result<Vec<InstanceView>, holm_client::Error> {
    let applications: BTreeSet<_> = scopes.iter().map(Scope::application).collect();
    let mut all = Vec::new();
    for application in applications {
        let application = Some(application.to_owned());
        all.extend(client.instances(&InstanceQuery { application, ..InstanceQuery::default() }).await?);
    }
    Ok(all)
}

fn belongs(instance: &InstanceView, target: &Target) -> bool {
    instance.application == target.application
        && target.service.as_ref().is_none_or(|service| *service == instance.service)
}

/// Whether an instance with this id is meant.
type Rule<'a> = dyn Fn(&InstanceView, &str) -> bool + 'a;

/// Whole names win over parts of them.
fn matching<'a>(all: &'a [InstanceView], text: &str) -> Vec<&'a InstanceView> {
    let live = || all.iter().filter_map(|instance| Some((instance, instance.id.as_deref()?)));
    let rules: [&Rule<'_>; 4] = [
        &|_, id| id == text,
        &|instance, _| format!("{}/{}", instance.application, instance.slot) == text,
        &|instance, _| instance.slot == text,
        &|_, id| text.len() >= 3 && id.starts_with(text),
    ];
    let found =
        rules.iter().map(|rule| live().filter(|(i, id)| rule(i, id)).map(|(i, _)| i).collect::<Vec<_>>());
    found.into_iter().find(|found| !found.is_empty()).unwrap_or_default()
}

fn names(many: &[&InstanceView]) -> String {
    let name =
        |i: &&InstanceView| format!("{}/{} ({})", i.application, i.slot, i.id.as_deref().unwrap_or("-"));
    many.iter().take(5).map(name).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::samples::instance;

    #[test]
    fn an_instance_has_several_names() {
        let all = [instance("1-aa-1", "web/0"), instance("1-aa-10", "web/1"), instance("2-bb-1", "db/0")];
        let found = |text| matching(&all, text).iter().map(|i| i.slot.as_str()).collect::<Vec<_>>();
        assert_eq!(found("1-aa-1"), ["web/0"], "a whole id wins over the start of another");
        assert_eq!(found("2-b"), ["db/0"]);
        assert_eq!(found("building/web/1"), ["web/1"]);
        assert_eq!(found("db/0"), ["db/0"]);
        assert_eq!(found("1-a"), ["web/0", "web/1"], "ambiguous");
        assert!(found("x").is_empty());
    }

    #[test]
    fn a_scope_outlives_its_instances() {
        let all = [instance("1-aa-1", "web/0"), instance("1-aa-2", "web/1"), instance("2-bb-1", "db/0")];
        let mut later = instance("3-cc-1", "web/0");
        let takes = |text: &str, view: &InstanceView| Scope::find(&all, text).unwrap().takes(view);
        for text in ["building", "building/web", "building/web/0", "web/0"] {
            assert!(takes(text, &later), "{text}");
        }
        for text in ["1-aa-1", "building/web/1", "building/db", "2-b"] {
            assert!(!takes(text, &later), "{text}");
        }
        // As long as nothing else fills its slot, the instance may be known again.
        let one = Scope::find(&all, "1-aa-1").unwrap();
        assert!(!one.may_be_filled_by(&later));
        later.id = None;
        assert!(one.may_be_filled_by(&later));
        assert!(Scope::find(&all, "nothing").is_err());
        assert!(Scope::find(&all, "1-a").is_err(), "ambiguous");
    }

    #[test]
    fn targets_are_applications_or_services() {
        let target: Target = "shop/web".parse().unwrap();
        assert_eq!((target.application.as_str(), target.service.as_deref()), ("shop", Some("web")));
        assert!("".parse::<Target>().is_err());
        assert!("a/b/c".parse::<Target>().is_err());
        assert!("a/".parse::<Target>().is_err());
    }
}

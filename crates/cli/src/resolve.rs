//! Which thing somebody means. Matching is pure.

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
    match &matching(&all, text)[..] {
        [one] => Ok((*one).clone()),
        [] => Err(Failure::new(format!("no instance is called `{text}`"))
            .hint("give an id, the start of one, or a slot as in `app/web/2`; `holm get instances -o wide` shows them")),
        many => Err(Failure::new(format!("`{text}` may be any of {}", names(many))).hint("give more of its name")),
    }
}

/// All instances that `text` names: those of an application, of a service, or one.
pub(crate) async fn instances(client: &Client, text: &str) -> Result<Vec<InstanceView>, Failure> {
    let all = client.instances(&InstanceQuery::default()).await?;
    if let Ok(target) = text.parse::<Target>() {
        let found: Vec<_> = all.iter().filter(|i| i.id.is_some() && belongs(i, &target)).cloned().collect();
        if !found.is_empty() {
            return Ok(found);
        }
    }
    instance(client, text).await.map(|one| vec![one])
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
    fn targets_are_applications_or_services() {
        let target: Target = "shop/web".parse().unwrap();
        assert_eq!((target.application.as_str(), target.service.as_deref()), ("shop", Some("web")));
        assert!("".parse::<Target>().is_err());
        assert!("a/b/c".parse::<Target>().is_err());
        assert!("a/".parse::<Target>().is_err());
    }
}

//! Which thing somebody means. Matching is pure.

use std::collections::BTreeSet;

use holm_client::Client;
use holm_model::name::Name;
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
        if let [application, service, slot] = text.split('/').collect::<Vec<_>>()[..]
            && ![application, service, slot].contains(&"")
        {
            return Err(format!(
                "this takes an application or a service with all its instances, not one slot: \
                 `{application}/{service}` is the service"
            ));
        }
        if !named(application) || service.is_some_and(|service| !named(service)) {
            return Err("expected APPLICATION or APPLICATION/SERVICE".to_owned());
        }
        Ok(Self { application: application.to_owned(), service: service.map(str::to_owned) })
    }
}

/// The one instance that `text` names: an id, the start of one, or a slot of the project, as in `app/web/2`.
pub(crate) async fn instance(client: &Client, project: &Name, text: &str) -> Result<InstanceView, Failure> {
    let all = around(client, project, text, |row| is_whole_name(row, text)).await?;
    only(&called(all, project, text), text).cloned()
}

/// As [`instance`], or a slot that waits for one.
pub(crate) async fn slot(client: &Client, project: &Name, text: &str) -> Result<InstanceView, Failure> {
    let all = called(around(client, project, text, |row| is_whole_name(row, text)).await?, project, text);
    match waiting(&all, text)? {
        Some(row) => Ok(row.clone()),
        None => only(&all, text).cloned(),
    }
}

/// The slot without an instance that `text` names, if no instance is called so.
fn waiting<'a>(all: &'a [InstanceView], text: &str) -> Result<Option<&'a InstanceView>, Failure> {
    if !matching(all, text).is_empty() {
        return Ok(None);
    }
    let is = |row: &&InstanceView| format!("{}/{}", row.application, row.slot) == text || row.slot == text;
    match &all.iter().filter(is).collect::<Vec<_>>()[..] {
        [] => Ok(None),
        [one] => Ok(Some(one)),
        many => Err(ambiguous(text, many)),
    }
}

/// The rows among which `text` names something: those of the application with which it begins where it `names` one of
/// them, since a sea may have many more.
async fn around(
    client: &Client,
    project: &Name,
    text: &str,
    names: impl Fn(&InstanceView) -> bool,
) -> Result<Vec<InstanceView>, holm_client::Error> {
    let application = text.split('/').next().unwrap_or_default().to_owned();
    let near = InstanceQuery {
        project: Some(project.to_string()),
        application: Some(application),
        ..InstanceQuery::default()
    };
    let near = client.instances(&near).await?;
    if near.iter().any(names) {
        return Ok(near);
    }
    client.instances(&InstanceQuery::default()).await
}

/// Of its slot, with service and application: no other rule of [`matching`] that holds comes before it.
fn is_whole_name(row: &InstanceView, text: &str) -> bool {
    format!("{}/{}", row.application, row.slot) == text
}

/// The rows that `text` may mean: names are of a project, ids of the whole sea.
fn called(all: Vec<InstanceView>, project: &Name, text: &str) -> Vec<InstanceView> {
    let by_id = |row: &InstanceView| row.id.as_deref().is_some_and(|id| is_id_or_start(id, text));
    all.into_iter().filter(|row| row.project == project.as_str() || by_id(row)).collect()
}

fn is_id_or_start(id: &str, text: &str) -> bool {
    id == text || (text.len() >= 3 && id.starts_with(text))
}

fn only<'a>(all: &'a [InstanceView], text: &str) -> Result<&'a InstanceView, Failure> {
    let none = || {
        Failure::new(format!("no instance is called `{text}`"))
            .hint("give an id, the start of one, or a slot as in `app/web/2` (with --project, if it is of another); `holm get instances -o wide` shows them")
    };
    at_most_one(all, text)?.ok_or_else(none)
}

fn at_most_one<'a>(all: &'a [InstanceView], text: &str) -> Result<Option<&'a InstanceView>, Failure> {
    match &matching(all, text)[..] {
        [] => Ok(None),
        [one] => Ok(Some(one)),
        many => Err(ambiguous(text, many)),
    }
}

fn ambiguous(text: &str, many: &[&InstanceView]) -> Failure {
    Failure::new(format!("`{text}` may be any of {}", names(many))).hint("give more of its name")
}

/// What somebody wants to see for a while, whoever fills it meanwhile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Scope {
    project: String,
    what: What,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum What {
    /// An application, or a service of it.
    Target(Target),
    /// `app/web/2`.
    Slot { application: String, slot: String },
    /// This one only; the slot tells whether it may come back.
    Instance { id: String, application: String, slot: String },
}

// === impl Scope ===

impl Scope {
    /// The scope that `text` names among `all`: an application, a service, a slot, or an instance; none
    /// when nothing there is called so.
    fn find(all: &[InstanceView], text: &str) -> Result<Option<Self>, Failure> {
        let of = |row: &InstanceView, what| Ok(Some(Self { project: row.project.clone(), what }));
        if let Ok(target) = text.parse::<Target>()
            && let Some(row) = all.iter().find(|row| belongs(row, &target))
        {
            return of(row, What::Target(target));
        }
        let is_slot = |i: &&InstanceView| format!("{}/{}", i.application, i.slot) == text || i.slot == text;
        let mut slots: Vec<_> = all.iter().filter(is_slot).collect();
        slots.dedup_by_key(|row| (&row.application, &row.slot));
        if let [row] = slots[..] {
            return of(row, What::Slot { application: row.application.clone(), slot: row.slot.clone() });
        }
        let Some(one) = at_most_one(all, text)? else { return Ok(None) };
        let (id, application) = (one.id.clone().unwrap_or_default(), one.application.clone());
        of(one, What::Instance { id, application, slot: one.slot.clone() })
    }

    /// Whether the instance is meant.
    pub(crate) fn takes(&self, instance: &InstanceView) -> bool {
        match &self.what {
            What::Instance { id, .. } => instance.id.as_ref() == Some(id),
            What::Target(_) | What::Slot { .. } => self.may_be_filled_by(instance),
        }
    }

    /// Whether the row is meant, or a slot that something which is meant may fill again.
    pub(crate) fn may_be_filled_by(&self, row: &InstanceView) -> bool {
        row.project == self.project
            && match &self.what {
                What::Target(target) => belongs(row, target),
                What::Slot { application, slot } => row.application == *application && row.slot == *slot,
                What::Instance { id, application, slot } => {
                    row.application == *application
                        && row.slot == *slot
                        && row.id.as_ref().is_none_or(|found| found == id)
                }
            }
    }

    /// Project and name.
    fn application(&self) -> (&str, &str) {
        let (What::Target(Target { application, .. })
        | What::Slot { application, .. }
        | What::Instance { application, .. }) = &self.what;
        (&self.project, application)
    }
}

/// What each of `texts` names.
pub(crate) async fn scopes(client: &Client, project: &Name, texts: &[String]) -> Result<Vec<Scope>, Failure> {
    let mut scopes = Vec::new();
    for text in texts {
        let target = text.parse::<Target>().ok();
        let names = |row: &InstanceView| {
            is_whole_name(row, text) || target.as_ref().is_some_and(|target| belongs(row, target))
        };
        let all = around(client, project, text, names).await?;
        match Scope::find(&called(all, project, text), text)? {
            Some(scope) => scopes.push(scope),
            None => {
                let applications = client.applications().await?;
                let here = applications.iter().filter(|application| application.project == project.as_str());
                let known: Vec<_> = here.map(|application| application.name.as_str()).collect();
                return Err(nothing(text, project, &known));
            }
        }
    }
    Ok(scopes)
}

/// Why no row of the project is called `text` while there are the applications `known`.
fn nothing(text: &str, project: &Name, known: &[&str]) -> Failure {
    let application = text.split_once('/').map_or(text, |(application, _)| application);
    if application == text && known.contains(&text) {
        return Failure::new(format!("the application `{text}` has no instances"))
            .hint("`holm get applications` tells how many it shall have");
    }
    if known.contains(&application) {
        return Failure::new(format!("the application `{application}` has nothing called `{text}`"))
            .hint(format!("`holm get instances --application {application}` shows what it has"));
    }
    let kind = if application == text { "application or instance" } else { "application" };
    Failure::new(format!("there is no {kind} `{application}` in project `{project}`")).hint(
        "`holm get applications` and `holm get instances -o wide` show what there is; --project names another project",
    )
}

/// The rows of the applications that `scopes` are about.
pub(crate) async fn of(client: &Client, scopes: &[Scope]) -> Result<Vec<InstanceView>, holm_client::Error> {
    let applications: BTreeSet<_> = scopes.iter().map(Scope::application).collect();
    let mut all = Vec::new();
    for (project, application) in applications {
        let (project, application) = (Some(project.to_owned()), Some(application.to_owned()));
        let query = InstanceQuery { project, application, ..InstanceQuery::default() };
        all.extend(client.instances(&query).await?);
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
        &|_, id| is_id_or_start(id, text),
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
    use holm_model::view::Page;
    use tempfile::TempDir;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::UnixListener;
    use tokio::sync::mpsc;

    /// An orchestrator that has these rows, and the queries that it was asked.
    async fn answering(rows: Vec<InstanceView>, queries: mpsc::UnboundedSender<String>) -> (TempDir, Client) {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("api.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n")
                    && stream.read_buf(&mut request).await.is_ok_and(|n| n > 0)
                {}
                let request = String::from_utf8(request).unwrap();
                let asked = request.split(' ').nth(1).unwrap().to_owned();
                let taken = rows.iter().filter(|row| {
                    !asked.contains("application=")
                        || asked.contains(&format!("application={}", row.application))
                });
                let page = Page { items: taken.cloned().collect(), next: None };
                let body = serde_json::to_string(&page).unwrap();
                let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length:";
                let _ = stream.write_all(format!("{head} {}\r\n\r\n{body}", body.len()).as_bytes()).await;
                queries.send(asked).unwrap();
            }
        });
        (dir, Client::unix(socket))
    }

    #[tokio::test]
    async fn a_whole_name_asks_for_its_application_only() {
        let (queries, mut asked) = mpsc::unbounded_channel();
        let (_dir, client) =
            answering(vec![instance("1-aa-1", "web/0"), instance("1-aa-2", "web/1")], queries).await;
        let project = Name::new("default").unwrap();
        assert_eq!(super::instance(&client, &project, "building/web/1").await.unwrap().slot, "web/1");
        for text in ["building", "building/web", "building/web/0"] {
            scopes(&client, &project, &[text.to_owned()]).await.unwrap();
        }
        for _ in 0..4 {
            let query = asked.recv().await.unwrap();
            assert!(query.contains("application=building"), "{query}");
        }
        assert_eq!(super::instance(&client, &project, "1-aa-1").await.unwrap().slot, "web/0");
        assert!(asked.recv().await.unwrap().contains("application=1-aa-1"));
        assert!(!asked.recv().await.unwrap().contains("application="), "of the whole sea");
    }

    #[test]
    fn a_slot_that_waits_has_its_name_as_well() {
        let mut all = vec![instance("1-aa-1", "web/0"), instance("", "web/1"), instance("", "db/0")];
        all[1].id = None;
        all[2].id = None;
        let found = |text| waiting(&all, text).unwrap().map(|row| row.slot.as_str());
        assert_eq!(found("building/web/1"), Some("web/1"));
        assert_eq!(found("db/0"), Some("db/0"));
        assert_eq!((found("web/0"), found("web/2")), (None, None));
        let twice = [all[1].clone(), InstanceView { application: "shop".to_owned(), ..all[1].clone() }];
        assert!(waiting(&twice, "web/1").unwrap_err().to_string().contains("may be any of"));
    }

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
        let takes = |text: &str, view: &InstanceView| Scope::find(&all, text).unwrap().unwrap().takes(view);
        for text in ["building", "building/web", "building/web/0", "web/0"] {
            assert!(takes(text, &later), "{text}");
        }
        for text in ["1-aa-1", "building/web/1", "building/db", "2-b"] {
            assert!(!takes(text, &later), "{text}");
        }
        // As long as nothing else fills its slot, the instance may be known again.
        let one = Scope::find(&all, "1-aa-1").unwrap().unwrap();
        assert!(!one.may_be_filled_by(&later));
        later.id = None;
        assert!(one.may_be_filled_by(&later));
        assert_eq!(Scope::find(&all, "nothing").unwrap(), None);
        assert!(Scope::find(&all, "1-a").is_err(), "ambiguous");
    }

    #[test]
    fn names_are_of_a_project_and_ids_of_the_sea() {
        let mut theirs = instance("2-bb-1", "web/0");
        theirs.project = "red".to_owned();
        let all = vec![instance("1-aa-1", "web/0"), theirs];
        let found = |project: &str, text: &str| {
            let rows = called(all.clone(), &Name::new(project).unwrap(), text);
            Scope::find(&rows, text).unwrap().map(|scope| scope.project)
        };
        for text in ["building", "building/web", "building/web/0", "web/0"] {
            assert_eq!(found("default", text).as_deref(), Some("default"), "{text}");
            assert_eq!(found("red", text).as_deref(), Some("red"), "{text}");
            assert_eq!(found("blue", text), None, "{text}");
        }
        assert_eq!(found("blue", "2-bb-1").as_deref(), Some("red"));
        let rows = called(all.clone(), &Name::new("red").unwrap(), "building");
        let scope = Scope::find(&rows, "building").unwrap().unwrap();
        assert!(!scope.takes(&all[0]) && scope.takes(&all[1]));
    }

    #[test]
    fn what_is_not_there_is_called_by_what_it_may_be() {
        let said = |text: &str| nothing(text, &Name::new("blue").unwrap(), &["shop"]).to_string();
        assert!(said("shpo").contains("there is no application or instance `shpo`"), "{}", said("shpo"));
        assert!(said("shpo/web").contains("there is no application `shpo`"), "{}", said("shpo/web"));
        assert!(said("shop").contains("`shop` has no instances"), "scaled to none: {}", said("shop"));
        assert!(said("shop/wbe").contains("`shop` has nothing called `shop/wbe`"), "{}", said("shop/wbe"));
    }

    #[test]
    fn targets_are_applications_or_services() {
        let target: Target = "shop/web".parse().unwrap();
        assert_eq!((target.application.as_str(), target.service.as_deref()), ("shop", Some("web")));
        assert!("".parse::<Target>().is_err());
        let slot = "shop/web/2".parse::<Target>().unwrap_err();
        assert!(slot.contains("not one slot") && slot.contains("`shop/web`"), "{slot}");
        assert!("a//c".parse::<Target>().is_err());
        assert!("a/".parse::<Target>().is_err());
    }
}

//! Secrets and plain files of projects, and which members are sent them.
//!
//! A member is sent what something placed on it names, and nothing else. A cluster hands on what its
//! parent sent it; of its own it has what was set at it while the parent was away.

use std::collections::BTreeMap;
use std::fmt;

use holm_model::content::{Content, ContentKey, ContentKind, MOST_BYTES, RegistryLogin};
use holm_model::id::{MemberId, Uid};
use holm_model::item::{Item, ItemKey};
use holm_model::name::Name;
use holm_model::service::Application;
use holm_model::time::Time;
use holm_model::view::content::ContentView;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use super::Orchestrator;
use super::command::{ContentCommand, Refusal, Reply};

/// A row of [`Table::Content`](holm_model::record::Table::Content). Not shown by Debug.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContentRow {
    /// Base64, since rows are JSON.
    #[serde(with = "base64_text")]
    bytes: Vec<u8>,
    /// Of this setting of the bytes.
    stamp: Uid,
    /// Counts the settings.
    version: u64,
    changed: Time,
}

/// Which members need which, with the number of placements that name it; members stay with 0 until their
/// list has been told.
pub(super) type Readers = BTreeMap<ContentKey, BTreeMap<MemberId, u32>>;

impl Orchestrator {
    // --- what people ask ---

    pub(super) fn content_command(&mut self, command: ContentCommand) -> Result<Reply, Refusal> {
        match command {
            ContentCommand::Set { key, bytes } => self.set_content(key, bytes),
            ContentCommand::Delete { key } => self.delete_content(&key),
        }
    }

    fn set_content(&mut self, key: ContentKey, bytes: Vec<u8>) -> Result<Reply, Refusal> {
        self.expect_project(&key.project)?;
        if bytes.len() > MOST_BYTES {
            let kind = key.kind.word();
            return Err(Refusal::Invalid(format!(
                "a {kind} has at most {MOST_BYTES} bytes, these are {}; a volume can have more",
                bytes.len()
            )));
        }
        let version = match self.contents.get(&key) {
            Some(row) if row.bytes == bytes => return Ok(Reply::Done),
            Some(row) => row.version + 1,
            None => 1,
        };
        let row = ContentRow { bytes, stamp: self.next_id(), version, changed: self.now.wall };
        self.contents.put(&mut self.journal, key.clone(), row);
        self.todo.contents.insert(key);
        Ok(Reply::Done)
    }

    fn delete_content(&mut self, key: &ContentKey) -> Result<Reply, Refusal> {
        if !self.contents.contains(key) {
            let kind = key.kind.word();
            return Err(Refusal::NotFound { kind, name: format!("{}/{}", key.project, key.name) });
        }
        if let Some(user) = self.users_of(key).first() {
            return Err(Refusal::Conflict(format!(
                "the {} `{}` is used by `{user}`; apply that without it first",
                key.kind.word(),
                key.name
            )));
        }
        self.contents.remove(&mut self.journal, key);
        self.todo.contents.insert(key.clone());
        Ok(Reply::Done)
    }

    /// With their project, whose applications are gone.
    pub(super) fn drop_contents(&mut self, project: &Name) {
        let of = self.contents.iter().map(|(key, _)| key).filter(|key| key.project == *project);
        for key in of.cloned().collect::<Vec<_>>() {
            self.contents.remove(&mut self.journal, &key);
            self.todo.contents.insert(key);
        }
    }

    /// Refuses an application that names what its project does not have; names all of it.
    pub(super) fn check_contents(&self, project: &Name, application: &Application) -> Result<(), Refusal> {
        let mut absent = Vec::new();
        for (service, wanted) in &application.services {
            for key in wanted.spec.given(project) {
                if self.content(&key).is_none() {
                    let place = format!("services.{service}.{}s.{}", key.kind.word(), key.name);
                    absent.push(missing(&place, &key));
                }
            }
            let Some(key) = wanted.spec.registry_key(project) else { continue };
            let place = format!("services.{service}.registry");
            let Some(content) = self.content(&key) else {
                absent.push(missing(&place, &key));
                continue;
            };
            RegistryLogin::parse(&content.bytes).map_err(|reason| {
                Refusal::Invalid(format!(
                    "{place}: the secret `{}` is no login of a registry: {reason}",
                    key.name
                ))
            })?;
        }
        if absent.is_empty() { Ok(()) } else { Err(Refusal::Invalid(absent.join("; "))) }
    }

    /// `application/service` of those that name it.
    fn users_of(&self, key: &ContentKey) -> Vec<String> {
        let of_project = self.apps.iter().filter(|(app, _)| app.project == key.project);
        let wishes = of_project.filter_map(|(_, id)| self.wishes.get(id));
        let services =
            wishes.flat_map(|row| row.wish.services.iter().map(|service| (&row.wish.key, service)));
        let using = services.filter(|(_, (_, service))| {
            service.spec.decode().is_ok_and(|spec| spec.needs(&key.project).any(|needed| needed == *key))
        });
        using.map(|(app, (name, _))| format!("{}/{name}", app.application)).collect()
    }

    /// Those of a project, without their bytes.
    #[must_use]
    pub fn contents(&self, kind: ContentKind, project: &Name) -> Vec<ContentView> {
        let of = self.contents.iter().filter(|(key, _)| key.kind == kind && key.project == *project);
        let view = |(key, row): (&ContentKey, &ContentRow)| ContentView {
            project: key.project.to_string(),
            name: key.name.to_string(),
            version: row.version,
            size: row.bytes.len() as u64,
            changed: row.changed,
            used_by: self.users_of(key),
        };
        of.map(view).collect()
    }

    /// The bytes of a plain file; secrets are not shown.
    #[must_use]
    pub fn file(&self, project: &Name, name: &Name) -> Option<Vec<u8>> {
        let key = ContentKey { kind: ContentKind::File, project: project.clone(), name: name.clone() };
        self.contents.get(&key).map(|row| row.bytes.clone())
    }

    // --- what members are sent ---

    pub(super) fn need_content(&mut self, member: MemberId, key: &ContentKey) {
        *self.index.readers.entry(key.clone()).or_default().entry(member).or_default() += 1;
        self.todo.contents.insert(key.clone());
    }

    pub(super) fn stop_needing_content(&mut self, member: MemberId, key: &ContentKey) {
        if let Some(count) = self.index.readers.get_mut(key).and_then(|members| members.get_mut(&member)) {
            *count = count.saturating_sub(1);
            self.todo.contents.insert(key.clone());
        }
    }

    pub(super) fn derive_contents(&mut self) {
        self.todo.contents.extend(self.index.readers.keys().cloned());
        self.refresh_contents();
    }

    /// Brings secrets and files on the lists up to date.
    pub(super) fn refresh_contents(&mut self) {
        for key in std::mem::take(&mut self.todo.contents) {
            let Some(mut members) = self.index.readers.remove(&key) else { continue };
            let item = self.content(&key).map(Item::Content);
            for (member, count) in &members {
                let item = item.as_ref().filter(|_| *count > 0);
                self.set_item(*member, ItemKey::Content(key.clone()), item);
            }
            members.retain(|_, count| *count > 0);
            if !members.is_empty() {
                self.index.readers.insert(key, members);
            }
        }
    }

    /// The parent's, or our own.
    fn content(&self, key: &ContentKey) -> Option<Content> {
        if let Some(packed) = self.held.get(&ItemKey::Content(key.clone()))
            && let Ok(Item::Content(content)) = packed.unpack()
        {
            return Some(content);
        }
        let row = self.contents.get(key)?;
        Some(Content { stamp: row.stamp, bytes: ByteBuf::from(row.bytes.clone()) })
    }
}

fn missing(place: &str, key: &ContentKey) -> String {
    let (kind, project, name) = (key.kind.word(), &key.project, &key.name);
    format!(
        "{place}: project `{project}` has no {kind} `{name}`; make it first: `holm {kind} set {name} -p {project}`"
    )
}

// === impl ContentRow ===

impl fmt::Debug for ContentRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "version {} of {} bytes", self.version, self.bytes.len())
    }
}

mod base64_text {
    use base64::Engine as _;
    use base64::prelude::BASE64_STANDARD as BASE64;
    use serde::{Deserialize as _, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&BASE64.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        // The reason would show the text.
        BASE64.decode(text).map_err(|_| de::Error::custom("no Base64"))
    }
}

//! From the secrets and files of a launch to what its instance finds: variables, and files in memory.
//! No I/O.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use holm_model::content::{Content, ContentKey, ContentKind, RegistryLogin};
use holm_model::name::Name;
use holm_model::service::{SecretUse, ServiceSpec};
use holm_runtime::{Access, Mount};

/// Sorted by the way that it is given.
#[derive(Default)]
pub(crate) struct Sorted {
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) secrets: BTreeMap<Name, Vec<u8>>,
    pub(crate) files: BTreeMap<Name, File>,
    pub(crate) registry: Option<RegistryLogin>,
}

/// A plain file with its permissions.
pub(crate) struct File {
    pub(crate) mode: u32,
    pub(crate) bytes: Vec<u8>,
}

/// A secret cannot be given as the service wants it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum GivenError {
    #[error(
        "the secret `{0}` is no text without NUL, so it can be no variable; give it as a file: `file: true`"
    )]
    NoText(Name),
    #[error("the secret `{name}` is no login of a registry: {reason}")]
    NoLogin { name: Name, reason: String },
}

/// Directories below the one of an instance.
pub(crate) const SECRETS: &str = "secrets";
pub(crate) const FILES: &str = "files";

// === impl Sorted ===

impl Sorted {
    /// What is not among `contents` is left out; the machine does not launch without it.
    ///
    /// # Errors
    /// See [`GivenError`]; no error shows a secret.
    pub(crate) fn new(
        spec: &ServiceSpec,
        contents: BTreeMap<ContentKey, Content>,
    ) -> Result<Self, GivenError> {
        let mut sorted = Self::default();
        for (ContentKey { kind, name, .. }, Content { bytes, .. }) in contents {
            let bytes = bytes.into_vec();
            if kind == ContentKind::Secret && spec.registry.as_ref() == Some(&name) {
                let login = RegistryLogin::parse(&bytes);
                let no_login = |reason| GivenError::NoLogin { name: name.clone(), reason };
                sorted.registry = Some(login.map_err(no_login)?);
            }
            match kind {
                ContentKind::Secret => sorted.secret(spec, name, bytes)?,
                ContentKind::File => sorted.file(spec, name, bytes),
            }
        }
        Ok(sorted)
    }

    fn secret(&mut self, spec: &ServiceSpec, name: Name, bytes: Vec<u8>) -> Result<(), GivenError> {
        match spec.secrets.get(&name) {
            Some(SecretUse::Env(variable)) => {
                let text = String::from_utf8(bytes).ok().filter(|text| !text.contains('\0'));
                self.env.insert(variable.clone(), text.ok_or(GivenError::NoText(name))?);
            }
            Some(SecretUse::File) => drop(self.secrets.insert(name, bytes)),
            None => {}
        }
        Ok(())
    }

    fn file(&mut self, spec: &ServiceSpec, name: Name, bytes: Vec<u8>) {
        if let Some(usage) = spec.files.get(&name) {
            self.files.insert(name, File { mode: usage.mode, bytes });
        }
    }

    /// Nothing of it is a file.
    pub(crate) fn is_without_files(&self) -> bool {
        self.secrets.is_empty() && self.files.is_empty()
    }

    /// Tells a launch of it; `dir` is the instance's directory in memory, if it has one.
    pub(crate) fn tell(self, launch: &mut holm_runtime::Launch, dir: Option<&Path>, access: Access) {
        if let Some(dir) = dir {
            let (secrets, files) = (dir.join(SECRETS), dir.join(FILES));
            let shown = match access {
                Access::Shared { .. } => [secrets.display().to_string(), files.display().to_string()],
                Access::Mounted { secrets: at, files: files_at } => {
                    let mount = |source, target: &str| Mount { source, target: target.to_owned() };
                    let mut mounts = vec![mount(secrets, at), mount(files.clone(), files_at)];
                    let with_path =
                        launch.spec.files.iter().filter_map(|(name, file)| Some((name, file.path.as_ref()?)));
                    mounts.extend(with_path.map(|(name, path)| mount(files.join(name.as_str()), path)));
                    launch.given.mounts = mounts;
                    [at.to_owned(), files_at.to_owned()]
                }
            };
            for (name, value) in ["HOLM_SECRETS", "HOLM_FILES"].into_iter().zip(shown) {
                // What people wrote counts.
                launch.env.entry(name.to_owned()).or_insert(value);
            }
        }
        launch.given.env = self.env;
        launch.given.registry = self.registry;
    }
}

/// Without the bytes.
impl fmt::Debug for Sorted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} variables, {} secret files, {} files",
            self.env.len(),
            self.secrets.len(),
            self.files.len()
        )
    }
}

#[cfg(test)]
mod tests {
    use holm_model::id::{AssignmentId, Epoch, Uid, WishId};
    use holm_model::service::FileUse;
    use serde_bytes::ByteBuf;

    use super::*;

    const UID: Uid = Uid { epoch: Epoch::new(1, 7), counter: 9 };

    fn name(text: &str) -> Name {
        Name::new(text).unwrap()
    }

    fn contents(of: &[(&str, &[u8])]) -> BTreeMap<ContentKey, Content> {
        let content = |bytes: &[u8]| Content { stamp: UID, bytes: ByteBuf::from(bytes.to_vec()) };
        of.iter().map(|(key, bytes)| (key.parse().unwrap(), content(bytes))).collect()
    }

    fn spec() -> ServiceSpec {
        let mut spec = ServiceSpec::new(name("container"), Vec::new());
        spec.secrets.insert(name("db"), SecretUse::Env("DB_PASSWORD".into()));
        spec.secrets.insert(name("tls"), SecretUse::File);
        spec.files.insert(name("conf"), FileUse { path: Some("/etc/app.conf".into()), mode: 0o440 });
        spec
    }

    fn launch(spec: ServiceSpec) -> holm_runtime::Launch {
        holm_runtime::Launch {
            id: AssignmentId(UID),
            incarnation: 1,
            project: Name::new("default").unwrap(),
            name: "shop/web/0".into(),
            wish: WishId(UID),
            spec,
            env: BTreeMap::new(),
            ports: BTreeMap::new(),
            files: None,
            lease: None,
            given: holm_runtime::Given::default(),
            step: None,
            after_steps: false,
        }
    }

    #[test]
    fn each_goes_its_way() {
        let all: [(&str, &[u8]); 3] =
            [("secret/blue/db", b"hunter2"), ("secret/blue/tls", b"\0key"), ("file/blue/conf", b"a=b")];
        let sorted = Sorted::new(&spec(), contents(&all)).unwrap();
        assert_eq!(sorted.secrets[&name("tls")], b"\0key");
        assert_eq!(
            (sorted.files[&name("conf")].mode, &sorted.files[&name("conf")].bytes[..]),
            (0o440, &b"a=b"[..])
        );
        let mut launch = launch(spec());
        let access = Access::Mounted { secrets: "/run/secrets", files: "/run/holm-files" };
        sorted.tell(&mut launch, Some(Path::new("/run/h/9")), access);
        assert_eq!(launch.given.env["DB_PASSWORD"], "hunter2");
        assert_eq!(
            (&*launch.env["HOLM_SECRETS"], launch.env.len()),
            ("/run/secrets", 2),
            "no secret in `env`"
        );
        let mount = Mount { source: "/run/h/9/files/conf".into(), target: "/etc/app.conf".into() };
        assert_eq!(launch.given.mounts[2], mount);
        assert!(!format!("{launch:?}").contains("hunter"));
    }

    #[test]
    fn a_process_sees_the_nodes_own_directories() {
        let sorted = Sorted::new(&spec(), contents(&[("secret/blue/tls", b"key")])).unwrap();
        let mut launch = launch(spec());
        sorted.tell(&mut launch, Some(Path::new("/run/h/9")), Access::Shared { owner: None });
        assert_eq!(
            (&*launch.env["HOLM_SECRETS"], &*launch.env["HOLM_FILES"]),
            ("/run/h/9/secrets", "/run/h/9/files")
        );
        assert!(launch.given.mounts.is_empty());
    }

    #[test]
    fn what_is_no_text_is_no_variable_and_no_error_shows_it() {
        for bytes in [&b"\xff"[..], b"a\0b"] {
            let error = Sorted::new(&spec(), contents(&[("secret/blue/db", bytes)])).unwrap_err();
            assert_eq!(error, GivenError::NoText(name("db")));
        }
        let mut spec = spec();
        spec.registry = Some(name("pull"));
        let error = Sorted::new(&spec, contents(&[("secret/blue/pull", b"hunter2")])).unwrap_err();
        assert!(!error.to_string().contains("hunter"), "{error}");
    }
}

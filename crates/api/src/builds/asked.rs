//! What is to be built.

use holm_image::plan::Run;
use holm_image::platform::Platform;
use holm_model::image::OURS;
use holm_registry::{Draft, Name, NameError, Reference, Tag};

/// What somebody asks for.
pub(crate) struct Asked {
    /// `PROJECT/NAME`
    pub(crate) repository: Name,
    pub(crate) tag: Tag,
    /// What it is called in the image.
    pub(crate) name: String,
    pub(crate) base: Option<BaseImage>,
    pub(crate) run: Run,
    /// A command that builds it.
    pub(crate) build: Option<String>,
    /// Empty: what the files are for.
    pub(crate) platforms: Vec<Platform>,
    /// For which sources are built if nobody says it.
    pub(crate) wanted: Vec<Platform>,
    /// Nothing is taken from builds before.
    pub(crate) fresh: bool,
    pub(crate) files: Vec<Draft>,
    /// Bytes that the project may keep.
    pub(crate) quota: Option<u64>,
    /// For whom, as the audit log names them.
    pub(crate) who: String,
}

/// The image that it is built on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BaseImage {
    /// As Dockerfiles name it.
    pub(crate) written: String,
    /// In this registry; `None`: it is another's.
    pub(crate) ours: Option<(Name, Reference)>,
}

// === impl BaseImage ===

impl BaseImage {
    /// `PROJECT/NAME[:TAG]`, with or without the registry before it, is ours; what begins with another registry's host, or has no
    /// project, is not.
    ///
    /// # Errors
    /// When it is ours and no name of an image.
    pub(crate) fn parse(text: &str) -> Result<Self, NameError> {
        let path = text.strip_prefix(OURS).and_then(|rest| rest.strip_prefix('/'));
        let is_elsewhere = match text.split_once('/') {
            Some((first, _)) => first.contains(['.', ':']) || first == "localhost",
            None => true,
        };
        if path.is_none() && is_elsewhere {
            return Ok(Self { written: text.to_owned(), ours: None });
        }
        let path = path.unwrap_or(text);
        let (name, reference) = match (path.split_once('@'), path.rsplit_once(':')) {
            (Some((name, digest)), _) => (name, digest),
            (None, Some((name, tag))) => (name, tag),
            (None, None) => (path, "latest"),
        };
        let ours = (Name::parse(name)?, Reference::parse(reference)?);
        Ok(Self { written: format!("{OURS}/{path}"), ours: Some(ours) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whose_an_image_is_shows_in_its_name() {
        let read = |text: &str| BaseImage::parse(text).map(|base| (base.written, base.ours.is_some()));
        assert_eq!(read("default/java:21").unwrap(), ("registry.holm/default/java:21".into(), true));
        assert_eq!(read("registry.holm/default/java").unwrap(), ("registry.holm/default/java".into(), true));
        assert_eq!(read("python:3").unwrap(), ("python:3".into(), false));
        assert_eq!(read("ghcr.io/a/b:1").unwrap(), ("ghcr.io/a/b:1".into(), false));
        assert!(read("default/Java").is_err());
    }
}

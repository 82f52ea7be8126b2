//! The two ends of a copy. Pure.

use std::path::PathBuf;

use crate::failure::Failure;

/// One end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Local(Local),
    Remote {
        /// An instance, a slot or a service.
        instance: String,
        path: String,
    },
}

/// An end on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Local {
    Path(PathBuf),
    /// A tar stream on standard input or output.
    Stream,
}

/// What is to be copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Copy {
    In { from: Local, instance: String, path: String },
    Out { instance: String, path: String, to: Local },
}

impl std::str::FromStr for Place {
    type Err = String;

    /// A colon makes it remote; a path of this machine that has one is written with a slash before it.
    fn from_str(text: &str) -> Result<Self, String> {
        let local = || Self::Local(PathBuf::from(text).into());
        let Some((instance, path)) = text.split_once(':') else { return Ok(local()) };
        if instance.starts_with(['/', '.']) {
            return Ok(local());
        }
        if instance.is_empty() || path.is_empty() {
            return Err("expected INSTANCE:PATH, or a path of this machine".to_owned());
        }
        Ok(Self::Remote { instance: instance.to_owned(), path: path.to_owned() })
    }
}

impl Copy {
    pub(super) fn of(source: Place, target: Place) -> Result<Self, Failure> {
        match (source, target) {
            (Place::Local(from), Place::Remote { instance, path }) => Ok(Self::In { from, instance, path }),
            (Place::Remote { instance, path }, Place::Local(to)) => Ok(Self::Out { instance, path, to }),
            (Place::Local(_), Place::Local(_)) => Err(Failure::wrong_use("neither is inside an instance")
                .hint("name one as in `app/web/0:/srv/data`; on this machine alone, use `cp`")),
            (Place::Remote { .. }, Place::Remote { .. }) => {
                Err(Failure::wrong_use("both are inside instances")
                    .hint("copy by way of this machine: `holm cp A:/path - | holm cp - B:/path`"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_colon_leads_elsewhere() {
        let parse = |text: &str| text.parse::<Place>();
        let remote =
            |instance: &str, path: &str| Place::Remote { instance: instance.into(), path: path.into() };
        assert_eq!(parse("app/web/0:/srv").unwrap(), remote("app/web/0", "/srv"));
        assert_eq!(parse("app/web:a:b").unwrap(), remote("app/web", "a:b"));
        assert_eq!(parse("./a:b").unwrap(), Place::Local(Local::Path("./a:b".into())));
        assert_eq!(parse("dir/file").unwrap(), Place::Local(Local::Path("dir/file".into())));
        assert_eq!(parse("-").unwrap(), Place::Local(Local::Stream));
        assert!(parse(":x").is_err() && parse("x:").is_err());
        let (here, there) = (parse("x").unwrap(), parse("a/b:x").unwrap());
        assert!(Copy::of(here.clone(), here.clone()).is_err());
        assert!(Copy::of(there.clone(), there.clone()).is_err());
        assert!(matches!(Copy::of(here, there), Ok(Copy::In { .. })));
    }
}

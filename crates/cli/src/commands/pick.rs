//! One instance of what somebody names, for ways that lead to one.

use holm_client::Client;
use holm_model::name::Name;
use holm_model::view::InstanceView;

use crate::failure::Failure;
use crate::resolve::{self, Scope};

/// What can be reached now of an instance, a slot, or a service.
pub(crate) async fn all(client: &Client, project: &Name, text: &str) -> Result<Vec<InstanceView>, Failure> {
    let scopes = resolve::scopes(client, project, &[text.to_owned()]).await?;
    let rows = resolve::of(client, &scopes).await?;
    let reachable =
        |row: &InstanceView| row.id.is_some() && scopes.iter().any(|scope: &Scope| scope.takes(row));
    Ok(rows.into_iter().filter(reachable).collect())
}

/// The only one that is meant.
pub(crate) async fn one(client: &Client, project: &Name, text: &str) -> Result<InstanceView, Failure> {
    only(all(client, project, text).await?, text)
}

fn only(mut all: Vec<InstanceView>, text: &str) -> Result<InstanceView, Failure> {
    match (all.pop(), all.len()) {
        (Some(one), 0) => Ok(one),
        (None, _) => {
            Err(Failure::new(format!("nothing of `{text}` runs")).hint("`holm get instances` tells why"))
        }
        (Some(one), more) => Err(Failure::new(format!("`{text}` has {} instances", more + 1))
            .hint(format!("name one of them, as in `{}/{}`", one.application, one.slot))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::samples::instance;

    #[test]
    fn one_is_one() {
        let (a, b) = (instance("1-aa-1", "web/0"), instance("1-aa-2", "web/1"));
        assert_eq!(only(vec![a.clone()], "x").unwrap().slot, "web/0");
        assert!(only(vec![], "x").unwrap_err().to_string().contains("nothing of `x` runs"));
        assert!(only(vec![a, b], "x").unwrap_err().to_string().contains("2 instances"));
    }
}

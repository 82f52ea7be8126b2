//! What must be refused, and with which answer. The tables here are written by hand, not taken from the program: a
//! right that one gets by mistake must be seen.

use anyhow::{Context, Result, bail, ensure};
use serde_json::json;

use super::operator::{ADMIN, Day, PASSWORD, PROJECTS};
use super::rest::{Answer, ask, bearer};
use super::sea::addresses;
use super::wait_for;

/// How an answer counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// Whatever it says beside: the right was there.
    Allowed,
    /// 403.
    Forbidden,
    /// 404: it is not even there.
    Hidden,
}

use Verdict::{Allowed, Forbidden, Hidden};

/// A verb, and a request that needs it: method, path, body. `P`, `I` and `N` stand for a project, its instance and
/// the node.
struct Try {
    verb: &'static str,
    method: &'static str,
    path: &'static str,
    body: &'static str,
}

const fn of(verb: &'static str, method: &'static str, path: &'static str, body: &'static str) -> Try {
    Try { verb, method, path, body }
}

/// In a project. Ways in are WebSockets: whoever may is told so (400).
const IN_PROJECT: [Try; 7] = [
    of("read", "GET", "/projects/P/applications/shop", ""),
    of("logs", "GET", "/instances/I/logs?tail=1", ""),
    of("apply", "PATCH", "/projects/P/applications/shop/services/web", "{\"replicas\":1}"),
    of("exec", "GET", "/instances/I/exec?command=true", ""),
    of("copy", "GET", "/instances/I/files?path=/etc/hostname", ""),
    of("forward", "GET", "/instances/I/ports/80", ""),
    of("secrets", "PUT", "/projects/P/secrets/word", "{\"value\":\"x\"}"),
];
/// For the whole sea.
const IN_SEA: [Try; 6] = [
    of("read (sea)", "GET", "/nodes", ""),
    of("people (sea)", "GET", "/people", ""),
    of("audit (sea)", "GET", "/audit", ""),
    of("members (sea)", "PUT", "/nodes/N/labels/floor", "{\"value\":\"1\"}"),
    of("shell (sea)", "GET", "/nodes/N/shell", ""),
    of("admin (sea)", "PUT", "/projects/P/quota", "{}"),
];

const VIEWER: [&str; 2] = ["read", "logs"];
const OPERATOR: [&str; 6] = ["read", "logs", "apply", "exec", "copy", "forward"];

fn allows(role: &str, verb: &str) -> bool {
    match role {
        "viewer" => VIEWER.contains(&verb),
        "operator" => OPERATOR.contains(&verb),
        // Of a project: all that there is in one.
        "admin" => true,
        _ => false,
    }
}

/// Verb × person × project, as a table; an error when a cell is not as it must be.
pub(super) fn rights(day: &mut Day) -> Result<()> {
    let day = &*day;
    let node = day.node_id()?;
    let columns: Vec<(&str, &str)> = [ADMIN, "bob", "cyd", "dan"]
        .into_iter()
        .flat_map(|who| PROJECTS.map(|project| (who, project)))
        .collect();
    let tokens: Vec<String> =
        [ADMIN, "bob", "cyd", "dan"].iter().map(|who| day.token_of(who)).collect::<Result<_>>()?;
    let instances: Vec<String> =
        PROJECTS.iter().map(|project| day.instance_of(project)).collect::<Result<_>>()?;
    println!("  {:14}{}", "", columns.iter().map(|(who, p)| format!("{who:>4}@{p:5}")).collect::<String>());
    let mut wrong = Vec::new();
    for (tried, everywhere) in
        IN_PROJECT.iter().map(|one| (one, false)).chain(IN_SEA.iter().map(|one| (one, true)))
    {
        let mut line = format!("  {:14}", tried.verb);
        for (at, (who, project)) in columns.iter().enumerate() {
            let path = tried.path.replace("P", project).replace("I/", &format!("{}/", instances[at % 2]));
            let path = path.replace("N/", &format!("{node}/"));
            let answer = day.with_token(&tokens[at / 2], tried.method, &path, tried.body)?;
            let must = expected(day, who, project, tried.verb, everywhere);
            let good = must == verdict(&answer)?;
            line.push_str(&format!("{:>9}{}", answer.status, if good { ' ' } else { '!' }));
            if !good {
                wrong.push(format!(
                    "{who}: {} {path}: {} instead of {must:?}: {}",
                    tried.method, answer.status, answer.body
                ));
            }
        }
        println!("{line}");
    }
    ensure!(wrong.is_empty(), "not as it must be:\n{}", wrong.join("\n"));
    Ok(())
}

fn expected(day: &Day, who: &str, project: &str, verb: &str, everywhere: bool) -> Verdict {
    if who == ADMIN {
        return Allowed;
    }
    let roles = day.people.iter().find(|member| member.name == who).map_or(&[][..], |member| member.roles);
    let role = roles.iter().find(|(of, _)| *of == project).map(|(_, role)| *role);
    match role {
        _ if everywhere => Forbidden,
        None => Hidden,
        Some(role) if allows(role, verb) => Allowed,
        Some(_) => Forbidden,
    }
}

fn verdict(answer: &Answer) -> Result<Verdict> {
    match answer.status {
        200..=299 | 400 | 409 | 422 => Ok(Allowed),
        403 => Ok(Forbidden),
        404 => Ok(Hidden),
        other => bail!("{other} is no answer: {}", answer.body),
    }
}

/// Proofs that are none.
pub(super) fn proofs(day: &mut Day) -> Result<()> {
    let foreign = token_of_another_sea(day)?;
    let day = &*day;
    let (ada, dan) = (day.token_of(ADMIN)?, day.token_of("dan")?);
    let mut table = Table { day, wrong: Vec::new() };
    table.bearer("no token", "", 401, "show a token")?;
    table.bearer("nonsense", "holm-api.e30.AAAA", 401, "mistyped")?;
    table.bearer("a changed scope", &spliced(&ada, &dan)?, 401, "mistyped")?;
    table.bearer("a cut token", &ada[..ada.len() - 4], 401, "mistyped")?;
    table.bearer("of another sea", &foreign, 401, "another sea")?;
    table.bearer("expired", &short_lived(day)?, 401, "expired")?;
    table.bearer("logged out", &logged_out(day)?, 401, "void")?;
    let session = day.session("dan")?;
    let text = |key: &str| session[key].as_str().unwrap_or_default().to_owned();
    let cookie = format!("cookie: __Host-holm={}", text("token"));
    let csrf = format!("x-holm-csrf: {}", text("csrf"));
    let end = ("DELETE", "/sessions/current", "");
    table.row("a cookie without CSRF", end, std::slice::from_ref(&cookie), 403, "beside its cookie")?;
    table.row(
        "a cookie of a page elsewhere",
        end,
        &[cookie.clone(), csrf.clone(), "origin: https://evil.example".to_owned()],
        403,
        "another origin",
    )?;
    table.row(
        "a name made to point here",
        ("GET", "/status", ""),
        &["host: evil.example".to_owned(), bearer(&ada)],
        403,
        "served as",
    )?;
    let guess = json!({ "name": "dan", "password": "guessed wrongly" }).to_string();
    table.row("a wrong password", ("POST", "/sessions", &guess), &[content()], 401, "wrong")?;
    let huge = json!({ "name": "dan", "password": "x".repeat(10 << 20) }).to_string();
    table.row("a password of 10 MB", ("POST", "/sessions", &huge), &[content()], 413, "at most")?;
    table.row("the cookie as it must be", end, &[cookie, csrf], 204, "")?;
    ensure!(table.wrong.is_empty(), "not as it must be:\n{}", table.wrong.join("\n"));
    Ok(())
}

/// What was tried, printed as it goes.
struct Table<'a> {
    day: &'a Day,
    wrong: Vec<String>,
}

impl Table<'_> {
    fn bearer(&mut self, what: &str, token: &str, status: u16, word: &str) -> Result<()> {
        let headers = if token.is_empty() { Vec::new() } else { vec![bearer(token)] };
        self.row(what, ("GET", "/whoami", ""), &headers, status, word)
    }

    fn row(
        &mut self,
        what: &str,
        (method, path, body): (&str, &str, &str),
        headers: &[String],
        status: u16,
        word: &str,
    ) -> Result<()> {
        let answer = ask(self.day.at(), method, path, headers, body)?;
        let detail = answer.detail();
        let good = answer.status == status && detail.contains(word);
        println!("  {what:30}{:>4}{}{detail}", answer.status, if good { "  " } else { "! " });
        if !good {
            self.wrong.push(format!("{what}: {} instead of {status} with `{word}`: {detail}", answer.status));
        }
        Ok(())
    }
}

fn content() -> String {
    "content-type: application/json".to_owned()
}

/// What one token says under the signature of another.
fn spliced(says: &str, signed: &str) -> Result<String> {
    let (payload, _) = says.rsplit_once('.').context("a token")?;
    let (_, signature) = signed.rsplit_once('.').context("a token")?;
    Ok(format!("{payload}.{signature}"))
}

/// A token that has expired.
fn short_lived(day: &Day) -> Result<String> {
    let words = ["token", "create", "--role", "viewer", "--ttl", "1s"];
    let token = day.admin.holm(&words)?.done()?.line().to_owned();
    wait_for("the token expires", || {
        Ok((day.with_token(&token, "GET", "/whoami", "")?.status == 401).then_some(()))
    })?;
    Ok(token)
}

fn logged_out(day: &Day) -> Result<String> {
    let token = day.token_of("bob")?;
    let answer = day.with_token(&token, "DELETE", "/sessions/current", "")?;
    ensure!(answer.status == 204, "{}", answer.body);
    Ok(token)
}

/// An administrator's token, good in its own sea.
fn token_of_another_sea(day: &mut Day) -> Result<String> {
    let at = addresses()?;
    day.ground.root("elsewhere", at)?;
    let link = day.ground.path("elsewhere").join("setup-link");
    let link = wait_for("the other set-up link", || Ok(std::fs::read_to_string(&link).ok()))?;
    let secret = link.trim().rsplit_once('#').context("a set-up link")?.1;
    let body = json!({ "token": secret, "name": "eve", "password": PASSWORD }).to_string();
    let answer = ask(at.plain, "POST", "/setup", &[content()], &body)?;
    let token = answer.json()?["token"].as_str().map(str::to_owned);
    let token = token.with_context(|| format!("eve cannot set up a sea: {}", answer.body))?;
    let there = ask(at.plain, "GET", "/whoami", &[bearer(&token)], "")?;
    ensure!(there.json()?["who"] == "eve", "{}", there.body);
    day.ground.kill("elsewhere")?;
    Ok(token)
}

//! HTTP proxies between a member and its orchestrator: which one, if any, and its `CONNECT`.
//!
//! TLS runs end-to-end inside the tunnel: a proxy sees host name and port of the orchestrator, and
//! how many bytes pass.

mod connect;
mod rules;

use std::fmt;
use std::str::FromStr;

use data_encoding::BASE64;
use http::HeaderValue;
use http::uri::{Authority, Scheme, Uri};
use percent_encoding::percent_decode_str;

pub use connect::ProxyError;
pub(crate) use connect::connect;
pub use rules::{Proxies, VariableError};

/// An HTTP proxy. Neither `Display` nor `Debug` shows its credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proxy {
    /// `host:port`
    address: String,
    /// The whole value of `Proxy-Authorization`; marked as sensitive.
    authorization: Option<HeaderValue>,
}

/// The text names no proxy. It may hold a password, so that nothing of it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseProxyError {
    #[error("it is no URL of a proxy; write http://HOST:PORT")]
    Url,
    #[error(
        "only proxies that are called over plain HTTP are known; write http://HOST:PORT (TLS runs inside)"
    )]
    Scheme,
    #[error("it has no port; write http://HOST:PORT, often port 3128 or 8080")]
    Port,
    #[error("its credentials are not `user:password`; percent-encode what is special in a URL")]
    Credentials,
}

// === impl Proxy ===

impl Proxy {
    /// The same proxy with these credentials, `user:password` as they are.
    ///
    /// # Errors
    /// When there is no user name, or no colon.
    pub fn with_credentials(self, text: &str) -> Result<Self, ParseProxyError> {
        let (user, password) = text.split_once(':').ok_or(ParseProxyError::Credentials)?;
        Ok(Self { authorization: Some(basic(user, password)?), ..self })
    }

    /// `host:port`
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.address)
    }
}

impl FromStr for Proxy {
    type Err = ParseProxyError;

    /// `http://[user:password@]host:port`, credentials percent-encoded; without a scheme it is HTTP.
    fn from_str(text: &str) -> Result<Self, ParseProxyError> {
        let uri: Uri = text.trim().parse().map_err(|_| ParseProxyError::Url)?;
        if uri.scheme().is_some_and(|scheme| *scheme != Scheme::HTTP) {
            return Err(ParseProxyError::Scheme);
        }
        if uri.path().len() > 1 || uri.query().is_some() {
            return Err(ParseProxyError::Url);
        }
        let authority = uri.authority().ok_or(ParseProxyError::Url)?;
        if authority.host().is_empty() {
            return Err(ParseProxyError::Url);
        }
        let port = authority.port_u16().ok_or(ParseProxyError::Port)?;
        let authorization = userinfo(authority).map(decoded).transpose()?;
        Ok(Self { address: format!("{}:{port}", authority.host()), authorization })
    }
}

fn userinfo(authority: &Authority) -> Option<&str> {
    authority.as_str().rsplit_once('@').map(|(userinfo, _)| userinfo)
}

fn decoded(userinfo: &str) -> Result<HeaderValue, ParseProxyError> {
    let (user, password) = userinfo.split_once(':').unwrap_or((userinfo, ""));
    let text = |encoded| percent_decode_str(encoded).decode_utf8().map_err(|_| ParseProxyError::Credentials);
    basic(&text(user)?, &text(password)?)
}

/// RFC 7617: a user name has no colon, and neither part has control characters.
fn basic(user: &str, password: &str) -> Result<HeaderValue, ParseProxyError> {
    let plain = |text: &str| !text.chars().any(char::is_control);
    if user.is_empty() || user.contains(':') || !plain(user) || !plain(password) {
        return Err(ParseProxyError::Credentials);
    }
    let value = format!("Basic {}", BASE64.encode(format!("{user}:{password}").as_bytes()));
    let mut value = HeaderValue::try_from(value).map_err(|_| ParseProxyError::Credentials)?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Proxy, ParseProxyError> {
        text.parse()
    }

    fn told(proxy: &Proxy) -> String {
        let value = proxy.authorization.as_ref().unwrap().as_bytes();
        let encoded = value.strip_prefix(b"Basic ").unwrap();
        String::from_utf8(BASE64.decode(encoded).unwrap()).unwrap()
    }

    #[test]
    fn urls_of_proxies_are_read() {
        for (text, address) in [
            ("http://proxy.example:3128", "proxy.example:3128"),
            ("http://proxy.example:3128/", "proxy.example:3128"),
            ("proxy.example:8080", "proxy.example:8080"),
            ("http://192.0.2.1:8080", "192.0.2.1:8080"),
            ("http://[2001:db8::1]:8080", "[2001:db8::1]:8080"),
        ] {
            let proxy = parse(text).unwrap();
            assert_eq!((proxy.address(), &proxy.authorization), (address, &None), "{text}");
        }
    }

    #[test]
    fn credentials_are_percent_decoded() {
        assert_eq!(told(&parse("http://me:p%40ss%3Aw%C3%B6rd@proxy:1").unwrap()), "me:p@ss:wörd");
        assert_eq!(told(&parse("http://me@proxy:1").unwrap()), "me:");
        let plain = parse("http://a:b@proxy:1").unwrap().with_credentials("me:p%40:x").unwrap();
        assert_eq!(told(&plain), "me:p%40:x", "a file has them as they are");
    }

    #[test]
    fn what_is_no_proxy_is_refused_and_never_repeated() {
        for (text, expected) in [
            ("", ParseProxyError::Url),
            ("http://", ParseProxyError::Url),
            ("http://proxy:1/path", ParseProxyError::Url),
            ("http://proxy", ParseProxyError::Port),
            ("https://secret@proxy:1", ParseProxyError::Scheme),
            ("socks5://me:secret@proxy:1", ParseProxyError::Scheme),
            ("http://me:%0asecret@proxy:1", ParseProxyError::Credentials),
            ("http://me:%ffsecret@proxy:1", ParseProxyError::Credentials),
            ("http://:secret@proxy:1", ParseProxyError::Credentials),
        ] {
            let error = parse(text).unwrap_err();
            assert_eq!(error, expected, "{text}");
            assert!(!error.to_string().contains("secret"));
        }
    }

    #[test]
    fn credentials_are_never_shown() {
        let proxy = parse("http://me:secret@proxy:1").unwrap();
        let shown = format!("{proxy} {proxy:?} {:?}", Proxies::all(proxy.clone()));
        assert!(!shown.contains("secret") && !shown.contains(&BASE64.encode(b"me:secret")), "{shown}");
    }
}

//! Setting up, logging in, changing passwords: what people do before a token speaks for them.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use data_encoding::BASE64URL_NOPAD;
use holm_core::orchestrator::Tier;
use holm_core::orchestrator::command::{Actor, Command, PeopleCommand, Refusal};
use holm_core::orchestrator::people::{ADMIN, Person};
use holm_link::authority::SignError;
use holm_model::access::Grants;
use holm_model::name::Name;
use holm_model::time::Time;
use holm_model::view::people::{
    LoginRequest, Password, PasswordRequest, PersonRequest, SessionCreated, SetupRequest,
};
use sha2::{Digest as _, Sha256};

use super::password::{Hasher, PasswordError};
use super::throttle::Throttle;
use super::token::{Claims, Kind, NewToken, TokenError, TokenSigner};
use crate::clock;
use crate::handle::Handle;

/// What proves who people are.
#[derive(Debug)]
pub(crate) struct Desk {
    pub(crate) tokens: TokenSigner,
    pub(crate) hasher: Hasher,
    pub(crate) throttle: Throttle,
}

/// Nobody was logged in, or nothing changed.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    #[error("the name or the password is wrong")]
    Wrong,
    #[error("too many wrong passwords; try again in {} s", .0.as_secs().max(1))]
    Throttled(Duration),
    #[error("people log in at the root; its tokens are good here, too")]
    NotRoot,
    #[error("the new password is the present one; choose another")]
    Same,
    #[error(
        "the set-up link is used up, has expired, or is not of this sea; log in, use the link of the last start, or make \
         somebody at the orchestrator's own socket (`holm person create`)"
    )]
    SetUp,
    #[error(transparent)]
    Password(#[from] PasswordError),
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error("the token cannot be signed")]
    Sign(#[from] SignError),
    #[error("the system gives no random numbers")]
    Random(#[from] getrandom::Error),
}

/// A working day, so that one logs in once in the morning.
const SESSION: Duration = Duration::from_secs(12 * 3600);
/// To change a password.
const RENEWAL: Duration = Duration::from_secs(600);
const SET_UP: Duration = Duration::from_secs(24 * 3600);

// === impl Desk ===

impl Desk {
    pub(crate) fn new(tokens: TokenSigner) -> Self {
        Self { tokens, hasher: Hasher::new(), throttle: Throttle::default() }
    }
}

/// What a browser has to send beside its cookie: known to whoever got the token itself, not to another site.
#[must_use]
pub fn csrf(token: &str) -> String {
    BASE64URL_NOPAD.encode(&Sha256::digest(format!("holm csrf {token}")))
}

// === impl Handle ===

impl Handle {
    /// The secret of a link with which the first administrator is made; none when there is one, or elsewhere
    /// than at a root.
    ///
    /// # Errors
    /// When it cannot be signed.
    pub async fn set_up_token(&self) -> Result<Option<String>, LoginError> {
        if !self
            .query(|machine| machine.config().tier == Tier::Root && !machine.has_administrator())
            .await
            .unwrap_or(false)
        {
            return Ok(None);
        }
        let (id, nothing) = (random_id()?, Grants::default());
        Ok(Some(self.sign(&id, ADMIN, Kind::Setup, &nothing, SET_UP)?.0))
    }

    /// Makes the first administrator, who is logged in then.
    ///
    /// # Errors
    /// See [`LoginError`].
    pub async fn set_up(&self, request: SetupRequest, from: String) -> Result<SessionCreated, LoginError> {
        let claims =
            self.desk().tokens.verify(&request.token, clock::wall()).map_err(|_| LoginError::SetUp)?;
        // Asked before the password is hashed: the link is used once, and the answer must be cheap afterwards.
        let open = self.query(|machine| !machine.has_administrator()).await.unwrap_or(false);
        if claims.kind != Kind::Setup || !open {
            return Err(LoginError::SetUp);
        }
        let (name, password) = (request.name, self.desk().hasher.hash(&request.password).await?);
        let actor = Actor { who: name.to_string(), from };
        let command = PeopleCommand::First { name: name.clone(), password };
        self.command(actor, Command::People(command)).await?;
        self.session(name.as_str(), Kind::Session, &Grants::all(), SESSION)
    }

    /// # Errors
    /// See [`LoginError`]; a wrong name and a wrong password cannot be told apart.
    pub async fn log_in(
        &self,
        request: LoginRequest,
        place: Option<IpAddr>,
        from: String,
    ) -> Result<SessionCreated, LoginError> {
        let LoginRequest { name, password } = request;
        let person = self.prove(&name, &password, place, &from).await?;
        let actor = Actor { who: name.clone(), from };
        self.command(actor, Command::LoggedIn).await?;
        if person.must_change {
            return self.session(&name, Kind::Renewal, &Grants::default(), RENEWAL);
        }
        self.session(&name, Kind::Session, &person.roles.grants(), SESSION)
    }

    /// Proves a password, slower and slower while it is wrong.
    async fn prove(
        &self,
        name: &str,
        password: &Password,
        place: Option<IpAddr>,
        from: &str,
    ) -> Result<Person, LoginError> {
        let desk = self.desk();
        if let Some(wait) = desk.throttle.wait(name, place, Instant::now()) {
            return Err(LoginError::Throttled(wait));
        }
        let asked = name.to_owned();
        let found = self.query(move |m| (m.config().tier, m.person(&asked).cloned())).await;
        let (tier, person) = found.ok_or_else(|| Refusal::ReadOnly("it is stopping".to_owned()))?;
        if tier == Tier::Cluster {
            return Err(LoginError::NotRoot);
        }
        // To whoever asks, one that is held does not differ from one that is wrong.
        let person = person.filter(|person| !person.held);
        let kept = person.as_ref().map(|person| person.password.clone());
        match (desk.hasher.is(password, kept).await?, person) {
            (true, Some(person)) => {
                desk.throttle.succeeded(name, place);
                Ok(person)
            }
            _ => {
                desk.throttle.failed(name, place, Instant::now());
                self.denied(name, from).await;
                Err(LoginError::Wrong)
            }
        }
    }

    /// A wrong password is in the audit log. The throttle bounds how many there are.
    async fn denied(&self, name: &str, from: &str) {
        let who: String = name.chars().take(64).collect();
        let reason = "the name or the password is wrong".to_owned();
        let denied = Command::Denied { verb: "log-in".to_owned(), subject: String::new(), reason };
        // It is refused, as always.
        let _ = self.command(Actor { who, from: from.to_owned() }, denied).await;
    }

    /// Makes somebody whose password is to be changed at the first log-in.
    ///
    /// # Errors
    /// See [`LoginError`].
    pub async fn create_person(&self, actor: Actor, request: PersonRequest) -> Result<(), LoginError> {
        let PersonRequest { name, password, roles } = request;
        let password = self.desk().hasher.hash(&password).await?;
        self.command(actor, Command::People(PeopleCommand::Create { name, password, roles })).await?;
        Ok(())
    }

    /// Changes a password: one's own by showing the old one; another's, who has to change it then.
    ///
    /// # Errors
    /// See [`LoginError`].
    pub async fn set_password(
        &self,
        actor: Actor,
        name: Name,
        own: bool,
        request: PasswordRequest,
        place: Option<IpAddr>,
    ) -> Result<(), LoginError> {
        if own {
            let old = request.old.as_ref().ok_or(LoginError::Wrong)?;
            self.prove(name.as_str(), old, place, &actor.from).await?;
            if *old == request.new {
                return Err(LoginError::Same);
            }
        }
        let password = self.desk().hasher.hash(&request.new).await?;
        let command = PeopleCommand::SetPassword { name, password, must_change: !own };
        self.command(actor, Command::People(command)).await?;
        Ok(())
    }

    fn session(
        &self,
        who: &str,
        kind: Kind,
        grants: &Grants,
        life: Duration,
    ) -> Result<SessionCreated, LoginError> {
        let (token, expires) = self.sign(&random_id()?, who, kind, grants, life)?;
        let csrf = csrf(&token);
        Ok(SessionCreated { token, who: who.to_owned(), expires, must_change: kind == Kind::Renewal, csrf })
    }

    pub(crate) fn sign(
        &self,
        id: &str,
        who: &str,
        kind: Kind,
        grants: &Grants,
        life: Duration,
    ) -> Result<(String, Time), SignError> {
        let made = clock::wall();
        let expires = Time(made.0.saturating_add(i64::try_from(life.as_millis()).unwrap_or(i64::MAX)));
        let token = self.desk().tokens.sign(NewToken { id, who, kind, grants, made, expires })?;
        Ok((token, expires))
    }

    /// Whose token this is, if it is good.
    ///
    /// # Errors
    /// See [`TokenError`].
    pub async fn verify_token(&self, text: &str) -> Result<Claims, TokenError> {
        let claims = self.desk().tokens.verify(text, clock::wall())?;
        if claims.kind == Kind::Setup {
            return Err(TokenError::Void);
        }
        self.still_good(&claims).await.map(|()| claims)
    }

    /// Whether a token that was verified is neither void nor expired meanwhile.
    ///
    /// # Errors
    /// See [`TokenError`].
    pub async fn still_good(&self, claims: &Claims) -> Result<(), TokenError> {
        let Claims { id, who, grants, iat, exp, .. } = claims.clone();
        if clock::wall() >= exp {
            return Err(TokenError::Expired(exp));
        }
        match self.query(move |machine| machine.is_token_void(&id, &who, &grants, iat)).await {
            Some(false) => Ok(()),
            _ => Err(TokenError::Void),
        }
    }
}

pub(crate) fn random_id() -> Result<String, getrandom::Error> {
    Ok(format!("{:016x}", getrandom::u64()?))
}

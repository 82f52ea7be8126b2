//! The methods about people, projects and log-ins.

use ::http::Method;
use holm_model::access::Role;
use holm_model::view::identity::{IdentityView, VerifyIdentity};
use holm_model::view::people::{
    LoginRequest, PasswordRequest, PersonRequest, PersonView, ProjectRequest, ProjectRolesView, ProjectView,
    Quota, RoleRequest, Roles, SessionCreated, SetupRequest, WhoView,
};

use crate::Client;
use crate::error::Error;
use crate::http::Call;
use crate::routes::{json, path};

// === impl Client: oneself ===

impl Client {
    /// Makes the first administrator with a set-up link; needs no token.
    ///
    /// # Errors
    /// See [`Error`]; so everywhere below.
    pub async fn set_up(&self, request: &SetupRequest) -> Result<SessionCreated, Error> {
        self.http.json(json(Call::new(Method::POST, "/setup"), request)).await
    }

    /// Logs in; needs no token.
    pub async fn log_in(&self, request: &LoginRequest) -> Result<SessionCreated, Error> {
        self.http.json(json(Call::new(Method::POST, "/sessions"), request)).await
    }

    /// Makes our token void.
    pub async fn log_out(&self) -> Result<(), Error> {
        self.done(Call::new(Method::DELETE, "/sessions/current")).await
    }

    pub async fn whoami(&self) -> Result<WhoView, Error> {
        self.http.json(Call::get("/whoami")).await
    }

    /// What the token of an instance says, if it is good.
    pub async fn verify_identity(&self, request: &VerifyIdentity) -> Result<IdentityView, Error> {
        self.http.json(json(Call::new(Method::POST, "/identities/verify"), request)).await
    }
}

// === impl Client: people ===

impl Client {
    pub async fn people(&self) -> Result<Vec<PersonView>, Error> {
        self.all(&Call::get("/people")).await
    }

    pub async fn person(&self, name: &str) -> Result<PersonView, Error> {
        self.http.json(Call::get(path(&["people", name]))).await
    }

    pub async fn create_person(&self, request: &PersonRequest) -> Result<PersonView, Error> {
        self.http.json(json(Call::new(Method::POST, "/people"), request)).await
    }

    /// What they made stays; their tokens are void.
    pub async fn delete_person(&self, name: &str) -> Result<(), Error> {
        self.done(Call::new(Method::DELETE, path(&["people", name]))).await
    }

    pub async fn set_roles(&self, name: &str, roles: &Roles) -> Result<(), Error> {
        self.done(json(Call::new(Method::PUT, path(&["people", name, "roles"])), roles)).await
    }

    /// All tokens of that person are void then.
    pub async fn set_password(&self, name: &str, request: &PasswordRequest) -> Result<(), Error> {
        self.done(json(Call::new(Method::PUT, path(&["people", name, "password"])), request)).await
    }

    /// Makes all tokens void that somebody has or made.
    pub async fn log_out_everywhere(&self, name: &str) -> Result<(), Error> {
        self.done(Call::new(Method::DELETE, path(&["people", name, "sessions"]))).await
    }
}

// === impl Client: projects ===

impl Client {
    pub async fn projects(&self) -> Result<Vec<ProjectView>, Error> {
        self.all(&Call::get("/projects")).await
    }

    pub async fn project(&self, name: &str) -> Result<ProjectView, Error> {
        self.http.json(Call::get(path(&["projects", name]))).await
    }

    pub async fn create_project(&self, request: &ProjectRequest) -> Result<ProjectView, Error> {
        self.http.json(json(Call::new(Method::POST, "/projects"), request)).await
    }

    pub async fn delete_project(&self, name: &str) -> Result<(), Error> {
        self.done(Call::new(Method::DELETE, path(&["projects", name]))).await
    }

    pub async fn project_roles(&self, project: &str) -> Result<ProjectRolesView, Error> {
        self.http.json(Call::get(path(&["projects", project, "roles"]))).await
    }

    /// To somebody, in place of the role that they have there; `None`: no role any more.
    pub async fn set_project_role(
        &self,
        project: &str,
        person: &str,
        role: Option<Role>,
    ) -> Result<(), Error> {
        self.role(path(&["projects", project, "roles", "people", person]), role).await
    }

    /// To `application/service`, for its instances; `None`: no role any more.
    pub async fn set_service_role(
        &self,
        project: &str,
        (application, service): (&str, &str),
        role: Option<Role>,
    ) -> Result<(), Error> {
        self.role(path(&["projects", project, "roles", "services", application, service]), role).await
    }

    async fn role(&self, path: String, role: Option<Role>) -> Result<(), Error> {
        self.done(match role {
            Some(role) => json(Call::new(Method::PUT, path), &RoleRequest { role }),
            None => Call::new(Method::DELETE, path),
        })
        .await
    }

    pub async fn set_quota(&self, name: &str, quota: &Quota) -> Result<(), Error> {
        self.done(json(Call::new(Method::PUT, path(&["projects", name, "quota"])), quota)).await
    }
}

//! Services, each with the application that it belongs to.

use holm_model::view::{ApplicationView, ServiceView};
use serde::Serialize;

use super::table::{Column, Listed};
use super::time::local;

type C<T> = Column<T>;

/// One service of an application.
#[derive(Debug, Serialize)]
pub(crate) struct Service {
    pub(crate) project: String,
    pub(crate) application: String,
    #[serde(flatten)]
    pub(crate) view: ServiceView,
}

// === impl Service ===

impl Service {
    pub(crate) fn of(application: ApplicationView) -> impl Iterator<Item = Self> {
        let ApplicationView { project, name, services, .. } = application;
        services.into_iter().map(move |view| Self {
            project: project.clone(),
            application: name.clone(),
            view,
        })
    }
}

impl Listed for Service {
    const COLUMNS: &'static [Column<Self>] = &[
        C::wide("PROJECT", |s, _| s.project.clone()),
        C::new("APPLICATION", |s, _| s.application.clone()),
        C::new("SERVICE", |s, _| s.view.name.clone()),
        C::new("STATE", |s, _| s.view.state.word().to_owned()),
        C::new("RUNTIME", |s, _| s.view.runtime.clone()),
        C::new("RUNNING", |s, _| match (s.view.slots, s.view.next) {
            // It runs by the clock.
            (0, Some(_)) => "-".to_owned(),
            (slots, _) => format!("{}/{slots}", s.view.running),
        }),
        C::new("REPLICAS", |s, _| s.view.replicas.clone()),
        C::new("WISH", |s, _| s.view.run.word().to_owned()),
        C::wide("GENERATION", |s, _| s.view.generation.to_string()),
        C::known("NEXT RUN", |s, _| s.view.next.map(local).unwrap_or_default()),
    ];

    fn names(&self) -> Vec<String> {
        vec![
            format!("{}/{}", self.application, self.view.name),
            self.application.clone(),
            self.view.name.clone(),
        ]
    }

    fn key(&self) -> String {
        format!("{}/{}/{}", self.project, self.application, self.view.name)
    }
}

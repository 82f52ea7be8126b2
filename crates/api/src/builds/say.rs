//! What a build tells whoever waits for it.

use holm_model::view::build::BuildEvent;
use tokio::sync::mpsc;

/// Where it is told; nobody may listen.
#[derive(Clone, Debug)]
pub(crate) struct Say(Option<mpsc::Sender<BuildEvent>>);

impl Say {
    pub(crate) const fn to(listener: mpsc::Sender<BuildEvent>) -> Self {
        Self(Some(listener))
    }

    pub(crate) const fn nobody() -> Self {
        Self(None)
    }

    /// Something begins, in words.
    pub(crate) async fn phase(&self, text: impl Into<String>) {
        self.event(BuildEvent::Phase(text.into())).await;
    }

    /// What a builder says.
    pub(crate) async fn log(&self, text: String) {
        self.event(BuildEvent::Log(text)).await;
    }

    /// Waits for a slow reader; whoever hung up is told nothing.
    pub(crate) async fn event(&self, event: BuildEvent) {
        if let Some(listener) = &self.0 {
            let _ = listener.send(event).await;
        }
    }
}

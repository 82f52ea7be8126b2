//! Tunnels that instances of this node need, opened through the orchestrator.

use futures::FutureExt;
use futures::future::BoxFuture;
use holm_link::frame::{read_header, write_header};
use holm_link::session::Tunnel;
use holm_model::id::AssignmentId;
use holm_model::identity::{Proof, Want};
use holm_model::tunnel::{Answer, Purpose, Request};

use super::Link;
use crate::identity::Notary;
use crate::peers::reach::{Duplex, Upward, UpwardError};
use crate::registry::Above;

impl Upward for Link {
    fn connect(
        &self,
        instance: AssignmentId,
        port: u16,
    ) -> BoxFuture<'_, Result<Box<dyn Duplex>, UpwardError>> {
        let purpose = Purpose::Connect { instance, port };
        async move { Ok(Box::new(self.ask(purpose).await?) as Box<dyn Duplex>) }.boxed()
    }

    fn volumes(
        &self,
        from: AssignmentId,
        to: AssignmentId,
    ) -> BoxFuture<'_, Result<Box<dyn Duplex>, UpwardError>> {
        let purpose = Purpose::Volumes { instance: from, to };
        async move { Ok(Box::new(self.ask(purpose).await?) as Box<dyn Duplex>) }.boxed()
    }
}

impl Notary for Link {
    fn prove(&self, instance: AssignmentId, want: Want) -> BoxFuture<'_, Result<Proof, UpwardError>> {
        async move {
            let mut tunnel = self.ask(Purpose::Identity { instance, want }).await?;
            read_header(&mut tunnel).await.map_err(|error| broken(&error))
        }
        .boxed()
    }
}

impl Above for Link {
    fn registry(&self) -> BoxFuture<'_, Result<Box<dyn Duplex>, UpwardError>> {
        async move { Ok(Box::new(self.ask(Purpose::Registry).await?) as Box<dyn Duplex>) }.boxed()
    }
}

impl Link {
    async fn ask(&self, purpose: Purpose) -> Result<Tunnel, UpwardError> {
        let lane = self.lane.borrow().clone().ok_or(UpwardError::NoLink)?;
        let mut tunnel = lane.open().await.map_err(|error| broken(&error))?;
        // An empty path: the orchestrator knows where things are, we do not.
        let request = Request { path: Vec::new(), purpose };
        write_header(&mut tunnel, &request).await.map_err(|error| broken(&error))?;
        match read_header(&mut tunnel).await.map_err(|error| broken(&error))? {
            Answer::Granted => Ok(tunnel),
            Answer::Refused(reason) => Err(UpwardError::Refused(reason)),
        }
    }
}

fn broken(error: &dyn std::error::Error) -> UpwardError {
    UpwardError::Broken(super::chain(error))
}

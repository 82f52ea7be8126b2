//! What nodes and instances used, what operators say about nodes, and what moves.

use ::http::Method;
use holm_model::capability::Capability;
use holm_model::image::{ImageQuery, ImageView, ImagesPrune, ImagesPruned};
use holm_model::units::Counted;
use holm_model::usage::UsageHistory;
use holm_model::view::amendment::{CapabilityView, LabelValue, LabelView, TaintView};
use holm_model::view::drain::{
    DecommissionRequest, DecommissionView, DrainRequest, MigrateRequest, TransferRequest, TransferView,
};

use crate::Client;
use crate::error::Error;
use crate::http::Call;
use crate::routes::{json, path};

// === impl Client: usage ===

impl Client {
    /// What a node used in the last hour.
    ///
    /// # Errors
    /// See [`Error`]; so everywhere below.
    pub async fn node_usage(&self, id: &str) -> Result<UsageHistory, Error> {
        self.http.json(Call::get(path(&["nodes", id, "usage"]))).await
    }

    /// What an instance used in the last hour.
    pub async fn instance_usage(&self, id: &str) -> Result<UsageHistory, Error> {
        self.http.json(Call::get(path(&["instances", id, "usage"]))).await
    }
}

// === impl Client: images ===

impl Client {
    pub async fn images(&self, node: &str) -> Result<Vec<ImageView>, Error> {
        self.http.json(Call::get(path(&["nodes", node, "images"]))).await
    }

    /// With its last name, the image goes.
    pub async fn remove_image(&self, node: &str, image: &str) -> Result<(), Error> {
        let query = ImageQuery { image: image.to_owned() };
        self.done(Call::new(Method::DELETE, path(&["nodes", node, "images"])).query(&query)).await
    }

    /// Those that nothing uses.
    pub async fn prune_images(&self, node: &str, how: ImagesPrune) -> Result<ImagesPruned, Error> {
        self.http.json(json(Call::new(Method::POST, path(&["nodes", node, "images", "prune"])), &how)).await
    }
}

// === impl Client: moving ===

impl Client {
    /// Empties one of `kind` (`nodes` or `clusters`) until it is uncordoned.
    pub async fn drain(&self, kind: &str, id: &str, request: &DrainRequest) -> Result<(), Error> {
        self.done(json(Call::new(Method::POST, path(&[kind, id, "drain"])), request)).await
    }

    /// Takes a node out of service: it is emptied, wipes itself, and is forgotten.
    pub async fn decommission(
        &self,
        node: &str,
        request: &DecommissionRequest,
    ) -> Result<DecommissionView, Error> {
        let call = Call::new(Method::POST, path(&["nodes", node, "decommission"]));
        self.http.json(json(call, request)).await
    }

    /// Gives a node to another cluster; asked again until it has gone.
    pub async fn transfer(&self, node: &str, request: &TransferRequest) -> Result<TransferView, Error> {
        let call = Call::new(Method::POST, path(&["nodes", node, "move"]));
        self.http.json(json(call, request)).await
    }

    /// Moves a slot of an application to another member.
    pub async fn migrate(
        &self,
        project: &str,
        application: &str,
        request: &MigrateRequest,
    ) -> Result<(), Error> {
        let path = path(&["projects", project, "applications", application, "migrate"]);
        self.done(json(Call::new(Method::POST, path), request)).await
    }
}

// === impl Client: capabilities and labels ===

impl Client {
    pub async fn capabilities(&self, node: &str) -> Result<Vec<CapabilityView>, Error> {
        self.http.json(Call::get(path(&["nodes", node, "capabilities"]))).await
    }

    /// With a number: so many units of it.
    pub async fn add_capability(&self, node: &str, counted: &Counted) -> Result<(), Error> {
        let path = capability_path(node, &counted.capability);
        let query = counted.units.map(|units| format!("?units={units}")).unwrap_or_default();
        self.done(Call::new(Method::PUT, path + &query)).await
    }

    pub async fn remove_capability(&self, node: &str, capability: &Capability) -> Result<(), Error> {
        self.done(Call::new(Method::DELETE, capability_path(node, capability))).await
    }

    pub async fn labels(&self, node: &str) -> Result<Vec<LabelView>, Error> {
        self.http.json(Call::get(path(&["nodes", node, "labels"]))).await
    }

    pub async fn set_label(&self, node: &str, key: &str, value: &str) -> Result<(), Error> {
        let call = Call::new(Method::PUT, path(&["nodes", node, "labels", key]));
        self.done(json(call, &LabelValue { value: value.to_owned() })).await
    }

    pub async fn remove_label(&self, node: &str, key: &str) -> Result<(), Error> {
        self.done(Call::new(Method::DELETE, path(&["nodes", node, "labels", key]))).await
    }
}

// === impl Client: taints ===

impl Client {
    pub async fn taints(&self, node: &str) -> Result<Vec<TaintView>, Error> {
        self.http.json(Call::get(path(&["nodes", node, "taints"]))).await
    }

    pub async fn add_taint(&self, node: &str, key: &str, value: &str) -> Result<(), Error> {
        let call = Call::new(Method::PUT, path(&["nodes", node, "taints", key]));
        self.done(json(call, &LabelValue { value: value.to_owned() })).await
    }

    pub async fn remove_taint(&self, node: &str, key: &str) -> Result<(), Error> {
        self.done(Call::new(Method::DELETE, path(&["nodes", node, "taints", key]))).await
    }
}

fn capability_path(node: &str, capability: &Capability) -> String {
    path(&["nodes", node, "capabilities", capability.kind.as_str(), capability.name.as_str()])
}

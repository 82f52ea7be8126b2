//! `placement:` of a service.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::application::Outline;
use super::keys;
use super::read::{At, Fields};
use crate::capability::Capability;
use crate::condition::Condition;
use crate::duration::Span;
use crate::geo::Point;
use crate::name::Name;
use crate::placement::{
    Bound, Company, Consequence, LASTING, MOST_WEIGHT, Near, NearUsers, Placement, Preference, Scope,
    Strategy, Violated,
};
use crate::service::ServiceSpec;
use crate::taint::Toleration;
use crate::units::{Counted, Units};

/// Entries of `with`, `apart` and `prefer` each.
const MOST: usize = 16;

const STRATEGIES: &str = "`first-fit`, `best-fit`, `location`, `latency`, `random`, `spread` as in `{ spread: node }` (or `cluster`, or a label), or a scheduler of your own as in `{ external: green }`";
/// Who ranks.
enum Ranks {
    Ours(Strategy),
    Theirs(Name),
}

const SCOPE: &str = "`node`, `cluster` or the key of a label";

pub(super) fn placement(at: &At<'_>, outline: &Outline<'_>) -> Option<Placement> {
    let fields = at.fields("a mapping, as in `{ cluster: vienna }`", &keys::PLACEMENT)?;
    let cluster = fields.optional("cluster", At::name);
    let node = fields.optional("node", At::name);
    let require = fields.or_default("require", demands);
    let tolerates = fields.or_default("tolerates", tolerations);
    let labels = fields.or_default("labels", labels);
    let strategy = fields.optional("strategy", strategy);
    let location = fields.optional("location", location);
    let near = fields.optional("near", near);
    let violated = fields.or_default("violated", violated);
    let condition = fields.optional("where", condition);
    let with = fields.or_default("with", |at| companies(at, outline));
    let apart = fields.or_default("apart", |at| companies(at, outline));
    let prefer = fields.or_default("prefer", preferences);
    let sensitive = fields.or_default("sensitive", At::switch);
    let (strategy, scheduler) = match strategy? {
        Some(Ranks::Ours(strategy)) => (Some(strategy), None),
        Some(Ranks::Theirs(scheduler)) => (None, Some(scheduler)),
        None => (None, None),
    };
    let (require, units) = require?;
    let place = Placement {
        cluster: cluster?,
        node: node?,
        require,
        units,
        near: near?,
        violated: violated?,
        tolerates: tolerates?,
        labels: labels?,
        strategy,
        scheduler,
        location: location?,
        condition: condition?,
        with: with?,
        apart: apart?,
        prefer: prefer?,
        sensitive: sensitive?,
    };
    contradictions(&fields, &place);
    Some(place)
}

/// One on each matching node: there is nothing to choose.
pub(super) fn check_per_node(at: &At<'_>) {
    for (key, why) in [
        ("strategy", "a strategy chooses among nodes"),
        ("prefer", "a preference chooses among nodes"),
        ("near", "a bound of latency chooses among nodes"),
        ("violated", "a bound of latency chooses among nodes"),
    ] {
        if let Some(child) = at.child(key) {
            child.refuse_key::<()>(format_args!(
                "{why}, and `replicas: per-node` takes all that match; remove one of them"
            ));
        }
    }
}

/// As [`check_per_node`], of `connects`.
pub(super) fn check_bounds_per_node(connects: &At<'_>) {
    let list = if connects.is_list() { connects.items("") } else { None };
    for at in list.into_iter().flatten().filter_map(|item| item.child("latency")) {
        at.refuse_key::<()>(
            "a bound of latency chooses among nodes, and `replicas: per-node` takes all that match; remove one of them",
        );
    }
}

/// Without a required bound of latency, nothing can be violated.
pub(super) fn check_violated(place: &At<'_>, spec: &ServiceSpec) {
    if let Some(at) = place.child("violated").filter(|_| !spec.is_bound()) {
        at.refuse_key::<()>(
            "no bound of latency is required (`connects: [{ …, latency: 20ms }]` or `near:`); remove it, or add one",
        );
    }
}

/// What can never be, whatever the members are.
fn contradictions(fields: &Fields<'_>, place: &Placement) {
    if let Some(at) = fields.get("strategy").filter(|_| place.strategy == Some(Strategy::Location))
        && place.location.is_none()
    {
        at.refuse::<()>("`location` ranks by the distance to a point: give one, as in `location: { lat: 48.2, lon: 16.4 }`");
    }
    let required = |list: &[Company]| -> Vec<Company> {
        list.iter().filter(|company| company.weight.is_none()).cloned().collect()
    };
    let with = required(&place.with);
    for company in required(&place.apart).iter().filter(|company| with.contains(company)) {
        if let Some(at) = fields.get("apart") {
            let Company { service, on, .. } = company;
            at.refuse::<()>(format_args!(
                "`{service}` cannot be on the same {on} (`with`) and on another one"
            ));
        }
    }
}

/// Capabilities, and how many units of those that have a number.
fn demands(at: &At<'_>) -> Option<(BTreeSet<Capability>, Units)> {
    const WHAT: &str = "a capability, as in `hardware/ble`, or several units of it, as in `hardware/gpu=2`";
    let (mut capabilities, mut units) = (BTreeSet::new(), Units::default());
    for item in at.items("a list of capabilities, as in `[hardware/ble]`")? {
        let Some(Counted { capability, units: number }) = item.parsed(WHAT) else { continue };
        if !capabilities.insert(capability.clone()) {
            item.refuse::<()>(format_args!("`{capability}` is listed twice"));
        }
        if let Some(number) = number {
            units.set(capability, number);
        }
    }
    Some((capabilities, units))
}

fn tolerations(at: &At<'_>) -> Option<BTreeSet<Toleration>> {
    let items = at.items("a list of taints, as in `[dedicated]`")?;
    if items.len() > MOST {
        return at.refuse(format_args!("at most {MOST}, found {}", items.len()));
    }
    Some(items.iter().filter_map(|item| item.parsed("a taint, as in `dedicated=radio`")).collect())
}

fn labels(at: &At<'_>) -> Option<BTreeMap<String, String>> {
    let entries = at.entries("a mapping of labels, as in `zone: indoor`", |key| {
        let inner = |b: u8| b.is_ascii_alphanumeric() || b"._/-".contains(&b);
        let fine = (1..=253).contains(&key.len()) && key.bytes().all(inner);
        if fine {
            Ok(key.to_owned())
        } else {
            Err("expected a label: letters, digits, `.`, `_`, `/`, `-`".to_owned())
        }
    })?;
    entries.into_iter().map(|(key, at)| Some((key, at.text("a text")?.to_owned()))).collect()
}

fn strategy(at: &At<'_>) -> Option<Ranks> {
    if at.is_map() {
        let fields = at.fields(STRATEGIES, &keys::STRATEGY)?;
        if let Some(external) = fields.get("external") {
            if fields.get("spread").is_some() {
                return external.refuse("either `spread` or `external` ranks; remove one of them");
            }
            return external.name().map(Ranks::Theirs);
        }
        let at = fields.required("spread", "over what: `node`, `cluster` or the key of a label")?;
        return scope(at).map(Strategy::Spread).map(Ranks::Ours);
    }
    let strategy = match at.scalar() {
        Some("first-fit") => Strategy::FirstFit,
        Some("best-fit") => Strategy::BestFit,
        Some("spread") => Strategy::Spread(Scope::Node),
        Some("location") => Strategy::Location,
        Some("random") => Strategy::Random,
        Some("latency") => Strategy::Latency,
        _ => return at.refuse(format_args!("expected {STRATEGIES}, found {}", at.found())),
    };
    Some(Ranks::Ours(strategy))
}

fn scope(at: &At<'_>) -> Option<Scope> {
    let text = at.text(SCOPE)?;
    Scope::new(text).or_else(|| at.refuse(format_args!("expected {SCOPE}, found {}", at.found())))
}

fn location(at: &At<'_>) -> Option<Near> {
    let fields = at.fields("a mapping with `lat`, `lon` and perhaps `within`", &keys::LOCATION)?;
    let point = point(&fields);
    let within = fields.optional("within", |at| at.parsed("a distance, as in `5km`"));
    Some(Near { point: point?, within: within? })
}

fn point(fields: &Fields<'_>) -> Option<Point> {
    let lat = fields.required("lat", "degrees of latitude, as in `48.2082`");
    let lon = fields.required("lon", "degrees of longitude, as in `16.3738`");
    let lat = lat.and_then(|at| at.parsed("degrees of latitude, as in `48.2082`"));
    let lon = lon.and_then(|at| at.parsed("degrees of longitude, as in `16.3738`"));
    Some(Point { lat: lat?, lon: lon? })
}

fn near(at: &At<'_>) -> Option<NearUsers> {
    const WHERE: &str = "where they are, as in `{ lat: 48.2, lon: 16.4 }`";
    let fields = at.fields("a mapping with `users` and `latency`", &keys::NEAR)?;
    let users = fields.required("users", WHERE);
    let users = users.and_then(|at| point(&at.fields(WHERE, &keys::POINT)?));
    let bound =
        fields.required("latency", "how long a round trip may take, as in `50ms`").and(bound(&fields)?);
    Some(NearUsers { users: users?, bound: bound? })
}

/// `latency`, and `preferred` where it is not required; `Some(None)`: there is none.
pub(super) fn bound(fields: &Fields<'_>) -> Option<Option<Bound>> {
    const LONGEST: Duration = Duration::from_secs(10);
    let latency = fields.optional("latency", |at| {
        let Span(span) = at.parsed("a duration, as in `20ms`")?;
        let fits = (Duration::from_millis(1)..=LONGEST).contains(&span);
        if fits { Some(span) } else { at.refuse(format_args!("expected 1ms to 10s, found {}", at.found())) }
    });
    let weight = fields.optional("preferred", weight);
    let (latency, weight) = (latency?, weight?);
    if let Some(at) = fields.get("preferred").filter(|_| latency.is_none()) {
        return at.refuse_key("what is preferred? Write `latency`, too, or remove it");
    }
    Some(latency.map(|latency| Bound { latency: latency.into(), weight }))
}

fn violated(at: &At<'_>) -> Option<Violated> {
    let fields = at.fields("a mapping, as in `{ for: 1m, then: migrate }`", &keys::VIOLATED)?;
    let usual = Violated::default();
    let lasting = fields.get("for").map_or(Some(usual.lasting), |at| {
        let Span(lasting) = at.parsed("a duration, as in `1m`")?;
        let (least, most) = LASTING;
        if (least..=most).contains(&lasting) {
            return Some(lasting);
        }
        at.refuse(format_args!("expected {} to {}, found {}", Span(least), Span(most), at.found()))
    });
    let then = fields.get("then").map_or(Some(usual.then), |at| at.one_of(&Consequence::ALL));
    Some(Violated { lasting: lasting?, then: then? })
}

fn condition(at: &At<'_>) -> Option<Condition> {
    let text = at.text("a condition, as in `labels.zone == \"indoor\"`")?;
    text.parse::<Condition>().map_or_else(|error| at.refuse_inside(error.at, &error), Some)
}

fn companies(at: &At<'_>, outline: &Outline<'_>) -> Option<Vec<Company>> {
    let items = at.items("a list, as in `[{ service: db, on: node }]`")?;
    if items.len() > MOST {
        return at.refuse(format_args!("at most {MOST}, found {}", items.len()));
    }
    Some(items.iter().filter_map(|item| company(item, outline)).collect())
}

fn company(at: &At<'_>, outline: &Outline<'_>) -> Option<Company> {
    let fields = at.fields("a mapping with `service` and `on`", &keys::COMPANY)?;
    let service = fields.required("service", "a service of this application");
    let on = fields.required("on", "what counts as the same place: `node`, `cluster` or the key of a label");
    let weight = fields.optional("preferred", weight);
    let service = service.and_then(|at| {
        let name: Name = at.name()?;
        outline.check_service(&name, at)?;
        Some(name)
    });
    Some(Company { on: on.and_then(scope)?, service: service?, weight: weight? })
}

fn preferences(at: &At<'_>) -> Option<Vec<Preference>> {
    let items = at.items("a list, as in `[{ where: labels.zone == \"indoor\", weight: 10 }]`")?;
    if items.len() > MOST {
        return at.refuse(format_args!("at most {MOST}, found {}", items.len()));
    }
    Some(items.iter().filter_map(preference).collect())
}

fn preference(at: &At<'_>) -> Option<Preference> {
    let fields = at.fields("a mapping with `where` and `weight`", &keys::PREFER)?;
    let at = fields.required("where", "a condition, as in `labels.zone == \"indoor\"`");
    let weight = fields.get("weight").map_or(Some(1), weight);
    Some(Preference { condition: at.and_then(condition)?, weight: weight? })
}

fn weight(at: &At<'_>) -> Option<u32> {
    at.number(1..=MOST_WEIGHT, "")
}

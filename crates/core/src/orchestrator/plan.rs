//! Three-way apply, pure: what was applied before, what is in force (scaled by hand), what is wanted.

use std::collections::BTreeMap;

use holm_model::manifest;
use holm_model::name::Name;
use holm_model::service::{Application, ApplicationService, Replicas, ServiceSpec};
use holm_model::state::RunState;
use holm_model::time::Time;
use holm_model::view::PlannedChange;
use holm_model::wish::{ServiceWish, SpecBytes, Work};
use serde_json::Value;

use super::advice;
use super::generations::{GenerationRow, Said};

/// The services of the next generation, and what that changes, in words.
pub(super) fn merge(
    old: &BTreeMap<Name, ServiceWish>,
    new: &Application,
    generation: u64,
    now: Time,
) -> (BTreeMap<Name, ServiceWish>, Vec<PlannedChange>) {
    let mut services = BTreeMap::new();
    let mut changes = Vec::new();
    for (name, wanted) in &new.services {
        let (service, change) = match old.get(name).filter(|old| old.run_of.is_none()) {
            None => (create(wanted, generation, now), planned("create", name, vec![first_replicas(wanted)])),
            Some(known) => update(name, known, wanted, generation, now),
        };
        services.insert(name.clone(), service);
        changes.push(change);
    }
    for (name, known) in old.iter().filter(|(name, _)| !new.services.contains_key(*name)) {
        match &known.run_of {
            // What has begun is not the manifest's business, as long as there is what began it.
            Some(run) if new.services.contains_key(&run.service) => {
                services.insert(name.clone(), known.clone());
            }
            Some(_) => {}
            None => changes.push(planned("remove", name, Vec::new())),
        }
    }
    (services, changes)
}

/// What one generation changed against another, in words.
pub(super) fn between(before: &GenerationRow, after: &GenerationRow) -> Vec<PlannedChange> {
    let of = |name: &Name, said: &Said| match before.services.get(name) {
        None => Some(planned("create", name, vec![replicas_of(said.replicas)])),
        Some(old) if old == said => None,
        Some(old) => {
            let mut details =
                if old.spec == said.spec { Vec::new() } else { differences(&old.spec, &said.spec) };
            if old.replicas != said.replicas {
                details.push(format!("replicas: {} → {}", text(old.replicas), text(said.replicas)));
            }
            Some(planned("change", name, details))
        }
    };
    let gone = before.services.keys().filter(|name| !after.services.contains_key(*name));
    let changed = after.services.iter().filter_map(|(name, said)| of(name, said));
    changed.chain(gone.map(|name| planned("remove", name, Vec::new()))).collect()
}

fn create(wanted: &ApplicationService, generation: u64, now: Time) -> ServiceWish {
    ServiceWish {
        spec: SpecBytes::encode(&wanted.spec),
        generation,
        replicas: wanted.replicas,
        applied_replicas: wanted.replicas,
        run: RunState::Run,
        restarts: 0,
        promoted: generation,
        due: Some(now),
        work: Work { begun: Some(now), ..Work::default() },
        run_of: None,
    }
}

fn update(
    name: &Name,
    known: &ServiceWish,
    wanted: &ApplicationService,
    generation: u64,
    now: Time,
) -> (ServiceWish, PlannedChange) {
    let mut service = known.clone();
    let mut details = Vec::new();
    let spec = SpecBytes::encode(&wanted.spec);
    if spec != known.spec {
        details = differences(&known.spec, &spec);
        let (due, late, pending) = (known.due, known.work.late, known.work.pending);
        service.begin(now);
        if has_same_times(&known.spec, &wanted.spec) {
            (service.due, service.work.pending) = (due, pending);
        }
        if late {
            // What its deadline has stopped runs again, with another specification.
            service.run = RunState::Run;
        }
        service.spec = spec;
        service.generation = generation;
    }
    let scaled_itself = known.spec.decode().is_ok_and(|before| before.scale.is_some());
    if let (Some(scale), Replicas::Number(number)) = (&wanted.spec.scale, known.replicas) {
        let within = Replicas::Number(scale.within(number));
        details.push(format!("replicas: {}, scaled by itself {scale}", from_to(known.replicas, within)));
        (service.replicas, service.applied_replicas) = (within, wanted.replicas);
    } else if wanted.replicas != known.applied_replicas || scaled_itself && wanted.spec.scale.is_none() {
        details.push(format!("replicas: {} → {}", text(known.replicas), text(wanted.replicas)));
        service.replicas = wanted.replicas;
        service.applied_replicas = wanted.replicas;
    } else if known.replicas != wanted.replicas {
        details.push(format!(
            "replicas stay {} as scaled by hand (the manifest says {}, as before)",
            text(known.replicas),
            text(wanted.replicas)
        ));
    }
    let action = if service == *known { "keep" } else { "change" };
    (service, planned(action, name, details))
}

/// What was due before is due as well.
fn has_same_times(old: &SpecBytes, new: &ServiceSpec) -> bool {
    let old = old.decode().ok();
    let times = |spec: &ServiceSpec| spec.kind.cron().map(|cron| (cron.schedule.clone(), cron.zone.clone()));
    old.as_ref().and_then(times) == times(new)
}

fn from_to(old: Replicas, new: Replicas) -> String {
    if old == new { text(new) } else { format!("{} → {}", text(old), text(new)) }
}

fn first_replicas(wanted: &ApplicationService) -> String {
    let scale = wanted.spec.scale.as_ref().map(|scale| format!(", scaled by itself {scale}"));
    format!("{}{}", replicas_of(wanted.replicas), scale.unwrap_or_default())
}

fn planned(action: &str, name: &Name, details: Vec<String>) -> PlannedChange {
    PlannedChange { action: action.to_owned(), service: name.to_string(), details }
}

fn text(replicas: Replicas) -> String {
    match replicas {
        Replicas::Number(number) => number.to_string(),
        Replicas::PerNode => "per-node".to_owned(),
    }
}

fn replicas_of(replicas: Replicas) -> String {
    format!("replicas: {}", text(replicas))
}

/// Field by field what differs between two specifications, in the words of a manifest.
fn differences(old: &SpecBytes, new: &SpecBytes) -> Vec<String> {
    // Replicas are compared by whoever knows what people scaled to.
    let replicas = Replicas::Number(1);
    let value = |bytes: &SpecBytes| {
        bytes.decode().ok().map(|spec| manifest::show_service(&ApplicationService { spec, replicas }))
    };
    let (Some(old), Some(new)) = (value(old), value(new)) else {
        return vec!["specification".to_owned()];
    };
    let mut found = Vec::new();
    compare("", &old, &new, &mut found);
    found
}

fn compare(path: &str, old: &Value, new: &Value, found: &mut Vec<String>) {
    match (old, new) {
        (Value::Object(_), Value::Object(_) | Value::Null) | (Value::Null, Value::Object(_)) => {
            let none = serde_json::Map::new();
            let (a, b) = (old.as_object().unwrap_or(&none), new.as_object().unwrap_or(&none));
            let keys: std::collections::BTreeSet<_> = a.keys().chain(b.keys()).collect();
            for key in keys {
                let below = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                let get = |of: &serde_json::Map<String, Value>| of.get(key).cloned().unwrap_or(Value::Null);
                compare(&below, &get(a), &get(b), found);
            }
        }
        _ if old == new => {}
        _ => found.push(format!("{path}: {} → {}", shown(path, old), shown(path, new))),
    }
}

/// Plans and histories are printed, copied and kept: what [looks like a secret](advice) is not in them.
fn shown(path: &str, value: &Value) -> String {
    let hidden = || "(hidden)".to_owned();
    match value {
        Value::Null => "(not set)".to_owned(),
        Value::String(text) => {
            let variable = path.strip_prefix("env.");
            let secret = advice::is_secret(text) || variable.is_some_and(|name| is_open(name, text));
            if secret { hidden() } else { text.clone() }
        }
        Value::Array(words) => {
            let veil = |word: &Value| match word.as_str() {
                Some(text) if advice::is_secret_word(text) => hidden().into(),
                _ => word.clone(),
            };
            Value::Array(words.iter().map(veil).collect()).to_string()
        }
        other => other.to_string(),
    }
}

fn is_open(variable: &str, value: &str) -> bool {
    advice::looks_secret(variable) && !value.trim().is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;
    use holm_model::scale::{Scale, ScaleBy};

    const NOW: Time = Time(1);

    fn application(image: &str, replicas: u32) -> Application {
        let mut spec = ServiceSpec::new(Name::new("container").unwrap(), Vec::new());
        spec.image = Some(image.to_owned());
        let service = ApplicationService { spec, replicas: Replicas::Number(replicas) };
        let name = Name::new("shop").unwrap();
        Application { name, services: [(Name::new("web").unwrap(), service)].into() }
    }

    #[test]
    fn what_was_scaled_by_hand_stays_until_the_manifest_changes_it() {
        let web = Name::new("web").unwrap();
        let (mut services, changes) = merge(&BTreeMap::new(), &application("a:1", 2), 1, NOW);
        assert_eq!(changes[0].action, "create");
        services.get_mut(&web).unwrap().replicas = Replicas::Number(5);

        let (again, changes) = merge(&services, &application("a:1", 2), 2, NOW);
        assert_eq!(again[&web].replicas, Replicas::Number(5));
        assert_eq!(again[&web].generation, 1, "nothing to recreate");
        assert_eq!(changes[0].action, "keep");
        assert!(changes[0].details[0].contains("scaled by hand"), "{changes:?}");

        let (scaled, _) = merge(&again, &application("a:1", 3), 3, NOW);
        assert_eq!(scaled[&web].replicas, Replicas::Number(3));
        assert_eq!(scaled[&web].generation, 1);
    }

    #[test]
    fn what_is_scaled_by_itself_stays_within_its_bounds() {
        let web = Name::new("web").unwrap();
        let scaled = |min, max| {
            let mut application = application("a:1", min);
            let by = ScaleBy::Cpu(70);
            let scale =
                Scale { min, max, by, stabilization: Scale::STABILIZATION, cooldown: Scale::COOLDOWN };
            application.services.values_mut().for_each(|web| web.spec.scale = Some(scale.clone()));
            application
        };
        let (mut services, changes) = merge(&BTreeMap::new(), &scaled(1, 10), 1, NOW);
        assert_eq!(changes[0].details, ["replicas: 1, scaled by itself from 1 to 10 by cpu 70%"]);
        services.get_mut(&web).unwrap().replicas = Replicas::Number(7);
        let (same, changes) = merge(&services, &scaled(1, 10), 2, NOW);
        assert_eq!((changes[0].action.as_str(), same[&web].replicas), ("keep", Replicas::Number(7)));
        let (fewer, changes) = merge(&services, &scaled(2, 5), 3, NOW);
        assert_eq!(fewer[&web].replicas, Replicas::Number(5));
        assert!(changes[0].details.iter().any(|told| told.starts_with("replicas: 7 → 5")), "{changes:?}");
        let (by_hand, _) = merge(&services, &application("a:1", 3), 4, NOW);
        assert_eq!(by_hand[&web].replicas, Replicas::Number(3), "the manifest says another number");
    }

    #[test]
    fn a_changed_specification_is_shown_field_by_field() {
        let (old, _) = merge(&BTreeMap::new(), &application("a:1", 1), 1, NOW);
        let (new, changes) = merge(&old, &application("a:2", 1), 2, NOW);
        assert_eq!(changes[0].details, ["image: a:1 → a:2"]);
        assert_eq!(new[&Name::new("web").unwrap()].generation, 2);
    }

    #[test]
    fn what_looks_like_a_secret_is_in_no_plan() {
        let (old, _) = merge(&BTreeMap::new(), &application("a:1", 1), 1, NOW);
        let mut changed = application("a:1", 1);
        for web in changed.services.values_mut() {
            let env =
                [("API_PASSWORD", "hunter2"), ("DB", "postgres://me:hunter2@db/shop"), ("LOG", "debug")];
            web.spec.env = env.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
            web.spec.command = ["web", "--token=hunter2", "-v"].map(str::to_owned).into();
        }
        let (_, changes) = merge(&old, &changed, 2, NOW);
        let told = changes[0].details.join("\n");
        assert!(!told.contains("hunter2"), "{told}");
        assert!(told.contains("env.API_PASSWORD: (not set) → (hidden)"), "{told}");
        assert!(told.contains("env.LOG: (not set) → debug"), "{told}");
        assert!(told.contains(r#"["web","(hidden)","-v"]"#), "{told}");
    }

    #[test]
    fn a_changed_duration_is_shown_in_the_words_of_the_manifest() {
        let (old, _) = merge(&BTreeMap::new(), &application("a:1", 1), 1, NOW);
        let mut changed = application("a:1", 1);
        changed.services.values_mut().for_each(|web| web.spec.grace = std::time::Duration::from_secs(90));
        let (_, changes) = merge(&old, &changed, 2, NOW);
        assert_eq!(changes[0].details, ["stop.grace: (not set) → 1m30s"]);
    }

    #[test]
    fn a_service_that_is_left_out_is_removed() {
        let (old, _) = merge(&BTreeMap::new(), &application("a:1", 1), 1, NOW);
        let empty = Application { name: Name::new("shop").unwrap(), services: BTreeMap::new() };
        let (services, changes) = merge(&old, &empty, 2, NOW);
        assert!(services.is_empty());
        assert_eq!(changes[0].action, "remove");
    }
}

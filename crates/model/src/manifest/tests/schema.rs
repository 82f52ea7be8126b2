//! The schema says the same as the reader, as far as a schema can.

use serde_json::{Value, json};

use super::{BUILDING, process};
use crate::manifest::keys::{self, Keys};
use crate::manifest::{parse, schema};

/// Enough of a validator for our schema; patterns are left to editors.
fn accepts(schema: &Value, root: &Value, value: &Value) -> bool {
    if let Some(path) = schema["$ref"].as_str() {
        let target = root.pointer(path.trim_start_matches('#')).unwrap_or_else(|| panic!("no {path}"));
        return accepts(target, root, value);
    }
    let number = |key: &str| schema[key].as_f64();
    let any = schema["anyOf"].as_array().is_none_or(|all| all.iter().any(|s| accepts(s, root, value)));
    let words = schema["enum"].as_array().is_none_or(|words| words.contains(value));
    let range = value.as_f64().is_none_or(|n| {
        number("minimum").is_none_or(|least| n >= least) && number("maximum").is_none_or(|most| n <= most)
    });
    any && words
        && range
        && has_type(schema, value)
        && members(schema, root, value)
        && items(schema, root, value)
}

fn has_type(schema: &Value, value: &Value) -> bool {
    let is = |name: &Value| match name.as_str() {
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("number") => value.is_number(),
        Some("integer") => value.is_u64() || value.is_i64(),
        Some("boolean") => value.is_boolean(),
        other => panic!("type {other:?} is not expected in our schema"),
    };
    match &schema["type"] {
        Value::Null => true,
        Value::Array(names) => names.iter().any(is),
        name => is(name),
    }
}

fn members(schema: &Value, root: &Value, value: &Value) -> bool {
    let Some(object) = value.as_object() else { return true };
    let required = schema["required"]
        .as_array()
        .is_none_or(|keys| keys.iter().all(|key| object.contains_key(key.as_str().unwrap_or_default())));
    let least = schema["minProperties"].as_u64().is_none_or(|least| object.len() as u64 >= least);
    required
        && least
        && object.iter().all(|(key, value)| {
            match (&schema["properties"][key], &schema["additionalProperties"]) {
                (Value::Null, Value::Null) => true,
                (Value::Null, Value::Bool(allowed)) => *allowed,
                (Value::Null, other) => accepts(other, root, value),
                (property, _) => accepts(property, root, value),
            }
        })
}

fn items(schema: &Value, root: &Value, value: &Value) -> bool {
    let Some(list) = value.as_array() else { return true };
    let least = schema["minItems"].as_u64().is_none_or(|least| list.len() as u64 >= least);
    least && (schema["items"].is_null() || list.iter().all(|item| accepts(&schema["items"], root, item)))
}

fn accepts_text(text: &str) -> bool {
    let schema = schema();
    accepts(&schema, &schema, &serde_saphyr::from_str(text).unwrap())
}

#[test]
fn the_schema_has_the_keys_of_the_reader() {
    let schema = schema();
    let defs = &schema["$defs"];
    let cases: [(&Value, Keys); 14] = [
        (&schema, keys::TOP),
        (&defs["Service"], keys::SERVICE),
        (&defs["Step"], keys::STEP),
        (&defs["Volume"]["anyOf"][1], keys::VOLUME),
        (&defs["Port"]["anyOf"][1], keys::PORT),
        (&defs["Resources"], keys::RESOURCES),
        (&defs["Placement"], keys::PLACEMENT),
        (&defs["Restart"], keys::RESTART),
        (&defs["Health"], keys::HEALTH),
        (&defs["Stop"], keys::STOP),
        (&defs["Expose"]["anyOf"][1], keys::EXPOSE),
        (&defs["Connect"], keys::CONNECT),
        (&defs["Scale"], keys::SCALE),
        (&defs["Metric"], keys::METRIC),
    ];
    for (schema, keys) in cases {
        let mut known = keys.known.to_vec();
        known.sort_unstable();
        let properties: Vec<&str> =
            schema["properties"].as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(properties, known);
        assert_eq!(schema["additionalProperties"], json!(false), "{known:?}");
    }
}

#[test]
fn every_key_is_described() {
    fn check(schema: &Value, path: &str) {
        for (key, property) in schema["properties"].as_object().into_iter().flatten() {
            assert!(property["description"].is_string(), "{path}.{key} has no description");
        }
    }
    let schema = schema();
    check(&schema, "");
    for (name, def) in schema["$defs"].as_object().unwrap() {
        check(def, name);
    }
}

#[test]
fn the_schema_accepts_what_the_reader_accepts() {
    for text in [
        BUILDING.to_owned(),
        process(
            "    ports: { http: auto }\n    health: { http: /, start: 0s }\n    ready: { exec: [true, 1] }\n    expose: 80\n",
        ),
        process(
            "    ports: { a: auto, b: 1 }\n    expose: { a: 80, b: { port: 81, at: [root] } }\n    stop: { drain: 1s }\n",
        ),
        process("    env: { A: 8080, B: true, C: on }\n    replicas: 0\n    user: 1000\n"),
        process("    before: [{ command: [a, 1] }, { command: [b], timeout: 1m }]\n"),
        process("    replicas: { total: 5, per-cluster: { min: 1, max: 3 } }\n"),
        process("    replicas: { per-cluster: { max: 3 } }\n"),
        process(
            "    placement: { near: { users: { lat: 1, lon: 1 }, latency: 5ms }, violated: { for: 30s, then: migrate } }\n",
        ),
        process(
            "    resources: { cpu: 1 }\n    scale: { max: 3, cpu: 70%, stabilization: 1m, cooldown: 0s }\n",
        ),
        process("    ports: { a: 1 }\n    scale: { min: 2, max: 3, metric: { name: queue, target: 0.5 } }\n"),
        process("    resources: { cpu: 1.5, memory: 100 }\n    ports: { a: { host: auto }, b: 65535 }\n"),
        process(
            "    volumes: [ { source: a, target: /b, read-only: true } ]\n    restart: {}\n    kind: service\n",
        ),
    ] {
        assert!(parse(&text, "x").is_ok(), "{}", parse(&text, "x").unwrap_err());
        assert!(accepts_text(&text), "{text}");
    }
}

#[test]
fn the_schema_refuses_what_has_the_wrong_shape() {
    for keys in [
        "    replicas: many\n",
        "    replicas: 10001\n",
        "    replcas: 2\n",
        "    before: [run]\n",
        "    before: [{ command: [] }]\n",
        "    before: [{ timeout: 1m }]\n",
        "    health: {}\n",
        "    health: { http: [/] }\n",
        "    health: { tcp: http, often: 1 }\n",
        "    ports: { http: auto }\n    ready: { tcp: http, failures: 0 }\n",
        "    ports: { http: auto }\n    expose: 0\n",
        "    ports: { http: auto }\n    expose: { http: { at: [root] } }\n",
        "    ports: { http: auto }\n    expose: { http: { port: 80, at: [node] } }\n",
        "    kind: demon\n",
        "    replicas: { total: 3 }\n",
        "    replicas: { per-cluster: { max: 0 } }\n",
        "    scale: 3\n",
        "    scale: { cpu: 70% }\n",
        "    scale: { max: 0, cpu: 70% }\n",
        "    env: [A]\n",
        "    env: { A: { B: 1 } }\n",
        "    ports: { http: 0 }\n",
        "    ports: { http: { node: 1 } }\n",
        "    resources: { cpu: [1] }\n",
        "    placement: { where: [x] }\n",
        "    placement: { strategy: worst-fit }\n",
        "    placement: { location: { lat: 91, lon: 0 } }\n",
        "    placement: { with: [{ service: web }] }\n",
        "    placement: { near: { users: { lat: 1, lon: 1 }, latency: 5ms }, violated: { then: stop } }\n",
        "    placement: { prefer: [{ where: \"true\", weight: 0 }] }\n",
        "    restart: always\n",
        "    restart: { policy: sometimes }\n",
        "    restart: { attempts: 1001 }\n",
        "    stop: {}\n",
        "    connects: [ { service: web } ]\n",
        "    connects: [ { service: web, port: p, latency: [1ms] } ]\n",
        "    volumes: [ { source: a } ]\n",
        "    workdir: [a]\n",
    ] {
        assert!(parse(&process(keys), "x").is_err(), "{keys}");
        assert!(!accepts_text(&process(keys)), "{keys}");
    }
    for text in [
        "holm: v2\napplication: a\nservices: { web: { runtime: x } }",
        "holm: v1\napplication: a\nservices: {}",
        "[]",
    ] {
        assert!(parse(text, "x").is_err());
        assert!(!accepts_text(text), "{text}");
    }
}

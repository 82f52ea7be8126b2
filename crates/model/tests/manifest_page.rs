//! `docs/manifest.md` says of each key what the schema says: `HOLM_DOCS=write` writes it anew.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Map, Value};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/manifest.md");
/// What people write below the line is theirs; the tables follow it.
const TABLES: &str = "<!-- what follows is written by crates/model/tests/manifest_page.rs -->\n";

struct Page<'a> {
    definitions: &'a Map<String, Value>,
    text: String,
    /// Named, and to be described in sections of their own.
    named: BTreeSet<String>,
}

impl Page<'_> {
    fn section(&mut self, title: &str, schema: &Value) {
        self.line(&format!("\n## {title}\n"));
        if let Some(words) = schema["description"].as_str() {
            self.line(&format!("{}\n", words.replace('\n', " ")));
        }
        self.text.push_str("| key | value | |\n| --- | --- | --- |\n");
        self.rows("", schema);
    }

    fn line(&mut self, text: &str) {
        self.text.push_str(text);
        self.text.push('\n');
    }

    fn rows(&mut self, prefix: &str, schema: &Value) {
        let required: Vec<&str> =
            schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        for (key, value) in schema["properties"].as_object().into_iter().flatten() {
            let path = format!("{prefix}{key}");
            let words =
                value["description"].as_str().unwrap_or_default().replace('\n', " ").replace('|', "\\|");
            let must = if required.contains(&&**key) { " (must be there)" } else { "" };
            let kind = self.kind(value);
            self.line(&format!("| `{path}` | {kind}{must} | {words} |"));
            self.inner(&path, value);
        }
        for way in schema["anyOf"].as_array().into_iter().flatten() {
            self.rows(prefix, way);
        }
    }

    /// Keys of a mapping that has no name of its own.
    fn inner(&mut self, path: &str, value: &Value) {
        if value["properties"].is_object() {
            self.rows(&format!("{path}."), value);
        }
        for way in value["anyOf"].as_array().into_iter().flatten() {
            self.inner(path, way);
        }
    }

    fn kind(&mut self, value: &Value) -> String {
        if let Some(name) = value["$ref"].as_str().and_then(|to| to.strip_prefix("#/$defs/")) {
            return self.named(name);
        }
        if let Some(ways) = value["anyOf"].as_array() {
            let mut kinds: Vec<String> = ways.iter().map(|way| self.kind(way)).collect();
            kinds.dedup();
            return kinds.join(" or ");
        }
        if let Some(words) = value["enum"].as_array().or(value["const"].as_array()) {
            return words.iter().map(|word| format!("`{}`", plain(word))).collect::<Vec<_>>().join(", ");
        }
        if value["const"] != Value::Null {
            return format!("`{}`", plain(&value["const"]));
        }
        match &value["type"] {
            Value::String(kind) if kind == "array" => format!("list of {}", self.kind(&value["items"])),
            Value::String(kind) if kind == "object" && value["additionalProperties"].is_object() => {
                format!("name: {}", self.kind(&value["additionalProperties"]))
            }
            Value::String(kind) if kind == "object" => "mapping".to_owned(),
            Value::String(kind) if kind == "integer" || kind == "number" => bounded(value),
            Value::String(kind) if kind == "string" => "text".to_owned(),
            Value::String(kind) => kind.clone(),
            Value::Array(_) => "text or number".to_owned(),
            _ => "text".to_owned(),
        }
    }

    fn named(&mut self, name: &str) -> String {
        let definition = &self.definitions[name];
        let has_keys = |schema: &Value| schema["properties"].as_object().is_some_and(|keys| !keys.is_empty());
        let ways = definition["anyOf"].as_array();
        if has_keys(definition) || ways.is_some_and(|ways| ways.iter().any(has_keys)) {
            self.named.insert(name.to_owned());
            return format!("[{name}](#{})", name.to_lowercase());
        }
        match name {
            "Name" => "name".to_owned(),
            _ => format!("{} (`{}`)", name.to_lowercase(), example(name)),
        }
    }
}

fn example(name: &str) -> &'static str {
    match name {
        "Duration" => "30s",
        "Cpu" => "500m",
        "Memory" => "256Mi",
        "Distance" => "20km",
        "Priority" => "high",
        _ => "…",
    }
}

fn plain(word: &Value) -> String {
    word.as_str().map_or_else(|| word.to_string(), str::to_owned)
}

fn bounded(value: &Value) -> String {
    match (&value["minimum"], &value["maximum"]) {
        (Value::Null, _) | (_, Value::Null) => "number".to_owned(),
        (least, most) => format!("{least} to {most}"),
    }
}

fn tables() -> String {
    let schema = holm_model::manifest::schema();
    let definitions = schema["$defs"].as_object().expect("definitions");
    let mut page = Page { definitions, text: String::new(), named: BTreeSet::new() };
    page.section("Manifest", &schema);
    let mut told = BTreeSet::new();
    while let Some(name) = page.named.iter().find(|name| !told.contains(*name)).cloned() {
        // The service first: the rest is read from there.
        let name = if told.is_empty() { "Service".to_owned() } else { name };
        page.section(&name, &definitions[&name]);
        told.insert(name);
    }
    page.text
}

#[test]
fn the_page_has_every_key() {
    let page = std::fs::read_to_string(Path::new(PAGE)).unwrap_or_default();
    let (head, _) = page.split_once(TABLES).unwrap_or((&page, ""));
    let now = format!("{head}{TABLES}{}", tables());
    if std::env::var("HOLM_DOCS").is_ok_and(|wish| wish == "write") {
        std::fs::write(PAGE, &now).unwrap();
    }
    let kept = std::fs::read_to_string(Path::new(PAGE)).unwrap_or_default();
    assert!(kept == now, "docs/manifest.md is not what the schema says; write it with HOLM_DOCS=write");
}

//! The schema of what `--json` prints, for the tests.

use serde_json::Value;

use crate::driver::abi;

fn text() -> Value {
    let text = include_str!("../../../docs/rloop-json-schema.json");
    serde_json::from_str(text).expect("is JSON")
}

/// What a value has that the schema of this command's output does not allow.
pub(super) fn errors(command: &str, value: &Value) -> String {
    let mut schema = text();
    let schema = schema.as_object_mut().expect("an object");
    schema.remove("oneOf");
    schema.insert("$ref".into(), format!("#/$defs/{command}").into());
    let schema = Value::Object(schema.clone());
    let validator = jsonschema::validator_for(&schema).expect("is a schema");
    let errors = validator.iter_errors(value).map(|error| error.to_string());
    errors.collect::<Vec<_>>().join("; ")
}

/// Panics if a value is not what the schema allows this command to print.
pub(super) fn check(command: &str, value: &Value) {
    assert_eq!(errors(command, value), "", "{value}");
}

#[test]
fn the_schema_knows_the_names_that_the_module_knows() {
    let schema = text();
    let at = |pointer: &str| schema.pointer(pointer).expect("is there").clone();
    let device = "/$defs/device/properties";
    assert_eq!(
        at(&format!("{device}/provider/enum")),
        serde_json::json!(abi::PROVIDERS)
    );
    assert_eq!(
        at(&format!("{device}/why/enum")),
        serde_json::json!(abi::REASONS)
    );
    let states: Vec<&str> = std::iter::once("absent").chain(abi::STATES).collect();
    assert_eq!(
        at("/$defs/extent/properties/state/enum"),
        serde_json::json!(states)
    );
    let counters = at("/$defs/stat/properties/counters/required");
    assert_eq!(counters, serde_json::json!(abi::COUNTER_NAMES));
}

#[test]
fn the_module_s_readme_explains_each_reason_and_counter() {
    let readme = include_str!("../../../kernel-module/README.md");
    // Names are explained in the first column of a table, which may hold two.
    let explained = |name: &str| {
        let quoted = format!("`{name}`");
        let first = |line: &str| {
            line.strip_prefix("| ")?
                .split(" |")
                .next()
                .map(str::to_owned)
        };
        readme
            .lines()
            .filter_map(first)
            .any(|cell| cell.contains(&quoted))
    };
    for name in abi::REASONS.iter().chain(&abi::COUNTER_NAMES) {
        assert!(explained(name), "{name}");
    }
    assert!(!explained("nothing"));
}

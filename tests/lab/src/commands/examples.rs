//! Public items whose documentation has no example.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::error::{Context, Result};

/// What must have an example. Methods are shown with their type, or have their own where that does
/// not show them.
const KINDS: [&str; 8] = ["module", "struct", "enum", "union", "trait", "type_alias", "function", "macro"];

/// The paths of the public items without an example, from the JSON of rustdoc.
pub(crate) fn missing(json: &[u8]) -> Result<BTreeSet<String>> {
    let described: Value = serde_json::from_slice(json).context(|| "read the JSON of rustdoc".into())?;
    let mut missing = BTreeSet::new();
    let root = &described["root"];
    visit(&described["index"], root, "", &mut missing);
    Ok(missing)
}

/// Looks at one item, and at those of a module.
fn visit(index: &Value, id: &Value, parent: &str, missing: &mut BTreeSet<String>) {
    let item = &index[id.to_string()];
    let Some((kind, inner)) = item["inner"].as_object().and_then(|inner| inner.iter().next()) else { return };
    if kind == "use" {
        return visit(index, &inner["id"], parent, missing);
    }
    let name = item["name"].as_str().unwrap_or_default();
    let path = if parent.is_empty() { name.to_owned() } else { format!("{parent}::{name}") };
    if KINDS.contains(&kind.as_str()) && !has_example(item["docs"].as_str().unwrap_or_default()) {
        missing.insert(path.clone());
    }
    for child in inner["items"].as_array().filter(|_| kind == "module").into_iter().flatten() {
        visit(index, child, &path, missing);
    }
}

/// Is there a block of Rust, which is compiled with the tests?
fn has_example(docs: &str) -> bool {
    let mut fences = docs.lines().filter_map(|line| line.trim_start().strip_prefix("```")).step_by(2);
    fences.any(|tags| tags.split(',').all(|tag| ["", "rust", "no_run", "should_panic"].contains(&tag.trim())))
}

#[cfg(test)]
mod tests {
    use super::missing;

    #[test]
    fn items_are_found_by_their_public_paths() {
        let json = r#"{ "root": 0, "index": {
            "0": { "name": "a", "docs": "Text.\n\n```\nlet x;\n```", "inner": { "module": { "items": [1, 2, 5] } } },
            "1": { "name": "b", "docs": "```toml\n```\n```no_run\nb();\n```", "inner": { "function": {} } },
            "2": { "name": null, "docs": null, "inner": { "use": { "id": 3 } } },
            "3": { "name": "C", "docs": "```text\nlet x;\n```", "inner": { "struct": {} } },
            "4": { "name": "private", "docs": null, "inner": { "function": {} } },
            "5": { "name": "d", "docs": null, "inner": { "module": { "items": [6] } } },
            "6": { "name": "e", "docs": null, "inner": { "constant": {} } }
        } }"#;
        assert_eq!(Vec::from_iter(missing(json.as_bytes()).unwrap()), ["a::C", "a::d"]);
    }
}

//! What docs/schema/output-1.json says of an object. Stricter than JSON Schema: every key that is
//! written must be described.

use serde_json::Value;

fn schema() -> Value {
    serde_json::from_str(include_str!("../../../docs/schema/output-1.json")).unwrap()
}

/// Panics if the text is not a row of objects as this definition says. Returns them.
#[track_caller]
pub(crate) fn objects(definition: &str, text: &str) -> Vec<Value> {
    let schema = schema();
    let rule = &schema["$defs"][definition];
    assert!(rule.is_object(), "the schema has no {definition}");
    let is_one = schema["anyOf"].as_array().unwrap().iter().any(|one| one["$ref"] == format!("#/$defs/{definition}"));
    assert!(is_one, "{definition} is not among all");
    let objects = serde_json::Deserializer::from_str(text).into_iter().collect::<Result<Vec<Value>, _>>().unwrap();
    for object in &objects {
        if let Err(why) = check(&schema, rule, object) {
            panic!("{definition}: {why}\n{object}");
        }
    }
    objects
}

fn check(schema: &Value, rule: &Value, value: &Value) -> Result<(), String> {
    if let Some(path) = rule["$ref"].as_str() {
        check(schema, schema.pointer(path.strip_prefix('#').unwrap()).unwrap(), value)?;
    }
    let is_kind = |kind: &Value| match kind.as_str().unwrap() {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_u64(),
        "boolean" => value.is_boolean(),
        other => panic!("{other}"),
    };
    let kinds = rule["type"].as_array().map_or(std::slice::from_ref(&rule["type"]), Vec::as_slice);
    let allowed = |key: &str, is_so: &dyn Fn(&Value) -> bool| rule.get(key).is_none_or(is_so);
    let is_right = allowed("type", &|_| kinds.iter().any(is_kind))
        && allowed("const", &|only| only == value)
        && allowed("enum", &|words| words.as_array().unwrap().contains(value))
        && allowed("minimum", &|least| value.as_u64() >= least.as_u64())
        && allowed("maximum", &|most| value.as_u64() <= most.as_u64());
    if !is_right {
        return Err(format!("{value} is not {rule}"));
    }
    for item in rule.get("items").and_then(|_| value.as_array()).into_iter().flatten() {
        check(schema, &rule["items"], item)?;
    }
    let Some(properties) = rule["properties"].as_object() else { return Ok(()) };
    for key in rule["required"].as_array().into_iter().flatten() {
        value.get(key.as_str().unwrap()).ok_or_else(|| format!("it lacks {key}"))?;
    }
    value.as_object().unwrap().iter().try_for_each(|(key, value)| {
        let rule = properties.get(key).ok_or_else(|| format!("nothing is said of {key}"))?;
        check(schema, rule, value).map_err(|why| format!("{key}: {why}"))
    })
}

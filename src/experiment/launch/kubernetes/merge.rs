//! A template of the user's over what we write.

use serde_json::Value;

/// Puts `over` into `value`: mappings key by key, lists of named items by their names, all else as it is there.
pub(super) fn merge(value: &mut Value, over: Value) {
    match (value, over) {
        (Value::Object(value), Value::Object(over)) => {
            for (key, over) in over {
                match value.get_mut(&key) {
                    Some(there) => merge(there, over),
                    None => {
                        value.insert(key, over);
                    }
                }
            }
        }
        (Value::Array(value), Value::Array(over))
            if value.iter().chain(&over).all(|item| item["name"].is_string()) =>
        {
            for over in over {
                match value.iter_mut().find(|item| item["name"] == over["name"]) {
                    Some(there) => merge(there, over),
                    None => value.push(over),
                }
            }
        }
        (value, over) => *value = over,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn named_items_are_merged_and_others_replaced() {
        let mut pod = json!({"spec": {"containers": [{"name": "trial", "image": "a", "command": ["sh", "-c"]}], "x": 1}});
        merge(
            &mut pod,
            json!({"spec": {"containers": [{"name": "trial", "image": "b"}, {"name": "proxy"}], "tolerations": [{"key": "gpu"}]}}),
        );
        assert_eq!(
            pod,
            json!({"spec": {"containers": [{"name": "trial", "image": "b", "command": ["sh", "-c"]}, {"name": "proxy"}], "x": 1, "tolerations": [{"key": "gpu"}]}})
        );
        merge(&mut pod, json!({"spec": {"containers": [{"name": "trial", "command": ["true"]}]}}));
        assert_eq!(pod["spec"]["containers"][0]["command"], json!(["true"]));
    }
}

//! The description of the API, made from [`ROUTES`] and the types themselves.

use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use crate::object::API_VERSION;
use crate::route::{ROUTES, Route};

const DESCRIPTION: &str = "HTTP/1.1 on a unix socket, by default /run/weft/weft.sock. \
                           Whoever may write to it is root on this host.";

/// OpenAPI 3.1 (whose schemas are JSON Schema 2020-12).
pub fn openapi() -> Value {
    let mut settings = SchemaSettings::draft2020_12();
    settings.definitions_path = "/components/schemas".into();
    let mut generator = SchemaGenerator::new(settings);
    let mut paths: Map<String, Value> = Map::new();
    for route in ROUTES {
        let operation = operation(route, &mut generator);
        let methods = paths.entry(route.path).or_insert_with(|| json!({}));
        methods[route.method.word().to_lowercase()] = operation;
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "weft agent",
            "description": DESCRIPTION,
            "version": API_VERSION,
            "license": { "name": "Apache-2.0" },
        },
        "paths": paths,
        "components": { "schemas": generator.take_definitions(true) },
    })
}

fn operation(route: &Route, generator: &mut SchemaGenerator) -> Value {
    let variables = route.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let in_path =
        variables.map(|name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }));
    let in_query = route.query.iter().map(|(name, meaning)| {
        json!({ "name": name, "in": "query", "description": meaning, "schema": { "type": "string" } })
    });
    let parameters: Vec<_> = in_path.chain(in_query).collect();
    let mut operation = json!({ "summary": route.summary });
    if !parameters.is_empty() {
        operation["parameters"] = json!(parameters);
    }
    if let Some(schema) = route.request {
        let content = json!({ "application/json": { "schema": schema(generator) } });
        operation["requestBody"] = json!({ "required": true, "content": content });
    }
    let mut responses = Map::new();
    for reply in route.replies {
        let mut response = json!({ "description": reply.when });
        if let Some(schema) = reply.body {
            response["content"] = json!({ "application/json": { "schema": schema(generator) } });
        }
        responses.insert(reply.status.to_string(), response);
    }
    operation["responses"] = Value::Object(responses);
    operation
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_is_described_and_every_reference_leads_somewhere() {
        let description = openapi();
        for route in ROUTES {
            let operation = &description["paths"][route.path][route.method.word().to_lowercase()];
            assert_eq!(operation["summary"], route.summary);
        }
        let text = description.to_string();
        for reference in text.split("\"$ref\":\"#/components/schemas/").skip(1) {
            let name = reference.split('"').next().expect("a closing quote");
            assert!(description["components"]["schemas"].get(name).is_some(), "{name}");
        }
    }
}

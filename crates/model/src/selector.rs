//! Label selectors, as Kubernetes has them (`metav1.LabelSelector`).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::invalid::{Invalid, InvalidFields};
use crate::name::Labels;

/// What people write.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct SelectorSpec {
    /// Labels with just these values.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub match_labels: BTreeMap<String, String>,
    /// What else must be true.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub match_expressions: Vec<RequirementSpec>,
}

/// One thing that must be true of labels.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RequirementSpec {
    /// The label.
    pub key: String,
    /// `In`, `NotIn`, `Exists` or `DoesNotExist`.
    pub operator: String,
    /// For `In` and `NotIn`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<String>,
}

/// What it means. Two that are written in another order are equal. Without requirements, it matches everything.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Selector(BTreeSet<Requirement>);

/// One thing that must be true of labels.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Requirement {
    /// The label has one of these values.
    In(String, BTreeSet<String>),
    /// It has none of these, or is not there.
    NotIn(String, BTreeSet<String>),
    /// It is there.
    Exists(String),
    /// It is not there.
    DoesNotExist(String),
}

impl Requirement {
    fn is_met(&self, labels: &Labels) -> bool {
        match self {
            Requirement::In(key, values) => labels.get(key).is_some_and(|value| values.contains(value)),
            Requirement::NotIn(key, values) => labels.get(key).is_none_or(|value| !values.contains(value)),
            Requirement::Exists(key) => labels.contains_key(key),
            Requirement::DoesNotExist(key) => !labels.contains_key(key),
        }
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |values: &BTreeSet<String>| values.iter().cloned().collect::<Vec<_>>().join(",");
        match self {
            Requirement::In(key, values) if values.len() == 1 => write!(f, "{key}={}", list(values)),
            Requirement::In(key, values) => write!(f, "{key} in ({})", list(values)),
            Requirement::NotIn(key, values) => write!(f, "{key} notin ({})", list(values)),
            Requirement::Exists(key) => f.write_str(key),
            Requirement::DoesNotExist(key) => write!(f, "!{key}"),
        }
    }
}

/// As kubectl writes them.
impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<_> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&parts.join(","))
    }
}

impl FromIterator<Requirement> for Selector {
    fn from_iter<T: IntoIterator<Item = Requirement>>(requirements: T) -> Self {
        Self(requirements.into_iter().collect())
    }
}

impl Selector {
    /// Whether all that it asks for is true of these labels.
    pub fn matches(&self, labels: &Labels) -> bool {
        self.0.iter().all(|requirement| requirement.is_met(labels))
    }

    /// A label that all whom it matches have, and the values of which it has one; `None` if it asks for no such label.
    pub fn anchor(&self) -> Option<(&str, &BTreeSet<String>)> {
        self.0.iter().find_map(|requirement| match requirement {
            Requirement::In(key, values) => Some((key.as_str(), values)),
            _ => None,
        })
    }

    /// Whether it asks for nothing.
    pub fn is_everything(&self) -> bool {
        self.0.is_empty()
    }
}

impl SelectorSpec {
    /// What it means, or what is wrong with it: path of the field below the selector, value, and remedy.
    pub fn resolve(&self) -> Result<Selector, Vec<(String, String, String)>> {
        let mut faults = Vec::new();
        let mut requirements = BTreeSet::new();
        for (key, value) in &self.match_labels {
            check_key(key, "matchLabels", &mut faults);
            check_value(value, &format!("matchLabels[{key}]"), &mut faults);
            requirements.insert(Requirement::In(key.clone(), BTreeSet::from([value.clone()])));
        }
        for (place, expression) in self.match_expressions.iter().enumerate() {
            requirements.extend(expression.resolve(&format!("matchExpressions[{place}]"), &mut faults));
        }
        if faults.is_empty() { Ok(Selector(requirements)) } else { Err(faults) }
    }
}

/// What is wrong with labels that `field` of an object has, if anything is.
pub fn check_labels(object: &str, field: &str, labels: &Labels) -> Result<(), InvalidFields> {
    let mut faults = Vec::new();
    for (key, value) in labels {
        check_key(key, field, &mut faults);
        check_value(value, &format!("{field}[{key}]"), &mut faults);
    }
    let invalid = |(field, value, remedy)| Invalid { object: object.to_owned(), field, value, remedy };
    if faults.is_empty() { Ok(()) } else { Err(InvalidFields(faults.into_iter().map(invalid).collect())) }
}

type Faults = Vec<(String, String, String)>;

impl RequirementSpec {
    fn resolve(&self, field: &str, faults: &mut Faults) -> Option<Requirement> {
        let RequirementSpec { key, operator, values } = self;
        check_key(key, &format!("{field}.key"), faults);
        for (place, value) in values.iter().enumerate() {
            check_value(value, &format!("{field}.values[{place}]"), faults);
        }
        let set = || values.iter().cloned().collect::<BTreeSet<_>>();
        let (requirement, wants_values) = match operator.as_str() {
            "In" => (Requirement::In(key.clone(), set()), true),
            "NotIn" => (Requirement::NotIn(key.clone(), set()), true),
            "Exists" => (Requirement::Exists(key.clone()), false),
            "DoesNotExist" => (Requirement::DoesNotExist(key.clone()), false),
            _ => {
                let remedy = "use In, NotIn, Exists or DoesNotExist";
                faults.push((format!("{field}.operator"), operator.clone(), remedy.to_owned()));
                return None;
            }
        };
        if wants_values == values.is_empty() {
            let remedy = if wants_values { "name at least one value" } else { "leave out the values" };
            faults.push((format!("{field}.values"), values.join(", "), format!("operator {operator}: {remedy}")));
        }
        Some(requirement)
    }
}

/// `[PREFIX/]NAME` (Kubernetes, "Labels and Selectors", syntax and character set).
fn check_key(key: &str, field: &str, faults: &mut Faults) {
    let (prefix, name) = match key.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, key),
    };
    let is_dns = |text: &str| {
        let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.');
        (1..=253).contains(&text.len()) && text.bytes().all(inner)
    };
    if name.is_empty() || !is_word(name) || prefix.is_some_and(|prefix| !is_dns(prefix)) {
        let remedy = "a label's key is [PREFIX/]NAME: 1 to 63 letters, digits, '-', '_' and '.', beginning and ending \
                      with a letter or digit";
        faults.push((field.to_owned(), key.to_owned(), remedy.to_owned()));
    }
}

fn check_value(value: &str, field: &str, faults: &mut Faults) {
    if !is_word(value) {
        let remedy = "a label's value has at most 63 letters, digits, '-', '_' and '.', and begins and ends with a \
                      letter or digit";
        faults.push((field.to_owned(), value.to_owned(), remedy.to_owned()));
    }
}

/// Empty is one, too.
fn is_word(text: &str) -> bool {
    let is_end = |b: Option<u8>| b.is_none_or(|b| b.is_ascii_alphanumeric());
    let inner = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    text.len() <= 63 && text.bytes().all(inner) && is_end(text.bytes().next()) && is_end(text.bytes().last())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(text: &str) -> Labels {
        let pair = |pair: &str| pair.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned()));
        text.split(',').filter_map(pair).collect()
    }

    fn selector(json: &str) -> Selector {
        serde_json::from_str::<SelectorSpec>(json).expect("a selector").resolve().expect("a sound one")
    }

    #[test]
    fn operators_are_those_of_kubernetes() {
        let web = labels("app=web,tier=front");
        let none = labels("");
        for (json, matches_web, matches_none) in [
            ("{}", true, true),
            (r#"{"matchLabels":{"app":"web"}}"#, true, false),
            (r#"{"matchLabels":{"app":"web","tier":"back"}}"#, false, false),
            (r#"{"matchExpressions":[{"key":"app","operator":"In","values":["db","web"]}]}"#, true, false),
            (r#"{"matchExpressions":[{"key":"app","operator":"NotIn","values":["web"]}]}"#, false, true),
            (r#"{"matchExpressions":[{"key":"app","operator":"NotIn","values":["db"]}]}"#, true, true),
            (r#"{"matchExpressions":[{"key":"tier","operator":"Exists"}]}"#, true, false),
            (r#"{"matchExpressions":[{"key":"tier","operator":"DoesNotExist"}]}"#, false, true),
        ] {
            let selector = selector(json);
            assert_eq!((selector.matches(&web), selector.matches(&none)), (matches_web, matches_none), "{json}");
        }
    }

    #[test]
    fn what_is_written_in_another_order_is_the_same() {
        let one =
            r#"{"matchExpressions":[{"key":"a","operator":"In","values":["1","2"]},{"key":"b","operator":"Exists"}]}"#;
        let two =
            r#"{"matchExpressions":[{"key":"b","operator":"Exists"},{"key":"a","operator":"In","values":["2","1"]}]}"#;
        assert_eq!(selector(one), selector(two));
    }

    #[test]
    fn faults_name_field_and_remedy() {
        for (json, field, remedy) in [
            (r#"{"matchLabels":{"":"x"}}"#, "matchLabels", "[PREFIX/]NAME"),
            (r#"{"matchLabels":{"a b":"x"}}"#, "matchLabels", "[PREFIX/]NAME"),
            (r#"{"matchLabels":{"a":"-x"}}"#, "matchLabels[a]", "begins and ends"),
            (
                r#"{"matchExpressions":[{"key":"a","operator":"in","values":["x"]}]}"#,
                "matchExpressions[0].operator",
                "use In",
            ),
            (r#"{"matchExpressions":[{"key":"a","operator":"In"}]}"#, "matchExpressions[0].values", "at least one"),
            (
                r#"{"matchExpressions":[{"key":"a","operator":"Exists","values":["x"]}]}"#,
                "matchExpressions[0].values",
                "leave out",
            ),
        ] {
            let faults = serde_json::from_str::<SelectorSpec>(json).expect("a selector").resolve().expect_err(json);
            assert_eq!(faults.len(), 1, "{faults:?}");
            assert!(faults[0].0 == field && faults[0].2.contains(remedy), "{faults:?}");
        }
    }
}

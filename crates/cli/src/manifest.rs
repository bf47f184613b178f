//! Files of objects: YAML or JSON, several documents in one, each an object or a list of them.

use std::fmt;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;
use serde_saphyr::{MessageFormatter as _, Spanned, UserMessageFormatter};
use weft_api::{API_VERSION, Object, WRITABLE};

use crate::table::printable;

/// Kinds that weft keeps itself.
const READ_ONLY: &[&str] = &["Endpoint", "Node"];

/// Reads the objects of all `files`, of which `-` is standard input. All faults are reported together.
pub(crate) fn read(files: &[PathBuf]) -> Result<Vec<Object>> {
    let mut objects = Vec::new();
    let mut faults = Vec::new();
    for file in files {
        let (source, text) = load(file)?;
        match parse(&text) {
            Ok(parsed) => objects.extend(parsed),
            Err(found) => faults.extend(found.into_iter().map(|fault| format!("{source}: {fault}"))),
        }
    }
    if !faults.is_empty() {
        bail!(faults.join("\n"));
    }
    Ok(objects)
}

fn load(file: &Path) -> Result<(String, String)> {
    if file == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).context("cannot read standard input")?;
        return Ok(("standard input".to_owned(), text));
    }
    let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    Ok((file.display().to_string(), text))
}

/// What is wrong with a document.
#[derive(Debug, PartialEq, Eq)]
struct Fault {
    /// Counted from 1.
    document: usize,
    /// Of the file, counted from 1.
    line: usize,
    reason: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "document {}, line {}: {}", self.document, self.line, self.reason)
    }
}

/// The objects of a file, or the first fault of every document.
fn parse(text: &str) -> Result<Vec<Object>, Vec<Fault>> {
    let documents = documents(text);
    if documents.is_empty() {
        return Err(vec![Fault { document: 1, line: 1, reason: "there is no object".to_owned() }]);
    }
    let mut objects = Vec::new();
    let mut faults = Vec::new();
    for (index, document) in documents.into_iter().enumerate() {
        match document.parse() {
            Ok(parsed) => objects.extend(parsed),
            Err((line, reason)) => faults.push(Fault { document: index + 1, line, reason }),
        }
    }
    if faults.is_empty() { Ok(objects) } else { Err(faults) }
}

/// One document of a file.
struct Document<'a> {
    /// Line of the file that it begins in, counted from 1.
    line: usize,
    text: &'a str,
}

/// The documents that say anything. `---` in the first column always parts two of them (YAML 1.2.2, section 9.1.2).
fn documents(text: &str) -> Vec<Document<'_>> {
    let mut documents = Vec::new();
    let (mut begin, mut begin_line) = (0, 1);
    let mut at = 0;
    for (index, line) in text.split_inclusive('\n').enumerate() {
        if line.strip_prefix("---").is_some_and(|rest| rest.is_empty() || rest.starts_with(char::is_whitespace)) {
            documents.push(Document { line: begin_line, text: &text[begin..at] });
            (begin, begin_line) = (at + "---".len(), index + 1);
        }
        at += line.len();
    }
    documents.push(Document { line: begin_line, text: &text[begin..] });
    documents.retain(|document| !document.is_blank());
    documents
}

/// As much as tells what a document is.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Header {
    api_version: Option<Spanned<String>>,
    kind: Option<Spanned<String>>,
    items: Option<Vec<Header>>,
}

#[derive(Deserialize)]
struct Items {
    items: Vec<Object>,
}

/// Keys, values and lists of one document: what a cluster of 10,000 services has, ten times.
const NODES_MAX: usize = 10_000_000;

/// Line of the file, and reason.
type Reason = (usize, String);

impl Document<'_> {
    /// Whether it has only comments, directives and the mark of its end.
    fn is_blank(&self) -> bool {
        let says_nothing = |line: &str| matches!(line.trim(), "" | "...") || line.trim_start().starts_with(['#', '%']);
        self.text.lines().all(says_nothing)
    }

    fn parse(&self) -> Result<Vec<Object>, Reason> {
        let header: Header = self.read()?;
        let is_list = header.kind.as_ref().map_or(header.items.is_some(), |kind| kind.value == "List");
        if !is_list {
            let object = match self.check(&header)? {
                "NetworkPolicy" => Object::NetworkPolicy(self.read()?),
                "ClusterNetworkPolicy" => Object::ClusterNetworkPolicy(self.read()?),
                "Namespace" => Object::Namespace(self.read()?),
                "Service" => Object::Service(self.read()?),
                "EndpointSlice" => Object::EndpointSlice(self.read()?),
                _ => Object::Network(self.read()?),
            };
            return Ok(vec![object]);
        }
        for item in header.items.iter().flatten() {
            self.check(item)?;
        }
        Ok(self.read::<Items>()?.items)
    }

    /// Its kind, if it is one that people may write.
    fn check<'a>(&self, header: &'a Header) -> Result<&'a str, Reason> {
        let Some(kind) = &header.kind else {
            return Err((self.line, "an object has no kind".to_owned()));
        };
        let line = self.line_of(kind.referenced);
        let version = header.api_version.as_ref().map_or("", |version| &version.value);
        let kind = kind.value.as_str();
        match (version, kind) {
            known if WRITABLE.contains(&known) => Ok(kind),
            (API_VERSION, kind) if READ_ONLY.contains(&kind) => {
                Err((line, format!("kind {kind} is kept by weft itself, and cannot be written")))
            }
            _ => {
                let known: Vec<_> = WRITABLE.iter().map(|(version, kind)| format!("{kind} of {version}")).collect();
                let known = known.join(", ");
                Err((line, format!("unknown kind {kind:?} of apiVersion {version:?}: write {known}")))
            }
        }
    }

    fn read<'a, T: Deserialize<'a>>(&'a self) -> Result<T, Reason> {
        let budget = serde_saphyr::budget! { max_nodes: NODES_MAX, max_events: 2 * NODES_MAX };
        let options = serde_saphyr::options! { with_snippet: false, budget: budget };
        serde_saphyr::from_str_with_options(self.text, options).map_err(|error| {
            let line = error.location().map_or(self.line, |location| self.line_of(location));
            (line, printable(&UserMessageFormatter.format_message(&error)))
        })
    }

    fn line_of(&self, location: serde_saphyr::Location) -> usize {
        self.line + location.line().saturating_sub(1) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const APP: &str = "apiVersion: weft.dev/v1alpha1\nkind: Network\nmetadata: { name: app }\nspec: { mode: bridge }\n";
    const WEB: &str =
        r#"{"apiVersion":"weft.dev/v1alpha1","kind":"Network","metadata":{"name":"web"},"spec":{"mode":"none"}}"#;

    fn names(text: &str) -> Vec<String> {
        parse(text).expect("objects").iter().map(Object::name).collect()
    }

    fn faults(text: &str) -> Vec<String> {
        parse(text).expect_err("faults").iter().map(Fault::to_string).collect()
    }

    #[test]
    fn objects_come_in_every_wrapping() {
        assert_eq!(names(APP), ["app"]);
        assert_eq!(names(WEB), ["web"]);
        assert_eq!(names(&format!("---\n{APP}---\n{WEB}\n---")), ["app", "web"]);
        assert_eq!(
            names(&format!("%YAML 1.2\n---\n# first\n{APP}...\n--- # second\n{WEB}\n---\n  # none\n")),
            ["app", "web"]
        );
        assert_eq!(names(&format!("--- {WEB}\n--- {WEB}")), ["web", "web"]);
        assert_eq!(names(&APP.replace('\n', "\r\n")), ["app"]);
    }

    #[test]
    fn lists_are_taken_as_the_api_and_as_kubernetes_write_them() {
        assert_eq!(names(&format!(r#"{{"items":[{WEB},{WEB}]}}"#)), ["web", "web"]);
        assert_eq!(names(&format!("apiVersion: v1\nkind: List\nitems:\n- {WEB}\n- {WEB}\n")), ["web", "web"]);
    }

    #[test]
    fn what_the_api_shows_can_be_applied_again() {
        let shown = serde_saphyr::to_string(&parse(WEB).expect("objects")[0]).expect("YAML");
        assert_eq!(names(&shown), ["web"]);
    }

    #[test]
    fn faults_name_document_and_line_of_the_file() {
        let text = format!("{APP}---\n{}---\n{}", APP.replace("bridge", "brigde"), APP.replace("spec", "\nsepc"));
        let [mode, field] = &faults(&text)[..] else { panic!("two faults") };
        assert!(mode.starts_with("document 2, line 9: unknown variant `brigde`, expected one of bridge, "), "{mode}");
        assert!(field.starts_with("document 3, line 15: unknown field `sepc`, expected one of "), "{field}");
        assert_eq!(faults("a: [\n"), ["document 1, line 1: unclosed bracket '['"]);
    }

    #[test]
    fn kinds_are_named_when_they_are_not_known() {
        let known = "write Network of weft.dev/v1alpha1, NetworkPolicy of networking.k8s.io/v1, \
                     ClusterNetworkPolicy of policy.networking.k8s.io/v1alpha2, Namespace of v1, Service of v1, \
                     EndpointSlice of discovery.k8s.io/v1";
        let service = "apiVersion: v1\nkind: Server\n";
        let unknown = format!("unknown kind \"Server\" of apiVersion \"v1\": {known}");
        assert_eq!(faults(service), [format!("document 1, line 2: {unknown}")]);
        let list = format!("items:\n- {WEB}\n- {}", service.replace('\n', "\n  "));
        assert_eq!(faults(&list), [format!("document 1, line 4: {unknown}")]);
        let other_version = APP.replace("v1alpha1", "v2");
        let unknown = format!("unknown kind \"Network\" of apiVersion \"weft.dev/v2\": {known}");
        assert_eq!(faults(&other_version), [format!("document 1, line 2: {unknown}")]);
        let kept = "document 1, line 2: kind Endpoint is kept by weft itself, and cannot be written";
        assert_eq!(faults(&APP.replace("Network", "Endpoint")), [kept]);
        assert_eq!(faults("---\n---\n\na: b\n"), ["document 1, line 2: an object has no kind"]);
    }

    #[test]
    fn a_file_without_objects_is_a_fault() {
        for text in ["", "\n# nothing\n", "---\n---\n"] {
            assert_eq!(faults(text), ["document 1, line 1: there is no object"], "{text:?}");
        }
        assert!(parse("items: []").expect("an empty list").is_empty());
    }
}

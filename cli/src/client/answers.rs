//! What the gateway answers.

use serde::{Deserialize, Serialize};

/// One object, as listings and answers show it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ObjectInfo {
    pub(crate) key: String,
    pub(crate) size: u64,
    pub(crate) etag: String,
    pub(crate) last_modified: String,
}

/// One page of a listing.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Listing {
    pub(crate) items: Vec<ObjectInfo>,
    #[serde(default)]
    pub(crate) common_prefixes: Vec<String>,
    #[serde(default)]
    pub(crate) next_cursor: Option<String>,
}

/// An upload in parts.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Upload {
    pub(crate) id: String,
    /// Bytes of each part but the last that work best.
    pub(crate) part_bytes: u64,
    pub(crate) part_bytes_max: u64,
    /// Parts already stored.
    #[serde(default)]
    pub(crate) parts: Vec<Part>,
}

/// A stored part.
#[derive(Debug, Deserialize)]
pub(crate) struct Part {
    pub(crate) number: u32,
    pub(crate) size: u64,
}

/// `POST /admin/key/export`. It cannot be shown for debugging: whoever sees the secret can read everything.
#[derive(Deserialize)]
pub(crate) struct ExportedKey {
    pub(crate) cluster: String,
    pub(crate) fingerprint: String,
    pub(crate) secret: String,
}

/// A stored object and how safely it is stored.
pub(crate) struct Stored {
    pub(crate) info: ObjectInfo,
    /// [`WHOLE`], or how many shards are durable.
    pub(crate) durability: String,
}

/// The durability of what survives the loss of any m nodes.
pub(crate) const WHOLE: &str = "whole";

/// What becomes of a deleted object's shards. Times are RFC 3339.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Erasure {
    pub(crate) key: String,
    /// Id of the marker that hides the object, in a bucket that keeps versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) marker: Option<String>,
    /// Reads under way find the shards until then; empty: the bucket keeps them.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) kept_until: String,
    /// By then no node gives any of them; absent while no time can be named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) erased_by: Option<String>,
    /// Nodes that are away: none deletes before all can.
    #[serde(default)]
    pub(crate) waits_for: Vec<String>,
}

impl Erasure {
    /// For people.
    pub(crate) fn said(&self) -> String {
        match &self.marker {
            None => self.shards(),
            Some(_) if self.kept_until.is_empty() => {
                "its bucket keeps versions: what was there is kept, and not shown any more".into()
            }
            Some(_) => format!("a marker took the place of its version `null`: {}", self.shards()),
        }
    }

    fn shards(&self) -> String {
        match &self.erased_by {
            Some(time) => format!("its shards leave the nodes by {time}"),
            None if self.waits_for.is_empty() => "when its shards leave the nodes is not known".into(),
            None => format!(
                "its shards stay on the nodes until {} at least, and until {} {} again",
                self.kept_until,
                self.waits_for.join(", "),
                if self.waits_for.len() == 1 { "answers" } else { "answer" }
            ),
        }
    }
}

/// How far a deleted object's bytes are out of the files. Times are RFC 3339.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Shredding {
    pub(crate) id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<String>,
    pub(crate) begun: String,
    pub(crate) state: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) nodes: Option<Nodes>,
    /// Nodes that are away.
    #[serde(default)]
    pub(crate) waits_for: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) finished: Option<String>,
    /// Nodes of which some file could not be emptied.
    #[serde(default)]
    pub(crate) partly: Vec<String>,
    /// What stays whatever was done.
    #[serde(default)]
    pub(crate) stays: Vec<String>,
}

/// Nodes that are through, and that there are.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Nodes {
    pub(crate) done: usize,
    pub(crate) of: usize,
}

/// All of them.
#[derive(Debug, Deserialize)]
pub(crate) struct Shreddings {
    pub(crate) items: Vec<Shredding>,
}

impl Shredding {
    pub(crate) fn is_over(&self) -> bool {
        self.state == "over"
    }

    /// For people.
    pub(crate) fn said(&self) -> String {
        let done = match (self.state.as_str(), self.nodes) {
            ("over", _) if self.partly.is_empty() => {
                "out of the files of the catalog and of all nodes".to_owned()
            }
            ("over", _) => format!(
                "out of the catalog's files; some log files of {} hold more of it, until they have room or are mended",
                self.partly.join(", ")
            ),
            ("emptying", Some(Nodes { done, of })) => {
                format!("keys are out of the catalog's files; {done} of {of} nodes are empty of it")
            }
            _ => "the nodes delete it".to_owned(),
        };
        match self.waits_for.as_slice() {
            [] => done,
            nodes => format!("{done}; waits for {}", nodes.join(", ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shredding_says_how_far_it_is() {
        let said = |text: &str| serde_json::from_str::<Shredding>(text).unwrap().said();
        let going =
            r#"{"id":"1","begun":"t","state":"emptying","nodes":{"done":2,"of":6},"waitsFor":["n2"]}"#;
        assert_eq!(
            said(going),
            "keys are out of the catalog's files; 2 of 6 nodes are empty of it; waits for n2"
        );
        let over = r#"{"id":"1","begun":"t","state":"over","finished":"t","partly":["n1"]}"#;
        assert!(said(over).contains("log files of n1"));
        assert_eq!(said(r#"{"id":"1","begun":"t","state":"deleting"}"#), "the nodes delete it");
    }

    #[test]
    fn an_erasure_says_no_time_while_nodes_are_away() {
        let said = |erased_by: Option<&str>, waits_for: &[&str]| {
            let waits_for = waits_for.iter().map(|node| (*node).to_owned()).collect();
            let (key, kept_until) = ("k".to_owned(), "2026-11-29T04:00:00Z".to_owned());
            Erasure { key, marker: None, kept_until, erased_by: erased_by.map(Into::into), waits_for }.said()
        };
        assert_eq!(
            said(Some("2026-11-29T04:30:00Z"), &[]),
            "its shards leave the nodes by 2026-11-29T04:30:00Z"
        );
        let stay = "its shards stay on the nodes until 2026-11-29T04:00:00Z at least, and until";
        assert_eq!(said(None, &["n1"]), format!("{stay} n1 answers again"));
        assert_eq!(said(None, &["n1", "n2"]), format!("{stay} n1, n2 answer again"));
        assert_eq!(said(None, &[]), "when its shards leave the nodes is not known");
        let marked: Erasure = serde_json::from_str(r#"{"key":"k","marker":"00"}"#).unwrap();
        assert!(marked.said().starts_with("its bucket keeps versions"));
        let replaced = r#"{"key":"k","marker":"null","keptUntil":"t","erasedBy":"t2","waitsFor":[]}"#;
        let replaced: Erasure = serde_json::from_str(replaced).unwrap();
        assert_eq!(
            replaced.said(),
            "a marker took the place of its version `null`: its shards leave the nodes by t2"
        );
    }
}

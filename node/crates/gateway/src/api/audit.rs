//! `/api/v1/admin/audit`: who did what.

use std::ops::RangeInclusive;
use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use datamesh_catalog::catalog::CatalogError;
use datamesh_catalog::{AuditAt, AuditHead, AuditRow, keys};
use datamesh_settings::audit::{AuditChain, AuditEntry, AuditLine};
use futures::stream;
use http::{Uri, header};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::App;
use super::pages::{self, Page};
use crate::audit::Audit;
use crate::limits;
use crate::objects::refusals;
use crate::problem::Problem;

/// Rows read for one page at most: a filter that matches next to nothing gives an empty page and a cursor.
const READ_MAX: usize = 10_000;
/// Characters of a cursor at most.
const CURSOR_CHARS_MAX: usize = 512;

/// What a client may ask. Times are RFC 3339.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Params {
    actor: Option<String>,
    /// What the action begins with.
    action: Option<String>,
    /// What came of it: a status like `403`, a class of them like `4xx`, or `0` where the client hung up.
    #[schemars(regex(pattern = "^(0|[1-5][0-9][0-9]|[1-5]xx)$"))]
    status: Option<String>,
    /// What the target begins with.
    target: Option<String>,
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    since: Option<jiff::Timestamp>,
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    until: Option<jiff::Timestamp>,
    cursor: Option<String>,
    #[schemars(range(min = 1, max = limits::LIST_MAX))]
    limit: Option<usize>,
}

type Asked = Result<Query<Params>, axum::extract::rejection::QueryRejection>;

/// A question, checked.
struct Wanted {
    actor: Option<String>,
    action: Option<String>,
    statuses: RangeInclusive<u16>,
    target: Option<String>,
    between: (u64, u64),
    after: Option<AuditAt>,
    limit: usize,
}

impl Wanted {
    fn read(asked: Asked) -> Result<Self, Problem> {
        let Query(params) = asked.map_err(|error| Problem::parameter("query", error.body_text()))?;
        let limit = pages::limit(params.limit)?;
        let statuses = params.status.as_deref().map_or(Ok(0..=u16::MAX), statuses)?;
        let unix_ms = |time: jiff::Timestamp| u64::try_from(time.as_millisecond()).unwrap_or_default();
        let between = (params.since.map_or(0, unix_ms), params.until.map_or(u64::MAX, unix_ms));
        let after = params.cursor.as_deref().map(cursor).transpose()?;
        let Params { actor, action, target, .. } = params;
        Ok(Self { actor, action, statuses, target, between, after, limit })
    }

    fn has(&self, entry: &AuditEntry) -> bool {
        let begins = |text: &str, wanted: &Option<String>| {
            wanted.as_ref().is_none_or(|wanted| text.starts_with(wanted.as_str()))
        };
        self.actor.as_ref().is_none_or(|actor| entry.actor == *actor)
            && self.statuses.contains(&entry.status)
            && begins(&entry.action, &self.action)
            && begins(&entry.target, &self.target)
    }
}

/// The statuses that a text names.
fn statuses(text: &str) -> Result<RangeInclusive<u16>, Problem> {
    let wrong = "write a status like 403, a class of them like 4xx, or 0: the client hung up";
    let (first, last) = match text.as_bytes() {
        [b'0'] => (0, 0),
        [class @ b'1'..=b'5', b'x', b'x'] => (number(&[*class, b'0', b'0']), number(&[*class, b'9', b'9'])),
        one @ [b'1'..=b'5', b'0'..=b'9', b'0'..=b'9'] => (number(one), number(one)),
        _ => return Err(Problem::parameter("status", wrong)),
    };
    Ok(first..=last)
}

fn number(digits: &[u8]) -> u16 {
    digits.iter().fold(0, |number, digit| number * 10 + u16::from(digit - b'0'))
}

fn cursor(text: &str) -> Result<AuditAt, Problem> {
    let wrong = || Problem::parameter("cursor", "take the cursor from the page before, unchanged");
    if text.len() > CURSOR_CHARS_MAX {
        return Err(wrong());
    }
    let key = URL_SAFE_NO_PAD.decode(text).map_err(|_| wrong())?;
    keys::read_audit_entry(&key).map_err(|_| wrong())
}

fn line(row: AuditRow) -> AuditLine {
    let AuditRow { at, entry, link } = row;
    AuditLine { chain: at.chain, number: at.number, link: hex::encode(link), entry }
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "AuditPage")]
pub(super) struct Listed {
    items: Vec<AuditLine>,
    /// Where to go on; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

/// `GET audit`: entries in the order of time.
pub(super) async fn list(
    State(app): State<Arc<App>>,
    uri: Uri,
    asked: Asked,
) -> Result<Page<Listed>, Problem> {
    let listed = |items, next: Option<String>| {
        let cursor = next.clone();
        Ok(Page::new(Listed { items, next_cursor: next }, &uri, cursor.as_deref()))
    };
    let wanted = Wanted::read(asked)?;
    let (mut items, mut read, mut after) = (Vec::new(), 0, wanted.after.clone());
    loop {
        let page = app
            .audit
            .page(wanted.between, after.as_ref(), limits::LIST_MAX)
            .await
            .map_err(refusals::catalog)?;
        for row in page.rows {
            read += 1;
            after = Some(row.at.clone());
            if wanted.has(&row.entry) {
                items.push(line(row));
            }
            if items.len() == wanted.limit {
                return listed(items, after.as_ref().map(cursor_of));
            }
        }
        if !page.more {
            return listed(items, None);
        }
        if read >= READ_MAX {
            return listed(items, after.as_ref().map(cursor_of));
        }
    }
}

fn cursor_of(at: &AuditAt) -> String {
    URL_SAFE_NO_PAD.encode(keys::audit_entry(at))
}

/// `GET audit/export`: all of it, a line of JSON each, as it is read.
pub(super) async fn export(State(app): State<Arc<App>>, asked: Asked) -> Result<Response, Problem> {
    let wanted = Wanted::read(asked)?;
    let audit = Arc::clone(&app.audit);
    let pages = stream::try_unfold(Some((audit, wanted)), |state| async {
        let Some((audit, mut wanted)) = state else { return Ok(None) };
        let (bytes, more) = exported(&audit, &mut wanted).await?;
        Ok::<_, CatalogError>(Some((bytes, more.then_some((audit, wanted)))))
    });
    let kind = [(header::CONTENT_TYPE, "application/x-ndjson")];
    Ok((kind, Body::from_stream(pages)).into_response())
}

async fn exported(audit: &Audit, wanted: &mut Wanted) -> Result<(Bytes, bool), CatalogError> {
    let page = audit.page(wanted.between, wanted.after.as_ref(), limits::LIST_MAX).await?;
    if let Some(last) = page.rows.last() {
        wanted.after = Some(last.at.clone());
    }
    let mut text = String::new();
    for row in page.rows.into_iter().filter(|row| wanted.has(&row.entry)) {
        text.push_str(&serde_json::to_string(&line(row)).unwrap_or_default());
        text.push('\n');
    }
    Ok((text.into(), page.more))
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "AuditChains")]
pub(super) struct Chains {
    /// The cluster's key, by which the signatures are checked, in hexadecimal.
    public_key: String,
    items: Vec<AuditChain>,
    /// What was cut off chains, as heads of what is not there any more.
    cuts: Vec<AuditChain>,
}

/// `GET audit/chains`: how far each goes, signed.
pub(super) async fn chains(State(app): State<Arc<App>>) -> Result<Json<Chains>, Problem> {
    let heads = app.audit.heads().await.map_err(refusals::catalog)?;
    let cuts = app.audit.cuts().await.map_err(refusals::catalog)?;
    let chain = |(chain, head): (String, AuditHead)| AuditChain {
        chain,
        count: head.count,
        link: hex::encode(head.link),
        signature: hex::encode(head.signature),
    };
    let public_key = hex::encode(app.admin.secret.signing_key().public().0);
    Ok(Json(Chains {
        public_key,
        items: heads.into_iter().map(chain).collect(),
        cuts: cuts.into_iter().map(chain).collect(),
    }))
}

use std::process::ExitCode;

use crate::client::ObjectInfo;
use crate::commands::Session;
use crate::failure::Failure;
use crate::output;

/// Lists keys page by page, so that a large bucket shows at once and needs no memory.
pub(crate) async fn run(session: &Session, prefix: &str, recursive: bool) -> Result<ExitCode, Failure> {
    let mut cursor: Option<String> = None;
    let mut all = Vec::new();
    loop {
        let page = session.client.list(prefix, !recursive, cursor.as_deref()).await?;
        if session.json {
            all.push(serde_json::json!({ "items": page.items, "commonPrefixes": page.common_prefixes }));
        } else {
            let prefixes = page.common_prefixes.iter().map(|p| vec![String::new(), "-".into(), p.clone()]);
            output::table(&page.items.iter().map(row).chain(prefixes).collect::<Vec<_>>())?;
        }
        cursor = page.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    if session.json {
        let merged = |field: &str| -> Vec<serde_json::Value> {
            all.iter().filter_map(|page| page[field].as_array()).flatten().cloned().collect()
        };
        output::json(
            &serde_json::json!({ "items": merged("items"), "commonPrefixes": merged("commonPrefixes") }),
        )?;
    }
    Ok(ExitCode::SUCCESS)
}

fn row(object: &ObjectInfo) -> Vec<String> {
    vec![object.last_modified.clone(), output::bytes(object.size), object.key.clone()]
}

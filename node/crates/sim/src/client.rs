//! A client: puts, gets and deletes, and what it may expect.

use std::sync::Arc;
use std::time::Duration;

use http::{Method, StatusCode};

use crate::gateway::{Ended, ask};
use crate::history::Value;
use crate::run::{World, pause};

/// Keys each client writes.
const KEYS: usize = 4;
/// A client gives up after this.
const PATIENCE: Duration = Duration::from_secs(180);
/// Bytes of an object: some lie in the catalog, most on the nodes.
const BYTES_MAX: usize = 12 << 10;

/// The contents of the put of this number: nobody else's, and not to be compressed.
pub(crate) fn contents(number: u64, bytes: usize) -> Vec<u8> {
    let mut text = vec![0; bytes];
    blake3::Hasher::new_derive_key("datamesh simulation contents")
        .update(&number.to_le_bytes())
        .finalize_xof()
        .fill(&mut text);
    // Who wrote it stands in front, so that a reader can tell.
    text[..8].copy_from_slice(&number.to_le_bytes());
    text
}

pub(crate) fn path(key: &str) -> String {
    format!("/api/v1/files/{key}")
}

/// A delete that takes the bytes from the disks at once.
pub(crate) const SHRED: &str = "?shred=true";

pub(crate) async fn run(world: Arc<World>, client: usize, operations: usize) {
    let dice = world.surrounding.dice.fork();
    for operation in 0..operations {
        if world.has_failed() {
            return;
        }
        pause(dice.millis(50, 9000)).await;
        let own = format!("c{client}-k{}", dice.below(KEYS));
        match dice.below(100) {
            0..45 => {
                let number = (client as u64) << 32 | operation as u64 | 1 << 48;
                put(&world, &own, number, 8 + dice.below(BYTES_MAX)).await;
            }
            45..55 => drop(delete(&world, &own, "").await),
            55..60 => drop(delete(&world, &own, SHRED).await),
            _ => {
                let all = world.history.lock().keys();
                let key = dice.pick(&all).cloned().unwrap_or(own);
                if let Err(what) = get(&world, &key).await {
                    world.fail(what);
                }
            }
        }
    }
}

async fn asked(world: &World, method: Method, key: &str, body: Vec<u8>) -> Ended {
    let mut gateway = world.gateway_watch();
    let asking = ask(&mut gateway, method, key, body);
    tokio::time::timeout(PATIENCE, asking).await.unwrap_or(Ended::Unknown)
}

async fn put(world: &World, key: &str, number: u64, bytes: usize) {
    world.note_before_write().await;
    world.history.lock().write_begins(world.now_ms(), key, Some(number));
    let ended = asked(world, Method::PUT, &path(key), contents(number, bytes)).await;
    let done = matches!(&ended, Ended::Answered(status, ..) if status.is_success());
    world.history.lock().write_ends(world.now_ms(), key, done);
    if let Ended::Answered(_, headers, _) = &ended
        && done
    {
        let short =
            headers.get("datamesh-durability").is_some_and(|value| value.as_bytes().starts_with(b"short"));
        world.surrounding.totals.count(|counts| {
            counts.puts += 1;
            counts.short_puts += u64::from(short);
        });
        world.note_promises().await;
    } else {
        world.surrounding.totals.count(|counts| counts.refused += 1);
    }
    world.note(&format!("put {key} = {number:x} ({bytes} bytes): {}", said(&ended)));
}

/// Deletes a key; whether that was acknowledged.
pub(crate) async fn delete(world: &World, key: &str, how: &str) -> bool {
    world.note_before_write().await;
    world.history.lock().write_begins(world.now_ms(), key, None);
    let ended = asked(world, Method::DELETE, &format!("{}{how}", path(key)), Vec::new()).await;
    let done = matches!(&ended, Ended::Answered(status, ..) if status.is_success());
    world.history.lock().write_ends(world.now_ms(), key, done);
    if how == SHRED {
        world.history.lock().is_shredded(done.then(|| world.now_ms()), key);
    }
    let shredded = matches!(&ended, Ended::Answered(StatusCode::ACCEPTED, ..));
    world.surrounding.totals.count(|counts| counts.shreds += u64::from(shredded));
    world.surrounding.totals.count(|counts| match done {
        true => counts.deletes += 1,
        false => counts.refused += 1,
    });
    world.note(&format!("delete {key}{how}: {}", said(&ended)));
    done
}

/// Reads a key. What it brings must be what may be there; that it brings nothing is no failure here.
pub(crate) async fn get(world: &World, key: &str) -> Result<bool, String> {
    let read = world.history.lock().read_begins(key);
    let ended = asked(world, Method::GET, &path(key), Vec::new()).await;
    let value: Value = match &ended {
        Ended::Answered(StatusCode::OK, _, body) => Some(number_of(key, body)?),
        Ended::Answered(StatusCode::NOT_FOUND, ..) => None,
        _ => {
            world.note(&format!("get {key}: {}", said(&ended)));
            world.history.lock().read_fails(key, read);
            world.surrounding.totals.count(|counts| counts.refused += 1);
            return Ok(false);
        }
    };
    world.note(&format!("get {key} = {value:x?}"));
    world.surrounding.totals.count(|counts| counts.gets += 1);
    world.history.lock().read_ends(key, read, value)?;
    Ok(true)
}

/// Which put these bytes are of, every one of them.
fn number_of(key: &str, body: &[u8]) -> Result<u64, String> {
    let number = body.first_chunk::<8>().map(|first| u64::from_le_bytes(*first));
    match number {
        Some(number) if contents(number, body.len()) == body => Ok(number),
        _ => Err(format!("key {key} reads as {} bytes that nobody wrote", body.len())),
    }
}

fn said(ended: &Ended) -> String {
    match ended {
        Ended::Answered(status, _, body) if !status.is_success() => {
            format!("{} {}", status.as_u16(), String::from_utf8_lossy(&body[..body.len().min(300)]))
        }
        Ended::Answered(status, headers, _) => {
            let durability = headers.get("datamesh-durability").and_then(|value| value.to_str().ok());
            format!("{} {}", status.as_u16(), durability.unwrap_or_default())
        }
        Ended::Unknown => "no answer".into(),
    }
}

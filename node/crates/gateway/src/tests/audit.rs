//! Every change and sign-in leaves an entry, and none can be altered unseen.

use std::time::Duration;

use axum::body::Body;
use datamesh_catalog::Role;
use datamesh_seal::ChainCheck;
use datamesh_settings::audit::{AuditChain, AuditLine};
use http::Method;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::accounts::{PASSWORD, login, signed_in, tell};
use super::house::{ADMIN, House};
use crate::audit::{Actor, Asked, CutAudit, Durable, Note, Witnessed};
use crate::work::{Next, Worker as _};

async fn entries(house: &House, query: &str) -> Vec<Value> {
    let got = tell(house, Some(ADMIN), "GET", &format!("/admin/audit{query}"), Value::Null).await.ok();
    got.json()["items"].as_array().unwrap().iter().map(|item| item["entry"].clone()).collect()
}

#[tokio::test]
async fn changes_and_sign_ins_leave_an_entry_and_reads_none() {
    let house = House::new(6).await;
    let session = signed_in(&house, "alice", Role::Member).await;
    let put = house.ask_as(Some(&session), Method::PUT, "/api/v1/files/a", (&[], Body::from("x"))).await.ok();
    house.ask_as(Some(&session), Method::GET, "/api/v1/files/a", (&[], Body::empty())).await.ok();
    login(&house, "alice", "wrong password").await;
    tell(&house, Some(&session), "POST", "/admin/users", json!({})).await;
    tell(&house, Some("wrong-token-wrong-token"), "POST", "/admin/users", json!({})).await;
    let all = entries(&house, "").await;
    let seen: Vec<(&str, &str, u64)> = all
        .iter()
        .map(|entry| {
            let text = |field: &str| entry[field].as_str().unwrap();
            (text("actor"), text("action"), entry["status"].as_u64().unwrap())
        })
        .collect();
    assert_eq!(
        seen,
        [
            ("operator", "POST /api/v1/admin/users", 201),
            ("user:alice", "POST /api/v1/auth/reset", 204),
            ("user:alice", "POST /api/v1/auth/login", 200),
            ("user:alice", "PUT /api/v1/files/{*key}", 201),
            ("unknown:alice", "POST /api/v1/auth/login", 401),
            ("user:alice", "POST /api/v1/admin/users", 403),
        ]
    );
    assert_eq!(all[3]["target"], json!("/api/v1/files/a"));
    assert_eq!(all[3]["request"], json!(put.header("x-request-id")));
    let text = Value::from(all).to_string();
    assert!(!text.contains(PASSWORD) && !text.contains(&session) && !text.contains("dmr_"));
    assert_eq!(entries(&house, "?actor=operator").await.len(), 1);
    assert_eq!(entries(&house, "?action=POST%20/api/v1/auth").await.len(), 3);
    assert_eq!(entries(&house, "?target=/api/v1/files/").await.len(), 1);
    assert_eq!(
        entries(&house, "?target=/api/v1/a&actor=user:alice&action=POST%20/api/v1/auth").await.len(),
        2
    );
    assert_eq!(entries(&house, "?target=files").await.len(), 0, "it is what a target begins with");
    assert_eq!(entries(&house, "?until=2020-01-01T00:00:00Z").await.len(), 0);
    assert_eq!(entries(&house, "?since=2020-01-01T00:00:00Z").await.len(), 6);
    for (status, count) in [("401", 1), ("403", 1), ("4xx", 2), ("201", 2), ("2xx", 4), ("5xx", 0), ("0", 0)]
    {
        assert_eq!(entries(&house, &format!("?status={status}")).await.len(), count, "{status}");
    }
    assert_eq!(entries(&house, "?actor=user:alice&status=4xx").await.len(), 1);
}

#[tokio::test]
async fn a_status_that_is_none_is_refused_with_the_remedy() {
    let house = House::without_pool(6, 64 << 20).await;
    for wrong in [
        "4", "6xx", "0xx", "40x", "xx", "4XX", "600", "099", "0200", "+40", "-1", "001", "403,404", "%2B03",
        "",
    ] {
        let path = format!("/admin/audit?status={wrong}");
        let got = tell(&house, Some(ADMIN), "GET", &path, Value::Null).await;
        assert_eq!((got.status.as_u16(), got.problem().as_str()), (400, "invalid-parameter"), "{wrong}");
        assert!(got.json()["detail"].as_str().unwrap().contains("4xx"), "{wrong}: {}", got.json());
    }
}

#[tokio::test]
async fn pages_follow_each_other() {
    let house = House::without_pool(6, 64 << 20).await;
    for n in 0..5 {
        login(&house, &format!("user{n}"), "wrong password").await;
    }
    let (mut seen, mut query) = (Vec::new(), "?limit=2".to_owned());
    loop {
        let path = format!("/admin/audit{query}");
        let page = tell(&house, Some(ADMIN), "GET", &path, Value::Null).await.ok().json();
        let items = page["items"].as_array().unwrap();
        seen.extend(items.iter().map(|item| item["number"].as_u64().unwrap()));
        let Some(next) = page["nextCursor"].as_str() else { break };
        query = format!("?limit=2&cursor={next}");
    }
    assert_eq!(seen, [0, 1, 2, 3, 4]);
}

#[tokio::test]
async fn who_hangs_up_is_told_of_too() {
    let house = House::new(6).await;
    // The body never ends, so the request is under way until its client leaves.
    let body = Body::from_stream(futures::stream::pending::<Result<bytes::Bytes, std::io::Error>>());
    let request = http::Request::put("/api/v1/files/a").header("authorization", format!("Bearer {ADMIN}"));
    let request = house.router().oneshot(request.body(body).unwrap());
    let left = tokio::time::timeout(std::time::Duration::from_millis(200), request).await;
    assert!(left.is_err(), "the request ended by itself");
    let all = entries(&house, "").await;
    assert_eq!((&all[0]["actor"], &all[0]["status"]), (&json!("operator"), &json!(0)));
}

/// What an administrator exports, and what is said of it.
async fn exported(house: &House) -> (Vec<AuditLine>, Vec<AuditChain>, String) {
    let got = tell(house, Some(ADMIN), "GET", "/admin/audit/export", Value::Null).await.ok();
    let text = std::str::from_utf8(&got.body).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let got = tell(house, Some(ADMIN), "GET", "/admin/audit/chains", Value::Null).await.ok().json();
    (
        lines,
        serde_json::from_value(got["items"].clone()).unwrap(),
        got["publicKey"].as_str().unwrap().to_owned(),
    )
}

fn findings(lines: &[AuditLine], chains: &[AuditChain], key: &str) -> Vec<String> {
    let mut check = ChainCheck::new(key.parse().unwrap());
    lines.iter().for_each(|line| {
        check.see(&line.chain, line.number, (&line.link, line.entry.text().as_bytes()));
    });
    let heads = chains
        .iter()
        .map(|head| (head.chain.as_str(), head.count, head.link.as_str(), head.signature.as_str()));
    check.end(heads)
}

#[tokio::test]
async fn a_chain_that_is_gone_head_and_all_is_found_by_what_was_kept() {
    let house = House::without_pool(6, 64 << 20).await;
    for n in 0..4 {
        login(&house, &format!("user{n}"), "wrong password").await;
    }
    let (lines, chains, key) = exported(&house).await;
    let check = |lines: &[AuditLine], kept: (u64, &str)| {
        let mut check = ChainCheck::new(key.parse().unwrap());
        check.passes(&chains[0].chain, kept.0, kept.1);
        lines.iter().for_each(|line| {
            check.see(&line.chain, line.number, (&line.link, line.entry.text().as_bytes()));
        });
        let heads = chains.iter().filter(|_| !lines.is_empty());
        check.end(heads.map(|head| (&*head.chain, head.count, &*head.link, &*head.signature))).len()
    };
    assert_eq!(check(&lines, (2, &lines[1].link)), 0, "it went on since");
    assert_eq!(check(&lines, (4, &lines[3].link)), 0);
    assert_eq!(check(&lines, (5, &lines[3].link)), 1, "it was longer");
    assert_eq!(check(&lines, (2, &lines[2].link)), 1, "it was another");
    assert_eq!(check(&[], (4, &lines[3].link)), 1, "it is gone");
}

#[tokio::test]
async fn an_entry_says_what_was_done_by_whom_and_with_what() {
    let house = House::without_pool(6, 64 << 20).await;
    let session = signed_in(&house, "root", Role::Admin).await;
    let ask = async |method, path, body| tell(&house, Some(&session), method, path, body).await.ok();
    ask("POST", "/admin/users", json!({ "name": "bob", "role": "member" })).await;
    ask("PUT", "/admin/users/bob", json!({ "role": "operator" })).await;
    let key = json!({ "name": "k", "owner": "BOB", "permission": "readOnly", "buckets": ["photos"] });
    let key = ask("POST", "/admin/keys", key).await.json();
    ask("PUT", "/admin/users/bob", json!({ "disabled": true })).await;
    let all = entries(&house, "?actor=user:root&action=P").await;
    let said: Vec<(&str, &str)> = all[2..]
        .iter()
        .map(|entry| (entry["target"].as_str().unwrap(), entry["detail"].as_str().unwrap()))
        .collect();
    let of_key = format!("/api/v1/admin/keys/{}", key["id"].as_str().unwrap());
    assert_eq!(
        said,
        [
            ("/api/v1/admin/users/bob", "role=member"),
            ("/api/v1/admin/users/bob", "role=operator"),
            (&*of_key, "owner=bob permission=ReadOnly buckets=photos"),
            ("/api/v1/admin/users/bob", "disabled=true"),
        ]
    );
    let root = ask("GET", "/auth/profile", Value::Null).await.json();
    let sessions = ask("GET", "/auth/sessions", Value::Null).await.json();
    assert_eq!(all[2]["user"], root["user"]["id"]);
    assert_eq!(all[2]["credential"], sessions["items"][0]["id"]);
    assert_eq!(all[1]["credential"], all[2]["credential"], "the sign-in names the session it began");
}

#[tokio::test]
async fn strangers_leave_an_entry_only_where_they_were_judged() {
    let house = House::without_pool(6, 64 << 20).await;
    for path in ["/auth/login", "/auth/register", "/auth/reset"] {
        assert_eq!(tell(&house, None, "POST", path, json!({ "junk": 1 })).await.status.as_u16(), 400);
    }
    let code = json!({ "code": "dmr_wrong", "password": PASSWORD });
    assert_eq!(tell(&house, None, "POST", "/auth/reset", code).await.problem(), "forbidden");
    let mut judged = 0;
    for _ in 0..20 {
        judged += usize::from(login(&house, "alice", "wrong password").await.status == 401);
    }
    assert!((1..20).contains(&judged));
    assert_eq!(entries(&house, "").await.len(), judged);
}

#[tokio::test]
async fn what_is_refused_is_told_of_reads_too() {
    let house = House::without_pool(6, 64 << 20).await;
    let session = signed_in(&house, "alice", Role::Member).await;
    tell(&house, Some(&session), "GET", "/admin/audit", Value::Null).await;
    tell(&house, Some(ADMIN), "GET", "/admin/users", Value::Null).await.ok();
    let all = entries(&house, "?action=GET").await;
    let seen: Vec<_> = all.iter().map(|entry| (entry["actor"].as_str().unwrap(), &entry["status"])).collect();
    assert_eq!(seen, [("user:alice", &json!(403)), ("operator", &json!(200))]);
}

#[tokio::test]
async fn what_clients_leave_behind_pushes_no_administrator_s_entry_out() {
    let house = House::without_pool(6, 64 << 20).await;
    let audit = &house.core.app.audit;
    for _ in 0..5000 {
        let (note, actor) = (Note::default(), Actor::default());
        note.count();
        let asked = Asked { actor, action: "PUT".into(), target: "/x".into(), from: None, request: "0" };
        drop(Witnessed::new(audit, asked, (note, Durable::Before)));
    }
    tell(&house, Some(ADMIN), "PUT", "/admin/registration", json!({ "registration": "open" })).await.ok();
    let (lines, chains, key) = exported(&house).await;
    assert_eq!(findings(&lines, &chains, &key), Vec::<String>::new());
    assert_eq!((lines.len(), lines.last().unwrap().entry.actor.as_str()), (4097, "operator"));
}

#[tokio::test]
async fn what_is_changed_removed_moved_or_cut_off_is_found() {
    let house = House::without_pool(6, 64 << 20).await;
    for n in 0..6 {
        login(&house, &format!("user{n}"), "wrong password").await;
    }
    let (lines, chains, key) = exported(&house).await;
    assert_eq!((lines.len(), chains.len(), chains[0].count), (6, 1, 6));
    assert_eq!(findings(&lines, &chains, &key), Vec::<String>::new());
    let tampered = |tamper: &dyn Fn(&mut Vec<AuditLine>, &mut Vec<AuditChain>)| {
        let (mut lines, mut chains) = (lines.clone(), chains.clone());
        tamper(&mut lines, &mut chains);
        findings(&lines, &chains, &key)
    };
    type Tamper = Box<dyn Fn(&mut Vec<AuditLine>, &mut Vec<AuditChain>)>;
    let ways: [(&str, Tamper); 9] = [
        ("changed", Box::new(|lines, _| lines[2].entry.status = 200)),
        ("another's name", Box::new(|lines, _| lines[2].entry.actor = "user:mallory".into())),
        ("removed", Box::new(|lines, _| drop(lines.remove(2)))),
        ("the first removed", Box::new(|lines, _| drop(lines.remove(0)))),
        ("swapped", Box::new(|lines, _| lines.swap(1, 2))),
        ("cut off", Box::new(|lines, _| lines.truncate(4))),
        (
            "cut off, with a head made for it",
            Box::new(|lines, chains| {
                lines.truncate(4);
                chains[0].count = 4;
                chains[0].link = lines[3].link.clone();
            }),
        ),
        ("all of a chain removed", Box::new(|lines, _| lines.clear())),
        ("a head removed", Box::new(|_, chains| chains.clear())),
    ];
    for (way, tamper) in ways {
        assert!(!tampered(&*tamper).is_empty(), "{way} is not found");
    }
}

#[tokio::test]
async fn a_chain_goes_on_after_an_attempt_nobody_saw_the_end_of() {
    let house = House::without_pool(6, 64 << 20).await;
    let all = (0..20).map(|n| {
        let house = &house;
        async move {
            let name = format!("user{n}");
            let asked = login(house, &name, "wrong password");
            // Some leave at once, some while their entry is written.
            let patience = std::time::Duration::from_millis(n * 7);
            drop(tokio::time::timeout(patience, asked).await);
        }
    });
    futures::future::join_all(all).await;
    tell(&house, Some(ADMIN), "PUT", "/admin/registration", json!({ "registration": "closed" })).await.ok();
    let (lines, chains, key) = exported(&house).await;
    assert_eq!(findings(&lines, &chains, &key), Vec::<String>::new());
    assert_eq!(lines.last().unwrap().entry.actor, "operator");
}

#[tokio::test]
async fn the_oldest_entries_go_and_the_rest_is_proven() {
    let house = House::without_pool(6, 64 << 20).await;
    for n in 0..5 {
        login(&house, &format!("user{n}"), "wrong password").await;
    }
    let mut cutting = CutAudit::new(std::sync::Arc::clone(&house.core.app.audit), (2, Duration::MAX));
    while !matches!(cutting.work().await, Next::Wait(_)) {}
    let (lines, chains, key) = exported(&house).await;
    assert_eq!(lines.iter().map(|line| line.number).collect::<Vec<_>>(), [3, 4]);
    assert!(!findings(&lines, &chains, &key).is_empty(), "without what was cut off");
    let got = tell(&house, Some(ADMIN), "GET", "/admin/audit/chains", Value::Null).await.ok().json();
    let cuts: Vec<AuditChain> = serde_json::from_value(got["cuts"].clone()).unwrap();
    let check = |lines: &[AuditLine]| {
        let mut check = ChainCheck::new(key.parse().unwrap());
        cuts.iter().for_each(|cut| check.was_cut(&cut.chain, cut.count, (&cut.link, &cut.signature)));
        for line in lines {
            check.see(&line.chain, line.number, (&line.link, line.entry.text().as_bytes()));
        }
        check.end(chains.iter().map(|head| (&*head.chain, head.count, &*head.link, &*head.signature)))
    };
    assert_eq!(check(&lines), Vec::<String>::new());
    assert!(!check(&lines[1..]).is_empty(), "more is gone than was cut off");
    login(&house, "user9", "wrong password").await;
    let Next::Busy = cutting.work().await else { panic!("one is beyond the bound") };
    assert_eq!(exported(&house).await.0[0].number, 4);
}

#[tokio::test]
async fn entries_go_after_their_time_however_few_there_are() {
    let day = Duration::from_secs(24 * 3600);
    for days in [30, 400] {
        let mut house = House::keeping_audit(day * days).await;
        login(&house, "early", "wrong password").await;
        house.clock.move_on(day * (days - 1));
        login(&house, "late", "wrong password").await;
        cut(&mut house).await;
        assert_eq!(numbers(&house).await, [0, 1], "neither is old enough");
        house.clock.move_on(day * 2);
        cut(&mut house).await;
        assert_eq!(numbers(&house).await, [1], "{days} days");
    }
}

/// As the gateway does it by itself.
async fn cut(house: &mut House) {
    while !matches!(house.core.cut_audit.work().await, Next::Wait(_)) {}
}

async fn numbers(house: &House) -> Vec<u64> {
    exported(house).await.0.iter().map(|line| line.number).collect()
}

//! What browsers are told: before a request, without a signature, and with its answer.

use datamesh_catalog::Permission;
use http::header;

use super::signer::{Ask, Client};
use crate::tests::house::{Got, House};

const VARY: &str = "Origin, Access-Control-Request-Headers, Access-Control-Request-Method";
const PAGE: &str = "https://app.example.com";
const RULES: &str = "<CORSRule><ID>app</ID><AllowedOrigin>https://*.example.com</AllowedOrigin><AllowedMethod>GET</AllowedMethod>\
    <AllowedMethod>PUT</AllowedMethod><AllowedHeader>x-amz-*</AllowedHeader><ExposeHeader>ETag</ExposeHeader>\
    <MaxAgeSeconds>60</MaxAgeSeconds></CORSRule>\
    <CORSRule><AllowedOrigin>*</AllowedOrigin><AllowedMethod>HEAD</AllowedMethod></CORSRule>";

async fn put(client: &Client, rules: &str) -> Option<String> {
    let body = format!("<CORSConfiguration>{rules}</CORSConfiguration>");
    let hash = ring::digest::digest(&ring::digest::SHA256, body.as_bytes());
    let sum = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, hash);
    let headers = [("x-amz-checksum-sha256", &*sum)];
    client
        .refusal("PUT", "/photos?cors=", Ask { headers: &headers, body: body.as_bytes(), ..Ask::default() })
        .await
}

async fn question(client: &Client, target: &str, asked: &[(&str, &str)]) -> Got {
    client.plain("gateway.test", "OPTIONS", target, asked).await
}

fn asks<'a>(origin: &'a str, method: &'a str, headers: &'a str) -> [(&'static str, &'a str); 3] {
    [
        ("origin", origin),
        ("access-control-request-method", method),
        ("access-control-request-headers", headers),
    ]
}

async fn with_rules() -> (House, Client) {
    let house = House::new(6).await;
    let client = Client::new(&house, Permission::Admin, &[]).await;
    assert_eq!(client.refusal("PUT", "/photos", Ask::default()).await, None);
    assert_eq!(put(&client, RULES).await, None);
    (house, client)
}

#[tokio::test]
async fn rules_are_shown_as_they_were_put_and_go_with_their_bucket() {
    let (house, client) = with_rules().await;
    let got = client.ask("GET", "/photos?cors=", Ask::default()).await.ok();
    let text = String::from_utf8_lossy(&got.body).into_owned();
    for said in ["<AllowedOrigin>https://*.example.com</AllowedOrigin>", "<ID>app</ID>", "<MaxAgeSeconds>60<"]
    {
        assert!(text.contains(said), "{text}");
    }
    assert_eq!(client.refusal("DELETE", "/photos", Ask::default()).await, None);
    assert_eq!(client.refusal("PUT", "/photos", Ask::default()).await, None);
    let refused = client.refusal("GET", "/photos?cors=", Ask::default()).await;
    assert_eq!(refused.as_deref(), Some("NoSuchCORSConfiguration"));
    assert_eq!(house.catalog.stray_settings(false).await.unwrap(), []);
    assert_eq!(put(&client, RULES).await, None);
    assert_eq!(client.refusal("DELETE", "/photos?cors=", Ask::default()).await, None);
    assert_eq!(question(&client, "/photos/x", &asks(PAGE, "PUT", "")).await.status, 403);
}

#[tokio::test]
async fn a_browser_asks_without_a_signature() {
    let (_house, client) = with_rules().await;
    let got = question(&client, "/photos/a/b", &asks(PAGE, "PUT", "x-amz-date, X-Amz-Acl")).await;
    assert_eq!((got.status.as_u16(), got.body.len()), (200, 0));
    assert_eq!(got.header("access-control-allow-origin"), PAGE);
    assert_eq!(got.header("access-control-allow-methods"), "GET, PUT");
    assert_eq!(got.header("access-control-allow-headers"), "x-amz-date, X-Amz-Acl");
    assert_eq!(got.header("access-control-max-age"), "60");
    assert_eq!(got.header("access-control-expose-headers"), "ETag");
    assert_eq!(got.header("access-control-allow-credentials"), "true");
    assert_eq!(got.header("vary"), VARY);
    let by_name = client.plain("photos.buckets.test", "OPTIONS", "/a/b", &asks(PAGE, "PUT", "")).await;
    assert_eq!(by_name.status, 200);
    let everyone = question(&client, "/photos", &asks("null", "HEAD", "")).await;
    assert_eq!(everyone.header("access-control-allow-origin"), "*");
    assert!(!everyone.headers.contains_key(header::ACCESS_CONTROL_ALLOW_CREDENTIALS));
}

/// Whether there is a bucket is not to be seen: all that is refused is refused alike.
#[tokio::test]
async fn what_no_rule_takes_is_refused_as_where_there_is_no_bucket() {
    let (_house, client) = with_rules().await;
    assert_eq!(client.refusal("PUT", "/bare", Ask::default()).await, None);
    let nowhere = question(&client, "/nowhere/x", &asks(PAGE, "PUT", "")).await;
    assert_eq!(nowhere.status, 403);
    for (target, asked) in [
        ("/photos/x", asks(PAGE, "DELETE", "")),
        ("/photos/x", asks("https://example.org", "PUT", "")),
        ("/photos/x", asks(PAGE, "PUT", "authorization")),
        ("/bare/x", asks(PAGE, "PUT", "")),
        ("/", asks(PAGE, "GET", "")),
        ("/No_Name/x", asks(PAGE, "GET", "")),
    ] {
        let got = question(&client, target, &asked).await;
        assert_eq!((got.status, &got.body), (nowhere.status, &nowhere.body), "{target} {asked:?}");
        assert!(!got.headers.contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN));
        assert_eq!(got.header("vary"), VARY);
    }
    let many = vec!["x-amz-date"; 101].join(",");
    for asked in [&asks(PAGE, "PUT", "")[..1], &asks(PAGE, "PUT", "")[1..], &asks(PAGE, "PUT", &many)] {
        assert_eq!(question(&client, "/photos/x", asked).await.status, 400, "{asked:?}");
    }
}

#[tokio::test]
async fn answers_say_which_pages_may_see_them() {
    let (_house, client) = with_rules().await;
    let put = Ask { unsigned: &[("origin", PAGE)], body: b"text", ..Ask::default() };
    let got = client.ask("PUT", "/photos/x", put).await.ok();
    assert_eq!(got.header("access-control-allow-origin"), PAGE);
    assert_eq!(got.header("access-control-expose-headers"), "ETag");
    assert!(!got.headers.contains_key(header::ACCESS_CONTROL_ALLOW_METHODS));
    // A page is to see why it was refused, too.
    let got = client.plain("gateway.test", "GET", "/photos/x", &[("origin", PAGE)]).await;
    assert_eq!((got.status.as_u16(), got.header("access-control-allow-origin")), (403, PAGE));
    for unsigned in [&[][..], &[("origin", "https://example.org")]] {
        let got = client.ask("GET", "/photos/x", Ask { unsigned, ..Ask::default() }).await.ok();
        assert!(!got.headers.contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN), "{unsigned:?}");
        assert_eq!(got.header("vary"), VARY, "a cache keeps it from other pages");
    }
}

#[tokio::test]
async fn rules_that_are_none_are_refused() {
    let (_house, client) = with_rules().await;
    let rule = |what: &str| format!("<CORSRule>{what}</CORSRule>");
    let get = "<AllowedMethod>GET</AllowedMethod>";
    let all = "<AllowedOrigin>*</AllowedOrigin>";
    for (rules, code) in [
        (String::new(), "MalformedXML"),
        (rule(all), "MalformedXML"),
        (rule(get), "MalformedXML"),
        (rule(&format!("{all}<AllowedMethod>PATCH</AllowedMethod>")), "InvalidRequest"),
        (rule(&format!("{get}<AllowedOrigin>http*://*</AllowedOrigin>")), "InvalidRequest"),
        (rule(&format!("{get}<AllowedOrigin>{}</AllowedOrigin>", "a".repeat(256))), "InvalidRequest"),
        (rule(&format!("{all}{get}<ExposeHeader>a b</ExposeHeader>")), "InvalidRequest"),
        (rule(&format!("{all}{get}<MaxAgeSeconds>-1</MaxAgeSeconds>")), "InvalidArgument"),
        (rule(&format!("{all}{get}")).repeat(101), "MalformedXML"),
        (rule(&format!("{get}{}", all.repeat(1000))), "MalformedXML"),
    ] {
        assert_eq!(put(&client, &rules).await.as_deref(), Some(code), "{}", &rules[..rules.len().min(200)]);
    }
    assert_eq!(put(&client, &rule(&format!("{get}{}", all.repeat(999)))).await, None);
}

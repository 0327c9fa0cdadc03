//! Buckets that keep versions, by S3 and by REST.

use axum::body::Body;
use datamesh_catalog::Permission;
use http::Method;

use super::signer::{Ask, Client};
use crate::tests::house::{Got, House, noise};

const ENABLED: &[u8] = b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
const SUSPENDED: &[u8] = b"<VersioningConfiguration><Status>Suspended</Status></VersioningConfiguration>";

/// A bucket, and a client of it.
struct Photos {
    house: House,
    client: Client,
}

impl Photos {
    async fn new() -> Self {
        let house = House::new(6).await;
        let client = Client::new(&house, Permission::Admin, &[]).await;
        assert_eq!(client.refusal("PUT", "/photos", Ask::default()).await, None);
        Self { house, client }
    }

    async fn set(&self, body: &[u8]) {
        assert_eq!(
            self.client.refusal("PUT", "/photos?versioning=", Ask { body, ..Ask::default() }).await,
            None
        );
    }

    async fn put(&self, body: &[u8]) -> String {
        let put = self.client.ask("PUT", "/photos/a", Ask { body, ..Ask::default() }).await.ok();
        id_of(&put)
    }

    async fn ask(&self, method: &str, target: &str) -> Got {
        self.client.ask(method, target, Ask::default()).await
    }
}

fn id_of(got: &Got) -> String {
    got.headers.get("x-amz-version-id").map_or_else(String::new, |id| id.to_str().unwrap().to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_version_is_read_copied_and_deleted_by_its_id() {
    let photos = Photos::new().await;
    let (first, second, third) = (noise(1, 5 << 20), noise(2, 10), noise(3, 5 << 20));
    assert_eq!(photos.put(&first).await, "", "the bucket keeps none yet");
    photos.set(ENABLED).await;
    let state = photos.ask("GET", "/photos?versioning=").await.ok();
    assert!(String::from_utf8_lossy(&state.body).contains("<Status>Enabled</Status>"));
    let (two, three) = (photos.put(&second).await, photos.put(&third).await);
    assert!(two.len() == 48 && two != three, "{two} {three}");
    for (id, body) in [("null", &first), (&*two, &second), (&*three, &third)] {
        let got = photos.ask("GET", &format!("/photos/a?versionId={id}")).await.ok();
        assert!(got.body == *body, "{id}");
        assert_eq!(id_of(&got), id);
    }
    let headers = [("x-amz-copy-source", &*format!("/photos/a?versionId={two}"))];
    let copied =
        photos.client.ask("PUT", "/photos/b", Ask { headers: &headers, ..Ask::default() }).await.ok();
    assert_eq!(copied.header("x-amz-copy-source-version-id"), two);
    assert_eq!(photos.ask("GET", "/photos/b").await.ok().body, second);
    let refused = photos.client.refusal("GET", "/photos/a?versionId=nonsense", Ask::default()).await;
    assert_eq!(refused.as_deref(), Some("InvalidArgument"));
    let other = format!("/photos/b?versionId={two}");
    let refused = photos.client.refusal("GET", &other, Ask::default()).await;
    assert_eq!(refused.as_deref(), Some("NoSuchVersion"), "it is another key's");
    let gone = photos.ask("DELETE", &format!("/photos/a?versionId={three}")).await;
    assert_eq!((gone.status.as_u16(), id_of(&gone)), (204, three.clone()));
    assert_eq!(photos.ask("GET", "/photos/a").await.ok().body, second, "the one behind shows");
    assert_eq!(
        photos.client.refusal("DELETE", "/photos", Ask::default()).await.as_deref(),
        Some("BucketNotEmpty")
    );
}

#[tokio::test]
async fn a_delete_leaves_a_marker_whichever_api_asked() {
    let photos = Photos::new().await;
    photos.set(ENABLED).await;
    let one = photos.put(b"one").await;
    let path = "/api/v1/buckets/photos/files/a";
    let by_rest = photos.house.ask(Method::DELETE, path, &[], Body::empty()).await.ok().json();
    assert_eq!(by_rest["key"], "a");
    let marker = by_rest["marker"].as_str().unwrap().to_owned();
    assert_eq!(photos.house.ask(Method::GET, path, &[], Body::empty()).await.problem(), "no-such-object");
    let missed = photos.ask("GET", "/photos/a").await;
    assert_eq!((missed.status.as_u16(), missed.header("x-amz-delete-marker")), (404, "true"));
    assert_eq!(id_of(&missed), marker);
    let itself = photos.ask("GET", &format!("/photos/a?versionId={marker}")).await;
    assert_eq!((itself.status.as_u16(), itself.header("x-amz-delete-marker")), (405, "true"));
    assert_eq!((itself.header("allow"), id_of(&itself)), ("DELETE", marker.clone()));
    assert_eq!(photos.ask("GET", &format!("/photos/a?versionId={one}")).await.ok().body, &b"one"[..]);
    let by_s3 = photos.ask("DELETE", "/photos/a").await;
    assert_eq!(by_s3.header("x-amz-delete-marker"), "true");
    let second = id_of(&by_s3);
    let body = format!(
        "<Delete><Object><Key>a</Key><VersionId>{second}</VersionId></Object><Object><Key>a</Key><VersionId>{marker}</VersionId></Object></Delete>"
    );
    let hash = ring::digest::digest(&ring::digest::SHA256, body.as_bytes());
    let sum = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, hash);
    let headers = [("x-amz-checksum-sha256", &*sum)];
    let ask = Ask { headers: &headers, body: body.as_bytes(), ..Ask::default() };
    let many = photos.client.ask("POST", "/photos?delete=", ask).await.ok();
    let said = String::from_utf8_lossy(&many.body).into_owned();
    assert_eq!(said.matches("<DeleteMarker>true</DeleteMarker>").count(), 2, "{said}");
    assert_eq!(photos.ask("GET", "/photos/a").await.ok().body, &b"one"[..], "nothing hides it any more");
}

#[tokio::test]
async fn versions_are_listed_page_by_page() {
    let photos = Photos::new().await;
    photos.put(b"zero").await;
    photos.set(ENABLED).await;
    let (one, two) = (photos.put(b"one").await, photos.put(b"two").await);
    let marker = id_of(&photos.ask("DELETE", "/photos/a").await);
    let mut found = Vec::new();
    let mut target = "/photos?max-keys=1&versions=".to_owned();
    loop {
        let text = String::from_utf8_lossy(&photos.ask("GET", &target).await.ok().body).into_owned();
        let of = |tag: &str| {
            let (_, rest) = text.split_once(&format!("<{tag}>"))?;
            Some(rest.split_once('<')?.0.to_owned())
        };
        found.push((of("VersionId").unwrap(), of("IsLatest").unwrap()));
        let Some(next) = of("NextVersionIdMarker") else { break };
        target = format!("/photos?key-marker=a&max-keys=1&version-id-marker={next}&versions=");
    }
    let expected = [(&*marker, "true"), (&*two, "false"), (&*one, "false"), ("null", "false")];
    assert_eq!(found, expected.map(|(id, latest)| (id.to_owned(), latest.to_owned())));
    photos.set(SUSPENDED).await;
    assert_eq!(photos.put(b"new").await, "null");
    assert_eq!(photos.ask("GET", "/photos/a?versionId=null").await.ok().body, &b"new"[..]);
}

#[tokio::test]
async fn rest_marks_only_what_it_hides() {
    let photos = Photos::new().await;
    photos.set(ENABLED).await;
    let delete = async |key: &str| {
        let path = format!("/api/v1/buckets/photos/files/{key}");
        photos.house.ask(Method::DELETE, &path, &[], Body::empty()).await
    };
    assert_eq!(delete("none").await.status.as_u16(), 204);
    photos.put(b"one").await;
    assert!(delete("a").await.ok().json().get("marker").is_some());
    assert_eq!(delete("a").await.status.as_u16(), 204, "it is hidden already");
    let listed = photos.ask("GET", "/photos?versions=").await.ok();
    assert_eq!(String::from_utf8_lossy(&listed.body).matches("<DeleteMarker>").count(), 1);
    assert_eq!(
        photos.ask("DELETE", "/photos/none").await.header("x-amz-delete-marker"),
        "true",
        "as S3 does"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delete_in_a_suspended_bucket_says_what_is_gone() {
    let photos = Photos::new().await;
    photos.set(ENABLED).await;
    photos.put(b"kept").await;
    photos.set(SUSPENDED).await;
    let path = "/api/v1/buckets/photos/files/a";
    let kept = photos.house.ask(Method::DELETE, path, &[], Body::empty()).await.ok().json();
    assert_eq!((kept["marker"].as_str(), kept.get("keptUntil")), (Some("null"), None), "{kept}");
    assert_eq!(photos.put(&noise(1, 5 << 20)).await, "null");
    let gone = photos.house.ask(Method::DELETE, path, &[], Body::empty()).await.ok().json();
    assert_eq!((gone["marker"].as_str(), gone["key"].as_str()), (Some("null"), Some("a")));
    assert!(gone["keptUntil"].is_string() && gone["waitsFor"].is_array(), "{gone}");
    let listed = photos.ask("GET", "/photos?versions=").await.ok();
    let listed = String::from_utf8_lossy(&listed.body).into_owned();
    assert_eq!((listed.matches("<Version>").count(), listed.matches("<DeleteMarker>").count()), (1, 1));
}

#[tokio::test]
async fn what_a_marker_hides_is_not_called_shredded() {
    let photos = Photos::new().await;
    photos.set(ENABLED).await;
    photos.put(b"one").await;
    let marker = id_of(&photos.ask("DELETE", "/photos/a").await);
    let path = "/api/v1/buckets/photos/files/a?shred=true";
    let refused = photos.house.ask(Method::DELETE, path, &[], Body::empty()).await;
    assert_eq!((refused.status.as_u16(), refused.problem()), (409, "conflict".to_owned()));
    assert!(refused.json()["detail"].as_str().unwrap().contains(&marker));
    photos.ask("DELETE", &format!("/photos/a?versionId={marker}")).await;
    let begun = photos.house.ask(Method::DELETE, path, &[], Body::empty()).await;
    assert_eq!(begun.status.as_u16(), 202);
    let again = photos.house.ask(Method::DELETE, path, &[], Body::empty()).await;
    assert_eq!(again.status.as_u16(), 204, "nothing is hidden");
}

#[tokio::test]
async fn ids_that_name_nothing_to_read_are_refused() {
    let photos = Photos::new().await;
    photos.set(ENABLED).await;
    photos.put(b"one").await;
    for method in ["GET", "DELETE"] {
        let refused = photos.client.refusal(method, "/photos/a?versionId=", Ask::default()).await;
        assert_eq!(refused.as_deref(), Some("InvalidArgument"), "{method}");
    }
    assert_eq!(photos.ask("GET", "/photos/a").await.ok().body, &b"one"[..], "nothing was deleted");
    let marker = id_of(&photos.ask("DELETE", "/photos/a").await);
    for (source, code) in
        [(format!("/photos/a?versionId={marker}"), "InvalidRequest"), ("/photos/a".into(), "NoSuchKey")]
    {
        let headers = [("x-amz-copy-source", &*source)];
        let refused =
            photos.client.refusal("PUT", "/photos/b", Ask { headers: &headers, ..Ask::default() }).await;
        assert_eq!(refused.as_deref(), Some(code), "{source}");
    }
}

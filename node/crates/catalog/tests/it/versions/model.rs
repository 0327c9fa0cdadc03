//! What buckets with versions have, in plain maps.

use std::collections::BTreeMap;

use datamesh_catalog::keyspace::Keyspace;
use datamesh_catalog::{BucketId, BucketUsage, Catalog, VersionId, VersionQuery, Versioning};

/// A version: its id, and its tag and bytes, or none where it is a delete.
#[derive(Clone, Debug)]
pub(crate) struct Modelled {
    pub(crate) id: VersionId,
    pub(crate) object: Option<(String, u64)>,
}

/// Versions of keys, the newest first.
#[derive(Default)]
pub(crate) struct Model {
    pub(crate) keys: BTreeMap<String, Vec<Modelled>>,
    pub(crate) state: Option<Versioning>,
}

impl Model {
    /// Gives the object that is not kept.
    pub(crate) fn push(
        &mut self,
        key: &str,
        id: Option<VersionId>,
        object: Option<(String, u64)>,
    ) -> Option<(String, u64)> {
        let id = id.unwrap_or(VersionId::Null);
        let versions = self.keys.entry(key.to_owned()).or_default();
        let mut gone = None;
        if self.state != Some(Versioning::Enabled) {
            assert_eq!(id, VersionId::Null);
            gone =
                versions.iter().find(|version| version.id == id).and_then(|version| version.object.clone());
            versions.retain(|version| version.id != id);
        }
        assert!(versions.iter().all(|version| version.id != id), "{id} is given twice");
        versions.insert(0, Modelled { id, object });
        gone
    }

    pub(crate) fn remove(&mut self, key: &str, id: VersionId) {
        let versions = self.keys.get_mut(key).unwrap();
        versions.retain(|there| there.id != id);
        if versions.is_empty() {
            self.keys.remove(key);
        }
    }

    /// The tag of what a key shows.
    pub(crate) fn current(&self, key: &str) -> Option<String> {
        let (etag, _) = self.keys.get(key)?.first()?.object.clone()?;
        Some(etag)
    }

    /// Keys that show something, and its tag.
    pub(crate) fn shown(&self) -> Vec<(String, String)> {
        self.keys.keys().filter_map(|key| Some((key.clone(), self.current(key)?))).collect()
    }

    pub(crate) fn usage(&self) -> BucketUsage {
        let mut usage = BucketUsage::default();
        for (n, Modelled { object, .. }) in
            self.keys.values().flat_map(|versions| versions.iter().enumerate())
        {
            let bytes = object.as_ref().map_or(0, |(_, bytes)| *bytes);
            if n == 0 && object.is_some() {
                usage.objects += 1;
                usage.plain_bytes += bytes;
            } else {
                usage.versions += 1;
                usage.version_bytes += bytes;
            }
        }
        usage
    }

    /// All versions that a list shall have, in order; common prefixes among them.
    pub(crate) fn listed(&self, prefix: &str, delimiter: Option<&str>) -> Vec<String> {
        let mut all: Vec<String> = Vec::new();
        for (key, versions) in &self.keys {
            let Some(rest) = key.strip_prefix(prefix) else { continue };
            let rolled = delimiter.and_then(|by| Some(rest.split_once(by)?.0.to_owned() + by));
            match rolled {
                Some(rolled) => {
                    let rolled = format!("{prefix}{rolled}");
                    if all.last() != Some(&rolled) {
                        all.push(rolled);
                    }
                }
                None => all.extend(versions.iter().enumerate().map(|(n, Modelled { id, object })| {
                    let etag = object.as_ref().map(|(etag, _)| etag);
                    format!("{key} {id} {etag:?} {}", n == 0)
                })),
            }
        }
        all
    }
}

/// The same of the catalog, page by page. Common prefixes of a page are put between its entries by order.
pub(crate) async fn pages<K: Keyspace>(
    catalog: &Catalog<K>,
    bucket: BucketId,
    mut query: VersionQuery,
) -> Vec<String> {
    let mut all = Vec::new();
    loop {
        let listing = catalog.list_versions(bucket, &query).await.unwrap();
        assert!(listing.entries.len() + listing.common_prefixes.len() <= query.limit);
        let mut of_page: Vec<(Vec<u8>, usize, String)> = Vec::new();
        for (n, entry) in listing.entries.iter().enumerate() {
            let etag = entry.object.as_ref().map(|object| &object.etag);
            let text = format!("{} {} {etag:?} {}", entry.key, entry.version, entry.latest);
            of_page.push((entry.key.as_bytes().to_vec(), n, text));
        }
        for prefix in &listing.common_prefixes {
            of_page.push((prefix.clone(), 0, String::from_utf8_lossy(prefix).into_owned()));
        }
        of_page.sort();
        all.extend(of_page.into_iter().map(|(_, _, text)| text));
        let Some(next) = listing.next else { return all };
        query.after = Some(next);
    }
}

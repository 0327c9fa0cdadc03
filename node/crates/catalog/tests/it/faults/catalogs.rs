//! Catalogs on the replicas: clients put, put over, delete, read and list objects of their own at any of them.

use std::collections::BTreeSet;
use std::collections::btree_map::{BTreeMap, Entry};
use std::sync::Arc;

use datamesh_catalog::engine::raft::{RaftKeyspace, ReplicaId};
use datamesh_catalog::{Catalog, Condition, ListQuery};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::world::World;
use super::{CLIENTS, OPERATIONS, faults, same_everywhere};
use crate::register::Register;
use crate::support::{
    ALWAYS, BUCKET, FINGERPRINT, OPTIONS, catalog_on, inline, key, new_upload, one_page, target, upload_id,
};

const KEYS_EACH: usize = 3;
const NOW: u64 = 1000;
const RETENTION: u64 = 1 << 40;

struct Client {
    name: u64,
    registers: Vec<Register>,
    steps: u64,
    acknowledged: u64,
    read: u64,
}

type Found = Result<(), String>;

impl Client {
    fn prefix(&self) -> String {
        format!("client {}/", self.name)
    }

    fn key(&self, n: usize) -> String {
        format!("{}{n}", self.prefix())
    }

    async fn step(&mut self, catalog: &Catalog<RaftKeyspace>, dice: (usize, usize)) -> Found {
        self.steps += 1;
        match dice {
            (n, 0 | 1) => self.put(catalog, n).await,
            (n, 2) => self.put_paged(catalog, n).await,
            (n, 3) => self.delete(catalog, n).await,
            (_, 4) => return self.list(catalog).await,
            (n, _) => return self.get(catalog, n).await,
        }
        Ok(())
    }

    /// Of this client alone, and of no other step.
    fn value(&self) -> u64 {
        (self.name << 32) + self.steps
    }

    async fn put(&mut self, catalog: &Catalog<RaftKeyspace>, n: usize) {
        let value = self.value();
        let target = target(&self.key(n), value);
        let done = catalog.put_inline(&target, &inline(&value.to_string(), NOW), &Condition::None).await;
        self.ended(n, Some(value), done.is_ok());
    }

    async fn put_paged(&mut self, catalog: &Catalog<RaftKeyspace>, n: usize) {
        let value = self.value();
        let upload = new_upload(&self.key(n), value, NOW);
        if catalog
            .begin_upload(datamesh_catalog::NewUpload { lease_until_unix_ms: NOW + RETENTION, ..upload })
            .await
            .is_err()
        {
            return;
        }
        let page = one_page(&[value, value + (1 << 60)], &value.to_string(), NOW);
        let done = catalog.commit_object(upload_id(value), &page, &Condition::None).await;
        self.ended(n, Some(value), done.is_ok());
    }

    async fn delete(&mut self, catalog: &Catalog<RaftKeyspace>, n: usize) {
        let done = catalog.delete_object(BUCKET, &key(&self.key(n)), &Condition::None, ALWAYS, NOW).await;
        self.ended(n, None, done.is_ok());
    }

    fn ended(&mut self, n: usize, value: Option<u64>, acknowledged: bool) {
        if acknowledged {
            self.acknowledged += 1;
            self.registers[n].acknowledged(value);
        } else {
            self.registers[n].unknown(value);
        }
    }

    /// A read that fails says nothing.
    async fn get(&mut self, catalog: &Catalog<RaftKeyspace>, n: usize) -> Found {
        let name = self.key(n);
        let Ok(object) = catalog.object(BUCKET, &key(&name)).await else { return Ok(()) };
        let seen = object.map(|object| object.etag.parse().unwrap());
        self.read += 1;
        self.registers[n].saw(seen).map_err(|what| format!("{name}: {what}"))
    }

    async fn list(&mut self, catalog: &Catalog<RaftKeyspace>) -> Found {
        let query = ListQuery { prefix: self.prefix().into_bytes(), limit: 100, ..ListQuery::default() };
        let Ok(listing) = catalog.list(BUCKET, &query).await else { return Ok(()) };
        let listed: BTreeSet<_> = listing.entries.into_iter().map(|entry| entry.key).collect();
        self.read += 1;
        for (n, register) in self.registers.iter().enumerate() {
            let name = self.key(n);
            register.listed(listed.contains(&key(&name))).map_err(|what| format!("{name}: {what}"))?;
        }
        Ok(())
    }
}

async fn client(world: Arc<World>, name: u64) -> Result<Client, String> {
    let registers = vec![Register::default(); KEYS_EACH];
    let mut client = Client { name, registers, steps: 0, acknowledged: 0, read: 0 };
    let mut catalogs = BTreeMap::new();
    for _ in 0..OPERATIONS {
        let ids = world.ids();
        let id = ids[world.below(ids.len())];
        let dice = (world.below(KEYS_EACH), world.below(8));
        if let Some(catalog) = opened(&world, &mut catalogs, id).await {
            let answered = client.acknowledged + client.read;
            client.step(catalog, dice).await?;
            // Perhaps the replica is gone, and another one there by now.
            if client.acknowledged + client.read == answered {
                catalogs.remove(&id);
            }
        }
        sleep(world.up_to_ms(100)).await;
    }
    Ok(client)
}

/// A gateway opens its catalog once: each time that is a commit.
async fn opened<'a>(
    world: &World,
    catalogs: &'a mut BTreeMap<ReplicaId, Catalog<RaftKeyspace>>,
    id: ReplicaId,
) -> Option<&'a Catalog<RaftKeyspace>> {
    if let Entry::Vacant(vacant) = catalogs.entry(id) {
        let at = world.keyspace(id)?;
        vacant.insert(Catalog::with_keyspace(at, FINGERPRINT, OPTIONS).await.ok()?);
    }
    catalogs.get(&id)
}

/// One run: clients, faults, and in the end all replicas are the same and have what was acknowledged.
pub(super) async fn run(world: Arc<World>) -> Result<(u64, u64), String> {
    let mut clients = JoinSet::new();
    for name in 1..=CLIENTS {
        clients.spawn(client(Arc::clone(&world), name));
    }
    faults(&world).await;
    let clients = clients.join_all().await.into_iter().collect::<Result<Vec<_>, _>>()?;
    same_everywhere(&world).await?;
    let mut counts = (0, 0);
    for mut client in clients {
        counts = (counts.0 + client.acknowledged, counts.1 + client.read);
        let read = client.read;
        for id in world.ids() {
            let catalog = catalog_on(world.keyspace(id).unwrap()).await;
            for n in 0..KEYS_EACH {
                client.get(&catalog, n).await?;
            }
            client.list(&catalog).await?;
        }
        let all = u64::try_from((KEYS_EACH + 1) * world.ids().len()).unwrap();
        if client.read != read + all {
            return Err("a read fails though nothing does any more".into());
        }
    }
    Ok(counts)
}

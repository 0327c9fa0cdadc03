//! Two folders and the bucket between them, in memory: whatever is edited where, all become the same and no version is lost.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

const BOTH: Rules = Rules { direction: Direction::Both, delete: false };

/// Content is a number that no other edit writes. The identity of a local file is made of it, as an mtime would be.
type Content = u64;

fn identity(content: Content, touched: u128) -> Identity {
    Identity { size: 1, modified_ns: u128::from(content) << 64 | touched }
}

/// The bucket: its entity tags count what was stored.
#[derive(Default)]
struct Bucket {
    objects: BTreeMap<String, (Content, String)>,
    stored: u64,
}

impl Bucket {
    fn put(&mut self, path: &str, content: Content) -> String {
        self.stored += 1;
        let etag = self.stored.to_string();
        self.objects.insert(path.to_owned(), (content, etag.clone()));
        etag
    }

    fn meets(&self, path: &str, only: &Only) -> bool {
        let etag = self.objects.get(path).map(|(_, etag)| etag);
        match only {
            Only::Always => true,
            Only::IfAbsent => etag.is_none(),
            Only::IfMatch(wanted) => etag == Some(wanted),
        }
    }
}

/// A folder somewhere, and what it knows.
#[derive(Default)]
struct Replica {
    name: &'static str,
    files: BTreeMap<String, (Content, Identity)>,
    known: BTreeMap<String, Known>,
}

impl Replica {
    fn sides(&self, bucket: &Bucket) -> Sides {
        let local = self.files.iter().map(|(path, (_, id))| (path.clone(), *id)).collect();
        let remote = bucket
            .objects
            .iter()
            .map(|(path, (_, etag))| (path.clone(), RemoteFile { size: 1, etag: etag.clone() }));
        let mut sides =
            Sides { known: self.known.clone(), local, remote: remote.collect(), alike: BTreeSet::new() };
        let same = |path: &String| {
            self.files.get(path).map(|(content, _)| *content)
                == bucket.objects.get(path).map(|(content, _)| *content)
        };
        sides.alike = sides.doubtful().into_iter().filter(same).collect();
        sides
    }

    fn plan(&self, bucket: &Bucket, rules: Rules) -> Vec<Step> {
        self.sides(bucket).plan(rules, |path, number| format!("{path} ({} {number})", self.name))
    }

    /// Does what a step says, unless what it expects is not there: then nothing.
    fn act(&mut self, bucket: &mut Bucket, step: Step) {
        let is = |files: &BTreeMap<String, (Content, Identity)>, path: &str, was: Option<Identity>| {
            files.get(path).map(|(_, id)| *id) == was
        };
        match step {
            Step::Upload { path, only } if bucket.meets(&path, &only) => self.upload(bucket, &path),
            Step::Download { path, replaces } if is(&self.files, &path, replaces) => {
                self.download(bucket, &path);
            }
            Step::DeleteRemote { path, etag }
                if !self.files.contains_key(&path) && bucket.meets(&path, &Only::IfMatch(etag.clone())) =>
            {
                bucket.objects.remove(&path);
                self.known.remove(&path);
            }
            Step::DeleteLocal { path, was } if is(&self.files, &path, Some(was)) => {
                self.files.remove(&path);
                self.known.remove(&path);
            }
            Step::KeepBoth { path, was, becomes } if is(&self.files, &path, Some(was)) => {
                let file = self.files.remove(&path).unwrap();
                self.files.insert(becomes.clone(), file);
                self.download(bucket, &path);
                if bucket.meets(&becomes, &Only::IfAbsent) {
                    self.upload(bucket, &becomes);
                }
            }
            Step::Remember { path, known } => drop(self.known.insert(path, known)),
            Step::Forget { path } => drop(self.known.remove(&path)),
            _ => {}
        }
    }

    fn upload(&mut self, bucket: &mut Bucket, path: &str) {
        if let Some((content, local)) = self.files.get(path).copied() {
            let etag = bucket.put(path, content);
            self.known.insert(path.to_owned(), Known { local, etag });
        }
    }

    fn download(&mut self, bucket: &Bucket, path: &str) {
        if let Some((content, etag)) = bucket.objects.get(path).cloned() {
            let local = identity(content, 1);
            self.files.insert(path.to_owned(), (content, local));
            self.known.insert(path.to_owned(), Known { local, etag });
        }
    }
}

#[derive(Clone, Debug)]
enum Event {
    Write(usize, usize),
    Touch(usize, usize),
    Delete(usize, usize),
    Rename(usize, usize, usize),
    Sync(usize),
    /// One plans, the other is through before it acts, and it is interrupted after so many steps.
    Race(usize, usize),
    /// Between its plan and its steps somebody writes in its folder.
    Late(usize, usize),
    /// It no longer knows anything.
    LoseState(usize),
}

fn event() -> impl Strategy<Value = Event> {
    let (who, path) = (0..2_usize, 0..4_usize);
    prop_oneof![
        4 => (who.clone(), path.clone()).prop_map(|(who, path)| Event::Write(who, path)),
        1 => (who.clone(), path.clone()).prop_map(|(who, path)| Event::Touch(who, path)),
        2 => (who.clone(), path.clone()).prop_map(|(who, path)| Event::Delete(who, path)),
        1 => (who.clone(), path.clone(), path.clone()).prop_map(|(who, a, b)| Event::Rename(who, a, b)),
        4 => who.clone().prop_map(Event::Sync),
        2 => (who.clone(), 0..6_usize).prop_map(|(who, steps)| Event::Race(who, steps)),
        2 => (who.clone(), path).prop_map(|(who, path)| Event::Late(who, path)),
        1 => who.prop_map(Event::LoseState),
    ]
}

/// All of it, and which contents somebody wanted gone.
struct World {
    replicas: [Replica; 2],
    bucket: Bucket,
    written: Content,
    gone: BTreeSet<Content>,
}

impl World {
    fn new() -> Self {
        let replica = |name| Replica { name, ..Replica::default() };
        Self {
            replicas: ["a", "b"].map(replica),
            bucket: Bucket::default(),
            written: 0,
            gone: BTreeSet::new(),
        }
    }

    fn sync(&mut self, who: usize) {
        for step in self.replicas[who].plan(&self.bucket, BOTH) {
            self.replicas[who].act(&mut self.bucket, step);
        }
    }

    fn happen(&mut self, event: Event) {
        let name = |path: usize| ["p", "q", "d/p", "d/q"][path].to_owned();
        match event {
            Event::Write(who, path) => {
                self.written += 1;
                let file = (self.written, identity(self.written, 0));
                let before = self.replicas[who].files.insert(name(path), file);
                self.gone.extend(before.map(|(content, _)| content));
            }
            Event::Touch(who, path) => {
                if let Some((_, id)) = self.replicas[who].files.get_mut(&name(path)) {
                    id.modified_ns += 1;
                }
            }
            Event::Delete(who, path) => {
                let before = self.replicas[who].files.remove(&name(path));
                self.gone.extend(before.map(|(content, _)| content));
            }
            Event::Rename(who, from, to) if from != to => {
                if let Some(file) = self.replicas[who].files.remove(&name(from)) {
                    let before = self.replicas[who].files.insert(name(to), file);
                    self.gone.extend(before.map(|(content, _)| content));
                }
            }
            Event::Rename(..) => {}
            Event::Sync(who) => self.sync(who),
            Event::Race(who, steps) => {
                let plan = self.replicas[who].plan(&self.bucket, BOTH);
                self.sync(1 - who);
                for step in plan.into_iter().take(steps) {
                    self.replicas[who].act(&mut self.bucket, step);
                }
            }
            Event::Late(who, path) => {
                let plan = self.replicas[who].plan(&self.bucket, BOTH);
                self.happen(Event::Write(who, path));
                for step in plan {
                    self.replicas[who].act(&mut self.bucket, step);
                }
            }
            Event::LoseState(who) => self.replicas[who].known.clear(),
        }
    }

    /// Versions that nobody has any more, and nobody wanted gone.
    fn lost(&self) -> Vec<Content> {
        let left: BTreeSet<Content> = self.bucket.objects.values().map(|(content, _)| *content).collect();
        let there = |content: &Content| left.contains(content) || self.gone.contains(content);
        (1..=self.written).filter(|content| !there(content)).collect()
    }

    fn contents(&self, who: usize) -> BTreeMap<&String, Content> {
        self.replicas[who].files.iter().map(|(path, (content, _))| (path, *content)).collect()
    }
}

proptest! {
    #[test]
    fn replicas_become_the_same_and_lose_no_version(events in prop::collection::vec(event(), 0..60)) {
        let mut world = World::new();
        for event in events {
            world.happen(event);
        }
        for who in [0, 1, 0, 1] {
            world.sync(who);
        }
        let objects: BTreeMap<&String, Content> =
            world.bucket.objects.iter().map(|(path, (content, _))| (path, *content)).collect();
        prop_assert_eq!(world.contents(0), objects.clone());
        prop_assert_eq!(world.contents(1), objects.clone());
        prop_assert_eq!(world.lost(), Vec::<Content>::new());
        for replica in &world.replicas {
            prop_assert_eq!(replica.plan(&world.bucket, BOTH), vec![]);
        }
    }

    #[test]
    fn one_way_makes_one_side_like_the_other(
        events in prop::collection::vec(event(), 0..40), up in any::<bool>(), delete in any::<bool>()
    ) {
        let mut world = World::new();
        for event in events {
            world.happen(event);
        }
        let before = (world.replicas[0].files.clone(), world.bucket.objects.clone());
        let direction = if up { Direction::Up } else { Direction::Down };
        for step in world.replicas[0].plan(&world.bucket, Rules { direction, delete }) {
            world.replicas[0].act(&mut world.bucket, step);
        }
        let here = world.contents(0);
        let there: BTreeMap<&String, Content> =
            world.bucket.objects.iter().map(|(path, (content, _))| (path, *content)).collect();
        let (lead, follow) = if up { (&here, &there) } else { (&there, &here) };
        prop_assert!(lead.iter().all(|(path, content)| follow.get(path) == Some(content)));
        prop_assert!(!delete || lead.len() == follow.len());
        if up {
            prop_assert_eq!(&before.0, &world.replicas[0].files);
        } else {
            prop_assert_eq!(&before.1, &world.bucket.objects);
        }
    }
}

/// That the search above could find a loss.
#[test]
fn whoever_writes_over_a_conflict_is_found() {
    let mut world = World::new();
    for event in [Event::Write(0, 0), Event::Sync(0), Event::Sync(1), Event::Write(0, 0), Event::Sync(0)] {
        world.happen(event);
    }
    world.happen(Event::Write(1, 0));
    let plan = world.replicas[1].plan(&world.bucket, BOTH);
    let [Step::KeepBoth { path, .. }] = &plan[..] else { unreachable!("{plan:?}") };
    let over = Step::Upload { path: path.clone(), only: Only::Always };
    world.replicas[1].act(&mut world.bucket, over);
    world.sync(0);
    assert_eq!(world.lost(), [2]);
}

/// A file that was away for a moment keeps its object, which others would lose with it.
#[test]
fn a_file_that_is_back_keeps_its_object() {
    let mut world = World::new();
    for event in [Event::Write(0, 0), Event::Sync(0), Event::Delete(0, 0), Event::Late(0, 0)] {
        world.happen(event);
    }
    assert_eq!(world.bucket.objects.len(), 1);
}

/// What a one-way run left alone, the next two-way run does not delete.
#[test]
fn what_one_way_keeps_both_ways_do_not_delete() {
    for (direction, only_here) in [(Direction::Up, false), (Direction::Down, true)] {
        let mut world = World::new();
        for event in [Event::Write(0, 0), Event::Sync(0)] {
            world.happen(event);
        }
        if only_here {
            world.bucket.objects.clear();
        } else {
            world.happen(Event::Delete(0, 0));
        }
        for step in world.replicas[0].plan(&world.bucket, Rules { direction, delete: false }) {
            world.replicas[0].act(&mut world.bucket, step);
        }
        world.sync(0);
        assert_eq!((world.replicas[0].files.len(), world.bucket.objects.len()), (1, 1), "{direction:?}");
    }
}

/// Without the word of what both knew, a deletion is none, and what is deleted comes back.
#[test]
fn without_a_state_nothing_is_deleted() {
    let mut world = World::new();
    for event in [Event::Write(0, 0), Event::Sync(0), Event::Sync(1)] {
        world.happen(event);
    }
    world.happen(Event::Delete(0, 0));
    world.replicas[0].known.clear();
    assert!(matches!(&world.replicas[0].plan(&world.bucket, BOTH)[..], [Step::Download { .. }]));
    world.happen(Event::Sync(0));
    world.happen(Event::Delete(0, 0));
    assert!(matches!(&world.replicas[0].plan(&world.bucket, BOTH)[..], [Step::DeleteRemote { .. }]));
}

#[test]
fn the_plan_knows_what_each_step_moves() {
    let of = |size| Identity { size, modified_ns: 7 };
    let there = |size: u64| RemoteFile { size, etag: "new".into() };
    let known = |size| Known { local: of(size), etag: "old".into() };
    let sides = Sides {
        known: [("deleted", known(5)), ("gone", known(1))].map(|(path, known)| (path.into(), known)).into(),
        local: [("deleted", of(5)), ("differs", of(30)), ("here", of(3))]
            .map(|(path, id)| (path.into(), id))
            .into(),
        remote: [("differs", there(400)), ("there", there(70))]
            .map(|(path, file)| (path.into(), file))
            .into(),
        alike: BTreeSet::new(),
    };
    let steps = sides.plan(BOTH, |path, number| format!("{path} {number}"));
    let moves: Vec<_> = steps.iter().map(|step| (step.path(), sides.bytes(step))).collect();
    let bytes = |up, down| Bytes { up, down };
    assert_eq!(
        moves,
        [
            ("deleted", bytes(0, 0)),
            ("differs", bytes(30, 400)),
            ("gone", bytes(0, 0)),
            ("here", bytes(3, 0)),
            ("there", bytes(0, 70)),
        ]
    );
}

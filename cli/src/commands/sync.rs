//! A folder and the keys below a prefix become the same. [`plan`] decides, [`act`] does it; what was agreed on is in [`state`].

mod act;
mod guard;
mod local;
mod names;
mod pass;
mod plan;
mod state;
mod watch;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use tokio::time::timeout;

use crate::args::{MirrorArgs, SyncArgs};
use crate::commands::Session;
use crate::commands::put::PARALLEL_FILES;
use crate::failure::Failure;
use crate::output;
use crate::progress::Whole;
use act::Bars;
use guard::{Counts, MassDeletion, Top};
use local::Found;
use pass::{Pass, say};
use plan::{Bytes, Known, RemoteFile, Rules, Sides, Step};
use state::State;

pub(crate) use plan::Direction;

/// Steps that are begun together.
const STEPS_MAX: usize = 64;
/// After this long what was done is noted: what came since is looked at again after an interruption. The note of many files is long.
const NOTE_PERIOD: Duration = Duration::from_secs(10);
/// While a folder is watched, all of both sides is looked at this often: not every change is told.
const LOOK_PERIOD: Duration = Duration::from_secs(3600);
/// So soon where something could not be done: not everything that makes it possible is told.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// Synchronises once.
pub(crate) async fn run(session: &Session, args: SyncArgs) -> Result<ExitCode, Failure> {
    if args.delete && args.direction == Direction::Both {
        return Err(Failure::Usage(
            "--delete is for --direction up or down; both ways, what one side deleted is deleted anyway"
                .into(),
        ));
    }
    let rules = Rules { direction: args.direction, delete: args.delete };
    if rules.direction == Direction::Down && !args.dry_run {
        std::fs::create_dir_all(&args.folder).map_err(Failure::file(&args.folder))?;
    }
    let mut pair = Pair::open(session, &args.folder, &args.prefix, rules).await?;
    pair.mass_delete = args.mass_delete;
    let mut pass = pair.look().await?;
    if args.dry_run {
        pass.steps.iter().try_for_each(|step| say(session, step))?;
    } else {
        pair.perform(&mut pass).await?;
    }
    pass.report(session, args.dry_run)
}

/// Makes the bucket like the folder; with `--watch` whenever something changes there.
pub(crate) async fn mirror(session: &Session, args: MirrorArgs) -> Result<ExitCode, Failure> {
    let rules = Rules { direction: Direction::Up, delete: args.delete };
    let mut pair = Pair::open(session, &args.folder, &args.prefix, rules).await?;
    pair.mass_delete = args.mass_delete;
    // Before the first look, so that nothing changes unseen between the two.
    let watch = args.watch.then(|| watch::Watch::of(pair.top.path())).transpose()?;
    let mut pass = pair.look().await?;
    pair.perform(&mut pass).await?;
    let exit = pass.report(session, false)?;
    let Some(mut watch) = watch else { return Ok(exit) };
    output::note(&format!("{} is watched; Ctrl-C ends that", pair.top.path().display()));
    loop {
        let period = if pass.unfinished.is_empty() { LOOK_PERIOD } else { LOOK_AGAIN };
        // What was gathered when the time is over is seen by the look at everything.
        let changed = timeout(period, watch.next()).await.unwrap_or(Ok(watch::Changed::Anything))?;
        pass = match changed {
            watch::Changed::Paths(paths) => pair.look_at(&paths)?,
            watch::Changed::Anything => pair.look().await?,
        };
        pair.perform(&mut pass).await?;
        if pass.counts.is_none() && !pass.unfinished.is_empty() {
            // Something else is there than was known of: look at both sides.
            let mut again = pair.look().await?;
            pair.perform(&mut again).await?;
            pass = again.after(pass.steps);
        }
        if pass.moves() {
            pass.report(session, false)?;
        }
    }
}

/// A folder, the keys below a prefix, and what both last agreed on.
struct Pair<'a> {
    session: &'a Session,
    top: Top,
    prefix: String,
    rules: Rules,
    /// Whether most of a side may be deleted.
    mass_delete: bool,
    state: State,
}

impl<'a> Pair<'a> {
    async fn open(session: &'a Session, folder: &Path, prefix: &str, rules: Rules) -> Result<Self, Failure> {
        if !folder.is_dir() {
            return Err(Failure::Usage(format!("{} is no folder: make it first", folder.display())));
        }
        let prefix = prefix.trim_end_matches('/');
        let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        let top = Top::of(folder)?;
        let state = State::open(session, folder, &prefix).await?;
        Ok(Self { session, top, prefix, rules, mass_delete: false, state })
    }

    fn sides(&self) -> act::Sides<'_> {
        act::Sides { session: self.session, top: &self.top, prefix: &self.prefix }
    }

    /// Looks at all of both sides.
    async fn look(&self) -> Result<Pass, Failure> {
        let mut found = local::scan(self.top.path(), "")?;
        // What was found was found in the folder that was named, whatever is at its path by now.
        self.top.check()?;
        let mut remote = BTreeMap::new();
        let see = |object: crate::client::ObjectInfo| {
            let path = object.key.strip_prefix(&self.prefix).unwrap_or(&object.key).to_owned();
            match names::refusal(&path) {
                Some(why) => drop(found.skipped.insert(path, why)),
                None => drop(remote.insert(path, RemoteFile { size: object.size, etag: object.etag })),
            }
            Ok(())
        };
        self.session.client.each_object(&self.prefix, see).await?;
        let mut sides = Sides { known: self.state.files().clone(), remote, ..Sides::default() };
        let clashes = separate(&mut sides, &mut found);
        let counts = Counts { local: sides.local.len(), remote: sides.remote.len() };
        let unfinished = self.compare(&mut sides).await?;
        let (steps, bytes) = self.steps(&sides);
        Ok(Pass { steps, bytes, counts: Some(counts), skipped: found.skipped, clashes, unfinished })
    }

    /// Reads what only its bytes can tell apart. What cannot be read is left alone, and given with the reason.
    async fn compare(&self, sides: &mut Sides) -> Result<Vec<(String, String)>, Failure> {
        let mut unread = Vec::new();
        for path in sides.doubtful() {
            match self.sides().are_alike(&path).await {
                Ok(true) => drop(sides.alike.insert(path)),
                Ok(false) => {}
                Err(failure) if is_of_this_file(&failure) => {
                    sides.known.remove(&path);
                    sides.local.remove(&path);
                    sides.remote.remove(&path);
                    unread.push((path, failure.to_string()));
                }
                Err(failure) => return Err(failure),
            }
        }
        Ok(unread)
    }

    /// Looks at some paths of the folder alone; of the bucket it goes by what is known.
    fn look_at(&self, paths: &BTreeSet<String>) -> Result<Pass, Failure> {
        let mut found = Found::default();
        let is_followed = |path: &&String| names::refusal(path).is_none() && !self.top.leads_out(path);
        let paths: BTreeSet<&str> = paths.iter().filter(is_followed).map(String::as_str).collect();
        for path in &paths {
            let below = local::scan(self.top.path(), path)?;
            found.files.extend(below.files);
            found.skipped.extend(below.skipped);
        }
        // A folder that was moved away has none of these, and nobody deleted them.
        self.top.check()?;
        let is_meant = |path: &str| {
            Path::new(path).ancestors().any(|above| above.to_str().is_some_and(|above| paths.contains(above)))
        };
        let known: BTreeMap<String, Known> =
            self.state.files().iter().filter(|(path, _)| is_meant(path)).map(owned).collect();
        let as_known = |(path, known): (&String, &Known)| {
            (path.clone(), RemoteFile { size: known.local.size, etag: known.etag.clone() })
        };
        let remote = known.iter().map(as_known).collect();
        let mut sides = Sides { known, remote, ..Sides::default() };
        let clashes = separate(&mut sides, &mut found);
        let (steps, bytes) = self.steps(&sides);
        Ok(Pass { steps, bytes, skipped: found.skipped, clashes, ..Pass::default() })
    }

    /// What is to be done, and what each step is to move.
    fn steps(&self, sides: &Sides) -> (Vec<Step>, Vec<Bytes>) {
        let host = rustix::system::uname().nodename().to_string_lossy().replace('/', "_");
        let date = jiff::Timestamp::now().strftime("%Y-%m-%d %H%M%S").to_string();
        let steps = sides.plan(self.rules, |path, number| names::copy_of(path, &host, &date, number));
        let bytes = steps.iter().map(|step| sides.bytes(step)).collect();
        (steps, bytes)
    }

    fn refuse_mass_deletion(&self, pass: &Pass) -> Result<(), Failure> {
        let found = pass.counts.and_then(|counts| guard::mass_deletion(&pass.steps, counts));
        let (lacks, deleted) = match found {
            Some(MassDeletion::Objects(count)) if !self.mass_delete => {
                (self.top.path().display().to_string(), format!("{count} objects"))
            }
            Some(MassDeletion::Files(count)) if !self.mass_delete => {
                (format!("the bucket below {:?}", self.prefix), format!("{count} files"))
            }
            _ => return Ok(()),
        };
        Err(Failure::Usage(format!(
            "{lacks} is empty or lacks most of what the other side has, and {deleted} would be deleted: check that its volume is \
             mounted and the prefix is the one you mean; --dry-run shows which, and --mass-delete deletes them"
        )))
    }

    /// One bar for all that is to move.
    fn bar(&self, bytes: &[Bytes]) -> Whole {
        let bytes = bytes.iter().map(|bytes| bytes.up.saturating_add(bytes.down));
        let name = self.top.path().to_string_lossy();
        Whole::of(&name, bytes.fold(0, u64::saturating_add), self.session.quiet)
    }

    /// Does the steps, says which, and notes what came of them.
    async fn perform(&mut self, pass: &mut Pass) -> Result<(), Failure> {
        self.refuse_mass_deletion(pass)?;
        let whole = self.bar(&pass.bytes);
        let mut done = Vec::new();
        let (mut broken, mut noted) = (Ok(()), Instant::now());
        for (steps, bytes) in pass.steps.chunks(STEPS_MAX).zip(pass.bytes.chunks(STEPS_MAX)) {
            let sides = self.sides();
            let acts = steps.iter().zip(bytes).map(|(step, bytes)| {
                let bars = Bars { up: whole.part(bytes.up), down: whole.part(bytes.down) };
                async move { (step, sides.act(step, bars).await) }
            });
            let outcomes: Vec<_> = futures::stream::iter(acts).buffered(PARALLEL_FILES).collect().await;
            for (step, outcome) in outcomes {
                match outcome {
                    Ok(notes) => {
                        notes.into_iter().for_each(|(path, known)| self.state.note(path, known));
                        whole.suspend(|| say(self.session, step))?;
                        done.push(step.clone());
                    }
                    Err(failure) if is_of_this_file(&failure) => {
                        pass.unfinished.push((step.path().to_owned(), failure.to_string()));
                    }
                    Err(failure) => broken = Err(failure),
                }
            }
            if broken.is_err() {
                break;
            }
            if noted.elapsed() > NOTE_PERIOD {
                self.state.save()?;
                noted = Instant::now();
            }
        }
        self.state.save()?;
        pass.steps = done;
        broken
    }
}

/// Takes what cannot be on both sides out of them. Gives what clashes: a file where the other side has a folder, or one above.
fn separate(sides: &mut Sides, found: &mut Found) -> BTreeSet<String> {
    let mut paths: BTreeSet<&str> = found.files.keys().map(String::as_str).collect();
    paths.extend(sides.remote.keys().map(String::as_str));
    let taken = local::taken(&found.skipped);
    let is_below_taken = |path: &String| {
        Path::new(path).ancestors().any(|above| above.to_str().is_some_and(|above| taken.contains(above)))
    };
    let refused = names::clashes(&paths, &taken);
    for path in &refused {
        found.files.remove(path);
        sides.remote.remove(path);
        found.skipped.entry(path.clone()).or_insert("a file is where a folder is, or the other way round");
    }
    // What is left alone is not gone.
    sides.known.retain(|path, _| !found.skipped.contains_key(path));
    sides.local = std::mem::take(&mut found.files);
    refused.into_iter().filter(|path| !is_below_taken(path)).collect()
}

fn owned((path, known): (&String, &Known)) -> (String, Known) {
    (path.clone(), known.clone())
}

/// Whether the others can go on: it was changed meanwhile, or the file system refuses it.
fn is_of_this_file(failure: &Failure) -> bool {
    matches!(
        failure,
        Failure::Changed(_)
            | Failure::File { .. }
            | Failure::Usage(_)
            | Failure::SizeDiffers { .. }
            | Failure::Refused { status: 400 | 404 | 409 | 412, .. }
    )
}

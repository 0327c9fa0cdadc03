//! A folder and the keys below a prefix become the same. [`plan`] decides, [`act`] does it; what was agreed on is in [`state`].

mod act;
mod local;
mod names;
mod plan;
mod state;
mod watch;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use serde_json::{Value, json};

use crate::args::{MirrorArgs, SyncArgs};
use crate::commands::Session;
use crate::commands::put::PARALLEL_FILES;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output;
use local::Found;
use plan::{Known, RemoteFile, Rules, Sides, Step};
use state::State;

pub(crate) use plan::Direction;

/// Steps that are begun together.
const STEPS_MAX: usize = 64;
/// After this long what was done is noted: what came since is looked at again after an interruption. The note of many files is long.
const NOTE_PERIOD: Duration = Duration::from_secs(10);

/// Synchronises once.
pub(crate) async fn run(session: &Session, args: SyncArgs) -> Result<ExitCode, Failure> {
    let rules = Rules { direction: args.direction, delete: args.delete };
    if rules.direction == Direction::Down && !args.dry_run {
        std::fs::create_dir_all(&args.folder).map_err(Failure::file(&args.folder))?;
    }
    let mut pair = Pair::open(session, args.folder, &args.prefix, rules).await?;
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
    let mut pair = Pair::open(session, args.folder, &args.prefix, rules).await?;
    // Before the first look, so that nothing changes unseen between the two.
    let watch = args.watch.then(|| watch::Watch::of(&pair.folder)).transpose()?;
    let mut pass = pair.look().await?;
    pair.perform(&mut pass).await?;
    let exit = pass.report(session, false)?;
    let Some(mut watch) = watch else { return Ok(exit) };
    output::note(&format!("{} is watched; Ctrl-C ends that", pair.folder.display()));
    loop {
        let changed = watch.next().await?;
        let mut pass = match changed {
            watch::Changed::Paths(paths) => pair.look_at(&paths)?,
            watch::Changed::Anything => pair.look().await?,
        };
        pair.perform(&mut pass).await?;
        if !pass.unfinished.is_empty() {
            // Something else is there than was known of: look at both sides.
            pass = pair.look().await?;
            pair.perform(&mut pass).await?;
        }
        if pass.moves() {
            pass.report(session, false)?;
        }
    }
}

/// A folder, the keys below a prefix, and what both last agreed on.
struct Pair<'a> {
    session: &'a Session,
    folder: PathBuf,
    prefix: String,
    rules: Rules,
    state: State,
}

/// What is to be done, and what came of it.
#[derive(Default)]
struct Pass {
    steps: Vec<Step>,
    /// Left alone, and why.
    skipped: BTreeMap<String, &'static str>,
    /// Was to be done and could not: it is looked at again the next time.
    unfinished: Vec<(String, String)>,
}

impl<'a> Pair<'a> {
    async fn open(
        session: &'a Session,
        folder: PathBuf,
        prefix: &str,
        rules: Rules,
    ) -> Result<Self, Failure> {
        if !folder.is_dir() {
            return Err(Failure::Usage(format!("{} is no folder: make it first", folder.display())));
        }
        let prefix = prefix.trim_end_matches('/');
        let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        let state = State::open(session, &folder, &prefix).await?;
        Ok(Self { session, folder, prefix, rules, state })
    }

    fn sides(&self) -> act::Sides<'_> {
        act::Sides { session: self.session, folder: &self.folder, prefix: &self.prefix }
    }

    /// Looks at all of both sides.
    async fn look(&self) -> Result<Pass, Failure> {
        let mut found = local::scan(&self.folder, "")?;
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
        let pass = self.planned(&mut sides, found).await?;
        self.refuse_to_empty(&sides, &pass)?;
        Ok(pass)
    }

    /// Looks at some paths of the folder alone; of the bucket it goes by what is known.
    fn look_at(&self, paths: &BTreeSet<String>) -> Result<Pass, Failure> {
        let mut found = Found::default();
        for path in paths {
            let below = local::scan(&self.folder, path)?;
            found.files.extend(below.files);
            found.skipped.extend(below.skipped);
        }
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
        separate(&mut sides, &mut found);
        Ok(Pass { steps: self.steps(&sides), skipped: found.skipped, unfinished: Vec::new() })
    }

    async fn planned(&self, sides: &mut Sides, mut found: Found) -> Result<Pass, Failure> {
        separate(sides, &mut found);
        for path in sides.doubtful() {
            if self.sides().are_alike(&path).await? {
                sides.alike.insert(path);
            }
        }
        Ok(Pass { steps: self.steps(sides), skipped: found.skipped, unfinished: Vec::new() })
    }

    fn steps(&self, sides: &Sides) -> Vec<Step> {
        let host = rustix::system::uname().nodename().to_string_lossy().replace('/', "_");
        let date = jiff::Timestamp::now().strftime("%Y-%m-%d %H%M%S").to_string();
        sides.plan(self.rules, |path, number| names::copy_of(path, &host, &date, number))
    }

    /// A volume that is not mounted looks like a folder whose files were all deleted, and a bucket that was made anew like one that was
    /// emptied.
    fn refuse_to_empty(&self, sides: &Sides, pass: &Pass) -> Result<(), Failure> {
        let count = |of: fn(&Step) -> bool| pass.steps.iter().filter(|step| of(step)).count();
        let remote = count(|step| matches!(step, Step::DeleteRemote { .. }));
        let local = count(|step| matches!(step, Step::DeleteLocal { .. }));
        let (empty, deleted) = if sides.local.is_empty() && remote > 0 {
            (self.folder.display().to_string(), format!("{remote} objects"))
        } else if sides.remote.is_empty() && local > 0 {
            (format!("the bucket below {:?}", self.prefix), format!("{local} files"))
        } else {
            return Ok(());
        };
        if self.rules.delete {
            return Ok(());
        }
        Err(Failure::Usage(format!(
            "{empty} is empty, and {deleted} would be deleted: if that is meant, say so with --delete"
        )))
    }

    /// Does the steps, says which, and notes what came of them.
    async fn perform(&mut self, pass: &mut Pass) -> Result<(), Failure> {
        let mut done = Vec::new();
        let (mut broken, mut noted) = (Ok(()), Instant::now());
        for steps in pass.steps.chunks(STEPS_MAX) {
            let sides = self.sides();
            let acts = steps.iter().map(|step| async move { (step, sides.act(step).await) });
            let outcomes: Vec<_> = futures::stream::iter(acts).buffered(PARALLEL_FILES).collect().await;
            for (step, outcome) in outcomes {
                match outcome {
                    Ok(notes) => {
                        notes.into_iter().for_each(|(path, known)| self.state.note(path, known));
                        say(self.session, step)?;
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

/// Takes what cannot be on both sides out of them.
fn separate(sides: &mut Sides, found: &mut Found) {
    let mut paths: BTreeSet<&str> = found.files.keys().map(String::as_str).collect();
    paths.extend(sides.remote.keys().map(String::as_str));
    let refused = names::clashes(&paths, &local::taken(&found.skipped));
    for path in refused {
        found.files.remove(&path);
        sides.remote.remove(&path);
        found.skipped.entry(path).or_insert("a file is where a folder is, or the other way round");
    }
    // What is left alone is not gone.
    sides.known.retain(|path, _| !found.skipped.contains_key(path));
    sides.local = std::mem::take(&mut found.files);
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

/// For people, as it is done.
fn say(session: &Session, step: &Step) -> Result<(), Failure> {
    match step.words() {
        Some(words) if !session.json => output::line(&words),
        _ => Ok(()),
    }
}

impl Pass {
    fn moves(&self) -> bool {
        self.steps.iter().any(|step| step.json().is_some()) || !self.unfinished.is_empty()
    }

    fn report(&self, session: &Session, dry_run: bool) -> Result<ExitCode, Failure> {
        for (path, why) in &self.skipped {
            output::note(&format!("skipped {path}: {why}"));
        }
        for (path, why) in &self.unfinished {
            output::note(&format!("not done: {path}: {why}"));
        }
        let steps: Vec<Value> = self.steps.iter().filter_map(Step::json).collect();
        if session.json {
            let skipped = self.skipped.iter().map(|(path, why)| json!({ "path": path, "why": why }));
            let unfinished = self.unfinished.iter().map(|(path, why)| json!({ "path": path, "why": why }));
            output::json_line(&json!({
                "dryRun": dry_run,
                "steps": steps,
                "skipped": skipped.collect::<Vec<_>>(),
                "unfinished": unfinished.collect::<Vec<_>>(),
            }))?;
        }
        // What is no file was never promised to be there; what both sides lack for its name alone was.
        Ok(if self.unfinished.is_empty() { Exit::Done } else { Exit::NotWhole }.into())
    }
}

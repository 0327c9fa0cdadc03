use std::collections::BTreeMap;
use std::process::ExitCode;

use serde::Serialize;
use serde_json::json;

use crate::commands::Session;
use crate::failure::Failure;
use crate::output;

/// What objects come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
struct Sum {
    objects: u64,
    bytes: u64,
}

impl Sum {
    fn add(&mut self, bytes: u64) {
        self.objects += 1;
        self.bytes = self.bytes.saturating_add(bytes);
    }
}

/// Sums by folder, down to a depth below the prefix. It needs memory for the folders that get a line, and no more.
#[derive(Debug, Default)]
struct Sums {
    folders: BTreeMap<String, Sum>,
    total: Sum,
}

impl Sums {
    fn add(&mut self, (prefix, depth): (&str, usize), key: &str, bytes: u64) {
        self.total.add(bytes);
        let below = key.strip_prefix(prefix).unwrap_or(key);
        let ends = below.match_indices('/').map(|(at, _)| key.len() - below.len() + at + 1);
        for end in ends.take(depth) {
            self.folders.entry(key[..end].to_owned()).or_default().add(bytes);
        }
    }
}

/// Shows how much the objects below a prefix come to.
pub(crate) async fn run(session: &Session, prefix: &str, depth: usize) -> Result<ExitCode, Failure> {
    let mut sums = Sums::default();
    let add = |object: crate::client::ObjectInfo| {
        sums.add((prefix, depth), &object.key, object.size);
        Ok(())
    };
    session.client.each_object(prefix, add).await?;
    let Sums { folders, total } = sums;
    let folder =
        |(name, sum): (&String, &Sum)| json!({ "folder": name, "objects": sum.objects, "bytes": sum.bytes });
    let answer = json!({ "total": total, "folders": folders.iter().map(folder).collect::<Vec<_>>() });
    session.show(&answer, || {
        let row =
            |name: &str, sum: &Sum| vec![output::bytes(sum.bytes), sum.objects.to_string(), name.to_owned()];
        let head = ["SIZE", "OBJECTS", "FOLDER"].map(String::from).to_vec();
        let mut rows = vec![head];
        rows.extend(folders.iter().map(|(name, sum)| row(name, sum)));
        rows.push(row("(all)", &total));
        output::table(&rows)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_summed_to_the_depth_that_was_asked_for() {
        let sums = |at: (&str, usize)| {
            let mut sums = Sums::default();
            for (key, bytes) in [("a/b/c", 1), ("a/b/d", 2), ("a/e", 4), ("ab", 8), ("a//f", 16)] {
                if key.starts_with(at.0) {
                    sums.add(at, key, bytes);
                }
            }
            let lines: Vec<_> = sums.folders.into_iter().map(|(name, sum)| (name, sum.bytes)).collect();
            (sums.total, lines)
        };
        let line = |name: &str, bytes| (name.to_owned(), bytes);
        assert_eq!(sums(("", 0)), (Sum { objects: 5, bytes: 31 }, vec![]));
        assert_eq!(sums(("", 1)).1, [line("a/", 23)]);
        assert_eq!(sums(("", 2)).1, [line("a/", 23), line("a//", 16), line("a/b/", 3)]);
        assert_eq!(sums(("a/", 1)).1, [line("a//", 16), line("a/b/", 3)]);
        // A prefix need not end at a folder.
        assert_eq!(sums(("a/b", 1)).1, [line("a/b/", 3)]);
        assert_eq!(sums(("a", 1)).0, Sum { objects: 5, bytes: 31 });
    }
}

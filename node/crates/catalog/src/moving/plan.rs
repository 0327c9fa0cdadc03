//! What a move does next. Pure.

/// Keys that changed and are not copied yet, few enough for the fence: what is written behind it in a moment.
const NEAR: usize = 2000;

/// What is so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "each is one fact, and they come in any order")]
pub struct Facts {
    /// All rows were read once and written.
    pub copied: bool,
    /// They were read a second time, and nothing but changes was found.
    pub compared: bool,
    /// Keys that changed since and are not written.
    pub left: usize,
    /// All gateways have the target open.
    pub ready: bool,
    /// Nothing is committed in the source any more.
    pub fenced: bool,
    /// The target is the catalog.
    pub open: bool,
}

/// What to do, a small piece of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Read both, write the differences.
    Copy,
    /// Read both, find none.
    Compare,
    /// Write what changed meanwhile.
    Follow,
    /// Ask whether all gateways are ready.
    Await,
    /// End commits in the source.
    Fence,
    /// Write and compare what is left, and open the target.
    Open,
    /// Nothing.
    Done,
}

/// Decides it.
pub(super) fn next(facts: &Facts) -> Step {
    match facts {
        Facts { open: true, .. } => Step::Done,
        Facts { copied: false, .. } => Step::Copy,
        Facts { compared: false, .. } => Step::Compare,
        Facts { fenced: true, .. } => Step::Open,
        Facts { left, .. } if *left > NEAR => Step::Follow,
        Facts { ready: false, .. } => Step::Await,
        Facts { .. } => Step::Fence,
    }
}

/// How far a move is, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// What is done now.
    pub step: Step,
    /// Rows of the source that were read in it.
    pub rows: u64,
    /// Keys that changed and are not written yet.
    pub left: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fact_leads_on_and_the_loss_of_one_leads_back() {
        let mut facts = Facts { left: NEAR + 1, ..Facts::default() };
        assert_eq!(next(&facts), Step::Copy);
        facts.copied = true;
        assert_eq!(next(&facts), Step::Compare);
        facts.compared = true;
        assert_eq!(next(&facts), Step::Follow);
        facts.left = NEAR;
        assert_eq!(next(&facts), Step::Await);
        facts.ready = true;
        assert_eq!(next(&facts), Step::Fence);
        facts.left = NEAR + 1;
        assert_eq!(next(&facts), Step::Follow, "what came meanwhile goes before the fence");
        facts.fenced = true;
        assert_eq!(next(&facts), Step::Open, "nothing more comes");
        facts.open = true;
        assert_eq!(next(&facts), Step::Done);
    }

    #[test]
    fn a_move_that_was_cut_off_behind_the_fence_reads_all_again_and_waits_for_nobody() {
        let mut facts = Facts { fenced: true, ..Facts::default() };
        assert_eq!(next(&facts), Step::Copy);
        facts.copied = true;
        assert_eq!(next(&facts), Step::Compare);
        facts.compared = true;
        assert_eq!(next(&facts), Step::Open);
    }
}

//! What one writer knows of its own key, and what a reader may see of it. Pure.

use std::collections::BTreeSet;

/// What may be under a key: `None` is nothing. One writer per key, so all but one stand for writes whose outcome nobody said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Register(BTreeSet<Option<u64>>);

impl Default for Register {
    fn default() -> Self {
        Self(BTreeSet::from([None]))
    }
}

impl Register {
    /// A write of `value` (`None`: a delete) was acknowledged.
    pub fn acknowledged(&mut self, value: Option<u64>) {
        self.0 = BTreeSet::from([value]);
    }

    /// A write of `value` failed, or its answer was lost: it was done or not.
    pub fn unknown(&mut self, value: Option<u64>) {
        self.0.insert(value);
    }

    /// A read that began after all those writes had ended saw `value`: it may have, and everybody later does.
    ///
    /// # Errors
    /// It may not have: what was lost, stale or invented.
    pub fn saw(&mut self, value: Option<u64>) -> Result<(), String> {
        if !self.0.contains(&value) {
            return Err(format!("{value:?} was read, {:?} may be there", self.0));
        }
        self.acknowledged(value);
        Ok(())
    }

    /// A listing that began after all those writes had ended had the key or not.
    ///
    /// # Errors
    /// It is missing, or came back.
    pub fn listed(&self, is_there: bool) -> Result<(), String> {
        let fits = self.0.iter().any(|value| value.is_some() == is_there);
        let had = if is_there { "was listed" } else { "was not listed" };
        fits.then_some(()).ok_or_else(|| format!("it {had}, {:?} may be there", self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lost_stale_and_invented_values_are_found() {
        let mut register = Register::default();
        assert!(register.clone().saw(Some(1)).is_err(), "invented");
        register.acknowledged(Some(1));
        assert!(register.clone().saw(None).is_err() && register.listed(false).is_err(), "lost");
        register.acknowledged(Some(2));
        assert!(register.clone().saw(Some(1)).is_err(), "stale");
        register.unknown(Some(3));
        assert!([Some(2), Some(3)].into_iter().all(|value| register.clone().saw(value).is_ok()));
        register.saw(Some(3)).unwrap();
        assert!(register.clone().saw(Some(2)).is_err(), "what was seen once stays");
        register.acknowledged(None);
        assert!(register.clone().saw(Some(3)).is_err() && register.listed(true).is_err(), "it came back");
        register.unknown(Some(4));
        assert!(register.listed(true).is_ok() && register.listed(false).is_ok());
    }
}

//! Places in groups that a provider of OpenID Connect gives. What cannot be is left out and told: it keeps nobody from signing in.

use std::collections::BTreeSet;

use super::CatalogError;
use super::faults::{find, put, whole};
use super::groups::change_members;
use crate::keys;
use crate::keyspace::{Batch, View};
use crate::limits::{GROUP_MEMBERS_MAX, GROUPS_OF_USER_MAX};
use crate::model::{Group, GroupName, UserId};
use crate::record::KeyOnlyRecord;

/// What came of a group that a provider says somebody is in, or is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupChange {
    /// They are in it from now on.
    Joined,
    /// They are in it no more.
    Left,
    /// There is none of that name to be in.
    NoGroup,
    /// It has as many members as there may be.
    GroupFull,
    /// They are in as many groups as they may be.
    UserFull,
}

/// Has a batch put a user into each group that they are said to be in, and take them out of each that they are said not to be in; first
/// out, so that there is room. Fails at its commit when another changes who is in one of those, or whose groups the user is in.
pub(super) async fn take_groups(
    view: &impl View,
    user: UserId,
    given: Option<&[(GroupName, bool)]>,
    batch: &mut Batch,
) -> Result<Vec<(GroupName, GroupChange)>, CatalogError> {
    let Some(given) = given else { return Ok(Vec::new()) };
    let since = view.revision().await?;
    let rows = whole(view, keys::groups_of(user)).await?.rows;
    let mine = rows.iter().map(|row| keys::read_group_of(&row.key)).collect::<Result<BTreeSet<_>, _>>()?;
    let other = given.iter().filter(|(group, is_in)| mine.contains(&group.folded()) != *is_in);
    let (joins, leaves): (Vec<_>, Vec<_>) = other.partition(|(_, is_in)| *is_in);
    let (mut count, mut changes) = (mine.len(), Vec::new());
    for (group, _) in leaves {
        leave(view, (user, group), batch).await?;
        count = count.saturating_sub(1);
        changes.push((group.clone(), GroupChange::Left));
    }
    for (group, _) in joins {
        let change = join(view, (user, count), group, batch).await?;
        count += usize::from(change == GroupChange::Joined);
        changes.push((group.clone(), change));
    }
    batch.expect_unchanged(keys::groups_of(user), since);
    Ok(changes)
}

async fn leave(
    view: &impl View,
    (user, group): (UserId, &GroupName),
    batch: &mut Batch,
) -> Result<(), CatalogError> {
    let folded = group.folded();
    change_members(view, &folded, batch, |members| members.saturating_sub(1)).await?;
    batch.delete(keys::group_member(&folded, user));
    batch.delete(keys::group_of(user, &folded));
    Ok(())
}

/// `count`: the groups that the user is in so far.
async fn join(
    view: &impl View,
    (user, count): (UserId, usize),
    group: &GroupName,
    batch: &mut Batch,
) -> Result<GroupChange, CatalogError> {
    let folded = group.folded();
    let Some(found) = find::<Group>(view, &keys::group(&folded)).await?.record else {
        return Ok(GroupChange::NoGroup);
    };
    if found.members as usize >= GROUP_MEMBERS_MAX {
        return Ok(GroupChange::GroupFull);
    }
    if count >= GROUPS_OF_USER_MAX {
        return Ok(GroupChange::UserFull);
    }
    change_members(view, &folded, batch, |members| members + 1).await?;
    put(batch, keys::group_member(&folded, user), &KeyOnlyRecord)?;
    put(batch, keys::group_of(user, &folded), &KeyOnlyRecord)?;
    Ok(GroupChange::Joined)
}

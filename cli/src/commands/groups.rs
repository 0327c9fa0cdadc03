use std::process::ExitCode;

use serde_json::json;

use crate::args::GroupsCommand;
use crate::client::Group;
use crate::commands::Session;
use crate::failure::Failure;
use crate::output;

/// Does what an administrator does with groups of users.
pub(crate) async fn run(session: &Session, command: GroupsCommand) -> Result<ExitCode, Failure> {
    let client = &session.client;
    match command {
        GroupsCommand::List => list(session, client.groups().await?)?,
        GroupsCommand::Show { name } => shown(session, &client.group(&name).await?)?,
        GroupsCommand::Create { name, role } => {
            shown(session, &client.create_group(&name, role.map(|role| role.as_str())).await?)?;
        }
        GroupsCommand::Role { name, role } => {
            shown(session, &client.set_group_role(&name, role.as_str()).await?)?;
        }
        GroupsCommand::Add { name, user } => {
            client.add_to_group(&name, &user).await?;
            done(session, &name, &format!("{user} is in it"))?;
        }
        GroupsCommand::Remove { name, user } => {
            client.take_from_group(&name, &user).await?;
            done(session, &name, &format!("{user} is not in it"))?;
        }
        GroupsCommand::Delete { name } => {
            client.delete_group(&name).await?;
            done(session, &name, "deleted")?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn role_of(group: &Group) -> &str {
    group.role.as_deref().unwrap_or("none")
}

fn list(session: &Session, groups: Vec<Group>) -> Result<(), Failure> {
    if session.json {
        return output::json(&json!({ "groups": groups }));
    }
    let head = ["NAME", "ROLE", "MEMBERS", "CREATED"].map(String::from).to_vec();
    let row = |group: Group| {
        let role = role_of(&group).to_owned();
        vec![group.name, role, group.members.to_string(), group.created_at]
    };
    let rows: Vec<_> = std::iter::once(head).chain(groups.into_iter().map(row)).collect();
    output::table(&rows)
}

fn shown(session: &Session, group: &Group) -> Result<(), Failure> {
    if session.json {
        return output::json(group);
    }
    output::line(&format!("{}: role {}, {} members", group.name, role_of(group), group.members))?;
    group.users.iter().flatten().try_for_each(|user| output::line(user))
}

fn done(session: &Session, name: &str, what: &str) -> Result<(), Failure> {
    if session.json {
        return output::json(&json!({ "name": name, "done": what }));
    }
    output::line(&format!("{name}: {what}"))
}
